//! The registry of a site: where it is, who brings it up, what repositories are called there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::modes::{Docker, Existing, Kubernetes, Marathon, Proxy, Serve, Systemd};
use super::secret::Login;
use crate::ImageReference;
use crate::host::{Host, RegistryAddress};

/// The registry that images and charts go to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RegistryMapping")]
pub struct Registry {
    /// Where everybody reaches it.
    pub address: RegistryAddress,
    /// Other names and addresses that its certificate must hold for.
    pub also_known_as: Vec<Host>,
    /// Which registry it is, or who brings it up.
    pub mode: Mode,
    /// How it is encrypted and trusted.
    pub tls: Tls,
    /// Where configuration, certificates and password file lie, on this machine, of a registry that Ferry brings up.
    pub folder: PathBuf,
    /// Who pushes; and who may pull, where Ferry brings it up. Absent: anonymous, or docker's own credentials.
    pub login: Option<Login>,
    /// What repositories are called there.
    pub paths: Paths,
    /// Repository and tag of single images there, whatever `paths` says. By the image's name in the bundle.
    pub names: BTreeMap<ImageReference, ImageReference>,
}

/// Which registry it is, or who brings it up.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// One that is there.
    Existing(Existing),
    /// The bundle served in place by a systemd unit on this machine. Nothing is copied.
    Serve(Serve),
    /// `registry:2` out of the bundle, run by this machine's docker.
    Docker(Docker),
    /// The registry's program out of the bundle's `registry:2` image, under a systemd unit on this machine.
    Systemd(Systemd),
    /// `registry:2` on the cluster.
    Kubernetes(Box<Kubernetes>),
    /// `registry:2` on DC/OS.
    Marathon(Box<Marathon>),
    /// `registry:2` as a pull-through cache, run by this machine's docker, while there is still a way out.
    Proxy(Proxy),
}

impl Mode {
    /// The name of its key in the site file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Existing(_) => "existing",
            Self::Serve(_) => "serve",
            Self::Docker(_) => "docker",
            Self::Systemd(_) => "systemd",
            Self::Kubernetes(_) => "kubernetes",
            Self::Marathon(_) => "marathon",
            Self::Proxy(_) => "proxy",
        }
    }
}

/// How a registry is encrypted and trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// HTTPS, trusted by the system's own authorities. Only for a registry that is there.
    System,
    /// Plain HTTP.
    PlainHttp,
    /// HTTPS, with an authority and a certificate that Ferry makes and renews.
    Generated,
    /// HTTPS with given files (PEM, relative to the site file's folder).
    Given {
        /// The authority that clients trust. Absent: one of the system's.
        authority: Option<PathBuf>,
        /// Certificate (with its chain) and key, for a registry that Ferry brings up.
        certificate: Option<(PathBuf, PathBuf)>,
    },
}

impl Tls {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if *self == Self::PlainHttp { "http" } else { "https" }
    }
}

/// What repositories are called at the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    /// As in the bundle: `library/registry`.
    #[default]
    Keep,
    /// With this in front: `mirror/library/registry`.
    Prefix(String),
    /// This, and the last part alone: `mirror/registry`.
    Flatten(String),
}

/// The registry that images and charts go to.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegistryMapping {
    /// HOST or HOST:PORT, as image references begin.
    address: RegistryAddress,
    /// Other names and addresses that its certificate must hold for.
    #[serde(default)]
    also_known_as: Vec<Host>,
    /// A registry that is there already.
    #[serde(default)]
    existing: Option<Existing>,
    /// Serve the bundle in place, by a systemd unit. The default.
    #[serde(default)]
    serve: Option<Serve>,
    /// Run `registry:2` by docker.
    #[serde(default)]
    docker: Option<Docker>,
    /// Run the registry's program by systemd.
    #[serde(default)]
    systemd: Option<Systemd>,
    /// Run `registry:2` on the cluster.
    #[serde(default)]
    kubernetes: Option<Box<Kubernetes>>,
    /// Run `registry:2` on DC/OS.
    #[serde(default)]
    marathon: Option<Box<Marathon>>,
    /// Run `registry:2` as a pull-through cache.
    #[serde(default)]
    proxy: Option<Proxy>,
    /// Talk plain HTTP.
    #[serde(default)]
    plain_http: bool,
    /// PEM file of the authority that clients trust.
    #[serde(default)]
    authority: Option<PathBuf>,
    /// PEM file of the certificate and its chain, instead of one that Ferry makes.
    #[serde(default)]
    certificate: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(default)]
    key: Option<PathBuf>,
    /// Where configuration, certificates and password file lie on this machine. Default: /etc/ferry/registry.
    #[serde(default = "folder")]
    folder: PathBuf,
    /// Who pushes, and who may pull.
    #[serde(default)]
    login: Option<Login>,
    /// Put this in front of each repository.
    #[serde(default)]
    prefix: Option<String>,
    /// Keep only the last part of each repository's path, behind `prefix`. Default: false.
    #[serde(default)]
    flatten: bool,
    /// Repository and tag of single images: `docker.io/library/registry:2: base/registry:2`.
    #[serde(default)]
    names: BTreeMap<ImageReference, String>,
}

