use std::path::PathBuf;

use ferry_model::failure::ExitCode;

use super::Global;
use super::site::SiteArgs;
use crate::Error;
use crate::journal::RunFolder;
use crate::report;
use crate::site::SiteFile;

/// Write the report of a run again, as JSON and as one HTML page in Chinese and English
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer report --site site.yaml\n  ferry-installer report 0001 --site site.yaml --to /media/usb/dc1.html"
)]
pub(super) struct Args {
    /// The run, by its number; default: the last one.
    run: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
    /// Write the page to this file too.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let site = SiteFile::read(&args.site.site)?;
    let Some(run) = RunFolder::find(&site.state_folder(), args.run.as_deref())? else {
        let problem = format!("{} has no such run", site.state_folder().display());
        return Err(Error::State { problem, hint: "`status` lists the runs of a site".into() });
    };
    let done = report::write(&run)?;
    if let Some(path) = &args.to {
        let page = run.path().join("report.html");
        std::fs::copy(&page, path).map_err(Error::io("writing", path))?;
    }
    global.output.print(&done, || report::text(&done, &run));
    Ok(ExitCode::Done)
}
