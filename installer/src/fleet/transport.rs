//! The ways to a node. Whatever the way, a script of a shell is run there as root (where the site says how), reads what it is given,
//! and its answer is what it said and how it ended.

use std::time::Duration;

use ferry_model::plan::Reach;
use ferry_model::report::Failed;

use super::Target;
use super::command::{Answer, Input};
use super::connections::Connections;
use super::login::Login;
use super::pods::{OnNode, Pods};
use crate::cluster::Clusters;
use crate::site::Secrets;

/// What all ways need of the run that they belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'a> {
    /// Passwords.
    pub(crate) secrets: &'a Secrets,
    /// Connections to clusters.
    pub(crate) clusters: &'a Clusters,
}

/// A way to one node.
#[derive(Debug)]
pub(super) enum Transport<'a> {
    /// A login, through ssh or on this machine.
    Login(Login<'a>),
    /// A pod on it.
    Pod(OnNode<'a>),
}

impl<'a> Transport<'a> {
    pub(super) async fn to(
        target: Target<'a>,
        means: Means<'a>,
        connections: &'a Connections,
        pods: &Pods,
    ) -> Result<Self, Failed> {
        match target.reach {
            Reach::Ssh { arguments, sudo } => {
                let ssh = Some((connections, arguments.as_slice()));
                Ok(Self::Login(Login { node: target.node, ssh, sudo, secrets: means.secrets }))
            }
            Reach::Local { sudo } => {
                Ok(Self::Login(Login { node: target.node, ssh: None, sudo, secrets: means.secrets }))
            }
            Reach::Pod { node, pods: wanted } => {
                pods.on_node(means.clusters, wanted, node).await.map(Self::Pod)
            }
        }
    }

    /// Whether the node is this machine, which has this program.
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Login(Login { ssh: None, .. }))
    }

    /// Sees to it that what is sent first cannot go astray.
    pub(super) async fn prove(&self, limit: Duration) -> Result<(), Failed> {
        match self {
            Self::Login(login) => login.prove_password(limit).await,
            Self::Pod(_) => Ok(()),
        }
    }

    /// Runs a script that can be run twice.
    pub(super) async fn run(
        &self,
        script: &str,
        input: Input<'_>,
        limit: Duration,
    ) -> Result<Answer, Failed> {
        match self {
            Self::Login(login) => login.run(script, input, limit).await,
            Self::Pod(pod) => pod.run(script, input, limit).await,
        }
    }

    /// Runs a script that may restart the container runtime. It is run once.
    pub(super) async fn run_once(
        &self,
        script: &str,
        input: &[u8],
        limit: Duration,
    ) -> Result<Answer, Failed> {
        match self {
            Self::Login(login) => login.run(script, Input::Bytes(input), limit).await,
            Self::Pod(pod) => pod.run_apart(script, input, limit).await,
        }
    }
}
