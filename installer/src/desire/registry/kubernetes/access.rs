//! How the registry is reached: its Service, an Ingress, and what is left to the operator.

use std::collections::BTreeMap;

use ferry_model::site::{ServiceKind, Storage};
use ferry_model::size::ByteSize;
use serde_json::{Value, json};

use super::super::port;
use super::super::room::{bytes_to_store, elsewhere};
use super::{OnCluster, PORT, TlsAt, wrong};
use crate::Error;

/// The ports that clusters give to Services of the kind NodePort, unless they are set up otherwise.
const NODE_PORTS: u16 = 30_000;
const CLASS: &str = "nginx";

impl OnCluster<'_> {
    fn service_kind(&self) -> ServiceKind {
        let port = self.ground.registry.address.port();
        let is_for_nodes = self.mode.ingress.is_none() && port.is_some_and(|port| port >= NODE_PORTS);
        self.mode.service.unwrap_or(if is_for_nodes { ServiceKind::NodePort } else { ServiceKind::ClusterIp })
    }

    pub(super) fn service(&self) -> Result<Value, Error> {
        let (mode, registry) = (self.mode, self.ground.registry);
        let (address, kind) = (&registry.address, self.service_kind());
        let has_ingress = mode.ingress.is_some();
        let outer = if has_ingress { PORT } else { port(address, registry) };
        let mut port =
            json!({"name": "registry", "port": outer, "targetPort": "registry", "protocol": "TCP"});
        let mut spec = json!({"selector": self.selector()});
        let name = match kind {
            ServiceKind::ClusterIp => {
                // An address of the cluster's own, which everybody knows beforehand.
                if let Some(ip) = address.host().ip().filter(|_| !has_ingress) {
                    spec["clusterIP"] = json!(ip);
                }
                "ClusterIP"
            }
            ServiceKind::NodePort => {
                let Some(node_port) = address.port() else {
                    return Err(wrong(
                        &format!("a NodePort needs a port, and `address: {address}` has none"),
                        "write it behind the address: `registry.corp:30500`",
                    ));
                };
                port["port"] = json!(PORT);
                port["nodePort"] = json!(node_port);
                "NodePort"
            }
            ServiceKind::LoadBalancer => {
                if let Some(ip) = address.host().ip() {
                    spec["loadBalancerIP"] = json!(ip);
                }
                "LoadBalancer"
            }
        };
        spec["type"] = json!(name);
        spec["ports"] = json!([port]);
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": mode.namespace, "name": mode.name},
            "spec": spec,
        }))
    }

    pub(super) fn ingress(&self) -> Result<Option<Value>, Error> {
        let Some(ingress) = &self.mode.ingress else { return Ok(None) };
        let host = self.ground.registry.address.host();
        if host.ip().is_some() {
            return Err(wrong(
                &format!("an Ingress is found by its name, and `{host}` is an address"),
                "write a name into `address`, or leave out `ingress`",
            ));
        }
        let mut spec = json!({
            "ingressClassName": ingress.class.as_deref().unwrap_or(CLASS),
            "rules": [{
                "host": host,
                "http": {"paths": [{
                    "path": "/",
                    "pathType": "Prefix",
                    "backend": {"service": {"name": self.mode.name, "port": {"name": "registry"}}},
                }]},
            }],
        });
        if matches!(self.tls, TlsAt::Ingress | TlsAt::Issuer) {
            spec["tls"] = json!([{"hosts": [host], "secretName": self.name("tls")}]);
        }
        Ok(Some(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "namespace": self.mode.namespace,
                "name": self.mode.name,
                "annotations": annotations(ingress),
            },
            "spec": spec,
        })))
    }

    pub(super) fn left_by_hand(&self) -> Vec<String> {
        let address = &self.ground.registry.address;
        let mut left = Vec::new();
        match (self.mode.ingress.is_some(), self.service_kind()) {
            (true, _) => left.push(format!(
                "let {} lead to the Ingress controller, for nodes and for this machine",
                address.host()
            )),
            (false, ServiceKind::ClusterIp) if address.host().ip().is_none() => left.push(format!(
                "let {address} lead to the Service {}/{} for nodes and for this machine: names of the cluster's own DNS are known to pods alone",
                self.mode.namespace, self.mode.name
            )),
            (false, ServiceKind::LoadBalancer) if address.host().ip().is_none() => left.push(format!(
                "let {} lead to the address that the load balancer gives to the Service {}/{}",
                address.host(),
                self.mode.namespace,
                self.mode.name
            )),
            (false, ServiceKind::NodePort) if address.host().ip().is_none() => {
                left.push(format!("let {} lead to a node of the cluster", address.host()));
            }
            (false, _) => {}
        }
        if self.tls == TlsAt::Issuer {
            left.push(
                "have this machine and the nodes trust the authority of cert-manager's issuer; for ferry-installer with `--ca-file`"
                    .into(),
            );
        }
        let bytes = bytes_to_store(self.ground);
        if let Storage::Claim { size, .. } = &self.mode.storage
            && size.0 < bytes
        {
            left.push(format!(
                "ask for more room: the images take {}, and `storage: {{size: …}}` says {}",
                ByteSize(bytes),
                ByteSize(size.0)
            ));
        }
        if let Storage::HostPath(path) = &self.mode.storage {
            left.push(elsewhere(self.ground, path, "the node that `nodeSelector` names"));
            left.push(format!(
                "back up {} of the node that `nodeSelector` names: all images lie there, and taking the registry back leaves them",
                path.display()
            ));
        }
        left
    }
}

/// Layers are larger than what an Ingress lets through by default, and take longer.
fn annotations(ingress: &ferry_model::site::Ingress) -> BTreeMap<String, String> {
    let nginx = [
        ("proxy-body-size", "0"),
        ("proxy-request-buffering", "off"),
        ("proxy-read-timeout", "900"),
        ("proxy-send-timeout", "900"),
    ];
    let mut annotations: BTreeMap<String, String> = nginx
        .into_iter()
        .map(|(name, value)| (format!("nginx.ingress.kubernetes.io/{name}"), value.to_owned()))
        .collect();
    if let Some(issuer) = &ingress.issuer {
        let (key, name) = match issuer.strip_prefix("cluster/") {
            Some(name) => ("cert-manager.io/cluster-issuer", name),
            None => ("cert-manager.io/issuer", issuer.as_str()),
        };
        annotations.insert(key.to_owned(), name.to_owned());
    }
    annotations.extend(ingress.annotations.clone());
    annotations
}
