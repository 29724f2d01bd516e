//! Values that name a registry and no image: `global.imageRegistry`, from which templates make references.

use std::ops::Range;

use ferry_model::ImageReference;
use serde::Serialize;

use crate::Place;
use crate::mapped::Mapped;
use crate::report::Report;

/// A registry that a text names by itself, with a path behind it perhaps: `hub.bktencent.com/dev`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// The registry as it is written.
    pub value: String,
    /// Where.
    pub place: Place,
    /// Its bytes, without quotes.
    #[serde(skip)]
    pub span: Range<usize>,
}

/// `REGISTRY=…`, and whatever else ends so.
pub(crate) fn in_environment(text: &str, report: &mut Report<'_>) {
    for (at, line) in crate::lines::of(text) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim().trim_start_matches("export ").trim();
        if name.starts_with('#') || !(name.ends_with("REGISTRY") || crate::keys::is_registry(name)) {
            continue;
        }
        let start = at + line.len() - value.len();
        let value = Mapped::new(value, start);
        let value = value.trimmed();
        let quotes = usize::from(value.text.len() > 1 && value.text.starts_with(['"', '\'']));
        let value = value.part(quotes..value.text.len() - quotes);
        if is_registry(&value.text) {
            report.push_registry(&value.text, value.span(0..value.text.len()), None, name.to_owned());
        }
    }
}

/// Whether a value is a registry: a host with a dot or a port, and a path at most.
pub(crate) fn is_registry(value: &str) -> bool {
    let host = value.split('/').next().unwrap_or_default();
    let has_image = value.rsplit('/').next().is_some_and(|last| last.contains(':')) && value.contains('/');
    crate::parts::is_registry(host) && !has_image && format!("{value}/a").parse::<ImageReference>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    #[test]
    fn values_that_name_registries() {
        for (text, format, expected) in [
            (
                "global:\n  imageRegistry: hub.bktencent.com # hub\n",
                Format::Yaml,
                "2:18 global.imageRegistry hub.bktencent.com",
            ),
            (
                "imageRegistry: \"hub.bktencent.com/dev\"\n",
                Format::Yaml,
                "1:17 imageRegistry hub.bktencent.com/dev",
            ),
            (
                "imageRegistry: ${REGISTRY:-hub.bktencent.com}\n",
                Format::Yaml,
                "1:28 imageRegistry hub.bktencent.com",
            ),
            ("imageRegistry: a.b/\n", Format::Yaml, "1:16 imageRegistry a.b"),
            ("image:\n  registry: host:5000\n", Format::Yaml, "2:13 image.registry host:5000"),
            ("global:\n  registry: a.b\n", Format::Yaml, "2:13 global.registry a.b"),
            ("global: {hub: docker.io/istio}\n", Format::Yaml, "1:15 global.hub docker.io/istio"),
            (
                "kind: ClusterConfiguration\nimageRepository: registry.k8s.io\n",
                Format::Yaml,
                "2:18 imageRepository registry.k8s.io",
            ),
            // It belongs to a reference.
            ("image: {registry: a.b, repository: c, tag: d}\n", Format::Yaml, ""),
            ("npm: {registry: registry.npmjs.org}\nimageRegistry: ''\n", Format::Yaml, ""),
            ("imageRegistry: https://a.b\n", Format::Yaml, ""),
            (
                "export REGISTRY='a.b:80'\n# REGISTRY=c.d\nX=a.b\n",
                Format::Environment,
                "1:18 REGISTRY a.b:80",
            ),
        ] {
            let found: Vec<String> = crate::survey(text, format)
                .registries
                .iter()
                .map(|Registry { value, place, span }| {
                    assert_eq!(&text[span.clone()], value);
                    format!("{}:{} {} {value}", place.line, place.column, place.path)
                })
                .collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
