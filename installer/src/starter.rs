//! A site file to start from: commented, filled in from the bundle and the cluster.

use std::fmt::Write as _;

use ferry_model::catalog::{Catalog, FileKind, Image};
use ferry_model::size::ByteSize;

/// What is known when a site file is begun.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// The bundle.
    pub catalog: Option<&'a Catalog>,
    /// An address of this machine, as others reach it.
    pub address: Option<String>,
    /// The cluster's nodes: name and internal address.
    pub nodes: Vec<(String, Option<String>)>,
    /// The cluster's kubeconfig and version.
    pub cluster: Option<(String, String)>,
}

const FRAME: &str = include_str!("starter/site.yaml");

/// The site file's text. It parses, and so does it with each `#: ` taken away.
pub fn starter(known: &Known<'_>) -> String {
    let address = known.address.as_deref().unwrap_or("registry.corp");
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    FRAME
        .replace("@BUNDLE@", &bundle(known.catalog))
        .replace("@IMAGE@", &image(known.catalog))
        .replace("@BKREPO@", &bkrepo(known.catalog))
        .replace("@ADDRESS@", &address)
        .replace("@NODES@", &nodes(&known.nodes))
        .replace("@CLUSTER@", &cluster(known.cluster.as_ref()))
}

fn bundle(catalog: Option<&Catalog>) -> String {
    let Some(catalog) = catalog else { return "a bundle".to_owned() };
    let bytes: u64 = catalog.blobs.iter().map(|blob| blob.size).sum();
    let (images, charts, files) = (catalog.images.len(), catalog.charts.len(), catalog.files.len());
    let (name, version, bytes) = (&catalog.name, &catalog.version, ByteSize(bytes));
    let registry = match &registries(catalog)[..] {
        [] => "it has no image of the registry, which docker, systemd and kubernetes below need".to_owned(),
        [_] => "it has an image of the registry, so docker, systemd and kubernetes below can bring one up"
            .to_owned(),
        several => {
            let names: Vec<String> = several.iter().map(|image| image.reference.to_string()).collect();
            format!(
                "of its images of a registry, docker, systemd and kubernetes below take one: {}",
                names.join(", ")
            )
        }
    };
    format!("{name} {version}: {images} images, {charts} charts, {files} files, {bytes};\n# {registry}")
}

/// Images of the registry's program, as their repositories are called everywhere.
fn registries(catalog: &Catalog) -> Vec<&Image> {
    let is_one = |image: &&Image| image.reference.repository().rsplit('/').next() == Some("registry");
    catalog.images.iter().filter(is_one).collect()
}

/// The bundle's image of the registry as a setting, where there is no doubt which it is.
fn image(catalog: Option<&Catalog>) -> String {
    match catalog.map(registries).as_deref() {
        Some([image]) => format!("image: \"{}\", ", image.reference),
        _ => String::new(),
    }
}

/// The mark of an example, and what the bundle has for bkrepo.
fn bkrepo(catalog: Option<&Catalog>) -> String {
    let count = |kind: FileKind| {
        catalog.map_or(0, |catalog| catalog.files.iter().filter(|file| file.kind == kind).count())
    };
    let (runtimes, saas) = (count(FileKind::Runtime), count(FileKind::Saas));
    if runtimes + saas == 0 {
        return "#: ".to_owned();
    }
    format!(
        "# The bundle has files for it, {runtimes} of runtimes and {saas} of SaaS: write its address here.\n"
    )
}

fn nodes(nodes: &[(String, Option<String>)]) -> String {
    if nodes.is_empty() {
        return "#: nodes:\n#:   hosts:\n#:     - {name: node1, address: 10.0.0.11}\n#:   ssh: {user: root}"
            .to_owned();
    }
    let mut text = "nodes:\n  hosts:\n".to_owned();
    for (name, address) in nodes {
        // Writing to a string does not fail.
        let _ = match address {
            Some(address) => writeln!(text, "    - {{name: \"{name}\", address: \"{address}\"}}"),
            None => writeln!(text, "    - {{name: \"{name}\"}}"),
        };
    }
    text.push_str("#:   ssh: {user: root}");
    text
}

fn cluster(cluster: Option<&(String, String)>) -> String {
    match cluster {
        Some((kubeconfig, version)) => {
            format!(
                "# Kubernetes {version}, found with this kubeconfig.\ncluster:\n  kubeconfig: \"{kubeconfig}\""
            )
        }
        None => "#: cluster:\n#:   kubeconfig: /root/.kube/config".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::site::Site;

    use super::*;

    fn uncommented(text: &str) -> String {
        text.lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n")
    }

    #[test]
    fn it_is_a_site_with_and_without_its_comments() {
        let bare = starter(&Known::default());
        let site = Site::parse(&bare).unwrap();
        assert!(site.registry.is_some() && site.nodes.hosts.is_empty() && site.cluster.is_none());
        let full = Site::parse(&uncommented(&bare)).unwrap();
        assert!(full.bkrepo.is_some() && full.cluster.is_some() && full.nodes.hosts.len() == 1);
        assert!(full.registry.unwrap().login.is_some());

        let known = Known {
            address: Some("fd00::5".into()),
            nodes: vec![("node1".into(), Some("10.0.0.1".into())), ("node2".into(), None)],
            cluster: Some(("/root/.kube/config".into(), "v1.20.2".into())),
            ..Known::default()
        };
        let site = Site::parse(&starter(&known)).unwrap();
        assert_eq!((site.nodes.hosts.len(), site.cluster.is_some()), (2, true));
        assert_eq!(site.registry.unwrap().address.to_string(), "[fd00::5]:5000");
    }
}
