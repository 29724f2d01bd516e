//! Pods that wait for their images: each is told why, and what helps.

use anyhow::{Context as _, Result, ensure};
use ferry_installer::live::{Choice, Doing, rewrite};
use ferry_tests::cluster::{Told, WaitingPod};
use serde_json::json;

use super::ground::{Ground, one, only, workload};

const NO_HOST: &str = "rpc error: code = Unknown desc = Error response from daemon: Get \"https://h/v2/\": dial tcp: lookup h on 10.0.0.2:53: no such host";
const UNKNOWN: &str = "rpc error: code = NotFound desc = failed to pull and unpack image: manifest unknown";
const UNTRUSTED: &str = "rpc error: code = Unknown desc = failed to pull and unpack image \"a\": failed to resolve reference \"a\": failed to do request: Head \"https://h/v2/\": x509: certificate signed by unknown authority";
const HTTP: &str =
    "rpc error: code = Unknown desc = Get \"https://h/v2/\": http: server gave HTTP response to HTTPS client";
const LOGIN: &str =
    "rpc error: code = Unknown desc = reading manifest 1.0 in h/a: unauthorized: authentication required";
const SPACE: &str =
    "rpc error: code = Unknown desc = failed to register layer: write /x: no space left on device";
const PLATFORM: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"a\": no match for platform in manifest: not found";
const REFUSED: &str = "rpc error: code = Unknown desc = dial tcp 10.0.0.5:5000: connect: connection refused";

/// A pod that waits, and what must be said of it.
struct Row {
    name: &'static str,
    image: String,
    reason: &'static str,
    said: &'static str,
    why: &'static str,
    fixes: &'static [&'static str],
}

fn row(
    name: &'static str,
    image: &str,
    reason: &'static str,
    said: &'static str,
    why: &'static str,
    fixes: &'static [&'static str],
) -> Row {
    Row { name, image: image.to_owned(), reason, said, why, fixes }
}

fn waiting_rows(ground: &Ground) -> Vec<Row> {
    let (app, web, multi) =
        (ground.site("team/app:1.0"), ground.site("team/web:2.0"), ground.site("library/multi:3"));
    let world = ground.world("team/app:1.0");
    vec![
        row(
            "world-1",
            &world,
            "ImagePullBackOff",
            NO_HOST,
            "still points at",
            &["rewrite --cluster", "nodes: {configure: true"],
        ),
        row(
            "busybox",
            "busybox:1.36",
            "ImagePullBackOff",
            NO_HOST,
            "is not in the bundle",
            &["`images:` in the spec"],
        ),
        row(
            "other-tag",
            &world.replace("1.0", "9.9"),
            "ImagePullBackOff",
            NO_HOST,
            "other tags of it: 1.0",
            &["one of those"],
        ),
        row(
            "tools",
            &ground.site("team/tools:7.1"),
            "ImagePullBackOff",
            UNKNOWN,
            "the bundle does",
            &["ferry-installer apply"],
        ),
        row(
            "none",
            &ground.site("team/none:1"),
            "ImagePullBackOff",
            UNKNOWN,
            "neither",
            &["`images:` in the spec"],
        ),
        row("there", &multi, "ImagePullBackOff", UNKNOWN, "has it by now", &["delete pod there"]),
        row(
            "x509",
            &app,
            "ErrImagePull",
            UNTRUSTED,
            "does not trust the certificate",
            &["nodes: {configure: true}"],
        ),
        row("http", &web, "ImagePullBackOff", HTTP, "plain HTTP", &["nodes: {configure: true}"]),
        row(
            "upper",
            &ground.site("team/App:1"),
            "InvalidImageName",
            "invalid reference format: repository name must be lowercase",
            "no image name",
            &["correct it"],
        ),
        row(
            "never",
            &multi,
            "ErrImageNeverPull",
            "Container image is not present with pull policy of Never",
            "forbids",
            &["ferry-installer export"],
        ),
        row("login", &app, "ImagePullBackOff", LOGIN, "asks for a login", &["pullSecrets"]),
        row("space", &app, "ImagePullBackOff", SPACE, "DiskPressure", &["crictl rmi --prune"]),
        row("platform", &web, "ImagePullBackOff", PLATFORM, "arm64", &["platforms:"]),
        row("refused", &app, "ImagePullBackOff", REFUSED, "does answer here", &["firewalls"]),
    ]
}

