//! The entries of a spec as one list, each with its name, its fingerprint and what it asks for.

use ferry_model::catalog::FileKind;
use ferry_model::lock::MissingEntry;
use ferry_model::spec::{
    Bkdl, ChartEntry, ChartSource, FileEntry, ImageEntry, ImageSource, Platforms, RuntimeItem, Runtimes,
    SaasEntry, Sha256, Spec,
};
use ferry_model::{Digest, SitePath};

use super::bkdl::{BkdlWanted, BkdlWhat};
use crate::Error;
use crate::document::SpecFile;

/// One thing to resolve.
#[derive(Debug)]
pub(crate) struct Entry {
    /// For people: `images: registry:2`.
    pub(crate) origin: String,
    /// Changes when the entry asks for something else.
    pub(crate) fingerprint: String,
    /// What `lock --update` may call it.
    pub(crate) names: Vec<String>,
    /// `image`, `chart`, `runtime`, `saas` or `file`.
    pub(crate) kind: &'static str,
    pub(crate) required: bool,
    pub(crate) wanted: Wanted,
}

#[derive(Debug)]
pub(crate) enum Wanted {
    Image(ImageWanted),
    Chart(ChartEntry),
    Remote(Remote),
    Local(Local),
    Bkdl(BkdlWanted),
}

/// An image with the spec's defaults filled in.
#[derive(Debug)]
pub(crate) struct ImageWanted {
    pub(crate) entry: ImageEntry,
    pub(crate) platforms: Platforms,
    pub(crate) attachments: bool,
}

/// A file from a URL.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) kind: FileKind,
    pub(crate) url: String,
    pub(crate) path: SitePath,
    pub(crate) repository: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<Sha256>,
}

/// Local files: one, a folder or a glob.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) pattern: String,
    pub(crate) to: String,
    pub(crate) repository: Option<String>,
    pub(crate) sha256: Option<Sha256>,
}

