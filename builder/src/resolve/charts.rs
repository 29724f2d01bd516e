//! Charts of helm repositories, of registries and of this machine.
//!
//! A chart that comes without an OCI manifest gets one, made from its `Chart.yaml` alone, so that the site can serve it
//! both ways. Source: [helm's OCI support](https://helm.sh/docs/topics/registries/), "Helm chart manifest".

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use ferry_model::catalog::{Encoding, Manifest};
use ferry_model::event::Task;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{BlobSource, LockedChart};
use ferry_model::spec::{ChartEntry, ChartSource};
use ferry_model::{Digest, ImageReference};
use ferry_transfer::{Parsed, manifest};
use tokio::sync::{Mutex, OnceCell};

use super::entry::Entry;
use super::images::{Store, collect};
use super::published::{self, ChartVersion, HelmIndex};
use super::{Found, Request};
use crate::Error;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// The largest index that is read.
const MAX_INDEX: u64 = 128 << 20;
/// The largest chart that is read.
const MAX_CHART: u64 = 64 << 20;
/// The largest `Chart.yaml` and provenance file.
const MAX_DOCUMENT: u64 = 1 << 20;

/// The indexes of helm repositories, each fetched once.
#[derive(Default)]
pub(super) struct Indexes(Mutex<HashMap<String, Arc<OnceCell<Arc<HelmIndex>>>>>);

impl Indexes {
    async fn get(&self, request: &Request<'_>, url: &str) -> Result<Arc<HelmIndex>, Error> {
        let cell = Arc::clone(self.0.lock().await.entry(url.to_owned()).or_default());
        let fetch = || async {
            let index_url = format!("{url}/index.yaml");
            let bytes = request.client.get_small(&index_url, MAX_INDEX).await?;
            let parse = move || published::parse_index(&String::from_utf8_lossy(&bytes), &index_url);
            let parsed = tokio::task::spawn_blocking(parse).await;
            parsed.map_err(|error| Error::input(error.to_string(), "please report this"))?.map(Arc::new)
        };
        cell.get_or_try_init(fetch).await.cloned()
    }
}

pub(super) async fn resolve(
    request: &Request<'_>,
    indexes: &Indexes,
    entry: &Entry,
    chart: &ChartEntry,
    _task: &Task,
) -> Result<Found, Error> {
    match &chart.source {
        ChartSource::Repository { url, name } => {
            let index = indexes.get(request, url).await?;
            let version = find(&index, url, name, &chart.version)?;
            from_repository(request, entry, url, name, version).await
        }
        ChartSource::Oci(reference) => from_registry(request, entry, reference, &chart.version).await,
        ChartSource::File(name) => {
            tokio::task::block_in_place(|| from_file(request, entry, name, &chart.version))
        }
    }
}

fn find<'a>(index: &'a HelmIndex, url: &str, name: &str, wanted: &str) -> Result<&'a ChartVersion, Error> {
    let versions = index.entries.get(name).ok_or_else(|| {
        let near = index
            .entries
            .keys()
            .filter(|known| known.contains(name) || name.contains(known.as_str()))
            .take(5);
        let near: Vec<&str> = near.map(String::as_str).collect();
        let hint = if near.is_empty() {
            "check the chart's name".to_owned()
        } else {
            format!("there is: {}", near.join(", "))
        };
        Error::not_found(format!("{url} has no chart `{name}`"), hint)
    })?;
    let picked = published::pick(versions.iter().map(|version| version.version.as_str()), wanted);
    let found = picked.and_then(|picked| versions.iter().find(|version| version.version == picked));
    found.ok_or_else(|| {
        let there: Vec<&str> = versions.iter().take(8).map(|version| version.version.as_str()).collect();
        Error::not_found(
            format!("{url} has no version {wanted} of `{name}`"),
            format!("the newest there are: {}", there.join(", ")),
        )
    })
}

