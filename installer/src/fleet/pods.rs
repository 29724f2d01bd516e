//! Nodes without ssh: a privileged pod on each, in which commands are run through the cluster's API.
//!
//! 1. What is there of the pods is used, for looks too; they are made when something shall be done ([`Pods::begin`]), and removed when
//!    it is done ([`Pods::end`]), unless they shall stay ([`set`], [`manifest`]).
//! 2. A script is run in the node's own root ([`OnNode::run`]). Connections break: what came to no end is done again.
//! 3. What may restart the container runtime is run apart from the pod ([`apart`]).
//! 4. A node without a pod that runs is told with the cause and what to do ([`trouble`]).

mod apart;
mod manifest;
mod set;
mod trouble;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::plan::NodePods;
use ferry_model::report::Failed;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use super::command::{Answer, Input, MOST_OUTPUT, in_time, too_slow};
use super::lock;
use crate::cluster::{self, Clusters, Ended, Pod, Run};
use apart::{Apart, GOES_ON, LOST};
use set::Set;

pub(crate) use manifest::manifests;

/// How often a script is begun anew when its connection breaks.
const TRIES: usize = 3;
/// Between those.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one connection may go on. What it does has a shorter limit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long one question for the end of work may take.
const QUESTION: Duration = Duration::from_secs(60);
/// Bytes of a file that are read, and sent, at once.
const PIECE: usize = 32 << 10;
/// What a container's program is not found with.
const NOT_FOUND: i32 = 127;
/// Where a node's programs lie, whatever the image says. Some of systemd's believe that they run in a container's root, and do nothing,
/// unless they are told otherwise.
const ENVIRONMENT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_IGNORE_CHROOT=1\nexport PATH SYSTEMD_IGNORE_CHROOT\n";

/// Whether pods may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Only those that are there are used.
    #[default]
    Look,
    /// Those that are not there are made.
    Work,
}

/// The pods through which nodes are reached.
#[derive(Debug, Default)]
pub(super) struct Pods {
    manner: Mutex<Manner>,
    sets: Mutex<Vec<Arc<Set>>>,
}

impl Pods {
    /// From now on pods are made where they are not there.
    pub(super) fn begin(&self) {
        *lock(&self.manner) = Manner::Work;
    }

    /// Removes those that are there for the time of the work alone. Gives what stays, and why.
    pub(super) async fn end(&self) -> Vec<String> {
        let manner = std::mem::take(&mut *lock(&self.manner));
        let mut left = Vec::new();
        let sets = std::mem::take(&mut *lock(&self.sets));
        for set in sets.iter().filter(|_| manner == Manner::Work) {
            match set.remove().await {
                Ok(stays) => left.extend(stays),
                Err(failed) => left.push(format!(
                    "DaemonSet {}/{} may still be there: {}; `{} delete namespace {0}` removes it",
                    set.pods.namespace,
                    set.pods.name,
                    failed.message,
                    set.cluster.kubectl()
                )),
            }
        }
        left
    }

    /// The way to one node.
    pub(super) async fn on_node<'a>(
        &self,
        clusters: &Clusters,
        pods: &NodePods,
        node: &'a Host,
    ) -> Result<OnNode<'a>, Failed> {
        let target = cluster::Target { kubeconfig: pods.kubeconfig.clone(), context: pods.context.clone() };
        let cluster = clusters.get(&target).await?;
        let mut sets = lock(&self.sets);
        let set = match sets.iter().find(|set| set.pods == *pods) {
            Some(set) => Arc::clone(set),
            None => {
                let set = Arc::new(Set::new(pods.clone(), cluster));
                sets.push(Arc::clone(&set));
                set
            }
        };
        let manner = *lock(&self.manner);
        Ok(OnNode { set, node, manner })
    }
}

/// One node, through its pod.
#[derive(Debug)]
pub(super) struct OnNode<'a> {
    set: Arc<Set>,
    node: &'a Host,
    manner: Manner,
}

