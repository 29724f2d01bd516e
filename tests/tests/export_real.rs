//! `export` as those see it who load what it writes: dockerd, containerd, skopeo. And `serve --htpasswd` as docker
//! sees it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, Node, skopeo};
use ferry_tests::workspace::{Sample, Workspace};

fn export(workspace: &Workspace, image: &str, file: &str, arguments: &[&str]) -> Result<()> {
    let program = workspace.installer().args(["export", "bundle", image, "-o", file]).args(arguments);
    program.succeed().map(drop)
}

#[test]
fn dockerd_and_containerd_load_docker_archives() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(91, 80_000))?;
    let workspace = &sample.workspace;
    let node = Node::start()?;
    for image in &sample.corpus.images {
        let file = workspace.path("image.tar");
        let path = file.display().to_string();
        export(workspace, &image.name(), "image.tar", &["--name", "loaded.corp/x:1"])?;
        let first = Digest::of(&fs::read(&file)?);
        node.docker().args(["load", "--input", &path]).succeed()?.prints("loaded.corp/x:1")?;
        let inspect = node.docker().args(["inspect", "--format", "{{.Id}}", "loaded.corp/x:1"]).succeed()?;
        ensure!(inspect.stdout.trim() == Digest::of(&image.config).to_string(), "{}", image.name());
        node.ctr().args(["images", "import", &path]).succeed()?.prints("loaded.corp/x:1")?;
        let config = skopeo().args(["inspect", "--config", "--raw"]).arg(format!("docker-archive:{path}"));
        ensure!(config.succeed()?.stdout.as_bytes() == image.config, "{}", image.name());
        export(workspace, &image.name(), "image.tar", &["--name", "loaded.corp/x:1"])?;
        ensure!(Digest::of(&fs::read(&file)?) == first, "the same image gives the same bytes");
        ensure!(!Path::new(&format!("{path}.partial")).exists());
    }
    Ok(())
}

#[test]
fn oci_archives_keep_the_digest() -> Result<()> {
    if !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(92, 50_000))?;
    let workspace = &sample.workspace;
    for image in &sample.corpus.images {
        let path = workspace.path("image.tar");
        export(workspace, &image.name(), "image.tar", &["--format", "oci-archive", "--platform", "all"])?;
        let raw = skopeo().args(["inspect", "--raw"]).arg(format!("oci-archive:{}", path.display()));
        let raw = raw.succeed()?.stdout;
        ensure!(Digest::of(raw.as_bytes()) == image.root, "{}: {raw}", image.name());
        let copy = workspace.path("copy");
        let source = format!("oci-archive:{}", path.display());
        skopeo().args(["copy", "--all", &source]).arg(format!("dir:{}", copy.display())).succeed()?;
        fs::remove_dir_all(copy)?;
    }
    let refused = workspace.installer().args(["export", "bundle", "team/ap:1.0", "-o", "x.tar"]).run()?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("team/app:1.0"), "{refused}");
    ensure!(!workspace.path("x.tar").exists() && !workspace.path("x.tar.partial").exists());
    Ok(())
}

#[test]
fn docker_logs_in_where_serve_asks_for_a_password() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["htpasswd"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(93, 20_000))?;
    let workspace = &sample.workspace;
    let node = Node::start()?;
    let users = workspace.path("users");
    parts::htpasswd(&users, "me", "se:cret")?;
    let host = format!("{}:{}", node.host_address(), parts::free_port(node.host_address())?);
    let served =
        workspace.installer().args(["serve", "bundle", "--listen", &host, "--htpasswd", "users"]).start()?;
    parts::wait_for_port(&host, std::time::Duration::from_secs(20))?;
    let reference = format!("{host}/{}", sample.corpus.image("team/app").name());
    let refused = node.docker().args(["pull", &reference]).run()?;
    ensure!(refused.code != Some(0) && refused.stderr.contains("auth"), "{refused}");
    let hosts = node.trust_for_containerd(&host, None)?;
    let pull = |user: &str| {
        node.ctr().args(["images", "pull", "--user", user, "--hosts-dir"]).arg(&hosts).arg(&reference)
    };
    ensure!(pull("me:wrong").run()?.code != Some(0), "containerd pulled with a wrong password");
    pull("me:se:cret").succeed()?;
    node.docker().args(["login", "-u", "me", "-p", "se:cret", &host]).succeed()?;
    node.docker().args(["pull", &reference]).succeed()?;
    served.signal(rustix::process::Signal::TERM)?;
    let outcome = served.finish(std::time::Duration::from_secs(20)).context("serve does not end")?;
    ensure!(!format!("{outcome}").contains("se:cret"), "{outcome}");
    Ok(())
}
