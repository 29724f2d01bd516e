//! What the owner of a workload is to set, so that it names an image as the site does.

use std::collections::HashMap;

use serde_json::Value;

use super::names::Names;
use super::owner::Owner;
use super::references::LiveReference;
use super::settings::{Release, Renaming, Setting, release, settings};
use crate::cluster::{Cluster, Kind, Place};
use crate::rewrite::known::Target;

/// Reads owners, each once.
pub(super) struct Hints<'a> {
    cluster: &'a Cluster,
    releases: HashMap<(String, String), Option<Release>>,
    objects: HashMap<String, Option<Value>>,
}

impl<'a> Hints<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, releases: HashMap::new(), objects: HashMap::new() }
    }

    /// The owner's own settings, where they are found, and how or where to set them.
    pub(super) async fn of(
        &mut self,
        owner: &Owner,
        told: &LiveReference,
        names: &Names,
        target: &Target,
    ) -> (Vec<Setting>, Option<String>) {
        let whole = names.at_site(target);
        let Ok(image) = told.image.parse() else { return (Vec::new(), None) };
        let renaming = Renaming {
            image: &image,
            registry: names.address(),
            repository: &target.repository,
            tag: target.tag.as_deref(),
            whole: &whole,
        };
        let field = format!("{} of {} {}/{}: {whole}", told.path, told.kind, told.namespace, told.name);
        match owner {
            Owner::Helm { release, namespace } => {
                let Some(known) = self.release(release, namespace).await else {
                    let values = format!("helm get values {release} -n {namespace} --all");
                    return (
                        Vec::new(),
                        Some(format!("`{values}` shows the chart's values; it must come to {field}")),
                    );
                };
                let set = settings(&known.values, known.app_version.as_deref(), renaming);
                let hint = if set.is_empty() {
                    format!("no value of the chart {} names it: it must come to {field}", known.chart)
                } else {
                    let sets: Vec<String> = set
                        .iter()
                        .map(|setting| format!("--set {}={}", setting.path, setting.value))
                        .collect();
                    format!(
                        "helm upgrade {release} CHART -n {namespace} --reuse-values {}   (the chart is {})",
                        sets.join(" "),
                        known.chart
                    )
                };
                (set, Some(hint))
            }
            Owner::Operator { api_version, kind, name } => {
                let set = self.object(api_version, kind, &told.namespace, name).await;
                let set = set.map_or_else(Vec::new, |object| settings(object, None, renaming));
                let hint = if set.is_empty() {
                    format!("its operator must come to {field}")
                } else {
                    format!("{} -n {} edit {kind} {name}", self.cluster.kubectl(), told.namespace)
                };
                (set, Some(hint))
            }
            Owner::Flux { kind, namespace, name } if kind == "HelmRelease" => {
                let mut set = Vec::new();
                for version in ["helm.toolkit.fluxcd.io/v2", "helm.toolkit.fluxcd.io/v2beta1"] {
                    if let Some(object) = self.object(version, kind, namespace, name).await {
                        set = settings(&object["spec"]["values"], None, renaming);
                        for setting in &mut set {
                            setting.path.insert_str(0, "spec.values.");
                        }
                        break;
                    }
                }
                let renamed = kustomize(&image, renaming);
                let hint = format!(
                    "in {owner}, or its source: the values, or spec.postRenderers: [{{kustomize: {{images: [{renamed}]}}}}]"
                );
                (set, Some(hint))
            }
            Owner::Flux { .. } => {
                (Vec::new(), Some(format!("in {owner}: spec.images: [{}]", kustomize(&image, renaming))))
            }
            Owner::ArgoCd { .. } => (
                Vec::new(),
                Some(format!(
                    "in the source of {owner}: {field}; with kustomize: images: [{}]",
                    kustomize(&image, renaming)
                )),
            ),
            Owner::Rancher { .. } | Owner::AddonManager => {
                (Vec::new(), Some(format!("in the manifests of {owner}: {field}")))
            }
            Owner::Node { node } => (
                Vec::new(),
                Some(format!("in its file on {node}, below /etc/kubernetes/manifests: image: {whole}")),
            ),
        }
    }

    async fn release(&mut self, name: &str, namespace: &str) -> Option<&Release> {
        let key = (name.to_owned(), namespace.to_owned());
        if !self.releases.contains_key(&key) {
            let kind = Kind::known("v1", "Secret").expect("secrets are a known kind");
            let labels = format!("owner=helm,name={name},status=deployed");
            // Without the right to read it, the place in the workload must do.
            let secrets = self.cluster.list(&kind, namespace, &labels).await.unwrap_or_default();
            self.releases.insert(key.clone(), secrets.last().and_then(release));
        }
        self.releases.get(&key).and_then(Option::as_ref)
    }

    async fn object(&mut self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        let key = format!("{api_version} {kind} {namespace}/{name}");
        if !self.objects.contains_key(&key) {
            let place = Place {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            let object = self.cluster.get(&place).await.ok().flatten();
            self.objects.insert(key.clone(), object);
        }
        self.objects.get(&key).and_then(Option::as_ref)
    }
}

/// An entry of `images`, as kustomize takes it.
fn kustomize(image: &ferry_model::ImageReference, renaming: Renaming<'_>) -> String {
    // It compares names as they are written in the manifests.
    let written = image.raw().split('@').next().unwrap_or_default();
    let name = match image.tag() {
        Some(tag) => written.strip_suffix(&format!(":{tag}")).unwrap_or(written),
        None => written,
    };
    let mut entry = format!("{{name: {name}, newName: {}/{}", renaming.registry, renaming.repository);
    if let Some(tag) = renaming.tag.filter(|tag| image.tag() != Some(tag)) {
        entry.push_str(&format!(", newTag: {tag}"));
    }
    entry.push('}');
    entry
}
