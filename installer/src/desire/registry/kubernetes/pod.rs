//! The Deployment: one pod, or several that share a bucket.

use ferry_model::site::Storage;
use serde_json::{Map, Value, json};

use super::{AUTH_FOLDER, CONFIG_FILE, CONFIG_FOLDER, OnCluster, PORT, STORAGE_FOLDER, TLS_FOLDER, TlsAt};

/// Whom the registry runs as, where its volume can be given to that group.
const USER: u32 = 1000;
/// Secrets are read by owner and group.
const SECRET_MODE: u32 = 0o440;

impl OnCluster<'_> {
    pub(super) fn deployment(&self) -> Value {
        let mode = self.mode;
        // Two pods at once would wait for each other's volume, or write to one folder.
        let strategy = if matches!(mode.storage, Storage::S3(_)) { "RollingUpdate" } else { "Recreate" };
        let mut labels = self.selector();
        labels["app.kubernetes.io/component"] = json!("registry");
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"namespace": mode.namespace, "name": mode.name},
            "spec": {
                "replicas": mode.replicas,
                "revisionHistoryLimit": 3,
                "strategy": {"type": strategy},
                "selector": {"matchLabels": self.selector()},
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"ferry/config-digest": self.checksum()},
                    },
                    "spec": self.pod(),
                },
            },
        })
    }

    fn pod(&self) -> Value {
        let mut pod = json!({
            // A Service called `registry` would put REGISTRY_PORT and the like into the environment, which the program takes for
            // settings.
            "enableServiceLinks": false,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 60,
            "securityContext": self.pod_security(),
            "containers": [self.container()],
            "volumes": self.volumes(),
        });
        if !self.mode.node_selector.is_empty() {
            pod["nodeSelector"] = json!(self.mode.node_selector);
        }
        pod
    }

    /// A folder of a node belongs to root, and no `fsGroup` changes that.
    fn pod_security(&self) -> Value {
        let seccomp = json!({"type": "RuntimeDefault"});
        if matches!(self.mode.storage, Storage::HostPath(_)) {
            return json!({"runAsUser": 0, "seccompProfile": seccomp});
        }
        json!({
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            // Going through a million blobs at each start takes minutes.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": seccomp,
        })
    }

    fn container(&self) -> Value {
        let scheme = if self.tls == TlsAt::Pod { "HTTPS" } else { "HTTP" };
        // Answers 200 without a login, and 503 while storage cannot be reached.
        let asks = json!({"path": "/", "port": "registry", "scheme": scheme});
        json!({
            "name": "registry",
            "image": image_name(&self.mode.image),
            "imagePullPolicy": "IfNotPresent",
            // Images begin with the program itself or with a script before it; this suits both. registry:3 looks elsewhere unless
            // it is told.
            "args": ["serve", format!("{CONFIG_FOLDER}/{CONFIG_FILE}")],
            "env": self.environment(),
            "ports": [{"name": "registry", "containerPort": PORT, "protocol": "TCP"}],
            "startupProbe": {"httpGet": asks, "periodSeconds": 2, "failureThreshold": 60},
            "readinessProbe": {"httpGet": asks, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
            // To start it anew does not bring storage back.
            "livenessProbe": {"tcpSocket": {"port": "registry"}, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 3},
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "1Gi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": self.mounts(),
        })
    }

    fn environment(&self) -> Vec<Value> {
        // registry:3 looks for a collector of traces unless it is told that there is none.
        let mut environment = vec![json!({"name": "OTEL_TRACES_EXPORTER", "value": "none"})];
        let mut add = |name: &str, suffix: &str, key: &str| {
            let from = json!({"secretKeyRef": {"name": self.name(suffix), "key": key}});
            environment.push(json!({"name": name, "valueFrom": from}));
        };
        if matches!(self.mode.storage, Storage::S3(_)) {
            add("REGISTRY_STORAGE_S3_ACCESSKEY", "s3", "user");
            add("REGISTRY_STORAGE_S3_SECRETKEY", "s3", "password");
        }
        if self.has_shared_secret() {
            add("REGISTRY_HTTP_SECRET", "http", "secret");
        }
        environment
    }

    /// Volumes, each with where it is mounted; whole folders all of them.
    fn mounted(&self) -> Vec<(&'static str, Value, &'static str)> {
        let config = json!({
            "name": self.name("config"),
            "items": [{"key": CONFIG_FILE, "path": CONFIG_FILE}],
        });
        let secret = |suffix: &str| json!({"secretName": self.name(suffix), "defaultMode": SECRET_MODE});
        let mut mounted = vec![("config", json!({"configMap": config}), CONFIG_FOLDER)];
        if self.ground.registry.login.is_some() {
            mounted.push(("auth", json!({"secret": secret("auth")}), AUTH_FOLDER));
        }
        if self.tls == TlsAt::Pod {
            mounted.push(("tls", json!({"secret": secret("tls")}), TLS_FOLDER));
        }
        let storage = match &self.mode.storage {
            Storage::Claim { .. } => json!({"persistentVolumeClaim": {"claimName": self.name("storage")}}),
            Storage::HostPath(path) => json!({"hostPath": {"path": path, "type": "DirectoryOrCreate"}}),
            Storage::S3(_) => return mounted,
        };
        mounted.push(("storage", storage, STORAGE_FOLDER));
        mounted
    }

    fn volumes(&self) -> Vec<Value> {
        let named = |(name, source, _): (&str, Value, &str)| {
            let mut volume = Map::from_iter([("name".to_owned(), json!(name))]);
            if let Value::Object(source) = source {
                volume.extend(source);
            }
            Value::Object(volume)
        };
        self.mounted().into_iter().map(named).collect()
    }

    fn mounts(&self) -> Vec<Value> {
        let mount = |(name, _, path): (&str, Value, &str)| {
            if name == "storage" {
                return json!({"name": name, "mountPath": path});
            }
            json!({"name": name, "mountPath": path, "readOnly": true})
        };
        self.mounted().into_iter().map(mount).collect()
    }
}

/// What nodes call the image. One that came as an archive is known by its tag alone.
pub(super) fn image_name(image: &ferry_model::ImageReference) -> String {
    format!("{}:{}", image.name(), image.tag().unwrap_or("latest"))
}
