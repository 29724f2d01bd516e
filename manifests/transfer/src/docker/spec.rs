//! What a container shall be.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// What a container shall be. Debugging output shows no value of its environment: passwords are kept there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The image's name or id.
    pub image: String,
    /// The command, instead of the image's own.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Folders and files of this host.
    pub binds: Vec<Bind>,
    /// Ports of this host; of no use with [`Network::Host`].
    pub ports: Vec<Port>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What the daemon does when it ends.
    pub restart: Restart,
    /// Whether its own file system is read-only.
    pub read_only_root: bool,
    /// The user that it runs as, instead of the image's own: `1000:1000`.
    pub user: Option<String>,
    /// The network that it is on.
    pub network: Network,
}

/// A folder or file of this host in a container. It must be there: none is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it lies on this host.
    pub source: PathBuf,
    /// Where the container sees it.
    pub target: PathBuf,
    /// Whether the container cannot change it.
    pub read_only: bool,
}

/// A TCP port of this host that leads into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// This host's address; all where absent.
    pub address: Option<IpAddr>,
    /// This host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
}

/// What the daemon does when a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// Starts it again, also after a boot.
    Always,
    /// Starts it again, also after a boot, unless somebody stopped it.
    UnlessStopped,
}

/// The network that a container is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The daemon's own bridge.
    #[default]
    Bridge,
    /// This host's, without a network of its own.
    Host,
    /// None.
    None,
    /// The one of this name.
    Named(String),
}

impl fmt::Debug for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("image", &self.image)
            .field("command", &self.command)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("binds", &self.binds)
            .field("ports", &self.ports)
            .field("labels", &self.labels)
            .field("restart", &self.restart)
            .field("read_only_root", &self.read_only_root)
            .field("user", &self.user)
            .field("network", &self.network)
            .finish()
    }
}

impl ContainerSpec {
    /// The body of the request that makes it.
    pub(super) fn request(&self) -> Value {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (exposed, bindings) = ports(&self.ports);
        let mounts: Vec<_> = self
            .binds
            .iter()
            .map(|bind| {
                json!({"Type": "bind", "Source": bind.source, "Target": bind.target, "ReadOnly": bind.read_only})
            })
            .collect();
        let mut request = json!({
            "Image": self.image,
            "Env": environment,
            "Labels": self.labels,
            "ExposedPorts": exposed,
            "HostConfig": {
                "Mounts": mounts,
                "PortBindings": bindings,
                "RestartPolicy": {"Name": self.restart.name()},
                "ReadonlyRootfs": self.read_only_root,
                "NetworkMode": self.network.name(),
            },
        });
        // Empty ones would take the image's own away.
        if !self.command.is_empty() {
            request["Cmd"] = json!(self.command);
        }
        if let Some(user) = &self.user {
            request["User"] = json!(user);
        }
        request
    }
}

/// Two bindings of one port of the container share a key.
fn ports(ports: &[Port]) -> (Map<String, Value>, Map<String, Value>) {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for port in ports {
        let key = format!("{}/tcp", port.container);
        exposed.insert(key.clone(), json!({}));
        let address = port.address.map(|address| address.to_string()).unwrap_or_default();
        let binding = json!({"HostIp": address, "HostPort": port.host.to_string()});
        if let Value::Array(all) = bindings.entry(key).or_insert_with(|| json!([])) {
            all.push(binding);
        }
    }
    (exposed, bindings)
}

impl Restart {
    fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}

impl Network {
    fn name(&self) -> &str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
            Self::Named(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let port = |address: &str, host| Port { address: address.parse().ok(), host, container: 5000 };
        let spec = ContainerSpec {
            image: "registry:2".into(),
            environment: [("REGISTRY_HTTP_SECRET".to_owned(), "hidden".to_owned())].into(),
            binds: vec![Bind {
                source: "/data".into(),
                target: "/var/lib/registry".into(),
                read_only: false,
            }],
            ports: vec![port("127.0.0.1", 5000), port("", 5001)],
            restart: Restart::UnlessStopped,
            ..ContainerSpec::default()
        };
        assert_eq!(
            spec.request(),
            json!({
                "Image": "registry:2",
                "Env": ["REGISTRY_HTTP_SECRET=hidden"],
                "Labels": {},
                "ExposedPorts": {"5000/tcp": {}},
                "HostConfig": {
                    "Mounts": [{"Type": "bind", "Source": "/data", "Target": "/var/lib/registry", "ReadOnly": false}],
                    "PortBindings": {"5000/tcp": [
                        {"HostIp": "127.0.0.1", "HostPort": "5000"},
                        {"HostIp": "", "HostPort": "5001"},
                    ]},
                    "RestartPolicy": {"Name": "unless-stopped"},
                    "ReadonlyRootfs": false,
                    "NetworkMode": "bridge",
                },
            })
        );
        let debugged = format!("{spec:?}");
        assert!(debugged.contains("REGISTRY_HTTP_SECRET") && !debugged.contains("hidden"), "{debugged}");
    }
}
