//! The built program against sources that change, are damaged, or answer slowly and with errors.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use ferry_model::Digest;

/// Its digest begins with `80`, so it has its turn in the middle of the others, when some are under way.
const LARGE: &str = "/large-218.bin";

fn builder(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferry-builder"));
    command.args(arguments).current_dir(folder).env("FERRY_RETRY_BASE_MS", "20");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = builder(folder, arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn assert_run(folder: &Path, arguments: &[&str], code: i32) -> String {
    let (found, output) = run(folder, arguments);
    assert_eq!(found, code, "{arguments:?}: {output}");
    output
}

/// A folder with a spec that carries `files`.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = "apiVersion: ferry/v1\nkind: Bundle\nname: b\nversion: \"1\"\nfiles:\n".to_owned();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
        spec.push_str(&format!("  - {{path: {name}, to: {name}}}\n"));
    }
    std::fs::write(folder.path().join("b.yaml"), spec).unwrap();
    folder
}

#[test]
fn a_file_that_changed_is_told_and_heals() {
    for (name, size) in [("a.tgz", 3_000_000), ("a.txt", 3_000_000), ("a.txt", 3)] {
        let content = vec![b'x'; size];
        let folder = folder(&[(name, &content)]);
        let path = folder.path();
        assert_run(path, &["lock", "b.yaml"], 0);
        let build = ["build", "b.yaml", "--locked", "-o", "b.zst"];
        let mut longer = content.clone();
        longer.push(b'x');
        for wrong in [vec![b'y'; size], longer, content[1..].to_vec()] {
            std::fs::write(path.join(name), wrong).unwrap();
            let output = assert_run(path, &build, 3);
            assert!(output.contains("changed since it was locked"), "{output}");
            assert!(!path.join("b.zst").exists());
        }
        std::fs::write(path.join(name), &content).unwrap();
        assert_run(path, &build, 0);
        assert_run(path, &["verify", "b.zst"], 0);
    }
}

#[test]
fn a_damaged_bundle_to_reuse_is_no_obstacle() {
    let content = vec![b'x'; 3_000_000];
    let folder = folder(&[("a.tgz", &content), ("b.tgz", b"b")]);
    let path = folder.path();
    assert_run(path, &["build", "b.yaml", "-o", "old.zst"], 0);
    let mut bytes = std::fs::read(path.join("old.zst")).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(path.join("old.zst"), bytes).unwrap();
    let output = assert_run(path, &["build", "b.yaml", "-o", "new.zst", "--reuse", "old.zst"], 0);
    assert!(output.contains("warning") && output.contains("fetched anew"), "{output}");
    assert_run(path, &["verify", "new.zst"], 0);
}

/// A file server; of the large file, the first request fails.
#[derive(Default)]
struct Slow {
    requests_of_large: AtomicU32,
    delays: Mutex<HashMap<String, Duration>>,
}

async fn answer(State(server): State<Arc<Slow>>, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
    let path = request.uri().path().to_owned();
    if path.ends_with(".sha256") {
        return (StatusCode::NOT_FOUND, HeaderMap::new(), Vec::new());
    }
    let is_get = request.method() == "GET";
    if is_get && path == LARGE && server.requests_of_large.fetch_add(1, Ordering::Relaxed) == 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), Vec::new());
    }
    let delay = server.delays.lock().unwrap().get(&path).copied().unwrap_or_default();
    tokio::time::sleep(delay).await;
    (StatusCode::OK, HeaderMap::new(), remote(&path))
}

fn remote(path: &str) -> Vec<u8> {
    let size = if path == LARGE { 800_000 } else { 2_000 };
    path.bytes().cycle().take(size).collect()
}

