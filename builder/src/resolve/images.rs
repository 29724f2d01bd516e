//! Images of registries and of OCI layouts: which manifests, which platforms, which blobs.

use bytes::Bytes;
use ferry_model::catalog::{Encoding, Manifest};
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::lock::{BlobSource, LockedImage};
use ferry_model::spec::{ImageSource, Platforms};
use ferry_model::{Digest, ImageReference, Platform};
use ferry_transfer::{Descriptor, Parsed, RawManifest, Repository, manifest};

use super::entry::{Entry, ImageWanted};
use super::{Found, Request, attachments, layouts};
use crate::Error;

/// The largest config that is looked into for its platform.
const MAX_CONFIG: u64 = 8 << 20;
/// Indexes within indexes, at most.
const MAX_DEPTH: usize = 4;
/// The media type of what [`filter_index`] makes.
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Where manifests and configs are read from.
pub(super) enum Store {
    Registry { repository: Repository, name: String },
    Layout(layouts::Layout),
}

impl Store {
    pub(super) async fn manifest(&self, reference: &str) -> Result<RawManifest, Error> {
        match self {
            Self::Registry { repository, .. } => Ok(repository.manifest(reference).await?),
            Self::Layout(layout) => layout.manifest(reference),
        }
    }

    async fn config(&self, digest: &Digest) -> Result<Bytes, Error> {
        match self {
            Self::Registry { repository, .. } => Ok(repository.small_blob(digest, MAX_CONFIG).await?),
            Self::Layout(layout) => layout.document(digest, MAX_CONFIG),
        }
    }

    fn manifest_source(&self, digest: &Digest) -> BlobSource {
        match self {
            Self::Registry { name, .. } => BlobSource::Manifest(name.clone()),
            Self::Layout(layout) => layout.source(digest),
        }
    }

    fn blob_source(&self, digest: &Digest) -> BlobSource {
        match self {
            Self::Registry { name, .. } => BlobSource::Blob(name.clone()),
            Self::Layout(layout) => layout.source(digest),
        }
    }

    /// The place among the blobs of the same archive.
    fn order(&self, digest: &Digest) -> u64 {
        match self {
            Self::Registry { .. } => 0,
            Self::Layout(layout) => layout.order(digest),
        }
    }
}

pub(super) async fn resolve(
    request: &Request<'_>,
    entry: &Entry,
    image: &ImageWanted,
    task: &Task,
) -> Result<Found, Error> {
    match &image.entry.source {
        ImageSource::Registry(reference) => {
            let repository = request.client.repository(reference.registry(), reference.repository());
            check_tag_and_digest(request, &repository, reference).await?;
            let store = Store::Registry { repository, name: reference.name() };
            resolve_in(request, &store, entry, image, reference.clone(), &reference.manifest()).await
        }
        ImageSource::OciLayout { .. } | ImageSource::OciArchive { .. } => {
            let (layout, digest) = layouts::open(request.spec.folder(), &image.entry.source)?;
            let name =
                image.entry.site_name.clone().expect("the spec requires `as` where a source has no name");
            resolve_in(request, &Store::Layout(layout), entry, image, name, &digest.to_string()).await
        }
        ImageSource::DockerArchive { path, reference } => {
            let archive = layouts::DockerArchive::file(request.spec.folder(), path, reference.as_ref())?;
            archive.resolve(entry, image)
        }
        ImageSource::DockerDaemon(reference) => {
            let archive = layouts::DockerArchive::daemon(request.transfer, reference, task).await?;
            archive.resolve(entry, image)
        }
    }
}

/// `tag@digest` says the same thing twice; when they disagree, somebody moved the tag or mistyped the digest.
async fn check_tag_and_digest(
    request: &Request<'_>,
    repository: &Repository,
    reference: &ImageReference,
) -> Result<(), Error> {
    let (Some(tag), Some(digest)) = (reference.tag(), reference.digest()) else { return Ok(()) };
    match repository.head(tag).await? {
        Some(found) if found.digest == digest => Ok(()),
        Some(found) => Err(Error::verification(
            format!(
                "the tag of {} names {} now, not the digest that stands beside it",
                reference.raw(),
                found.digest
            ),
            "correct the digest, or leave the tag away to pin the old image",
        )),
        None => {
            request
                .events
                .warn(format!("{} is taken by its digest: its tag is no longer there", reference.raw()));
            Ok(())
        }
    }
}

