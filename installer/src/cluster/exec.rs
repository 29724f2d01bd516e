//! Commands in pods, as `kubectl exec` runs them: over a websocket, with bytes for standard input, and with what they said and how
//! they ended.
//!
//! The protocol of Kubernetes before 1.30 (`v4.channel.k8s.io`) cannot close standard input alone. A command that reads it must know
//! how much will come: `head -c COUNT`.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::fields::{holds, text};
use super::kind::segment;
use super::{Cluster, Kind, Place};

/// Bytes of standard input in one message.
const MESSAGE: usize = 32 << 10;
/// How much is kept of what a command said: its end.
const KEPT: usize = 64 << 10;
/// A silent command is asked for a sign of life this often: proxies on the way cut what says nothing, and so do we.
const PING: Duration = Duration::from_secs(15);
/// How long a command may take to end once its standard input breaks.
const LAST_WORDS: Duration = Duration::from_secs(5);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Whose pods.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    /// Those of a Deployment.
    Deployment(&'a str),
    /// Those with these labels: `a=b,c=d`.
    Labels(&'a str),
}

/// A container that commands can be run in.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    cluster: Cluster,
    namespace: String,
    name: String,
    container: String,
}

/// A command that is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The program and its arguments. They can be seen by others: no secrets.
    pub(crate) command: &'a [&'a str],
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) code: i32,
    /// The end of what it wrote to standard output.
    pub(crate) stdout: String,
    /// The end of what it wrote to standard error.
    pub(crate) stderr: String,
}

/// What a command reads.
pub(crate) trait Input {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed>;
}

/// Nothing.
impl Input for () {
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        Ok(None)
    }
}

/// These bytes.
impl Input for Bytes {
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        let all = std::mem::take(self);
        Ok((!all.is_empty()).then_some(all))
    }
}

impl Cluster {
    /// A running and ready pod, always the same one while it lives. `container` is the one commands run in; absent, it is the one that
    /// kubectl takes.
    pub(crate) async fn pod(
        &self,
        namespace: &str,
        of: Of<'_>,
        container: Option<&str>,
    ) -> Result<Pod, Failed> {
        let labels = match of {
            Of::Labels(labels) => labels.to_owned(),
            Of::Deployment(name) => self.labels_of(namespace, name).await?,
        };
        let kind = Kind::known("v1", "Pod").expect("pods are a known kind");
        let mut pods = self.list(&kind, namespace, &labels).await?;
        pods.sort_by_key(|pod| text(pod, "/metadata/name").to_owned());
        let Some(pod) = pods.iter().find(|pod| is_ready(pod)) else {
            let message = match pods.len() {
                0 => format!("{of} has no pods in namespace {namespace} of {}", self.name()),
                count => format!(
                    "none of the {count} pods of {of} in namespace {namespace} of {} is ready",
                    self.name()
                ),
            };
            return Err(Failed::because(Class::NotFound, message).hint(format!(
                "`{} -n {namespace} get pods` shows them; `… describe pod NAME` says what they wait for",
                self.kubectl()
            )));
        };
        let container = match container {
            Some(container) => container,
            None => usual_container(pod),
        };
        Ok(Pod {
            cluster: self.clone(),
            namespace: namespace.to_owned(),
            name: text(pod, "/metadata/name").to_owned(),
            container: container.to_owned(),
        })
    }

    /// A pod that is known to be ready.
    pub(crate) fn pod_named(&self, namespace: &str, name: &str, container: &str) -> Pod {
        let [namespace, name, container] = [namespace, name, container].map(str::to_owned);
        Pod { cluster: self.clone(), namespace, name, container }
    }

    /// What a Deployment's pods are selected by: `a=b,c=d`.
    pub(super) async fn labels_of(&self, namespace: &str, name: &str) -> Result<String, Failed> {
        let place = Place {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        let found = self.get(&place).await?.ok_or_else(|| {
            Failed::because(Class::NotFound, format!("there is no {place} in {}", self.name()))
                .hint(format!("`{} get deployments -A` shows what there is", self.kubectl()))
        })?;
        let labels = found.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let labels: Vec<String> = labels
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        Ok(labels.join(","))
    }
}

impl Pod {
    /// Runs a command and waits for its end. Only that it could not be run is an error; how it ended is for the caller to judge.
    pub(crate) async fn run(&self, run: Run<'_>) -> Result<Ended, Failed> {
        self.run_with(run, (), |_| ()).await
    }

    /// The same with bytes for standard input. `told` hears each line of standard output as it comes.
    pub(crate) async fn run_with(
        &self,
        run: Run<'_>,
        input: impl Input,
        told: impl FnMut(&str),
    ) -> Result<Ended, Failed> {
        self.within(run, self.talk(run.command, input, Said::default(), told)).await
    }

