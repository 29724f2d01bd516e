//! Where the configuration of the cluster's DNS lies.

use ferry_model::failure::{Class, Failure};
use ferry_model::report::Failed;
use ferry_model::site::{ObjectName, PatchedKind, WorkloadKind};
use serde_json::Value;

use crate::cluster::{Cluster, Kind, Place, SYSTEM};
use crate::corefile::Corefile;
use crate::workloads::{self, Read, api_kind};

/// The key of the ConfigMap.
pub(super) const COREFILE: &str = "Corefile";
/// What its pods and its Service are labelled, everywhere.
pub(super) const LABEL: &str = "k8s-app=kube-dns";
/// What its ConfigMap is called by kubeadm, k3s and most others, and by RKE2.
const USUAL: [&str; 2] = ["coredns", "rke2-coredns-rke2-coredns"];
/// The ConfigMap of NodeLocal DNS.
const OF_NODES: &str = "node-local-dns";
/// The ConfigMap whose keys `*.override` k3s, RKE2 and AKS import into the server block of the cluster, and `*.server` beside it.
const CUSTOM: &str = "coredns-custom";
/// What stands in its Corefile for the cluster's DNS.
const CLUSTER_DNS: &str = "__PILLAR__CLUSTER__DNS__";

/// A ConfigMap with a Corefile.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) object: Value,
    /// Whether it is that of NodeLocal DNS.
    pub(super) is_of_nodes: bool,
}

impl Source {
    pub(super) fn namespace(&self) -> &str {
        &self.place.namespace
    }

    pub(super) fn text(&self) -> Result<&str, Failed> {
        self.object["data"][COREFILE].as_str().ok_or_else(|| {
            Failed::because(Class::NotFound, format!("{} has no key {COREFILE}", self.place)).hint(
                "`cluster: {dns: {configMap: NAMESPACE/NAME}}` names the ConfigMap of the cluster's DNS",
            )
        })
    }

    pub(super) fn read(&self) -> Read<'_> {
        Read { kind: PatchedKind::ConfigMap, namespace: &self.place.namespace, name: &self.place.name }
    }

    /// The ConfigMap that the Corefile imports server blocks of others from.
    pub(super) fn custom(&self) -> Option<String> {
        let text = self.object["data"][COREFILE].as_str().unwrap_or_default();
        let mut lines = text.lines().map(|line| line.split_whitespace());
        let imports = lines.any(|mut words| {
            words.next() == Some("import")
                && words.next().is_some_and(|from| from.ends_with("custom/*.server"))
        });
        (imports && !self.is_of_nodes).then(|| format!("ConfigMap {}/{CUSTOM}", self.namespace()))
    }

    pub(super) fn failed(&self, error: &(dyn Failure + '_)) -> Failed {
        let mut failed = Failed::new(error);
        failed.message = format!("{}: {}", self.place, failed.message);
        failed
    }

    /// Has the servers that read it start anew, and waits for them.
    pub(super) async fn restart(&self, cluster: &Cluster, live: &Value) -> Result<(), Failed> {
        let version = live.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let version = format!("ConfigMap {} {version}", self.place.name);
        let workloads = self.read().readers(cluster).await?;
        workloads::restart(cluster, self.namespace(), &workloads, &version).await?;
        workloads::wait_for(cluster, self.namespace(), &workloads).await
    }
}

/// The Corefiles that must have the names: that of CoreDNS first.
pub(super) async fn sources(cluster: &Cluster, given: Option<&ObjectName>) -> Result<Vec<Source>, Failed> {
    let main = match given {
        Some(name) => get(cluster, name.namespace(), name.name()).await?,
        None => find(cluster).await?,
    };
    let Some(main) = main else {
        let what =
            given.map_or_else(|| "ConfigMap of a CoreDNS".to_owned(), |name| format!("ConfigMap {name}"));
        return Err(Failed::because(Class::NotFound, format!("there is no {what} in {}", cluster.name()))
            .hint("`cluster: {dns: {configMap: NAMESPACE/NAME}}` names the ConfigMap of the cluster's DNS"));
    };
    refuse_imported(cluster, &main).await?;
    let mut all = vec![main];
    if let Some(object) = get(cluster, SYSTEM, OF_NODES).await?
        && object.place != all[0].place
        && answers_itself(cluster, &object).await?
    {
        all.push(Source { is_of_nodes: true, ..object });
    }
    Ok(all)
}