async fn resolve_in(
    request: &Request<'_>,
    store: &Store,
    entry: &Entry,
    image: &ImageWanted,
    reference: ImageReference,
    manifest: &str,
) -> Result<Found, Error> {
    let raw = store.manifest(manifest).await?;
    let mut found = Found::default();
    let mut manifests = Vec::new();
    let (root, source_index) = match (manifest::parse(&raw.bytes, &raw.media_type)?, &image.platforms) {
        (Parsed::Index { manifests: children, .. }, Platforms::Some(wanted)) => {
            choose(store, &mut found, &mut manifests, &raw, &children, wanted, &reference).await?
        }
        (Parsed::Index { .. }, Platforms::All) => {
            collect(store, &mut found, &mut manifests, &raw, None, 0).await?;
            (raw.digest, None)
        }
        (Parsed::Image { config, .. }, platforms) => {
            let platform = image_platform(store, &mut found, &config).await?;
            check_platform(&reference, platform.as_ref(), platforms)?;
            collect(store, &mut found, &mut manifests, &raw, platform, 0).await?;
            (raw.digest, None)
        }
    };
    let attachments = if image.attachments {
        let mut subjects: Vec<Digest> = source_index.into_iter().collect();
        subjects.extend(manifests.iter().rev().map(|manifest: &Manifest| manifest.digest));
        attachments::resolve(request, store, &mut found, &subjects).await?
    } else {
        Vec::new()
    };
    let site = image.entry.site_name.as_ref().unwrap_or(&reference);
    found.images.push(LockedImage {
        repository: site.repository().to_owned(),
        tag: site.tag().map(str::to_owned),
        reference,
        origin: entry.origin.clone(),
        entries: vec![entry.fingerprint.clone()],
        required: entry.required,
        digest: root,
        source_index,
        manifests,
        attachments,
    });
    Ok(found)
}

/// Takes the wanted platforms out of an index. One is taken as itself; several get a new index around them, unless
/// they are all there is. The original index comes along, so that the choice can be checked.
async fn choose(
    store: &Store,
    found: &mut Found,
    manifests: &mut Vec<Manifest>,
    index: &RawManifest,
    children: &[Descriptor],
    wanted: &[Platform],
    reference: &ImageReference,
) -> Result<(Digest, Option<Digest>), Error> {
    let mut chosen: Vec<&Descriptor> = Vec::new();
    for platform in wanted {
        let fits = |child: &&Descriptor| child.platform.as_ref().is_some_and(|has| has.satisfies(platform));
        let exact = children.iter().find(|child| child.platform.as_ref() == Some(platform));
        let child = exact
            .or_else(|| children.iter().find(fits))
            .ok_or_else(|| no_platform(reference, platform, children))?;
        if !chosen.iter().any(|known| known.digest == child.digest) {
            chosen.push(child);
        }
    }
    for child in &chosen {
        let raw = store.manifest(&child.digest.to_string()).await?;
        Box::pin(collect(store, found, manifests, &raw, child.platform.clone(), 1)).await?;
    }
    if chosen.len() == children.len() {
        add_manifest(store, found, manifests, index, None, Vec::new());
        return Ok((index.digest, None));
    }
    keep_index(store, found, index);
    if let [only] = chosen[..] {
        return Ok((only.digest, Some(index.digest)));
    }
    let filtered = filter_index(&index.bytes, &chosen)?;
    let digest = found.made(&filtered);
    let size = filtered.len() as u64;
    manifests.push(Manifest {
        digest,
        size,
        media_type: OCI_INDEX.to_owned(),
        platform: None,
        blobs: Vec::new(),
    });
    Ok((digest, Some(index.digest)))
}

fn keep_index(store: &Store, found: &mut Found, index: &RawManifest) {
    found.blob(index.digest, index.bytes.len() as u64, Encoding::Zstd, store.manifest_source(&index.digest));
    if let Some(last) = found.blobs.last_mut() {
        last.order = store.order(&index.digest);
    }
    found.kept.push((index.digest, index.bytes.clone()));
}

fn no_platform(reference: &ImageReference, platform: &Platform, children: &[Descriptor]) -> Error {
    let mut there: Vec<String> =
        children.iter().filter_map(|child| child.platform.as_ref().map(ToString::to_string)).collect();
    there.retain(|platform| !platform.starts_with("unknown/"));
    there.dedup();
    Error::Entry {
        problem: format!("{reference} is not made for {platform}"),
        hint: Some(format!("it is there for {}; set `platforms` on this image", there.join(", "))),
        class: Class::NotFound,
    }
}

/// An index of `chosen` alone, made from the original's own entries. Keys are sorted, so the same choice gives the
/// same digest.
fn filter_index(original: &[u8], chosen: &[&Descriptor]) -> Result<Vec<u8>, Error> {
    let broken = || Error::input("an index that was read before cannot be read again", "please report this");
    let mut index: serde_json::Value = serde_json::from_slice(original).map_err(|_| broken())?;
    let list = index.get_mut("manifests").and_then(|list| list.as_array_mut()).ok_or_else(broken)?;
    list.retain(|child| {
        let digest = child.get("digest").and_then(|digest| digest.as_str()).unwrap_or_default();
        chosen.iter().any(|wanted| wanted.digest.to_string() == digest)
    });
    index["mediaType"] = OCI_INDEX.into();
    Ok(index.to_string().into_bytes())
}

