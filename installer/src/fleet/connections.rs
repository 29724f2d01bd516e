//! Connections of ssh that are kept for later commands (ControlMaster): one to each node, and only so many that nobody uses.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::lock;

/// Connections that are kept though no command uses them.
const MOST_IDLE: usize = 16;
/// How long ssh keeps one by itself, in seconds, should this program not come to closing it.
const PERSIST: u32 = 60;
/// What ssh makes of `%C`, and the name under which it makes the socket first.
const NAME: usize = 40 + 17;
/// How long closing one may take: it is asked through its socket on this machine.
const CLOSING: Duration = Duration::from_secs(2);

/// Connections of ssh that are kept.
#[derive(Debug)]
pub(super) struct Connections {
    state: PathBuf,
    /// Where the sockets are; absent where there can be none: then each command makes a connection of its own.
    folder: OnceLock<Option<PathBuf>>,
    known: Mutex<Known>,
}

/// Each by ssh's arguments.
#[derive(Debug, Default)]
struct Known {
    busy: Vec<Vec<String>>,
    /// The one that was used last at the back.
    idle: VecDeque<Vec<String>>,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    connections: &'a Connections,
    arguments: Vec<String>,
}

impl Connections {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), folder: OnceLock::new(), known: Mutex::default() }
    }

    /// The arguments with those that keep the connection, and what says that it is in use.
    pub(super) async fn lease(&self, arguments: &[String]) -> (Vec<String>, Lease<'_>) {
        let folder = self.folder.get_or_init(|| folder(&self.state));
        let arguments = match folder {
            Some(folder) => with_master(arguments, folder),
            None => arguments.to_vec(),
        };
        let surplus: Vec<_> = {
            let mut known = lock(&self.known);
            known.idle.retain(|idle| *idle != arguments);
            known.busy.push(arguments.clone());
            let surplus = known.idle.len().saturating_sub(MOST_IDLE);
            known.idle.drain(..surplus).collect()
        };
        if !surplus.is_empty() {
            let _ = tokio::task::spawn_blocking(move || close(&surplus)).await;
        }
        let lease = Lease { connections: self, arguments: arguments.clone() };
        (arguments, lease)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut known = lock(&self.connections.known);
        let Some(place) = known.busy.iter().position(|busy| *busy == self.arguments) else { return };
        let arguments = known.busy.swap_remove(place);
        if !known.busy.contains(&arguments) {
            known.idle.push_back(arguments);
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        let Some(Some(folder)) = self.folder.get() else { return };
        let known = std::mem::take(&mut *lock(&self.known));
        close(&known.idle.into_iter().chain(known.busy).collect::<Vec<_>>());
        // Only what is empty goes; another run of this site may be at work.
        let _ = fs::remove_dir(folder);
        let _ = fs::remove_dir(&self.state);
    }
}

/// What says `-o ControlMaster…`, before the host and behind the site's own options: of an option that is said twice, ssh takes the
/// first.
fn with_master(arguments: &[String], folder: &Path) -> Vec<String> {
    let host = arguments.iter().rposition(|argument| argument == "--").unwrap_or(arguments.len());
    let mut all = arguments[..host].to_vec();
    for option in [
        "ControlMaster=auto".to_owned(),
        format!("ControlPath={}/%C", folder.display().to_string().replace('%', "%%")),
        format!("ControlPersist={PERSIST}"),
    ] {
        all.extend(["-o".to_owned(), option]);
    }
    all.extend_from_slice(&arguments[host..]);
    all
}

/// A folder for sockets that nobody else can reach: below the state folder, or, where paths are too long for a socket or the file
/// system has none, a temporary one.
fn folder(state: &Path) -> Option<PathBuf> {
    let temporary = std::env::temp_dir().join(format!("ferry-ssh-{}", std::process::id()));
    [(state.join("ssh"), true), (temporary, false)].into_iter().find_map(|(folder, may_be_there)| {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        match builder.recursive(may_be_there).create(&folder) {
            Ok(()) if takes_sockets(&folder) => Some(folder),
            Ok(()) => {
                let _ = fs::remove_dir(&folder);
                None
            }
            Err(_) => None,
        }
    })
}

fn takes_sockets(folder: &Path) -> bool {
    let trial = folder.join(format!("{:0>NAME$}", std::process::id()));
    let is_bound = UnixListener::bind(&trial).is_ok();
    let _ = fs::remove_file(&trial);
    // ssh splits the path's option at white space.
    is_bound && !folder.to_string_lossy().contains(char::is_whitespace)
}

/// Has ssh close these. One that is closed already says so, which is as good.
fn close(connections: &[Vec<String>]) {
    let exit = |arguments: &Vec<String>| {
        let mut command = Command::new("ssh");
        command.args(["-O", "exit"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    };
    let mut closing: Vec<_> = connections.iter().filter_map(exit).collect();
    let deadline = Instant::now() + CLOSING;
    loop {
        closing.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if closing.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for mut child in closing {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn counts(connections: &Connections) -> (usize, usize) {
        let known = lock(&connections.known);
        (known.idle.len(), known.busy.len())
    }

    #[test]
    fn what_the_site_says_comes_first() {
        let all = with_master(&words("-o ControlMaster=no -l root -- n1"), Path::new("/s/50%"));
        let expected = "-o ControlMaster=no -l root -o ControlMaster=auto -o ControlPath=/s/50%%/%C -o ControlPersist=60 -- n1";
        assert_eq!(all, words(expected));
    }

    #[test]
    fn sockets_lie_where_they_can() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(folder(&state.path().join("dc1.ferry")), Some(state.path().join("dc1.ferry/ssh")));
        let long = state.path().join("x".repeat(90));
        let found = folder(&long).unwrap();
        assert!(!found.starts_with(&long), "{}", found.display());
        fs::remove_dir(found).unwrap();
    }

    #[tokio::test]
    async fn only_so_many_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let connections = Connections::new(state.path());
        for number in 0..MOST_IDLE + 5 {
            drop(connections.lease(&words(&format!("-- 127.0.0.1{number}"))).await);
        }
        let (_, one) = connections.lease(&words("-- n1")).await;
        let (_, two) = connections.lease(&words("-- n1")).await;
        assert_eq!(counts(&connections), (MOST_IDLE, 2));
        drop(one);
        assert_eq!(counts(&connections), (MOST_IDLE, 1));
        drop(two);
        assert_eq!(counts(&connections), (MOST_IDLE + 1, 0));
        drop(connections);
        assert!(!state.path().exists(), "an empty folder stays");
    }
}
