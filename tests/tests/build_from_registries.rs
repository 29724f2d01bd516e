//! `ferry-builder` from registries: what comes out is, by digest, what went in.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ferry_bundle::{Bundle, Trust};
use ferry_model::Digest;
use ferry_tests::corpus::{self, Corpus, Image};
use ferry_tests::parts::{self, DockerRegistry, Node, RegistrySetup};
use ferry_tests::registry::{Auth, Kind, Registry, Setup};
use ferry_tests::workspace::{Workspace, expect_image, image_entries, plain_http};

fn loaded(setup: Setup, corpus: &Corpus) -> Registry {
    let registry = Registry::start(setup);
    for image in &corpus.images {
        registry.load(image);
    }
    registry
}

#[test]
fn from_a_registry_with_each_kind_of_auth() -> Result<()> {
    let corpus = Corpus::small(11, 30_000);
    let token = |anonymous_pull, requests_per_token, fixed_scope| Auth::Token {
        user: "u".into(),
        password: "p".into(),
        anonymous_pull,
        requests_per_token,
        fixed_scope,
    };
    let basic = Auth::Basic { user: "u".into(), password: "p".into() };
    for auth in [
        Auth::None,
        basic,
        token(true, None, false),
        token(false, None, false),
        token(false, Some(10), false),
        token(false, None, true),
    ] {
        let workspace = Workspace::new()?;
        let registry = loaded(Setup { auth: auth.clone(), ..Setup::default() }, &corpus);
        let host = registry.host();
        if !matches!(auth, Auth::None | Auth::Token { anonymous_pull: true, .. }) {
            workspace.login(&host, "u", "p")?;
        }
        let images = image_entries(&host, &corpus.images);
        workspace.spec(&format!("platforms: all\n{}{images}", plain_http(&[&host])))?;
        let catalog = workspace.lock_and_build().with_context(|| format!("{auth:?}"))?;
        for image in &corpus.images {
            expect_image(&catalog, &image.repository, image)?;
        }
        let blobs: std::collections::BTreeSet<_> =
            corpus.images.iter().flat_map(|image| image.blobs.keys()).collect();
        if matches!(auth, Auth::None) {
            // Each blob is asked for once by `build`; `lock` reads configs at most.
            let gets = registry.counts().of(Kind::BlobGet) as usize;
            ensure!(gets <= blobs.len() + 5, "{gets} requests for {} blobs", blobs.len());
        }
    }
    Ok(())
}

#[test]
fn refuses_a_registry_without_the_right_password() -> Result<()> {
    let corpus = Corpus::small(12, 10_000);
    let auth = Auth::Basic { user: "u".into(), password: "p".into() };
    let registry = loaded(Setup { auth, ..Setup::default() }, &corpus);
    let host = registry.host();
    let workspace = Workspace::new()?;
    workspace.spec(&format!("{}{}", plain_http(&[&host]), image_entries(&host, &corpus.images)))?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says(&host)?;
    workspace.login(&host, "u", "wrong")?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says(&host)?;
    ensure!(!workspace.path("spec.lock").exists());
    Ok(())
}

#[test]
fn plain_http_only_where_it_is_spelled_out() -> Result<()> {
    let corpus = Corpus::small(13, 10_000);
    let registry = loaded(Setup::default(), &corpus);
    let host = registry.host();
    let workspace = Workspace::new()?;
    workspace.spec(&image_entries(&host, &corpus.images[..1]))?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says(&host)?;
    workspace.builder().args(["lock", "spec.yaml", "--plain-http", &host]).succeed()?;
    Ok(())
}

#[test]
fn picks_platforms_and_keeps_the_index_checkable() -> Result<()> {
    let corpus = Corpus::small(14, 20_000);
    let registry = loaded(Setup::default(), &corpus);
    let host = registry.host();
    let multi = corpus.image("library/multi");
    let workspace = Workspace::new()?;
    let spec = |platforms: &str| {
        let images = image_entries(&host, std::slice::from_ref(multi));
        workspace.spec(&format!("platforms: {platforms}\n{}{images}", plain_http(&[&host])))
    };
    spec("[linux/arm64]")?;
    let one = workspace.lock_and_build()?;
    ensure!(one.images[0].source_index == Some(multi.root), "{:?}", one.images[0]);
    let platforms: Vec<_> = one.images[0].platforms().map(ToString::to_string).collect();
    ensure!(platforms == ["linux/arm64"], "{platforms:?}");
    let bundle = Bundle::open(&workspace.path("bundle"), &Trust::default())?;
    bundle.read_all(&multi.root, 1 << 20)?;

    spec("all")?;
    fs::remove_file(workspace.path("bundle"))?;
    let all = workspace.lock_and_build()?;
    ensure!(all.images[0].digest == multi.root && all.images[0].manifests.len() == 3);

    spec("[linux/s390x]")?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says("s390x")?;
    Ok(())
}

