//! What fails on the way.

use std::time::Duration;
use std::{fs, thread};

use anyhow::{Result, ensure};
use axum::http::Method;
use ferry_tests::bkrepo::{Fault, Grant, Release, User};

use super::ground::{
    ASSETS, Ground, NODE, PASSWORD, PROJECT, RELEASES, STDLIB, after_paas, runtimes, shows_no_secret,
};

#[test]
fn what_passes_is_survived() -> Result<()> {
    let faults = [
        Fault::DigestMismatch,
        Fault::Gateway(500),
        Fault::Gateway(502),
        Fault::Gateway(503),
        Fault::CutAfter(1_000),
        Fault::CutAnswerAfter(10),
        Fault::LoseAnswer,
        Fault::Slow(Duration::from_millis(300)),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let ground = Ground::usual(RELEASES[number % 2], "")?;
        let shown = format!("{fault:?}");
        ground.server.fail_next(fault, |method, path| method == Method::PUT && path.contains("node-v16"));
        let applied = ground.apply().run()?;
        ensure!(applied.code == Some(0), "{shown}: {applied}");
        ground.expect_all()?;
        let taken = ground.taken();
        ensure!(taken.values().all(|&times| times == 1) || shown.contains("Answer"), "{shown}: {taken:?}");
    }
    let ground = Ground::usual(Release::V1_3_16, "")?;
    let passing = [Fault::Gateway(503), Fault::CutAfter(500), Fault::LoseAnswer];
    ground.server.fail_seeded(7, 20, &passing, |_, _| true);
    ground.apply().run()?;
    ground.server.heal();
    ground.apply().succeed()?;
    ground.expect_all()
}

#[test]
fn what_does_not_pass_is_told_and_stops_nobody_else() -> Result<()> {
    for (fault, says) in [
        (Fault::Unauthorized, "does not know the user"),
        (Fault::NodeConflict, "repair: true"),
        (Fault::Gateway(413), "client_max_body_size"),
    ] {
        let ground = Ground::usual(Release::V1_3_16, "")?;
        let shown = format!("{fault:?}");
        ground
            .server
            .fail_times(50, fault, |method, path| method == Method::PUT && path.contains("stdlib.sh"));
        let failed = ground.apply().run()?;
        ensure!(failed.code == Some(1), "{shown}: {failed}");
        failed.prints(says)?;
        ensure!(ground.server.files(PROJECT, ASSETS).contains_key(&format!("/{NODE}")), "{shown}: {failed}");
        ground.server.heal();
        ground.server.forget_requests();
        ground.apply().succeed()?;
        ensure!(ground.taken().len() == 1, "only what was missing: {:?}", ground.taken());
        ground.expect_all()?;
    }
    Ok(())
}

/// Somebody is faster, with the same content: that is as good as ours.
#[test]
fn the_same_file_from_somebody_else_is_taken_as_it_is() -> Result<()> {
    let ground = Ground::usual(Release::V3_3, "")?;
    let server = ground.server.clone();
    let (path, content) = (format!("/{STDLIB}"), runtimes()[0].1.clone());
    ground.server.fail_next(Fault::NodeExisted, move |method, asked| {
        let is_it = method == Method::PUT && asked.contains("stdlib.sh");
        if is_it {
            let (server, path, content) = (server.clone(), path.clone(), content.clone());
            thread::spawn(move || server.put_raw(PROJECT, ASSETS, &path, &content));
            thread::sleep(Duration::from_millis(50));
        }
        is_it
    });
    ground.apply().succeed()?;
    ground.expect_all()
}

#[test]
fn trouble_of_all_is_met_once() -> Result<()> {
    let many: Vec<(String, Vec<u8>)> =
        (0..200).map(|number| (format!("many/{number:03}.bin"), vec![number; 1000])).collect();
    let many: Vec<(&str, Vec<u8>)> =
        many.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    // A user who may only read.
    let mut setup = after_paas(Release::V1_3_16);
    setup.users.retain(|user| user.name != "bkpaas3");
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Reading(PROJECT.into())]));
    let ground = Ground::new(setup, &many, "")?;
    let refused = ground.apply().fail_with(1)?;
    refused.says("bkrepo-write")?;
    ensure!(ground.puts() == 0, "nothing is sent in vain");
    ground
        .run(&["apply", "bundle", "--skip-check", "bkrepo-write"])
        .fail_with(1)?
        .prints("may not do this")?;
    ensure!(ground.puts() <= 16, "{} bodies for one answer", ground.puts());

    // Another password than bkrepo's.
    let wrong = ground.apply().env("BKREPO_PASSWORD", "wrong").fail_with(1)?;
    wrong.says("does not know the user")?.says("bkpaas3-apiserver-bkrepo-envs")?;
    shows_no_secret(&ground, &wrong)?;

    // It is gone in the middle of a run, and stays away.
    let ground = Ground::new(after_paas(Release::V1_3_16), &many, "")?;
    let server = ground.server.clone();
    let started = std::sync::atomic::AtomicUsize::new(0);
    server.fail_times(1_000_000, Fault::Gateway(503), move |method, _| {
        let count = |order| started.fetch_add(usize::from(method == Method::PUT), order);
        count(std::sync::atomic::Ordering::Relaxed) >= 20
    });
    let failed = ground.apply().fail_with(1)?;
    ensure!(failed.elapsed < Duration::from_secs(60), "{failed}");
    let puts = ground.puts();
    ensure!(puts < 20 + 8 * 8 + 8, "{puts} uploads were tried");
    server.heal();
    ground.apply().succeed()?;
    ground.expect_all()?;

    // Nothing listens there at all.
    let text = fs::read_to_string(ground.workspace.path("site.yaml"))?;
    ground.workspace.write("site.yaml", text.replace(&ground.server.url(), "http://127.0.0.1:1"))?;
    let down = ground.run(&["plan", "bundle"]).fail_with(1)?;
    down.says("cannot connect")?.says("201 more")?;
    ensure!(down.elapsed < Duration::from_secs(10), "{down}");
    Ok(())
}
