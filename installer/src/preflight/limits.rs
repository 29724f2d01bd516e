//! What the registry, and what stands in front of it, takes; and what docker runs. Pure.

use ferry_model::catalog::Catalog;
use ferry_model::report::Check;
use ferry_model::site::Product;
use ferry_model::size::ByteSize;

use super::catalogue as kinds;
use super::needs::registry_blobs;

/// bkrepo's gateway comes with `client_max_body_size 10G`.
const BKREPO_BODY: u64 = 10 << 30;
/// docker's overlay2 mounts no more.
const MOST_LAYERS: usize = 128;
/// Programs that stand in front of others, and by default refuse large bodies or may be told to.
const PROXIES: [&str; 9] =
    ["nginx", "openresty", "tengine", "apache", "envoy", "haproxy", "traefik", "cloudflare", "kong"];

/// What is known about a registry's front.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    /// What answers calls itself (`Server`, `Via`).
    pub(super) server: Option<String>,
    /// Which registry it is.
    pub(super) product: Product,
}

/// The largest blob against what is known about the largest request.
pub(super) fn check_limits(subject: &str, catalog: &Catalog, front: &Front) -> Check {
    let kind = &kinds::REGISTRY_LIMITS;
    let wanted = registry_blobs(catalog);
    let sizes = catalog.blobs.iter().filter(|blob| wanted.contains(&blob.digest)).map(|blob| blob.size);
    let largest = sizes.max().unwrap_or(0);
    let proxy = front.server.as_ref().filter(|server| {
        let server = server.to_ascii_lowercase();
        PROXIES.iter().any(|proxy| server.contains(proxy))
    });
    match (front.product, proxy) {
        (Product::Bkrepo, _) => {
            let limit = ByteSize(BKREPO_BODY);
            let found =
                format!("largest blob {}; bkrepo's gateway takes {limit} as it comes", ByteSize(largest));
            kind.judge(largest <= BKREPO_BODY, subject, found)
        }
        // nginx's own default, which nobody sets lower.
        (_, Some(proxy)) if largest > 1 << 20 => {
            let found = format!(
                "largest blob {}; {proxy} does not say how large a request may be",
                ByteSize(largest)
            );
            kind.unknown(subject, found)
        }
        _ => {
            kind.passed(subject, format!("largest blob {}; no proxy is known to limit it", ByteSize(largest)))
        }
    }
}

/// Images that docker cannot run.
pub(super) fn check_layers(catalog: &Catalog) -> Vec<Check> {
    let layers = catalog.images.iter().flat_map(|image| {
        image.manifests.iter().map(move |manifest| (image, manifest.blobs.len().saturating_sub(1)))
    });
    let over: Vec<Check> = layers
        .clone()
        .filter(|(_, count)| *count > MOST_LAYERS)
        .map(|(image, count)| {
            kinds::IMAGE_LAYERS.failed(image.reference.to_string(), format!("{count} layers"))
        })
        .collect();
    match layers.map(|(_, count)| count).max() {
        Some(most) if over.is_empty() => {
            vec![kinds::IMAGE_LAYERS.passed("all images", format!("the most layers: {most}"))]
        }
        _ => over,
    }
}

#[cfg(test)]
mod tests {
    use super::super::needs::tests::{catalog, digest};
    use super::*;
    use ferry_model::report::Finding;

    #[test]
    fn the_largest_blob_decides() {
        let small = {
            let mut catalog = catalog();
            catalog.blobs.iter_mut().for_each(|blob| blob.size = blob.size.min(1000));
            catalog
        };
        let front = |server: Option<&str>, product| Front { server: server.map(str::to_owned), product };
        for (catalog, front, finding) in [
            (&catalog(), front(None, Product::Auto), Finding::Passed),
            (&catalog(), front(Some("nginx/1.25.3"), Product::Harbor), Finding::Unknown),
            (&catalog(), front(Some("OpenResty"), Product::Auto), Finding::Unknown),
            (&catalog(), front(Some("openresty"), Product::Bkrepo), Finding::Failed),
            (&small, front(Some("nginx"), Product::Auto), Finding::Passed),
            (&small, front(Some("nginx"), Product::Bkrepo), Finding::Passed),
        ] {
            let check = check_limits("r:5000", catalog, &front);
            assert_eq!(check.finding, finding, "{front:?}: {check:?}");
            assert!(check.found.contains("largest blob"));
        }
    }

    #[test]
    fn images_with_too_many_layers_are_named() {
        let mut catalog = catalog();
        assert_eq!(check_layers(&catalog)[0].found, "the most layers: 1");
        catalog.images[1].manifests[0].blobs = vec![digest("x"); 130];
        let checks = check_layers(&catalog);
        assert_eq!(checks.len(), 1);
        assert_eq!((checks[0].subject.as_str(), checks[0].finding), ("docker.io/team/b:1", Finding::Failed));
        catalog.images.clear();
        assert!(check_layers(&catalog).is_empty());
    }
}
