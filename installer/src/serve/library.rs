//! The merged view over all bundles: which digest a name stands for, and which bundle holds it.
//!
//! An image is found under its name at the site (`library/registry`) and under its name in the world
//! (`docker.io/library/registry`), so that one server stands in for every upstream registry at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::catalog::{Chart, File, Image, Manifest};
use ferry_transfer::manifest::{MAX_INDEX, media_type};

/// Names and what they stand for. Where two bundles give one name two meanings, the later bundle wins.
#[derive(Debug, Default)]
pub(super) struct Library {
    bundles: Vec<Bundle>,
    repositories: BTreeMap<String, Repository>,
    /// Registries that some image came from.
    upstreams: BTreeSet<String>,
    images: BTreeMap<(String, String), Place>,
    charts: BTreeMap<String, Place>,
    files: BTreeMap<String, Place>,
}

/// Where in the bundles an entry stands: the bundle, and the entry's index in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bundle: usize,
    index: usize,
}

/// A repository of the registry.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// Whether it is a name at the site, and so in the list of repositories.
    listed: bool,
    pub(super) tags: BTreeMap<String, Digest>,
    media_types: HashMap<Digest, String>,
    referrers: HashMap<Digest, Vec<Referrer>>,
}

/// A manifest that is about another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referrer {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) artifact_type: Option<String>,
}

/// A blob in one of the bundles.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) bundle: Bundle,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Library {
    /// Merges bundles. The second value says where they disagree, one sentence each.
    pub(super) fn new(bundles: Vec<Bundle>) -> (Self, Vec<String>) {
        let mut library = Self::default();
        let mut conflicts = Vec::new();
        for (number, bundle) in bundles.iter().enumerate() {
            let catalog = bundle.catalog();
            let place = |index| Place { bundle: number, index };
            for (index, image) in catalog.images.iter().enumerate() {
                let pinned = image.source_index.and_then(|digest| pinned(bundle, digest));
                library.add_image(image, pinned, place(index), &mut conflicts);
            }
            for (index, chart) in catalog.charts.iter().enumerate() {
                library.add_chart(chart, place(index), &bundles, &mut conflicts);
            }
            for (index, file) in catalog.files.iter().enumerate() {
                let path = file.served_path();
                let before =
                    library.files.insert(path.clone(), place(index)).map(|before| before.file(&bundles));
                if before.is_some_and(|before| before.digest != file.digest) {
                    conflicts.push(conflict("file", &path, file.digest));
                }
            }
        }
        library.bundles = bundles;
        (library, conflicts)
    }

    fn add_image(
        &mut self,
        image: &Image,
        pinned: Option<(Digest, String)>,
        place: Place,
        conflicts: &mut Vec<String>,
    ) {
        self.upstreams.insert(image.reference.registry().to_owned());
        let site = self.repositories.entry(image.repository.clone()).or_default();
        site.listed = true;
        site.add_image(image, image.tag.as_deref(), &image.repository, conflicts);
        site.media_types.extend(pinned.clone());
        let world = image.reference.name();
        if world != image.repository {
            let repository = self.repositories.entry(world.clone()).or_default();
            repository.add_image(image, image.reference.tag(), &world, conflicts);
            repository.media_types.extend(pinned);
        }
        let tag = image.tag.clone().unwrap_or_else(|| image.digest.to_string());
        self.images.insert((image.repository.clone(), tag), place);
    }

    fn add_chart(&mut self, chart: &Chart, place: Place, bundles: &[Bundle], conflicts: &mut Vec<String>) {
        let repository = self.repositories.entry(chart.repository.clone()).or_default();
        repository.listed = true;
        repository.add_manifest(&chart.manifest);
        repository.add_tag(&chart.tag, chart.manifest.digest, &chart.repository, conflicts);
        let name = chart.file_name();
        let before = self.charts.insert(name.clone(), place).map(|before| before.chart(bundles));
        if before.is_some_and(|before| before.archive != chart.archive) {
            conflicts.push(conflict("chart", &name, chart.archive));
        }
    }

    /// The bundles, in the order in which they were given.
    pub(super) fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }

    /// The repository that a client means by `name`. `namespace` is the registry that it believes to talk to, which
    /// containerd tells its mirrors (`?ns=docker.io`).
    pub(super) fn repository(&self, name: &str, namespace: Option<&str>) -> Option<&Repository> {
        if let Some(namespace) = namespace {
            let registry = match namespace {
                "index.docker.io" | "registry-1.docker.io" => "docker.io",
                other => other,
            };
            let found = self.repositories.get(&format!("{registry}/{name}"));
            // An unknown registry is this site's own, under whatever name. A known one must not be answered with the
            // image of the same name from another registry.
            if found.is_some() || self.upstreams.contains(registry) {
                return found;
            }
        }
        // dockerd asks its mirrors for Docker Hub's names, and tells no registry.
        self.repositories.get(name).or_else(|| self.repositories.get(&format!("docker.io/{name}")))
    }

    /// The repositories at the site, sorted.
    pub(super) fn listed_repositories(&self) -> impl Iterator<Item = &str> {
        self.repositories.iter().filter(|(_, repository)| repository.listed).map(|(name, _)| name.as_str())
    }

    /// A blob, out of whichever bundle holds it.
    pub(super) fn content(&self, digest: &Digest) -> Option<Content> {
        self.bundles.iter().find_map(|bundle| {
            let size = bundle.blob(digest)?.size;
            Some(Content { bundle: bundle.clone(), digest: *digest, size })
        })
    }

    /// All images, sorted by repository and tag.
    pub(super) fn images(&self) -> impl ExactSizeIterator<Item = (&Bundle, &Image)> {
        self.images.values().map(|place| {
            let bundle = &self.bundles[place.bundle];
            (bundle, &bundle.catalog().images[place.index])
        })
    }

    /// All charts, by file name.
    pub(super) fn charts(&self) -> impl ExactSizeIterator<Item = (&str, &Chart)> {
        self.charts.iter().map(|(name, place)| (name.as_str(), place.chart(&self.bundles)))
    }

    /// The chart with this file name (`NAME-VERSION.tgz`).
    pub(super) fn chart(&self, file_name: &str) -> Option<&Chart> {
        self.charts.get(file_name).map(|place| place.chart(&self.bundles))
    }

    /// All files by served path, from `prefix` on while they have it.
    pub(super) fn files<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.files
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, place)| (path.as_str(), place.file(&self.bundles)))
    }

    /// The file served at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path).map(|place| place.file(&self.bundles))
    }
}

