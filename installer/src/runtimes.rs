//! Runtimes that builds asked for and did not get. PaaS fetches them from bkrepo's generic service, whose access log tells
//! of each request that ended in 404; what a site lacks today is what the next bundle carries.
//!
//! Lines go one by one through [`Tally::line`]; [`Missing`] is what comes out, and [`Missing::spec`] a spec that
//! would bring it.

mod log;
mod runtime;
mod spec;

use std::collections::BTreeMap;

use ferry_display::printable;
use ferry_model::catalog::Catalog;
use serde::Serialize;

pub use runtime::Runtime;

/// The most paths that are told apart. Anybody may ask for anything, as scanners do, and the memory is ours.
const MOST_PATHS: usize = 10_000;

/// Counts the requests that were not met, below one project and repository of bkrepo.
#[derive(Clone, Debug)]
pub struct Tally {
    project: String,
    /// Absent: all of the project's.
    repository: Option<String>,
    lines: u64,
    by_path: BTreeMap<(String, String), Count>,
    /// Requests for more than [`MOST_PATHS`].
    uncounted: u64,
}

#[derive(Clone, Debug)]
struct Count {
    requests: u64,
    last: Option<String>,
}

impl Tally {
    /// For a project (`bkpaas`) and one of its repositories, or all.
    pub fn new(project: impl Into<String>, repository: Option<String>) -> Self {
        Self { project: project.into(), repository, lines: 0, by_path: BTreeMap::new(), uncounted: 0 }
    }

    /// Takes a line of the log.
    pub fn line(&mut self, line: &str) {
        self.lines += 1;
        let Some(request) = log::unmet(line) else { return };
        let Some((repository, path)) = request
            .path
            .strip_prefix(&format!("/{}/", self.project))
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, path)| !path.is_empty())
        else {
            return;
        };
        if self.repository.as_deref().is_some_and(|wanted| wanted != repository) {
            return;
        }
        let key = (repository.to_owned(), format!("/{path}"));
        if self.by_path.len() >= MOST_PATHS && !self.by_path.contains_key(&key) {
            self.uncounted += 1;
            return;
        }
        let count = self.by_path.entry(key).or_insert(Count { requests: 0, last: None });
        count.requests += 1;
        if let Some(time) = request.time {
            // Lines of several pods come one pod after the other; those times are of one form, so the greater is the later.
            if count.last.as_deref().is_none_or(|last| last < time) {
                count.last = Some(time.to_owned());
            }
        }
    }

    /// What was asked for and not there; with a bundle, whether that has it.
    pub fn missing(self, bundle: Option<&Catalog>) -> Missing {
        let has = |repository: &str, path: &str| {
            bundle.map(|catalog| {
                catalog.files.iter().any(|file| {
                    file.repository.as_deref() == Some(repository)
                        && file.path.as_str() == path.trim_start_matches('/')
                })
            })
        };
        let files = self.by_path.into_iter().map(|((repository, path), count)| {
            let repository = format!("{}/{repository}", self.project);
            MissingFile {
                in_bundle: has(&repository, &path),
                runtime: Runtime::of(&path),
                requests: count.requests,
                last: count.last,
                repository,
                path,
            }
        });
        let mut files: Vec<MissingFile> = files.collect();
        // Behind what was asked for last: that is what somebody waits for.
        files.sort_by(|one, other| other.last.cmp(&one.last).then_with(|| one.path.cmp(&other.path)));
        Missing { lines: self.lines, files, uncounted: self.uncounted }
    }
}

/// Files that were asked for and not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Lines that were read.
    pub lines: u64,
    /// The files, the last asked for first.
    pub files: Vec<MissingFile>,
    /// Requests for further files, which are too many to tell apart.
    pub uncounted: u64,
}

/// A file that was asked for and not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingFile {
    /// Its repository: `bkpaas/bkpaas3-platform-assets`.
    pub repository: String,
    /// Its path there, with `/` in front.
    pub path: String,
    /// How often it was asked for.
    pub requests: u64,
    /// When last, as the log says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Which runtime it is, where the path tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Whether the bundle that was named has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_bundle: Option<bool>,
}

impl Missing {
    /// For people.
    pub fn text(&self) -> String {
        if self.files.is_empty() {
            let lines = if self.lines == 1 { "line" } else { "lines" };
            return format!("no request for a runtime ended in 404, of {} {lines} of log", self.lines);
        }
        let mut text = format!("{:>8}  {:<23}  {:<20}  {}\n", "REQUESTS", "LAST", "RUNTIME", "PATH");
        for file in &self.files {
            let runtime = file.runtime.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            let last = file.last.as_deref().unwrap_or("?");
            let bundle = match file.in_bundle {
                Some(true) => "  (in the bundle: apply brings it)",
                Some(false) => "  (not in the bundle)",
                None => "",
            };
            // Anybody can have anything written into a log.
            let place = format!("{}{}", file.repository, file.path);
            let (place, last, runtime) = (printable(&place), printable(last), printable(&runtime));
            text.push_str(&format!("{:>8}  {last:<23}  {runtime:<20}  {place}{bundle}\n", file.requests));
        }
        let notes: Vec<String> = self.files.iter().filter_map(MissingFile::note).collect();
        if !notes.is_empty() {
            text.push('\n');
            for note in notes {
                text.push_str(&format!("note: {}\n", printable(&note)));
            }
        }
        if self.uncounted > 0 {
            text.push_str(&format!(
                "\nand {} requests for further files, too many to list\n",
                self.uncounted
            ));
        }
        text.push_str("\n`--spec` prints a spec that brings them\n");
        text
    }

    /// A spec that brings what no bundle named has, from a release of the download site: `paas3-1.1`. Empty if nothing is missing.
    pub fn spec(&self, release: &str) -> String {
        spec::spec(self.files.iter().filter(|file| file.in_bundle != Some(true)), release)
    }
}

impl MissingFile {
    fn note(&self) -> Option<String> {
        let runtime = self.runtime.as_ref()?;
        runtime.is_range().then(|| {
            format!(
                "{} asks for {} {}, which is no version but a range, and nothing resolves ranges here: name an exact version in the app's package.json (engines.node)",
                self.path, runtime.name, runtime.version.as_deref().unwrap_or_default()
            )
        })
    }
}

#[cfg(test)]
mod tests;
