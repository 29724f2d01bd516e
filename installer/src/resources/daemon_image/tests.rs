//! Against a stand-in for dockerd's API on a socket, which keeps images either way. Its answers are those that the Engine API
//! documents (v1.51: `ImageInspect`, `SystemInfo`), short of what is not read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State as Shared;
use axum::http::{Method, Request, StatusCode};
use ferry_model::event::Events;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::*;
use crate::serve::testing::{MANIFEST, Sample};
use crate::site::SiteFile;

const TAG: &str = "registry.corp:5000/library/registry:2";

/// How docker keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    /// As it always did.
    Docker,
    /// As containerd does: from docker 29 on by default.
    Containerd,
}

struct Engine {
    store: Store,
    images: Mutex<Images>,
}

#[derive(Default)]
struct Images {
    /// The id under each name.
    named: BTreeMap<String, String>,
    /// What was loaded.
    archives: Vec<Vec<u8>>,
    /// What a load gives.
    loads: Option<(String, String)>,
}

impl Engine {
    fn inspect(&self, name: &str) -> Option<Value> {
        let images = self.images.lock().unwrap();
        let (_, id) = images.named.iter().find(|(known, id)| *known == name || *id == name)?;
        let tags: Vec<_> =
            images.named.iter().filter(|(_, other)| *other == id).map(|(name, _)| name).collect();
        let mut answer = json!({
            "Id": id, "RepoTags": tags, "RepoDigests": [], "Created": "2025-01-27T00:00:00Z",
            "Architecture": "amd64", "Os": "linux", "Size": 3_000_000,
            "Config": {"Env": ["PATH=/usr/bin"], "Cmd": ["/etc/docker/registry/config.yml"]},
            "GraphDriver": {"Data": null, "Name": "overlayfs"},
            "RootFS": {"Type": "layers", "Layers": [Digest::of(b"layer")]},
        });
        if self.store == Store::Containerd {
            answer["Descriptor"] = json!({"mediaType": MANIFEST, "digest": id, "size": 1234});
        }
        Some(answer)
    }

    fn info(&self) -> Value {
        let status = match self.store {
            Store::Docker => json!([["Backing Filesystem", "extfs"], ["Supports d_type", "true"]]),
            Store::Containerd => json!([["driver-type", "io.containerd.snapshotter.v1"]]),
        };
        json!({"Driver": "overlayfs", "DriverStatus": status, "ServerVersion": "29.0.0"})
    }
}

async fn answer(Shared(engine): Shared<Arc<Engine>>, request: Request<Body>) -> (StatusCode, String) {
    let path = request.uri().path().to_owned();
    let path = path.strip_prefix("/v1.44").unwrap_or(&path);
    let none = || (StatusCode::NOT_FOUND, json!({"message": "No such image"}).to_string());
    let said = |answer: Value| (StatusCode::OK, answer.to_string());
    match (request.method().clone(), path) {
        (Method::GET, "/version") => said(
            json!({"Version": "29.0.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44", "Os": "linux", "Arch": "amd64"}),
        ),
        (Method::GET, "/info") => said(engine.info()),
        (Method::POST, "/images/load") => {
            let archive = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let mut images = engine.images.lock().unwrap();
            images.archives.push(archive.to_vec());
            let (name, id) = images.loads.clone().unwrap();
            let line = json!({"stream": format!("Loaded image: {name}\n")});
            images.named.insert(name, id);
            said(line)
        }
        (Method::GET, path) => {
            let name = path.strip_prefix("/images/").and_then(|path| path.strip_suffix("/json")).unwrap();
            engine.inspect(&name.replace("%2F", "/").replace("%3A", ":")).map_or_else(none, said)
        }
        (Method::POST, path) => {
            let id = path.strip_prefix("/images/").and_then(|path| path.strip_suffix("/tag")).unwrap();
            let id = id.replace("%3A", ":");
            assert!(request.uri().query().unwrap().ends_with("&tag=2"), "{request:?}");
            engine.images.lock().unwrap().named.insert(TAG.to_owned(), id);
            (StatusCode::CREATED, String::new())
        }
        (Method::DELETE, path) => {
            let name = path.strip_prefix("/images/").unwrap().replace("%2F", "/").replace("%3A", ":");
            match engine.images.lock().unwrap().named.remove(&name) {
                Some(_) => said(json!([{"Untagged": name}])),
                None => none(),
            }
        }
        other => panic!("{other:?}"),
    }
}

