//! Has texts name the images of a bundle as the site calls them.
//!
//! 1. [`known`] says what the bundle has, by the names of the world and by those that `apply` pushes.
//! 2. [`walk`] finds the files; [`pieces`] cuts each into pieces that fit into memory; [`archive`] opens charts.
//! 3. [`text`] finds the references of a piece, [`judge`] decides on each, and on registries that stand for several.
//! 4. [`sink`] writes what follows; [`resolve`] asks the registry for every name that then stands there.
//!
//! Only the bytes of references change, and only of those that the bundle has; everything else is told.

mod archive;
mod chart;
mod judge;
pub(crate) mod known;
mod kustomized;
mod pieces;
mod pods;
mod remark;
mod report;
mod resolve;
mod sink;
mod text;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferry_model::{Digest, ImageReference};
use ferry_references::{Format, format_of};

pub use remark::{Kind, Remark, Spot, Weight};
pub use report::{Archive, RewriteReport};
pub use text::Edit;

use crate::Error;
use crate::context::Context;
use crate::desire::{Naming, ingress, virtual_settings};
use crate::export::host_platform;
use chart::Chart;
use judge::Judge;
use known::{Known, Target};
use kustomized::Kustomized;
use pieces::{Pieces, line_ends};
use pods::Pods;
use remark::Said;
use resolve::Use;
use sink::Sink;
use text::Seen;
use walk::{Item, What};

/// How much of a file is read to tell what it is written in.
const BEGINNING: u64 = 8 << 10;
/// The largest chart archive.
const MAX_ARCHIVE: u64 = 128 << 20;

/// Pieces of a file that are worked on at once.
const MAX_THREADS: usize = 8;
/// No more pieces are worked on at once when those that are have so many bytes.
const MAX_AT_ONCE: u64 = 4 << 20;

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

/// What all texts are rewritten by.
struct Ground {
    known: Known,
    pods: Option<Pods>,
    /// The site file and the bundle, which stay as they are.
    own: Vec<PathBuf>,
    kustomized: Kustomized,
}

impl Ground {
    async fn new(context: &Context, resolving: Resolving) -> Result<Self, Error> {
        let known = known(context, resolving).await?;
        let own = [context.site.path.as_path(), context.bundle()?.path()];
        let own = own.into_iter().filter_map(|path| path.canonicalize().ok()).collect();
        let configure = context.site.site.nodes.configure.as_ref();
        let Some(nodes) = configure.and_then(|configure| configure.virtual_nodes.clone()) else {
            return Ok(Self { known, pods: None, own, kustomized: Kustomized::default() });
        };
        let ingress = match resolving {
            Resolving::Asked => ingress(context).await?,
            Resolving::Offline => None,
        };
        let settings = virtual_settings(&context.site, ingress)?;
        let pods = settings.map(|settings| Pods { nodes, annotations: settings.annotations });
        Ok(Self { known, pods, own, kustomized: Kustomized::default() })
    }

    fn is_own(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.own.iter().any(|own| path.starts_with(own)))
    }
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

/// What came of all texts so far.
#[derive(Debug, Default)]
struct Outcome {
    files: usize,
    texts: usize,
    changed: usize,
    edits: Vec<Edit>,
    remarks: Vec<Remark>,
    named: BTreeMap<Target, Use>,
    right: usize,
    archives: Vec<Archive>,
    /// Names that kustomizations look for in their resources.
    sought: Vec<(Spot, String)>,
    /// Names that edits share.
    names: HashSet<Arc<str>>,
}

impl Outcome {
    fn take(&mut self, seen: Seen) {
        for mut edit in seen.edits {
            edit.before = self.shared(edit.before);
            edit.after = self.shared(edit.after);
            edit.object = edit.object.map(|object| self.shared(object));
            self.edits.push(edit);
        }
        self.remarks.extend(seen.remarks);
        self.right += seen.right;
        self.sought.extend(seen.sought);
        for named in seen.named {
            let first = Use { spot: named.spot, count: 0, is_foreign: named.is_foreign };
            self.named.entry(named.target).or_insert(first).count += 1;
        }
    }

