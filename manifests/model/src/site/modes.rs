//! The settings of each way to have a registry.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::secret::Login;
use crate::ImageReference;
use crate::host::Host;
use crate::size::ByteSize;
use crate::spec::check_url;

/// A registry that is there already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Existing {
    /// Which product it is. Default: found out.
    #[serde(default)]
    pub product: Product,
    /// Whether it takes images for several platforms. Default: what the product is known for; bkrepo refuses them.
    #[serde(default)]
    pub manifest_lists: Option<ManifestLists>,
    /// Create projects that are missing, where the product has them (Harbor). Default: true.
    #[serde(default = "yes")]
    pub create_projects: bool,
    /// Whether created projects can be pulled from without login. Default: false.
    #[serde(default)]
    pub public_projects: bool,
}

/// A registry's product: what it needs before it takes a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// Found out by asking.
    #[default]
    Auto,
    /// The CNCF distribution: registry:2, registry:3.
    Registry,
    /// Harbor: projects are made before.
    Harbor,
    /// Sonatype Nexus.
    Nexus,
    /// JFrog Artifactory.
    Artifactory,
    /// GitLab's container registry: groups and projects must be there.
    Gitlab,
    /// BlueKing's bkrepo, its docker service.
    Bkrepo,
}

/// Whether a registry takes manifest lists (OCI indexes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ManifestLists {
    /// It does.
    Accepted,
    /// It does not: the image of this machine's platform is pushed alone.
    Refused,
}

/// The bundle served in place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Serve {
    /// The address to listen on. Default: all of this machine's.
    #[serde(default)]
    pub listen: Option<IpAddr>,
    /// The systemd unit. Default: ferry-registry.
    #[serde(default)]
    pub unit: Option<String>,
}

/// `registry:2` run by docker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Docker {
    /// The container's name. Default: ferry-registry.
    #[serde(default = "unit")]
    pub container: String,
    /// The registry's image in the bundle. Default: docker.io/library/registry:2.
    #[serde(default = "image")]
    pub image: ImageReference,
    /// Where images are kept on this machine. Default: /var/lib/ferry/registry.
    #[serde(default = "storage")]
    pub storage: PathBuf,
    /// The address to listen on. Default: all of this machine's.
    #[serde(default)]
    pub listen: Option<IpAddr>,
    /// Use the host's network instead of docker's bridge. Default: false.
    #[serde(default)]
    pub host_network: bool,
    /// The docker daemon. Default: `DOCKER_HOST`, then unix:///var/run/docker.sock.
    #[serde(default)]
    pub daemon: Option<String>,
}

/// The registry's program run by systemd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Systemd {
    /// The unit. Default: ferry-registry.
    #[serde(default = "unit")]
    pub unit: String,
    /// The image in the bundle that the program is taken out of. Default: docker.io/library/registry:2.
    #[serde(default = "image")]
    pub image: ImageReference,
    /// Where images are kept on this machine. Default: /var/lib/ferry/registry.
    #[serde(default = "storage")]
    pub storage: PathBuf,
    /// The address to listen on. Default: all of this machine's.
    #[serde(default)]
    pub listen: Option<IpAddr>,
}

/// `registry:2` on the cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// The namespace. Default: ferry-registry.
    #[serde(default = "unit")]
    pub namespace: String,
    /// The name of all objects. Default: registry.
    #[serde(default = "object")]
    pub name: String,
    /// The registry's image in the bundle. Default: docker.io/library/registry:2.
    #[serde(default = "image")]
    pub image: ImageReference,
    /// How many. More than one needs storage that all of them share: S3. Default: 1.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Where images are kept.
    pub storage: Storage,
    /// Run it on nodes with these labels.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// How it is reached. Default: NodePort where the address has a port of 30000 or more, else ClusterIP.
    #[serde(default)]
    pub service: Option<ServiceKind>,
    /// An Ingress in front of it.
    #[serde(default)]
    pub ingress: Option<Ingress>,
    /// Nodes (of `nodes.hosts`) that the registry's own image is brought to first, since no registry is there yet. Default:
    /// all of them.
    #[serde(default)]
    pub preload: Option<Vec<Host>>,
}

/// Where a registry on a cluster keeps its images.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// A PersistentVolumeClaim.
    Claim {
        /// Its storage class; the cluster's default where absent.
        class: Option<String>,
        /// Its size.
        size: ByteSize,
    },
    /// A folder of the node that it runs on.
    HostPath(PathBuf),
    /// A bucket.
    S3(S3),
}

/// An S3-compatible bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3 {
    /// Its URL: `http://minio.corp:9000`.
    #[serde(deserialize_with = "url")]
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The region. Default: us-east-1.
    #[serde(default = "region")]
    pub region: String,
    /// Access key as user, secret key as password.
    pub login: Login,
}

/// Where images are kept: one of the three.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StorageMapping {
    /// The size of a PersistentVolumeClaim: 500GiB.
    #[serde(default)]
    size: Option<ByteSize>,
    /// Its storage class.
    #[serde(default)]
    class: Option<String>,
    /// A folder of the node.
    #[serde(default)]
    host_path: Option<PathBuf>,
    /// An S3-compatible bucket.
    #[serde(default)]
    s3: Option<S3>,
}

