//! The tests' own ground: the fakes as real clients see them, and the real parts on their own.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use ferry_model::Digest;
use ferry_tests::corpus::{self, Corpus, index_yaml};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::parts::{self, DockerRegistry, Node, RegistrySetup, helm, skopeo};
use ferry_tests::proxy::{Fault, Faults, Proxy};
use ferry_tests::registry::{Auth, Kind, Locations, Registry, Setup};

#[test]
fn skopeo_copies_through_the_fake_registry() -> Result<()> {
    if !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let corpus = Corpus::small(1, 60_000);
    let folder = tempfile::tempdir()?;
    let token = Auth::Token {
        user: "u".into(),
        password: "p".into(),
        anonymous_pull: false,
        requests_per_token: None,
        fixed_scope: false,
    };
    let basic = Auth::Basic { user: "u".into(), password: "p".into() };
    for (auth, locations) in
        [(Auth::None, Locations::Relative), (basic, Locations::Absolute), (token, Locations::Absolute)]
    {
        let registry = Registry::start(Setup { auth, locations, ..Setup::default() });
        corpus.images.iter().for_each(|image| registry.load(image));
        for image in &corpus.images {
            let source = format!("docker://{}/{}", registry.host(), image.name());
            let copy = |from: &str, to: &str| {
                skopeo()
                    .args(["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"])
                    .args(["--src-creds=u:p", "--dest-creds=u:p", "--preserve-digests"])
                    .args([from, to])
                    .succeed()
            };
            let layout = format!("oci:{}:{}", folder.path().display(), image.name());
            copy(&source, &layout)?;
            let other = format!("docker://{}/copy/{}", registry.host(), image.name());
            copy(&source, &other)?;
            ensure!(registry.tag(&format!("copy/{}", image.repository), &image.tag) == Some(image.root));
        }
        ensure!(registry.counts().of(Kind::BlobGet) > 0 && registry.counts().of(Kind::ManifestPut) > 0);
    }
    Ok(())
}

#[test]
fn a_lying_registry_is_caught_by_skopeo() -> Result<()> {
    if !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let corpus = Corpus::small(2, 60_000);
    let app = corpus.image("team/app");
    let registry = Registry::start(Setup::default());
    registry.load(app);
    let layer = app.layers[0].digest;
    registry.replace_content(layer, Bytes::from_static(b"something else"));
    let folder = tempfile::tempdir()?;
    let copy = skopeo()
        .args(["copy", "--src-tls-verify=false"])
        .arg(format!("docker://{}/{}", registry.host(), app.name()))
        .arg(format!("oci:{}:a", folder.path().display()))
        .run()?;
    ensure!(copy.code != Some(0), "{copy}");
    Ok(())
}

#[test]
fn written_images_are_what_skopeo_reads() -> Result<()> {
    if !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let corpus = Corpus::small(3, 60_000);
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    corpus::write_oci_layout(&path("layout"), &corpus.images)?;
    corpus::write_oci_archive(&path("archive.tar"), &corpus.images[..1])?;
    corpus::write_docker_archive(&path("docker.tar"), &corpus.images[2..])?;
    let digest = |source: String| -> Result<Digest> {
        let inspected = skopeo().args(["inspect", "--raw", &source]).succeed()?;
        Ok(Digest::of(inspected.stdout.as_bytes()))
    };
    // skopeo 1.9 finds no image by name in a layout when its media type is docker's.
    for image in corpus.images.iter().filter(|image| image.repository != "team/web") {
        ensure!(digest(format!("oci:{}:{}", path("layout").display(), image.name()))? == image.root);
    }
    let first = &corpus.images[0];
    ensure!(digest(format!("oci-archive:{}:{}", path("archive.tar").display(), first.name()))? == first.root);
    let web = corpus.image("team/web");
    let source = format!("docker-archive:{}:{}", path("docker.tar").display(), web.name());
    skopeo().args(["copy", &source]).arg(format!("dir:{}", path("dir").display())).succeed()?;
    Ok(())
}

#[test]
fn helm_reads_sample_charts() -> Result<()> {
    if !parts::ready(&["helm3", "helm4"]) {
        return Ok(());
    }
    let corpus = Corpus::small(4, 1000);
    let files = Files::start(FilesSetup::default());
    files.add_charts("charts", &corpus.charts);
    for major in [3, 4] {
        let home = tempfile::tempdir()?;
        let chart = &corpus.charts[0];
        helm(major, home.path())
            .args(["pull", &chart.name, "--version", &chart.version, "--repo"])
            .arg(format!("{}/charts", files.url()))
            .args(["--destination".as_ref(), home.path().as_os_str()])
            .succeed()?;
        ensure!(fs::read(home.path().join(chart.file_name()))? == chart.archive);
    }
    ensure!(index_yaml(&corpus.charts).contains(&corpus.charts[0].digest().hex()));
    ensure!(corpus::large_index_yaml(&corpus.charts, 1 << 20).len() >= 1 << 20);
    Ok(())
}

#[test]
fn a_node_pulls_from_a_registry_on_its_host() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["docker-registry", "htpasswd"]) {
        return Ok(());
    }
    let corpus = Corpus::small(5, 60_000);
    let node = Node::start()?;
    let address = node.host_address();
    let plain = DockerRegistry::start(&RegistrySetup { address, ..RegistrySetup::default() })?;
    for image in &corpus.images {
        plain.push(image)?;
    }
    let hosts = node.trust_for_containerd(plain.host(), None)?;
    for image in &corpus.images {
        let reference = format!("{}/{}", plain.host(), image.name());
        node.docker().args(["pull", &reference]).succeed()?;
        node.ctr_pull(&reference, &hosts).succeed()?;
    }
    let tls = DockerRegistry::start(&RegistrySetup {
        address: node.secure_address(),
        storage: Some(plain.storage().to_owned()),
        tls: true,
        login: Some(("u".into(), "p".into())),
    })?;
    let reference = format!("{}/{}", tls.host(), corpus.images[0].name());
    node.docker().args(["pull", &reference]).fail_with(1)?.says("certificate")?;
    node.trust_for_docker(tls.host(), tls.authority())?;
    node.docker().args(["login", "-u", "u", "-p", "p", tls.host()]).succeed()?;
    node.docker().args(["pull", &reference]).succeed()?;
    let hosts = node.trust_for_containerd(tls.host(), Some(tls.authority()))?;
    node.ctr_pull(&reference, &hosts).args(["--user", "u:p"]).succeed()?;
    Ok(())
}

#[test]
fn a_stalled_transfer_stays_open() -> Result<()> {
    let files = Files::start(FilesSetup::default());
    files.add("a", vec![0; 500_000]);
    let proxy = Proxy::start(&files.host());
    proxy.misbehave(1, Faults { stall: 100, ..Faults::default() });
    let running = ferry_tests::process::Program::new("curl")
        .args(["-s", "--max-time", "1", "-o", "/dev/null"])
        .arg(format!("http://{}/a", proxy.host()))
        .limit(Duration::from_secs(10))
        .run()?;
    ensure!(running.code == Some(28), "{running}");
    ensure!(proxy.injected() == [Fault::Stall]);
    Ok(())
}
