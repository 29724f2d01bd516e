//! Pods that come up, and those that do not.

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::Fate;

use super::ground::Ground;

#[test]
fn a_rollout_that_fails_is_explained_by_its_pods() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let namespace = ground.namespace();
    let deployment = ground.deployment(1).after([namespace.id()]);
    let rollout = ground.rollout().after([deployment.id()]);
    let resources = [namespace, deployment, rollout];
    for (number, (fate, expected)) in [
        (
            Fate::Waits("ImagePullBackOff".into(), "Back-off pulling image \"registry:2\"".into()),
            "ImagePullBackOff (Back-off pulling image \"registry:2\")",
        ),
        (
            Fate::Crashes("no such file: config.yml".into()),
            "it last ended with 1 Error: no such file: config.yml",
        ),
        (
            Fate::NoNode("0/3 nodes are available".into()),
            "has no node: Unschedulable (0/3 nodes are available)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.set_fate(fate);
        let outcome = ground.apply(&resources)?;
        let (summary, failed) = outcome.failures.first().context("it must fail")?;
        ensure!(summary.contains("are ready") && outcome.failures.len() == 1, "{:?}", outcome.failures);
        ensure!(failed.message.contains(expected), "{failed}");
        ensure!(
            failed.hints.iter().any(|hint| hint.contains("logs deployment/registry")),
            "{:?}",
            failed.hints
        );
        let left = ground.take_back(&format!("{}", number + 1))?;
        ensure!(left.is_empty(), "{left:?}");
    }
    cluster.set_fate(Fate::Ready);
    let outcome = ground.apply(&resources)?;
    ensure!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    ensure!(ground.plan(&resources)?.steps.is_empty());
    Ok(())
}
