//! What fits a container, and what does not.

use axum::Router;
use ferry_model::event::Events;
use ferry_model::site::SecretSource;
use ferry_transfer::Options;
use serde_json::json;
use tokio::net::UnixListener;

use super::*;
use crate::site::SiteFile;

fn container() -> Container {
    Container {
        daemon: String::new(),
        name: "ferry-registry".into(),
        image: "registry.corp:5000/library/registry:2".into(),
        config: Digest::of(b"config"),
        manifests: vec![Digest::of(b"manifest"), Digest::of(b"index")],
        command: vec!["serve".into()],
        environment: BTreeMap::new(),
        secrets: BTreeMap::from([("PASSWORD".to_owned(), SecretSource::Environment("REMOTE".into()))]),
        binds: vec!["/data:/var/lib/registry".into()],
        opening: Opening::Published { address: None, port: 5000, to: 5000 },
    }
}

fn found(labels: BTreeMap<String, String>) -> ContainerState {
    ContainerState {
        id: "0123456789abcdef".into(),
        name: "ferry-registry".into(),
        image: String::new(),
        image_id: Digest::of(b"config").to_string(),
        running: true,
        status: "running".into(),
        exit_code: 0,
        error: String::new(),
        restart_count: 0,
        created: String::new(),
        labels,
    }
}

#[test]
fn binds_are_read_from_their_end() {
    let read = |text: &str| {
        let bind = bind(text).unwrap();
        (bind.source.display().to_string(), bind.target.display().to_string(), bind.read_only)
    };
    assert_eq!(read("/a:/b"), ("/a".into(), "/b".into(), false));
    assert_eq!(read("/a:/b:ro"), ("/a".into(), "/b".into(), true));
    assert_eq!(read("/da:ta/x:/b:ro"), ("/da:ta/x".into(), "/b".into(), true));
    bind("/nowhere").unwrap_err();
}

#[test]
fn another_spec_image_or_secret_does_not_fit() {
    let (container, secrets) =
        (container(), |text: &str| BTreeMap::from([("PASSWORD".to_owned(), text.to_owned())]));
    // Longer than bcrypt can tell apart.
    let (one, other) = (secrets(&format!("{}1", "x".repeat(80))), secrets(&format!("{}2", "x".repeat(80))));
    let hash = htpasswd::entry(USER, &together(&one)).unwrap();
    let labels = BTreeMap::from([(SPEC.to_owned(), digest(&container).hex()), (SECRETS.to_owned(), hash)]);
    let running = found(labels);
    assert!(fits(&container, &running, &one));
    assert!(!fits(&container, &running, &other));
    let elsewhere = Container { binds: vec!["/other:/var/lib/registry".into()], ..container.clone() };
    assert!(!fits(&elsewhere, &running, &one));
    let newer = ContainerState { image_id: Digest::of(b"newer").to_string(), ..running.clone() };
    assert!(!fits(&container, &newer, &one));
    // As docker with containerd's image store has it: the manifest's digest, or the index's.
    for known in [b"manifest".as_slice(), b"index"] {
        let known = ContainerState { image_id: Digest::of(known).to_string(), ..running.clone() };
        assert!(fits(&container, &known, &one));
    }
    let repacked = Container { manifests: vec![Digest::of(b"other manifest")], ..container.clone() };
    assert!(fits(&repacked, &running, &one), "the image is the same");
    let unlabelled = found(BTreeMap::new());
    assert!(!fits(&container, &unlabelled, &one) && !is_own(&unlabelled));
}

#[tokio::test]
async fn whose_it_is_shows_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let container = Container { daemon: format!("unix://{}", socket.display()), ..container() };
    let answer = json!({
        "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24", "Arch": "amd64", "Os": "linux",
        "Id": "0123456789abcdef", "Name": "/ferry-registry", "Image": container.config, "Created": "",
        "State": {"Status": "running", "Running": true, "Restarting": false, "ExitCode": 0},
        "Config": {"Image": container.image, "Labels": {MANAGED: "true", SPEC: digest(&container).hex()}},
    });
    let listener = UnixListener::bind(&socket).unwrap();
    let engine = Router::new().fallback(move || async move { answer.to_string() });
    let server = tokio::spawn(async move { axum::serve(listener, engine).await });
    std::fs::write(folder.path().join("site.yaml"), "apiVersion: ferry/v1\nkind: Site\nname: dc1\n").unwrap();
    let site = SiteFile::read(&folder.path().join("site.yaml")).unwrap();
    let context = Context::new(site, None, Options::default(), Events::none());
    // The variable that its secret is in is not set.
    assert!(matches!(container.observe(&context).await, State::Unknown { .. }));
    let seen = container.observe_to_undo(&context).await;
    assert_eq!(container.owned(&seen), container.owned(&container.wanted()), "{seen}");
    server.abort();
}