    /// The same where all of its standard output counts, and may be no more than `most` bytes.
    pub(crate) async fn run_whole(
        &self,
        run: Run<'_>,
        input: impl Input,
        most: usize,
    ) -> Result<Ended, Failed> {
        let said = Said { most: Some(most), ..Said::default() };
        self.within(run, self.talk(run.command, input, said, |_| ())).await
    }

    async fn within(
        &self,
        run: Run<'_>,
        talk: impl Future<Output = Result<Ended, Failed>>,
    ) -> Result<Ended, Failed> {
        match timeout(run.limit, talk).await {
            Ok(ended) => ended,
            Err(_) => {
                let message = format!(
                    "`{}` in {self} has not ended after {} minutes",
                    shown(run.command),
                    run.limit.as_secs().div_ceil(60)
                );
                Err(Failed::because(Class::Transient, message)
                    .hint("it may still run there; try again when it has ended"))
            }
        }
    }

    async fn talk(
        &self,
        command: &[&str],
        mut input: impl Input,
        mut said: Said,
        mut told: impl FnMut(&str),
    ) -> Result<Ended, Failed> {
        let action = format!("running `{}` in {self}", shown(command));
        let place = Place::core("Pod", &self.namespace, &self.name);
        let request = Request::get(self.path(command)).body(Vec::new()).map_err(kube::Error::HttpError);
        let connection = match request {
            Ok(request) => self.cluster.client().connect(request).await,
            Err(error) => Err(error),
        };
        let connection = connection.map_err(|error| self.cluster.failed(&action, &place, &error))?;
        let (mut sink, mut stream) = connection.into_stream().split();
        let broken = |problem: &dyn fmt::Display| {
            Failed::because(Class::Transient, format!("{action} broke off: {problem}")).hint("try again")
        };

        let hear = pin!(async {
            loop {
                match stream.next().await {
                    Some(Ok(Message::Binary(message))) => {
                        if let Some(status) = said.take(&message, &mut told) {
                            return ended(&status).map_err(|problem| {
                                Failed::because(Class::Local, format!("{action}: {problem}"))
                            });
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(broken(&error)),
                    None => return Err(broken(&"the connection was closed before the command ended")),
                }
            }
        });
        let speak = pin!(async {
            while let Some(bytes) = input.next().await? {
                for piece in bytes.chunks(MESSAGE) {
                    let mut message = Vec::with_capacity(piece.len() + 1);
                    message.push(STDIN);
                    message.extend_from_slice(piece);
                    sink.send(Message::binary(message)).await.map_err(|error| broken(&error))?;
                }
            }
            loop {
                sleep(PING).await;
                sink.send(Message::Ping(Bytes::new())).await.map_err(|error| broken(&error))?;
            }
        });
        let code = match select(hear, speak).await {
            Either::Left((heard, _)) => heard?,
            Either::Right((spoken, hear)) => {
                let spoken: Result<std::convert::Infallible, Failed> = spoken;
                let Err(failed) = spoken;
                // A command that ends before it has read everything has more to say than the broken pipe.
                match timeout(LAST_WORDS, hear).await {
                    Ok(Ok(code)) => code,
                    _ => return Err(failed),
                }
            }
        };
        if let (Some(most), true) = (said.most, said.is_too_much) {
            let message = format!("{action}: it says more than {} MiB", most >> 20);
            return Err(Failed::because(Class::Protocol, message));
        }
        Ok(said.ended(code))
    }

    fn path(&self, command: &[&str]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for part in command {
            query.append_pair("command", part);
        }
        query.append_pair("container", &self.container);
        for stream in ["stdin", "stdout", "stderr"] {
            query.append_pair(stream, "true");
        }
        let (namespace, name) = (segment(&self.namespace), segment(&self.name));
        format!("/api/v1/namespaces/{namespace}/pods/{name}/exec?{}", query.finish())
    }
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(name) => write!(f, "Deployment {name}"),
            Self::Labels(labels) => write!(f, "{labels}"),
        }
    }
}

/// A script is shown by its first word.
fn shown(command: &[&str]) -> String {
    match command {
        ["sh", "-c", ..] => "sh".into(),
        ["chroot", folder, "/bin/sh", "-c", ..] => format!("chroot {folder} sh"),
        ["python", "manage.py", "shell", ..] => "python manage.py shell".into(),
        _ => command.join(" "),
    }
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
        && pod.pointer("/metadata/deletionTimestamp").is_none()
        && holds(pod, "Ready")
}

fn usual_container(pod: &Value) -> &str {
    let annotations = &pod["metadata"]["annotations"];
    let named = annotations["kubectl.kubernetes.io/default-container"].as_str();
    named.unwrap_or_else(|| text(pod, "/spec/containers/0/name"))
}

/// What a command has said so far.
#[derive(Debug, Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    line: Vec<u8>,
    /// How much of standard output is kept, all of which counts. Absent: its end is enough.
    most: Option<usize>,
    is_too_much: bool,
}

