//! The project's own commands, so that a machine with cargo needs no other tool: `cargo xtask test` and so on.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]
#![expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]

mod arrows;
mod bench;
mod ci;
mod demo;
mod fuzz;
mod generate;
mod parts;
mod run;
mod test;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  test   install what the tests need, then run them all and fuzz for a while
           --quick             unit tests and fakes only; real servers are skipped where missing
           --cluster           also with a real Kubernetes API server, which is built once in a quarter of an hour, and
                               with the cluster whose kubeconfig FERRY_TEST_KUBECONFIG names
           --fuzz-seconds N    per target, 15 by default; 0 leaves fuzzing out
  demo   make samples, build a signed bundle, verify it, serve it, pull everything back (target/demo)
  bench  compare with other tools on a corpus of half a gigabyte (target/bench); --only PART for one part of it
           --megabytes N       the corpus's size, 500 by default
  gen    write the JSON Schemas in manifests/schema
           --check             only say whether they are up to date
  ci     everything that must hold before a change lands: format, lints, documentation, gen --check, test
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["test", options @ ..] => test::test(options),
        ["demo"] => demo::demo(),
        ["bench", options @ ..] => bench::bench(options),
        ["gen"] => generate::generate(generate::Mode::Write),
        ["gen", "--check"] => generate::generate(generate::Mode::Check),
        ["ci"] => ci::ci(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("`{}` is not a command of xtask\n\n{HELP}", other.join(" ")),
    }
}
