use std::io::Write as _;

use ferry_model::failure::ExitCode;

use crate::Error;

/// Print a commented spec to start from
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder init > bundle.yaml")]
pub(super) struct Args {}

const STARTER: &str = include_str!("init/starter.yaml");

pub(super) fn run(_: &Args) -> Result<ExitCode, Error> {
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
