//! The base image of SaaS, which PaaS reads from a ConfigMap.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::parts::wait_until;
use serde_json::json;

use super::ground::{config_map, deployment, template};

/// PaaS with its ConfigMap, whose job has failed as the image's name led to the internet.
fn install_paas(cluster: &FakeCluster, release: &str, wanted: &str) -> Result<()> {
    let envs = "bkpaas3-apiserver-general-envs";
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}}),
    )?;
    let data = json!({"PAAS_APP_IMAGE": "hub.bktencent.com/blueking/slug-app:v1.1.0", "PAAS_OTHER": "1"});
    cluster.apply_as("helm", &config_map("blueking", envs, &data))?;
    let pod = json!({"containers": [{"envFrom": [{"configMapRef": {"name": envs}}]}]});
    let mut web = deployment("blueking", "bkpaas3-apiserver-web", &pod);
    web["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("hub/blueking/bkpaas3-apiserver:{release}"));
    cluster.apply_as("helm", &web)?;
    let needs = format!("{envs} PAAS_APP_IMAGE {wanted}");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bkpaas3-apiserver-init-data-1", "namespace": "blueking"},
        "spec": {"backoffLimit": 1, "template": {"metadata": {"annotations": {"ferry-tests/needs": needs}, "labels": {"job-name": "x"}}, "spec": pod}}});
    cluster.apply_as("helm", &job)?;
    wait_until(Duration::from_secs(20), "the job does not fail", || {
        let job = cluster.object("/apis/batch/v1/namespaces/blueking/jobs/bkpaas3-apiserver-init-data-1");
        job.is_some_and(|job| job.pointer("/status/conditions/0/type") == Some(&json!("Failed")))
    })
}

#[test]
fn the_base_image_of_saas_comes_from_the_site() -> Result<()> {
    let mut corpus = ferry_tests::corpus::Corpus::small(611, 20_000);
    corpus.charts.clear();
    let image = corpus.images.first_mut().context("a corpus has images")?;
    *image = image.named("blueking/slug-app", "v1.1.0");
    let sample = ferry_tests::workspace::Sample::built(corpus)?;
    let cluster = FakeCluster::start();
    let registry = ferry_tests::registry::Registry::start(ferry_tests::registry::Setup::default());
    cluster.kubeconfig(&sample.workspace.path(""))?;
    let wanted = format!("{}/blueking/slug-app:v1.1.0", registry.host());
    install_paas(&cluster, "v1.4.2", &wanted)?;
    let site = |release: &str| {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry: {{address: '{}', plainHttp: true, existing: {{product: registry}}}}\n\
             charts: {{push: false}}\ncluster: {{kubeconfig: kubeconfig}}\nblueking: {{domain: bkce7.example.com, slugApp: {{{release}}}}}\n",
            registry.host()
        );
        sample.workspace.write("site.yaml", text)
    };
    let run = |arguments: &[&str]| sample.workspace.installer().args(arguments);
    let map = "/api/v1/namespaces/blueking/configmaps/bkpaas3-apiserver-general-envs";
    let before = cluster.object(map).context("it is there")?["data"].clone();
    site("")?;
    run(&["apply", "bundle"]).fail_with(1)?.says("that is the registry's port")?;
    ensure!(cluster.object(map).context("it is there")?["data"] == before, "it was changed all the same");

    site("release: '1.1'")?;
    run(&["apply", "bundle"]).succeed()?;
    let after = cluster.object(map).context("it is there")?["data"].clone();
    ensure!(after == json!({"PAAS_APP_IMAGE": wanted, "PAAS_OTHER": "1"}), "{after}");
    let again = "/apis/batch/v1/namespaces/blueking/jobs/bkpaas3-apiserver-init-data-1-ferry";
    let job = cluster.object(again).context("the job was not run again")?;
    ensure!(job.pointer("/status/conditions/0/type") == Some(&json!("Complete")), "{job}");
    let web = cluster
        .object("/apis/apps/v1/namespaces/blueking/deployments/bkpaas3-apiserver-web")
        .context("there")?;
    ensure!(web.pointer("/spec/template/metadata/annotations/ferry~1restarted-for").is_some(), "{web}");
    run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    run(&["rollback"]).succeed()?;
    ensure!(cluster.object(map).context("it is there")?["data"] == before && cluster.object(again).is_none());

    // Where only the job has failed, PaaS itself goes on as it runs.
    cluster.apply_as("helm", &config_map("blueking", "bkpaas3-apiserver-general-envs", &after))?;
    let running = template(&cluster, "blueking", "bkpaas3-apiserver-web")?;
    run(&["apply", "bundle"]).succeed()?;
    ensure!(cluster.object(again).is_some(), "the job was not run again");
    ensure!(template(&cluster, "blueking", "bkpaas3-apiserver-web")? == running, "PaaS was started anew");
    Ok(())
}