    /// A kustomization finds images by the names that its resources have, and these may have others now. They mostly lie beside
    /// it or beside its folder.
    fn tell_of_sought(&mut self) {
        let canonical = |name: &str| name.parse::<ImageReference>().map(|name| name.name()).ok();
        for (spot, name) in std::mem::take(&mut self.sought) {
            let folder = Path::new(&*spot.file).ancestors().nth(2).unwrap_or(Path::new(""));
            let is_it = |edit: &&Edit| {
                edit.spot.file != spot.file
                    && Path::new(&*edit.spot.file).starts_with(folder)
                    && canonical(&edit.before) == canonical(&name)
            };
            let Some(edit) = self.edits.iter().find(is_it) else { continue };
            let now = canonical(&edit.after).unwrap_or_default();
            let message =
                format!("{} says {now} now: if that is its resource, write that as `name`", edit.spot);
            self.remarks.push(Said::note(Kind::Kustomization, message).at(spot, None, name));
        }
    }

    fn shared(&mut self, name: Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(&name) {
            return known.clone();
        }
        self.names.insert(name.clone());
        name
    }

    fn say(&mut self, file: &Arc<str>, said: Said) {
        self.remarks.push(said.at(Spot::file(file), None, String::new()));
    }

    /// A file that cannot be read or written must not hold up the others, of which some are written already.
    fn item_or_why_not(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<(), Error> {
        match self.item(item, ground, output, taken) {
            // Nobody reads the diff any more.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                Err(Error::io("writing", &item.path)(source))
            }
            Err(error @ Error::Io { .. }) => {
                self.failed(&item.path, &error);
                Ok(())
            }
            done => done,
        }
    }

    fn failed(&mut self, path: &Path, error: &Error) {
        let failed = ferry_model::report::Failed::new(error);
        self.say(&shown(path), Said::problem(Kind::Failed, failed.message));
    }

    fn item(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<(), Error> {
        let copy = match &output {
            Output::Folder(folder) => {
                let place = sink::place(folder, &item.relative).map_err(Error::io("writing", folder))?;
                if item.what != What::Folder && !taken.insert(place.clone()) {
                    return Err(Error::Usage {
                        problem: format!("two files would both be {}", place.display()),
                        hint: "name the folder that they lie in".into(),
                    });
                }
                Some(place)
            }
            _ => None,
        };
        match (item.what, copy) {
            (What::Folder, Some(place)) => {
                std::fs::create_dir_all(&place).map_err(Error::io("making", place))
            }
            (What::Link, Some(place)) => copy_link(&item.path, &place).map_err(Error::io("linking", place)),
            (What::Folder | What::Link, None) => Ok(()),
            (What::File, copy) => self.file(item, ground, output, copy.as_deref()),
        }
    }

    fn file(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        copy: Option<&Path>,
    ) -> Result<(), Error> {
        let path = &item.path;
        let name = shown(path);
        let file = File::open(path).map_err(Error::io("reading", path))?;
        let mut source = Source::begin(file, &name).map_err(Error::io("reading", path))?;
        let is_own = ground.is_own(path);
        source.format = source.format.filter(|_| !is_own);
        let mut sink = match (output, copy) {
            (_, Some(place)) => Sink::copy(path, place).map_err(Error::io("writing", place))?,
            (Output::Diff(to), None) => Sink::diff(*to, &name),
            (Output::InPlace, None) => Sink::in_place(path),
            _ => Sink::Nowhere,
        };
        self.files += 1;
        let before = self.edits.len();
        let result = if archive::is_archive(&name) && !is_own {
            self.archive(path, &name, source, &ground.known, &mut sink)
        } else if source.format.is_some() {
            source.rewrite(
                &mut sink,
                ground,
                (Chart::beside(path).as_ref(), ground.kustomized.ways(path)),
                self,
            )
        } else {
            if item.is_named && !is_own {
                let message = "neither its name nor how it begins says what it is written in";
                self.say(&name, Said::problem(Kind::Unread, message));
            }
            if copy.is_some() { source.copy(&mut sink) } else { Ok(()) }
        };
        match result {
            Ok(()) => {
                let finished = sink.finish().map_err(Error::io("writing", path));
                if finished.is_err() {
                    self.edits.truncate(before);
                }
                self.changed += usize::from(self.edits.len() > before);
                finished
            }
            // What cannot be read as a text stays as it is, and must not hold up the others.
            Err(error) if is_unread(&error) => {
                self.edits.truncate(before);
                self.say(&name, Said::problem(Kind::Unread, error.to_string()));
                copy.map_or(Ok(()), |place| {
                    std::fs::copy(path, place).map(drop).map_err(Error::io("copying", path))
                })
            }
            Err(error) => {
                self.edits.truncate(before);
                Err(Error::io("rewriting", path)(error))
            }
        }
    }

    fn archive(
        &mut self,
        path: &Path,
        name: &Arc<str>,
        source: Source<impl Read>,
        known: &Known,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        let mut bytes = source.beginning;
        source.reader.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_ARCHIVE {
            let message = format!("an archive of more than {} MiB is not looked at", MAX_ARCHIVE >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let packed = archive::rewrite_archive(&bytes, name, known, 0, self)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(packed) = &packed {
            self.archives.push(Archive {
                file: name.clone(),
                before: Digest::of(&bytes),
                after: Digest::of(packed),
            });
            let provenance = format!("{}.prov", path.display());
            if Path::new(&provenance).exists() {
                let message =
                    format!("{name}.prov signs the chart as it was: sign it anew, or do not verify it");
                self.say(name, Said::note(Kind::Provenance, message));
            }
        }
        sink.whole(&bytes, packed.as_deref())
    }
}

/// A path as people see it.
fn shown(path: &Path) -> Arc<str> {
    path.strip_prefix("./").unwrap_or(path).display().to_string().into()
}

/// Whether it is the text that is wrong, and not the disk.
fn is_unread(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge | io::ErrorKind::UnexpectedEof
    )
}

fn copy_link(link: &Path, place: &Path) -> io::Result<()> {
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(std::fs::read_link(link)?, place)
}

/// What comes of each item, worked out at once.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [item] = items {
        return vec![work(item)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect()
    })
}

