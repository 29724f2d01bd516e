//! Many files and large ones: killed, gone on with, and in little memory.

use std::time::Duration;
use std::{fs, thread};

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::bkrepo::{Fault, Keeping, Release, Setup};
use ferry_tests::http::request;
use ferry_tests::random::Random;

use super::ground::{ASSETS, Ground, PROJECT, after_paas};

/// The large file compresses well, so that the bundle stays small; it goes up in parts.
fn with_large(count: usize, large: usize) -> Vec<(String, Vec<u8>)> {
    let size = |number: usize| 1000 + (number * 7919) % 30_000;
    let small = (0..count).map(|number| {
        let content = format!("{} ", number % 7).into_bytes();
        (format!("many/{:02}/{number:04}.txt", number % 40), content.repeat(size(number % 5)))
    });
    small.chain([("large/zeros.img".to_owned(), vec![0; large])]).collect()
}

#[test]
fn killed_anywhere_it_goes_on_with_what_is_there() -> Result<()> {
    let files = with_large(40, 100 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let usual = ground.apply().succeed()?.elapsed;
    ground.expect_all()?;
    ground.run(&["rollback"]).succeed()?;
    let mut random = Random::new(409);
    let mut parts_sent = 0;
    for _ in 0..5 {
        fs::remove_dir_all(ground.workspace.path("site.ferry"))?;
        ground.server.forget_requests();
        for _ in 0..3 {
            ground.apply().kill_after(usual * u32::try_from(random.below(1000))? / 1000)?;
        }
        ground.apply().succeed()?;
        ground.expect_all()?;
        let mut taken = ground.taken();
        // Parts of the large one: what was sent twice was cut, or not yet noted when the process died.
        parts_sent += taken.remove("/large/zeros.img").unwrap_or(0);
        ensure!(taken.values().all(|&times| times == 1), "a finished file was sent again: {taken:?}");
        ensure!(ground.server.open_uploads() <= 3, "uploads were begun again and again");
        ground.server.forget_requests();
        ground.apply().succeed()?.prints("nothing to do")?;
        ensure!(ground.server.bodies().is_empty(), "{:?}", ground.server.bodies());
        ground.run(&["rollback"]).run()?;
        for (path, _) in &files {
            let url = format!("{}/generic/{PROJECT}/{ASSETS}/{path}", ground.server.url());
            let authorization = format!("Basic {}", STANDARD.encode("admin:blueking"));
            request(&Method::DELETE, &url, &[("authorization", &authorization)], "")?;
        }
    }
    ensure!(parts_sent > 0, "the large file never went up in parts");
    Ok(())
}

/// A run that was cut off is not given up because bkrepo happens to be out when it is gone on with.
#[test]
fn an_outage_between_kill_and_resume_does_not_end_the_run() -> Result<()> {
    let files = with_large(40, 100 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let running = ground.apply().start()?;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while ground.taken().is_empty() {
        ensure!(std::time::Instant::now() < deadline, "no file came");
        thread::sleep(Duration::from_millis(2));
    }
    drop(running);
    ground.server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);
    let out = ground.apply().fail_with(1)?;
    out.says("run 0001 was cut off, and cannot be gone on with now")?.says("goes on where it stopped")?;
    ground.run(&["status"]).fail_with(1)?.prints(": cut off, ")?;
    ground.server.heal();
    ground.apply().succeed()?.says("going on with run 0001")?;
    ground.expect_all()?;
    ensure!(!ground.workspace.path("site.ferry/runs/0002").exists(), "it was one run");
    ground.run(&["rollback"]).succeed()?;
    ensure!(ground.server.files(PROJECT, ASSETS).values().all(|file| file.folder), "all of it was one run's");
    Ok(())
}

/// A killed run's parts are not sent again.
#[test]
fn parts_that_bkrepo_has_are_not_sent_again() -> Result<()> {
    let files = with_large(0, 160 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let part = |ground: &Ground| ground.taken().get("/large/zeros.img").copied().unwrap_or(0);
    let running = ground.apply().start()?;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while part(&ground) < 2 {
        ensure!(std::time::Instant::now() < deadline, "no part came");
        thread::sleep(Duration::from_millis(2));
    }
    drop(running);
    let before = part(&ground);
    ensure!(before < 5, "all was sent before it was killed");
    ground.apply().succeed()?;
    ground.expect_all()?;
    let parts = part(&ground);
    ensure!(parts == 5, "{parts} parts of 32 MiB for 160 MiB, {before} of them before the kill");
    // Twelve hours later bkrepo has forgotten them.
    ground.run(&["rollback"]).succeed()?;
    ensure!(ground.server.open_uploads() == 0);
    Ok(())
}

#[test]
fn two_thousand_files_need_little_memory() -> Result<()> {
    let files = with_large(1999, 300 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "  repair: true\n")?;
    drop(files);
    let planned = ground.run(&["plan", "bundle"]).succeed()?.peak_memory;
    let applied = ground.apply().succeed()?.peak_memory;
    // A program for tests holds some 35 MiB of its own code; what moving content takes is what is asked here: eight uploads at once,
    // with three chunks of a mebibyte and a frame of four each.
    ensure!(planned < 64 << 10, "{planned} KiB to plan");
    ensure!(applied.saturating_sub(planned) < 40 << 10, "{applied} KiB, and {planned} KiB to plan");
    ground.expect_all()?;
    ground.server.forget_requests();
    let again = ground.apply().succeed()?;
    again.prints("nothing to do")?;
    ensure!(again.peak_memory < 64 << 10, "{} KiB", again.peak_memory);
    let requests = ground.server.requests();
    ensure!(requests.iter().all(|asked| asked.body == 0) && requests.len() <= 6, "{requests:#?}");
    Ok(())
}
