//! Commands in pods, over a websocket as Kubernetes 1.20 speaks (`v4.channel.k8s.io`). Shell commands are really run, in a folder that
//! stands for the pod's file system; `python manage.py` is played by [`super::paas`].

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Result;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Inner;
use super::answer::{refuse, unescape};
use super::machines::Machine;
use super::paas;
use super::store::Refusal;

const PROTOCOL: &str = "v4.channel.k8s.io";
/// How a command "ends" whose connection breaks.
pub(super) const BROKEN_OFF: i32 = -1;
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// How a command ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Namespace and pod of a path that runs a command.
pub(super) fn asked(path: &str) -> Option<(&str, &str)> {
    let (namespace, pod) =
        path.strip_prefix("/api/v1/namespaces/")?.strip_suffix("/exec")?.split_once("/pods/")?;
    (!namespace.contains('/') && !pod.contains('/')).then_some((namespace, pod))
}

pub(super) fn upgrade(inner: &Arc<Inner>, mut request: Request<Body>) -> Response<Body> {
    let Some((namespace, name)) = asked(request.uri().path()) else {
        return refuse(&Refusal::new(404, "NotFound", "no command"));
    };
    let Some(pod) = inner.store().at_path(&format!("/api/v1/namespaces/{namespace}/pods/{name}")) else {
        return refuse(&Refusal::new(404, "NotFound", format!("pods \"{name}\" not found")));
    };
    let pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<(&str, String)> = pairs.map(|(name, value)| (name, unescape(value))).collect();
    let container = pairs.iter().find(|(name, _)| *name == "container").map(|(_, value)| value.as_str());
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let is_there = |container: &Value| container["name"].as_str() == pairs_container(&pairs);
    if container.is_none() || !containers.is_some_and(|containers| containers.iter().any(is_there)) {
        let problem = format!("container {} is not valid for pod {name}", container.unwrap_or_default());
        return refuse(&Refusal::new(400, "BadRequest", problem));
    }
    let Some(answer) = switch(request.headers()) else {
        return refuse(&Refusal::new(400, "BadRequest", "unable to upgrade: not a websocket"));
    };
    let command: Vec<String> =
        pairs.iter().filter(|(name, _)| *name == "command").map(|(_, value)| value.clone()).collect();
    let machine = inner.machines.of(&pod, &command);
    let asked = Asked { pod: name.to_owned(), command, machine };
    let inner = Arc::clone(inner);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // A client that goes away is no trouble of the server's.
            let _ = talk(inner, asked, socket).await;
        }
    });
    answer
}

fn pairs_container<'a>(pairs: &'a [(&str, String)]) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| *name == "container").map(|(_, value)| value.as_str())
}

/// The answer that makes a websocket of a connection.
fn switch(headers: &HeaderMap) -> Option<Response<Body>> {
    let text = |name: header::HeaderName| headers.get(name)?.to_str().ok();
    let offered = text(header::SEC_WEBSOCKET_PROTOCOL)?;
    offered.split(',').find(|protocol| protocol.trim() == PROTOCOL)?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    answer.body(Body::empty()).ok()
}

/// A command that is asked for.
struct Asked {
    pod: String,
    command: Vec<String>,
    /// What runs it, where the pod is a machine's.
    machine: Option<Machine>,
}

