//! Has texts name the images of a bundle as the site calls them.
//!
//! 1. [`known`] says what the bundle has, by the names of the world and by those that `apply` pushes.
//! 2. [`walk`] finds the files; [`item`] takes one after another; [`archive`] opens charts; [`source`] reads texts, in the
//!    [`pieces`] that fit into memory.
//! 3. [`text`] finds the references of a piece, [`judge`] decides on each, and on registries that stand for several.
//! 4. [`sink`] writes what follows; [`outcome`] keeps what is to be told; [`resolve`] asks the registry for every name that then
//!    stands there.
//!
//! Only the bytes of references change, and only of those that the bundle has; everything else is told.

mod archive;
mod chart;
mod ground;
mod item;
mod judge;
pub(crate) mod known;
mod kustomized;
mod outcome;
mod pieces;
mod pods;
mod remark;
mod report;
mod resolve;
mod sink;
mod source;
mod text;
mod walk;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferry_references::Format;

pub use remark::{Kind, Remark, Spot, Weight};
pub use report::{Archive, RewriteReport};
pub use text::Edit;

use crate::Error;
use crate::context::Context;
use crate::desire::Naming;
use crate::export::host_platform;
use ground::Ground;
use known::Known;
use kustomized::Kustomized;
use outcome::Outcome;
use remark::Said;
use sink::Sink;
use source::Source;

/// What is done with the texts.
#[expect(missing_debug_implementations, reason = "writers have none")]
pub enum Output<'a> {
    /// Nothing: what would be edited is told.
    Nowhere,
    /// The changes are written here, as a unified diff.
    Diff(&'a mut dyn Write),
    /// They take the place of those that were read.
    InPlace,
    /// They are written below this folder, together with all that is not changed.
    Folder(PathBuf),
}

impl Output<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Nowhere => "nowhere",
            Self::Diff(_) => "diff",
            Self::InPlace => "in-place",
            Self::Folder(_) => "folder",
        }
    }
}

/// Whether the registry is asked for each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolving {
    /// It is, where it answers.
    Asked,
    /// It is not.
    Offline,
}

/// Rewrites all texts at and below `paths`.
pub async fn rewrite_paths(
    context: &Context,
    paths: &[PathBuf],
    mut output: Output<'_>,
    resolving: Resolving,
) -> Result<RewriteReport, Error> {
    let mut ground = Ground::new(context, resolving).await?;
    if let Output::Folder(folder) = &output {
        refuse_inside(folder, paths)?;
    }
    // What is not there is told before anything is written.
    for path in paths {
        readable(path).map_err(Error::io("reading", path))?;
    }
    ground.kustomized = Kustomized::of(paths);
    let mut outcome = Outcome::default();
    let mut taken = HashSet::new();
    for root in paths {
        for item in walk::items(root) {
            match item.map_err(|error| unreadable(root, error)) {
                Ok(item) => outcome.item_or_why_not(&item, &ground, &mut output, &mut taken)?,
                Err(error) => outcome.failed(root, &error),
            }
        }
    }
    finish(context, &ground.known, outcome, output.name(), resolving).await
}

/// Rewrites a text that comes in and goes out.
pub async fn rewrite_stream(
    context: &Context,
    from: impl Read,
    to: &mut dyn Write,
    resolving: Resolving,
) -> Result<RewriteReport, Error> {
    let ground = Ground::new(context, resolving).await?;
    let mut outcome = Outcome::default();
    let path = Path::new("-");
    let name: Arc<str> = "standard input".into();
    let mut source = Source::begin(from, &name).map_err(Error::io("reading", path))?;
    source.format = source.format.or(Some(Format::Yaml));
    outcome.files += 1;
    let mut sink = Sink::Whole(Box::new(to));
    source.rewrite(&mut sink, &ground, (None, &[]), &mut outcome).map_err(Error::io("rewriting", path))?;
    sink.finish().map_err(Error::io("writing", path))?;
    finish(context, &ground.known, outcome, "stream", resolving).await
}

pub(crate) async fn known(context: &Context, resolving: Resolving) -> Result<Known, Error> {
    let site = &context.site.site;
    let Some(registry) = &site.registry else {
        return Err(Error::Usage {
            problem: "the site file has no `registry`, so images have no names there".into(),
            hint: "say which registry the site has: `registry: {address: …}`".into(),
        });
    };
    let lists = Naming::manifest_lists(context, registry, resolving == Resolving::Asked).await;
    let platform = host_platform();
    let naming = Naming { registry, charts: &site.charts, lists, platform: &platform };
    Known::new(context.bundle()?.catalog(), &naming, site)
}

async fn finish(
    context: &Context,
    known: &Known,
    mut outcome: Outcome,
    output: &'static str,
    resolving: Resolving,
) -> Result<RewriteReport, Error> {
    outcome.tell_of_sought();
    let (address, names) = (known.address(), &outcome.named);
    let answers = match resolving {
        Resolving::Asked => resolve::resolve(context, address, names).await,
        Resolving::Offline => resolve::unasked(address, names, "--offline".into()),
    };
    outcome.remarks.extend(answers.remarks);
    if resolving == Resolving::Asked && answers.skipped.is_some() {
        let message = "it was not asked, so nothing proves that the names resolve there";
        outcome.say(&address.into(), Said::problem(Kind::NotAsked, message));
    }
    outcome.remarks.sort();
    outcome.remarks.dedup();
    Ok(RewriteReport {
        registry: address.to_owned(),
        output,
        files: outcome.files,
        texts: outcome.texts,
        changed: outcome.changed,
        right: outcome.right,
        resolved: outcome.named.len().min(answers.resolved),
        not_asked: answers.skipped,
        edits: outcome.edits,
        remarks: outcome.remarks,
        archives: outcome.archives,
    })
}

fn refuse_inside(folder: &Path, paths: &[PathBuf]) -> Result<(), Error> {
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.canonicalize().unwrap_or(path));
    let folder_is = absolute(folder).map_err(Error::io("reading", folder))?;
    for path in paths {
        if folder_is.starts_with(absolute(path).map_err(Error::io("reading", path))?) {
            return Err(Error::Usage {
                problem: format!("{} lies in {}, which is read", folder.display(), path.display()),
                hint: "name a folder beside it, or say --in-place".into(),
            });
        }
    }
    Ok(())
}

fn readable(path: &Path) -> io::Result<()> {
    let kind = path.metadata()?.file_type();
    if kind.is_dir() {
        path.read_dir()?;
    } else if kind.is_file() {
        File::open(path)?;
    }
    Ok(())
}

fn unreadable(root: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).to_owned();
    Error::Io { action: "reading", path, source: error.into() }
}