#[test]
fn checks_a_tag_against_its_digest() -> Result<()> {
    let corpus = Corpus::small(15, 10_000);
    let registry = loaded(Setup::default(), &corpus);
    let (host, app) = (registry.host(), corpus.image("team/app"));
    let workspace = Workspace::new()?;
    let spec = |digest: Digest| {
        workspace.spec(&format!("{}images: [\"{host}/{}@{digest}\"]\n", plain_http(&[&host]), app.name()))
    };
    spec(app.root)?;
    workspace.lock()?;
    let other = corpus.image("team/web").root;
    spec(other)?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(3)?.says(&other.to_string())?;
    Ok(())
}

#[test]
fn brings_signatures_along() -> Result<()> {
    let corpus = Corpus::small(16, 10_000);
    let app = corpus.image("team/app");
    let document = app.root_document();
    let cosign_tag = format!("{}.sig", app.root.to_string().replace(':', "-"));
    let cosign = Image::referrer("team/app", document, "", b"signature").named("team/app", &cosign_tag);
    let sbom = Image::referrer("team/app", document, "application/spdx+json", b"{}");
    for referrers in [true, false] {
        let registry = loaded(Setup { referrers, ..Setup::default() }, &corpus);
        registry.load(&cosign);
        if referrers {
            registry.load(&sbom);
        } else {
            // The fall-back of the distribution spec: an index under a tag made of the digest.
            let tag = app.root.to_string().replace(':', "-");
            registry.load(&Image::referrers_index("team/app", &tag, &sbom));
        }
        let host = registry.host();
        let workspace = Workspace::new()?;
        let images = image_entries(&host, std::slice::from_ref(app));
        workspace.spec(&format!("attachments: true\n{}{images}", plain_http(&[&host])))?;
        let catalog = workspace.lock_and_build()?;
        let attached: Vec<_> =
            catalog.images[0].attachments.iter().map(|attachment| attachment.digest).collect();
        ensure!(attached.contains(&cosign.root), "referrers {referrers}: no cosign tag in {attached:?}");
        ensure!(attached.contains(&sbom.root), "referrers {referrers}: no SBOM in {attached:?}");
    }
    Ok(())
}

#[test]
fn refuses_schema_1() -> Result<()> {
    let mut old = Corpus::small(17, 1000).images.remove(0);
    old.documents[0].media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let registry = Registry::start(Setup::default());
    registry.load(&old);
    let host = registry.host();
    let workspace = Workspace::new()?;
    workspace.spec(&format!("{}{}", plain_http(&[&host]), image_entries(&host, &[old])))?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says("schema 1")?;
    Ok(())
}

#[test]
fn what_is_not_required_may_be_missing_and_says_so() -> Result<()> {
    let corpus = Corpus::small(22, 10_000);
    let registry = loaded(Setup::default(), &corpus);
    let host = registry.host();
    let workspace = Workspace::new()?;
    let spec = |required: bool| {
        workspace.spec(&format!(
            "{}images:\n  - {host}/team/app:1.0\n  - {{image: \"{host}/team/none:1\", required: {required}}}\n",
            plain_http(&[&host])
        ))
    };
    spec(true)?;
    workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?.says("team/none")?;
    spec(false)?;
    let catalog = workspace.lock_and_build()?;
    ensure!(!catalog.is_complete() && catalog.images.len() == 1, "{:?}", catalog.missing);
    workspace.builder().args(["inspect", "bundle"]).succeed()?.prints("team/none")?;
    Ok(())
}

#[test]
fn failures_are_reported_together() -> Result<()> {
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let workspace = Workspace::new()?;
    workspace.spec(&format!(
        "{}images: [{host}/one:1, {host}/two:2]\nfiles:\n  - {{path: three, to: three}}\n",
        plain_http(&[&host])
    ))?;
    let outcome = workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
    outcome.says("one:1")?.says("two:2")?.says("three")?;
    Ok(())
}

