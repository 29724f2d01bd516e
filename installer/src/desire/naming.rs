//! What images and charts are called at the site's registry.

use std::collections::BTreeMap;

use ferry_model::catalog::{Catalog, Chart};
use ferry_model::plan::{Image, ResourceId};
use ferry_model::site::{Charts, ManifestLists, Product, Registry};
use ferry_model::{ImageReference, Platform};

use super::{Desire, Facts};
use crate::Error;
use crate::context::{Context, Manner};
use crate::push::{Entry, Item, ItemKind, items};
use crate::site::SiteFile;

/// The site's rules for names.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The registry, with its mapping.
    pub registry: &'a Registry,
    /// Where charts go.
    pub charts: &'a Charts,
    /// Whether the registry takes images for several platforms.
    pub lists: ManifestLists,
    /// The platform that is pushed alone where it does not.
    pub platform: &'a Platform,
}

impl Naming<'_> {
    /// Whether a registry takes images for several platforms; one that is there may be asked what it is.
    pub(crate) async fn manifest_lists(context: &Context, registry: &Registry, ask: bool) -> ManifestLists {
        let is_unsaid = super::registry::is_product_unsaid(&registry.mode);
        let client = if ask && is_unsaid { context.client(Manner::Brief).await.ok() } else { None };
        let seems = match &client {
            Some(client) => super::registry::detect(client, registry).await,
            None => Product::Auto,
        };
        super::registry::manifest_lists(&registry.mode, seems)
    }

    /// Repository and tag of an image at the registry.
    pub fn image(&self, image: &ferry_model::catalog::Image) -> (String, Option<String>) {
        if let Some(name) = self.chosen(&image.reference) {
            return (
                name.repository().to_owned(),
                name.tag().map(str::to_owned).or_else(|| image.tag.clone()),
            );
        }
        (self.registry.paths.repository(&image.repository), image.tag.clone())
    }

    /// Repository and tag of a chart at the registry.
    pub fn chart(&self, chart: &Chart) -> (String, Option<String>) {
        let name = chart.repository.strip_prefix("charts/").unwrap_or(&chart.repository);
        let prefix = self.charts.prefix.trim_matches('/');
        let repository = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        (self.registry.paths.repository(&repository), Some(chart.tag.clone()))
    }

    fn chosen(&self, reference: &ImageReference) -> Option<&ImageReference> {
        let key = self.registry.names.keys().find(|known| is_same_image(known, reference))?;
        self.registry.names.get(key)
    }

    /// Refuses a name for an image that the bundle does not have: more likely a slip than a wish.
    fn check_names(&self, catalog: &Catalog) -> Result<(), Error> {
        let is_there =
            |key: &&ImageReference| catalog.images.iter().any(|image| is_same_image(key, &image.reference));
        match self.registry.names.keys().find(|key| !is_there(key)) {
            Some(key) => Err(Error::NameOfNothing { name: key.to_string() }),
            None => Ok(()),
        }
    }

    /// Everything that the registry shall have. Fails if two different things would get one name.
    pub fn images(&self, catalog: &Catalog) -> Result<Vec<Image>, Error> {
        self.check_names(catalog)?;
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        let sizes = catalog.blob_sizes();
        let sources = Self::sources(catalog);
        for (item, source) in items(catalog, |entry| self.name(entry)).into_iter().zip(sources) {
            if item.kind == ItemKind::Chart && !self.charts.push {
                continue;
            }
            let image = self.desired(&item, source, &sizes)?;
            if let Some(other) = images.get(&image.name()).filter(|other| other.digest != image.digest) {
                return Err(Error::NameClash {
                    name: image.name(),
                    one: other.source.clone(),
                    other: image.source.clone(),
                });
            }
            images.insert(image.name(), image);
        }
        Ok(images.into_values().collect())
    }

    fn name(&self, entry: Entry<'_>) -> (String, Option<String>) {
        match entry {
            Entry::Image(image) => self.image(image),
            Entry::Chart(chart) => self.chart(chart),
        }
    }

    /// What each item is called in the bundle, in the order of [`items`].
    fn sources(catalog: &Catalog) -> Vec<String> {
        let images = catalog.images.iter().flat_map(|image| {
            let name = image.reference.to_string();
            let attachments = image.attachments.iter().map({
                let name = name.clone();
                move |attachment| {
                    format!("{} of {name}", attachment.artifact_type.as_deref().unwrap_or("an attachment"))
                }
            });
            std::iter::once(name).chain(attachments.collect::<Vec<_>>())
        });
        let charts = catalog.charts.iter().map(|chart| format!("chart {} {}", chart.name, chart.version));
        images.chain(charts).collect()
    }

    /// What of it the registry takes. `None` if it has nothing for the platform that is pushed alone.
    fn reduced(&self, item: &Item) -> Option<Item> {
        match self.lists {
            ManifestLists::Accepted => Some(item.clone()),
            ManifestLists::Refused => item.for_platform(self.platform),
        }
    }

    fn desired(
        &self,
        item: &Item,
        source: String,
        sizes: &BTreeMap<ferry_model::Digest, u64>,
    ) -> Result<Image, Error> {
        let Some(item) = self.reduced(item) else {
            let platform = self.platform.to_string();
            return Err(Error::NoPlatform { image: source, platform });
        };
        let blobs = item.blobs().chain(item.manifests.iter().map(|manifest| manifest.digest));
        let unique: std::collections::BTreeSet<_> = blobs.collect();
        let size = unique.iter().filter_map(|digest| sizes.get(digest)).sum();
        Ok(Image {
            registry: self.registry.address.clone(),
            repository: item.repository,
            tag: item.tag,
            digest: item.digest,
            source,
            size,
        })
    }
}

/// An image of the bundle, as the site's registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AtSite {
    /// What it is called there: by its tag, or by its digest where it has none.
    pub(super) name: String,
    /// What it is called there by its digest.
    pub(super) pinned: String,
    /// The step that brings it there, where one does.
    pub(super) pushed: Option<ResourceId>,
}

impl AtSite {
    /// Of an image, once `desire` has the registry's.
    pub(super) fn new(
        desire: &Desire,
        site: &SiteFile,
        registry: &Registry,
        facts: &Facts,
        image: &ferry_model::catalog::Image,
    ) -> Self {
        let lists = super::registry::manifest_lists(&registry.mode, facts.product);
        let naming = Naming { registry, charts: &site.site.charts, lists, platform: &facts.platform };
        let (repository, tag) = naming.image(image);
        let whole = Item::image(image, repository, tag);
        let item = naming.reduced(&whole).unwrap_or(whole);
        let name = format!("{}/{item}", registry.address);
        let id = ResourceId::new("image", &name);
        let is_pushed = desire.resources.iter().any(|resource| resource.id() == id);
        Self {
            pinned: format!("{}/{}@{}", registry.address, item.repository, item.digest),
            pushed: is_pushed.then_some(id),
            name,
        }
    }
}

/// Whether two references name the same image, whatever digest one of them adds.
fn is_same_image(one: &ImageReference, other: &ImageReference) -> bool {
    (one.registry(), one.repository(), one.tag()) == (other.registry(), other.repository(), other.tag())
}