impl Entry {
    fn new(
        kind: &'static str,
        list: &str,
        name: String,
        required: bool,
        identity: &str,
        wanted: Wanted,
    ) -> Self {
        let fingerprint = Digest::of(identity.as_bytes()).short();
        let origin = format!("{list}: {name}");
        Self { origin, fingerprint, names: vec![name], kind, required, wanted }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Whether it is read from this machine.
    pub(crate) fn is_local(&self) -> bool {
        match &self.wanted {
            Wanted::Image(image) => !matches!(image.entry.source, ImageSource::Registry(_)),
            Wanted::Local(_) => true,
            Wanted::Chart(chart) => matches!(chart.source, ChartSource::File(_)),
            Wanted::Remote(_) | Wanted::Bkdl(_) => false,
        }
    }

    /// The registry's repository that it comes from, where it comes from one.
    pub(crate) fn home(&self) -> Option<String> {
        match &self.wanted {
            Wanted::Image(ImageWanted {
                entry: ImageEntry { source: ImageSource::Registry(reference), .. },
                ..
            })
            | Wanted::Chart(ChartEntry { source: ChartSource::Oci(reference), .. }) => Some(reference.name()),
            _ => None,
        }
    }

    pub(crate) fn missing(&self, error: &Error) -> MissingEntry {
        MissingEntry {
            origin: self.origin.clone(),
            entry: self.fingerprint.clone(),
            kind: self.kind.to_owned(),
            name: self.names[0].clone(),
            reason: error.to_string(),
        }
    }
}

/// Lists the spec's entries, in its order.
pub(crate) fn entries(file: &SpecFile) -> Result<Vec<Entry>, Error> {
    let spec = &file.spec;
    let mut entries = Vec::new();
    for image in &spec.images {
        entries.push(image_entry(image, &spec.platforms, spec.attachments));
    }
    entries.extend(spec.charts.iter().map(chart_entry));
    for runtimes in &spec.runtimes {
        for item in &runtimes.items {
            runtime_entries(runtimes, item, &mut entries)?;
        }
    }
    for saas in &spec.saas {
        entries.push(saas_entry(saas)?);
    }
    for bkdl in &spec.bkdl {
        entries.extend(bkdl_entries(bkdl, spec));
    }
    for wanted in &spec.files {
        entries.push(file_entry(wanted)?);
    }
    Ok(entries)
}

/// Shown as, and for people: `all`, or platforms with commas between them.
fn listed(platforms: &Platforms) -> String {
    match platforms {
        Platforms::All => "all".to_owned(),
        Platforms::Some(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// One entry for each item, so that a new one does not make the others be read again.
fn bkdl_entries(bkdl: &Bkdl, spec: &Spec) -> Vec<Entry> {
    let place = format!("{}{} {}", bkdl.base, bkdl.channel, bkdl.release);
    let mut whats: Vec<(String, String, BkdlWhat)> = Vec::new();
    for item in &bkdl.items {
        whats.push((item.to_string(), format!("bkdl {place} {item}"), BkdlWhat::Item(item.clone())));
    }
    if bkdl.chart_images {
        let (platforms, attachments) = (spec.platforms.clone(), spec.attachments);
        let chosen = format!("platforms {} attachments {attachments}", listed(&platforms));
        let identity = format!("bkdl {place} images of {} {chosen}", bkdl.registry);
        let what = BkdlWhat::ChartImages { platforms, attachments };
        whats.push(("images of charts".to_owned(), identity, what));
    }
    let together: Vec<String> =
        whats.iter().map(|(_, identity, _)| Digest::of(identity.as_bytes()).short()).collect();
    let entry = |(name, identity, what): (String, String, BkdlWhat)| {
        let kind = if matches!(what, BkdlWhat::Item(_)) { "file" } else { "image" };
        let shown = format!("{} {} {name}", bkdl.channel, bkdl.release);
        let wanted = BkdlWanted { source: bkdl.clone(), what, together: together.clone() };
        let mut entry = Entry::new(kind, "bkdl", shown, bkdl.required, &identity, Wanted::Bkdl(wanted));
        entry.names.extend([name, bkdl.channel.clone()]);
        entry
    };
    whats.into_iter().map(entry).collect()
}

fn image_entry(image: &ImageEntry, platforms: &Platforms, attachments: bool) -> Entry {
    let platforms = image.platforms.clone().unwrap_or_else(|| platforms.clone());
    let attachments = image.attachments.unwrap_or(attachments);
    let listed = listed(&platforms);
    let site_name = image.site_name.as_ref().map(ToString::to_string).unwrap_or_default();
    let identity =
        format!("image {} as {site_name} platforms {listed} attachments {attachments}", image.source);
    let mut names: Vec<String> = image
        .source
        .reference()
        .map(|reference| vec![reference.to_string(), reference.name()])
        .unwrap_or_default();
    let wanted = Wanted::Image(ImageWanted { entry: image.clone(), platforms, attachments });
    let mut entry =
        Entry::new("image", "images", image.source.to_string(), image.required, &identity, wanted);
    entry.names.append(&mut names);
    entry
}

fn chart_entry(chart: &ChartEntry) -> Entry {
    let name = chart.name().to_owned();
    let source = match &chart.source {
        ChartSource::Repository { url, .. } => url.clone(),
        ChartSource::Oci(reference) => format!("oci://{}", reference.name()),
        ChartSource::File(path) => format!("file {path}"),
    };
    let identity = format!("chart {source} {name} {}", chart.version);
    let shown = format!("{name} {}", chart.version).trim_end().to_owned();
    let mut entry =
        Entry::new("chart", "charts", shown, chart.required, &identity, Wanted::Chart(chart.clone()));
    entry.names.push(name);
    entry
}

fn site_path(origin: &str, text: &str) -> Result<SitePath, Error> {
    text.parse().map_err(|error| {
        Error::input(format!("{origin}: {error}"), "`to` is a relative path with `/` between its parts")
    })
}

fn runtime_entries(runtimes: &Runtimes, item: &RuntimeItem, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let has_place = item.url.contains("{version}") || item.to.contains("{version}");
    if has_place == item.versions.is_empty() || (item.versions.len() > 1 && !item.to.contains("{version}")) {
        let problem = format!(
            "runtimes: `{}`: `versions` and `{{version}}` in `url` and `to` do not fit together",
            item.url
        );
        return Err(Error::input(problem, "write `{version}` in both, and list `versions`; or neither"));
    }
    if item.sha256.is_some() && item.versions.len() > 1 {
        let problem = format!("runtimes: `{}`: one `sha256` for {} versions", item.url, item.versions.len());
        return Err(Error::input(problem, "give each version with a known digest an item of its own"));
    }
    let versions: Vec<Option<&String>> =
        if item.versions.is_empty() { vec![None] } else { item.versions.iter().map(Some).collect() };
    for version in versions {
        let fill = |text: &str| {
            version.map_or_else(|| text.to_owned(), |version| text.replace("{version}", version))
        };
        let (url, to) = (fill(&item.url), fill(&item.to));
        let url = absolute(runtimes.base.as_deref(), &url)?;
        let path = site_path(&format!("runtimes: {to}"), &to)?;
        let remote = Remote {
            kind: FileKind::Runtime,
            url,
            path,
            repository: Some(runtimes.repository.clone()),
            name: None,
            version: version.cloned(),
            sha256: item.sha256,
        };
        entries.push(remote_entry("runtime", "runtimes", remote, item.required));
    }
    Ok(())
}

/// An item's URL, joined to the base that it is relative to.
pub(super) fn absolute(base: Option<&str>, url: &str) -> Result<String, Error> {
    let wrong =
        |problem: String| Error::input(problem, "write an http or https URL, or a path relative to `base`");
    let joined = match base {
        None => url::Url::parse(url),
        Some(base) => {
            // Without it, joining would drop the last part.
            let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
            url::Url::parse(&base).and_then(|base| base.join(url))
        }
    };
    let joined = joined.map_err(|error| wrong(format!("`{url}`: {error}")))?;
    if !matches!(joined.scheme(), "http" | "https") {
        return Err(wrong(format!("`{joined}` is not an http or https URL")));
    }
    if !joined.username().is_empty() || joined.password().is_some() {
        let problem =
            format!("the URL of `{}` has credentials, which would end up in the lock", joined.path());
        return Err(Error::input(problem, "put them into docker's config.json under the host"));
    }
    Ok(joined.into())
}

fn remote_entry(kind: &'static str, list: &str, remote: Remote, required: bool) -> Entry {
    let repository = remote.repository.clone().unwrap_or_default();
    let digest = remote.sha256.map(|sha256| sha256.0.to_string()).unwrap_or_default();
    let named = [&remote.name, &remote.version].map(|text| text.clone().unwrap_or_default()).join(" ");
    let identity = format!("{kind} {named} {} to {repository} {} sha256 {digest}", remote.url, remote.path);
    let mut names = vec![remote.url.clone(), remote.path.file_name().to_owned()];
    names.extend(remote.name.clone());
    let mut entry =
        Entry::new(kind, list, remote.path.to_string(), required, &identity, Wanted::Remote(remote));
    entry.names.append(&mut names);
    entry
}

/// The last part of a URL's path.
pub(super) fn url_file_name(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let last = url.path_segments()?.next_back()?.to_owned();
    (!last.is_empty()).then_some(last)
}

fn saas_entry(saas: &SaasEntry) -> Result<Entry, Error> {
    let url = absolute(None, &saas.url)?;
    let path = match &saas.to {
        Some(path) => path.clone(),
        None => {
            let name = url_file_name(&url).unwrap_or_else(|| format!("{}-{}", saas.name, saas.version));
            site_path(&format!("saas: {}", saas.name), &format!("saas/{name}"))?
        }
    };
    let remote = Remote {
        kind: FileKind::Saas,
        url,
        path,
        repository: None,
        name: Some(saas.name.clone()),
        version: Some(saas.version.clone()),
        sha256: saas.sha256,
    };
    Ok(remote_entry("saas", "saas", remote, saas.required))
}

fn file_entry(file: &FileEntry) -> Result<Entry, Error> {
    match (&file.url, &file.path) {
        (Some(url), None) => {
            let url = absolute(None, url)?;
            let to = match file.to.strip_suffix('/') {
                Some(folder) => {
                    let name = url_file_name(&url).ok_or_else(|| {
                        Error::input(
                            format!("files: `{url}` has no file name"),
                            "give `to` in full, without a `/` at its end",
                        )
                    })?;
                    format!("{folder}/{name}")
                }
                None => file.to.clone(),
            };
            let path = site_path(&format!("files: {to}"), &to)?;
            let repository = file.repository.clone();
            let remote = Remote {
                kind: FileKind::File,
                url,
                path,
                repository,
                name: None,
                version: None,
                sha256: file.sha256,
            };
            Ok(remote_entry("file", "files", remote, file.required))
        }
        (None, Some(pattern)) => {
            let repository = file.repository.clone();
            let digest = file.sha256.map(|sha256| sha256.0.to_string()).unwrap_or_default();
            let place = format!("{} {}", repository.clone().unwrap_or_default(), file.to);
            let identity = format!("file {pattern} to {place} sha256 {digest}");
            let local =
                Local { pattern: pattern.clone(), to: file.to.clone(), repository, sha256: file.sha256 };
            Ok(Entry::new("file", "files", pattern.clone(), file.required, &identity, Wanted::Local(local)))
        }
        _ => Err(Error::input(
            format!("files: the entry for `{}` has not one of `url` and `path`", file.to),
            "give one of them",
        )),
    }
}

#[cfg(test)]
mod tests;
