//! What resources shall be: the closed vocabulary of everything that Ferry can do to a site.

mod artifacts;
mod cluster;
mod nodes;
mod paas;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use artifacts::{BkrepoProject, BkrepoRepository, ChartUpload, HelmApi, RepositoryFormat, Upload};
pub use cluster::{ClusterNames, ClusterTarget, KeyPatch, NewValue, PullSecret, SlugApp, TakenUpBy};
pub use nodes::{LabelOperator, LabelRequirement, NodePods, NodeSetup, NodeTerm, Reach, Sudo};
pub use paas::{AgentPlugins, Platform, PluginFile, RedisEntries, SaasModule, SaasPackage, Variables};
pub use workloads::{Renamed, WorkloadImages};

use super::ResourceId;
use crate::host::{Host, RegistryAddress};
use crate::site::{Login, SecretSource};
use crate::{Digest, ImageReference};

/// What a resource shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Desired {
    /// A folder of this machine.
    Folder(Folder),
    /// A file of this machine.
    File(File),
    /// An authority and a server certificate signed by it, in a folder of this machine: `ca.crt`, `ca.key`,
    /// `server.crt`, `server.key`.
    Certificates(Certificates),
    /// A password file (htpasswd, bcrypt) of this machine, with this user among others.
    Htpasswd(Htpasswd),
    /// A systemd unit of this machine that runs now and after each boot. Its file is a resource of its own.
    Unit(Unit),
    /// An image in a docker daemon.
    DaemonImage(DaemonImage),
    /// A container of a docker daemon, running and started again with it.
    Container(Container),
    /// An object of the cluster.
    Object(Object),
    /// A workload of the cluster that has rolled out: all its pods run and are ready.
    Rollout(Rollout),
    /// A workload of the cluster that somebody else made, and that names images as the site does.
    WorkloadImages(WorkloadImages),
    /// An image in the container runtime of a node, brought there before any registry is.
    NodeImage(NodeImage),
    /// A node that resolves the registry's name, trusts it and pulls from it.
    NodeSetup(Box<NodeSetup>),
    /// An app of Marathon.
    App(App),
    /// A registry that answers at its address.
    Endpoint(Endpoint),
    /// A project of Harbor.
    Project(Project),
    /// An image, a chart or another artifact in a registry.
    Image(Image),
    /// A project of bkrepo.
    BkrepoProject(BkrepoProject),
    /// A repository of bkrepo.
    BkrepoRepository(BkrepoRepository),
    /// A file in a generic repository of bkrepo.
    Upload(Upload),
    /// A chart in a helm repository.
    ChartUpload(ChartUpload),
    /// Redis entries in PaaS's pool of instances.
    RedisEntries(RedisEntries),
    /// A SaaS package that PaaS has taken.
    SaasPackage(SaasPackage),
    /// A module of a SaaS that is deployed.
    SaasModule(SaasModule),
    /// Agent plug-ins that node management offers.
    AgentPlugins(AgentPlugins),
    /// Names that the cluster's own DNS answers.
    ClusterNames(ClusterNames),
    /// Keys of a ConfigMap or a Secret that somebody else made.
    KeyPatch(KeyPatch),
    /// A namespace whose pods have the registry's login.
    PullSecret(PullSecret),
    /// PaaS's base image of SaaS, taken from the site's registry.
    SlugApp(SlugApp),
}

/// A folder of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Folder {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its permission bits; absent where those of a folder that is there are right, whatever they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// What becomes of its content when the folder is taken back.
    pub keep: Keep,
}

/// A file of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub content: Content,
}

/// An authority and a server certificate signed by it, in a folder of this machine: `ca.crt`, `ca.key`,
/// `server.crt`, `server.key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// The folder.
    pub folder: PathBuf,
    /// What the certificate must hold for.
    pub names: Vec<String>,
}

/// A password file (htpasswd, bcrypt) of this machine, with this user among others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Htpasswd {
    /// Its absolute path.
    pub path: PathBuf,
    /// The user.
    pub login: Login,
}

/// A systemd unit of this machine that runs now and after each boot. Its file is a resource of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// Its name with its suffix: `ferry-registry.service`.
    pub name: String,
}

