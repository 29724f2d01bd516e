//! Names in the cluster's DNS where somebody else delivers the Corefile and puts it back.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::parts::table_of;
use serde_json::{Value, json};

use super::ground::{COREDNS, Corefiles as _, Ground, config_map};
use super::names::K3S;

const NAMES: &str = "  dns: {names: {registry.corp: [10.0.0.5]}}\n";
const NOTE: &str = "names in the cluster's DNS may not last: ConfigMap kube-system/coredns belongs to";

/// Has the Corefile as somebody delivers it, with marks of theirs.
fn deliver(cluster: &FakeCluster, marks: &Value, corefile: &str) -> Result<()> {
    let mut object = config_map("kube-system", "coredns", &json!({"Corefile": corefile}));
    for (kind, marks) in marks.as_object().into_iter().flatten() {
        object["metadata"][kind] = marks.clone();
    }
    cluster.apply_as("deliverer", &object)
}

/// In the plan, before anything is done, and with each later run: the names are written all the same, and written again once they were
/// put back.
#[test]
fn whoever_puts_a_corefile_back_is_told_with_where_the_names_belong() -> Result<()> {
    let k3s = json!({"annotations": {"objectset.rio.cattle.io/owner-name": "coredns", "objectset.rio.cattle.io/id": ""},
        "labels": {"objectset.rio.cattle.io/hash": "bce283298811743a0386ab510f2f67ef74240c57"}});
    let whole = K3S.replace("import /etc/coredns/custom/*.server\n", "");
    for (marks, corefile, who, remedy) in [
        (&k3s, K3S, "Rancher's set coredns", "put them into ConfigMap kube-system/coredns-custom instead"),
        (
            &json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}),
            &whole,
            "the cluster's add-on manager",
            "put them into its manifests too",
        ),
    ] {
        let (cluster, ground) = Ground::fake()?;
        ground.site(NAMES)?;
        deliver(&cluster, marks, corefile)?;
        let told = format!("{NOTE} {who}, which puts its Corefile back ");
        ground.run(&["plan", "bundle"]).succeed()?.prints(&told)?.prints(remedy)?;
        ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
        ground.run(&["apply", "bundle"]).succeed()?.prints(&told)?;
        let address: IpAddr = "10.0.0.5".parse()?;
        ensure!(
            table_of(&cluster.corefile(COREDNS)?)["registry.corp"] == [address],
            "{}",
            cluster.corefile(COREDNS)?
        );
        ground.run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?.prints(&told)?;

        deliver(&cluster, marks, corefile)?;
        ground.run(&["status"]).fail_with(1)?;
        ground.run(&["apply", "bundle"]).succeed()?.prints("1 done")?;
        ground.run(&["rollback"]).succeed()?;
        ensure!(cluster.corefile(COREDNS)? == corefile, "{}", cluster.corefile(COREDNS)?);
    }
    Ok(())
}

/// What is nobody's to put back gives no warning: add-on managers leave alone what they see to once.
#[test]
fn nothing_is_told_where_nobody_puts_it_back() -> Result<()> {
    let once = json!({"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}});
    for marks in [json!({}), once] {
        let (cluster, ground) = Ground::fake()?;
        ground.site(NAMES)?;
        deliver(&cluster, &marks, K3S)?;
        let plan = ground.run(&["plan", "bundle"]).succeed()?;
        ensure!(!plan.stdout.contains("may not last"), "{}", plan.stdout);
    }
    Ok(())
}

/// Whoever takes a Corefile over later changes nothing of the names, nor whose they are.
#[test]
fn somebody_who_delivers_it_since_has_changed_no_names() -> Result<()> {
    let argo =
        json!({"annotations": {"argocd.argoproj.io/tracking-id": "dns:/ConfigMap:kube-system/coredns"}});
    let (cluster, ground) = Ground::fake()?;
    ground.site(NAMES)?;
    deliver(&cluster, &json!({}), K3S)?;
    ground.run(&["apply", "bundle"]).succeed()?;
    let with_names = cluster.corefile(COREDNS)?;
    deliver(&cluster, &argo, &with_names)?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("Argo CD's application dns")?;
    ground.run(&["status"]).succeed()?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == K3S, "{}", cluster.corefile(COREDNS)?);
    Ok(())
}
