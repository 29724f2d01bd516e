//! `registry:2` on the cluster: its objects, applied one after the other, and its image on the nodes beforehand, since no
//! registry is there yet that could give it to them.

mod access;
mod pod;
mod preload;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ferry_model::Digest;
use ferry_model::plan::{Desired, Keep, Object, Resource, ResourceId, Rollout};
use ferry_model::site::{Kubernetes, Login, Storage, Tls};
use serde_json::{Value, json};

use super::config::{self, ConfigSettings, registry_config};
use super::files::{Common, add_certificates, add_folder, push};
use super::{Brought, Ground};
use crate::Error;
use crate::cluster::{MANAGER, Target};
use crate::desire::Desire;

/// Where the image looks for its configuration. It is a folder of its own, all of which is the ConfigMap's: one key mounted over a
/// file would not follow later changes.
const CONFIG_FOLDER: &str = "/etc/docker/registry";
const CONFIG_FILE: &str = "config.yml";
const TLS_FOLDER: &str = "/etc/ferry/tls";
const AUTH_FOLDER: &str = "/etc/ferry/auth";
const STORAGE_FOLDER: &str = "/var/lib/registry";
/// Where the registry listens in its pod.
const PORT: u16 = 5000;

pub(super) fn bring_up(
    desire: &mut Desire,
    ground: &Ground<'_>,
    mode: &Kubernetes,
) -> Result<Brought, Error> {
    let mut registry = OnCluster::new(ground, mode)?;
    let mut certificates = Vec::new();
    if registry.tls == TlsAt::Pod || registry.tls == TlsAt::Ingress {
        certificates = registry.add_certificates(desire)?;
    }
    let images = preload::add(desire, ground, mode)?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": mode.namespace}});
    let namespace = registry.object(namespace, "everything of the registry is in it");
    let namespace = push(desire, namespace);

    let mut follows = Vec::new();
    for resource in registry.secrets(&certificates) {
        follows.push(push(desire, resource.after([namespace.clone()])));
    }
    let config = registry.config_map();
    follows.push(push(desire, config.after([namespace.clone()])));
    let mut needs = Vec::new();
    if let Some(claim) = registry.claim() {
        needs.push(push(desire, claim.after([namespace.clone()])));
    }
    let (deployment, reason) = (registry.deployment(), "its pod is the registry");
    // One node that has its image can run it; those that cannot be reached hold nothing up.
    let deployment = registry.object(deployment, reason).after(needs).after_one_of(images);
    let deployment = deployment.following(follows.clone());
    let deployment = push(desire, deployment);
    let (service, reason) = (registry.service()?, "the registry is reached through it");
    let service = push(desire, registry.object(service, reason).after([namespace]));
    let rollout = push(desire, registry.rollout().after([deployment, service.clone()]));
    let mut brought = vec![rollout, service.clone()];
    if let Some(ingress) = registry.ingress()? {
        let reason = "it lets in what comes from outside the cluster";
        let ingress = registry.object(ingress, reason).after([service]).after(follows);
        brought.push(push(desire, ingress));
    }
    desire.by_hand.extend(registry.left_by_hand());
    Ok(Brought { needs: brought, takes_images: true })
}

/// Where encryption ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsAt {
    /// In the registry itself.
    Pod,
    /// In the Ingress, with a certificate that Ferry knows.
    Ingress,
    /// In the Ingress, with a certificate that cert-manager makes.
    Issuer,
    /// Nothing is encrypted.
    Nowhere,
}

/// A registry on a cluster, with all that its objects are made from.
struct OnCluster<'a> {
    ground: &'a Ground<'a>,
    mode: &'a Kubernetes,
    target: Target,
    tls: TlsAt,
    /// Certificate and key, as files of this machine.
    certificate: Option<(PathBuf, PathBuf)>,
}

