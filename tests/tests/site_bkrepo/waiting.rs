//! What is not there yet holds back nothing else of the site.

use anyhow::{Result, ensure};
use ferry_tests::bkrepo::{Bkrepo, Fault};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::corpus::Corpus;
use ferry_tests::registry::{Registry, Setup as RegistrySetup};
use ferry_tests::workspace::Sample;

use super::ground::{ASSETS, LOGIN, PASSWORD, PROJECT, RELEASES, after_paas};

/// One site file, and BlueKing comes after its registry: until then nothing answers for bkrepo but a gateway.
#[test]
fn a_bkrepo_that_is_not_up_yet_does_not_hold_back_the_registry() -> Result<()> {
    let sample = Sample::built(Corpus::small(17, 2000))?;
    let (registry, server) =
        (Registry::start(RegistrySetup::default()), Bkrepo::start(after_paas(RELEASES[0]))?);
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
    let target = format!("registry: {{address: \"{}\", existing: {{}}, plainHttp: true}}\n", registry.host());
    let bkrepo = format!(
        "bkrepo:\n  url: {}\n  {LOGIN}\n  files: [{{repository: {PROJECT}/{ASSETS}}}]\n",
        server.url()
    );
    let workspace = &sample.workspace;
    workspace.write("site.yaml", format!("{head}{target}{bkrepo}"))?;
    let run = |arguments: &[&str]| workspace.installer().args(arguments).env("BKREPO_PASSWORD", PASSWORD);
    server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);

    let waiting = format!("for bkrepo at {}: ", server.url());
    let plan = run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(4)?;
    plan.prints("not planned: 1 project, 2 repositories, 3 files ")?
        .prints(&waiting)?
        .prints("run `apply` again")?;
    let plan = run(&["--output", "json", "plan", "bundle"]).succeed()?.json()?;
    ensure!(plan["waiting"][0]["service"] == format!("bkrepo at {}", server.url()), "{}", plan["waiting"]);
    let first = run(&["apply", "bundle"]).fail_with(1)?;
    first.prints("0 failed")?.prints("not planned: ")?.prints(&waiting)?;
    for image in &sample.corpus.images {
        ensure!(registry.tag(&image.repository, &image.tag).is_some(), "{} is there", image.name());
    }
    run(&["status"]).fail_with(1)?.prints(": waiting, ")?.prints(&waiting)?.prints("next: `apply` again")?;

    // It is no other site for having been asked again.
    let again = run(&["apply", "bundle"]).fail_with(1)?;
    again.prints("nothing to do yet")?.prints(&waiting)?;
    run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(1)?;
    ensure!(!workspace.path("site.ferry/runs/0002").exists(), "nothing was done, and nothing is new");

    server.heal();
    run(&["apply", "bundle"]).succeed()?;
    ensure!(!server.files(PROJECT, ASSETS).is_empty());
    run(&["status"]).succeed()?;

    // With nothing else to bring there is nothing to plan.
    server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);
    workspace.write("site.yaml", format!("{head}{bkrepo}"))?;
    run(&["plan", "bundle"]).fail_with(1)?.says("the site cannot be planned for")?;
    Ok(())
}

/// PaaS's login is not there before PaaS is; with a registry beside it that is no obstacle.
#[test]
fn a_login_that_paas_will_bring_does_not_hold_back_the_registry() -> Result<()> {
    let sample = Sample::built(Corpus::small(18, 2000))?;
    let (registry, cluster) = (Registry::start(RegistrySetup::default()), FakeCluster::start());
    let kubeconfig = cluster.kubeconfig(&sample.workspace.path(""))?;
    let site = format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nregistry: {{address: \"{}\", existing: {{}}, plainHttp: true}}\nbkrepo: {{url: \"http://bkrepo.invalid\", paasSecret: {{}}}}\n",
        kubeconfig.display(),
        registry.host()
    );
    sample.workspace.write("site.yaml", site)?;
    let applied = sample.workspace.installer().args(["apply", "bundle"]).fail_with(1)?;
    applied.prints("not planned: ")?.prints("bkpaas3-apiserver-bkrepo-envs")?;
    ensure!(sample.corpus.images.iter().all(|image| registry.tag(&image.repository, &image.tag).is_some()));
    Ok(())
}
