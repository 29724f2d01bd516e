//! What a check is about: the images, the charts and the silenced alarms of a spec, a lock or a bundle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::lock::{Lock, LockedBlob, LockedChart};
use ferry_model::spec::{ChartEntry, ChartSource, Check};
use ferry_model::{Digest, catalog, event};
use ferry_transfer::{Client, Options, Resume};

use super::chart::MAX_ARCHIVE;
use super::{Checker, Content, Holdings};
use crate::Error;
use crate::document::SpecFile;
use crate::fetch::{Memory, Sources};
use crate::resolve::chart_values;

/// What a check is about.
#[derive(Debug)]
pub struct Subject {
    /// The images that are carried.
    pub holdings: Holdings,
    /// The alarms that the spec silences.
    pub rules: Check,
    charts: Vec<SubjectChart>,
    store: Store,
}

/// The way to charts that are not on this machine.
#[derive(Debug)]
pub struct Access<'a> {
    /// The way out.
    pub client: &'a Client,
    /// For the docker daemon.
    pub transfer: &'a Options,
    /// Bundles that may have them already.
    pub earlier: Vec<Bundle>,
    /// Where to tell what happens.
    pub events: &'a Events,
}

#[derive(Debug)]
struct SubjectChart {
    /// `charts/bk-monitor-3.7.0`.
    source: String,
    archive: Digest,
    /// Files of values, once for each way in which the spec asks for the chart.
    values: Vec<Vec<PathBuf>>,
}

/// Where archives are.
#[derive(Debug)]
enum Store {
    Bundle(Bundle),
    Lock { sources: Box<Sources>, blobs: HashMap<Digest, LockedBlob> },
}

impl Subject {
    /// What a lock carries, with the values and the rules of its spec where that is at hand. Paths of the lock begin in
    /// `folder`.
    pub fn of_lock(
        lock: &Lock,
        spec: Option<&SpecFile>,
        folder: &Path,
        access: Access<'_>,
    ) -> Result<Self, Error> {
        let values = spec.map(chart_values).transpose()?.unwrap_or_default();
        let charts = lock.charts.iter().map(|chart| SubjectChart {
            source: source(&chart.name, &chart.version),
            archive: chart.archive,
            values: values_of(chart, &values),
        });
        let charts: Vec<SubjectChart> = charts.collect();
        let is_archive = |blob: &&LockedBlob| charts.iter().any(|chart| chart.archive == blob.digest);
        let blobs = lock.blobs.iter().filter(is_archive).map(|blob| (blob.digest, blob.clone())).collect();
        let sources = Sources {
            client: access.client.clone(),
            transfer: access.transfer.clone(),
            folder: folder.to_owned(),
            kept: HashMap::new(),
            reuse: access.earlier,
            salvage: None,
            events: access.events.clone(),
            archives: Mutex::default(),
        };
        Ok(Self {
            holdings: Holdings::of_lock(lock),
            rules: spec.map(|spec| spec.spec.check.clone()).unwrap_or_default(),
            charts,
            store: Store::Lock { sources: Box::new(sources), blobs },
        })
    }

    /// What a spec asks for. `charts` is the lock of its charts, `known` the lock of all of it where there is one.
    pub fn of_spec(
        spec: &SpecFile,
        charts: &Lock,
        known: Option<&Lock>,
        access: Access<'_>,
    ) -> Result<Self, Error> {
        let mut subject = Self::of_lock(charts, Some(spec), spec.folder(), access)?;
        subject.holdings = Holdings::of_spec(&spec.spec, charts, known);
        Ok(subject)
    }

