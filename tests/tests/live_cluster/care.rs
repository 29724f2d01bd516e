//! What others do meanwhile, may not do, or have cut off.

use anyhow::{Context as _, Result, ensure};
use ferry_installer::desire::Desire;
use ferry_installer::journal::{Progress, RunFolder, StepState, Undo};
use ferry_installer::live::{Becomes, Choice, Doing, rewrite};
use ferry_installer::session::{identity, rollback_site};
use ferry_model::failure::Failure as _;
use ferry_model::plan::{Desired, Renamed, Resource, WorkloadImages};
use serde_json::{Value, json};

use super::ground::{Ground, namespace, one, only, path_of, workload};

#[test]
fn rights_are_asked_for_before_anything_is_changed() -> Result<()> {
    let (cluster, ground) = Ground::fake(707)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    cluster.apply_as("kubectl", &workload("Deployment", "shop", "web", &one(&app)))?;
    cluster.apply_as("kubectl", &workload("DaemonSet", "shop", "agent", &one(&app)))?;
    cluster.forbid("patch", "daemonsets", "shop");
    cluster.forbid("list", "replicasets", "");
    let denied = ground.runtime.block_on(rewrite(
        &ground.context()?,
        &Choice { namespaces: vec!["shop".into()], ..Choice::default() },
        Doing::Apply,
    ));
    let denied = denied.err().context("it must fail")?;
    ensure!(denied.to_string().contains("patch daemonsets.apps -n shop"), "{denied}");
    ensure!(!denied.to_string().contains("deployments"), "{denied}");
    ensure!(
        denied.hints().iter().any(|hint| hint.contains("auth can-i patch daemonsets.apps -n shop")),
        "{:?}",
        denied.hints()
    );
    ensure!(cluster.writes().is_empty() && ground.runs()?.is_empty(), "{:?}", cluster.writes());
    cluster.allow_everything();
    cluster.forbid("list", "replicasets", "");
    let found = ground.rewrite("shop", Doing::Apply)?;
    ensure!(found.run.is_some() && found.unasked.len() == 1, "{found:?}");
    ensure!(found.unasked[0].contains("list replicasets.apps -n shop"), "{:?}", found.unasked);
    Ok(())
}

#[test]
fn what_somebody_changed_since_stays_and_is_told() -> Result<()> {
    let (cluster, ground) = Ground::fake(708)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    let (web, api) = (
        workload("Deployment", "shop", "web", &one(&app)),
        workload("Deployment", "shop", "api", &one(&app)),
    );
    cluster.apply_as("kubectl", &web)?;
    cluster.apply_as("kubectl", &api)?;
    ground.rewrite("shop", Doing::Apply)?;
    cluster.apply_as("somebody", &workload("Deployment", "shop", "web", &one("theirs:1")))?;
    let (report, _) = ground.runtime.block_on(rollback_site(&ground.context()?, None))?;
    let left: Vec<_> = report.changes.iter().filter_map(|change| change.failure.as_ref()).collect();
    ensure!(left.len() == 1, "{report:?}");
    let image = |manifest: &Value| -> Result<Value> {
        let live = cluster.object(&path_of(manifest)).context("it is there")?;
        Ok(live["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    ensure!(image(&web)? == "theirs:1" && image(&api)? == json!(app), "{} {}", image(&web)?, image(&api)?);
    Ok(())
}

/// While others write to the workload all the time, the change gets through, and nothing of theirs is lost.
#[test]
fn whoever_is_faster_is_not_overwritten() -> Result<()> {
    let (cluster, ground) = Ground::fake(709)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let made = workload("Deployment", "shop", "web", &one(&ground.world("team/app:1.0")));
    cluster.apply_as("kubectl", &made)?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let others = scope.spawn(|| -> Result<u32> {
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                let note = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": "web", "namespace": "shop", "annotations": {"count": count.to_string()}},
                    "spec": {"selector": {"matchLabels": {"app": "it"}}}});
                cluster.apply_as("counter", &note)?;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Ok(count)
        });
        let changed = ground.rewrite("shop", Doing::Apply);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let count = others.join().map_err(|_| anyhow::anyhow!("the others gave up"))??;
        ensure!(only(&changed?, "Deployment", "web")?.becomes == Becomes::Changed);
        Ok(count)
    })?;
    let live = cluster.object(&path_of(&made)).context("it is there")?;
    let counted = live["metadata"]["annotations"]["count"].as_str().and_then(|text| text.parse().ok());
    ensure!(counted == Some(count), "{live}");
    ensure!(
        live["spec"]["template"]["spec"]["containers"][0]["image"] == ground.site("team/app:1.0"),
        "{live}"
    );
    Ok(())
}

/// A run of these that was cut off is ended by the next one, which finds what it left.
#[test]
fn a_run_that_was_cut_off_is_followed_by_one_for_the_rest() -> Result<()> {
    let (cluster, ground) = Ground::fake(710)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    cluster.apply_as("kubectl", &workload("Deployment", "shop", "web", &one(&app)))?;
    let context = ground.context()?;
    let renamed = Renamed { from: app, to: ground.site("team/app:1.0") };
    let images = WorkloadImages {
        kubeconfig: Some(ground.kubeconfig.clone()),
        context: None,
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        values: [("spec.template.spec.containers[main].image".to_owned(), renamed)].into(),
    };
    let desire = Desire {
        resources: vec![Resource::new(Desired::WorkloadImages(images), "the test wants it")],
        ..Desire::default()
    };
    let observed = ground.runtime.block_on(ferry_installer::observe::observe(&context, &desire.resources));
    let plan = ferry_installer::plan::plan(identity(&context)?, &desire, &observed)?;
    ensure!(
        plan.steps[0].diff.as_ref().is_some_and(|diff| diff.contains("containers[main].image")),
        "{:?}",
        plan.steps
    );
    RunFolder::begin(&context.site.state_folder(), &plan, &[])?;

    let changed = ground.rewrite("shop", Doing::Apply)?;
    ensure!(changed.run.as_deref() == Some("0002"), "{changed:?}");
    let runs = ground.runs()?;
    let (first, second): (Progress, Progress) = (runs[0].progress()?, runs[1].progress()?);
    ensure!(
        first.ended.is_some() && first.undo == Undo::No && second.ended.is_some(),
        "{first:?} {second:?}"
    );
    let states: Vec<&StepState> = second.steps.values().map(|step| &step.state).collect();
    ensure!(matches!(states[..], [StepState::Done(_)]), "{second:?}");
    Ok(())
}
