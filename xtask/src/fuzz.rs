//! Runs the fuzz targets of `tests/fuzz` for a while, on the stable compiler: the instrumentation that libFuzzer
//! needs is LLVM's own, and `cargo fuzz --sanitizer none` asks for it in the same words.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::run::{cargo, headline, output, root, run, shown, target};

/// The targets, each a program in `tests/fuzz`.
const TARGETS: [&str; 4] = ["bundle", "lock", "reference", "spec"];

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions=on";

/// Fuzzes each target for `seconds`; an input that makes one fail is kept and named.
pub(crate) fn fuzz(seconds: u32) -> Result<String> {
    headline(&format!("fuzzing {} targets for {seconds} s each", TARGETS.len()));
    let host = output(&mut cargo(&["-vV"]))?;
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names its host")?.to_owned();
    let built = target().join("fuzz");
    // With --target the flags reach neither build scripts nor macros.
    let mut compile =
        cargo(&["build", "--release", "--target", &host, "--manifest-path", "tests/fuzz/Cargo.toml"]);
    run(compile.arg("--target-dir").arg(&built).env("RUSTFLAGS", FLAGS))?;
    let mut summary = Vec::new();
    for name in TARGETS {
        let corpus = built.join("corpus").join(name);
        let crashers = built.join("crashers").join(name);
        let regressions = root().join("tests/fuzz/regressions").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&crashers)?;
        let seeds = root().join("tests/fuzz/seeds").join(name);
        let known: Vec<_> = [regressions, seeds].into_iter().filter(|folder| folder.is_dir()).collect();
        let mut command = std::process::Command::new(built.join(&host).join("release").join(name));
        command
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", crashers.display()))
            .arg(corpus)
            .args(known);
        let said = command.output().with_context(|| format!("cannot start {}", shown(&command)))?;
        let text = String::from_utf8_lossy(&said.stderr);
        if !said.status.success() {
            let last: Vec<_> = text.lines().rev().take(40).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            bail!(
                "{}\nfuzz target `{name}` failed; the input lies in {}: copy it to tests/fuzz/regressions/{name}/ once it is fixed",
                last.join("\n"),
                crashers.display()
            );
        }
        let runs = text
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .map_or("?", str::trim);
        println!("{name}: {runs} runs, nothing found");
        summary.push(format!("{name} {runs}"));
    }
    Ok(format!("fuzz runs: {}", summary.join(", ")))
}
