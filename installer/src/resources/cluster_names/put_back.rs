//! Whoever has put a Corefile there and writes it back as it was, by the marks that they leave: told in the plan with where the names
//! belong instead. It is changed all the same, as keys of others' objects are: marks stay behind where nobody delivers any more.

use std::collections::BTreeMap;

use ferry_model::plan::{Desired, Resource, ResourceId, State};

use super::source::Source;
use crate::live::Owner;
use crate::live::owner::deliverer;

/// The property that says it. Of the names it says nothing.
pub(crate) const PUT_BACK: &str = "putBack";

/// Who puts these Corefiles back, and what to do about it; empty where nobody does.
pub(super) fn told(sources: &[Source]) -> String {
    let told: Vec<String> =
        sources.iter().filter_map(|source| Some(tell(source, &deliverer(&source.object)?))).collect();
    told.join("; ")
}

fn tell(source: &Source, owner: &Owner) -> String {
    let (when, remedy) = match owner {
        Owner::Helm { .. } => ("with its next upgrade", "have its values name them too"),
        Owner::ArgoCd { .. } | Owner::Flux { .. } => ("when it syncs again", "put them into its source too"),
        Owner::Rancher { .. } => {
            ("when it is applied again, as with each start of k3s", "put them into its manifests too")
        }
        Owner::AddonManager | Owner::Node { .. } => ("before long", "put them into its manifests too"),
        Owner::Operator { .. } => ("before long", "have that object name them too"),
    };
    let remedy = match source.custom() {
        Some(custom) => {
            format!("put them into {custom} instead, as a server block in a key that ends in `.server`")
        }
        None => remedy.to_owned(),
    };
    format!("{} belongs to {owner}, which puts its Corefile back {when}: {remedy}", source.place)
}

/// What a plan says of names that do not last.
pub(crate) fn put_back_notes(
    resources: &[Resource],
    observed: &BTreeMap<ResourceId, State>,
) -> impl Iterator<Item = String> {
    resources.iter().filter(|resource| matches!(resource.desired, Desired::ClusterNames(_))).filter_map(
        |resource| {
            let told = observed.get(&resource.id())?.property(PUT_BACK)?;
            Some(format!("names in the cluster's DNS may not last: {told}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::Place;

    fn source(metadata: &Value, corefile: &str) -> Source {
        let object = json!({"metadata": metadata, "data": {"Corefile": corefile}});
        Source { place: Place::core("ConfigMap", "kube-system", "coredns"), object, is_of_nodes: false }
    }

    #[test]
    fn whoever_puts_it_back_is_told_with_where_the_names_belong() {
        const PLAIN: &str = ".:53 {\n    import custom/*.override\n}\n# import custom/*.server\n";
        const IMPORTS: &str =
            ".:53 {\n    forward . /etc/resolv.conf\n}\nimport /etc/coredns/custom/*.server\n";
        let k3s = json!({"annotations": {"objectset.rio.cattle.io/owner-name": "coredns"}});
        let addon = json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}});
        let helm = json!({"annotations": {"meta.helm.sh/release-name": "rke2-coredns", "meta.helm.sh/release-namespace": "kube-system"}});
        let argo =
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "dns:/ConfigMap:kube-system/coredns"}});
        let flux = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "dns", "kustomize.toolkit.fluxcd.io/namespace": "flux"}});
        for (metadata, corefile, who, remedy) in [
            (&k3s, IMPORTS, "Rancher's set coredns", "kube-system/coredns-custom instead"),
            (&k3s, PLAIN, "Rancher's set coredns", "into its manifests"),
            (&addon, PLAIN, "the cluster's add-on manager", "into its manifests"),
            (&addon, IMPORTS, "the cluster's add-on manager", "kube-system/coredns-custom instead"),
            (&helm, PLAIN, "helm's release rke2-coredns in kube-system", "have its values"),
            (&argo, PLAIN, "Argo CD's application dns", "into its source"),
            (&flux, PLAIN, "Flux's Kustomization flux/dns", "into its source"),
        ] {
            let told = told(&[source(metadata, corefile)]);
            let whose = format!("ConfigMap kube-system/coredns belongs to {who}, which puts ");
            assert!(told.starts_with(&whose) && told.contains(remedy), "{told}");
        }
        for nobodys in [json!({}), json!({"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}})] {
            assert_eq!(told(&[source(&nobodys, IMPORTS)]), "", "{nobodys}");
        }
        // NodeLocal DNS has no such ConfigMap.
        let of_nodes = Source { is_of_nodes: true, ..source(&addon, IMPORTS) };
        assert!(told(std::slice::from_ref(&of_nodes)).ends_with("into its manifests too"));
        assert_eq!(told(&[source(&helm, PLAIN), of_nodes]).matches(" belongs to ").count(), 2);
    }
}