impl<'a> OnCluster<'a> {
    fn new(ground: &'a Ground<'a>, mode: &'a Kubernetes) -> Result<Self, Error> {
        let has_issuer = mode.ingress.as_ref().is_some_and(|ingress| ingress.issuer.is_some());
        let tls = match (&ground.registry.tls, mode.ingress.is_some(), has_issuer) {
            (Tls::PlainHttp, _, true) => {
                return Err(wrong(
                    "an `issuer` makes a certificate, and `plainHttp` needs none",
                    "leave out one of the two",
                ));
            }
            (Tls::Given { .. }, _, true) => {
                return Err(wrong(
                    "there are two certificates: a given one, and one that the `issuer` makes",
                    "leave out `issuer`, or `certificate` and `key`",
                ));
            }
            (Tls::PlainHttp, ..) => TlsAt::Nowhere,
            (_, true, true) => TlsAt::Issuer,
            (_, true, false) => TlsAt::Ingress,
            (_, false, _) => TlsAt::Pod,
        };
        check_storage(mode)?;
        Ok(Self { ground, mode, target: Target::of(ground.site), tls, certificate: None })
    }

    /// Has a certificate made on this machine, where that is wanted.
    fn add_certificates(&mut self, desire: &mut Desire) -> Result<Vec<ResourceId>, Error> {
        let (site, registry) = (self.ground.site, self.ground.registry);
        if let Tls::Given { certificate: Some((certificate, key)), .. } = &registry.tls {
            self.certificate = Some((site.absolute(certificate), site.absolute(key)));
            return Ok(Vec::new());
        }
        let folder = site.absolute(&registry.folder);
        let home = add_folder(desire, &folder, None, Keep::Everything, "the registry's authority lies there");
        let mut common = Common { ids: vec![home], folder, certificate: None, htpasswd: None };
        add_certificates(desire, self.ground, &mut common)?;
        self.certificate = common.certificate;
        Ok(common.ids)
    }

    fn secrets(&self, certificates: &[ResourceId]) -> Vec<Resource> {
        let mut secrets = Vec::new();
        if let Some((certificate, key)) = &self.certificate {
            let files = [("tls.crt", certificate), ("tls.key", key)];
            let mut secret = self.empty_secret("tls", "kubernetes.io/tls");
            secret.data_files =
                files.into_iter().map(|(name, path)| (name.to_owned(), path.clone())).collect();
            let reason = "clients talk to the registry only when they can trust it";
            let secret = Resource::new(Desired::Object(secret), reason);
            secrets.push(secret.following(certificates.iter().cloned()));
        }
        if let Some(login) = &self.ground.registry.login {
            let reason = format!("only {} may use the registry", login.user);
            secrets.push(self.secret_of("auth", &["htpasswd"], login, reason));
        }
        if let Storage::S3(s3) = &self.mode.storage {
            let reason = "the bucket's keys";
            secrets.push(self.secret_of("s3", &["user", "password"], &s3.login, reason.into()));
        }
        if self.has_shared_secret() {
            let mut secret = self.empty_secret("http", "Opaque");
            secret.data_random.insert("secret".into());
            let reason = "an upload that one pod begins is gone on with by another, which must trust it";
            secrets.push(Resource::new(Desired::Object(secret), reason));
        }
        secrets
    }

    fn secret_of(&self, suffix: &str, keys: &[&str], login: &Login, reason: String) -> Resource {
        let mut secret = self.empty_secret(suffix, "Opaque");
        secret.data_logins = keys.iter().map(|key| ((*key).to_owned(), login.clone())).collect();
        Resource::new(Desired::Object(secret), reason)
    }

