//! The configuration of the CNCF distribution (`registry:2`, `registry:3`), each key where the program looks for it: what lies
//! elsewhere it ignores without a word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What a registry's configuration says.
pub(super) struct ConfigSettings {
    /// Where it listens: `:5000`, `10.0.0.5:5000`.
    pub(super) listen: String,
    /// Where it keeps images.
    pub(super) storage: Storage,
    /// Certificate and key, for HTTPS.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    /// The password file, where it asks for one.
    pub(super) htpasswd: Option<PathBuf>,
    /// What it is a cache of.
    pub(super) proxy: Option<Remote>,
}

/// Where a registry keeps images.
pub(super) enum Storage {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket. Its keys come by `REGISTRY_STORAGE_S3_ACCESSKEY` and `REGISTRY_STORAGE_S3_SECRETKEY`.
    S3(ferry_model::site::S3),
}

/// A registry that is cached. Its password comes by `REGISTRY_PROXY_PASSWORD`.
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) user: Option<String>,
}

/// The text of `config.yml`. It holds no secret; `http.secret`, which only several replicas must share, is left to the program.
pub(super) fn registry_config(settings: &ConfigSettings) -> String {
    let display = |path: &Path| path.display().to_string();
    let (filesystem, s3) = match &settings.storage {
        Storage::Folder(folder) => (Some(Filesystem { rootdirectory: display(folder) }), None),
        Storage::S3(s3) => (None, Some(s3)),
    };
    let config = Config {
        version: "0.1",
        log: Log { level: "info" },
        storage: StorageSection {
            filesystem,
            s3: s3.map(|s3| S3Section {
                region: &s3.region,
                regionendpoint: &s3.endpoint,
                bucket: &s3.bucket,
                secure: s3.endpoint.starts_with("https://"),
            }),
            cache: Cache { blobdescriptor: "inmemory" },
            delete: Delete { enabled: true },
            redirect: Redirect { disable: true },
        },
        http: Http {
            addr: &settings.listen,
            headers: BTreeMap::from([("X-Content-Type-Options", ["nosniff"])]),
            tls: settings
                .certificate
                .as_ref()
                .map(|(certificate, key)| Tls { certificate: display(certificate), key: display(key) }),
        },
        auth: settings
            .htpasswd
            .as_ref()
            .map(|path| Auth { htpasswd: HtpasswdSection { realm: "ferry", path: display(path) } }),
        health: Health { storagedriver: Probe { enabled: true, interval: "10s", threshold: 3 } },
        proxy: settings
            .proxy
            .as_ref()
            .map(|remote| Proxy { remoteurl: &remote.url, username: remote.user.as_deref() }),
    };
    serde_saphyr::to_string(&config).expect("texts, numbers and truths can be written as YAML")
}

#[derive(Serialize)]
struct Config<'a> {
    version: &'a str,
    log: Log,
    storage: StorageSection<'a>,
    http: Http<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    health: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Proxy<'a>>,
}

#[derive(Serialize)]
struct Log {
    level: &'static str,
}

#[derive(Serialize)]
struct StorageSection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<Filesystem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3: Option<S3Section<'a>>,
    cache: Cache,
    delete: Delete,
    /// Clients of a closed network may not reach the bucket.
    redirect: Redirect,
}

#[derive(Serialize)]
struct Filesystem {
    rootdirectory: String,
}

#[derive(Serialize)]
struct S3Section<'a> {
    region: &'a str,
    regionendpoint: &'a str,
    bucket: &'a str,
    secure: bool,
}

#[derive(Serialize)]
struct Cache {
    blobdescriptor: &'static str,
}

#[derive(Serialize)]
struct Delete {
    enabled: bool,
}

#[derive(Serialize)]
struct Redirect {
    disable: bool,
}

#[derive(Serialize)]
struct Http<'a> {
    addr: &'a str,
    headers: BTreeMap<&'static str, [&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Serialize)]
struct Tls {
    certificate: String,
    key: String,
}

#[derive(Serialize)]
struct Auth {
    htpasswd: HtpasswdSection,
}

#[derive(Serialize)]
struct HtpasswdSection {
    realm: &'static str,
    path: String,
}

#[derive(Serialize)]
struct Health {
    storagedriver: Probe,
}

#[derive(Serialize)]
struct Probe {
    enabled: bool,
    interval: &'static str,
    threshold: u32,
}

#[derive(Serialize)]
struct Proxy<'a> {
    remoteurl: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ConfigSettings {
        ConfigSettings {
            listen: ":5000".into(),
            storage: Storage::Folder("/var/lib/ferry/registry".into()),
            certificate: None,
            htpasswd: None,
            proxy: None,
        }
    }

    #[test]
    fn each_key_is_where_the_program_looks_for_it() {
        let mut settings = settings();
        settings.certificate = Some(("/etc/ferry/a b.crt".into(), "/etc/ferry/#.key".into()));
        settings.htpasswd = Some("/etc/ferry/htpasswd".into());
        settings.proxy = Some(Remote { url: "https://hub.corp".into(), user: Some("puller".into()) });
        let text = registry_config(&settings);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": "/var/lib/ferry/registry"},
                "cache": {"blobdescriptor": "inmemory"},
                "delete": {"enabled": true},
                "redirect": {"disable": true},
            },
            "http": {
                "addr": ":5000",
                "headers": {"X-Content-Type-Options": ["nosniff"]},
                "tls": {"certificate": "/etc/ferry/a b.crt", "key": "/etc/ferry/#.key"},
            },
            "auth": {"htpasswd": {"realm": "ferry", "path": "/etc/ferry/htpasswd"}},
            "health": {"storagedriver": {"enabled": true, "interval": "10s", "threshold": 3}},
            "proxy": {"remoteurl": "https://hub.corp", "username": "puller"},
        });
        assert_eq!(value, expected, "{text}");
    }

    #[test]
    fn a_bucket_is_named_without_its_keys() {
        let mut settings = settings();
        let login = ferry_model::site::Login {
            user: "access".into(),
            password: ferry_model::site::SecretSource::Environment("S3_KEY".into()),
        };
        settings.storage = Storage::S3(ferry_model::site::S3 {
            endpoint: "http://minio:9000".into(),
            bucket: "images".into(),
            region: "us-east-1".into(),
            login,
        });
        let text = registry_config(&settings);
        assert!(text.contains("regionendpoint: http://minio:9000"), "{text}");
        assert!(!text.contains("access") && !text.contains("filesystem"), "{text}");
    }
}
