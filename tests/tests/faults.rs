//! Two hundred seeded runs with faults between Ferry and its servers. Each ends in the right result or in a clean
//! error, and in the right result when it is run again without faults.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::proxy::{Faults, Proxy};
use ferry_tests::registry::{Auth, Registry, Setup};
use ferry_tests::workspace::Sample;

/// Runs of `build`, of `lock` and of `push`.
const BUILDS: u64 = 90;
const LOCKS: u64 = 30;
const PUSHES: u64 = 80;
/// Runs at once: most of a run is waiting.
const LANES: u64 = 4;

/// Gives up soon, so that two hundred runs take a minute.
fn impatient(program: Program) -> Program {
    program
        .env("FERRY_STALL_TIMEOUT", "0.3")
        .env("FERRY_COMMIT_TIMEOUT", "0.3")
        .env("FERRY_RETRY_BASE_MS", "2")
        .limit(Duration::from_secs(60))
}

/// What this seed's run suffers: from a fault here and there to more than any client can bear.
fn faults(seed: u64) -> Faults {
    match seed % 4 {
        0 => Faults::curable(2),
        1 => Faults::all(1),
        2 => Faults::all(4),
        _ => Faults { reset: 25, truncate: 15, stall: 2, ..Faults::default() },
    }
}

/// A failure that a person can work with: it has a documented exit code and says something.
fn is_clean(outcome: &Outcome) -> Result<()> {
    ensure!(matches!(outcome.code, Some(1 | 3)), "{outcome}");
    // A push tells what failed in its report.
    let told = outcome.stderr.contains("error: ") || outcome.stdout.contains("failed: ");
    ensure!(told, "no error is told: {outcome}");
    ensure!(!outcome.stderr.contains("panicked"), "{outcome}");
    Ok(())
}

/// Runs `seeds` of `case` on several lanes, each with servers of its own, and says how many went through at once.
fn on_lanes<C: FnMut(u64) -> Result<bool>>(seeds: u64, case: impl Fn() -> Result<C> + Sync) -> Result<u64> {
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let case = &case;
                scope.spawn(move || -> Result<u64> {
                    let mut run = case()?;
                    let mut passed = 0;
                    for seed in (lane..seeds).step_by(LANES as usize) {
                        passed += u64::from(run(seed).with_context(|| format!("seed {seed}"))?);
                    }
                    Ok(passed)
                })
            })
            .collect();
        let mut passed = 0;
        for lane in lanes {
            passed += lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??;
        }
        Ok(passed)
    })
}

/// A sample behind proxies: in front of the registry and of the file server.
fn behind_proxies() -> Result<(Sample, Vec<Proxy>)> {
    let mut proxies = Vec::new();
    let sample = Sample::through(Corpus::small(51, 40_000), with_tokens(), |host| {
        proxies.push(Proxy::start(&host));
        proxies[proxies.len() - 1].host()
    })?;
    Ok((sample, proxies))
}

/// A registry whose tokens can be refreshed, so that an injected 401 is one that has expired.
fn with_tokens() -> Setup {
    let auth = Auth::Token {
        user: "u".into(),
        password: "p".into(),
        anonymous_pull: true,
        requests_per_token: None,
        fixed_scope: false,
    };
    Setup { auth, ..Setup::default() }
}

fn misbehave(proxies: &[Proxy], seed: u64, faults: Faults) {
    for (number, proxy) in proxies.iter().enumerate() {
        proxy.misbehave(seed * 2 + number as u64, faults);
    }
}

#[test]
fn builds_end_right_or_cleanly() -> Result<()> {
    let passed = on_lanes(BUILDS, || {
        let (sample, proxies) = behind_proxies()?;
        sample.workspace.lock_and_build()?;
        let right = sample.workspace.digest("bundle")?;
        Ok(move |seed| {
            // All of it moves in, or the servers would end here.
            let sample = &sample;
            let bundle = format!("run-{seed}");
            let build = impatient(sample.workspace.builder())
                .args(["build", "spec.yaml", "--locked", "-o"])
                .arg(&bundle);
            misbehave(&proxies, seed, faults(seed));
            let outcome = build.run()?;
            proxies.iter().for_each(Proxy::behave);
            let passed = outcome.code == Some(0);
            if !passed {
                is_clean(&outcome)?;
                ensure!(
                    !sample.workspace.path(&bundle).exists(),
                    "half a bundle has the final name: {outcome}"
                );
                build.succeed().with_context(|| format!("after {outcome}"))?;
            }
            ensure!(sample.workspace.digest(&bundle)? == right, "another bundle after {outcome}");
            fs::remove_file(sample.workspace.path(&bundle))?;
            Ok(passed)
        })
    })?;
    // Faults that a retry cures must not end a run, or the others prove little.
    ensure!((BUILDS / 4..BUILDS).contains(&passed), "{passed} of {BUILDS} went through at once");
    Ok(())
}