/// An image in a docker daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonImage {
    /// The daemon, as `DOCKER_HOST` names it.
    pub daemon: String,
    /// The image's name in the bundle.
    pub image: ImageReference,
    /// The digest of the image's config, which is its id.
    pub config: Digest,
    /// The digests that docker has for its id where it keeps images as containerd does: of the manifest, and of the index above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Digest>,
    /// Bytes of its config and layers.
    pub size: u64,
    /// What the daemon shall call it.
    pub tag: String,
}

/// A container of a docker daemon, running and started again with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// The daemon, as `DOCKER_HOST` names it.
    pub daemon: String,
    /// Its name.
    pub name: String,
    /// The image that it runs, by the daemon's name of it.
    pub image: String,
    /// The digest of that image's config, which is its id.
    pub config: Digest,
    /// The digests that docker has for that image's id where it keeps images as containerd does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Digest>,
    /// What it is started with.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Environment variables that are secrets: where each is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Files and folders of the host in the container: `/host/path:/container/path[:ro]`.
    pub binds: Vec<String>,
    /// The port that is open on the host.
    pub opening: Opening,
}

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The object, without secrets.
    pub manifest: Value,
    /// What is put into `data` of a Secret, from files that lie on this machine by then, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data_files: BTreeMap<String, PathBuf>,
    /// The logins whose password file (htpasswd) or keys are put into `data`, by key: `htpasswd` for a user's line,
    /// `user`, `password` for the parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data_logins: BTreeMap<String, Login>,
    /// Keys of a Secret's `data` that are made up when it is made, and stay as they are from then on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub data_random: BTreeSet<String>,
}

/// A workload of the cluster that has rolled out: all its pods run and are ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The Deployment's namespace.
    pub namespace: String,
    /// The Deployment's name.
    pub name: String,
}

/// An image in the container runtime of a node, brought there before any registry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeImage {
    /// The node.
    pub node: Host,
    /// Where and how ssh reaches it: its arguments before the command.
    pub ssh: Vec<String>,
    /// Whether commands run through `sudo -n`.
    pub sudo: bool,
    /// The image's name in the bundle.
    pub image: ImageReference,
    /// What the runtime shall call it.
    pub name: String,
    /// Bytes of its config and layers.
    pub size: u64,
}

/// An app of Marathon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Marathon's URL.
    pub endpoint: String,
    /// Its definition.
    pub definition: Value,
}

/// A registry that answers at its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The registry.
    pub registry: RegistryAddress,
    /// `http` or `https`.
    pub scheme: String,
    /// How long it may take to come up, in seconds.
    pub patience: u32,
}

/// A project of Harbor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// The registry.
    pub registry: RegistryAddress,
    /// `http` or `https`.
    pub scheme: String,
    /// Its name.
    pub name: String,
    /// Whether it can be pulled from without login.
    pub public: bool,
}

/// What a registry shall have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The registry.
    pub registry: RegistryAddress,
    /// The repository there.
    pub repository: String,
    /// The tag there; absent for what is named by digest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The manifest that it shall resolve to.
    pub digest: Digest,
    /// What it is called in the bundle.
    pub source: String,
    /// Bytes of its manifests and blobs.
    pub size: u64,
}

/// A file's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Content {
    /// This text.
    Text {
        /// The text.
        text: String,
    },
    /// A file out of an image of the bundle.
    Image {
        /// The image's name in the bundle.
        image: ImageReference,
        /// The file's path in the image, absolute.
        path: String,
        /// Its digest.
        digest: Digest,
        /// Its bytes.
        size: u64,
    },
    /// A copy of a file of this machine.
    Copy {
        /// The file.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
        /// Its bytes.
        #[serde(default)]
        size: u64,
    },
}

/// What becomes of a folder's content when the folder is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// It stays, and the folder with it.
    Everything,
    /// It goes, unless a registry keeps images there that this run did not bring.
    ForeignImages,
}

/// The port that a container opens on its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Opening {
    /// It shares the host's network.
    Host,
    /// A port of the host leads to one of the container.
    Published {
        /// The host's address; all where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<std::net::IpAddr>,
        /// The host's port.
        port: u16,
        /// The container's port.
        to: u16,
    },
}