#[test]
fn the_lock_is_stable_and_moves_only_what_is_named() -> Result<()> {
    let (old, new) = (Corpus::small(23, 10_000), Corpus::small(24, 10_000));
    let registry = loaded(Setup::default(), &old);
    let host = registry.host();
    let workspace = Workspace::new()?;
    workspace.spec(&format!("{}{}", plain_http(&[&host]), image_entries(&host, &old.images)))?;
    workspace.lock()?;
    let first = fs::read_to_string(workspace.path("spec.lock"))?;
    for image in &new.images {
        registry.load(image);
    }
    workspace.lock()?;
    ensure!(fs::read_to_string(workspace.path("spec.lock"))? == first, "the lock moved by itself");
    let named = format!("{host}/team/app:1.0");
    workspace.builder().args(["lock", "spec.yaml", "--update"]).arg(&named).succeed()?;
    let moved = fs::read_to_string(workspace.path("spec.lock"))?;
    let digest = |corpus: &Corpus, name: &str| corpus.image(name).root.to_string();
    ensure!(moved.contains(&digest(&new, "team/app")) && !moved.contains(&digest(&old, "team/app")));
    ensure!(moved.contains(&digest(&old, "team/web")) && !moved.contains(&digest(&new, "team/web")));
    // Another entry in the spec is not in the lock: `--locked` refuses, and without it the lock follows.
    workspace.spec(&format!(
        "{}{}files: [{{path: note, to: note}}]\n",
        plain_http(&[&host]),
        image_entries(&host, &old.images)
    ))?;
    workspace.write("note", "note")?;
    workspace.builder().args(["build", "spec.yaml", "-o", "b", "--locked"]).fail_with(1)?.says("lock")?;
    workspace.build("b", &[])?;
    Ok(())
}

#[test]
fn from_real_registries_filled_by_a_real_dockerd() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["docker-registry", "htpasswd"]) {
        return Ok(());
    }
    let corpus = Corpus::small(25, 60_000);
    let workspace = Workspace::new()?;
    let names = ["team/app", "team/tools", "team/web"];
    let images: Vec<_> = names.iter().map(|name| corpus.image(name).clone()).collect();
    corpus::write_docker_archive(&workspace.path("saved.tar"), &images)?;
    let node = Node::start()?;
    let address = node.host_address();
    let plain = DockerRegistry::start(&RegistrySetup { address, ..RegistrySetup::default() })?;
    node.docker().arg("load").arg("-i").arg(workspace.path("saved.tar")).succeed()?;
    for image in &images {
        let there = format!("{}/{}", plain.host(), image.name());
        node.docker().args(["tag", &image.name(), &there]).succeed()?;
        node.docker().args(["push", &there]).succeed()?;
    }
    let tls = DockerRegistry::start(&RegistrySetup {
        storage: Some(plain.storage().to_owned()),
        tls: true,
        login: Some(("u".into(), "p".into())),
        ..RegistrySetup::default()
    })?;
    workspace.login(tls.host(), "u", "p")?;
    fs::copy(tls.authority(), workspace.path("ca.pem"))?;
    let entries = |image: &Image| {
        let name = image.name();
        [
            format!("  - {{image: \"{}/{name}\", as: \"plain/{name}\"}}\n", plain.host()),
            format!("  - {{image: \"{}/{name}\", as: \"tls/{name}\"}}\n", tls.host()),
            format!("  - {{image: \"docker-daemon:{name}\", as: \"daemon/{name}\"}}\n"),
        ]
        .concat()
    };
    workspace.spec(&format!(
        "registries:\n  {}: {{plainHttp: true}}\n  {}: {{caFile: ca.pem}}\nimages:\n{}",
        plain.host(),
        tls.host(),
        images.iter().map(entries).collect::<String>()
    ))?;
    let daemon = node.docker_host();
    workspace.builder().env("DOCKER_HOST", &daemon).args(["lock", "spec.yaml"]).succeed()?;
    workspace
        .builder()
        .env("DOCKER_HOST", &daemon)
        .args(["build", "spec.yaml", "-o", "bundle", "--locked"])
        .succeed()?;
    workspace.builder().args(["verify", "bundle"]).succeed()?;
    let catalog = workspace.catalog("bundle")?;
    for image in &images {
        let config = Digest::of(&image.config);
        for from in ["plain", "tls", "daemon"] {
            let repository = format!("{from}/{}", image.repository);
            let found = catalog.images.iter().find(|found| found.repository == repository);
            let root = found.and_then(|found| found.root()).context(repository)?;
            ensure!(root.blobs.contains(&config), "{from} {}: another config", image.name());
        }
    }
    Ok(())
}
