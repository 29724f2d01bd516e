//! Pushing into a real registry, and what real clients pull from it afterwards.

use anyhow::{Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, Node, RegistrySetup, helm, skopeo};
use ferry_tests::registry::{Kind, Locations, Registry, Setup};
use ferry_tests::workspace::Sample;

#[test]
fn real_clients_pull_everything_that_was_pushed() -> Result<()> {
    if !parts::ready(&Node::NEEDS)
        || !parts::ready(&["docker-registry", "htpasswd", "skopeo", "helm3", "helm4"])
    {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(71, 80_000))?;
    let node = Node::start()?;
    let address = node.host_address();
    let plain = DockerRegistry::start(&RegistrySetup { address, ..RegistrySetup::default() })?;
    let tls = DockerRegistry::start(&RegistrySetup {
        address: node.secure_address(),
        tls: true,
        login: Some(("u".into(), "p".into())),
        ..RegistrySetup::default()
    })?;
    let workspace = &sample.workspace;
    workspace.login(tls.host(), "u", "p")?;
    let push = || workspace.installer().args(["push", "bundle", "--registry"]);
    push().args([plain.host(), "--plain-http", plain.host()]).succeed()?;
    let prefixed = format!("{}/site", tls.host());
    push().arg(&prefixed).arg("--ca-file").arg(tls.authority()).succeed()?;

    let hosts = node.trust_for_containerd(plain.host(), None)?;
    node.trust_for_containerd(tls.host(), Some(tls.authority()))?;
    node.trust_for_docker(tls.host(), tls.authority())?;
    node.docker().args(["login", "-u", "u", "-p", "p", tls.host()]).succeed()?;
    for image in &sample.corpus.images {
        for front in [plain.host(), &prefixed] {
            let reference = format!("{front}/{}", image.name());
            let raw = skopeo()
                .args(["inspect", "--raw", "--tls-verify=false", "--creds=u:p"])
                .arg(format!("docker://{reference}"))
                .succeed()?
                .stdout;
            ensure!(Digest::of(raw.as_bytes()) == image.root, "{reference}: {raw}");
            let copy = workspace.path("copy");
            skopeo()
                .args(["copy", "--all", "--src-tls-verify=false", "--src-creds=u:p"])
                .arg(format!("docker://{reference}"))
                .arg(format!("dir:{}", copy.display()))
                .succeed()?;
            std::fs::remove_dir_all(copy)?;
            let pull = node.docker().args(["pull", &reference]).succeed()?;
            pull.prints(&image.root.to_string())?;
            node.ctr_pull(&reference, &hosts).args(["--user", "u:p"]).succeed()?;
        }
    }
    for major in [3, 4] {
        for chart in &sample.corpus.charts {
            let home = tempfile::tempdir()?;
            helm(major, home.path())
                .args(["pull", "--plain-http", "--version", &chart.version])
                .arg(format!("oci://{}/charts/{}", plain.host(), chart.name))
                .args(["--destination".as_ref(), home.path().as_os_str()])
                .succeed()?;
            let pulled = std::fs::read(home.path().join(chart.file_name()))?;
            ensure!(pulled == chart.archive, "helm {major} pulled another {}", chart.file_name());
        }
    }

    let again = push().args([plain.host(), "--plain-http", plain.host()]).succeed()?;
    again.prints("uploaded 0 blobs")?;
    Ok(())
}

#[test]
fn a_second_push_uploads_nothing() -> Result<()> {
    let sample = Sample::built(Corpus::small(72, 40_000))?;
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let push =
        sample.workspace.installer().args(["push", "bundle", "--registry", &host, "--plain-http", &host]);
    push.succeed()?;
    let first = registry.counts();
    ensure!(first.of(Kind::UploadMount) > 0, "nothing was mounted: {first:?}");
    let content = registry.content();
    registry.reset_counts();
    push.succeed()?;
    let second = registry.counts();
    ensure!(second.bytes_received == 0, "{second:?}");
    ensure!(registry.content() == content);

    // A registry that lost a blob gets it back when asked to look again.
    registry.clear();
    push.succeed()?;
    ensure!(registry.content() == content);
    Ok(())
}

#[test]
fn each_blob_is_uploaded_once() -> Result<()> {
    let sample = Sample::built(Corpus::small(73, 40_000))?;
    let catalog = sample.workspace.catalog("bundle")?;
    let needed: std::collections::BTreeSet<_> = catalog
        .images
        .iter()
        .flat_map(ferry_model::catalog::Image::all_manifests)
        .chain(catalog.charts.iter().map(|chart| &chart.manifest))
        .flat_map(|manifest| &manifest.blobs)
        .collect();
    let bytes: u64 =
        catalog.blobs.iter().filter(|blob| needed.contains(&blob.digest)).map(|blob| blob.size).sum();
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    sample
        .workspace
        .installer()
        .args(["push", "bundle", "--registry", &host, "--plain-http", &host])
        .succeed()?;
    let counts = registry.counts();
    ensure!(counts.of(Kind::UploadPut) == needed.len() as u64, "{counts:?} for {} blobs", needed.len());
    ensure!(counts.bytes_received < bytes + 50_000, "{counts:?} for {bytes} bytes of blobs");
    Ok(())
}

#[test]
fn registries_with_quirks_get_everything() -> Result<()> {
    let sample = Sample::built(Corpus::small(74, 3_000_000))?;
    for setup in [
        Setup { locations: Locations::Relative, ..Setup::default() },
        Setup { locations: Locations::WithoutPort, ..Setup::default() },
        Setup { mounts: false, ..Setup::default() },
        Setup { referrers: false, ..Setup::default() },
        Setup { digest_header: false, ..Setup::default() },
        // nginx as it comes.
        Setup { largest_body: Some(1 << 20), ..Setup::default() },
    ] {
        let registry = Registry::start(setup.clone());
        let host = registry.host();
        let push =
            sample.workspace.installer().args(["push", "bundle", "--registry", &host, "--plain-http", &host]);
        let outcome = push.run()?;
        ensure!(outcome.code == Some(0), "{setup:?}: {outcome}");
        for image in &sample.corpus.images {
            ensure!(registry.tag(&image.repository, &image.tag) == Some(image.root), "{setup:?}");
        }
    }
    Ok(())
}

#[test]
fn a_damaged_blob_never_reaches_the_registry() -> Result<()> {
    let sample = Sample::built(Corpus::small(75, 40_000))?;
    let workspace = &sample.workspace;
    let layer = sample.corpus.image("team/app").layers[1].digest;
    let catalog = workspace.catalog("bundle")?;
    let Some(place) = catalog.blobs.iter().find(|blob| blob.digest == layer) else {
        anyhow::bail!("the layer is not in the bundle")
    };
    let mut bytes = std::fs::read(workspace.path("bundle"))?;
    bytes[(place.offset + place.stored_size / 2) as usize] ^= 1;
    workspace.write("damaged", bytes)?;
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let push = workspace
        .installer()
        .args(["push", "damaged", "--registry", &host, "--plain-http", &host])
        .fail_with(3)?;
    ensure!(push.to_string().contains(&layer.short()), "the blob is not named: {push}");
    ensure!(registry.tag("team/app", "1.0").is_none(), "the image was tagged without its layer");
    ensure!(!registry.content().contains(&layer.hex()));
    // What is whole went through.
    ensure!(registry.tag("team/web", "2.0").is_some(), "{push}");
    Ok(())
}
