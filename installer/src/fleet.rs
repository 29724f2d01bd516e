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

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::node::{NodeDesired, NodeReport};
use ferry_model::plan::{Reach, Sudo};
use ferry_model::report::Failed;

pub use members::{Member, members};

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

/// Commands on nodes.
#[derive(Debug)]
pub(crate) struct Fleet {
    connections: Connections,
    program: tokio::sync::OnceCell<OwnProgram>,
    /// Those that are known to have the program.
    ready: Mutex<BTreeSet<Reach>>,
    /// What was proven of which node: those need not be asked again at once.
    proven: Mutex<BTreeSet<(Host, ferry_model::Digest)>>,
}

impl Fleet {
    /// Keeps the sockets of its connections below the site's state folder.
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            connections: Connections::new(state),
            program: tokio::sync::OnceCell::new(),
            ready: Mutex::default(),
            proven: Mutex::default(),
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
        let file = self.place_program(secrets, target, program).await?;
        let words: Vec<&str> =
            std::iter::once(file.as_str()).chain(work.arguments().iter().copied()).collect();
        let script =
            format!("exec {}", words.iter().map(|word| shell::quoted(word)).collect::<Vec<_>>().join(" "));
        let input = serde_json::to_vec(desired).expect("it has only strings, numbers and lists");
        let limit = if work == Work::Look { target.limit.min(LOOK) } else { target.limit };
        let answer = self.run(secrets, Target { limit, ..target }, &script, Input::Bytes(&input)).await?;
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

    /// Sees to it that the node has this very program, and says where.
    async fn place_program(
        &self,
        secrets: &Secrets,
        target: Target<'_>,
        program: &OwnProgram,
    ) -> Result<String, Failed> {
        if matches!(target.reach, Reach::Local { .. }) {
            return Ok(program.path().to_owned());
        }
        if self.lock(&self.ready).contains(target.reach) {
            return Ok(program.remote_path());
        }
        let look = Target { limit: target.limit.min(LOOK), ..target };
        if let Reach::Ssh { sudo: sudo @ Sudo::WithPassword { .. }, .. } = target.reach {
            self.prove_password(secrets, look, sudo).await?;
        }
        let answer = self.run(secrets, look, &program.look_script(), Input::Nothing).await?;
        if !answer.is_good() {
            return Err(failure::explain(target.node, &answer));
        }
        if !OwnProgram::is_there(target.node, &String::from_utf8_lossy(&answer.output))? {
            let copied =
                self.run(secrets, target, &program.copy_script(), Input::File(program.source())).await?;
            if !copied.is_good() {
                let failed = failure::explain(target.node, &copied);
                return Err(OwnProgram::explain(failed, copied.status.code()));
            }
        }
        self.lock(&self.ready).insert(target.reach.clone());
        Ok(program.remote_path())
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

    #[expect(clippy::unused_self, reason = "it reads as what it locks")]
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
