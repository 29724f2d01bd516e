//! Commands on many machines: through the system's ssh client, so that the operator's own configuration, agent, jump hosts and known
//! hosts count; through pods of the cluster; or on this machine.
//!
//! 1. [`members`] are found: in the site file, an Ansible inventory, the cluster's API, a Mesos master.
//! 2. [`Fleet::ask`] has a node do one thing: the program copies itself there once, by its digest (`program`), and gets what the
//!    node shall be like on standard input.
//! 3. How it gets there is one of a few ways (`transport`): a login (`login`), with one connection to each node that is kept for a while
//!    (`connections`), or a pod on it (`pods`).
//! 4. A command has a time limit and bounded memory (`command`); what ssh says of its failure is told with what to do about it
//!    (`failure`).

mod command;
mod connections;
mod failure;
mod from_cluster;
mod from_mesos;
mod inventory;
mod login;
mod members;
mod pods;
mod program;
mod shell;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::node::NodeReport;
use ferry_model::plan::Reach;
use ferry_model::report::Failed;
use serde::Serialize;

pub use members::{Listed, Member, members};

pub(crate) use command::last_line;
pub(crate) use failure::{NO_CONNECTION, not_connected};
pub(crate) use pods::manifests;
pub(crate) use transport::Means;

use command::{Answer, Input};
use connections::Connections;
use pods::Pods;
use program::OwnProgram;
use transport::Transport;

/// How long a node may take for what changes nothing.
const LOOK: Duration = Duration::from_secs(60);

/// What a node is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Say what it would change.
    Look,
    /// Become as it shall be.
    Apply,
    /// Prove that it is.
    Check,
    /// Become as it was.
    Undo,
    /// Say how it is, before anything is changed.
    Preflight,
}

impl Work {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Look => &["node", "apply", "--dry-run", "--output", "json"],
            Self::Apply => &["node", "apply", "--output", "json"],
            Self::Check => &["node", "check", "--output", "json"],
            Self::Undo => &["node", "undo", "--output", "json"],
            Self::Preflight => &["node", "preflight", "--output", "json"],
        }
    }
}

/// A node, and how commands get there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) node: &'a Host,
    pub(crate) reach: &'a Reach,
    /// How long it may take for one command.
    pub(crate) limit: Duration,
}

/// What a node is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    work: Work,
    input: &'a [u8],
    program: &'a OwnProgram,
}

/// Commands on nodes.
#[derive(Debug)]
pub(crate) struct Fleet {
    connections: Connections,
    pods: Pods,
    program: tokio::sync::OnceCell<OwnProgram>,
    /// Those that are known to have the program.
    ready: Mutex<BTreeSet<Reach>>,
    /// What was proven of which node: those need not be asked again at once.
    proven: Mutex<BTreeSet<(Host, ferry_model::Digest)>>,
    /// What a node has just said, for whoever is about to look at it.
    said: Mutex<BTreeMap<(Host, ferry_model::Digest), NodeReport>>,
}

impl Fleet {
    /// Keeps the sockets of its connections below the site's state folder.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            connections: Connections::new(state),
            pods: Pods::default(),
            program: tokio::sync::OnceCell::new(),
            ready: Mutex::default(),
            proven: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// Has a node do something, and returns what it says of it.
    pub(crate) async fn ask(
        &self,
        means: Means<'_>,
        target: Target<'_>,
        work: Work,
        asked: &impl Serialize,
    ) -> Result<NodeReport, Failed> {
        let program = self.program.get_or_try_init(OwnProgram::find).await?;
        let input = serde_json::to_vec(asked).expect("it has only strings, numbers and lists");
        let transport = Transport::to(target, means, &self.connections, &self.pods).await?;
        let answer = self.start(&transport, target, Asked { work, input: &input, program }).await?;
        // It says what went wrong in its report, whatever it ends with.
        match serde_json::from_slice(&answer.output) {
            Ok(report) => Ok(report),
            Err(_) if !answer.is_good() => Err(failure::explain(target.node, &answer)),
            Err(error) => {
                let message = format!("node {}: its answer is no report: {error}", target.node);
                Err(Failed::because(Class::Protocol, message))
            }
        }
    }

    /// Runs this very program there. Whether the node has it is found out by starting it: it is copied only where that fails.
    async fn start(
        &self,
        transport: &Transport<'_>,
        target: Target<'_>,
        asked: Asked<'_>,
    ) -> Result<Answer, Failed> {
        let Asked { work, input, program } = asked;
        let limit =
            if matches!(work, Work::Look | Work::Preflight) { target.limit.min(LOOK) } else { target.limit };
        let start = async |script: &str| match work {
            Work::Look | Work::Check | Work::Preflight => {
                transport.run(script, Input::Bytes(input), limit).await
            }
            Work::Apply | Work::Undo => transport.run_once(script, input, limit).await,
        };
        if transport.is_here() {
            return start(&OwnProgram::start_script(program.path(), work.arguments())).await;
        }
        let script = OwnProgram::start_script(&program.remote_path(), work.arguments());
        if lock(&self.ready).contains(target.reach) {
            return start(&script).await;
        }
        transport.prove(target.limit.min(LOOK)).await?;
        let mut answer = start(&program.start_if_there_script(work.arguments())).await?;
        if OwnProgram::is_missing(answer.status) {
            OwnProgram::refuse_machine(target.node, &String::from_utf8_lossy(&answer.output))?;
            let source = Input::File(program.source());
            let copied = transport.run(&program.copy_script(), source, target.limit).await?;
            if !copied.is_good() {
                let failed = failure::explain(target.node, &copied);
                return Err(OwnProgram::explain(failed, copied.status.code()));
            }
            answer = start(&script).await?;
        }
        // One that could not be reached says nothing.
        if !answer.output.is_empty() {
            lock(&self.ready).insert(target.reach.clone());
        }
        Ok(answer)
    }

    /// From now on pods are made on nodes that are reached through them, also for looks.
    pub(crate) fn begin(&self) {
        self.pods.begin();
    }

    /// Removes what was made to reach nodes. Gives what stays, and why.
    pub(crate) async fn end(&self) -> Vec<String> {
        self.pods.end().await
    }

    /// Whether this was proven of the node in this run.
    pub(crate) fn is_proven(&self, node: &Host, what: ferry_model::Digest) -> bool {
        lock(&self.proven).contains(&(node.clone(), what))
    }

    /// Notes that this was proven of the node, or no longer is.
    pub(crate) fn note_proven(&self, node: &Host, what: ferry_model::Digest, is_so: bool) {
        let mut proven = lock(&self.proven);
        if is_so {
            proven.insert((node.clone(), what));
        } else {
            proven.retain(|(known, _)| known != node);
        }
    }

    /// Leaves what a node has just said of this for the next look, which follows at once.
    pub(crate) fn leave(&self, node: &Host, what: ferry_model::Digest, said: NodeReport) {
        lock(&self.said).insert((node.clone(), what), said);
    }

    /// What was left for this look, once.
    pub(crate) fn take(&self, node: &Host, what: ferry_model::Digest) -> Option<NodeReport> {
        lock(&self.said).remove(&(node.clone(), what))
    }
}

/// What is behind a mutex, also where somebody who held it panicked: none of it is ever half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