/// The index that an image was taken out of, with its media type: manifests that people wrote pin that digest. Clients take
/// the platform that they need out of it, and only that one has to be here.
fn pinned(bundle: &Bundle, digest: Digest) -> Option<(Digest, String)> {
    let bytes = bundle.read_all(&digest, MAX_INDEX).ok()?;
    Some((digest, media_type(&bytes, None).ok()?))
}

impl Place {
    fn chart(self, bundles: &[Bundle]) -> &Chart {
        &bundles[self.bundle].catalog().charts[self.index]
    }

    fn file(self, bundles: &[Bundle]) -> &File {
        &bundles[self.bundle].catalog().files[self.index]
    }
}

impl Repository {
    fn add_image(&mut self, image: &Image, tag: Option<&str>, name: &str, conflicts: &mut Vec<String>) {
        image.all_manifests().for_each(|manifest| self.add_manifest(manifest));
        if let Some(tag) = tag {
            self.add_tag(tag, image.digest, name, conflicts);
        }
        for attachment in &image.attachments {
            if let Some(tag) = &attachment.tag {
                self.add_tag(tag, attachment.digest, name, conflicts);
            }
            let root = attachment.manifests.iter().find(|manifest| manifest.digest == attachment.digest);
            if let (Some(subject), Some(root)) = (attachment.subject, root) {
                let referrers = self.referrers.entry(subject).or_default();
                let referrer = Referrer {
                    digest: attachment.digest,
                    media_type: root.media_type.clone(),
                    artifact_type: attachment.artifact_type.clone(),
                };
                if !referrers.contains(&referrer) {
                    referrers.push(referrer);
                }
            }
        }
    }

    fn add_manifest(&mut self, manifest: &Manifest) {
        self.media_types.insert(manifest.digest, manifest.media_type.clone());
    }

    fn add_tag(&mut self, tag: &str, digest: Digest, name: &str, conflicts: &mut Vec<String>) {
        let before = self.tags.insert(tag.to_owned(), digest);
        if self.listed && before.is_some_and(|before| before != digest) {
            conflicts.push(conflict("tag", &format!("{name}:{tag}"), digest));
        }
    }

    /// The media type of one of its manifests.
    pub(super) fn media_type(&self, digest: &Digest) -> Option<&str> {
        self.media_types.get(digest).map(String::as_str)
    }

    /// What refers to a manifest.
    pub(super) fn referrers(&self, subject: &Digest) -> &[Referrer] {
        self.referrers.get(subject).map_or(&[], Vec::as_slice)
    }
}

fn conflict(kind: &str, name: &str, digest: Digest) -> String {
    format!("two bundles have a {kind} {name}, which differ; serving that of the later one, {digest}")
}
