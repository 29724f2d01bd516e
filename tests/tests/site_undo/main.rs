//! Taking images back from a registry that is there already: with all that a push changes beside the names that it was asked
//! for, and without asking more often than there are images.

mod half;
mod platforms;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{Corpus, Dialect, Image, ImageSetup, Layer};
use ferry_tests::http::{Reply, get, request};
use ferry_tests::parts::{self, DockerRegistry, RegistrySetup};
use ferry_tests::process::Program;
use ferry_tests::registry::{Kind, Registry, Setup};
use ferry_tests::workspace::{Workspace, image_entries, plain_http};
use hyper::{Method, StatusCode};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn installer(workspace: &Workspace, arguments: &[&str]) -> Program {
    workspace.installer().args(arguments)
}

/// Writes `site.yaml` for the registry at `host`.
fn plain(workspace: &Workspace, host: &str) -> Result<()> {
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
    let text = format!("{head}  address: {host}\n  existing: {{}}\n  plainHttp: true\n");
    workspace.write("site.yaml", text).map(drop)
}

/// Puts a manifest, which must be taken.
fn put(url: &str, kind: &str, bytes: impl Into<bytes::Bytes>) -> Result<Reply> {
    let reply = request(&Method::PUT, url, &[("content-type", kind)], bytes)?;
    ensure!(reply.status == 201, "PUT {url}: {} {}", reply.status, reply.text());
    Ok(reply)
}

/// `team/app` with an SBOM that only a list of referrers leads to, as a bundle.
fn attached_bundle(seed: u64) -> Result<(Workspace, Image, Image)> {
    let corpus = Corpus::small(seed, 10_000);
    let app = corpus.image("team/app");
    let sbom = Image::referrer("team/app", app.root_document(), "application/spdx+json", b"{}");
    let source = Registry::start(Setup::default());
    source.load(app);
    source.load(&sbom);
    let workspace = Workspace::new()?;
    let images = image_entries(&source.host(), std::slice::from_ref(app));
    workspace.spec(&format!("attachments: true\n{}{images}", plain_http(&[&source.host()])))?;
    workspace.lock_and_build()?;
    Ok((workspace, app.clone(), sbom))
}

#[test]
fn lists_of_referrers_come_back_byte_for_byte() -> Result<()> {
    if !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let (workspace, app, sbom) = attached_bundle(330)?;
    let tag = app.root.to_string().replace(':', "-");
    // With white space that nobody would write again.
    let theirs = format!(
        "{{\n \"schemaVersion\": 2,\n \"mediaType\": \"{INDEX}\",\n \"manifests\": [ {{\"mediaType\": \
         \"application/vnd.oci.image.manifest.v1+json\", \"digest\": \"{}\", \"size\": {} }} ]}}\n",
        app.root,
        app.root_document().bytes.len()
    );
    for had_list in [false, true] {
        let registry = DockerRegistry::start(&RegistrySetup::default())?;
        let url = |reference: &str| format!("http://{}/v2/team/app/manifests/{reference}", registry.host());
        let read = |reference: &str| -> Result<Option<String>> {
            let headers = [("accept", INDEX), ("accept", "application/vnd.oci.image.manifest.v1+json")];
            let answer = request(&Method::GET, &url(reference), &headers, "")?;
            Ok((answer.status == 200).then(|| answer.text()))
        };
        if had_list {
            registry.push(&app)?;
            put(&url(&tag), INDEX, theirs.clone())?;
        }
        plain(&workspace, registry.host())?;
        installer(&workspace, &["apply", "bundle"]).succeed()?;
        let listed = read(&tag)?.context("the push has listed the SBOM")?;
        ensure!(listed.contains(&sbom.root.to_string()) && listed != theirs, "{listed}");
        installer(&workspace, &["rollback"]).succeed()?.prints("undone")?;
        ensure!(read(&tag)? == had_list.then(|| theirs.clone()), "{:?}", read(&tag)?);
        let (list, sbom) = (Digest::of(listed.as_bytes()).to_string(), sbom.root.to_string());
        ensure!(read(&list)?.is_none() && read(&sbom)?.is_none(), "what the run made is gone");
        ensure!(read(&app.root.to_string())?.is_some() == had_list);
        fs::remove_dir_all(workspace.path("site.ferry"))?;
    }
    Ok(())
}

#[test]
fn what_others_listed_since_stays_on_the_list() -> Result<()> {
    let (workspace, app, sbom) = attached_bundle(331)?;
    let registry = Registry::start(Setup { referrers: false, ..Setup::default() });
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    let tag = app.root.to_string().replace(':', "-");
    let url = format!("http://{}/v2/team/app/manifests/{tag}", registry.host());
    let read = || get(&url)?.json();
    let mut list = read()?;
    let scan = Image::referrer("team/app", app.root_document(), "application/vnd.scan", b"[]");
    registry.load(&scan);
    let entry =
        serde_json::json!({"mediaType": scan.root_document().media_type, "digest": scan.root, "size": 1});
    list["manifests"].as_array_mut().context("a list")?.push(entry.clone());
    put(&url, INDEX, list.to_string())?;
    installer(&workspace, &["rollback"]).succeed()?;
    let left = read()?;
    ensure!(left["manifests"] == serde_json::json!([entry]), "{left:#}");
    ensure!(!registry.content().contains(&sbom.root.to_string()), "{}", registry.content());
    Ok(())
}

