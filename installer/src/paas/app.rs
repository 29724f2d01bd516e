//! What runs of an application: PaaS gives each module and environment a namespace of its own.

use std::collections::BTreeSet;

use ferry_model::report::Failed;
use ferry_model::site::Environment;
use serde_json::Value;

use crate::cluster::{Cluster, Kind};
use crate::resources::{Standing, standing, troubles};

/// What runs of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// The version that its images are tagged with, where they all are images that PaaS made of a package.
    pub(crate) version: Option<String>,
    /// Why it is not ready; empty if it is.
    pub(crate) troubles: Vec<String>,
}

/// The namespace of a module, as PaaS names it.
pub(crate) fn namespace(app: &str, module: &str, environment: Environment) -> String {
    let module = if module == "default" { String::new() } else { format!("-m-{module}") };
    format!("bkapp-{app}{module}-{environment}").replace('_', "0us0")
}

/// What runs of a module, if anything does.
pub(crate) async fn running(
    cluster: &Cluster,
    app: &str,
    module: &str,
    environment: Environment,
) -> Result<Option<Running>, Failed> {
    let namespace = namespace(app, module, environment);
    let kind = Kind::known("apps/v1", "Deployment").expect("Deployments are a known kind");
    let deployments = cluster.list(&kind, &namespace, "").await?;
    if deployments.is_empty() {
        return Ok(None);
    }
    let versions: BTreeSet<Option<String>> =
        deployments.iter().flat_map(|deployment| versions(deployment, app, module)).collect();
    let mut versions = versions.into_iter();
    let version = match (versions.next(), versions.next()) {
        (Some(only), None) => only,
        _ => None,
    };
    let mut found = Running { version, troubles: Vec::new() };
    for deployment in &deployments {
        if let Standing::Waits(how) | Standing::Stuck(how) = standing(deployment) {
            let name = deployment.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            found.troubles.push(format!("Deployment {namespace}/{name}: {how}"));
            found.troubles.extend(troubles(cluster, deployment).await?);
        }
    }
    Ok(Some(found))
}

/// The tags of a Deployment's images that PaaS made: `…/bk_sops/default:3.28.13`. Others, such as side-cars, are passed over.
fn versions(deployment: &Value, app: &str, module: &str) -> Vec<Option<String>> {
    let containers = deployment.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let image = |container: &Value| container["image"].as_str().map(str::to_owned);
    let end = format!("/{app}/{module}");
    let version = |image: String| {
        let (repository, tag) = image.rsplit_once(':')?;
        repository.ends_with(&end).then(|| Some(tag.to_owned()))
    };
    containers.into_iter().flatten().filter_map(image).filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn namespaces_are_those_of_paas() {
        let of = |app, module, environment| namespace(app, module, environment);
        assert_eq!(of("bk_sops", "default", Environment::Prod), "bkapp-bk0us0sops-prod");
        assert_eq!(of("bk_sops", "api", Environment::Stag), "bkapp-bk0us0sops-m-api-stag");
        assert_eq!(of("a-b", "one_two", Environment::Prod), "bkapp-a-b-m-one0us0two-prod");
    }

    #[test]
    fn versions_are_read_from_images() {
        let of = |images: &[&str]| {
            let containers: Vec<Value> = images.iter().map(|image| json!({"image": image})).collect();
            versions(&json!({"spec": {"template": {"spec": {"containers": containers}}}}), "bk_sops", "api")
        };
        assert_eq!(
            of(&["docker.corp/bkpaas/docker/bk_sops/api:3.1", "hub/sidecar:1"]),
            [Some("3.1".to_owned())]
        );
        assert_eq!(of(&["docker.corp:5000/bkpaas/docker/bk_sops/default:3.1"]), []);
        assert_eq!(of(&["hub:5000/blueking/slug-app"]), []);
    }
}