/// The large file is written while others are fetched ahead; its retry must not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_wait_for_what_is_fetched_ahead() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    let server = Arc::new(Slow::default());
    let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let mut spec = format!(
        "apiVersion: ferry/v1\nkind: Bundle\nname: b\nversion: \"1\"\nregistries: {{\"{host}\": {{plainHttp: true}}}}\nfiles:\n"
    );
    let mut files: Vec<(Digest, String)> = (0..30)
        .map(|index| format!("/small-{index}.txt"))
        .chain([LARGE.to_owned()])
        .map(|path| (Digest::of(&remote(&path)), path))
        .collect();
    files.sort();
    for (digest, path) in &files {
        let name = &path[1..];
        spec.push_str(&format!("  - {{url: \"http://{host}{path}\", to: {name}, sha256: \"{digest}\"}}\n"));
    }
    std::fs::write(folder.path().join("b.yaml"), spec).unwrap();
    assert_run(folder.path(), &["lock", "b.yaml"], 0);
    // While the one before the large one is waited for, those behind it begin, and are under way when its turn comes.
    let turn = files.iter().position(|(_, path)| path == LARGE).unwrap();
    let delay_of = [(turn - 1, 400), (turn + 1, 2000), (turn + 2, 2000)];
    *server.delays.lock().unwrap() = delay_of
        .map(|(index, delay)| (files[index].1.clone(), Duration::from_millis(delay)))
        .into_iter()
        .collect();
    server.requests_of_large.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let build = ["build", "b.yaml", "--locked", "-o", "b.zst", "-q", "--jobs", "3"];
    let mut child = builder(folder.path(), &build).spawn().unwrap();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > Duration::from_secs(30) => {
                child.kill().unwrap();
                panic!("the build hangs");
            }
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert!(status.success());
    assert!(server.requests_of_large.load(Ordering::Relaxed) > 1, "nothing was tried again");
}

/// What `build --locked` must notice between a spec and its lock, and what it must not.
#[test]
fn a_lock_that_does_not_match_is_refused() {
    let folder = folder(&[("a.tgz", b"a"), ("b.tgz", b"b")]);
    let path = folder.path();
    let spec = std::fs::read_to_string(path.join("b.yaml")).unwrap();
    let write = |text: &str| std::fs::write(path.join("b.yaml"), text).unwrap();
    let locked = ["build", "b.yaml", "--locked", "-o", "b.zst"];
    assert_run(path, &locked, 1);
    assert_run(path, &["lock", "b.yaml"], 0);

    let wrong = "0".repeat(64);
    for changed in [
        spec.replace("to: a.tgz}", &format!("to: a.tgz, sha256: \"{wrong}\"}}")),
        spec.replace("to: a.tgz", "to: c.tgz"),
        spec.replace("name: b\n", "name: c\n"),
        format!("{spec}  - {{path: a.tgz, to: d.tgz}}\n"),
    ] {
        write(&changed);
        let output = assert_run(path, &locked, 1);
        assert!(output.contains("does not match the spec"), "{output}");
    }

    // The same file twice is one file, and no difference for ever.
    write(&format!("{spec}  - {{path: ./a.tgz, to: a.tgz}}\n"));
    assert_run(path, &["lock", "b.yaml"], 0);
    assert_run(path, &locked, 0);
}

#[test]
fn what_is_missing_may_not_become_required_unnoticed() {
    let folder = folder(&[("a.tgz", b"a")]);
    let path = folder.path();
    let spec = std::fs::read_to_string(path.join("b.yaml")).unwrap();
    let optional = format!("{spec}  - {{path: gone.tgz, to: gone.tgz, required: false}}\n");
    std::fs::write(path.join("b.yaml"), &optional).unwrap();
    let output = assert_run(path, &["build", "b.yaml", "-o", "b.zst"], 0);
    assert!(output.contains("MISSING"), "{output}");
    assert!(assert_run(path, &["inspect", "b.zst"], 0).contains("INCOMPLETE"));
    std::fs::write(path.join("b.yaml"), optional.replace(", required: false", "")).unwrap();
    let output = assert_run(path, &["build", "b.yaml", "--locked", "-o", "c.zst"], 1);
    assert!(output.contains("is required, and the lock notes it as missing"), "{output}");
}
