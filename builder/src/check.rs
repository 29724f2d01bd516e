//! Completeness: whether every image that charts and other files name is carried.
//!
//! 1. [`Holdings`] are the images that a spec, a lock or a bundle carries.
//! 2. A [`Checker`] takes charts and paths. A chart is unpacked in memory, within limits, and read as it is written;
//!    where helm is on PATH it is rendered too, with the values that the user gives it.
//! 3. What rendering names is needed. What is only written in a chart that renders without it is possible, or optional
//!    where the values switch a subchart off. Where a chart is not rendered, all that it says counts.
//! 4. [`Checker::finish`] compares, silences what the spec says is a false alarm, and gives the [`Report`].
//! 5. [`fix`](fix::fix) writes what is missing into the spec.
//!
//! A [`Subject`](subject::Subject) is what a command names: it knows which charts there are and gets their archives.

mod chart;
mod files;
pub mod fix;
mod helm;
mod holdings;
mod kustomize;
mod mention;
mod rendered;
mod report;
pub mod subject;
mod template;
mod values;
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::spec::{Check, Ignore};
use ferry_references::{How, Malformed};
use serde_json::Value;

use crate::Error;
use chart::Chart;
use helm::{Helm, Rendering};
pub use holdings::Holdings;
use mention::Mention;
pub use mention::Place;
pub use report::{CheckedChart, CheckedImage, Idle, Report, State, Unread};
use written::Written;

/// How charts are looked into.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Leave helm alone, even where it is there.
    pub only_static: bool,
    /// The version of Kubernetes to render for. Default: the oldest that will do.
    pub kube_version: Option<String>,
    /// Files of values: for every chart, or for those of one name.
    pub values: Vec<ValuesFile>,
}

/// A file of values from the command line.
#[derive(Clone, Debug)]
pub struct ValuesFile {
    /// The chart's name; without one, any.
    pub chart: Option<String>,
    /// The file.
    pub path: PathBuf,
}

