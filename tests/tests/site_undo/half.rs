//! Taking back that does not come to its end: registries that are away or refuse, and runs that are given up.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::registry::{Auth, Counts, Kind, Registry, Setup};
use ferry_tests::workspace::Workspace;
use hyper::StatusCode;

use super::{INDEX, installer, manifests, many, plain, put};

/// A site that 30 images were put into, with a registry that deletes ten manifests and then no more.
fn that_deletes_ten() -> Result<(Workspace, Registry)> {
    let (workspace, _source) = many(30)?;
    let registry = Registry::start(Setup::default());
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    registry.fail_when(|kind, _, earlier| {
        (kind == Kind::ManifestDelete && earlier >= 10).then_some(StatusCode::SERVICE_UNAVAILABLE)
    });
    Ok((workspace, registry))
}

/// Images have no halves: what is left of them holds up no site.
#[test]
fn taking_back_that_failed_half_way_is_done_by_the_next() -> Result<()> {
    let (workspace, registry) = that_deletes_ten()?;
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("20 left as they are")?;
    is_undone_in_part(&workspace, "0001", "mend that and take the run back again")?;
    let left = manifests(&registry).lines().count();
    ensure!(left > 0 && left < 60, "{}", manifests(&registry));
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("undone")?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    Ok(())
}

/// A tag of somebody's that the registry keeps to itself: what is below it cannot be told, and may be what the run brought.
#[test]
fn what_the_registry_does_not_tell_of_others_leaves_images_and_holds_up_nothing() -> Result<()> {
    let (workspace, _source) = many(3)?;
    let registry = Registry::start(Setup { sparse_indexes: true, ..Setup::default() });
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    let theirs = format!("http://{}/v2/team/app/manifests/theirs", registry.host());
    put(&theirs, INDEX, index.to_string())?;
    let before = manifests(&registry);
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    registry.fail_when(|kind, _, _| (kind == Kind::ManifestGet).then_some(StatusCode::FORBIDDEN));
    let left = installer(&workspace, &["rollback"]).fail_with(1)?;
    left.prints("3 left as they are")?.prints("whether others need it cannot be told: theirs: ")?;
    is_undone_in_part(&workspace, "0001", "cannot be told")?;
    installer(&workspace, &["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("3 undone")?;
    ensure!(manifests(&registry) == before, "{}", manifests(&registry));
    Ok(())
}

/// Whether the last run to be taken back is so in part, and what `status` says of it.
fn is_undone_in_part(workspace: &Workspace, run: &str, left: &str) -> Result<()> {
    let told = installer(workspace, &["status"]).run()?;
    told.prints(&format!("run {run} sample 1.0.0: undone in part"))?.prints(left).map(drop)
}

#[test]
fn a_registry_that_is_gone_does_not_lock_the_site() -> Result<()> {
    let (workspace, _source) = many(3)?;
    let gone = Registry::start(Setup::default());
    plain(&workspace, &gone.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    drop(gone);
    let next = "next: mend that by hand, or try it again: `rollback 0001`";
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("3 left as they are")?.prints(next)?;
    is_undone_in_part(&workspace, "0001", "does not answer as a registry")?;

    let registry = Registry::start(Setup::default());
    plain(&workspace, &registry.host())?;
    for _ in 0..2 {
        installer(&workspace, &["apply", "bundle"]).succeed()?.prints("3 done")?;
        installer(&workspace, &["rollback"]).succeed()?.prints("3 undone")?;
        // Still out of reach, the run that was over is over again.
        installer(&workspace, &["rollback", "0001"]).fail_with(1)?.prints(next)?;
    }
    Ok(())
}

#[test]
fn a_run_is_taken_back_from_the_registry_that_it_went_to() -> Result<()> {
    let (workspace, _source) = many(5)?;
    let (user, password) = ("pusher".to_owned(), "correct-horse".to_owned());
    let registry = Registry::start(Setup { auth: Auth::Basic { user, password }, ..Setup::default() });
    plain(&workspace, &registry.host())?;
    let site = fs::read_to_string(workspace.path("site.yaml"))?;
    workspace.write("site.yaml", format!("{site}  login: {{user: pusher, password: {{file: secret}}}}\n"))?;
    workspace.write("secret", "correct-horse\n")?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    ensure!(manifests(&registry).lines().count() == 10, "{}", manifests(&registry));
    let kept = fs::read_to_string(workspace.path("site.ferry/runs/0001/registry.json"))?;
    ensure!(kept.contains("pusher") && !kept.contains("correct-horse"), "{kept}");

    let elsewhere = Registry::start(Setup::default());
    plain(&workspace, &elsewhere.host())?;
    elsewhere.reset_counts();
    // While it is out for a moment, it is asked once, not for each image.
    registry.fail_when(|_, _, _| Some(StatusCode::SERVICE_UNAVAILABLE));
    registry.reset_counts();
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("5 left as they are")?;
    ensure!(registry.counts().of(Kind::ManifestHead) == 0, "{:?}", registry.counts());
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("5 undone")?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    ensure!(elsewhere.counts() == Counts::default(), "{:?}", elsewhere.counts());
    Ok(())
}

/// As the journal stands when taking back is killed before it could note how anything came out.
fn cut_off_while_undoing(workspace: &Workspace) -> Result<()> {
    let path = workspace.path("site.ferry/runs/0001/journal.jsonl");
    let text = fs::read_to_string(&path)?;
    let (known, last) = text.rsplit_once("\"undoing\"").context("undoing began")?;
    let rest = last.find('\n').context("a whole line")?;
    Ok(fs::write(&path, &text[..=known.len() + "\"undoing\"".len() + rest])?)
}

#[test]
fn a_run_that_is_half_taken_back_can_be_given_up() -> Result<()> {
    let (workspace, registry) = that_deletes_ten()?;
    let way_out = "rollback 0001 --leave";
    installer(&workspace, &["rollback"]).fail_with(1)?;
    cut_off_while_undoing(&workspace)?;
    installer(&workspace, &["status"]).run()?.prints("half undone")?.prints(way_out)?;
    let refused = installer(&workspace, &["apply", "bundle"]).fail_with(1)?;
    refused.says("run 0001 is half taken back")?.says(way_out)?;
    let stands = registry.content();
    registry.reset_counts();
    installer(&workspace, &["rollback", "0001", "--leave"]).succeed()?.prints("left as they are")?;
    ensure!(registry.counts() == Counts::default(), "giving up asks nothing: {:?}", registry.counts());
    is_undone_in_part(&workspace, "0001", "left as it is")?;
    let report = fs::read_to_string(workspace.path("site.ferry/runs/0001/report.json"))?;
    ensure!(report.contains("(`rollback --leave`)"), "{report}");

    registry.heal();
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    installer(&workspace, &["rollback"]).succeed()?;
    ensure!(registry.content() == stands, "it is as it was left");
    installer(&workspace, &["rollback", "--leave"]).fail_with(1)?.says("there is no run to take back")?;
    installer(&workspace, &["rollback", "1"]).succeed()?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    Ok(())
}
