//! `kill -9` at a hundred random moments of a build, and of a push; then the same command again. The bundle has the
//! same bytes, the registry the same content, as without a kill.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::process::Program;
use ferry_tests::proxy::Proxy;
use ferry_tests::random::Random;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Sample;

const KILLS: u64 = 100;

/// Kills `command` after a random part of its usual time, over and over, each time from where the last kill left
/// things; whenever a run ends by itself, `check` says whether all is right and clears up for the next.
fn kill_often(
    seed: u64,
    command: &Program,
    usual: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut random = Random::new(seed);
    let (mut kills, mut finished) = (0, 0);
    while kills < KILLS {
        let delay = usual * u32::try_from(random.below(1000))? / 1000;
        let outcome = command.kill_after(delay)?;
        match outcome.code {
            None => kills += 1,
            Some(0) => {
                finished += 1;
                ensure!(finished < 10 * KILLS, "hardly a run was killed");
                check()?;
            }
            Some(_) => anyhow::bail!("after {kills} kills: {outcome}"),
        }
        // Every few kills from a fresh start, so that early moments are hit as often as late ones.
        if kills % 5 == 0 {
            command.succeed()?;
            check()?;
        }
    }
    Ok(())
}

#[test]
fn a_killed_build_goes_on() -> Result<()> {
    let mut proxies = Vec::new();
    let sample = Sample::through(Corpus::small(61, 400_000), Setup::default(), |host| {
        proxies.push(Proxy::start(&host));
        proxies[proxies.len() - 1].host()
    })?;
    let workspace = &sample.workspace;
    workspace.lock_and_build()?;
    let right = workspace.digest("bundle")?;
    for proxy in &proxies {
        proxy.slow_down(Duration::from_millis(3));
    }
    let build = workspace.builder().args(["build", "spec.yaml", "--locked", "-o", "killed"]);
    let usual = build.succeed()?.elapsed;
    fs::remove_file(workspace.path("killed"))?;
    kill_often(62, &build, usual, || {
        ensure!(workspace.digest("killed")? == right, "other bytes");
        fs::remove_file(workspace.path("killed"))?;
        let left: Vec<_> = fs::read_dir(workspace.path(""))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("killed"))
            .collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    })
}

#[test]
fn a_killed_build_of_volumes_goes_on() -> Result<()> {
    let sample = Sample::built(Corpus::small(63, 1_500_000))?;
    let workspace = &sample.workspace;
    let build =
        workspace.builder().args(["build", "spec.yaml", "--locked", "-o", "cut", "--volume-size", "1MiB"]);
    let usual = build.succeed()?.elapsed;
    let files = || -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(workspace.path(""))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("cut") {
                files.push((name, fs::read(entry.path())?));
            }
        }
        files.sort();
        Ok(files)
    };
    let right = files()?;
    let remove = || -> Result<()> {
        right.iter().try_for_each(|(name, _)| Ok(fs::remove_file(workspace.path(name))?))
    };
    remove()?;
    kill_often(64, &build, usual, || {
        let names =
            |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let found = files()?;
        ensure!(names(&found) == names(&right), "{:?} in place of {:?}", names(&found), names(&right));
        ensure!(found == right, "other volumes");
        remove()
    })
}

#[test]
fn a_download_goes_on_where_it_stopped() -> Result<()> {
    // One layer that takes longer than any run is given: only a build that keeps what it has can end.
    let mut corpus = Corpus::small(65, 6_000_000);
    // What is compressed on the way goes on by whole frames of 4 MiB only.
    corpus.images.retain(|image| image.repository != "team/tools");
    let mut proxies = Vec::new();
    let sample = Sample::through(corpus, Setup::default(), |host| {
        proxies.push(Proxy::start(&host));
        proxies[proxies.len() - 1].host()
    })?;
    let workspace = &sample.workspace;
    workspace.lock()?;
    proxies[0].slow_down(Duration::from_millis(20));
    let build = workspace.builder().args(["build", "spec.yaml", "--locked", "-o", "bundle"]);
    let mut kills = 0;
    while build.kill_after(Duration::from_millis(1700))?.code.is_none() {
        kills += 1;
        ensure!(kills < 20, "no progress");
    }
    ensure!(kills >= 2, "the build was too quick to be killed");
    workspace.builder().args(["verify", "bundle"]).succeed()?;
    Ok(())
}

#[test]
fn a_killed_push_goes_on() -> Result<()> {
    let sample = Sample::built(Corpus::small(66, 400_000))?;
    let registry = Registry::start(Setup::default());
    let proxy = Proxy::start(&registry.host());
    let host = proxy.host();
    let push =
        sample.workspace.installer().args(["push", "bundle", "--registry", &host, "--plain-http", &host]);
    push.succeed()?;
    let right = registry.content();
    proxy.slow_down(Duration::from_millis(3));
    registry.clear();
    let usual = push.succeed()?.elapsed;
    registry.clear();
    kill_often(67, &push, usual, || {
        ensure!(registry.content() == right, "other content: {}", registry.content());
        registry.clear();
        Ok(())
    })
}
