//! What the registry, and what stands in front of it, takes; and what docker runs. Pure.

use ferry_model::catalog::Catalog;
use ferry_model::report::Check;
use ferry_model::site::Product;
use ferry_model::size::ByteSize;

use super::catalogue as kinds;
use super::needs::registry_blobs;

/// bkrepo's gateway comes with `client_max_body_size 10G`.
const BKREPO_BODY: u64 = 10 << 30;
/// nginx's own default, which nobody sets lower.
const LEAST_LIMIT: u64 = 1 << 20;
/// A request that passes no such limit.
pub(super) const TRIED: usize = (1 << 20) + (256 << 10);
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

/// What became of a request that is larger than the smallest limit that is usual.
pub(super) type Request = Result<(), Refusal>;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For its size.
    TooLarge,
    /// For another reason, or it was not tried.
    Other(String),
}

/// The largest blob against what is known about the largest request.
pub(super) fn check_limits(subject: &str, catalog: &Catalog, front: &Front, tried: &Request) -> Check {
    let kind = &kinds::REGISTRY_LIMITS;
    let wanted = registry_blobs(catalog);
    let sizes = catalog.blobs.iter().filter(|blob| wanted.contains(&blob.digest)).map(|blob| blob.size);
    let largest = sizes.max().unwrap_or(0);
    let proxy = front.server.as_ref().filter(|server| {
        let server = server.to_ascii_lowercase();
        PROXIES.iter().any(|proxy| server.contains(proxy))
    });
    let found = |what: &str| format!("largest blob {}; {what}", ByteSize(largest));
    let size = ByteSize(TRIED as u64);
    match (front.product, tried, proxy) {
        (Product::Bkrepo, ..) => {
            let limit = ByteSize(BKREPO_BODY);
            kind.judge(
                largest <= BKREPO_BODY,
                subject,
                found(&format!("bkrepo's gateway takes {limit} as it comes")),
            )
        }
        _ if largest <= LEAST_LIMIT => {
            kind.passed(subject, found("nothing is known to refuse requests as small"))
        }
        (_, Err(Refusal::TooLarge), _) => {
            kind.failed(subject, found(&format!("a request of {size} was refused as too large (413)")))
        }
        (_, Err(Refusal::Other(reason)), None) => kind.unknown(
            subject,
            found(&format!("whether large requests are refused could not be tried: {reason}")),
        ),
        (_, tried, Some(proxy)) => {
            let took = if tried.is_ok() { format!("took {size} in a request and ") } else { String::new() };
            kind.unknown(subject, found(&format!("{proxy} {took}does not say how large a request may be")))
        }
        (_, Ok(()), None) => kind.passed(
            subject,
            found(&format!("a request of {size} was taken, and no proxy is known to limit it")),
        ),
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
        let untried = || Err(Refusal::Other("no login".into()));
        for (catalog, front, tried, finding) in [
            (&catalog(), front(None, Product::Auto), Ok(()), Finding::Passed),
            (&catalog(), front(None, Product::Auto), untried(), Finding::Unknown),
            (&catalog(), front(None, Product::Harbor), Err(Refusal::TooLarge), Finding::Failed),
            (&catalog(), front(Some("nginx/1.25.3"), Product::Harbor), Ok(()), Finding::Unknown),
            (&catalog(), front(Some("nginx/1.25.3"), Product::Harbor), untried(), Finding::Unknown),
            (&catalog(), front(Some("nginx"), Product::Auto), Err(Refusal::TooLarge), Finding::Failed),
            (&catalog(), front(Some("OpenResty"), Product::Auto), Ok(()), Finding::Unknown),
            (&catalog(), front(Some("openresty"), Product::Bkrepo), untried(), Finding::Failed),
            (&small, front(Some("nginx"), Product::Auto), untried(), Finding::Passed),
            (&small, front(Some("nginx"), Product::Bkrepo), untried(), Finding::Passed),
        ] {
            let check = check_limits("r:5000", catalog, &front, &tried);
            assert_eq!(check.finding, finding, "{front:?}, {tried:?}: {check:?}");
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
