//! Which product a registry is, by what it answers to anybody.

use ferry_model::host::RegistryAddress;
use ferry_model::site::{Product, Registry};
use ferry_transfer::{Client, Look};

/// Which product the registry is; [`Product::Auto`] where it does not show. Asks at most twice.
pub(in crate::desire) async fn detect(client: &Client, registry: &Registry) -> Product {
    let url = |path: &str| url(&registry.address, registry.tls.scheme(), path);
    let Ok(answer) = client.look(&url("v2/")).await else { return Product::Auto };
    match by_answer(&answer) {
        Product::Registry | Product::Auto => {}
        known => return known,
    }
    // A Harbor behind another's gate may not show it there.
    match client.look(&url("api/v2.0/systeminfo")).await {
        Ok(info) if is_harbor(&info) => Product::Harbor,
        _ => by_answer(&answer),
    }
}

fn url(address: &RegistryAddress, scheme: &str, path: &str) -> String {
    format!("{scheme}://{address}/{path}")
}

fn by_answer(answer: &Look) -> Product {
    by_headers(|name| answer.header(name))
}

fn by_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Product {
    let server = header("server").unwrap_or_default().to_ascii_lowercase();
    let challenge = header("www-authenticate").unwrap_or_default();
    let realm =
        challenge.split("realm=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let is_artifactory = ["x-artifactory-id", "x-artifactory-node-id", "x-jfrog-version"];
    if is_artifactory.iter().any(|name| header(name).is_some()) {
        Product::Artifactory
    } else if server.starts_with("nexus/") {
        Product::Nexus
    } else if realm.ends_with("/jwt/auth") {
        Product::Gitlab
    } else if challenge.contains("scope=\"repository:*/*/tb:") {
        Product::Bkrepo
    } else if realm.ends_with("/service/token") && challenge.contains("service=\"harbor-registry\"") {
        Product::Harbor
    } else if header("docker-distribution-api-version").is_some() {
        Product::Registry
    } else {
        Product::Auto
    }
}

fn is_harbor(info: &Look) -> bool {
    let is_info = |value: &serde_json::Value| {
        value.get("harbor_version").is_some() || (value.get("auth_mode").is_some() && value.is_object())
    };
    info.status == 200 && serde_json::from_slice(&info.body).is_ok_and(|value| is_info(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_show_themselves() {
        let challenge = "www-authenticate";
        for (headers, expected) in [
            (
                vec![(challenge, "Bearer realm=\"https://h/service/token\",service=\"harbor-registry\"")],
                Product::Harbor,
            ),
            (
                vec![
                    ("server", "Nexus/3.70.1-02 (OSS)"),
                    (challenge, "BASIC realm=\"Sonatype Nexus Repository Manager\""),
                ],
                Product::Nexus,
            ),
            (vec![("x-jfrog-version", "Artifactory/7.90 79000900")], Product::Artifactory),
            (
                vec![(
                    challenge,
                    "Bearer realm=\"https://gitlab.corp/jwt/auth\",service=\"container_registry\"",
                )],
                Product::Gitlab,
            ),
            (
                vec![(
                    challenge,
                    "Bearer realm=\"http://bkrepo.corp/docker/v2/auth\",service=\"bkrepo\",scope=\"repository:*/*/tb:push,pull\"",
                )],
                Product::Bkrepo,
            ),
            (
                vec![("docker-distribution-api-version", "registry/2.0"), (challenge, "Basic realm=\"x\"")],
                Product::Registry,
            ),
            (vec![], Product::Auto),
        ] {
            let found =
                by_headers(|name| headers.iter().find(|header| header.0 == name).map(|header| header.1));
            assert_eq!(found, expected, "{headers:?}");
        }
    }
}