#[test]
fn every_image_that_does_not_come_is_explained_with_what_helps() -> Result<()> {
    let (cluster, ground) = Ground::fake(701)?;
    let arm = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "arm1"},
        "status": {"nodeInfo": {"architecture": "arm64"}, "conditions": [{"type": "DiskPressure", "status": "True"}]}});
    cluster.apply_as("kubelet", &arm)?;
    ensure!(ground.status()?.is_good(), "nothing waits");

    let (app, world) = (ground.site("team/app:1.0"), ground.world("team/app:1.0"));
    let rows = waiting_rows(&ground);
    for (number, Row { name, image, reason, said, .. }) in rows.iter().enumerate() {
        let said = format!("Failed to pull image \"{image}\": {said}");
        let told = if number % 2 == 0 { Told::InStatus } else { Told::ByEvent };
        // What is not pulled has no event.
        let told = if reason.starts_with("ErrImageNever") { Told::InStatus } else { told };
        cluster.let_wait(&WaitingPod {
            namespace: "shop",
            name,
            node: "arm1",
            image,
            reason,
            said: &said,
            told,
        })?;
    }
    let second = format!("Failed to pull image \"{world}\": {NO_HOST}");
    cluster.let_wait(&WaitingPod {
        namespace: "blueking",
        name: "world-2",
        node: "node1",
        image: &world,
        reason: "ErrImagePull",
        said: &second,
        told: Told::InStatus,
    })?;

    let status = ground.status()?;
    ensure!(!status.is_good() && status.pods == rows.len() + 1, "{status:?}");
    for Row { name, image, why, fixes, .. } in &rows {
        let pod = format!("shop/{name}");
        let trouble = status.troubles.iter().find(|trouble| trouble.pods.contains(&pod)).context(pod)?;
        ensure!(trouble.image == *image && trouble.why.contains(why), "{name}: {trouble:?}");
        for fix in *fixes {
            ensure!(trouble.fix.iter().any(|given| given.contains(fix)), "{name} lacks {fix}: {trouble:?}");
        }
    }
    let first = &status.troubles[0];
    ensure!(first.pods == ["blueking/world-2", "shop/world-1"], "most pods come first: {first:?}");
    ensure!(first.nodes == ["arm1", "node1"] && first.why.contains(&app), "{first:?}");
    let text = status.text();
    ensure!(text.contains("15 of 15 pods looked at wait for"), "{text}");

    // Whoever may not see events and nodes is told less, and of that.
    cluster.forbid("list", "events", "");
    cluster.forbid("list", "nodes", "");
    let less = ground.status()?;
    ensure!(less.unasked.len() == 3 && less.troubles.len() > 5, "{:?}", less.unasked);
    cluster.forbid("list", "pods", "");
    let denied = ground.status().err().context("it must fail")?;
    ensure!(format!("{denied:#}").contains("list pods -A"), "{denied:#}");
    Ok(())
}

#[test]
fn nodes_that_mirror_are_told_apart_from_workloads_that_point_elsewhere() -> Result<()> {
    let (cluster, ground) = Ground::fake(702)?;
    let host = ground.sample.registry.host();
    ground.write_site(&format!(
        "nodes: {{configure: true, hosts: [{{name: node1}}], mirrors: ['{host}']}}\n"
    ))?;
    let (app, tools) = (ground.world("team/app:1.0"), ground.world("team/tools:7.1"));
    for (name, image) in [("app", &app), ("tools", &tools)] {
        let said = format!("Failed to pull image \"{image}\": dial tcp: lookup h: no such host");
        let (reason, told) = ("ImagePullBackOff", Told::InStatus);
        cluster.let_wait(&WaitingPod {
            namespace: "shop",
            name,
            node: "node1",
            image,
            reason,
            said: &said,
            told,
        })?;
    }
    let status = ground.status()?;
    let why = |image: &str| {
        status.troubles.iter().find(|trouble| trouble.image == image).map(|trouble| trouble.why.as_str())
    };
    ensure!(why(&app).is_some_and(|why| why.contains("node1 did not get it there")), "{status:?}");
    ensure!(why(&tools).is_some_and(|why| why.contains("does not have")), "{status:?}");

    let helm = json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    let mut web = workload("Deployment", "shop", "web", &one(&ground.world("team/web:2.0")));
    web["metadata"]["annotations"] = helm;
    cluster.apply_as("helm", &web)?;
    let choice = Choice { namespaces: vec!["shop".into()], selector: String::new() };
    let found = ground.runtime.block_on(rewrite(&ground.context()?, &choice, Doing::Show))?;
    ensure!(only(&found, "Deployment", "web")?.mirrored && found.mirrors.is_empty(), "{found:?}");
    Ok(())
}
