//! Sample data as files and as a server, for `cargo xtask demo` and `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "a program for people and for xtask")]

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use ferry_tests::process::Program;
use ferry_tests::{bkrepo, samples};

const HELP: &str = "\
ferry-samples make DIR URL        write images, charts, runtimes, a spec; what is fetched lies below URL
ferry-samples serve DIR ADDRESS   offer DIR over HTTP until standard input ends
ferry-samples check URL           pull everything back from a bundle that is served at URL, and compare
ferry-samples bkrepo              a stand-in bkrepo that keeps digests alone, until standard input ends; prints its URL
ferry-samples fill HOST MEGABYTES fill a registry for the benchmark; prints the images' references
ferry-samples measure PROGRAM ... run a program; prints seconds, KiB of memory, bytes written to disk";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["make", folder, url] => samples::make(Path::new(folder), url)?,
        ["serve", folder, address] => {
            let server = samples::serve(Path::new(folder), address.parse()?)?;
            println!("http://{}", server.address());
            std::io::stdin().read_to_end(&mut Vec::new())?;
        }
        ["check", url] => {
            for line in samples::check(url)? {
                println!("{line}");
            }
        }
        ["bkrepo"] => {
            let setup =
                bkrepo::Setup { keeping: bkrepo::Keeping::DigestsOnly, ..bkrepo::Setup::after_paas() };
            let server = bkrepo::Bkrepo::start(setup)?;
            println!("{}", server.url());
            std::io::stdin().read_to_end(&mut Vec::new())?;
        }
        ["fill", host, megabytes] => {
            for reference in samples::fill(host, megabytes.parse()?)? {
                println!("{reference}");
            }
        }
        ["measure", program, rest @ ..] => {
            let limit = Duration::from_secs(1800);
            let outcome = Program::new(*program).args(rest).limit(limit).succeed()?;
            let seconds = outcome.elapsed.as_secs_f64();
            println!("{seconds:.4} {} {}", outcome.peak_memory, outcome.bytes_written);
        }
        _ => bail!("{HELP}"),
    }
    Ok(())
}