/// A file that is being read.
struct Source<R> {
    reader: R,
    beginning: Vec<u8>,
    name: Arc<str>,
    /// Absent where it is no text in which images are named.
    format: Option<Format>,
}

impl<R: Read> Source<R> {
    fn begin(mut reader: R, name: &Arc<str>) -> io::Result<Self> {
        let mut beginning = Vec::new();
        reader.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
        let is_binary = beginning.contains(&0);
        let format = format_of(name, &String::from_utf8_lossy(&beginning)).filter(|_| !is_binary);
        Ok(Self { reader, beginning, name: name.clone(), format })
    }

    fn rewrite(
        self,
        sink: &mut Sink<'_>,
        ground: &Ground,
        (chart, ways): (Option<&Chart>, &[Vec<String>]),
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let Some(format) = self.format else { return Ok(()) };
        outcome.texts += 1;
        let judge = Judge { known: &ground.known, chart, ways };
        let mut pieces = Pieces::new(self.beginning, self.reader, format);
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut lines = 0;
        loop {
            let (mut batch, begins) = (Vec::new(), pieces.given());
            while batch.len() < cores
                && pieces.given() - begins < MAX_AT_ONCE
                && let Some(piece) = pieces.next()?
            {
                let here = lines;
                lines += line_ends(&piece);
                batch.push((piece, here));
            }
            if batch.is_empty() {
                return Ok(());
            }
            let rewrite = |(piece, lines): &(Vec<u8>, usize)| -> io::Result<Seen> {
                let text = std::str::from_utf8(piece).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8, so it was not looked at")
                })?;
                let mut seen = text::rewrite(text, format, &judge, &self.name, *lines);
                if let Some(pods) = ground.pods.as_ref().filter(|_| format == Format::Yaml) {
                    seen.annotate(pods, text, &self.name, *lines);
                }
                Ok(seen)
            };
            for ((piece, _), seen) in batch.iter().zip(at_once(&batch, rewrite)) {
                let mut seen = seen?;
                sink.piece(piece, seen.text.take().as_deref())?;
                outcome.take(seen);
            }
        }
    }

    /// Hands it on as it is.
    fn copy(mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        sink.whole(&self.beginning, None)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.reader.read(&mut buffer)? {
                0 => return Ok(()),
                count => sink.whole(&buffer[..count], None)?,
            }
        }
    }
}