impl Said {
    /// Takes a message. Gives the status, which is the last.
    fn take(&mut self, message: &[u8], told: &mut impl FnMut(&str)) -> Option<Vec<u8>> {
        let (&channel, content) = message.split_first()?;
        match channel {
            STDOUT => {
                self.keep_output(content);
                for &byte in content {
                    if byte == b'\n' || self.line.len() >= KEPT {
                        told(String::from_utf8_lossy(&self.line).trim_end());
                        self.line.clear();
                    }
                    if byte != b'\n' {
                        self.line.push(byte);
                    }
                }
                None
            }
            STDERR => {
                keep(&mut self.stderr, content);
                None
            }
            // A channel that says nothing is only opened.
            STATUS if !content.is_empty() => Some(content.to_vec()),
            _ => None,
        }
    }

    fn keep_output(&mut self, content: &[u8]) {
        match self.most {
            None => keep(&mut self.stdout, content),
            Some(most) if self.stdout.len() + content.len() > most => self.is_too_much = true,
            Some(_) => self.stdout.extend_from_slice(content),
        }
    }

    fn ended(self, code: i32) -> Ended {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code, stdout: text(self.stdout), stderr: text(self.stderr) }
    }
}

fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(more);
    if kept.len() > 2 * KEPT {
        kept.drain(..kept.len() - KEPT);
    }
}

/// The exit status that a `Status` tells of, or why the command was not run.
fn ended(status: &[u8]) -> Result<i32, String> {
    let status: Value =
        serde_json::from_slice(status).map_err(|error| format!("its status cannot be read: {error}"))?;
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let code = causes.into_iter().flatten().find(|cause| cause["reason"] == "ExitCode");
    let code = code.and_then(|cause| cause["message"].as_str()?.parse().ok());
    match code {
        Some(code) if status["reason"] == "NonZeroExitCode" => Ok(code),
        _ => Err(text(&status, "/message").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(messages: &[&[u8]]) -> (Said, Vec<String>, Option<Vec<u8>>) {
        let (mut said, mut lines, mut status) = (Said::default(), Vec::new(), None);
        for message in messages {
            status = said.take(message, &mut |line: &str| lines.push(line.to_owned()));
        }
        (said, lines, status)
    }

    #[test]
    fn channels_are_told_apart() {
        let (said, lines, status) =
            told(&[b"\x01", b"\x03", b"\x01on", b"\x01e\r\ntwo\nth", b"\x02bad", b"\x03{}"]);
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(status.as_deref(), Some(&b"{}"[..]));
        let ended = said.ended(3);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (3, "one\r\ntwo\nth", "bad"));
    }

    #[test]
    fn only_the_end_of_much_is_kept() {
        let mut said = Said::default();
        let message = [&[STDOUT][..], &vec![b'a'; 50_000], b"\n"].concat();
        for _ in 0..10 {
            said.take(&message, &mut |_: &str| ());
        }
        said.take(b"\x01the end", &mut |_: &str| ());
        let ended = said.ended(0);
        assert!(
            ended.stdout.ends_with("the end") && ended.stdout.len() <= 2 * KEPT,
            "{}",
            ended.stdout.len()
        );
    }

    #[test]
    fn what_counts_whole_has_bounds() {
        let mut said = Said { most: Some(150_000), ..Said::default() };
        let message = [&[STDOUT][..], &vec![b'a'; 50_000]].concat();
        for count in 1..=4 {
            said.take(&message, &mut |_: &str| ());
            assert_eq!((said.stdout.len(), said.is_too_much), (50_000 * count.min(3), count == 4));
        }
    }

    #[test]
    fn statuses() {
        let of = |status: Value| ended(status.to_string().as_bytes());
        assert_eq!(of(json!({"status": "Success"})), Ok(0));
        let failure = json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with non-zero exit code",
            "details": {"causes": [{"reason": "ExitCode", "message": "137"}]}});
        assert_eq!(of(failure), Ok(137));
        let missing =
            "error executing command in container: exec: \"python\": executable file not found in $PATH";
        assert_eq!(
            of(json!({"status": "Failure", "reason": "InternalError", "message": missing})),
            Err(missing.into())
        );
        assert!(ended(b"no json").is_err());
    }

    #[test]
    fn the_usual_container_is_kubectls() {
        let mut pod =
            json!({"metadata": {}, "spec": {"containers": [{"name": "first"}, {"name": "second"}]}});
        assert_eq!(usual_container(&pod), "first");
        pod["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "second"});
        assert_eq!(usual_container(&pod), "second");
    }
}