/// A second `hosts` in a server block is an error to CoreDNS, and the first may stand in what others add by a ConfigMap of their own.
async fn refuse_imported(cluster: &Cluster, main: &Source) -> Result<(), Failed> {
    let corefile = Corefile::read(main.text()?).map_err(|error| main.failed(&error))?;
    if !corefile.may_import_hosts().map_err(|error| main.failed(&error))? {
        return Ok(());
    }
    let Some(custom) = get(cluster, main.namespace(), CUSTOM).await? else { return Ok(()) };
    let is_hosts = |line: &str| line.split_whitespace().next() == Some("hosts");
    let has_hosts = |(key, text): &(&String, &Value)| {
        key.ends_with(".override") && text.as_str().is_some_and(|text| text.lines().any(is_hosts))
    };
    match custom.object["data"].as_object().and_then(|data| data.iter().find(has_hosts)) {
        Some((key, _)) => {
            let message = format!("{} has a `hosts` in {key}, and CoreDNS takes no second one", custom.place);
            Err(Failed::because(Class::Input, message).hint(format!(
                "move its entries into a `hosts` block in {}, or add the names to {key} by hand",
                main.place
            )))
        }
        None => Ok(()),
    }
}

async fn get(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Source>, Failed> {
    let place = Place::core("ConfigMap", namespace, name);
    Ok(cluster.get(&place).await?.map(|object| Source { place, object, is_of_nodes: false }))
}

/// The one that the DNS servers' pods have mounted; else one with a usual name.
async fn find(cluster: &Cluster) -> Result<Option<Source>, Failed> {
    let mut names: Vec<String> = Vec::new();
    for kind in [WorkloadKind::Deployment, WorkloadKind::DaemonSet] {
        for workload in cluster.list(&api_kind(kind), SYSTEM, LABEL).await? {
            let volumes = workload.pointer("/spec/template/spec/volumes").and_then(Value::as_array).cloned();
            let mounted =
                |volume: &Value| volume.pointer("/configMap/name").and_then(Value::as_str).map(str::to_owned);
            names.extend(volumes.iter().flatten().filter_map(mounted));
        }
    }
    names.extend(USUAL.map(str::to_owned));
    for name in names.iter().filter(|name| *name != OF_NODES) {
        let found = get(cluster, SYSTEM, name).await?;
        if let Some(found) = found.filter(|found| found.object["data"][COREFILE].is_string()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether NodeLocal DNS sends names that are not the cluster's elsewhere than to CoreDNS.
async fn answers_itself(cluster: &Cluster, nodes: &Source) -> Result<bool, Failed> {
    let Some(text) = nodes.object["data"][COREFILE].as_str() else { return Ok(false) };
    // What cannot be read is not changed; CoreDNS has the names all the same.
    let Ok(targets) = Corefile::read(text).and_then(|corefile| corefile.forwards_to()) else {
        return Ok(false);
    };
    if targets.iter().any(|target| target.contains(CLUSTER_DNS)) {
        return Ok(false);
    }
    let kind = Kind::known("v1", "Service").expect("services are a known kind");
    let services = cluster.list(&kind, SYSTEM, LABEL).await?;
    let is_ours = |target: &String| {
        services
            .iter()
            .any(|service| service.pointer("/spec/clusterIP").and_then(Value::as_str) == Some(target))
    };
    Ok(!targets.iter().any(is_ours))
}