async fn talk<S>(inner: Arc<Inner>, asked: Asked, mut socket: WebSocketStream<S>) -> Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for channel in [STDOUT, STDERR, STATUS] {
        socket.send(Message::binary(vec![channel])).await?;
    }
    let (sender, receiver) = mpsc::channel::<Bytes>();
    let Asked { pod, command, machine } = asked;
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut left = machine.as_ref().and_then(|machine| machine.cut);
    let mut running = match words.as_slice() {
        _ if machine.is_some() => {
            let child = machine.map(|machine| machine.command(&command));
            tokio::task::spawn_blocking(move || child.and_then(|child| run(child, receiver).ok()))
        }
        ["python", "manage.py", arguments @ ..] => {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            let inner = Arc::clone(&inner);
            // A command goes on when nobody listens any more.
            tokio::spawn(async move { Some(paas::manage(&inner, &pod, &arguments).await) })
        }
        ["sh" | "rm", ..] => {
            let calls = tempfile::tempdir()?;
            let shell = Shell { root: inner.paas.root(&pod), calls: calls.path().to_owned() };
            let (inner, called) = (Arc::clone(&inner), shell.clone());
            let answering = tokio::spawn(async move { called.answer(&inner, &pod).await });
            tokio::task::spawn_blocking(move || {
                let ended = shell.run(&command, receiver).ok();
                answering.abort();
                drop(calls);
                ended
            })
        }
        _ => tokio::spawn(async { None }),
    };
    let mut sender = Some(sender);
    let ended = loop {
        if left == Some(0) {
            // It breaks here; what runs goes on.
            return Ok(());
        }
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(message))) if message.first() == Some(&STDIN) => {
                    let message = message.slice(1..);
                    left = left.map(|left| left.saturating_sub(message.len()));
                    if let Some(sender) = &sender {
                        // What has ended reads no more.
                        let _ = sender.send(message);
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    sender = None;
                    if (&mut running).await.is_ok() {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
            },
            ended = &mut running => break ended?,
        }
    };
    if ended.as_ref().is_some_and(|ended| ended.code == BROKEN_OFF) {
        return Ok(());
    }
    let status = match &ended {
        Some(Ended { code: 0, .. }) => json!({"metadata": {}, "status": "Success"}),
        Some(Ended { code, .. }) => json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
        None => json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": "error executing command in container: executable file not found in $PATH"}),
    };
    let Ended { stdout, stderr, .. } = ended.unwrap_or_default();
    for (channel, text) in [(STDOUT, stdout), (STDERR, stderr), (STATUS, status.to_string())] {
        // In pieces that do not end where characters do.
        for piece in text.as_bytes().chunks(1001) {
            socket.send(Message::binary([&[channel], piece].concat())).await?;
        }
    }
    socket.close(None).await?;
    Ok(())
}

/// Runs a command to its end.
fn run(mut command: Command, input: mpsc::Receiver<Bytes>) -> Result<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take();
    std::thread::spawn(move || {
        while let (Ok(bytes), Some(pipe)) = (input.recv(), &mut stdin) {
            if pipe.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().unwrap_or(137);
    Ok(Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) })
}

/// A program `python` that hands its arguments to this process, and says what it is told.
const PYTHON: &str = r#"#!/bin/sh
call=$(mktemp -d "$FERRY_CALLS/XXXXXX")
printf '%s\n' "$@" >"$call/asked.new" && mv "$call/asked.new" "$call/asked"
while [ ! -e "$call/code" ]; do sleep 0.02; done
cat "$call/stdout"
cat "$call/stderr" >&2
exit "$(cat "$call/code")"
"#;

/// Where shell commands are run.
#[derive(Clone, Debug)]
struct Shell {
    /// The pod's file system.
    root: PathBuf,
    /// Where calls of `python` come in.
    calls: PathBuf,
}

impl Shell {
    /// Runs a command in the pod's folder.
    fn run(&self, command: &[String], input: mpsc::Receiver<Bytes>) -> Result<Ended> {
        let (programs, scratch) = (self.calls.join("bin"), self.root.join("tmp"));
        fs::create_dir_all(&programs)?;
        fs::create_dir_all(&scratch)?;
        let python = programs.join("python");
        fs::write(&python, PYTHON)?;
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new(&command[0]);
        child
            .args(&command[1..])
            .current_dir(&self.root)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("TMPDIR", scratch)
            .env("FERRY_CALLS", &self.calls);
        run(child, input)
    }

    /// Answers calls of `python`, until it is no longer needed.
    async fn answer(&self, inner: &Inner, pod: &str) {
        loop {
            for entry in fs::read_dir(&self.calls).into_iter().flatten().flatten() {
                let (asked, taken) = (entry.path().join("asked"), entry.path().join("taken"));
                if fs::rename(&asked, &taken).is_err() {
                    continue;
                }
                let text = fs::read_to_string(&taken).unwrap_or_default();
                // manage.py
                let arguments: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
                let Ended { code, stdout, stderr } = paas::manage(inner, pod, &arguments).await;
                for (name, text) in [("stdout", stdout), ("stderr", stderr), ("code", code.to_string())] {
                    let (new, named) = (entry.path().join("new"), entry.path().join(name));
                    let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, named));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