#[test]
fn pinned_indexes_go_with_what_brought_them() -> Result<()> {
    let corpus = Corpus::small(332, 10_000);
    let multi = corpus.image("library/multi");
    let source = Registry::start(Setup::default());
    source.load(multi);
    let workspace = Workspace::new()?;
    let images = image_entries(&source.host(), std::slice::from_ref(multi));
    workspace.spec(&format!("platforms: [linux/amd64]\n{}{images}", plain_http(&[&source.host()])))?;
    workspace.lock_and_build()?;
    for was_there in [false, true] {
        let registry = Registry::start(Setup { sparse_indexes: true, ..Setup::default() });
        let url = format!("http://{}/v2/library/multi/manifests/{}", registry.host(), multi.root);
        if was_there {
            let document = multi.root_document();
            put(&url, document.media_type, document.bytes.clone())?;
        }
        let before = manifests(&registry);
        plain(&workspace, &registry.host())?;
        installer(&workspace, &["apply", "bundle"]).succeed()?;
        ensure!(manifests(&registry).contains(&multi.root.to_string()), "{}", registry.content());
        installer(&workspace, &["rollback"]).succeed()?.prints("undone")?;
        ensure!(manifests(&registry) == before, "{}", registry.content());
        fs::remove_dir_all(workspace.path("site.ferry"))?;
    }
    Ok(())
}

/// What a registry holds but for blobs, which only its own cleaning removes.
fn manifests(registry: &Registry) -> String {
    registry.content().lines().filter(|line| !line.contains(" blob ")).collect::<Vec<_>>().join("\n")
}

/// So many images of one repository.
fn many(count: usize) -> Result<(Workspace, Registry)> {
    let source = Registry::start(Setup::default());
    let layer = [Arc::new(Layer::plain(340, 500, 50))];
    let images: Vec<Image> = (0..count)
        .map(|number| {
            let setup = ImageSetup {
                repository: "team/app",
                tag: &number.to_string(),
                dialect: Dialect::Oci,
                platform: "linux/amd64",
            };
            Image::single(
                &setup,
                &[&layer[..], &[Arc::new(Layer::plain(1000 + number as u64, 40, 50))]].concat(),
            )
        })
        .collect();
    for image in &images {
        source.load(image);
    }
    let workspace = Workspace::new()?;
    workspace.spec(&format!(
        "{}{}",
        plain_http(&[&source.host()]),
        image_entries(&source.host(), &images)
    ))?;
    workspace.lock_and_build()?;
    Ok((workspace, source))
}

#[test]
fn taking_many_images_back_asks_for_the_tags_once() -> Result<()> {
    const COUNT: u64 = 1000;
    const OTHERS: u64 = 20;
    let (workspace, _source) = many(COUNT as usize)?;
    let registry = Registry::start(Setup::default());
    for number in 0..OTHERS {
        let tag = format!("theirs-{number}");
        let setup =
            ImageSetup { repository: "team/app", tag: &tag, dialect: Dialect::Oci, platform: "linux/amd64" };
        registry.load(&Image::single(&setup, &[Arc::new(Layer::plain(number, 40, 50))]));
    }
    let before = manifests(&registry);
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    registry.reset_counts();
    installer(&workspace, &["rollback"]).succeed()?.prints("undone")?;
    let counts = registry.counts();
    ensure!(counts.of(Kind::Tags) == 1, "{counts:?}");
    ensure!(counts.of(Kind::ManifestDelete) == COUNT, "{counts:?}");
    // Each image is looked at once, and each tag of others.
    ensure!(counts.of(Kind::ManifestHead) == COUNT + OTHERS, "{counts:?}");
    ensure!(counts.of(Kind::ManifestGet) == 0, "{counts:?}");
    ensure!(manifests(&registry) == before, "what others have is as it was");
    Ok(())
}

#[test]
fn many_images_at_once_leave_a_real_registry_as_it_was() -> Result<()> {
    if !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let (workspace, _source) = many(40)?;
    let registry = DockerRegistry::start(&RegistrySetup::default())?;
    let theirs = Corpus::small(333, 1000).image("team/app").named("team/app", "theirs");
    registry.push(&theirs)?;
    plain(&workspace, registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    installer(&workspace, &["rollback"]).succeed()?.prints("undone")?;
    let tags = get(&format!("http://{}/v2/team/app/tags/list", registry.host()))?.json()?;
    ensure!(tags["tags"] == serde_json::json!(["theirs"]), "{tags}");
    let theirs = format!("http://{}/v2/team/app/manifests/{}", registry.host(), theirs.root);
    let accept = [("accept", "application/vnd.oci.image.manifest.v1+json")];
    ensure!(request(&Method::GET, &theirs, &accept, "")?.status == 200);
    Ok(())
}

/// The registry has taken the image, and the step failed all the same: its own tag is in nobody's way.
#[test]
fn an_image_whose_proof_failed_is_taken_back() -> Result<()> {
    let (workspace, _source) = many(3)?;
    let registry = Registry::start(Setup::default());
    plain(&workspace, &registry.host())?;
    let taken = AtomicBool::new(false);
    registry.fail_when(move |kind, path, _| {
        let is_it = path.ends_with("/manifests/1");
        if is_it && kind == Kind::ManifestPut {
            taken.store(true, Ordering::Relaxed);
        }
        let fails = is_it && kind == Kind::ManifestHead && taken.load(Ordering::Relaxed);
        fails.then_some(StatusCode::FORBIDDEN)
    });
    installer(&workspace, &["apply", "bundle"]).fail_with(1)?.prints("1 failed")?;
    registry.heal();
    ensure!(registry.tag("team/app", "1").is_some(), "the registry has it");
    installer(&workspace, &["rollback"]).succeed()?.prints("3 undone")?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    Ok(())
}
