//! A registry that is there already.

use std::collections::BTreeSet;

use ferry_model::plan::{Desired, Image, Project, Resource};
use ferry_model::site::{Existing, ManifestLists, Product, Registry};

/// Which product it is: as the site file says, or else as it `seems` to be.
pub(super) fn product(mode: &Existing, seems: Product) -> Product {
    if mode.product == Product::Auto { seems } else { mode.product }
}

/// Whether it takes images for several platforms. bkrepo does since 3.0.1, which BlueKing 7.1 does not have.
pub(super) fn manifest_lists(mode: &Existing, product: Product) -> ManifestLists {
    mode.manifest_lists.unwrap_or(match product {
        Product::Bkrepo => ManifestLists::Refused,
        _ => ManifestLists::Accepted,
    })
}

/// The projects that Harbor must have before it takes a push: the first part of each repository.
pub(super) fn projects(
    mode: &Existing,
    product: Product,
    registry: &Registry,
    images: &[Image],
) -> Vec<Resource> {
    if !mode.create_projects || product != Product::Harbor {
        return Vec::new();
    }
    let project = |name: &str| {
        let (address, public) = (registry.address.clone(), mode.public_projects);
        let scheme = registry.tls.scheme().to_owned();
        let project = Project { registry: address, scheme, name: name.to_owned(), public };
        Resource::new(Desired::Project(project), "Harbor takes pushes only into projects that are there")
    };
    first_parts(images, 1).iter().map(|name| project(name)).collect()
}

/// What the operator must see to before the first push.
pub(super) fn left_by_hand(product: Product, registry: &Registry, images: &[Image]) -> Option<String> {
    let address = &registry.address;
    let list = |depth| first_parts(images, depth).into_iter().collect::<Vec<_>>().join(", ");
    match product {
        Product::Gitlab => Some(format!(
            "see that GitLab has these groups and projects, and that {address} may be pushed to in each: {}",
            list(2)
        )),
        Product::Bkrepo => Some(format!(
            "see that bkrepo has these projects with their docker repositories, which the first two parts of a path name: {}",
            list(2)
        )),
        Product::Artifactory => Some(format!(
            "see that Artifactory has a local docker repository for each of these, unless {address} names one itself: {}",
            list(1)
        )),
        Product::Nexus => Some(format!(
            "see that the hosted docker repository of Nexus behind {address} allows to deploy again, where tags are to be moved"
        )),
        Product::Auto | Product::Registry | Product::Harbor => None,
    }
}

/// How repositories begin: so many parts of their paths.
fn first_parts(images: &[Image], depth: usize) -> BTreeSet<String> {
    let first = |image: &Image| image.repository.split('/').take(depth).collect::<Vec<_>>().join("/");
    images.iter().map(first).collect()
}
