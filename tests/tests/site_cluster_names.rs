//! Names in the cluster's DNS where somebody else delivers the Corefile and puts it back. The whole program, against the API server
//! in this process.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::parts::table_of;
use ferry_tests::process::Program;
use ferry_tests::workspace::Workspace;
use serde_json::{Value, json};

const COREFILE: &str = ".:53 {
    errors
    kubernetes cluster.local
    hosts /etc/coredns/NodeHosts {
      ttl 60
      fallthrough
    }
    forward . /etc/resolv.conf
    reload
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
";
const COREDNS: &str = "/api/v1/namespaces/kube-system/configmaps/coredns";
const NOTE: &str = "names in the cluster's DNS may not last: ConfigMap kube-system/coredns belongs to";

/// A site whose cluster answers for a name, in a Corefile that is marked so.
struct Ground {
    cluster: FakeCluster,
    workspace: Workspace,
}

impl Ground {
    fn new(marks: &Value, corefile: &str) -> Result<Self> {
        let (cluster, workspace) = (FakeCluster::start(), Workspace::new()?);
        workspace.write("docs/readme.md", "text")?;
        workspace.spec("files: [{path: docs, to: docs/}]\n")?;
        workspace.lock_and_build()?;
        let kubeconfig = cluster.kubeconfig(&workspace.path(""))?;
        workspace.write(
            "site.yaml",
            format!(
                "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster:\n  kubeconfig: {}\n  dns: {{names: {{registry.corp: [10.0.0.5]}}}}\n",
                kubeconfig.display()
            ),
        )?;
        let ground = Self { cluster, workspace };
        ground.deliver(marks, corefile)?;
        Ok(ground)
    }

    fn deliver(&self, marks: &Value, corefile: &str) -> Result<()> {
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"},
            "data": {"Corefile": corefile}});
        for (kind, marks) in marks.as_object().into_iter().flatten() {
            object["metadata"][kind] = marks.clone();
        }
        self.cluster.apply_as("deliverer", &object)
    }

    fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments)
    }

    fn corefile(&self) -> Result<String> {
        let object = self.cluster.object(COREDNS).context("it is gone")?;
        Ok(object["data"]["Corefile"].as_str().unwrap_or_default().to_owned())
    }
}

/// In the plan, before anything is done, and with each later run: the names are written all the same, and written again once they were
/// put back.
#[test]
fn whoever_puts_a_corefile_back_is_told_with_where_the_names_belong() -> Result<()> {
    let k3s = json!({"annotations": {"objectset.rio.cattle.io/owner-name": "coredns", "objectset.rio.cattle.io/id": ""},
        "labels": {"objectset.rio.cattle.io/hash": "bce283298811743a0386ab510f2f67ef74240c57"}});
    let whole = COREFILE.replace("import /etc/coredns/custom/*.server\n", "");
    for (marks, corefile, who, remedy) in [
        (
            &k3s,
            COREFILE,
            "Rancher's set coredns",
            "put them into ConfigMap kube-system/coredns-custom instead",
        ),
        (
            &json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}),
            &whole,
            "the cluster's add-on manager",
            "put them into its manifests too",
        ),
    ] {
        let ground = Ground::new(marks, corefile)?;
        let told = format!("{NOTE} {who}, which puts its Corefile back ");
        ground.run(&["plan", "bundle"]).succeed()?.prints(&told)?.prints(remedy)?;
        ensure!(ground.cluster.writes().is_empty(), "{:?}", ground.cluster.writes());
        ground.run(&["apply", "bundle"]).succeed()?.prints(&told)?;
        let address: IpAddr = "10.0.0.5".parse()?;
        ensure!(table_of(&ground.corefile()?)["registry.corp"] == [address], "{}", ground.corefile()?);
        ground.run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?.prints(&told)?;

        ground.deliver(marks, corefile)?;
        ground.run(&["status"]).fail_with(1)?;
        ground.run(&["apply", "bundle"]).succeed()?.prints("1 done")?;
        ground.run(&["rollback"]).succeed()?;
        ensure!(ground.corefile()? == corefile, "{}", ground.corefile()?);
    }
    Ok(())
}

/// What is nobody's to put back gives no warning: add-on managers leave alone what they see to once.
#[test]
fn nothing_is_told_where_nobody_puts_it_back() -> Result<()> {
    let once = json!({"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}});
    for marks in [json!({}), once] {
        let ground = Ground::new(&marks, COREFILE)?;
        let plan = ground.run(&["plan", "bundle"]).succeed()?;
        ensure!(!plan.stdout.contains("may not last"), "{}", plan.stdout);
    }
    Ok(())
}
