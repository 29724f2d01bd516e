use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use ferry_bundle::cli::BundleArgs;
use ferry_model::Digest;
use ferry_model::catalog::Image;
use ferry_model::event::Task;
use ferry_model::failure::ExitCode;
use ferry_model::size::ByteSize;
use serde::Serialize;

use super::Global;
use crate::Error;
use crate::export::{Archive, Choice, ExportError, docker_archive, find_image, oci_archive};

/// Write one image out of a bundle as an archive, for `docker load`, `ctr images import` or skopeo
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer export bundle.ferry.tar.zst registry:2 -o - | docker load\n  ferry-installer export bundle.ferry.tar.zst library/registry:2 -o registry.tar \\\n      --format oci-archive --platform all"
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// The image: by its name in the world, its name at the site, or its digest.
    image: String,
    /// Where to write; `-` is standard output.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    to: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Of an image for several platforms, which one (`linux/arm64`), or `all`; default: this host's.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Choice>,
    /// The name that the image gets where it is loaded; may be given again with docker-archive; default: its own.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// What `docker save` writes.
    #[default]
    DockerArchive,
    /// An OCI image layout, which keeps the image's digest.
    OciArchive,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let to_stdout = args.to == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(Error::Usage {
            problem: "an archive cannot be shown on a terminal".into(),
            hint: "pipe it into `docker load`, or name a file with -o".into(),
        });
    }
    let bundle = args.bundle.open(&global.output)?;
    let image = find_image(bundle.catalog(), &args.image)?;
    let archive = plan(args, &bundle, image)?;
    let (events, guard) = global.output.renderer();
    events.stage("export", Some(archive.size()), Some(1));
    let task = events.start(image.reference.to_string(), Some(archive.size()));
    if to_stdout {
        archive.write(&mut io::stdout().lock(), &task)?;
    } else {
        write_file(&archive, &args.to, &task)?;
    }
    task.finish();
    drop(guard);
    if !to_stdout {
        let exported = Exported {
            image: image.reference.to_string(),
            digest: image.digest,
            format: args.format,
            path: &args.to,
            bytes: archive.size(),
        };
        global.output.print(&exported, || exported.text());
    }
    Ok(ExitCode::Done)
}

/// What was written.
#[derive(Serialize)]
struct Exported<'a> {
    image: String,
    digest: Digest,
    format: Format,
    path: &'a Path,
    bytes: u64,
}

impl Exported<'_> {
    fn text(&self) -> String {
        let (path, bytes) = (self.path.display(), ByteSize(self.bytes));
        let load = match self.format {
            Format::DockerArchive => format!("docker load -i {path}"),
            Format::OciArchive => format!("ctr images import {path}"),
        };
        format!("{path} written: {}, {bytes}; to load it: {load}", self.image)
    }
}

fn plan(args: &Args, bundle: &ferry_bundle::Bundle, image: &Image) -> Result<Archive, ExportError> {
    let own = image.reference.tag().map(|_| image.reference.to_string());
    let names = if args.name.is_empty() { own.into_iter().collect() } else { args.name.clone() };
    let choice = args.platform.clone().unwrap_or(Choice::Host);
    match (args.format, &choice) {
        (Format::OciArchive, _) => oci_archive(bundle, image, &choice, names.first().map(String::as_str)),
        (Format::DockerArchive, Choice::All) => Err(ExportError::OnePlatform),
        (Format::DockerArchive, Choice::Host) => docker_archive(bundle, image, None, &names),
        (Format::DockerArchive, Choice::Platform(platform)) => {
            docker_archive(bundle, image, Some(platform), &names)
        }
    }
}

/// Under its own name only once it is whole.
fn write_file(archive: &Archive, path: &Path, task: &Task) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = File::create(&partial).map_err(Error::io("writing", &partial))?;
    let written = archive
        .write(&mut BufWriter::with_capacity(1 << 20, &file), task)
        .map_err(Error::from)
        .and_then(|()| file.sync_all().map_err(Error::io("writing", &partial)))
        .and_then(|()| fs::rename(&partial, path).map_err(Error::io("writing", path)));
    if written.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&partial);
    }
    written
}