async fn from_repository(
    request: &Request<'_>,
    entry: &Entry,
    base: &str,
    name: &str,
    version: &ChartVersion,
) -> Result<Found, Error> {
    let relative = version.urls.first().ok_or_else(|| {
        Error::not_found(
            format!("{base}: `{name}` {} has no URL in the index", version.version),
            "ask the repository's owner to index it again",
        )
    })?;
    let joined = url::Url::parse(&format!("{base}/")).and_then(|base| base.join(relative));
    let url = joined.map_err(|error| {
        Error::input(format!("{base}: the chart's URL `{relative}`: {error}"), "check the repository")
    })?;
    let archive = request.client.get_small(url.as_str(), MAX_CHART).await?;
    let digest = Digest::of(&archive);
    if let Some(published) = &version.digest {
        let published = published.strip_prefix("sha256:").unwrap_or(published);
        if published != digest.hex() {
            return Err(Error::verification(
                format!("{url} has digest {digest}, the repository's index says sha256:{published}"),
                "the repository is inconsistent; ask its owner, and do not use this chart",
            ));
        }
    }
    let provenance_url = format!("{url}.prov");
    let provenance = match request.client.get_small(&provenance_url, MAX_DOCUMENT).await {
        Ok(bytes) if looks_like_provenance(&bytes) => Some(bytes),
        Ok(_) => None,
        // Most charts have none; some servers say so with 403.
        Err(error) if matches!(error.class(), Class::NotFound | Class::Denied) => None,
        Err(error) => return Err(error.into()),
    };
    let provenance = provenance.map(|bytes| (bytes, BlobSource::Url(provenance_url)));
    let place = BlobSource::Url(url.to_string());
    plain(entry, Plain { archive, place, provenance, shown: url.as_str(), source: base.to_owned() })
}

/// An archive on this machine, with its provenance file where that lies beside it.
fn from_file(request: &Request<'_>, entry: &Entry, name: &str, version: &str) -> Result<Found, Error> {
    let path = request.spec.folder().join(name);
    let size = std::fs::metadata(&path).map_err(Error::io("reading", &path))?.len();
    if size > MAX_CHART {
        let problem = format!("{} has {size} bytes, more than a chart may have", path.display());
        return Err(Error::input(problem, "list it under `files`, if it is no chart"));
    }
    let archive = Bytes::from(std::fs::read(&path).map_err(Error::io("reading", &path))?);
    let beside = format!("{name}.prov");
    let provenance = std::fs::read(request.spec.folder().join(&beside)).ok().map(Bytes::from);
    let provenance = provenance.filter(looks_like_provenance).map(|bytes| (bytes, BlobSource::Path(beside)));
    let place = BlobSource::Path(name.to_owned());
    let found = plain(entry, Plain { archive, place, provenance, shown: name, source: name.to_owned() })?;
    match found.charts.first().filter(|chart| !version.is_empty() && chart.version != version) {
        Some(chart) => Err(Error::input(
            format!("{name} is version {} of {}, and the spec says {version}", chart.version, chart.name),
            "correct the spec, or get the right archive; `version` can be left out",
        )),
        None => Ok(found),
    }
}

/// A chart that has no OCI manifest yet.
struct Plain<'a> {
    archive: Bytes,
    /// Where that is to be had again.
    place: BlobSource,
    provenance: Option<(Bytes, BlobSource)>,
    /// The archive, for people.
    shown: &'a str,
    /// Where the chart is from, for people.
    source: String,
}

fn plain(entry: &Entry, chart: Plain<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let metadata = chart_metadata(&chart.archive, chart.shown)?;
    let (digest, size) = (Digest::of(&chart.archive), chart.archive.len() as u64);
    found.blob(digest, size, Encoding::Stored, chart.place);
    let provenance = chart.provenance.map(|(bytes, place)| {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        found.blob(digest, size, Encoding::Zstd, place);
        found.kept.push((digest, bytes));
        (digest, size)
    });
    let manifest = make_manifest(&mut found, &metadata, (digest, size), provenance);
    found.charts.push(LockedChart {
        repository: format!("charts/{}", metadata.name),
        tag: tag(&metadata.version),
        name: metadata.name,
        version: metadata.version,
        origin: entry.origin.clone(),
        entries: vec![entry.fingerprint.clone()],
        required: entry.required,
        source: chart.source,
        archive: digest,
        provenance: provenance.map(|(digest, _)| digest),
        manifest,
    });
    Ok(found)
}

/// Servers that answer everything with a page would otherwise give every chart a provenance file.
fn looks_like_provenance(bytes: &Bytes) -> bool {
    bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----")
}

/// helm writes `+` in a version as `_` in a tag, which cannot have it.
fn tag(version: &str) -> String {
    version.replace('+', "_")
}

struct Metadata {
    name: String,
    version: String,
    /// `Chart.yaml` as JSON, keys sorted.
    json: Vec<u8>,
}

/// Reads `Chart.yaml` out of a chart archive.
fn chart_metadata(archive: &[u8], shown: &str) -> Result<Metadata, Error> {
    let broken = |reason: String| {
        Error::input(
            format!("{shown} is not a chart archive: {reason}"),
            "check what the repository serves there",
        )
    };
    let mut entries = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for file in entries.entries().map_err(|error| broken(error.to_string()))? {
        let file = file.map_err(|error| broken(error.to_string()))?;
        let path = file.path().map_err(|error| broken(error.to_string()))?.into_owned();
        let parts: Vec<_> =
            path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
        if parts.len() != 2 || parts[1].as_os_str() != "Chart.yaml" {
            continue;
        }
        let mut text = String::new();
        file.take(MAX_DOCUMENT).read_to_string(&mut text).map_err(|error| broken(error.to_string()))?;
        return parse_metadata(&text).map_err(broken);
    }
    Err(broken("it has no Chart.yaml".into()))
}

