//! A registry that is there already.

use std::collections::BTreeSet;

use ferry_model::plan::{Desired, Image, Project, Resource};
use ferry_model::site::{Existing, ManifestLists, Product, Registry};

/// Whether it takes images for several platforms. bkrepo does since 3.0.1, which BlueKing 7.1 does not have.
pub(super) fn manifest_lists(mode: &Existing) -> ManifestLists {
    mode.manifest_lists.unwrap_or(match mode.product {
        Product::Bkrepo => ManifestLists::Refused,
        _ => ManifestLists::Accepted,
    })
}

/// The projects that Harbor must have before it takes a push: the first part of each repository.
pub(super) fn projects(mode: &Existing, registry: &Registry, images: &[Image]) -> Vec<Resource> {
    if !mode.create_projects || mode.product != Product::Harbor {
        return Vec::new();
    }
    let names: BTreeSet<&str> =
        images.iter().filter_map(|image| image.repository.split('/').next()).collect();
    let project = |name: &str| {
        let (registry, public) = (registry.address.clone(), mode.public_projects);
        let project = Project { registry, name: name.to_owned(), public };
        Resource::new(Desired::Project(project), "Harbor takes pushes only into projects that are there")
    };
    names.into_iter().map(project).collect()
}