fn start(folder: &Path, store: Store) -> (Arc<Engine>, String) {
    let engine = Arc::new(Engine { store, images: Mutex::default() });
    let socket = folder.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&engine));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (engine, format!("unix://{}", socket.display()))
}

fn context(folder: &Path, sample: &Sample) -> Context {
    let site = folder.join("site.yaml");
    fs::write(&site, "apiVersion: ferry/v1\nkind: Site\nname: dc1\n").unwrap();
    let bundle = sample.build(&folder.join("bundle"));
    Context::new(SiteFile::read(&site).unwrap(), Some(bundle), Options::default(), Events::none())
}

fn digest(sample: &Sample, blob: &str) -> Digest {
    Digest::of(&sample.blobs[blob].0)
}

fn image(sample: &Sample, daemon: String) -> DaemonImage {
    DaemonImage {
        daemon,
        image: "registry:2".parse().unwrap(),
        config: digest(sample, "config"),
        manifests: vec![digest(sample, "manifest"), Digest::of(b"index")],
        size: 1,
        tag: TAG.to_owned(),
    }
}

#[tokio::test]
async fn the_image_is_known_by_any_id_that_it_can_have() {
    let (folder, sample) = (tempfile::tempdir().unwrap(), Sample::new());
    let (engine, daemon) = start(folder.path(), Store::Containerd);
    let (image, context) = (image(&sample, daemon), context(folder.path(), &sample));
    assert_eq!(image.observe(&context).await, State::Absent);
    let name = |id: Digest| engine.images.lock().unwrap().named.insert(TAG.to_owned(), id.to_string());
    for id in [digest(&sample, "config"), digest(&sample, "manifest"), Digest::of(b"index")] {
        name(id);
        assert_eq!(image.observe(&context).await, image.wanted(), "{id}");
    }
    let other = Digest::of(b"another image");
    name(other);
    assert_eq!(image.observe(&context).await, State::present([("id", other.to_string())]));
}

#[tokio::test]
async fn containerds_store_gets_the_manifest_that_it_is_to_know_it_by() {
    let (folder, sample) = (tempfile::tempdir().unwrap(), Sample::new());
    let (engine, daemon) = start(folder.path(), Store::Containerd);
    let (image, context) = (image(&sample, daemon), context(folder.path(), &sample));
    let manifest = digest(&sample, "manifest");
    engine.images.lock().unwrap().loads = Some((TAG.to_owned(), manifest.to_string()));
    let task = Events::none().start("load", None);
    image.apply(&context, Action::Create, &task).await.unwrap();
    assert_eq!(image.observe(&context).await, image.wanted());
    {
        let images = engine.images.lock().unwrap();
        let mut members = BTreeMap::new();
        for entry in tar::Archive::new(images.archives[0].as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            members.insert(path, content);
        }
        let index: Value = serde_json::from_slice(&members["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["digest"], manifest.to_string());
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], TAG);
        assert_eq!(Digest::of(&members[&format!("blobs/sha256/{}", manifest.hex())]), manifest);
    }

    // Under another name it is there already, and only gets this one more.
    engine.images.lock().unwrap().named = BTreeMap::from([("other:1".to_owned(), manifest.to_string())]);
    let kept = image.keep(&context, &Kept::in_folder(folder.path().join("before"))).await.unwrap();
    assert!(kept.contains_key(PRESENT));
    image.apply(&context, Action::Create, &task).await.unwrap();
    assert_eq!(image.observe(&context).await, image.wanted());
    assert_eq!(engine.images.lock().unwrap().archives.len(), 1, "loaded again");

    // Taken back, the name goes and the image stays under its own.
    let before = Before { state: State::Absent, kept };
    let kept = Kept::in_folder(folder.path().join("before"));
    let undone = image.undo(&context, &before, &kept, &Mine::default()).await.unwrap();
    assert_eq!(undone, Undone::Restored);
    let named = engine.images.lock().unwrap().named.clone();
    assert_eq!(named.keys().collect::<Vec<_>>(), ["other:1"]);
}

#[tokio::test]
async fn how_docker_keeps_images_is_asked() {
    for (store, expected) in [(Store::Docker, false), (Store::Containerd, true)] {
        let folder = tempfile::tempdir().unwrap();
        let (_engine, host) = start(folder.path(), store);
        assert_eq!(daemon(&host).unwrap().keeps_manifests().await.unwrap(), expected, "{store:?}");
    }
}
