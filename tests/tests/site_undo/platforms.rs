//! Images of several platforms, and tags that named something else before.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{Corpus, Image};
use ferry_tests::http::request;
use ferry_tests::parts::{self, DockerRegistry, RegistrySetup};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Workspace, image_entries, plain_http};
use hyper::Method;

use super::{INDEX, installer, manifests, plain, put};

/// `library/multi` for all its platforms, as a bundle.
fn multi_bundle(seed: u64) -> Result<(Workspace, Image)> {
    let multi = Corpus::small(seed, 10_000).image("library/multi").clone();
    let source = Registry::start(Setup::default());
    source.load(&multi);
    let workspace = Workspace::new()?;
    let images = image_entries(&source.host(), std::slice::from_ref(&multi));
    workspace.spec(&format!("platforms: all\n{}{images}", plain_http(&[&source.host()])))?;
    workspace.lock_and_build()?;
    Ok((workspace, multi))
}

/// The images of single platforms below an index.
fn children(index: &Image) -> Vec<Digest> {
    index.documents.iter().map(|document| document.digest).filter(|&digest| digest != index.root).collect()
}

#[test]
fn an_index_goes_with_its_platforms_from_a_real_registry() -> Result<()> {
    if !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let (workspace, multi) = multi_bundle(334)?;
    let registry = DockerRegistry::start(&RegistrySetup::default())?;
    plain(&workspace, registry.host())?;
    let has = |digest: &Digest| -> Result<bool> {
        let url = format!("http://{}/v2/library/multi/manifests/{digest}", registry.host());
        let accept = multi.documents.iter().map(|document| ("accept", document.media_type));
        Ok(request(&Method::GET, &url, &accept.collect::<Vec<_>>(), "")?.status == 200)
    };
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    let all = [children(&multi), vec![multi.root]].concat();
    ensure!(all.len() > 2, "it has platforms");
    for digest in &all {
        ensure!(has(digest)?, "{digest} was pushed");
    }
    let undone = installer(&workspace, &["rollback"]).succeed()?;
    undone.prints("by hand: ")?.prints("garbage collection")?;
    for digest in &all {
        ensure!(!has(digest)?, "{digest} stays");
    }
    Ok(())
}

#[test]
fn platforms_that_others_have_stay() -> Result<()> {
    let (workspace, multi) = multi_bundle(335)?;
    let [first, second, ..] = children(&multi)[..] else { anyhow::bail!("it has platforms") };
    let put_child = |registry: &Registry, digest: Digest, reference: &str| {
        let document =
            multi.documents.iter().find(|document| document.digest == digest).context("it has it")?;
        let url = format!("http://{}/v2/library/multi/manifests/{reference}", registry.host());
        put(&url, document.media_type, document.bytes.clone()).map(drop)
    };
    let lacking = || Registry::start(Setup { sparse_indexes: true, ..Setup::default() });

    // One was there before, under no tag.
    let registry = lacking();
    registry.load(&multi);
    let all = manifests(&registry);
    let url = |digest: Digest| format!("http://{}/v2/library/multi/manifests/{digest}", registry.host());
    for digest in [vec![multi.root], children(&multi)].concat() {
        if digest != first {
            request(&Method::DELETE, &url(digest), &[], "")?;
        }
    }
    let before = manifests(&registry);
    ensure!(before.lines().count() == 1, "{before}");
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    ensure!(manifests(&registry) == all, "{}", manifests(&registry));
    installer(&workspace, &["rollback"]).succeed()?;
    ensure!(manifests(&registry) == before, "{}", manifests(&registry));
    fs::remove_dir_all(workspace.path("site.ferry"))?;

    // Since the run, somebody has tagged one, and put the other into an index.
    let registry = lacking();
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    put_child(&registry, first, "mine")?;
    let entry = serde_json::json!({"mediaType": multi.documents[0].media_type, "digest": second, "size": 1});
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let url = format!("http://{}/v2/library/multi/manifests/my-index", registry.host());
    put(&url, INDEX, index.to_string())?;
    let left = installer(&workspace, &["rollback"]).fail_with(1)?;
    left.prints("is also tagged mine")?.prints("it is part of what is tagged my-index")?;
    ensure!(registry.tag("library/multi", &multi.tag).is_none(), "the run's tag is gone");
    let left = manifests(&registry);
    ensure!(left.contains(&first.to_string()) && left.contains(&second.to_string()), "{left}");
    ensure!(!left.contains(&multi.root.to_string()), "{left}");
    Ok(())
}

/// A tag that was moved names what it named before, though the registry was cleaned up meanwhile.
#[test]
fn a_tag_that_was_moved_comes_back_from_what_was_kept() -> Result<()> {
    if !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let (workspace, multi) = multi_bundle(336)?;
    let theirs = Corpus::small(337, 5000).image("library/multi").named("library/multi", &multi.tag);
    ensure!(theirs.root != multi.root);
    for loses_layers in [false, true] {
        let registry = DockerRegistry::start(&RegistrySetup::default())?;
        registry.push(&theirs)?;
        let call = |method: &Method, path: &str| {
            let accept = theirs.documents.iter().map(|document| ("accept", document.media_type));
            let url = format!("http://{}/v2/library/multi/{path}", registry.host());
            request(method, &url, &accept.collect::<Vec<_>>(), "")
        };
        plain(&workspace, registry.host())?;
        installer(&workspace, &["apply", "bundle"]).succeed()?;
        for document in &theirs.documents {
            let deleted = call(&Method::DELETE, &format!("manifests/{}", document.digest))?;
            ensure!(deleted.status == 202, "{}", deleted.text());
        }
        let layer = theirs.layers[0].digest;
        if loses_layers {
            ensure!(call(&Method::DELETE, &format!("blobs/{layer}"))?.status == 202);
            let left = installer(&workspace, &["rollback"]).fail_with(1)?;
            left.prints("no longer has all that belongs to that")?.prints("its manifest is kept in")?;
            let state = installer(&workspace, &["status"]).run()?;
            state.prints("undone in part")?;
        } else {
            installer(&workspace, &["rollback"]).succeed()?.prints("1 undone")?;
            let tag = call(&Method::GET, &format!("manifests/{}", theirs.tag))?;
            ensure!(tag.status == 200 && Digest::of(tag.text().as_bytes()) == theirs.root, "{}", tag.text());
            for child in children(&theirs) {
                ensure!(call(&Method::GET, &format!("manifests/{child}"))?.status == 200, "{child} is back");
            }
        }
        // What the run brought is gone, or whole where the tag still names it.
        for digest in [children(&multi), vec![multi.root]].concat() {
            let is_there = call(&Method::GET, &format!("manifests/{digest}"))?.status == 200;
            ensure!(is_there == loses_layers, "{digest}: {is_there}");
        }
        fs::remove_dir_all(workspace.path("site.ferry"))?;
    }
    Ok(())
}
