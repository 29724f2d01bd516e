//! The site file that `init` writes for a bundle: it parses as strictly as any, and can be planned for.

use ferry_model::catalog::FileKind;

use super::*;
use crate::starter::{Known, starter};

fn site_of(text: &str) -> SiteFile {
    let site = Site::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(text) }
}

/// A plan for a site where nothing is yet, and no bkrepo answers.
fn plan_of(catalog: &Catalog, text: &str) -> Plan {
    let site = site_of(text);
    let desire = desire(catalog, &site, &facts()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut observed = bare(&desire);
    for (id, state) in &mut observed {
        if id.as_str().starts_with("bkrepo-") {
            *state = State::Unknown { reason: "it does not answer".into() };
        }
    }
    plan(identity(site.digest), &desire, &observed).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The text with another way to have a registry, one of those that it lists.
fn with_mode(text: &str, mode: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("  #   {mode}: ")));
    let line = line.unwrap_or_else(|| panic!("{mode} is not listed:\n{text}"));
    text.replace("\n  serve: {}\n", &format!("\n  {mode}: {line}\n"))
}

#[test]
fn the_bundles_registry_is_filled_in() {
    let mut catalog = catalog();
    let found = catalog.images.iter_mut().find(|image| image.reference.to_string().contains("registry:2"));
    found.unwrap().reference = "hub.corp/mirror/registry:2.8.3".parse().unwrap();
    let text = starter(&Known { catalog: Some(&catalog), ..Known::default() });
    assert!(!plan_of(&catalog, &text).steps.is_empty());
    for mode in ["systemd", "docker", "kubernetes"] {
        let text = with_mode(&text, mode);
        assert!(text.contains(&format!("  {mode}: {{image: \"hub.corp/mirror/registry:2.8.3\", ")), "{text}");
        assert!(!plan_of(&catalog, &text).steps.is_empty());
    }
    // Of two nobody knows which is meant.
    let mut other = catalog.images[1].clone();
    other.reference = "docker.io/library/registry:3".parse().unwrap();
    catalog.images.push(other);
    let text = starter(&Known { catalog: Some(&catalog), ..Known::default() });
    assert!(
        !text.contains("{image:") && text.contains("hub.corp/mirror/registry:2.8.3, docker.io"),
        "{text}"
    );
}

#[test]
fn bkrepo_is_asked_for_where_the_bundle_has_something_for_it() {
    let mut catalog = catalog();
    catalog.files[0].repository = Some("bkpaas/bkpaas3-platform-assets".parse().unwrap());
    assert!(catalog.files.iter().any(|file| file.kind == FileKind::Runtime));
    let text = starter(&Known { catalog: Some(&catalog), ..Known::default() });
    assert!(site_of(&text).site.bkrepo.is_some() && text.contains("1 of runtimes and 0 of SaaS"), "{text}");
    let plan = plan_of(&catalog, &text);
    assert!(!plan.steps.is_empty() && !plan.waiting.is_empty(), "{plan:?}");
    catalog.files.clear();
    let text = starter(&Known { catalog: Some(&catalog), ..Known::default() });
    assert!(site_of(&text).site.bkrepo.is_none(), "{text}");
}
