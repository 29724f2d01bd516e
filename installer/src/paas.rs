//! What is done inside BlueKing's pods. PaaS and node management have no API for it that an installer could use: their own commands
//! (`python manage.py …`) are run where they are, as BlueKing's installation script does.
//!
//! 1. [`worker`] and [`node_manager`] find a pod.
//! 2. [`use_file`] brings a file there, proves it, runs a command with it, and takes it away.
//! 3. [`output::Output`] reads what a command said; exit codes alone say little here.
//! 4. [`record`] keeps in the cluster what cannot be asked for later.
//! 5. [`app`] looks at what runs of an application, and [`version`] tells newer from older.

pub(crate) mod app;
mod file;
pub(crate) mod output;
pub(crate) mod record;
pub(crate) mod version;

use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::plan::Platform;
use ferry_model::report::Failed;

pub(crate) use file::{Blob, Used, Wanted, put_file, remove_folder, use_file};

use crate::cluster::{Cluster, Of, Pod, Target};
use crate::context::Context;

/// How long the commands may take that move images or build: as long as BlueKing's own script waits for all of them.
pub(crate) const LONG: Duration = Duration::from_secs(30 * 60);
/// How long others may take; starting Django alone takes ten seconds.
pub(crate) const SHORT: Duration = Duration::from_secs(5 * 60);

/// The Deployment that BlueKing's script runs PaaS's commands in.
const WORKER: &str = "bkpaas3-apiserver-worker";
/// Node management's pods that take plug-ins, and their container.
const NODE_MANAGER: &str = "bk-nodeman-backend-api";

/// The cluster that BlueKing runs on.
pub(crate) async fn cluster(context: &Context, platform: &Platform) -> Result<Cluster, Failed> {
    let target = Target { kubeconfig: platform.kubeconfig.clone(), context: platform.context.clone() };
    context.clusters.get(&target).await
}

/// A pod in which PaaS's commands can be run.
pub(crate) async fn worker(cluster: &Cluster, platform: &Platform) -> Result<Pod, Failed> {
    let pod = cluster.pod(&platform.namespace, Of::Deployment(WORKER), None).await;
    pod.map_err(|failed| not_there(failed, "PaaS", "base.yaml.gotmpl"))
}

/// A pod in which node management's commands can be run.
pub(crate) async fn node_manager(cluster: &Cluster, platform: &Platform) -> Result<Pod, Failed> {
    let labels = format!("app.kubernetes.io/component={NODE_MANAGER}");
    let pod = cluster.pod(&platform.namespace, Of::Labels(&labels), Some(NODE_MANAGER)).await;
    pod.map_err(|failed| not_there(failed, "node management", "base-blueking.yaml.gotmpl -l name=bk-nodeman"))
}

fn not_there(failed: Failed, what: &str, helmfile: &str) -> Failed {
    if failed.class != Class::NotFound {
        return failed;
    }
    failed.hint(format!(
        "BlueKing's {what} must be installed and running first: `helmfile -f {helmfile} sync`, then apply again"
    ))
}
