//! A chart as files in memory, with its subcharts: out of an archive or a folder, within limits.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The largest chart archive.
pub(super) const MAX_ARCHIVE: u64 = 64 << 20;
/// The most bytes that a chart unpacks to, its subcharts with it.
const MAX_UNPACKED: u64 = 100 << 20;
/// The largest file that is looked into; larger ones are no templates.
const MAX_FILE: u64 = 5 << 20;
/// The most files, subcharts' with them.
const MAX_ENTRIES: usize = 20_000;
/// Subcharts within subcharts, at most.
const MAX_DEPTH: usize = 8;

/// A chart, as far as images may be named in it.
#[derive(Debug, Default)]
pub(super) struct Chart {
    /// What `Chart.yaml` says.
    pub(super) metadata: Metadata,
    /// Texts by their path in the chart, without subcharts'.
    pub(super) files: BTreeMap<String, String>,
    /// Charts in `charts/`.
    pub(super) subcharts: Vec<Subchart>,
}

/// A chart in another's `charts/`.
#[derive(Debug)]
pub(super) struct Subchart {
    /// `charts/redis`, or `charts/redis-17.1.0.tgz`.
    pub(super) place: String,
    pub(super) chart: Chart,
}

/// `Chart.yaml`, as far as it matters here. Texts, so that a version like `1.10` does not become a number.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) app_version: Option<String>,
    /// `library` for one that others take in, and that renders to nothing itself.
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) dependencies: Vec<Dependency>,
}

/// A dependency, as `Chart.yaml` or `requirements.yaml` lists it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Dependency {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) alias: Option<String>,
    #[serde(default)]
    pub(super) condition: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

/// What is left of the limits of one chart.
struct Budget {
    bytes: u64,
    entries: usize,
}

impl Budget {
    fn entry(&mut self) -> Result<(), String> {
        self.entries = self.entries.checked_sub(1).ok_or(format!("it has more than {MAX_ENTRIES} files"))?;
        Ok(())
    }

    fn bytes(&mut self, count: u64) -> Result<(), String> {
        let too_large = || format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20);
        self.bytes = self.bytes.checked_sub(count).ok_or_else(too_large)?;
        Ok(())
    }
}

/// A chart's files by their path in it; texts only, and archives of subcharts.
type Files = BTreeMap<String, Vec<u8>>;

impl Chart {
    /// Reads a chart archive.
    pub(super) fn from_archive(archive: &[u8]) -> Result<Self, String> {
        let mut budget = Budget { bytes: MAX_UNPACKED, entries: MAX_ENTRIES };
        Self::unpack(archive, &mut budget, 0)
    }

    /// Reads a chart archive's file.
    pub(super) fn from_file(path: &Path) -> io::Result<Result<Self, String>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_ARCHIVE {
            return Ok(Err(format!("it has more than {} MiB", MAX_ARCHIVE >> 20)));
        }
        Ok(Self::from_archive(&bytes))
    }

    /// Reads a chart's folder.
    pub(super) fn from_folder(folder: &Path) -> Result<Self, String> {
        let mut budget = Budget { bytes: MAX_UNPACKED, entries: MAX_ENTRIES };
        let mut files = Files::new();
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(|error| error.to_string())?;
            let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            let Some(name) = path.to_str().filter(|_| entry.file_type().is_file()) else { continue };
            budget.entry()?;
            let file = std::fs::File::open(entry.path()).map_err(|error| format!("{name}: {error}"))?;
            let size = file.metadata().map_err(|error| format!("{name}: {error}"))?.len();
            keep(&mut files, name, size, file, &mut budget).map_err(|error| format!("{name}: {error}"))?;
        }
        Self::of(files, &mut budget, 0)
    }

    fn unpack(archive: &[u8], budget: &mut Budget, depth: usize) -> Result<Self, String> {
        // Everything that comes out of the decompressor counts, headers and what is skipped too.
        let room = budget.bytes + (budget.entries as u64) * 1024 + (1 << 20);
        let mut entries = tar::Archive::new(flate2::read::MultiGzDecoder::new(archive).take(room));
        let mut files = Files::new();
        for entry in entries.entries().map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            budget.entry()?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = entry.path().map_err(|error| error.to_string())?.into_owned();
            let Some(name) = inner(&path) else { continue };
            let size = entry.size();
            keep(&mut files, &name, size, entry, budget).map_err(|error| format!("{name}: {error}"))?;
        }
        Self::of(files, budget, depth)
    }

    /// Takes files apart into those of the chart and those of its subcharts.
    fn of(mut files: Files, budget: &mut Budget, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its subcharts are nested more than {MAX_DEPTH} deep"));
        }
        let mut folders: BTreeMap<String, Files> = BTreeMap::new();
        let mut subcharts = Vec::new();
        // Keys are sorted, so all of charts/ is in one piece; `0` comes right behind `/`.
        let mut below = files.split_off("charts/");
        files.append(&mut below.split_off("charts0"));
        for (path, content) in below {
            let rest = &path["charts/".len()..];
            match rest.split_once('/') {
                Some((folder, below)) => {
                    folders.entry(folder.to_owned()).or_default().insert(below.to_owned(), content);
                }
                None if is_archive(rest) => {
                    let chart = Self::unpack(&content, budget, depth + 1)
                        .map_err(|error| format!("{path}: {error}"))?;
                    subcharts.push(Subchart { place: path, chart });
                }
                None => {}
            }
        }
        // Helm passes over folders of charts/ that begin so, and over those that are no charts.
        folders.retain(|name, files| !name.starts_with(['.', '_']) && files.contains_key("Chart.yaml"));
        for (folder, files) in folders {
            let place = format!("charts/{folder}");
            let chart = Self::of(files, budget, depth + 1).map_err(|error| format!("{place}: {error}"))?;
            subcharts.push(Subchart { place, chart });
        }
        let files: BTreeMap<String, String> = files
            .into_iter()
            .filter_map(|(path, content)| Some((path, String::from_utf8(content).ok()?)))
            .collect();
        let text = files.get("Chart.yaml").ok_or("it has no Chart.yaml")?;
        let mut metadata: Metadata = lenient(text).map_err(|error| format!("Chart.yaml: {error}"))?;
        if let Some(Ok(listed)) = files.get("requirements.yaml").map(|text| lenient::<Metadata>(text)) {
            metadata.dependencies.extend(listed.dependencies);
        }
        Ok(Self { metadata, files, subcharts })
    }

    /// A file's text; empty where there is none.
    pub(super) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }
}

