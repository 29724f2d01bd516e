//! Images in the container runtime of a node, brought there through ssh. It is the system's own client, so that the operator's
//! configuration, agent and known hosts count. Whatever image has the name already is left alone: the node runs what it knows.

mod script;

use std::io::{BufWriter, Write as _};
use std::process::{Child, Command, Stdio};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, NodeImage, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;
use crate::export::{Archive, docker_archive, find_image, host_platform};
use script::{Work, remote_command};

/// What ssh itself ends with when there is no connection.
const NO_CONNECTION: i32 = 255;

impl Manage for NodeImage {
    fn wanted(&self) -> State {
        State::present([("name", &self.name)])
    }

    fn summary(&self, _action: Action) -> String {
        format!("bring {} to node {}", self.name, self.node)
    }

    fn undo_summary(&self, _before: &State) -> String {
        "remove it from the node".into()
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    async fn observe(&self, _context: &Context) -> State {
        match on_a_thread(self, look).await {
            Ok(Found { is_there: true, .. }) => State::present([("name", &self.name)]),
            Ok(Found { is_there: false, .. }) => State::Absent,
            Err(failed) => State::Unknown { reason: failed.message },
        }
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        let found = on_a_thread(self, look).await?;
        if found.is_there {
            return Ok(());
        }
        let bundle = context.bundle()?;
        let image =
            find_image(bundle.catalog(), &self.image.to_string()).map_err(|error| Failed::new(&error))?;
        let platform = found.platform.filter(|platform| *platform != host_platform());
        let archive = docker_archive(bundle, image, platform.as_ref(), std::slice::from_ref(&self.name))
            .map_err(|error| Failed::new(&error))?;
        let (node, task) = (self.clone(), task.clone());
        run(move || import(&node, &archive, &task)).await?;
        if on_a_thread(self, look).await?.is_there {
            return Ok(());
        }
        let message = format!("node {} has taken {} and does not know it", self.node, self.name);
        Err(Failed::because(Class::Protocol, message))
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        if matches!(before.state, State::Present { .. }) || !on_a_thread(self, look).await?.is_there {
            return Ok(Undone::Restored);
        }
        match on_a_thread(self, |node| finish(node, start(node, Work::Remove, Stdio::null())?)).await {
            Ok(_) => Ok(Undone::Restored),
            Err(failed) if failed.class == Class::Local => {
                Ok(Undone::Left(format!("{} stays on node {}: {}", self.name, self.node, failed.message)))
            }
            Err(failed) => Err(failed),
        }
    }
}

/// What a node says of itself.
struct Found {
    is_there: bool,
    platform: Option<ferry_model::Platform>,
}

/// Waiting for a process would hold up everything else.
async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let stopped = || Failed::because(Class::Internal, "the thread that talks to a node has stopped");
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(stopped()))
}

async fn on_a_thread<T: Send + 'static>(
    node: &NodeImage,
    work: impl FnOnce(&NodeImage) -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let node = node.clone();
    run(move || work(&node)).await
}

fn look(node: &NodeImage) -> Result<Found, Failed> {
    let answer = finish(node, start(node, Work::Look, Stdio::null())?)?;
    let mut lines = answer.lines();
    let architecture = match lines.next().unwrap_or_default().trim() {
        "x86_64" => Some("linux/amd64"),
        "aarch64" => Some("linux/arm64"),
        _ => None,
    };
    let platform = architecture.and_then(|platform| platform.parse().ok());
    Ok(Found { is_there: lines.next().is_some_and(|line| line.trim() == "present"), platform })
}

/// Sends the image, as it is read out of the bundle.
fn import(node: &NodeImage, archive: &Archive, task: &Task) -> Result<(), Failed> {
    let mut child = start(node, Work::Import, Stdio::piped())?;
    let pipe = child.stdin.take().expect("a pipe was asked for");
    let mut pipe = BufWriter::with_capacity(1 << 20, pipe);
    let written = archive.write(&mut pipe, task).map_err(|error| Failed::new(&error));
    let written = written.and_then(|()| pipe.flush().map_err(|error| broken(node, &error)));
    drop(pipe);
    // Why the node stopped listening is worth more than that it did.
    finish(node, child)?;
    written
}

fn start(node: &NodeImage, work: Work, input: Stdio) -> Result<Child, Failed> {
    let mut command = Command::new("ssh");
    command.args(&node.ssh).arg(remote_command(work, &node.name, node.sudo));
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| {
        Failed::because(Class::Local, format!("ssh cannot be started: {error}"))
            .hint("install the ssh client, or bring the image to the nodes by hand and say `preload: []`")
    })
}

fn broken(node: &NodeImage, error: &std::io::Error) -> Failed {
    Failed::because(Class::Transient, format!("the connection to node {} broke: {error}", node.node))
}

/// What it said, or why it failed.
fn finish(node: &NodeImage, child: Child) -> Result<String, Failed> {
    let output = child.wait_with_output().map_err(|error| broken(node, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
    let message = format!("node {}: {last}", node.node);
    Err(match output.status.code() {
        Some(NO_CONNECTION) if last.contains("Host key verification failed") => {
            Failed::because(Class::Denied, message).hint(format!(
                "log in to {} once by hand and check its host key, or add it to known_hosts",
                node.node
            ))
        }
        Some(NO_CONNECTION) if last.contains("Permission denied") => Failed::because(Class::Denied, message)
            .hint("say how to log in without being asked: `nodes: {ssh: {user: …, identityFile: …}}`, or start ssh-agent"),
        Some(NO_CONNECTION) => Failed::because(Class::Transient, message)
            .hint("see that `ssh` reaches it: `nodes: {hosts: [{name: …, address: …}]}`"),
        _ => Failed::because(Class::Local, message),
    })
}