/// Adds a manifest and everything below it, children first.
pub(super) async fn collect(
    store: &Store,
    found: &mut Found,
    manifests: &mut Vec<Manifest>,
    raw: &RawManifest,
    platform: Option<Platform>,
    depth: usize,
) -> Result<(), Error> {
    if manifests.iter().any(|known| known.digest == raw.digest) {
        return Ok(());
    }
    match manifest::parse(&raw.bytes, &raw.media_type)? {
        Parsed::Image { config, layers, .. } => {
            let carried: Vec<Descriptor> =
                std::iter::once(config).chain(layers).filter(|blob| !blob.is_foreign()).collect();
            for blob in &carried {
                found.blob(
                    blob.digest,
                    blob.size,
                    encoding(&blob.media_type, blob.size),
                    store.blob_source(&blob.digest),
                );
                found.blobs.last_mut().expect("just added").order = store.order(&blob.digest);
            }
            let mut digests: Vec<Digest> = Vec::new();
            for blob in carried {
                if !digests.contains(&blob.digest) {
                    digests.push(blob.digest);
                }
            }
            add_manifest(store, found, manifests, raw, platform, digests);
        }
        Parsed::Index { manifests: children, .. } => {
            if depth >= MAX_DEPTH {
                return Err(Error::input(
                    format!("{} has indexes within indexes without end", raw.digest),
                    "this image cannot be carried",
                ));
            }
            for child in children {
                let below = store.manifest(&child.digest.to_string()).await?;
                let platform = child.platform.filter(|platform| platform.os != "unknown");
                Box::pin(collect(store, found, manifests, &below, platform, depth + 1)).await?;
            }
            add_manifest(store, found, manifests, raw, None, Vec::new());
        }
    }
    Ok(())
}

fn add_manifest(
    store: &Store,
    found: &mut Found,
    manifests: &mut Vec<Manifest>,
    raw: &RawManifest,
    platform: Option<Platform>,
    blobs: Vec<Digest>,
) {
    keep_index(store, found, raw);
    let size = raw.bytes.len() as u64;
    manifests.push(Manifest {
        digest: raw.digest,
        size,
        media_type: raw.media_type.clone(),
        platform,
        blobs,
    });
}

/// How a blob of this media type is kept: compressed layers as they are, all else compressed.
pub(super) fn encoding(media_type: &str, size: u64) -> Encoding {
    let base = media_type.split(';').next().unwrap_or_default();
    let compressed = ["gzip", "zstd", "tgz"].iter().any(|suffix| base.ends_with(suffix));
    let text = base.ends_with("json") || base.ends_with(".tar") || base.starts_with("text/");
    // What is neither is a guess; small blobs cost nothing either way.
    if compressed || (!text && size > 64 << 10) { Encoding::Stored } else { Encoding::Zstd }
}

/// The platform that an image's config names; `None` for artifacts, which have none.
async fn image_platform(
    store: &Store,
    found: &mut Found,
    config: &Descriptor,
) -> Result<Option<Platform>, Error> {
    let is_image = matches!(
        config.media_type.as_str(),
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
    );
    if !is_image || config.size > MAX_CONFIG {
        return Ok(None);
    }
    let bytes = store.config(&config.digest).await?;
    let platform = config_platform(&bytes);
    found.kept.push((config.digest, bytes));
    Ok(platform)
}

/// `os`, `architecture` and `variant` of an image config.
pub(super) fn config_platform(config: &[u8]) -> Option<Platform> {
    #[derive(serde::Deserialize)]
    struct Config {
        os: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    let variant = config.variant.filter(|variant| !variant.is_empty()).map(|variant| format!("/{variant}"));
    format!("{}/{}{}", config.os?, config.architecture?, variant.unwrap_or_default()).parse().ok()
}

pub(super) fn check_platform(
    reference: &ImageReference,
    platform: Option<&Platform>,
    wanted: &Platforms,
) -> Result<(), Error> {
    let (Some(platform), Platforms::Some(wanted)) = (platform, wanted) else { return Ok(()) };
    if wanted.iter().all(|wanted| platform.satisfies(wanted)) {
        return Ok(());
    }
    Err(Error::Entry {
        problem: format!("{reference} is made for {platform} alone"),
        hint: Some(format!("set `platforms: [{platform}]` on this image if that is what the site runs")),
        class: Class::NotFound,
    })
}