fn parse_metadata(text: &str) -> Result<Metadata, String> {
    /// Read as texts: a version like `1.10` must not become a number.
    #[derive(serde::Deserialize)]
    struct Names {
        name: String,
        version: String,
        #[serde(default, rename = "appVersion")]
        app_version: Option<String>,
    }
    let names: Names = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
    let mut value: serde_json::Value =
        serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
    value["name"] = names.name.clone().into();
    value["version"] = names.version.clone().into();
    if let Some(app_version) = names.app_version {
        value["appVersion"] = app_version.into();
    }
    let reference = format!("localhost/charts/{}:{}", names.name, tag(&names.version));
    if reference.parse::<ImageReference>().is_err() {
        return Err(format!(
            "name {:?} or version {:?} cannot be those of a chart",
            names.name, names.version
        ));
    }
    Ok(Metadata { json: value.to_string().into_bytes(), name: names.name, version: names.version })
}

fn make_manifest(
    found: &mut Found,
    metadata: &Metadata,
    archive: (Digest, u64),
    provenance: Option<(Digest, u64)>,
) -> Manifest {
    let config = found.made(&metadata.json);
    let descriptor = |digest: Digest, size: u64, media_type: &str| serde_json::json!({"digest": digest, "mediaType": media_type, "size": size});
    let mut layers = vec![descriptor(archive.0, archive.1, CONTENT)];
    let mut blobs = vec![config, archive.0];
    if let Some((digest, size)) = provenance {
        layers.push(descriptor(digest, size, PROVENANCE));
        blobs.push(digest);
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, metadata.json.len() as u64, CONFIG),
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": metadata.name,
            "org.opencontainers.image.version": metadata.version,
        },
    });
    let content = manifest.to_string().into_bytes();
    let digest = found.made(&content);
    Manifest { digest, size: content.len() as u64, media_type: MANIFEST.to_owned(), platform: None, blobs }
}

async fn from_registry(
    request: &Request<'_>,
    entry: &Entry,
    reference: &ImageReference,
    wanted: &str,
) -> Result<Found, Error> {
    let repository = request.client.repository(reference.registry(), reference.repository());
    let source = format!("oci://{}", reference.name());
    let version = if repository.head(&tag(wanted)).await?.is_some() {
        wanted.to_owned()
    } else {
        let tags: Vec<String> = repository.tags().await?.iter().map(|tag| tag.replace('_', "+")).collect();
        let picked = published::pick(tags.iter().map(String::as_str), wanted).map(str::to_owned);
        picked.ok_or_else(|| {
            let there: Vec<&str> = tags.iter().rev().take(8).map(String::as_str).collect();
            Error::not_found(
                format!("{source} has no version {wanted}"),
                format!("there are: {}", there.join(", ")),
            )
        })?
    };
    let store = Store::Registry { repository: repository.clone(), name: reference.name() };
    let raw = store.manifest(&tag(&version)).await?;
    let not_a_chart = || {
        Error::input(
            format!("{source} {version} is not a helm chart"),
            "list container images under `images`",
        )
    };
    let Parsed::Image { config, layers, .. } = manifest::parse(&raw.bytes, &raw.media_type)? else {
        return Err(not_a_chart());
    };
    let archive = layers.iter().find(|layer| layer.media_type == CONTENT).ok_or_else(not_a_chart)?;
    let provenance = layers.iter().find(|layer| layer.media_type == PROVENANCE).map(|layer| layer.digest);
    let metadata = repository.small_blob(&config.digest, MAX_DOCUMENT).await?;
    let metadata = parse_metadata(&String::from_utf8_lossy(&metadata)).map_err(|reason| {
        Error::input(format!("{source} {version}: {reason}"), "push the chart again with helm")
    })?;
    let mut found = Found::default();
    let mut manifests = Vec::new();
    collect(&store, &mut found, &mut manifests, &raw, None, 0).await?;
    let manifest = manifests.pop().ok_or_else(not_a_chart)?;
    found.charts.push(LockedChart {
        name: metadata.name,
        version: metadata.version,
        origin: entry.origin.clone(),
        entries: vec![entry.fingerprint.clone()],
        required: entry.required,
        source,
        archive: archive.digest,
        provenance,
        repository: reference.repository().to_owned(),
        tag: tag(&version),
        manifest,
    });
    Ok(found)
}
