//! Commands on many machines: through the system's ssh client, so that the operator's own configuration, agent, jump hosts and known
//! hosts count, or on this machine.
//!
//! 1. [`members`] are found: in the site file, an Ansible inventory, the cluster's API, a Mesos master.
//! 2. [`Fleet::ask`] has a node do one thing: the program copies itself there once, by its digest (`program`), and gets what the
//!    node shall be like on standard input.
//! 3. One connection to each node is kept for a while (`connections`), and only so many. A command has a time limit and bounded
//!    memory (`command`); what ssh says of its failure is told with what to do about it (`failure`).

mod command;
mod connections;
mod failure;
mod from_cluster;
mod from_mesos;
mod inventory;
mod members;
mod program;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::node::{NodeDesired, NodeReport};
use ferry_model::plan::{Reach, Sudo};
use ferry_model::report::Failed;

pub use members::{Listed, Member, members};

use crate::site::Secrets;
use command::{Answer, Input, Job};
use connections::Connections;
use program::OwnProgram;

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
}

impl Work {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Look => &["node", "apply", "--dry-run", "--output", "json"],
            Self::Apply => &["node", "apply", "--output", "json"],
            Self::Check => &["node", "check", "--output", "json"],
            Self::Undo => &["node", "undo", "--output", "json"],
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
    target: Target<'a>,
    arguments: &'static [&'static str],
    input: &'a [u8],
    program: &'a OwnProgram,
}

/// Commands on nodes.
#[derive(Debug)]
pub(crate) struct Fleet {
    connections: Connections,
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
            program: tokio::sync::OnceCell::new(),
            ready: Mutex::default(),
            proven: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// Has a node do something, and returns what it says of it.
    pub(crate) async fn ask(
        &self,
        secrets: &Secrets,
        target: Target<'_>,
        work: Work,
        desired: &NodeDesired,
    ) -> Result<NodeReport, Failed> {
        let program = self.program.get_or_try_init(OwnProgram::find).await?;
        let input = serde_json::to_vec(desired).expect("it has only strings, numbers and lists");
        let limit = if work == Work::Look { target.limit.min(LOOK) } else { target.limit };
        let asked =
            Asked { target: Target { limit, ..target }, arguments: work.arguments(), input: &input, program };
        let answer = self.start(secrets, target.limit, asked).await?;
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
    async fn start(&self, secrets: &Secrets, copying: Duration, asked: Asked<'_>) -> Result<Answer, Failed> {
        let Asked { target, arguments, input, program } = asked;
        let input = Input::Bytes(input);
        if matches!(target.reach, Reach::Local { .. }) {
            let script = OwnProgram::start_script(program.path(), arguments);
            return self.run(secrets, target, &script, input).await;
        }
        let script = OwnProgram::start_script(&program.remote_path(), arguments);
        if self.lock(&self.ready).contains(target.reach) {
            return self.run(secrets, target, &script, input).await;
        }
        if let Reach::Ssh { sudo: sudo @ Sudo::WithPassword { .. }, .. } = target.reach {
            let look = Target { limit: target.limit.min(LOOK), ..target };
            self.prove_password(secrets, look, sudo).await?;
        }
        let mut answer = self.run(secrets, target, &program.start_if_there_script(arguments), input).await?;
        if OwnProgram::is_missing(&answer.status) {
            OwnProgram::refuse_machine(target.node, &String::from_utf8_lossy(&answer.output))?;
            let copying = Target { limit: copying, ..target };
            let copied =
                self.run(secrets, copying, &program.copy_script(), Input::File(program.source())).await?;
            if !copied.is_good() {
                let failed = failure::explain(target.node, &copied);
                return Err(OwnProgram::explain(failed, copied.status.code()));
            }
            answer = self.run(secrets, target, &script, input).await?;
        }
        // One that could not be reached says nothing.
        if !answer.output.is_empty() {
            self.lock(&self.ready).insert(target.reach.clone());
        }
        Ok(answer)
    }

    /// Tries the password alone: sudo would take what comes after a wrong one for another try.
    async fn prove_password(&self, secrets: &Secrets, target: Target<'_>, sudo: &Sudo) -> Result<(), Failed> {
        let Sudo::WithPassword { password } = sudo else { return Ok(()) };
        let line = format!("{}\n", secrets.get(password).await?.reveal());
        let script = "sudo -S -p '' true";
        let answer = self.send(target, script, vec![], Input::Bytes(line.as_bytes())).await?;
        if answer.is_good() { Ok(()) } else { Err(failure::explain(target.node, &answer)) }
    }

    /// Runs a script of a shell there, as root where the site says so.
    async fn run(
        &self,
        secrets: &Secrets,
        target: Target<'_>,
        script: &str,
        input: Input<'_>,
    ) -> Result<Answer, Failed> {
        let (Reach::Ssh { sudo, .. } | Reach::Local { sudo }) = target.reach;
        match sudo {
            Sudo::No => self.send(target, &shell::line(script), vec![], input).await,
            Sudo::WithoutPassword => {
                self.send(target, &format!("sudo -n {}", shell::line(script)), vec![], input).await
            }
            Sudo::WithPassword { password } => {
                let line = format!("sudo -S -p '' {}", shell::line(&shell::after_password(script)));
                let head = format!("{}\n{}\n", secrets.get(password).await?.reveal(), shell::MARK);
                self.send(target, &line, head.into_bytes(), input).await
            }
        }
    }

    async fn send(
        &self,
        target: Target<'_>,
        line: &str,
        head: Vec<u8>,
        input: Input<'_>,
    ) -> Result<Answer, Failed> {
        let (program, arguments, _lease) = match target.reach {
            Reach::Local { .. } => ("sh", vec!["-c".to_owned(), line.to_owned()], None),
            Reach::Ssh { arguments, .. } => {
                let (mut all, lease) = self.connections.lease(arguments).await;
                all.push(line.to_owned());
                ("ssh", all, Some(lease))
            }
        };
        let job = Job { node: target.node, program, arguments, head, input, limit: target.limit };
        job.run().await
    }

    /// Whether this was proven of the node in this run.
    pub(crate) fn is_proven(&self, node: &Host, what: ferry_model::Digest) -> bool {
        self.lock(&self.proven).contains(&(node.clone(), what))
    }

    /// Notes that this was proven of the node, or no longer is.
    pub(crate) fn note_proven(&self, node: &Host, what: ferry_model::Digest, is_so: bool) {
        let mut proven = self.lock(&self.proven);
        if is_so {
            proven.insert((node.clone(), what));
        } else {
            proven.retain(|(known, _)| known != node);
        }
    }

    /// Leaves what a node has just said of this for the next look, which follows at once.
    pub(crate) fn leave(&self, node: &Host, what: ferry_model::Digest, said: NodeReport) {
        self.lock(&self.said).insert((node.clone(), what), said);
    }

    /// What was left for this look, once.
    pub(crate) fn take(&self, node: &Host, what: ferry_model::Digest) -> Option<NodeReport> {
        self.lock(&self.said).remove(&(node.clone(), what))
    }

    #[expect(clippy::unused_self, reason = "it reads as what it locks")]
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
