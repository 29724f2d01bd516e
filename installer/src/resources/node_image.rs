//! Images in the container runtime of a node, brought there through ssh. It is the system's own client, so that the operator's
//! configuration, agent and known hosts count. Whatever image has the name already is left alone: the node runs what it knows.
//!
//! The part of containerd that kubelet talks to gives each image a second name, its id, by which all of it would stay when only
//! the first is removed.

mod script;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::process::{Child, Command, Stdio};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, NodeImage, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::Context;
use crate::export::{Archive, docker_archive, find_image, host_platform};
use crate::fleet::{NO_CONNECTION, last_line, not_connected};
use script::{Work, remote_command};

/// The name of the list of ids that a node had already.
const IDS: &str = "ids";

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
            Err(failed) => unknown(failed),
        }
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let ids = on_a_thread(self, |node| ask(node, Work::Ids, &[&node.name])).await?;
        Ok(BTreeMap::from([(IDS.to_owned(), kept.save(ids.as_bytes())?)]))
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
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        if matches!(before.state, State::Present { .. }) || !on_a_thread(self, look).await?.is_there {
            return Ok(Undone::Restored);
        }
        let had = match before.kept.get(IDS) {
            Some(file) => String::from_utf8_lossy(&kept.read(file)?).into_owned(),
            None => String::new(),
        };
        let remove = move |node: &NodeImage| {
            let names = ask(node, Work::Names, &[&node.name])?;
            ask(node, Work::Remove, &to_remove(&node.name, &names, &had))
        };
        match on_a_thread(self, remove).await {
            Ok(_) => Ok(Undone::Restored),
            Err(failed) if failed.class == Class::Local => {
                Ok(Undone::Left(format!("{} stays on node {}: {}", self.name, self.node, failed.message)))
            }
            Err(failed) => Err(failed),
        }
    }
}

/// The image's name, and before it the id by which its node would keep it: unless that was there before, or somebody else has given
/// the image a name of theirs. The name comes last, so that what is cut off is begun again.
fn to_remove<'a>(name: &'a str, all: &'a str, had: &str) -> Vec<&'a str> {
    let is_id = |other: &&str| other.starts_with("sha256:");
    let others = all.lines().map(str::trim).filter(|other| !other.is_empty() && *other != name);
    let mut names = Vec::new();
    if others.clone().all(|other| is_id(&other)) {
        names.extend(others.filter(|id| !had.lines().any(|known| known.trim() == *id)));
    }
    names.push(name);
    names
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
    let answer = ask(node, Work::Look, &[&node.name])?;
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
    let mut child = start(node, Work::Import, &[&node.name], Stdio::piped())?;
    let pipe = child.stdin.take().expect("a pipe was asked for");
    let mut pipe = BufWriter::with_capacity(1 << 20, pipe);
    let written = archive.write(&mut pipe, task).map_err(|error| Failed::new(&error));
    let written = written.and_then(|()| pipe.flush().map_err(|error| broken(node, &error)));
    drop(pipe);
    // Why the node stopped listening is worth more than that it did.
    finish(node, child)?;
    written
}

fn ask(node: &NodeImage, work: Work, names: &[&str]) -> Result<String, Failed> {
    finish(node, start(node, work, names, Stdio::null())?)
}

fn start(node: &NodeImage, work: Work, names: &[&str], input: Stdio) -> Result<Child, Failed> {
    let mut command = Command::new("ssh");
    command.args(&node.ssh).arg(remote_command(work, names, node.sudo));
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
    let last = last_line(&said).unwrap_or_else(|| "it said nothing".to_owned());
    Err(match output.status.code() {
        Some(NO_CONNECTION) => not_connected(&node.node, &last, &said),
        _ => Failed::because(Class::Local, format!("node {}: {last}", node.node)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_goes_with_the_last_name() {
        let (name, id, other) = ("x.corp/registry:2", "sha256:aa", "theirs.corp/x:1");
        for (all, had, expected) in [
            (format!("{id}\n{name}\n"), "", vec![id, name]),
            (format!("{id}\n{name}\n"), "sha256:bb\n", vec![id, name]),
            (format!("{id}\n{name}\n"), "sha256:aa\nsha256:bb\n", vec![name]),
            (format!("{id}\n{other}\n{name}\n"), "", vec![name]),
            (format!("{name}\n"), "", vec![name]),
            // Docker's, and one that is gone already.
            (String::new(), "", vec![name]),
        ] {
            assert_eq!(to_remove(name, &all, had), expected, "{all}{had}");
        }
    }
}
