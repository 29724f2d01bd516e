//! The settings that BlueKing's scripts and helmfiles read, as files to load and to merge: which registry images come from,
//! and which helm repository charts do.
//!
//! `setup_bkce7.sh` takes `BK_DOMAIN`, `REGISTRY` (no scheme; may have a path) and `REPOSITORY` from its environment; the
//! helmfiles take `imageRegistry` and `domain` from `environments/default/custom.yaml`.

use std::path::Path;

use ferry_model::plan::{Content, Keep};
use ferry_model::site::{Blueking, HelmPlace, Mode, Paths, Registry};

use super::Desire;
use super::registry::{add_file, add_folder};
use crate::site::SiteFile;

const ENVIRONMENT: &str = "blueking.env";
const VALUES: &str = "custom-values.yaml";

pub(super) fn desire_settings(desire: &mut Desire, site: &SiteFile) {
    let Some(blueking) = &site.site.blueking else { return };
    let Some(folder) = &blueking.settings else { return };
    let folder = site.absolute(folder);
    let registry = site.site.registry.as_ref().map(image_registry);
    if matches!(&site.site.registry, Some(registry) if matches!(registry.paths, Paths::Flatten(_))) {
        desire.by_hand.push("BlueKing's charts expect images under the paths that they have at their source, and `flatten` drops those: take it out of `registry`, or set each image's name in the values of its chart".into());
    }
    let repository = helm_repository(site);
    if repository.is_none() {
        desire.by_hand.push(format!(
            "{} names no helm repository, since an OCI registry is none that BlueKing's helmfiles can read: `charts: {{repositories: [{{bkrepo: blueking/charts}}]}}` makes one, and `ferry-installer serve` is one",
            folder.join(ENVIRONMENT).display()
        ));
    }
    let home = add_folder(desire, &folder, None, Keep::Everything, "the settings for BlueKing lie there");
    let files = [
        (ENVIRONMENT, environment(blueking, &folder, registry.as_deref(), repository.as_deref())),
        (VALUES, values(blueking, registry.as_deref())),
    ];
    for (name, text) in files {
        let reason = "BlueKing's scripts and helmfiles read it";
        add_file(desire, &folder.join(name), 0o644, Content::Text { text }, reason, [home.clone()]);
    }
}

/// Where images are, as `imageRegistry` says it.
fn image_registry(registry: &Registry) -> String {
    match &registry.paths {
        Paths::Prefix(prefix) => format!("{}/{prefix}", registry.address),
        Paths::Keep | Paths::Flatten(_) => registry.address.to_string(),
    }
}

/// The helm repository that charts of the bundle are in, as `helm repo add` takes it.
fn helm_repository(site: &SiteFile) -> Option<String> {
    if let Some(repository) = site.site.charts.repositories.first() {
        return match &repository.place {
            HelmPlace::ChartMuseum { url, .. } => Some(url.clone()),
            HelmPlace::Bkrepo(name) => {
                site.site.bkrepo.as_ref().map(|bkrepo| format!("{}/helm/{name}", bkrepo.url))
            }
        };
    }
    let registry = site.site.registry.as_ref().filter(|registry| matches!(registry.mode, Mode::Serve(_)))?;
    Some(format!("{}://{}/charts", registry.tls.scheme(), registry.address))
}

fn environment(
    blueking: &Blueking,
    folder: &Path,
    registry: Option<&str>,
    repository: Option<&str>,
) -> String {
    let mut text = format!(
        "# What BlueKing's scripts read. Before setup_bkce7.sh: set -a; . {}; set +a\nBK_DOMAIN={}\n",
        quoted(&folder.join(ENVIRONMENT).display().to_string()),
        blueking.domain
    );
    let mut set = |name: &str, value: Option<&str>, missing: &str| match value {
        Some(value) => text.push_str(&format!("{name}={}\n", quoted(value))),
        None => text.push_str(&format!("# {name}: {missing}\n")),
    };
    set("REGISTRY", registry, "the site file has no `registry`");
    set("REPOSITORY", repository, "the site has no helm repository");
    text
}

fn values(blueking: &Blueking, registry: Option<&str>) -> String {
    let mut text =
        "# For environments/default/custom.yaml of BlueKing's helmfiles: merge these keys into it.\n"
            .to_owned();
    if let Some(registry) = registry {
        // As JSON, which YAML takes: an IPv6 address in brackets would be a list.
        text.push_str(&format!("imageRegistry: {}\n", serde_json::Value::from(registry)));
    }
    let domain = &blueking.domain;
    text.push_str(&format!("domain:\n  bkDomain: {domain}\n  bkMainSiteDomain: {domain}\n"));
    text
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sourced_file_runs_nothing() {
        for (text, word) in [
            ("http://charts.corp:8080/a", "http://charts.corp:8080/a"),
            ("http://charts.corp/$(id);a", "'http://charts.corp/$(id);a'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }

    #[test]
    fn an_ipv6_registry_is_a_text() {
        let blueking = serde_json::from_value(serde_json::json!({"domain": "bkce7.example.com"})).unwrap();
        let text = values(&blueking, Some("[fd00::1]:5000"));
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["imageRegistry"], "[fd00::1]:5000");
        assert_eq!(read["domain"]["bkDomain"], "bkce7.example.com");
    }
}
