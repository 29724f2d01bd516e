//! The Kubernetes cluster of a site: which one, how it is reached, and what it is like.
//!
//! 1. [`Target`] names it; [`Clusters`] connects once for each.
//! 2. [`Cluster`] asks for objects and changes them, as JSON: no kind is known beyond its path, which [`kind`] knows or the
//!    cluster tells.
//! 3. [`Pod`] runs commands in a container.
//! 4. [`Summary`] is what `init` shows of it.

mod access;
mod exec;
mod failure;
pub(crate) mod fields;
mod kind;
mod logs;
mod rights;
mod summary;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::failure::Class;
use ferry_model::plan::ClusterTarget;
use ferry_model::report::Failed;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use access::Cluster;
pub(crate) use access::{Force, MANAGER, Place, SYSTEM};
pub(crate) use exec::{Ended, Input, Of, Pod, Run, is_ready};
pub(crate) use kind::Kind;
pub use logs::Logs;
pub(crate) use rights::Right;
pub use summary::{Node, Summary};

use crate::site::SiteFile;

/// How long a connection to the API server may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Which cluster: a kubeconfig and a context in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The kubeconfig's file; absent: `KUBECONFIG`, then `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent: the current one.
    pub context: Option<String>,
}

impl Target {
    /// The cluster that a site names.
    pub fn of(site: &SiteFile) -> Self {
        let Some(cluster) = &site.site.cluster else { return Self::default() };
        let kubeconfig = cluster.kubeconfig.as_ref().map(|path| site.absolute(path));
        Self { kubeconfig, context: cluster.context.clone() }
    }

    /// Makes ready to talk to it. Asks it nothing yet. [`Clusters::get`] does so once for each target.
    pub async fn connect(&self) -> Result<Cluster, Failed> {
        let unusable = |problem: &dyn fmt::Display| {
            Failed::because(Class::Input, format!("{self} cannot be used: {problem}"))
                .hint("`cluster: {kubeconfig: FILE, context: NAME}` in the site file says which one to use")
                .hint(format!("see that `{} config view` shows it", self.kubectl()))
        };
        let kubeconfig = self.read().map_err(|error| unusable(&error))?;
        let own_proxy = self.has_proxy(&kubeconfig);
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| unusable(&error))?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        if !own_proxy {
            // A proxy out of the environment leads to the internet, and not to a cluster of this site.
            config.proxy_url = None;
        }
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Cluster::new(client, self.clone(), &server))
    }

    /// A key of a Secret.
    pub async fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<Vec<u8>, Failed> {
        let cluster = self.connect().await?;
        let place = Place::core("Secret", namespace, name);
        let missing = |what: &str| {
            Failed::because(Class::NotFound, format!("{what} in {}", cluster.name()))
                .hint(format!("`{} -n {namespace} get secret {name} -o yaml` shows its keys", self.kubectl()))
        };
        let secret = cluster.get(&place).await?;
        let secret = secret.ok_or_else(|| missing(&format!("there is no Secret {namespace}/{name}")))?;
        let value = secret["data"][key]
            .as_str()
            .ok_or_else(|| missing(&format!("the Secret {namespace}/{name} has no key {key}")))?;
        STANDARD.decode(value).map_err(|_| {
            Failed::because(
                Class::Protocol,
                format!("Secret {namespace}/{name}, key {key}: it is not base64"),
            )
        })
    }

    /// How kubectl is called for it.
    pub(crate) fn kubectl(&self) -> String {
        let mut command = "kubectl".to_owned();
        if let Some(path) = &self.kubeconfig {
            command.push_str(&format!(" --kubeconfig {}", path.display()));
        }
        if let Some(context) = &self.context {
            command.push_str(&format!(" --context {context}"));
        }
        command
    }

    fn read(&self) -> Result<Kubeconfig, kube::config::KubeconfigError> {
        match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        }
    }

    fn has_proxy(&self, kubeconfig: &Kubeconfig) -> bool {
        let context = self.context.as_ref().or(kubeconfig.current_context.as_ref());
        let named = kubeconfig.contexts.iter().find(|named| Some(&named.name) == context);
        let cluster = named.and_then(|named| named.context.as_ref()).map(|context| &context.cluster);
        let found = kubeconfig.clusters.iter().find(|named| Some(&named.name) == cluster);
        found.and_then(|named| named.cluster.as_ref()).is_some_and(|cluster| cluster.proxy_url.is_some())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kubeconfig {
            Some(path) => write!(f, "the cluster of kubeconfig {}", path.display())?,
            None => f.write_str("the cluster of KUBECONFIG or ~/.kube/config")?,
        }
        match &self.context {
            Some(context) => write!(f, ", context {context}"),
            None => f.write_str(", current context"),
        }
    }
}

impl From<&ClusterTarget> for Target {
    fn from(target: &ClusterTarget) -> Self {
        Self { kubeconfig: target.kubeconfig.clone(), context: target.context.clone() }
    }
}

/// Connections to clusters, one for each target.
#[derive(Debug, Default)]
pub struct Clusters(Mutex<Vec<(Target, Cluster)>>);

impl Clusters {
    /// The connection to `target`.
    pub async fn get(&self, target: &Target) -> Result<Cluster, Failed> {
        if let Some((_, cluster)) = self.lock().iter().find(|(known, _)| known == target) {
            return Ok(cluster.clone());
        }
        let cluster = target.connect().await?;
        self.lock().push((target.clone(), cluster.clone()));
        Ok(cluster)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Target, Cluster)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn trouble_with_the_kubeconfig_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let target = Target { kubeconfig: Some(path.clone()), context: Some("staging".into()) };
        let failed = target.connect().await.unwrap_err();
        assert_eq!(failed.class, Class::Input);
        assert!(failed.message.contains(&path.display().to_string()), "{failed}");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n")
            .unwrap();
        let failed = target.connect().await.unwrap_err();
        assert!(failed.message.contains("context staging"), "{failed}");
        assert!(failed.hints[1].contains("--context staging"), "{:?}", failed.hints);
    }
}
