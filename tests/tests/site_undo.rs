//! Taking images back from a registry that is there already: with all that a push changes beside the names that it was asked
//! for, and without asking more often than there are images.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{Corpus, Dialect, Image, ImageSetup, Layer};
use ferry_tests::http::{Reply, get, request};
use ferry_tests::parts::{self, DockerRegistry, RegistrySetup};
use ferry_tests::process::Program;
use ferry_tests::registry::{Auth, Counts, Kind, Registry, Setup};
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

/// A site that 30 images were put into, with a registry that deletes ten manifests and then no more.
fn that_deletes_ten() -> Result<(Workspace, Registry)> {
    let (workspace, _source) = many(30)?;
    let registry = Registry::start(Setup::default());
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    registry.fail_when(|kind, _, earlier| {
        (kind == Kind::ManifestDelete && earlier >= 10).then_some(StatusCode::SERVICE_UNAVAILABLE)
    });
    Ok((workspace, registry))
}

/// Images have no halves: what is left of them holds up no site.
#[test]
fn taking_back_that_failed_half_way_is_done_by_the_next() -> Result<()> {
    let (workspace, registry) = that_deletes_ten()?;
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("20 left as they are")?;
    is_undone_in_part(&workspace, "0001", "mend that and take the run back again")?;
    let left = manifests(&registry).lines().count();
    ensure!(left > 0 && left < 60, "{}", manifests(&registry));
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("undone")?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    Ok(())
}

/// A tag of somebody's that the registry keeps to itself: what is below it cannot be told, and may be what the run brought.
#[test]
fn what_the_registry_does_not_tell_of_others_leaves_images_and_holds_up_nothing() -> Result<()> {
    let (workspace, _source) = many(3)?;
    let registry = Registry::start(Setup { sparse_indexes: true, ..Setup::default() });
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    let theirs = format!("http://{}/v2/team/app/manifests/theirs", registry.host());
    put(&theirs, INDEX, index.to_string())?;
    let before = manifests(&registry);
    plain(&workspace, &registry.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    registry.fail_when(|kind, _, _| (kind == Kind::ManifestGet).then_some(StatusCode::FORBIDDEN));
    let left = installer(&workspace, &["rollback"]).fail_with(1)?;
    left.prints("3 left as they are")?.prints("whether others need it cannot be told: theirs: ")?;
    is_undone_in_part(&workspace, "0001", "cannot be told")?;
    installer(&workspace, &["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("3 undone")?;
    ensure!(manifests(&registry) == before, "{}", manifests(&registry));
    Ok(())
}

/// Whether the last run to be taken back is so in part, and what `status` says of it.
fn is_undone_in_part(workspace: &Workspace, run: &str, left: &str) -> Result<()> {
    let told = installer(workspace, &["status"]).run()?;
    told.prints(&format!("run {run} sample 1.0.0: undone in part"))?.prints(left).map(drop)
}

#[test]
fn a_registry_that_is_gone_does_not_lock_the_site() -> Result<()> {
    let (workspace, _source) = many(3)?;
    let gone = Registry::start(Setup::default());
    plain(&workspace, &gone.host())?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    drop(gone);
    let next = "next: mend that by hand, or try it again: `rollback 0001`";
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("3 left as they are")?.prints(next)?;
    is_undone_in_part(&workspace, "0001", "does not answer as a registry")?;

    let registry = Registry::start(Setup::default());
    plain(&workspace, &registry.host())?;
    for _ in 0..2 {
        installer(&workspace, &["apply", "bundle"]).succeed()?.prints("3 done")?;
        installer(&workspace, &["rollback"]).succeed()?.prints("3 undone")?;
        // Still out of reach, the run that was over is over again.
        installer(&workspace, &["rollback", "0001"]).fail_with(1)?.prints(next)?;
    }
    Ok(())
}

#[test]
fn a_run_is_taken_back_from_the_registry_that_it_went_to() -> Result<()> {
    let (workspace, _source) = many(5)?;
    let (user, password) = ("pusher".to_owned(), "correct-horse".to_owned());
    let registry = Registry::start(Setup { auth: Auth::Basic { user, password }, ..Setup::default() });
    plain(&workspace, &registry.host())?;
    let site = fs::read_to_string(workspace.path("site.yaml"))?;
    workspace.write("site.yaml", format!("{site}  login: {{user: pusher, password: {{file: secret}}}}\n"))?;
    workspace.write("secret", "correct-horse\n")?;
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    ensure!(manifests(&registry).lines().count() == 10, "{}", manifests(&registry));
    let kept = fs::read_to_string(workspace.path("site.ferry/runs/0001/registry.json"))?;
    ensure!(kept.contains("pusher") && !kept.contains("correct-horse"), "{kept}");

    let elsewhere = Registry::start(Setup::default());
    plain(&workspace, &elsewhere.host())?;
    elsewhere.reset_counts();
    // While it is out for a moment, it is asked once, not for each image.
    registry.fail_when(|_, _, _| Some(StatusCode::SERVICE_UNAVAILABLE));
    registry.reset_counts();
    installer(&workspace, &["rollback"]).fail_with(1)?.prints("5 left as they are")?;
    ensure!(registry.counts().of(Kind::ManifestHead) == 0, "{:?}", registry.counts());
    registry.heal();
    installer(&workspace, &["rollback", "1"]).succeed()?.prints("5 undone")?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
    ensure!(elsewhere.counts() == Counts::default(), "{:?}", elsewhere.counts());
    Ok(())
}

/// As the journal stands when taking back is killed before it could note how anything came out.
fn cut_off_while_undoing(workspace: &Workspace) -> Result<()> {
    let path = workspace.path("site.ferry/runs/0001/journal.jsonl");
    let text = fs::read_to_string(&path)?;
    let (known, last) = text.rsplit_once("\"undoing\"").context("undoing began")?;
    let rest = last.find('\n').context("a whole line")?;
    Ok(fs::write(&path, &text[..known.len() + "\"undoing\"".len() + rest + 1])?)
}

#[test]
fn a_run_that_is_half_taken_back_can_be_given_up() -> Result<()> {
    let (workspace, registry) = that_deletes_ten()?;
    let way_out = "rollback 0001 --leave";
    installer(&workspace, &["rollback"]).fail_with(1)?;
    cut_off_while_undoing(&workspace)?;
    installer(&workspace, &["status"]).run()?.prints("half undone")?.prints(way_out)?;
    let refused = installer(&workspace, &["apply", "bundle"]).fail_with(1)?;
    refused.says("run 0001 is half taken back")?.says(way_out)?;
    let stands = registry.content();
    registry.reset_counts();
    installer(&workspace, &["rollback", "0001", "--leave"]).succeed()?.prints("left as they are")?;
    ensure!(registry.counts() == Counts::default(), "giving up asks nothing: {:?}", registry.counts());
    is_undone_in_part(&workspace, "0001", "left as it is")?;
    let report = fs::read_to_string(workspace.path("site.ferry/runs/0001/report.json"))?;
    ensure!(report.contains("(`rollback --leave`)"), "{report}");

    registry.heal();
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    installer(&workspace, &["rollback"]).succeed()?;
    ensure!(registry.content() == stands, "it is as it was left");
    installer(&workspace, &["rollback", "--leave"]).fail_with(1)?.says("there is no run to take back")?;
    installer(&workspace, &["rollback", "1"]).succeed()?;
    ensure!(manifests(&registry).is_empty(), "{}", manifests(&registry));
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
