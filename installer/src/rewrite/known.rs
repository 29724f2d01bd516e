//! The images of a bundle: by the names that texts use, and by those that they have at the site.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferry_model::catalog::{Catalog, Image};
use ferry_model::host::RegistryAddress;
use ferry_model::site::{ManifestLists, Paths, Registry, Site};
use ferry_model::{Digest, ImageReference};

use crate::Error;
use crate::desire::Naming;
use crate::push::{Entry, ItemKind, items};

/// How many tags are named to somebody whose tag the bundle lacks.
const NEAREST: usize = 3;

/// The images of a bundle, and what the site calls them.
#[derive(Debug)]
pub(crate) struct Known {
    address: String,
    /// Other names of the site's registry.
    aliases: Vec<String>,
    paths: Paths,
    held: Vec<Held>,
    /// By registry and repository in the world: `docker.io/library/nginx`.
    by_name: HashMap<String, Vec<usize>>,
    /// By repository alone: `library/nginx`.
    by_path: HashMap<String, Vec<usize>>,
    /// By repository at the site.
    by_site: HashMap<String, Vec<usize>>,
    /// Who mirrors a registry for the nodes.
    mirrors: BTreeMap<String, Mirror>,
}

/// An image of the bundle.
#[derive(Debug)]
struct Held {
    world: ImageReference,
    /// Its repository at the site.
    repository: String,
    /// Its tag at the site.
    tag: Option<String>,
    /// What that names there.
    digest: Digest,
    /// Digests of the whole image that people may have pinned.
    whole: BTreeSet<Digest>,
    /// Every manifest of it in the bundle.
    manifests: BTreeSet<Digest>,
    /// Those that the site's registry gets.
    pushed: BTreeSet<Digest>,
}

/// Who mirrors a registry for the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mirror {
    /// The site's registry, which has what the bundle has.
    Own,
    /// Another one.
    Further(String),
}

/// An image as a text names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// With its defaults: `docker.io` where the text has none.
    pub(crate) registry: String,
    /// With `library/` where Docker Hub has it.
    pub(crate) repository: String,
    /// Absent where the text leaves it to others.
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
}

/// What an image is called at the site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
    /// What the registry must answer with, where the bundle says so.
    pub(crate) resolves: Option<Digest>,
}

/// What the bundle has of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is one of the bundle's images.
    Held(Target),
    /// It is the name that an image of the bundle has at the site.
    Right(Target),
    /// It is at the site's registry, and none of the bundle's names.
    Foreign(Target),
    /// The tag is left to others; the bundle has these of the name.
    AnyTag {
        /// The repository at the site, where it is one for all.
        repository: Option<String>,
        /// The tags in the bundle.
        tags: Vec<String>,
    },
    /// The bundle lacks the tag, and has these.
    OtherTags(Vec<String>),
    /// The bundle has the name with this digest, and not with the one that is written.
    OtherDigest(Digest),
    /// The digest is that of a single platform, which the site's registry does not get.
    NotPushed(Digest),
    /// The bundle has nothing of that name.
    Nothing,
}