impl OnNode<'_> {
    /// Runs a script there. It may be run again where the connection breaks.
    pub(super) async fn run(
        &self,
        script: &str,
        input: Input<'_>,
        limit: Duration,
    ) -> Result<Answer, Failed> {
        let taken = AtomicU64::new(0);
        let work = async {
            let mut tries = 1;
            loop {
                match self.try_once(script, input, limit, &taken).await {
                    Err(failed) if failed.class == Class::Transient && tries < TRIES => {
                        tries += 1;
                        sleep(PAUSE).await;
                    }
                    ended => return ended,
                }
            }
        };
        in_time(limit, work, &taken).await.unwrap_or_else(|| Err(too_slow(self.node, limit, "")))
    }

    /// Runs a script that may restart the container runtime, and so end the pod that it came through.
    pub(super) async fn run_apart(
        &self,
        script: &str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Answer, Failed> {
        let work = Apart::new();
        let started = self.run(&work.start_script(script, input.len()), Input::Bytes(input), limit).await?;
        if !started.is_good() {
            return Ok(started);
        }
        let (ask, taken) = (work.ask_script(), AtomicU64::new(0));
        let ended = timeout(limit, async {
            loop {
                let question = self.try_once(&ask, Input::Bytes(b""), limit, &taken);
                match timeout(QUESTION, question).await {
                    Ok(Ok(answer)) if answer.status.code() == Some(GOES_ON) => {}
                    Ok(Ok(answer)) => return answer,
                    // It comes back, with the runtime.
                    Ok(Err(_)) | Err(_) => {
                        self.set.forget(self.node);
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        let answer = ended.await.map_err(|_| too_slow(self.node, limit, ""))?;
        if answer.status.code() == Some(LOST) {
            let message = format!("node {} was restarted before its work came to an end", self.node);
            return Err(Failed::because(Class::Transient, message).hint("run the same command again"));
        }
        // What it leaves is gone with the next start of the node.
        let forget = work.forget_script();
        let forgotten = self.try_once(&forget, Input::Bytes(b""), limit, &taken);
        let _ = timeout(QUESTION, forgotten).await;
        Ok(answer)
    }

    async fn try_once(
        &self,
        script: &str,
        input: Input<'_>,
        limit: Duration,
        taken: &AtomicU64,
    ) -> Result<Answer, Failed> {
        // Why there is none is worth more than that it took too long.
        let pod = self.set.pod(self.node, self.manner, limit * 3 / 4).await?;
        let ended = self.exec(&pod, script, input, taken).await;
        if ended.is_err() {
            self.set.forget(self.node);
        }
        let ended = ended.map_err(|failed| self.told(failed))?;
        Ok(self.answer(ended))
    }

    /// In the node's root, by its own shell: the image needs no more than `chroot`, which busybox and all distributions have, while
    /// not all have `nsenter`. The node's mounts are seen there, systemd's sockets in `/run` among them, and since its processes are
    /// seen too, systemctl takes the root for what it is. Nothing that is done there mounts anything, which alone would need the
    /// node's own mount namespace.
    async fn exec(
        &self,
        pod: &Pod,
        script: &str,
        input: Input<'_>,
        taken: &AtomicU64,
    ) -> Result<Ended, Failed> {
        let (input, size) = match input {
            Input::Bytes(bytes) => (Piece::Bytes(Bytes::copy_from_slice(bytes)), bytes.len() as u64),
            Input::File(path) => Piece::of(path, taken).await.map_err(|error| {
                Failed::because(Class::Local, format!("{} cannot be read: {error}", path.display()))
            })?,
        };
        let script = within(script, size);
        let command = ["chroot", manifest::ROOT, "/bin/sh", "-c", &script];
        let most = usize::try_from(MOST_OUTPUT).unwrap_or(usize::MAX);
        pod.run_whole(Run { command: &command, limit: LONGEST }, input, most).await
    }

    fn told(&self, failed: Failed) -> Failed {
        let missing = failed.message.contains("executable file not found");
        let failed = Failed { message: format!("node {}: {}", self.node, failed.message), ..failed };
        if missing { failed.hint(trouble::no_shell(&self.set.pods.image)) } else { failed }
    }

    fn answer(&self, ended: Ended) -> Answer {
        let Ended { code, stdout, mut stderr } = ended;
        if code == NOT_FOUND && stderr.contains("chroot") {
            stderr.push_str(&trouble::no_shell(&self.set.pods.image));
        }
        Answer {
            status: ExitStatus::from_raw((code & 0xff) << 8),
            output: stdout.into_bytes(),
            errors: stderr,
        }
    }
}

/// A script whose standard input ends after `size` bytes: the protocol of older clusters cannot say where it ends.
fn within(script: &str, size: u64) -> String {
    let script = super::shell::quoted(script);
    let front = if size == 0 { String::new() } else { format!("head -c {size} | ") };
    let behind = if size == 0 { " </dev/null" } else { "" };
    format!("{ENVIRONMENT}{front}/bin/sh -c {script}{behind}\n")
}

/// What a script reads, piece by piece: the next is read when the last one is on its way.
enum Piece<'a> {
    Bytes(Bytes),
    /// A file, and how much of it has been sent.
    File(tokio::fs::File, &'a AtomicU64),
}

impl<'a> Piece<'a> {
    /// A file, and its size.
    async fn of(path: &Path, taken: &'a AtomicU64) -> std::io::Result<(Self, u64)> {
        let file = tokio::fs::File::open(path).await?;
        let size = file.metadata().await?.len();
        Ok((Self::File(file, taken), size))
    }
}

impl cluster::Input for Piece<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        match self {
            Self::Bytes(bytes) => bytes.next().await,
            Self::File(file, taken) => {
                let mut piece = vec![0; PIECE];
                let count = file.read(&mut piece).await.map_err(|error| {
                    Failed::because(
                        Class::Local,
                        format!("a file that is being sent cannot be read: {error}"),
                    )
                })?;
                piece.truncate(count);
                taken.fetch_add(count as u64, Ordering::Relaxed);
                Ok((count > 0).then(|| Bytes::from(piece)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::plan::{LabelOperator, LabelRequirement, NodeTerm};

    use super::*;

    pub(super) fn pods() -> NodePods {
        let label = |key: &str, operator, values: &[&str]| LabelRequirement {
            key: key.into(),
            operator,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let term = |role: &str, operator| NodeTerm {
            labels: vec![
                label("disk", LabelOperator::In, &["ssd"]),
                label("type", LabelOperator::NotIn, &["virtual-kubelet"]),
                label(&format!("node-role.kubernetes.io/{role}"), operator, &[]),
            ],
            not_named: vec!["kci-1".parse().unwrap()],
        };
        NodePods {
            kubeconfig: None,
            context: None,
            namespace: "ferry-system".into(),
            name: "ferry-nodes".into(),
            image: "registry.corp:5000/library/busybox:1.36".into(),
            nodes: vec![term("worker", LabelOperator::Exists), term("master", LabelOperator::DoesNotExist)],
            keep: false,
        }
    }

    #[test]
    fn a_script_reads_what_is_meant_for_it_and_no_more() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        for (size, input, expected) in [(5, "12345and more", "12345"), (0, "", "")] {
            let mut child = Command::new("/bin/sh")
                .args(["-c", &within("cat; echo \"it's $0\"; exit 7", size)])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // Its standard input stays open, as in a pod.
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            drop(pipe);
            assert_eq!(output.status.code(), Some(7));
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected}it's /bin/sh\n"));
        }
    }
}