fn folder() -> PathBuf {
    "/etc/ferry/registry".into()
}

impl TryFrom<RegistryMapping> for Registry {
    type Error = String;

    fn try_from(mapping: RegistryMapping) -> Result<Self, String> {
        let address = mapping.address;
        let modes = [
            mapping.existing.map(Mode::Existing),
            mapping.serve.map(Mode::Serve),
            mapping.docker.map(Mode::Docker),
            mapping.systemd.map(Mode::Systemd),
            mapping.kubernetes.map(Mode::Kubernetes),
            mapping.marathon.map(Mode::Marathon),
            mapping.proxy.map(Mode::Proxy),
        ];
        let mut modes = modes.into_iter().flatten();
        let mode = modes.next().unwrap_or_else(|| Mode::Serve(Serve::default()));
        if let Some(other) = modes.next() {
            return Err(format!(
                "a registry is one thing: `{}` and `{}` exclude each other",
                mode.name(),
                other.name()
            ));
        }
        let certificate = match (mapping.certificate, mapping.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("`certificate` and `key` belong together".to_owned()),
        };
        let is_existing = matches!(mode, Mode::Existing(_));
        let tls = match (mapping.plain_http, mapping.authority, certificate) {
            (true, None, None) => Tls::PlainHttp,
            (true, ..) => return Err("with `plainHttp` there is no certificate".to_owned()),
            (false, _, Some(_)) if is_existing => {
                return Err(
                    "a registry that is there has its certificate; say only which `authority` to trust"
                        .to_owned(),
                );
            }
            (false, None, None) if is_existing => Tls::System,
            (false, None, None) => Tls::Generated,
            (false, authority, certificate) => Tls::Given { authority, certificate },
        };
        if matches!(tls, Tls::Given { certificate: None, .. }) && !is_existing {
            return Err("a given `authority` needs the `certificate` and `key` that it signed".to_owned());
        }
        let names = mapping.names.into_iter().map(|(image, name)| {
            let named = format!("{address}/{name}").parse().map_err(|_| {
                format!("`{name}` is not a repository; expected something like `base/registry:2`")
            });
            named.map(|named| (image, named))
        });
        let names = names.collect::<Result<_, String>>()?;
        let paths = paths(&address, mapping.prefix, mapping.flatten)?;
        let (also_known_as, login, folder) = (mapping.also_known_as, mapping.login, mapping.folder);
        Ok(Self { address, also_known_as, mode, tls, folder, login, paths, names })
    }
}

fn paths(address: &RegistryAddress, prefix: Option<String>, flatten: bool) -> Result<Paths, String> {
    let prefix = prefix.unwrap_or_default().trim_matches('/').to_owned();
    let sample = if prefix.is_empty() { "name".to_owned() } else { format!("{prefix}/name") };
    ImageReference::new(&address.to_string(), &sample, None, None).map_err(|_| {
        format!("`prefix: {prefix}` is not part of a repository's path: lower case, `/` between parts")
    })?;
    Ok(match (flatten, prefix.is_empty()) {
        (true, _) => Paths::Flatten(prefix),
        (false, true) => Paths::Keep,
        (false, false) => Paths::Prefix(prefix),
    })
}

impl Paths {
    /// What a repository of the bundle is called at the registry.
    pub fn repository(&self, repository: &str) -> String {
        match self {
            Self::Keep => repository.to_owned(),
            Self::Prefix(prefix) => format!("{prefix}/{repository}"),
            Self::Flatten(prefix) => {
                let last = repository.rsplit('/').next().unwrap_or(repository);
                if prefix.is_empty() { last.to_owned() } else { format!("{prefix}/{last}") }
            }
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Registry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Registry".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        RegistryMapping::json_schema(generator)
    }
}
