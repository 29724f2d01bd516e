//! What resources shall be: the closed vocabulary of everything that Ferry can do to a site.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ResourceId;
use crate::host::{Host, RegistryAddress};
use crate::site::Login;
use crate::{Digest, ImageReference};

/// What a resource shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Desired {
    /// A folder of this machine.
    Folder {
        /// Its absolute path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What becomes of its content when the folder is taken back.
        keep: Keep,
    },
    /// A file of this machine.
    File {
        /// Its absolute path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
    /// An authority and a server certificate signed by it, in a folder of this machine: `ca.crt`, `ca.key`,
    /// `server.crt`, `server.key`.
    Certificates {
        /// The folder.
        folder: PathBuf,
        /// What the certificate must hold for.
        names: Vec<String>,
    },
    /// A password file (htpasswd, bcrypt) of this machine, with one user.
    Htpasswd {
        /// Its absolute path.
        path: PathBuf,
        /// The user.
        login: Login,
    },
    /// A systemd unit of this machine that runs now and after each boot. Its file is a resource of its own.
    Unit {
        /// Its name with its suffix: `ferry-registry.service`.
        name: String,
    },
    /// An image in a docker daemon.
    DaemonImage {
        /// The daemon, as `DOCKER_HOST` names it.
        daemon: String,
        /// The image's name in the bundle.
        image: ImageReference,
        /// The digest of the image's config, which is its id.
        config: Digest,
        /// What the daemon shall call it.
        tag: String,
    },
    /// A container of a docker daemon, running and started again with it.
    Container {
        /// The daemon, as `DOCKER_HOST` names it.
        daemon: String,
        /// Its name.
        name: String,
        /// The image that it runs, by the daemon's name of it.
        image: String,
        /// What it is started with.
        command: Vec<String>,
        /// Environment variables.
        environment: BTreeMap<String, String>,
        /// Files and folders of the host in the container: `/host/path:/container/path[:ro]`.
        binds: Vec<String>,
        /// The port that is open on the host.
        opening: Opening,
    },
    /// An object of the cluster.
    Object {
        /// The kubeconfig; absent for the default one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kubeconfig: Option<PathBuf>,
        /// The context; absent for the current one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
        /// The object, without secrets.
        manifest: Value,
        /// What is put into `data` of a Secret, from files that lie on this machine by then, by key.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        data_files: BTreeMap<String, PathBuf>,
        /// The logins whose password file (htpasswd) or keys are put into `data`, by key: `htpasswd` for a user's line,
        /// `user`, `password` for the parts.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        data_logins: BTreeMap<String, Login>,
    },
    /// A workload of the cluster that has rolled out: all its pods run and are ready.
    Rollout {
        /// The kubeconfig; absent for the default one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kubeconfig: Option<PathBuf>,
        /// The context; absent for the current one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
        /// The Deployment's namespace.
        namespace: String,
        /// The Deployment's name.
        name: String,
    },
    /// An image in the container runtime of a node, brought there before any registry is.
    NodeImage {
        /// The node.
        node: Host,
        /// Where and how ssh reaches it: its arguments before the command.
        ssh: Vec<String>,
        /// Whether commands run through `sudo -n`.
        sudo: bool,
        /// The image's name in the bundle.
        image: ImageReference,
        /// What the runtime shall call it.
        name: String,
    },
    /// An app of Marathon.
    App {
        /// Marathon's URL.
        endpoint: String,
        /// Its definition.
        definition: Value,
    },
    /// A registry that answers at its address.
    Endpoint {
        /// The registry.
        registry: RegistryAddress,
        /// `http` or `https`.
        scheme: String,
        /// How long it may take to come up, in seconds.
        patience: u32,
    },
    /// A project of Harbor.
    Project {
        /// The registry.
        registry: RegistryAddress,
        /// Its name.
        name: String,
        /// Whether it can be pulled from without login.
        public: bool,
    },
    /// An image, a chart or another artifact in a registry.
    Image(Image),
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
            Self::Folder { path, .. } => ResourceId::new("folder", path.display()),
            Self::File { path, .. } | Self::Htpasswd { path, .. } => ResourceId::new("file", path.display()),
            Self::Certificates { folder, .. } => ResourceId::new("certificates", folder.display()),
            Self::Unit { name } => ResourceId::new("unit", name),
            Self::DaemonImage { tag, .. } => ResourceId::new("daemon-image", tag),
            Self::Container { name, .. } => ResourceId::new("container", name),
            Self::Object { manifest, .. } => {
                let part =
                    |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let (kind, namespace) = (part("/kind"), part("/metadata/namespace"));
                let name = part("/metadata/name");
                if namespace.is_empty() {
                    ResourceId::new("object", format_args!("{kind} {name}"))
                } else {
                    ResourceId::new("object", format_args!("{kind} {namespace}/{name}"))
                }
            }
            Self::Rollout { namespace, name, .. } => {
                ResourceId::new("rollout", format_args!("{namespace}/{name}"))
            }
            Self::NodeImage { node, name, .. } => {
                ResourceId::new("node-image", format_args!("{node} {name}"))
            }
            Self::App { endpoint, definition } => {
                let id = definition.get("id").and_then(Value::as_str).unwrap_or_default();
                ResourceId::new("app", format_args!("{endpoint} {id}"))
            }
            Self::Endpoint { registry, .. } => ResourceId::new("endpoint", registry),
            Self::Project { registry, name, .. } => {
                ResourceId::new("project", format_args!("{registry}/{name}"))
            }
            Self::Image(image) => ResourceId::new("image", image.name()),
        }
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
