//! `serve` as real clients see it: skopeo, dockerd, containerd, helm 3 and 4, curl.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::Corpus;
use ferry_tests::http::{get, request};
use ferry_tests::parts::{self, Node, free_port, helm, skopeo, wait_for_port};
use ferry_tests::process::{Outcome, Program, Running};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};
use rustix::process::Signal;

/// A bundle that is being served.
struct Served {
    host: String,
    running: Running,
}

impl Served {
    fn start(workspace: &Workspace, address: IpAddr, arguments: &[&str]) -> Result<Self> {
        let host = format!("{address}:{}", free_port(address)?);
        let serve = workspace.installer().args(["serve", "bundle", "--listen", &host]).args(arguments);
        let running = serve.start()?;
        wait_for_port(&host, Duration::from_secs(20))?;
        Ok(Self { host, running })
    }

    /// Ends it as a supervisor would, and returns what it used.
    fn stop(self) -> Result<Outcome> {
        self.running.signal(Signal::TERM)?;
        let outcome = self.running.finish(Duration::from_secs(20))?;
        ensure!(outcome.code == Some(0), "{outcome}");
        Ok(outcome)
    }
}

#[test]
fn real_clients_pull_from_the_bundle_itself() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["skopeo", "helm3", "helm4", "curl"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(81, 80_000))?;
    let workspace = &sample.workspace;
    let node = Node::start()?;
    let plain = Served::start(workspace, node.host_address(), &[])?;
    let secure = node.secure_address();
    let tls =
        Served::start(workspace, secure, &["--tls-generate", &secure.to_string(), "--tls-directory", "tls"])?;
    let authority = find_authority(&workspace.path("tls"))?;

    let hosts = node.trust_for_containerd(&plain.host, None)?;
    node.trust_for_containerd(&tls.host, Some(&authority))?;
    node.trust_for_docker(&tls.host, &authority)?;
    for image in &sample.corpus.images {
        for host in [&plain.host, &tls.host] {
            let reference = format!("{host}/{}", image.name());
            let raw = skopeo()
                .args(["inspect", "--raw", "--tls-verify=false"])
                .arg(format!("docker://{reference}"))
                .succeed()?
                .stdout;
            ensure!(Digest::of(raw.as_bytes()) == image.root, "{reference}: {raw}");
            let copy = workspace.path("copy");
            skopeo()
                .args(["copy", "--all", "--src-tls-verify=false"])
                .arg(format!("docker://{reference}"))
                .arg(format!("dir:{}", copy.display()))
                .succeed()?;
            fs::remove_dir_all(copy)?;
            node.docker().args(["pull", &reference]).succeed()?.prints(&image.root.to_string())?;
            node.ctr_pull(&reference, &hosts).succeed()?;
        }
    }
    for major in [3, 4] {
        helm_pulls(major, &plain.host, &sample)?;
    }
    // curl goes on where it stopped, and trusts the generated authority.
    let (path, content) = &sample.corpus.runtimes[0];
    let part = workspace.write("part", &content[..content.len() / 2])?;
    Program::new("curl")
        .args(["--fail", "--silent", "--show-error", "--continue-at", "-", "--cacert"])
        .arg(&authority)
        .arg("--output")
        .arg(&part)
        .arg(format!("https://{}/files/bkpaas/assets/{path}", tls.host))
        .succeed()?;
    ensure!(fs::read(&part)? == content[..]);
    plain.stop()?;
    tls.stop()?;
    Ok(())
}

/// The authority's certificate among what `serve --tls-generate` keeps.
fn find_authority(folder: &Path) -> Result<std::path::PathBuf> {
    let files: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let named_ca = |path: &&std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("ca") && !name.contains("key")
    };
    files.iter().find(named_ca).cloned().with_context(|| format!("no authority among {files:?}"))
}

/// Pulls each chart from the helm repository and from the registry.
fn helm_pulls(major: u32, host: &str, sample: &Sample) -> Result<()> {
    for chart in &sample.corpus.charts {
        let home = tempfile::tempdir()?;
        let file = home.path().join(chart.file_name());
        let pull = helm(major, home.path())
            .args(["pull", "--version", &chart.version])
            .args(["--destination".as_ref(), home.path().as_os_str()]);
        for repository in [format!("http://{host}/charts"), format!("http://{host}")] {
            pull.clone().args(["--repo", &repository, &chart.name]).succeed()?;
            ensure!(fs::read(&file)? == chart.archive, "helm {major} from {repository}");
            fs::remove_file(&file)?;
        }
        let reference = format!("oci://{host}/charts/{}", chart.name);
        pull.args(["--plain-http", &reference]).succeed()?;
        ensure!(fs::read(&file)? == chart.archive, "helm {major} from {reference}");
    }
    Ok(())
}