impl<'de> Deserialize<'de> for Storage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mapping = StorageMapping::deserialize(deserializer)?;
        match (mapping.size, mapping.host_path, mapping.s3, mapping.class) {
            (Some(size), None, None, class) => Ok(Self::Claim { class, size }),
            (None, Some(path), None, None) => Ok(Self::HostPath(path)),
            (None, None, Some(s3), None) => Ok(Self::S3(s3)),
            _ => Err(de::Error::custom(
                "storage is one of `{size: 500GiB, class: NAME}`, `{hostPath: PATH}` and `{s3: …}`",
            )),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Storage {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Storage".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        StorageMapping::json_schema(generator)
    }
}

/// How a registry on a cluster is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ServiceKind {
    /// Inside the cluster, and through an Ingress.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// At a port of each node: the one of the registry's address.
    NodePort,
    /// By the cluster's load balancer.
    LoadBalancer,
}

/// An Ingress in front of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingress {
    /// The ingress class. Default: nginx.
    #[serde(default)]
    pub class: Option<String>,
    /// cert-manager's Issuer (`name`) or ClusterIssuer (`cluster/name`) that makes the certificate.
    #[serde(default)]
    pub issuer: Option<String>,
    /// More annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// `registry:2` on DC/OS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Marathon {
    /// The app's id. Default: /registry.
    #[serde(default = "app")]
    pub id: String,
    /// The registry's image, as agents name it. Default: docker.io/library/registry:2.
    #[serde(default = "image")]
    pub image: ImageReference,
    /// The virtual IP and port inside the cluster: 192.168.0.1:443. Default: the registry's address where that is an IP.
    #[serde(default)]
    pub vip: Option<String>,
    /// The port that Marathon-LB answers at. Default: 5000.
    #[serde(default = "port")]
    pub service_port: u16,
    /// The group of load balancers. Default: external.
    #[serde(default = "group")]
    pub haproxy_group: String,
    /// The agent that it runs on, since it keeps images in that agent's folder.
    pub agent: Host,
    /// Where images are kept on that agent. Default: /data/docker-registry.
    #[serde(default = "agent_storage")]
    pub storage: PathBuf,
    /// Where certificate and key lie on that agent. Default: /etc/privateregistry/certs.
    #[serde(default = "agent_certificates")]
    pub certificates: PathBuf,
    /// CPUs. Default: 0.5.
    #[serde(default = "half")]
    pub cpus: f64,
    /// Memory in MiB. Default: 256.
    #[serde(default = "memory")]
    pub memory: u32,
    /// Marathon's URL, to post the app to: `http://192.168.1.69:8080`. Absent: the definition is only written.
    #[serde(default, deserialize_with = "some_url")]
    pub endpoint: Option<String>,
    /// Where the definition is written. Default: docker-registry.json beside the site file.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// `registry:2` as a pull-through cache.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxy {
    /// The registry that it caches: `https://hub.bktencent.com`.
    #[serde(deserialize_with = "url")]
    pub remote: String,
    /// Who pulls there.
    #[serde(default)]
    pub remote_login: Option<Login>,
    /// The container's name. Default: ferry-proxy.
    #[serde(default = "proxy")]
    pub container: String,
    /// The registry's image in the bundle. Default: docker.io/library/registry:2.
    #[serde(default = "image")]
    pub image: ImageReference,
    /// Where images are kept on this machine. Default: /var/lib/ferry/proxy.
    #[serde(default = "proxy_storage")]
    pub storage: PathBuf,
    /// The address to listen on. Default: all of this machine's.
    #[serde(default)]
    pub listen: Option<IpAddr>,
    /// Use the host's network instead of docker's bridge. Default: false.
    #[serde(default)]
    pub host_network: bool,
    /// The docker daemon. Default: `DOCKER_HOST`, then unix:///var/run/docker.sock.
    #[serde(default)]
    pub daemon: Option<String>,
}

/// A URL without credentials, since configurations and plans show it.
fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_site_url(&text).map_err(de::Error::custom)?;
    Ok(text)
}

/// Refuses what is no http(s) URL, and one with credentials, since configurations and plans show it.
pub(super) fn check_site_url(text: &str) -> Result<(), String> {
    let has_login =
        url::Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some());
    if has_login {
        return Err("the URL has credentials, which plans and configurations would show: leave them out; a login has a setting of its own where one is possible".to_owned());
    }
    check_url(text)
}

fn some_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    url(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

fn image() -> ImageReference {
    "docker.io/library/registry:2".parse().expect("it is a reference")
}

macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(fn $name() -> $type { $value.into() })*
    };
}

defaults! {
    unit: String = "ferry-registry";
    object: String = "registry";
    proxy: String = "ferry-proxy";
    storage: PathBuf = "/var/lib/ferry/registry";
    proxy_storage: PathBuf = "/var/lib/ferry/proxy";
    region: String = "us-east-1";
    app: String = "/registry";
    group: String = "external";
    agent_storage: PathBuf = "/data/docker-registry";
    agent_certificates: PathBuf = "/etc/privateregistry/certs";
    one: u32 = 1_u32;
    port: u16 = 5000_u16;
    memory: u32 = 256_u32;
    half: f64 = 0.5;
}