    fn empty_secret(&self, suffix: &str, kind: &str) -> Object {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": self.mode.namespace, "name": self.name(suffix)},
            "type": kind,
        });
        self.unfilled(manifest)
    }

    /// Whether pods must share what they sign the state of uploads with.
    fn has_shared_secret(&self) -> bool {
        self.mode.replicas > 1
    }

    fn config(&self) -> String {
        let in_folder = |folder: &str, name: &str| PathBuf::from(folder).join(name);
        registry_config(&ConfigSettings {
            listen: format!(":{PORT}"),
            storage: match &self.mode.storage {
                Storage::S3(s3) => config::Storage::S3(s3.clone()),
                Storage::Claim { .. } | Storage::HostPath(_) => {
                    config::Storage::Folder(STORAGE_FOLDER.into())
                }
            },
            certificate: (self.tls == TlsAt::Pod)
                .then(|| (in_folder(TLS_FOLDER, "tls.crt"), in_folder(TLS_FOLDER, "tls.key"))),
            htpasswd: self.ground.registry.login.as_ref().map(|_| in_folder(AUTH_FOLDER, "htpasswd")),
            proxy: None,
        })
    }

    fn config_map(&self) -> Resource {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": self.mode.namespace, "name": self.name("config")},
            "data": {CONFIG_FILE: self.config()},
        });
        self.object(manifest, "it says where the registry listens and keeps images")
    }

    fn claim(&self) -> Option<Resource> {
        let Storage::Claim { class, size } = &self.mode.storage else { return None };
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": quantity(size.0)}},
        });
        if let Some(class) = class {
            spec["storageClassName"] = json!(class);
        }
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": self.mode.namespace, "name": self.name("storage")},
            "spec": spec,
        });
        Some(self.object(manifest, "the registry keeps images there"))
    }

    fn rollout(&self) -> Resource {
        let rollout = Rollout {
            kubeconfig: self.target.kubeconfig.clone(),
            context: self.target.context.clone(),
            namespace: self.mode.namespace.clone(),
            name: self.mode.name.clone(),
        };
        Resource::new(Desired::Rollout(rollout), "the registry answers when its pods are ready")
    }

    /// An object with the labels that all have.
    fn object(&self, manifest: Value, reason: &str) -> Resource {
        Resource::new(Desired::Object(self.unfilled(manifest)), reason)
    }

    fn unfilled(&self, mut manifest: Value) -> Object {
        let mut labels = self.selector();
        labels["app.kubernetes.io/component"] = json!("registry");
        labels["app.kubernetes.io/managed-by"] = json!(MANAGER);
        manifest["metadata"]["labels"] = labels;
        Object {
            kubeconfig: self.target.kubeconfig.clone(),
            context: self.target.context.clone(),
            manifest,
            data_files: BTreeMap::new(),
            data_logins: BTreeMap::new(),
            data_random: std::collections::BTreeSet::new(),
        }
    }

    /// The labels that its pods are found by. They can never change.
    fn selector(&self) -> Value {
        json!({"app.kubernetes.io/name": "registry", "app.kubernetes.io/instance": self.mode.name})
    }

    /// The name of an object beside the Deployment.
    fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.mode.name)
    }

    /// What changes whenever the configuration does, so that printed manifests roll it out too.
    fn checksum(&self) -> String {
        Digest::of(self.config().as_bytes()).to_string()
    }
}

/// What storage allows.
fn check_storage(mode: &Kubernetes) -> Result<(), Error> {
    let is_shared = matches!(mode.storage, Storage::S3(_));
    if mode.replicas == 0 {
        return Err(wrong("`replicas: 0` is no registry", "leave it out, for one"));
    }
    if mode.replicas > 1 && !is_shared {
        return Err(wrong(
            &format!(
                "{} replicas cannot share one volume: each would answer for what it alone knows, and an upload that one begins could not be ended by another",
                mode.replicas
            ),
            "use `storage: {s3: …}`, which all of them reach, or leave out `replicas`",
        ));
    }
    if matches!(mode.storage, Storage::HostPath(_)) && mode.node_selector.is_empty() {
        return Err(wrong(
            "with `hostPath` the images lie on one node, and the registry's pod could be started on any",
            "say which one: `nodeSelector: {kubernetes.io/hostname: NODE}`",
        ));
    }
    if let Storage::HostPath(path) = &mode.storage
        && (!path.is_absolute() || path.to_str().is_none())
    {
        let problem = format!("`hostPath: {}` is no absolute path of a node", path.display());
        return Err(wrong(&problem, "begin it with `/`"));
    }
    Ok(())
}

fn wrong(problem: &str, hint: &str) -> Error {
    Error::Usage { problem: problem.to_owned(), hint: hint.to_owned() }
}

/// As Kubernetes writes sizes.
fn quantity(bytes: u64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let fits = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    fits.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}
