use std::io::Write as _;
use std::path::PathBuf;

use ferry_model::failure::ExitCode;

use super::Global;
use crate::Error;
use crate::document::write_new;

/// Print a commented spec to start from
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder init -o bundle.yaml")]
pub(super) struct Args {
    /// Write it to this file, which must not be there yet. Default: standard output.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    file: Option<PathBuf>,
}

const STARTER: &str = include_str!("init/starter.yaml");

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    if let Some(path) = &args.file {
        write_new(path, STARTER, 0o644)?;
        let path = path.display();
        global.output.note(format!("{path} written; edit it, then: ferry-builder lock {path}"));
        return Ok(ExitCode::Done);
    }
    std::io::stdout().write_all(STARTER.as_bytes()).map_err(Error::io("writing", "standard output"))?;
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_starter_is_a_spec() {
        ferry_model::spec::Spec::parse(super::STARTER).unwrap();
        let uncommented: String = super::STARTER
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let full = ferry_model::spec::Spec::parse(&uncommented).unwrap();
        assert!(
            !full.charts.is_empty()
                && !full.runtimes.is_empty()
                && !full.saas.is_empty()
                && !full.bkdl.is_empty()
                && !full.files.is_empty()
        );
    }
}
