//! `cargo xtask test`: everything, from installing the parts to fuzzing.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::generate::{Mode, generate};
use crate::parts::kubernetes::Cluster;
use crate::run::{cargo, headline, run, since, target};
use crate::{arrows, fuzz, parts};

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    quick: bool,
    fuzz_seconds: u32,
    cluster: bool,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self { quick: false, fuzz_seconds: 15, cluster: false };
        let mut rest = arguments;
        loop {
            rest = match rest {
                [] => return Ok(options),
                ["--quick", rest @ ..] => {
                    options.quick = true;
                    options.fuzz_seconds = 0;
                    rest
                }
                ["--cluster", rest @ ..] => {
                    options.cluster = true;
                    rest
                }
                ["--fuzz-seconds", seconds, rest @ ..] => {
                    options.fuzz_seconds = seconds.parse().context("--fuzz-seconds takes a number")?;
                    rest
                }
                [other, ..] => bail!("`{other}` is not an option of `cargo xtask test`"),
            };
        }
    }
}

/// Totals over all test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds up `test result: ok. 10 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

pub(crate) fn test(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let cluster = options.cluster.then(Cluster::prepare).transpose()?;
    let begun = Instant::now();
    headline("the workspace's rules and generated files");
    arrows::check()?;
    generate(Mode::Check)?;
    if !options.quick {
        parts::install()?;
    }
    headline("building");
    run(&mut cargo(&["build", "--bins", "-p", "ferry-builder", "-p", "ferry-installer"]))?;
    run(&mut cargo(&["test", "--workspace", "--no-run"]))?;
    headline("tests");
    let totals = run_tests(options.quick, cluster.as_ref())?;
    if cluster.is_none() {
        headline(Cluster::skipped());
    }
    let fuzzed =
        if options.fuzz_seconds > 0 { fuzz::fuzz(options.fuzz_seconds)? } else { "no fuzzing".into() };
    headline(&format!(
        "{} tests passed, {} failed, {} ignored; {fuzzed}; {}",
        totals.passed,
        totals.failed,
        totals.ignored,
        since(begun)
    ));
    ensure!(totals.failed == 0, "{} tests failed", totals.failed);
    Ok(())
}

fn run_tests(quick: bool, cluster: Option<&Cluster>) -> Result<Totals> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.env("FERRY_BIN_DIR", target().join("debug")).env("FERRY_PARTS_DIR", parts::folder());
    // Errors that tests return say where they come from; the stack below them only hides that.
    command.env("RUST_LIB_BACKTRACE", "0");
    if !quick {
        command.env("FERRY_REQUIRE_PARTS", "1");
    }
    Cluster::tell(cluster, &mut command);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines() {
        let line = line?;
        totals.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    ensure!(status.success() || totals.failed > 0, "cargo test failed: {status}");
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 10 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.08s",
        );
        totals.add("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        totals.add("running 5 tests");
        assert_eq!(totals, Totals { passed: 14, failed: 2, ignored: 1 });
    }

    #[test]
    fn parses_options() {
        assert_eq!(
            Options::parse(&["--fuzz-seconds", "3"]).unwrap(),
            Options { quick: false, fuzz_seconds: 3, cluster: false }
        );
        assert!(Options::parse(&["--fuzz-seconds"]).is_err());
        assert!(Options::parse(&["quick"]).is_err());
        assert!(Options::parse(&["--quick", "--cluster"]).unwrap().cluster);
    }
}
