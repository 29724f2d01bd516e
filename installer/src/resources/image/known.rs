//! What the bundle has for a registry.

use std::collections::BTreeMap;

use ferry_model::plan::Image;

use crate::context::Context;
use crate::push::{Item, items};

/// Everything of the bundle that a registry can hold, by the digest that it resolves to.
pub(crate) struct Known(BTreeMap<String, Item>);

impl Known {
    /// Of the bundle at hand; nothing where there is none.
    pub(crate) fn of(context: &Context) -> Self {
        let mut known = BTreeMap::new();
        let Ok(bundle) = context.bundle() else { return Self(known) };
        for item in items(bundle.catalog(), |_| (String::new(), None)) {
            for manifest in &item.manifests {
                if manifest.digest != item.digest && !manifest.blobs.is_empty() {
                    let alone =
                        Item { digest: manifest.digest, manifests: vec![manifest.clone()], ..item.clone() };
                    known.entry(manifest.digest.to_string()).or_insert(alone);
                }
            }
            known.insert(item.digest.to_string(), item);
        }
        Self(known)
    }

    /// The item under the name that the plan gives it.
    pub(super) fn named(&self, image: &Image) -> Option<Item> {
        let item = self.0.get(&image.digest.to_string())?;
        Some(Item { repository: image.repository.clone(), tag: image.tag.clone(), ..item.clone() })
    }
}
