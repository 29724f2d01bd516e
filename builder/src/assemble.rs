//! From a lock to a bundle: what it will take, the fetching, the catalog, the final name.

mod room;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ferry_bundle::{
    Assembly, AssemblyOptions, BlobPlan, BlobState, Bundle, Finished, Salvage, SecretKey, SignatureState,
    Trust,
};
use ferry_model::catalog::{CATALOG_VERSION, Catalog, Chart, File, Image, Missing};
use ferry_model::event::Events;
use ferry_model::lock::{BlobSource, Lock};
use ferry_model::{Digest, ImageReference};
use ferry_transfer::{Client, Options};
use serde::Serialize;

use crate::Error;
use crate::fetch::{self, Fetch, Sources};

use room::{Work, folder_of, free_space};

/// What to build, and with what.
#[derive(Debug)]
pub struct Request {
    /// The lock.
    pub lock: Lock,
    /// Documents that were fetched while resolving.
    pub kept: HashMap<Digest, Bytes>,
    /// The spec's folder.
    pub folder: PathBuf,
    /// The bundle's final name.
    pub output: PathBuf,
    /// Write volumes of this many bytes.
    pub volume_size: Option<u64>,
    /// Sign with this key.
    pub key: Option<SecretKey>,
    /// Earlier bundles to take blobs from.
    pub reuse: Vec<Bundle>,
    /// The way out.
    pub client: Client,
    /// For the docker daemon.
    pub transfer: Options,
    /// Blobs at once.
    pub jobs: usize,
    /// Where to tell what happens.
    pub events: Events,
}

/// What was built.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Their bytes.
    pub size: u64,
    /// The digest of the catalog: give it to the site by another way, or sign.
    pub catalog_digest: Digest,
    /// The key that signed it.
    pub key_id: Option<String>,
    /// Images in it.
    pub images: usize,
    /// Charts in it.
    pub charts: usize,
    /// Files in it.
    pub files: usize,
    /// Optional entries that it lacks.
    pub missing: Vec<Missing>,
    /// It was there already, so nothing was done.
    pub up_to_date: bool,
}

