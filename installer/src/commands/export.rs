use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use ferry_bundle::Bundle;
use ferry_bundle::cli::BundleArgs;
use ferry_model::Digest;
use ferry_model::catalog::Image;
use ferry_model::event::Task;
use ferry_model::failure::ExitCode;
use ferry_model::size::ByteSize;
use serde::Serialize;

use super::Global;
use crate::Error;
use crate::export::{
    Archive, Choice, ExportError, Plain, docker_archive, find_image, find_plain, oci_archive,
};

/// Write one image out of a bundle as an archive, for `docker load`, `ctr images import` or skopeo; or one chart or file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer export bundle.ferry.tar.zst registry:2 -o - | docker load\n  ferry-installer export bundle.ferry.tar.zst library/registry:2 -o registry.tar \\\n      --format oci-archive --platform all\n  ferry-installer export bundle.ferry.tar.zst demo:1.2.3 -o demo-1.2.3.tgz"
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// The image: by its name in the world, its name at the site, or its digest. Or a chart, `NAME` or `NAME:VERSION`; or a file by its
    /// path below /files/.
    #[arg(value_name = "IMAGE")]
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
    let (what, exported) = choose(args, &bundle)?;
    let (events, guard) = global.output.renderer();
    events.stage("export", Some(exported.bytes), Some(1));
    let task = events.start(exported.name.clone(), Some(exported.bytes));
    if to_stdout {
        what.write(&bundle, &mut io::stdout().lock(), &task)?;
    } else {
        write_file(&what, &bundle, &args.to, &task)?;
    }
    task.finish();
    drop(guard);
    if !to_stdout {
        global.output.print(&exported, || exported.text());
    }
    Ok(ExitCode::Done)
}

/// What is written.
enum What {
    Image(Archive),
    Plain(Plain),
}

impl What {
    fn write(&self, bundle: &Bundle, out: &mut impl Write, task: &Task) -> Result<(), ExportError> {
        match self {
            Self::Image(archive) => archive.write(out, task),
            Self::Plain(plain) => plain.write(bundle, out, task),
        }
    }
}

/// An image of that name, or else a chart or a file.
fn choose<'a>(args: &'a Args, bundle: &Bundle) -> Result<(What, Exported<'a>), Error> {
    let to = args.to.as_path();
    let image = match find_image(bundle.catalog(), &args.image) {
        Ok(image) => image,
        Err(unknown @ ExportError::Unknown { .. }) => {
            let plain = find_plain(bundle.catalog(), &args.image)?.ok_or(unknown)?;
            if args.platform.is_some() || !args.name.is_empty() || args.format != Format::default() {
                return Err(Error::Usage {
                    problem: format!("{} is no image, and is written as it is", plain.name),
                    hint: "leave out --format, --platform and --name".into(),
                });
            }
            let (name, bytes) = (plain.name.clone(), plain.size(bundle)?);
            let exported = Exported { name, digest: plain.digest, format: None, path: to, bytes };
            return Ok((What::Plain(plain), exported));
        }
        Err(other) => return Err(other.into()),
    };
    let archive = plan(args, bundle, image)?;
    let (name, bytes) = (image.reference.to_string(), archive.size());
    let exported = Exported { name, digest: image.digest, format: Some(args.format), path: to, bytes };
    Ok((What::Image(archive), exported))
}

/// What was written.
#[derive(Serialize)]
struct Exported<'a> {
    name: String,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    path: &'a Path,
    bytes: u64,
}

impl Exported<'_> {
    fn text(&self) -> String {
        let (path, bytes) = (self.path.display(), ByteSize(self.bytes));
        let load = match self.format {
            Some(Format::DockerArchive) => format!("; to load it: docker load -i {path}"),
            Some(Format::OciArchive) => format!("; to load it: ctr images import {path}"),
            None => String::new(),
        };
        format!("{path} written: {}, {bytes}{load}", self.name)
    }
}

fn plan(args: &Args, bundle: &Bundle, image: &Image) -> Result<Archive, ExportError> {
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
fn write_file(what: &What, bundle: &Bundle, path: &Path, task: &Task) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let file = File::create(&partial).map_err(Error::io("writing", &partial))?;
    let written = what
        .write(bundle, &mut BufWriter::with_capacity(1 << 20, &file), task)
        .map_err(Error::from)
        .and_then(|()| file.sync_all().map_err(Error::io("writing", &partial)))
        .and_then(|()| fs::rename(&partial, path).map_err(Error::io("writing", path)));
    if written.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&partial);
    }
    written
}