impl Name {
    /// `None` if that is no image reference.
    pub(crate) fn new(
        registry: Option<&str>,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Option<Self> {
        let digest = match digest {
            Some(text) => Some(text.parse::<Digest>().ok()?),
            None => None,
        };
        let mut text = registry.map_or_else(String::new, |registry| format!("{registry}/"));
        text.push_str(repository);
        // Only so that the reference is a whole one: `latest` must not come in.
        text.push_str(&format!(":{}", tag.unwrap_or("latest")));
        let reference: ImageReference = text.parse().ok()?;
        Some(Self {
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    fn key(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl Target {
    /// The whole name at the registry that has this address.
    pub(crate) fn at(&self, address: &str) -> String {
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        let digest = self.digest.map_or_else(String::new, |digest| format!("@{digest}"));
        format!("{address}/{}{tag}{digest}", self.repository)
    }

    /// A repository alone, whose tag others say.
    pub(super) fn any_tag(repository: String) -> Self {
        Self { repository, tag: None, digest: None, resolves: None }
    }
}

impl Known {
    /// The images of `catalog`, as `apply` pushes them to the site's registry.
    pub(crate) fn new(catalog: &Catalog, naming: &Naming<'_>, site: &Site) -> Result<Self, Error> {
        // What cannot be pushed has no name.
        naming.images(catalog)?;
        let registry = naming.registry;
        let name = |entry: Entry<'_>| match entry {
            Entry::Image(image) => naming.image(image),
            Entry::Chart(chart) => naming.chart(chart),
        };
        let pushed = items(catalog, name).into_iter().filter(|item| item.kind == ItemKind::Image);
        let held = pushed.zip(&catalog.images).map(|(item, image)| {
            let item = match naming.lists {
                ManifestLists::Accepted => item,
                ManifestLists::Refused => item.for_platform(naming.platform).unwrap_or(item),
            };
            Held {
                world: image.reference.clone(),
                repository: item.repository,
                tag: item.tag,
                digest: item.digest,
                whole: image.source_index.into_iter().chain([image.digest]).collect(),
                manifests: image.manifests.iter().map(|manifest| manifest.digest).collect(),
                pushed: item.manifests.iter().map(|manifest| manifest.digest).collect(),
            }
        });
        let mut known = Self {
            address: registry.address.to_string(),
            aliases: aliases(registry),
            paths: registry.paths.clone(),
            held: held.collect(),
            by_name: HashMap::new(),
            by_path: HashMap::new(),
            by_site: HashMap::new(),
            mirrors: mirrors(site),
        };
        for (index, (held, image)) in known.held.iter().zip(&catalog.images).enumerate() {
            for name in names(image) {
                known.by_name.entry(name).or_default().push(index);
            }
            known.by_path.entry(held.world.repository().to_owned()).or_default().push(index);
            known.by_site.entry(held.repository.clone()).or_default().push(index);
        }
        Ok(known)
    }

    /// The site's registry, as references begin.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What stands before all repositories at the site, where they keep their own paths behind it.
    pub(super) fn prefix(&self) -> Option<&str> {
        match &self.paths {
            Paths::Keep => Some(""),
            Paths::Prefix(prefix) => Some(prefix),
            Paths::Flatten(_) => None,
        }
    }

    /// Whether a registry is the site's, by whichever of its names.
    pub(crate) fn is_site(&self, registry: &str) -> bool {
        registry == self.address || self.aliases.iter().any(|alias| alias == registry)
    }

    /// Who mirrors a registry for the nodes.
    pub(super) fn mirror(&self, registry: &str) -> Option<&Mirror> {
        self.mirrors.get(registry)
    }

    /// How many images of the bundle come from a registry, or from below a path of it.
    pub(super) fn count_from(&self, registry: &str) -> usize {
        let begins = |name: &str| name.strip_prefix(registry).is_some_and(|rest| rest.starts_with('/'));
        self.held.iter().filter(|held| begins(&held.world.name())).count()
    }

    /// What the bundle has of a name.
    pub(crate) fn find(&self, name: &Name) -> Match {
        if self.is_site(&name.registry) {
            return self.at_site(name);
        }
        self.choose(name, self.by_name.get(&name.key()))
    }

    /// What the bundle has of a repository, of whichever registry. `None` where several registries have different ones.
    pub(super) fn find_path(&self, repository: &str, tag: Option<&str>, digest: Option<Digest>) -> Match {
        let name = Name {
            registry: String::new(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        };
        self.choose(&name, self.by_path.get(repository))
    }

    fn choose(&self, name: &Name, candidates: Option<&Vec<usize>>) -> Match {
        let candidates: Vec<&Held> = self.images(candidates).collect();
        if candidates.is_empty() {
            return Match::Nothing;
        }
        match (&name.tag, name.digest) {
            (tag, Some(digest)) => by_digest(&candidates, tag.as_deref(), digest),
            (Some(tag), None) => {
                let held = candidates.iter().find(|held| held.world.tag() == Some(tag));
                held.map_or_else(
                    || Match::OtherTags(tags(&candidates)),
                    |held| Match::Held(held.target(None)),
                )
            }
            (None, None) => {
                let repositories: BTreeSet<_> = candidates.iter().map(|held| &held.repository).collect();
                // A name of its own may change the tag, which is not here to be changed.
                let keeps_tags = candidates.iter().all(|held| held.tag.as_deref() == held.world.tag());
                let repository = (repositories.len() == 1 && keeps_tags)
                    .then(|| repositories.into_iter().next().cloned())
                    .flatten();
                Match::AnyTag { repository, tags: tags(&candidates) }
            }
        }
    }

    fn images<'a>(&'a self, indices: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a Held> {
        indices.into_iter().flatten().map(|index| &self.held[*index])
    }

    fn at_site(&self, name: &Name) -> Match {
        let written = Target {
            repository: name.repository.clone(),
            tag: name.tag.clone(),
            digest: name.digest,
            resolves: name.digest,
        };
        let is_it = |held: &&Held| {
            let tag_is_right = name.tag.is_none() || held.tag == name.tag;
            tag_is_right && name.digest.is_none_or(|digest| held.pushed.contains(&digest))
        };
        match self.images(self.by_site.get(&name.repository)).find(is_it) {
            // A tag that is left to others resolves to whatever they say.
            Some(_) if name.tag.is_none() && name.digest.is_none() => Match::Right(written),
            Some(held) => Match::Right(Target { resolves: name.digest.or(Some(held.digest)), ..written }),
            None => Match::Foreign(written),
        }
    }
}

impl Held {
    fn target(&self, digest: Option<Digest>) -> Target {
        let resolves = Some(digest.unwrap_or(self.digest));
        Target { repository: self.repository.clone(), tag: self.tag.clone(), digest, resolves }
    }

    /// What the digest of a reference to this image is at the site.
    fn digest_at_site(&self, written: Digest) -> Option<Digest> {
        if self.pushed.contains(&written) {
            return Some(written);
        }
        self.whole.contains(&written).then_some(self.digest)
    }
}

fn by_digest(candidates: &[&Held], tag: Option<&str>, digest: Digest) -> Match {
    let has_tag = |held: &&&Held| tag.is_none_or(|tag| held.world.tag() == Some(tag));
    let tagged = candidates.iter().filter(has_tag);
    // The digest is what counts: with another tag it is still the same image.
    for held in tagged.clone().chain(candidates) {
        if let Some(at_site) = held.digest_at_site(digest) {
            let target = held.target(Some(at_site));
            return Match::Held(if tag.is_none() { Target { tag: None, ..target } } else { target });
        }
    }
    if candidates.iter().any(|held| held.manifests.contains(&digest)) {
        return Match::NotPushed(digest);
    }
    match tagged.clone().next() {
        Some(held) => Match::OtherDigest(held.digest),
        None => Match::OtherTags(tags(candidates)),
    }
}

fn tags(candidates: &[&Held]) -> Vec<String> {
    let tags: BTreeSet<&str> = candidates.iter().filter_map(|held| held.world.tag()).collect();
    tags.into_iter().rev().take(NEAREST).map(str::to_owned).collect()
}

/// What an image is called in the world. One that came out of a file without a name has the one that the spec gave it.
fn names(image: &Image) -> Vec<String> {
    let mut names = vec![image.reference.name()];
    if image.reference.registry() == "localhost" {
        names.push(format!("docker.io/{}", image.reference.repository()));
    }
    names
}

fn aliases(registry: &Registry) -> Vec<String> {
    let port = registry.address.port().map_or_else(String::new, |port| format!(":{port}"));
    let alias = |host: &ferry_model::host::Host| match host.ip() {
        Some(std::net::IpAddr::V6(_)) => format!("[{host}]{port}"),
        _ => format!("{host}{port}"),
    };
    registry.also_known_as.iter().map(alias).collect()
}

fn mirrors(site: &Site) -> BTreeMap<String, Mirror> {
    let Some(configure) = &site.nodes.configure else { return BTreeMap::new() };
    let further = configure.registries.iter().flat_map(|further| {
        let by =
            |registry: &RegistryAddress| (registry.to_string(), Mirror::Further(further.address.to_string()));
        further.mirrors.iter().map(by)
    });
    // The site's own comes last, since it counts.
    further.chain(configure.mirrors.iter().map(|registry| (registry.to_string(), Mirror::Own))).collect()
}

#[cfg(test)]
pub(super) mod tests;