impl Desired {
    /// The resource's name.
    pub fn id(&self) -> ResourceId {
        match self {
            Self::Folder(folder) => ResourceId::new("folder", folder.path.display()),
            Self::File(file) => ResourceId::new("file", file.path.display()),
            Self::Htpasswd(file) => ResourceId::new("file", file.path.display()),
            Self::Certificates(certificates) => {
                ResourceId::new("certificates", certificates.folder.display())
            }
            Self::Unit(unit) => ResourceId::new("unit", &unit.name),
            Self::DaemonImage(image) => ResourceId::new("daemon-image", &image.tag),
            Self::Container(container) => ResourceId::new("container", &container.name),
            Self::Object(object) => ResourceId::new("object", object.name()),
            Self::Rollout(rollout) => {
                ResourceId::new("rollout", format_args!("{}/{}", rollout.namespace, rollout.name))
            }
            Self::WorkloadImages(workload) => ResourceId::new("workload-images", workload.name()),
            Self::NodeImage(image) => {
                ResourceId::new("node-image", format_args!("{} {}", image.node, image.name))
            }
            Self::NodeSetup(setup) => ResourceId::new("node-setup", &setup.node),
            Self::App(app) => ResourceId::new("app", format_args!("{}{}", app.endpoint, app.id())),
            Self::Endpoint(endpoint) => ResourceId::new("endpoint", &endpoint.registry),
            Self::Project(project) => {
                ResourceId::new("project", format_args!("{}/{}", project.registry, project.name))
            }
            Self::Image(image) => ResourceId::new("image", image.name()),
            Self::BkrepoProject(project) => {
                ResourceId::new("bkrepo-project", format_args!("{}/{}", project.bkrepo, project.name))
            }
            Self::BkrepoRepository(repository) => ResourceId::new(
                "bkrepo-repository",
                format_args!("{}/{}", repository.bkrepo, repository.repository),
            ),
            Self::Upload(upload) => ResourceId::new("upload", upload.name()),
            Self::ChartUpload(chart) => ResourceId::new(
                "chart",
                format_args!("{}/{}-{}.tgz", chart.repository, chart.name, chart.version),
            ),
            Self::RedisEntries(pool) => ResourceId::new("redis-entries", &pool.plan),
            Self::SaasPackage(package) => ResourceId::new("saas", &package.app),
            Self::SaasModule(module) => ResourceId::new(
                "saas-module",
                format_args!("{}/{} {}", module.app, module.module, module.environment),
            ),
            Self::AgentPlugins(plugins) => ResourceId::new("agent-plugins", &plugins.platform.namespace),
            Self::ClusterNames(names) => match &names.config_map {
                Some(config_map) => ResourceId::new("cluster-names", config_map),
                None => ResourceId::new("cluster-names", "CoreDNS"),
            },
            Self::KeyPatch(patch) => {
                ResourceId::new("patch", format_args!("{} {}", patch.object, patch.name))
            }
            Self::PullSecret(secret) => ResourceId::new("pull-secret", &secret.name),
            Self::SlugApp(slug) => ResourceId::new("slug-app", &slug.platform.namespace),
        }
    }
}

impl Object {
    /// Kind, namespace where it has one, and name: `Deployment ferry-registry/registry`.
    pub fn name(&self) -> String {
        let part = |pointer: &str| self.manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, namespace) = (part("/kind"), part("/metadata/namespace"));
        let separator = if namespace.is_empty() { "" } else { "/" };
        format!("{kind} {namespace}{separator}{}", part("/metadata/name"))
    }
}

impl App {
    /// Its id: `/registry`.
    pub fn id(&self) -> &str {
        self.definition.get("id").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Image {
    /// Its name at the registry: `registry.corp:5000/library/registry:2`.
    pub fn name(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}/{}:{tag}", self.registry, self.repository),
            None => format!("{}/{}@{}", self.registry, self.repository, self.digest),
        }
    }
}

impl Upload {
    /// Its place: `http://bkrepo.example.com/bkpaas/bkpaas3-platform-assets/common/buildpack-stdlib/v7/stdlib.sh`.
    pub fn name(&self) -> String {
        format!("{}/{}{}", self.bkrepo, self.repository, self.path)
    }
}