#[test]
fn the_root_page_lists_what_is_inside() -> Result<()> {
    let sample = Sample::built(Corpus::small(82, 20_000))?;
    let served = Served::start(&sample.workspace, Ipv4Addr::LOCALHOST.into(), &[])?;
    let url = format!("http://{}", served.host);
    let page = get(&url)?.text();
    for text in ["team/app", "demo", "node-v16.16.0.tar.gz", "docker pull", "helm", "curl"] {
        ensure!(page.contains(text), "the page lacks {text}");
    }
    for foreign in ["src=\"http", "href=\"http://c", "href=\"https://", "@import"] {
        ensure!(!page.contains(foreign), "the page is not self-contained: {foreign}");
    }
    let catalog = get(&format!("{url}/v2/_catalog"))?.json()?;
    ensure!(catalog["repositories"].as_array().is_some_and(|names| names.len() == 6), "{catalog}");
    let tags = get(&format!("{url}/v2/team/app/tags/list"))?.json()?;
    ensure!(tags["tags"] == serde_json::json!(["1.0"]), "{tags}");
    for (method, path) in [("PUT", "/v2/team/app/manifests/1.0"), ("POST", "/v2/team/app/blobs/uploads/")] {
        let reply = request(&method.parse()?, &format!("{url}{path}"), &[], "{}")?;
        ensure!(matches!(reply.status, 403..=405), "{method} {path}: {}", reply.status);
    }
    let unknown = request(&hyper::Method::GET, &format!("{url}/v2/team/none/manifests/1"), &[], "")?;
    ensure!(unknown.status == 404 && unknown.json()?["errors"][0]["code"].is_string());
    served.stop()?;
    Ok(())
}

#[test]
fn many_clients_in_bounded_memory() -> Result<()> {
    let sample = Sample::built(Corpus::small(83, 8_000_000))?;
    // The program that is tested is not the one that is released: what it takes by itself is no measure of what clients cost.
    let idle = Served::start(&sample.workspace, Ipv4Addr::LOCALHOST.into(), &[])?.stop()?.peak_memory;
    let served = Served::start(&sample.workspace, Ipv4Addr::LOCALHOST.into(), &[])?;
    let app = sample.corpus.image("team/app");
    let base = format!("http://{}/v2/team/app/blobs", served.host);
    thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    for digest in app.blobs.keys() {
                        let reply = get(&format!("{base}/{digest}"))?;
                        ensure!(Digest::of(&reply.body) == *digest);
                    }
                    Ok(())
                })
            })
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    let outcome = served.stop()?;
    let clients = outcome.peak_memory.saturating_sub(idle);
    ensure!(clients < 48 << 10, "{clients} KiB for 32 clients, besides {idle} KiB");
    Ok(())
}

#[test]
fn a_damaged_blob_is_not_handed_out() -> Result<()> {
    let sample = Sample::built(Corpus::small(84, 40_000))?;
    let workspace = &sample.workspace;
    let layer = sample.corpus.image("team/app").layers[1].digest;
    let catalog = workspace.catalog("bundle")?;
    let place = catalog.blobs.iter().find(|blob| blob.digest == layer).context("the layer is there")?;
    let mut bytes = fs::read(workspace.path("bundle"))?;
    bytes[(place.offset + place.stored_size / 2) as usize] ^= 1;
    fs::write(workspace.path("bundle"), bytes)?;
    let served = Served::start(workspace, Ipv4Addr::LOCALHOST.into(), &[])?;
    let url = format!("http://{}/v2/team/app/blobs/{layer}", served.host);
    for headers in [&[][..], &[("range", "bytes=10-20")][..]] {
        match request(&hyper::Method::GET, &url, headers, "") {
            // Refused before the head, or broken off before the end: it is not that nobody answers.
            Ok(reply) => ensure!(reply.status >= 500, "{} with {} bytes", reply.status, reply.body.len()),
            Err(error) => get(&format!("http://{}/v2/", served.host)).map(drop).context(error)?,
        }
    }
    served.stop()?;
    Ok(())
}

/// A manifest that somebody wrote with `name@sha256:…` names the index, of which the bundle carries one platform.
#[test]
fn an_image_answers_by_the_digest_that_people_have_pinned() -> Result<()> {
    if !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(87, 20_000))?;
    let (workspace, index) = (&sample.workspace, sample.corpus.image("library/multi"));
    let host = sample.registry.host();
    let spec = format!(
        "platforms: [linux/amd64]\nregistries:\n  {host}: {{plainHttp: true}}\nimages:\n  - {host}/{}\n",
        index.name()
    );
    workspace.spec(&spec)?;
    let catalog = workspace.lock_and_build()?;
    ensure!(catalog.images[0].digest != index.root, "one platform was taken out of the index");

    let pull = |host: &str| {
        let pinned = format!("docker://{host}/library/multi@{}", index.root);
        let copy = workspace.path("copy");
        let copy = format!("dir:{}", copy.display());
        skopeo().args(["copy", "--override-arch=amd64", "--src-tls-verify=false", &pinned, &copy]).succeed()
    };
    let served = Served::start(workspace, Ipv4Addr::LOCALHOST.into(), &[])?;
    pull(&served.host).context("served")?;
    served.stop()?;

    // A registry that does not insist on the other platforms takes the index too; of one that does, it is said.
    let push = |registry: &Registry| {
        let host = registry.host();
        workspace.installer().args(["push", "bundle", "--registry", &host, "--plain-http", &host]).succeed()
    };
    let lenient = Registry::start(Setup { sparse_indexes: true, ..Setup::default() });
    push(&lenient)?;
    pull(&lenient.host()).context("pushed")?;
    push(&Registry::start(Setup::default()))?.says("not by the digest of the index")?;
    Ok(())
}
