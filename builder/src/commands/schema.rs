use ferry_model::failure::ExitCode;

/// Print the JSON Schema of specs, which lets editors complete and check them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder schema > ferry-spec.schema.json")]
pub(super) struct Args {}

const SCHEMA: &str = include_str!("../../../manifests/schema/spec.json");

pub(super) fn run(_: &Args) -> ExitCode {
    use std::io::Write as _;
    // With standard output gone, there is nobody to tell.
    std::io::stdout().write_all(SCHEMA.as_bytes()).ok();
    ExitCode::Done
}