    /// What a bundle carries, with the values and the rules of a spec where one is given.
    pub fn of_bundle(bundle: Bundle, spec: Option<&SpecFile>) -> Result<Self, Error> {
        let folder = spec.map_or(Path::new("."), SpecFile::folder);
        let entries = spec.iter().flat_map(|spec| &spec.spec.charts);
        let entries: Vec<_> = entries.map(|entry| (entry, local_archive(folder, entry))).collect();
        let values = |chart: &catalog::Chart| {
            let asks_for = |(entry, archive): &&(&ChartEntry, Option<Digest>)| {
                *archive == Some(chart.archive) || entry.is(&chart.name, &chart.version)
            };
            let paths = |values: &[String]| values.iter().map(|path| folder.join(path)).collect();
            or_none(entries.iter().filter(asks_for).map(|(entry, _)| paths(&entry.values)).collect())
        };
        let charts = bundle.catalog().charts.iter().map(|chart| SubjectChart {
            source: source(&chart.name, &chart.version),
            archive: chart.archive,
            values: values(chart),
        });
        Ok(Self {
            holdings: Holdings::of_catalog(bundle.catalog()),
            rules: spec.map(|spec| spec.spec.check.clone()).unwrap_or_default(),
            charts: charts.collect(),
            store: Store::Bundle(bundle),
        })
    }

    /// Looks into every chart, one in memory at a time.
    pub async fn look_into_charts(&self, checker: &mut Checker, events: &Events) -> Result<(), Error> {
        events.stage("check", None, Some(self.charts.len() as u64));
        for chart in &self.charts {
            let task = events.start(chart.source.clone(), None);
            let look = async {
                let archive = self.archive(chart, &task).await?;
                for values in &chart.values {
                    let look = || checker.chart(&chart.source, Content::Archive(&archive), values);
                    tokio::task::block_in_place(look)?;
                }
                Ok(())
            };
            match look.await {
                Ok(()) => task.finish(),
                Err(error) => {
                    task.fail(&error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn archive(&self, chart: &SubjectChart, task: &event::Task) -> Result<Vec<u8>, Error> {
        let too_large = |size: u64| {
            let problem = format!("{} has {size} bytes, more than a chart may have", chart.source);
            Error::input(problem, "check what its repository serves")
        };
        match &self.store {
            Store::Bundle(bundle) => {
                let read = || bundle.read_all(&chart.archive, MAX_ARCHIVE);
                Ok(tokio::task::block_in_place(read)?)
            }
            Store::Lock { sources, blobs } => {
                let blob = blobs.get(&chart.archive).ok_or_else(|| {
                    Error::input(format!("the lock lacks {}", chart.source), "run `ferry-builder lock` again")
                })?;
                if blob.size > MAX_ARCHIVE {
                    return Err(too_large(blob.size));
                }
                let mut memory = Memory::for_chart(MAX_ARCHIVE);
                sources.fetch(blob, Resume::default(), &mut memory, task).await?;
                Ok(memory.content)
            }
        }
    }
}

fn source(name: &str, version: &str) -> String {
    format!("charts/{name}-{version}")
}

/// The digest of an archive that a spec names on this machine: it may be called anything. None where it is not there now.
fn local_archive(folder: &Path, entry: &ChartEntry) -> Option<Digest> {
    let ChartSource::File(path) = &entry.source else { return None };
    let path = folder.join(path);
    let is_small = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MAX_ARCHIVE);
    is_small.then(|| std::fs::read(&path).ok()).flatten().map(|bytes| Digest::of(&bytes))
}

/// The values of every entry of the spec that asks for this chart.
fn values_of(chart: &LockedChart, values: &[(String, Vec<PathBuf>)]) -> Vec<Vec<PathBuf>> {
    let own = values.iter().filter(|(fingerprint, _)| chart.entries.contains(fingerprint));
    or_none(own.map(|(_, files)| files.clone()).collect())
}

/// A chart that is asked for in no way of its own is rendered once, as it is.
fn or_none(mut ways: Vec<Vec<PathBuf>>) -> Vec<Vec<PathBuf>> {
    ways.sort();
    ways.dedup();
    if ways.is_empty() { vec![Vec::new()] } else { ways }
}
