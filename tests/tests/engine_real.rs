//! Containers as `ferry_transfer::Daemon` brings them up in a real dockerd.

use std::io::{Cursor, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use ferry_model::event::Events;
use ferry_model::failure::{Class, Failure as _};
use ferry_tests::parts::{self, Node};
use ferry_transfer::{
    Bind, BlobSource, ChunkReader, ContainerSpec, Daemon, Network, Options, Restart, SourceError,
};
use tokio::runtime::Runtime;

/// A source that is in memory.
struct Memory(Bytes);

impl BlobSource for Memory {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        Ok(Box::new(Chunks(Cursor::new(self.0.slice(from as usize..)))))
    }
}

struct Chunks(Cursor<Bytes>);

impl ChunkReader for Chunks {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        let mut chunk = Vec::new();
        (&mut self.0).take(64 << 10).read_to_end(&mut chunk).expect("reading memory");
        Ok(Some(Bytes::from(chunk)).filter(|chunk| !chunk.is_empty()))
    }
}

async fn load(daemon: &Daemon, archive: Vec<u8>) -> Result<Vec<String>, ferry_transfer::Error> {
    let size = archive.len() as u64;
    let task = Events::none().start("load", Some(size));
    daemon.load(Arc::new(Memory(archive.into())), size, &task).await
}

/// The interpreter and all libraries of these programs of this machine, as an image `shell:1`.
fn shell_image() -> Result<Vec<u8>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for program in ["/bin/sh", "/bin/sleep"] {
        files.push(program.into());
        let libraries = std::process::Command::new("ldd").arg(program).output()?;
        let text = String::from_utf8(libraries.stdout)?;
        let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(paths.map(PathBuf::from));
    }
    files.sort();
    files.dedup();
    let mut layer = tar::Builder::new(Vec::new());
    for file in &files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        append(&mut layer, &file.strip_prefix("/")?.display().to_string(), &bytes)?;
    }
    let layer = layer.into_inner()?;
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Labels": {"of-image": "yes"}},
        "rootfs": {"type": "layers", "diff_ids": [ferry_model::Digest::of(&layer)]},
    });
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "layer.tar", &layer)?;
    append(&mut archive, "config.json", config.to_string().as_bytes())?;
    let manifest = r#"[{"Config":"config.json","RepoTags":["shell:1"],"Layers":["layer.tar"]}]"#;
    append(&mut archive, "manifest.json", manifest.as_bytes())?;
    Ok(archive.into_inner()?)
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, path, content)?)
}

#[test]
fn a_container_from_its_archive_to_its_end() -> Result<()> {
    if !parts::ready(&Node::NEEDS) {
        return Ok(());
    }
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    Runtime::new()?.block_on(async {
        let daemon = Daemon::at(&node.docker_host(), &Options::default())?;
        ensure!(!daemon.describe().await?.version.is_empty());
        images(&daemon).await?;
        let spec = ContainerSpec {
            image: "shell:1".into(),
            command: ["/bin/sh", "-c", "echo $GREETING; echo >/data/seen; exec sleep 100"]
                .map(String::from)
                .into(),
            environment: [("GREETING".to_owned(), "hello there".to_owned())].into(),
            binds: vec![Bind { source: folder.path().to_owned(), target: "/data".into(), read_only: false }],
            labels: [("ferry".to_owned(), "1".to_owned())].into(),
            restart: Restart::UnlessStopped,
            read_only_root: true,
            user: Some("0:0".into()),
            network: Network::None,
            ports: Vec::new(),
        };
        ensure!(daemon.inspect_container("one").await?.is_none());
        let id = daemon.create_container("one", &spec).await?;
        let created = daemon.inspect_container("one").await?.context("it was created")?;
        ensure!(created.id == id && created.name == "one" && !created.running, "{created:?}");
        ensure!(created.image == "shell:1" && created.labels["ferry"] == "1", "{created:?}");
        ensure!(Some(created.image_id) == daemon.image_id("shell:1").await?);
        let twice = daemon.create_container("one", &spec).await.err().context("it must fail")?;
        ensure!(twice.status() == Some(409) && twice.to_string().contains("in use"), "{twice}");

        ensure!(daemon.start_container("one").await? && !daemon.start_container("one").await?);
        parts::wait_until(Duration::from_secs(20), "the container does nothing", || {
            folder.path().join("seen").exists()
        })?;
        let running = daemon.inspect_container(&id).await?.context("it runs")?;
        ensure!(running.running && running.status == "running", "{running:?}");
        ensure!(daemon.last_lines("one", 5).await? == "hello there\n");
        daemon.rename_container("one", "two").await?;
        ensure!(daemon.inspect_container("one").await?.is_none());
        let used = daemon.remove_image("shell:1").await.err().context("it must fail")?;
        ensure!(used.status() == Some(409) && used.class() == Class::Local, "{used}");

        let limit = Duration::from_secs(1);
        ensure!(daemon.stop_container("two", limit).await? && !daemon.stop_container("two", limit).await?);
        let stopped = daemon.inspect_container("two").await?.context("it is stopped")?;
        ensure!(!stopped.running && stopped.status == "exited", "{stopped:?}");
        failing(&daemon, &spec).await?;
        ensure!(daemon.remove_container("two").await? && !daemon.remove_container("two").await?);
        ensure!(daemon.remove_image("shell:1").await? && !daemon.remove_image("shell:1").await?);
        Ok(())
    })
}

async fn images(daemon: &Daemon) -> Result<()> {
    let no_archive = load(daemon, b"no archive at all".repeat(5000)).await.err().context("it must fail")?;
    ensure!(no_archive.to_string().starts_with("docker cannot load the image: "), "{no_archive}");
    let mut cut = tar::Builder::new(Vec::new());
    append(&mut cut, "manifest.json", br#"[{"Config":"none.json","Layers":["none.tar"]}]"#)?;
    let cut = load(daemon, cut.into_inner()?).await.err().context("it must fail")?;
    ensure!(cut.to_string().contains("none.json"), "{cut}");

    ensure!(load(daemon, shell_image()?).await? == ["shell:1"]);
    daemon.tag_image("shell:1", "here.corp/a/b", "2").await?;
    ensure!(daemon.image_id("here.corp/a/b:2").await? == daemon.image_id("shell:1").await?);
    ensure!(daemon.remove_image("here.corp/a/b:2").await?);
    ensure!(daemon.image_id("here.corp/a/b:2").await?.is_none());
    ensure!(daemon.image_id("shell:1").await?.is_some());
    Ok(())
}

/// What cannot be made or started says why, at once.
async fn failing(daemon: &Daemon, good: &ContainerSpec) -> Result<()> {
    let absent = ContainerSpec { image: "none:1".into(), ..good.clone() };
    let absent = daemon.create_container("three", &absent).await.err().context("it must fail")?;
    ensure!(absent.class() == Class::NotFound && absent.to_string().contains("none:1"), "{absent}");
    let no_program = ContainerSpec { command: vec!["/none".into()], ..good.clone() };
    daemon.create_container("three", &no_program).await?;
    let begun = std::time::Instant::now();
    let no_program = daemon.start_container("three").await.err().context("it must fail")?;
    ensure!(no_program.to_string().starts_with("docker cannot start the container three: "), "{no_program}");
    ensure!(no_program.to_string().contains("/none") && begun.elapsed() < Duration::from_secs(10));
    ensure!(daemon.remove_container("three").await?);
    Ok(())
}