/// A chart to look into.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Its archive.
    Archive(&'a [u8]),
    /// Its folder, or the file that its archive is.
    At(&'a Path),
}

/// Looks into charts and files, one after another.
#[derive(Debug)]
pub struct Checker {
    settings: Settings,
    helm: Option<Helm>,
    mentions: Vec<Mention>,
    charts: Vec<CheckedChart>,
    /// The names of the charts that could be opened.
    names: BTreeSet<String>,
    /// Whether one could not be, so that its name is not known.
    has_nameless: bool,
    files: usize,
    unclear: Vec<Place>,
    unread: Vec<Unread>,
    unproven: Vec<Unproven>,
}

/// A chart that may name more than is seen.
#[derive(Debug)]
struct Unproven {
    source: String,
    /// What it is silenced by: `chart:redis`.
    name: String,
    reason: String,
}

impl Checker {
    /// One that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        let helm = if settings.only_static { None } else { Helm::find() };
        Self {
            settings,
            helm,
            mentions: Vec::new(),
            charts: Vec::new(),
            names: BTreeSet::new(),
            has_nameless: false,
            files: 0,
            unclear: Vec::new(),
            unread: Vec::new(),
            unproven: Vec::new(),
        }
    }

    /// Looks into a chart. `source` is what places in it begin with; `values` are those that the spec gives it.
    pub fn chart(&mut self, source: &str, content: Content<'_>, values: &[PathBuf]) -> Result<(), Error> {
        let chart = match content {
            Content::Archive(bytes) => Chart::from_archive(bytes),
            Content::At(path) if path.is_dir() => Chart::from_folder(path),
            Content::At(path) => Chart::from_file(path).map_err(Error::io("reading", path))?,
        };
        match chart {
            Ok(chart) => self.opened(source, &chart, content, values),
            Err(reason) => {
                self.has_nameless = true;
                self.unread.push(Unread { source: source.to_owned(), reason });
                Ok(())
            }
        }
    }

    fn opened(
        &mut self,
        source: &str,
        chart: &Chart,
        content: Content<'_>,
        values: &[PathBuf],
    ) -> Result<(), Error> {
        self.names.insert(chart.metadata.name.clone());
        let mut values = values.to_vec();
        let fits = |file: &&ValuesFile| file.chart.as_ref().is_none_or(|name| *name == chart.metadata.name);
        values.extend(self.settings.values.iter().filter(fits).map(|file| file.path.clone()));
        let given = read_values(&values)?;
        let rendered = self.render(chart, content, &values)?;
        let (text, failure) = match rendered {
            None => (None, None),
            Some(Ok(text)) => (Some(text), None),
            Some(Err(failure)) => (None, Some(failure)),
        };
        let sources = text.as_deref().map(rendered::sources);
        let mut written = Written::new(source, sources.as_ref());
        if let Err(reason) = written.read(chart, &given) {
            self.unread.push(Unread { source: source.to_owned(), reason });
        }
        let read = text.as_deref().map(|text| rendered::read(source, chart, text));
        let (mut named, mut malformed) = read.unwrap_or_default();
        self.prove(source, chart, failure.as_deref(), &written.lacking);
        for mention in &mut named {
            mention.place.note = written.mentions.iter().find_map(|other| written_at(mention, other));
        }
        // What rendering shows needs no second witness.
        let news = |mention: &Mention| !named.iter().any(|other| other.image == mention.image);
        let news: Vec<Mention> = written.mentions.into_iter().filter(news).collect();
        named.extend(news);
        self.mentions.append(&mut named);
        self.unclear.append(&mut written.unclear);
        self.unclear.append(&mut malformed);
        self.charts.push(CheckedChart { source: source.to_owned(), rendered: text.is_some(), failure });
        Ok(())
    }

    /// Tells what of a chart is not seen: subcharts that are not there, or all that templates make up.
    fn prove(&mut self, source: &str, chart: &Chart, failure: Option<&str>, lacking: &[String]) {
        let mut unproven = |name: &str, reason: String| {
            self.unproven.push(Unproven { source: source.to_owned(), name: format!("chart:{name}"), reason });
        };
        for name in lacking {
            let reason = format!("its dependency {name} is not in charts/: run `helm dependency build`");
            unproven(name, reason);
        }
        if let Some(failure) = failure.filter(|_| lacking.is_empty()) {
            let reason = format!("it does not render, so what its templates make up is not seen: {failure}");
            unproven(&chart.metadata.name, reason);
        }
    }

    /// What helm makes of a chart; none where it is not asked.
    fn render(
        &self,
        chart: &Chart,
        content: Content<'_>,
        values: &[PathBuf],
    ) -> Result<Option<Result<String, String>>, Error> {
        let is_library = chart.metadata.kind.as_deref() == Some("library");
        let Some(helm) = self.helm.as_ref().filter(|_| !is_library) else { return Ok(None) };
        let mut kept = None;
        let path = match content {
            Content::At(path) => path.to_owned(),
            Content::Archive(bytes) => {
                let folder = tempfile::tempdir().map_err(Error::io("creating", std::env::temp_dir()))?;
                let path = folder.path().join("chart.tgz");
                std::fs::write(&path, bytes).map_err(Error::io("writing", &path))?;
                kept = Some(folder);
                path
            }
        };
        let name = &chart.metadata.name;
        let kube_version = self.settings.kube_version.as_deref();
        let rendered = helm.template(Rendering { name, chart: &path, values, kube_version });
        drop(kept);
        Ok(Some(rendered))
    }

    /// Looks into a path: a chart, a file, or all of a folder but `not_these`.
    pub fn path(&mut self, path: &Path, not_these: &[PathBuf]) -> Result<(), Error> {
        files::look_into(self, path, not_these)
    }

    /// Fails where values are given to a chart that is not among those that were looked into: nobody read them. A chart that
    /// could not be opened may be theirs, and the report says what is wrong with it.
    pub fn prove_values(&self) -> Result<(), Error> {
        if self.has_nameless {
            return Ok(());
        }
        let names = self.settings.values.iter().filter_map(|file| file.chart.as_ref());
        let Some(name) = names.into_iter().find(|name| !self.names.contains(*name)) else { return Ok(()) };
        let problem = format!("there is no chart `{name}` to give values to");
        let charts: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let hint = match &charts[..] {
            [] => "no chart was looked into".to_owned(),
            charts => format!("the charts are: {}", charts.join(", ")),
        };
        Err(Error::Entry { problem, hint: Some(hint), class: Class::Usage })
    }

    /// Compares what was found with what is carried.
    pub fn finish(mut self, holdings: &Holdings, rules: &Check) -> Report {
        let (images, mut idle) = report::judge(self.mentions, holdings, rules);
        for unproven in self.unproven {
            let Unproven { source, name, reason } = unproven;
            let silences = |rule: &&Ignore| {
                rule.image.matches(&name) && rule.place.as_ref().is_none_or(|place| place.matches(&source))
            };
            match rules.ignore.iter().find(silences) {
                Some(rule) => idle.retain(|idle| !idle.is(rule)),
                None => self.unread.push(Unread { source, reason }),
            }
        }
        self.unclear.sort();
        self.unclear.dedup();
        let is_missing = images.iter().any(|image| image.state == State::Missing);
        Report {
            helm: self.helm.map(|helm| helm.version),
            complete: !is_missing && self.unread.is_empty(),
            charts: self.charts,
            files: self.files,
            images,
            unclear: self.unclear,
            unread: self.unread,
            idle,
            added: Vec::new(),
        }
    }
}

/// Where the values say a name that a template puts in.
fn written_at(rendered: &Mention, written: &Mention) -> Option<String> {
    let file = written.place.file.as_ref().filter(|file| file.ends_with("values.yaml"))?;
    let line = written.place.line.filter(|_| written.image == rendered.image)?;
    Some(format!("written in {file}:{line}"))
}

/// What a text names only in part, or not at all, as places to look at.
fn unclear(
    source: &str,
    file: Option<&str>,
    unclear: Vec<ferry_references::Place>,
    malformed: Vec<Malformed>,
) -> Vec<Place> {
    let unclear = unclear.into_iter().map(|place| noted(source, file, place, None));
    let malformed = malformed.into_iter().map(|one| noted(source, file, one.place, Some(one.reason)));
    unclear.chain(malformed).collect()
}

fn noted(source: &str, file: Option<&str>, place: ferry_references::Place, note: Option<String>) -> Place {
    Place {
        source: source.to_owned(),
        file: file.map(str::to_owned),
        line: Some(place.line),
        object: place.object,
        path: place.path,
        how: How::Image,
        rendered: false,
        note,
    }
}

/// Files of values, the later on top of the earlier.
fn read_values(files: &[PathBuf]) -> Result<Value, Error> {
    let mut given = Value::Object(serde_json::Map::new());
    for path in files {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
        let values = values::parse(&text).map_err(|reason| {
            let problem = format!("{} holds no values: {reason}", path.display());
            Error::input(problem, "write a map, as in a chart's values.yaml")
        })?;
        values::merge(&mut given, &values);
    }
    Ok(given)
}