/// Reads YAML the way helm does, to whom the last of two equal keys is right.
pub(super) fn lenient<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    parse(text).map_err(|error| error.without_snippet().to_string())
}

/// Why it is no YAML; none where it is, or where there is more of it than the parser takes.
pub(super) fn why_no_yaml(text: &str) -> Option<String> {
    let error = parse::<IgnoredAny>(text).err()?;
    let error = error.without_snippet();
    let is_beyond = matches!(error, serde_saphyr::Error::Budget { .. });
    (!is_beyond).then(|| error.to_string())
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(text, options)
}

fn is_archive(name: &str) -> bool {
    name.ends_with(".tgz") || name.ends_with(".tar.gz")
}

/// The path below the archive's only folder; none for what would lie outside of it.
fn inner(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (parts.len() > 1).then(|| parts[1..].join("/"))
}

/// Keeps what may name images. A file without that is read past, within the limits all the same.
fn keep(
    files: &mut Files,
    name: &str,
    size: u64,
    content: impl Read,
    budget: &mut Budget,
) -> Result<(), String> {
    budget.bytes(size)?;
    let limit = if is_archive(name) { MAX_UNPACKED } else { MAX_FILE };
    if size > limit {
        return Ok(());
    }
    let mut bytes = Vec::new();
    let read = content.take(size).read_to_end(&mut bytes);
    if read.map_err(|error: io::Error| error.to_string())? as u64 != size {
        return Err("it is cut off".to_owned());
    }
    if is_archive(name) || std::str::from_utf8(&bytes).is_ok() {
        files.insert(name.to_owned(), bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn subcharts_lie_in_folders_and_archives() {
        let deepest = packed(&[("c/Chart.yaml", b"name: c\nversion: 1.10\n"), ("c/values.yaml", b"a: 1")]);
        let inner = packed(&[("b/Chart.yaml", b"name: b\n"), ("b/charts/c-1.10.tgz", &deepest)]);
        let archive = packed(&[
            ("a/Chart.yaml", b"name: a\nversion: 1.0.0\nappVersion: 2.10\n"),
            ("a/templates/x.yaml", b"x"),
            ("a/binary", b"\xff\xfe"),
            ("a/charts/b.tgz", &inner),
            ("a/charts/d/Chart.yaml", b"name: d\nname: e\n"),
            ("a/charts/README.md", b"none"),
            ("a/charts/_off/Chart.yaml", b"name: off\n"),
        ]);
        let chart = Chart::from_archive(&archive).unwrap();
        assert_eq!(chart.metadata.app_version.as_deref(), Some("2.10"));
        assert_eq!(chart.files.keys().collect::<Vec<_>>(), ["Chart.yaml", "templates/x.yaml"]);
        let places: Vec<&str> = chart.subcharts.iter().map(|sub| sub.place.as_str()).collect();
        assert_eq!(places, ["charts/b.tgz", "charts/d"]);
        assert_eq!(chart.subcharts[0].chart.subcharts[0].chart.metadata.version, "1.10");
        assert_eq!(chart.subcharts[1].chart.metadata.name, "e");
    }

    #[test]
    fn bombs_are_refused() {
        let large = vec![0; 60 << 20];
        let bomb = packed(&[("a/Chart.yaml", b"name: a\n"), ("a/one", &large), ("a/two", &large)]);
        assert!(bomb.len() < 1 << 20);
        assert!(Chart::from_archive(&bomb).unwrap_err().contains("100 MiB"));

        let half = packed(&[("b/Chart.yaml", b"name: b\n"), ("b/one", &large)]);
        let bomb =
            packed(&[("a/Chart.yaml", b"name: a\n"), ("a/charts/b.tgz", &half), ("a/charts/c.tgz", &half)]);
        assert!(Chart::from_archive(&bomb).unwrap_err().contains("100 MiB"), "limits hold for all together");

        let mut nested = packed(&[("a/Chart.yaml", b"name: a\n")]);
        for _ in 0..10 {
            nested = packed(&[("a/Chart.yaml", b"name: a\n"), ("a/charts/a.tgz", &nested)]);
        }
        assert!(Chart::from_archive(&nested).unwrap_err().contains("nested"));
        assert!(Chart::from_archive(b"no archive").is_err());
        assert!(Chart::from_archive(&packed(&[("a/x", b"")])).unwrap_err().contains("Chart.yaml"));
    }
}
