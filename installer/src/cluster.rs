//! The Kubernetes cluster of a site.

use std::path::PathBuf;

use ferry_model::failure::Class;
use ferry_model::report::Failed;

use crate::site::SiteFile;

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
        let cluster = site.site.cluster.clone().unwrap_or_default();
        let kubeconfig = cluster.kubeconfig.map(|path| site.absolute(&path));
        Self { kubeconfig, context: cluster.context }
    }

    /// A key of a Secret.
    pub async fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<Vec<u8>, Failed> {
        Err(Failed::because(Class::Local, format!("secret {namespace}/{name}, key {key}: no cluster")))
    }
}