#[test]
fn locks_end_right_or_cleanly() -> Result<()> {
    let passed = on_lanes(LOCKS, || {
        let (sample, proxies) = behind_proxies()?;
        sample.workspace.lock()?;
        let right = sample.workspace.digest("spec.lock")?;
        Ok(move |seed| {
            let sample = &sample;
            let lock = impatient(sample.workspace.builder()).args(["lock", "spec.yaml"]);
            fs::remove_file(sample.workspace.path("spec.lock"))?;
            // An index.yaml has no digest: a changed byte in it can only be seen where it matters.
            misbehave(&proxies, seed, Faults { corrupt: 0, ..faults(seed) });
            let outcome = lock.run()?;
            proxies.iter().for_each(Proxy::behave);
            let passed = outcome.code == Some(0);
            if !passed {
                is_clean(&outcome)?;
                ensure!(!sample.workspace.path("spec.lock").exists(), "half a lock was written: {outcome}");
                lock.succeed().with_context(|| format!("after {outcome}"))?;
            }
            ensure!(sample.workspace.digest("spec.lock")? == right, "another lock after {outcome}");
            Ok(passed)
        })
    })?;
    ensure!(passed >= LOCKS / 4, "{passed} of {LOCKS} went through at once");
    Ok(())
}

#[test]
fn pushes_end_right_or_cleanly() -> Result<()> {
    let right = {
        let sample = Sample::built(Corpus::small(52, 40_000))?;
        let registry = Registry::start(Setup::default());
        push(&sample, &registry.host()).succeed()?;
        registry.content()
    };
    let passed = on_lanes(PUSHES, || {
        let sample = Sample::built(Corpus::small(52, 40_000))?;
        let registry = Registry::start(with_tokens());
        let proxy = Proxy::start(&registry.host());
        sample.workspace.login(&proxy.host(), "u", "p")?;
        let right = right.clone();
        Ok(move |seed| {
            registry.clear();
            let push = impatient(push(&sample, &proxy.host()));
            proxy.misbehave(seed, faults(seed));
            let outcome = push.run()?;
            proxy.behave();
            let passed = outcome.code == Some(0);
            if !passed {
                is_clean(&outcome)?;
                push.succeed().with_context(|| format!("after {outcome}"))?;
            }
            ensure!(serves(&registry.content(), &right), "other content after {outcome}");
            Ok(passed)
        })
    })?;
    ensure!((PUSHES / 4..PUSHES).contains(&passed), "{passed} of {PUSHES} went through at once");
    Ok(())
}

/// Whether a registry with this content serves exactly what is right. A manifest that was changed on its way to a tag
/// may lie about, since no registry can know; no tag may name it.
fn serves(content: &str, right: &str) -> bool {
    let tags = |text: &str| {
        text.lines().filter(|line| line.contains(" tag ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let held: Vec<_> = content.lines().collect();
    right.lines().all(|line| held.contains(&line)) && tags(content) == tags(right)
}

fn push(sample: &Sample, host: &str) -> Program {
    sample.workspace.installer().args(["push", "bundle", "--registry", host, "--plain-http", host])
}

#[test]
fn a_source_that_lies_is_refused() -> Result<()> {
    let sample = Sample::new(Corpus::small(53, 40_000))?;
    sample.workspace.lock()?;
    let layer = sample.corpus.image("team/app").layers[0].digest;
    let other = sample.corpus.image("team/web").layers[1].bytes.clone();
    sample.registry.replace_content(layer, other);
    let build =
        impatient(sample.workspace.builder()).args(["build", "spec.yaml", "--locked", "-o", "bundle"]);
    let outcome = build.run()?;
    if outcome.code != Some(3) {
        bail!("a lie must end with exit code 3: {outcome}");
    }
    outcome.says(&layer.short())?;
    ensure!(!sample.workspace.path("bundle").exists());
    for image in &sample.corpus.images {
        sample.registry.load(image);
    }
    build.succeed()?;
    sample.workspace.builder().args(["verify", "bundle"]).succeed()?;
    Ok(())
}