/// Refuses a place where no bundle can be written. A folder that is not there is not made: it may be a medium that is
/// not mounted, and a bundle would fill the disk below it.
pub fn check_place(output: &Path, name: &str) -> Result<(), Error> {
    if output.is_dir() {
        let problem = format!("{} is a folder", output.display());
        return Err(Error::input(problem, format!("name the file: -o {}", output.join(name).display())));
    }
    let folder = folder_of(output);
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => {
            let problem = format!("{} is no folder, so nothing can be written in it", folder.display());
            Err(Error::input(problem, "name another place with `-o`"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint = format!("mount what should be there, or make it: mkdir -p {}", folder.display());
            Err(Error::not_found(format!("the folder {} is not there", folder.display()), hint))
        }
        Err(error) => Err(Error::io("looking at", folder)(error)),
    }
}

/// Builds the bundle, or goes on with what an earlier run left.
pub async fn build(request: Request) -> Result<Report, Error> {
    let lock_digest = request.lock.digest();
    if let Some(report) = up_to_date(&request, lock_digest)? {
        return Ok(report);
    }
    let options =
        AssemblyOptions { path: request.output.clone(), volume_size: request.volume_size, lock: lock_digest };
    let assembly = open(options, &request)?;
    let salvage = Salvage::open(&request.output)?.map(Arc::new);
    announce(&request, &assembly, salvage.as_deref())?;
    warn_of_quota(&request, &assembly).await;
    let lock = Arc::new(request.lock);
    let assembly = Arc::new(assembly);
    let sources = Sources {
        client: request.client,
        transfer: request.transfer,
        folder: request.folder,
        kept: request.kept,
        reuse: request.reuse,
        salvage: salvage.clone(),
        events: request.events.clone(),
        archives: Mutex::default(),
    };
    let fetch = Fetch {
        sources,
        assembly: Arc::clone(&assembly),
        lock: Arc::clone(&lock),
        jobs: request.jobs,
        events: request.events.clone(),
    };
    fetch::fill(fetch).await?;
    let assembly = Arc::into_inner(assembly).expect("all tasks have ended");
    request.events.stage("finish", None, None);
    let (catalog, key) = (catalog(&lock), request.key);
    let finished = tokio::task::block_in_place(|| assembly.finish(catalog, key.as_ref()))?;
    if let Some(salvage) = salvage.and_then(Arc::into_inner) {
        salvage.remove()?;
    }
    report(&lock, finished, key.as_ref())
}

/// A bundle of this very lock under the final name needs no work.
fn up_to_date(request: &Request, lock: Digest) -> Result<Option<Report>, Error> {
    let key_id = request.key.as_ref().map(SecretKey::public_key).transpose()?.map(|key| key.key_id());
    let Ok(bundle) = Bundle::open(&request.output, &Trust::default()) else { return Ok(None) };
    let signed_by = match bundle.signature() {
        SignatureState::Unsigned => None,
        SignatureState::Unchecked { key_id } | SignatureState::Verified { key_id, .. } => {
            Some(key_id.clone())
        }
    };
    let in_volumes = !request.output.exists();
    if bundle.catalog().lock != lock || signed_by != key_id || in_volumes != request.volume_size.is_some() {
        return Ok(None);
    }
    Assembly::tidy(&request.output)?;
    let catalog = bundle.catalog();
    Ok(Some(Report {
        paths: vec![bundle.path().to_owned()],
        size: bundle.file_size(),
        catalog_digest: bundle.catalog_digest(),
        key_id,
        images: catalog.images.len(),
        charts: catalog.charts.len(),
        files: catalog.files.len(),
        missing: catalog.missing.clone(),
        up_to_date: true,
    }))
}

fn open(options: AssemblyOptions, request: &Request) -> Result<Assembly, Error> {
    let plan = |blob: &ferry_model::lock::LockedBlob| BlobPlan {
        digest: blob.digest,
        size: blob.size,
        encoding: blob.encoding.clone(),
    };
    let plans: Vec<BlobPlan> = request.lock.blobs.iter().map(plan).collect();
    match Assembly::open(options.clone(), plans.clone()) {
        Err(ferry_bundle::Error::OtherPartial { path }) => {
            let text =
                format!("{} belongs to another lock; what both have is taken from there", path.display());
            request.events.note(text);
            Salvage::set_aside(&options)?;
            Ok(Assembly::open(options, plans)?)
        }
        other => Ok(other?),
    }
}

/// Bytes to fetch, bytes to write, bytes free: said before anything starts.
fn announce(request: &Request, assembly: &Assembly, salvage: Option<&Salvage>) -> Result<(), Error> {
    let work = Work::left(request, assembly, salvage);
    let folder = folder_of(&request.output);
    let free = free_space(folder);
    request.events.note(work.text(folder, free));
    if !work.fits(&request.output, free)? {
        request.events.warn(format!("{} may not have enough room", folder.display()));
    }
    request.events.stage("fetch", Some(work.write), Some(work.blobs));
    Ok(())
}

/// Docker Hub counts manifests. Asking for the count costs nothing, and a failure to ask is no reason to stop.
async fn warn_of_quota(request: &Request, assembly: &Assembly) {
    let mut pulls: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, blob) in request.lock.blobs.iter().enumerate() {
        if let BlobSource::Manifest(name) = &blob.source
            && name.starts_with("docker.io/")
            && !request.kept.contains_key(&blob.digest)
            && assembly.state(index) != BlobState::Done
        {
            *pulls.entry(name).or_default() += 1;
        }
    }
    let Some(reference) = pulls.keys().next().and_then(|name| name.parse::<ImageReference>().ok()) else {
        return;
    };
    let wanted: u64 = pulls.values().sum();
    let Some(image) = request.lock.images.iter().find(|image| image.reference.name() == reference.name())
    else {
        return;
    };
    let repository = request.client.repository(reference.registry(), reference.repository());
    if let Ok(Some(quota)) = repository.pull_quota(&image.reference.manifest()).await {
        let hours = quota.window.as_secs() / 3600;
        request.events.note(format!(
            "Docker Hub allows {} more pulls of {} in {hours} hours; this run needs {wanted}",
            quota.remaining, quota.limit
        ));
        if wanted > quota.remaining {
            request.events.warn("Docker Hub's limit will stop this run; log in with `docker login`, or run it again later: it goes on where it stopped");
        }
    }
}

/// The catalog that a lock stands for; its blobs are placed by the assembly.
pub fn catalog(lock: &Lock) -> Catalog {
    let missing = lock.missing.iter().map(|entry| Missing {
        kind: entry.kind.clone(),
        name: entry.name.clone(),
        reason: entry.reason.clone(),
    });
    let images = lock.images.iter().cloned().map(|image| Image {
        reference: image.reference,
        repository: image.repository,
        tag: image.tag,
        digest: image.digest,
        source_index: image.source_index,
        manifests: image.manifests,
        attachments: image.attachments,
    });
    let charts = lock.charts.iter().cloned().map(|chart| Chart {
        name: chart.name,
        version: chart.version,
        source: chart.source,
        archive: chart.archive,
        provenance: chart.provenance,
        repository: chart.repository,
        tag: chart.tag,
        manifest: chart.manifest,
    });
    let files = lock.files.iter().cloned().map(|file| File {
        kind: file.kind,
        repository: file.repository,
        path: file.path,
        name: file.name,
        version: file.version,
        source: file.source,
        digest: file.digest,
        size: file.size,
    });
    Catalog {
        format_version: CATALOG_VERSION,
        name: lock.name.clone(),
        version: lock.version.clone(),
        lock: lock.digest(),
        missing: missing.collect(),
        images: images.collect(),
        charts: charts.collect(),
        files: files.collect(),
        blobs: Vec::new(),
    }
}

fn report(lock: &Lock, finished: Finished, key: Option<&SecretKey>) -> Result<Report, Error> {
    Ok(Report {
        paths: finished.paths,
        size: finished.file_size,
        catalog_digest: finished.catalog_digest,
        key_id: key.map(SecretKey::public_key).transpose()?.map(|key| key.key_id()),
        images: lock.images.len(),
        charts: lock.charts.len(),
        files: lock.files.len(),
        missing: catalog(lock).missing,
        up_to_date: false,
    })
}
