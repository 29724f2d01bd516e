//! A login on a node: through the system's ssh client, or none at all where the node is this machine; and sudo, where the site says so.

use std::time::Duration;

use ferry_model::host::Host;
use ferry_model::plan::Sudo;
use ferry_model::report::Failed;

use super::command::{Answer, Input, Job};
use super::connections::Connections;
use super::{failure, shell};
use crate::site::Secrets;

/// A login on a node.
#[derive(Debug)]
pub(super) struct Login<'a> {
    pub(super) node: &'a Host,
    /// Kept connections, and ssh's arguments before the command. Absent: it is this machine.
    pub(super) ssh: Option<(&'a Connections, &'a [String])>,
    pub(super) sudo: &'a Sudo,
    pub(super) secrets: &'a Secrets,
}

impl Login<'_> {
    /// Tries the password alone: sudo would take what comes after a wrong one for another try.
    pub(super) async fn prove_password(&self, limit: Duration) -> Result<(), Failed> {
        let (Sudo::WithPassword { password }, Some(_)) = (self.sudo, self.ssh) else { return Ok(()) };
        let line = format!("{}\n", self.secrets.get(password).await?.reveal());
        let answer = self.send("sudo -S -p '' true", vec![], Input::Bytes(line.as_bytes()), limit).await?;
        if answer.is_good() { Ok(()) } else { Err(failure::explain(self.node, &answer)) }
    }

    /// Runs a script of a shell there, as root where the site says so.
    pub(super) async fn run(
        &self,
        script: &str,
        input: Input<'_>,
        limit: Duration,
    ) -> Result<Answer, Failed> {
        match self.sudo {
            Sudo::No => self.send(&shell::line(script), vec![], input, limit).await,
            Sudo::WithoutPassword => {
                self.send(&format!("sudo -n {}", shell::line(script)), vec![], input, limit).await
            }
            Sudo::WithPassword { password } => {
                let line = format!("sudo -S -p '' {}", shell::line(&shell::after_password(script)));
                let head = format!("{}\n{}\n", self.secrets.get(password).await?.reveal(), shell::MARK);
                self.send(&line, head.into_bytes(), input, limit).await
            }
        }
    }

    async fn send(
        &self,
        line: &str,
        head: Vec<u8>,
        input: Input<'_>,
        limit: Duration,
    ) -> Result<Answer, Failed> {
        let (program, arguments, _lease) = match self.ssh {
            None => ("sh", vec!["-c".to_owned(), line.to_owned()], None),
            Some((connections, arguments)) => {
                let (mut all, lease) = connections.lease(arguments).await;
                all.push(line.to_owned());
                ("ssh", all, Some(lease))
            }
        };
        Job { node: self.node, program, arguments, head, input, limit }.run().await
    }
}
