//! What `ferry-builder` and the commands that both programs share say to who meets them for the first time: a mistake is told
//! with its name and with what to do, and what was not looked at is told too.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::{Corpus, gzip, tar};
use ferry_tests::parts;
use ferry_tests::process::Outcome;
use ferry_tests::registry::{Auth, Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace, image_entries, plain_http};

fn chart(workspace: &Workspace, name: &str) -> Result<()> {
    workspace.write(&format!("{name}/Chart.yaml"), format!("name: {name}\nversion: 1.0.0\n"))?;
    workspace.write(&format!("{name}/values.yaml"), "web: {image: {repository: team/web, tag: \"1\"}}\n")?;
    Ok(())
}

#[test]
fn values_for_a_chart_that_is_not_there_are_refused() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.spec("images: [\"team/web:1\", \"team/web:2\"]\n")?;
    workspace.write("values.yaml", "web: {image: {tag: \"2\"}}\n")?;
    chart(&workspace, "shop")?;
    chart(&workspace, "blog")?;
    let check = |values: &str| {
        let values = format!("{values}=values.yaml");
        workspace.builder().args(["check", "spec.yaml", "shop", "blog", "--values", &values])
    };
    check("shop").succeed()?;
    let refused = check("shopp").fail_with(2)?;
    refused.says("there is no chart `shopp`")?.says("the charts are: blog, shop")?;
    // Where its archive is damaged, that is what is to be told.
    workspace.write("news.tgz", "no archive")?;
    let check = ["check", "spec.yaml", "news.tgz", "--values", "news=values.yaml"];
    workspace.builder().args(check).fail_with(1)?.prints("UNREAD    news.tgz")?;
    Ok(())
}

#[test]
fn what_cannot_be_read_is_told() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.spec("images: [\"team/web:1\"]\n")?;
    let pod =
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: Team/App:1.0\n  - image: \"nginx::1\"\n";
    workspace.write("deploy/pod.yaml", pod)?;
    workspace.write("deploy/broken.yaml", "a: 1\n---\nspec:\n  image: team/web:1\n b: [\n")?;
    let check = |arguments: &[&str]| {
        workspace.builder().args(["check", "spec.yaml", "deploy"]).args(arguments).succeed()
    };
    let told = check(&[])?;
    told.prints("unclear   deploy/pod.yaml:5: `Team/App:1.0` is not an image reference")?;
    told.prints("unclear   deploy/pod.yaml:6: `nginx::1` is not an image reference")?;
    told.prints("unclear   deploy/broken.yaml:2: this is no YAML")?;
    let report = check(&["--output", "json"])?.json()?;
    ensure!(report["unclear"].as_array().context("a list")?.len() == 3, "{report:#}");
    ensure!(report["images"][0]["state"] == "held", "what stands there counts all the same: {report:#}");
    Ok(())
}

#[test]
fn what_is_nearly_carried_is_told() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.spec("images: [\"team/app:1.0\"]\n")?;
    workspace.write("list.txt", "team/app:1.1\nteam/ap:1.0\n")?;
    let told = workspace.builder().args(["check", "spec.yaml", "list.txt"]).fail_with(1)?;
    told.prints("MISSING   docker.io/team/app:1.1  (1.0 of it is carried)")?;
    told.prints("MISSING   docker.io/team/ap:1.0  (docker.io/team/app:1.0 is carried)")?;
    // Where no place has an object, nothing is left free for one.
    told.prints("list.txt:1  line\n")?;
    Ok(())
}

#[test]
fn where_the_values_say_a_rendered_name_is_told() -> Result<()> {
    if !parts::ready(&["helm3"]) {
        return Ok(());
    }
    let workspace = Workspace::new()?;
    workspace.spec("images: []\n")?;
    chart(&workspace, "shop")?;
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: \"{{ .Values.web.image.repository }}:{{ .Values.web.image.tag }}\"\n";
    workspace.write("shop/templates/pod.yaml", pod)?;
    let builder = workspace.builder().env("PATH", parts::helm_folder(3));
    let told = builder.args(["check", "spec.yaml", "shop"]).fail_with(1)?;
    told.prints("shop/templates/pod.yaml:7  Pod a  image, rendered, written in values.yaml:1")?;
    Ok(())
}

#[test]
fn silences_for_charts_are_not_idle_where_no_chart_is_looked_at() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.spec("images: []\ncheck: {ignore: [{image: \"a/b\", in: \"charts/c*\", reason: later}]}\n")?;
    workspace.write("empty/values.yaml", "a: 1\n")?;
    for charts in [&["--charts=none"][..], &["--charts", "none"]] {
        let arguments = ["check", "spec.yaml", "empty"];
        let told = workspace.builder().args(arguments).args(charts).succeed()?;
        ensure!(!told.stdout.contains("idle"), "{told}");
    }
    workspace.builder().args(["check", "spec.yaml", "empty"]).succeed()?.prints("idle")?;
    Ok(())
}

#[test]
fn a_place_where_no_bundle_can_be_is_refused_before_anything_is_fetched() -> Result<()> {
    let workspace = Workspace::new()?;
    // Nobody answers there: whoever begins to fetch fails otherwise.
    workspace.spec("images: [\"127.0.0.1:9/team/app:1\"]\n")?;
    fs::create_dir(workspace.path("docs"))?;
    let build = |place: &str| workspace.builder().args(["build", "spec.yaml", "-o", place]).fail_with(1);
    build("docs")?.says("docs is a folder")?.says("-o docs/sample-1.0.0.ferry.tar.zst")?;
    build("usb/stick/b")?.says("the folder usb/stick is not there")?.says("mkdir -p usb/stick")?;
    build("spec.yaml/b")?.says("spec.yaml is no folder")?;
    ensure!(!workspace.path("usb").exists() && !workspace.path("spec.lock").exists());
    Ok(())
}

#[test]
fn one_document_in_the_place_of_another_is_named() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.write("note.txt", "x")?;
    workspace.spec("files: [{path: note.txt, to: note.txt}]\n")?;
    let builder = |arguments: &[&str]| workspace.builder().args(arguments);
    let locked = builder(&["build", "spec.yaml", "--locked", "-o", "b"]).fail_with(1)?;
    locked.says("spec.lock is not there")?.says("ferry-builder lock spec.yaml")?;
    builder(&["lock", "spec.yaml"]).succeed()?.prints("0 images, 0 charts, 1 file; 1 B in 1 blob")?;
    builder(&["build", "spec.yaml", "-o", "b"]).succeed()?.prints("0 images, 0 charts, 1 file")?;
    builder(&["lock", "b"]).fail_with(1)?.says("b is no spec: it is no text")?;
    let diff = builder(&["diff", "spec.yaml", "spec.lock"]).fail_with(1)?;
    diff.says("spec.yaml is a spec")?.says("name its lock, spec.lock")?;
    Ok(())
}

#[test]
fn the_other_half_of_a_pair_is_named() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.write("note.txt", "x")?;
    workspace.spec("files: [{path: note.txt, to: note.txt}]\n")?;
    let builder = |arguments: &[&str]| workspace.builder().args(arguments);
    builder(&["keygen", "mine"]).succeed()?;
    let again = builder(&["keygen", "mine"]).fail_with(1)?;
    again.says("mine.key is there already")?.says("another name")?;
    fs::remove_file(workspace.path("mine.key"))?;
    builder(&["keygen", "mine"]).fail_with(1)?.says("mine.pub is there already")?;
    ensure!(!workspace.path("mine.key").exists(), "half a pair was written");
    fs::remove_file(workspace.path("mine.pub"))?;
    builder(&["keygen", "mine"]).succeed()?;
    builder(&["build", "spec.yaml", "-o", "b", "--key", "mine.pub"]).fail_with(1)?.says("public half")?;
    builder(&["build", "spec.yaml", "-o", "b", "--key", "mine.key"]).succeed()?;
    builder(&["verify", "b", "--public-key", "mine.key"]).fail_with(1)?.says("secret half")?;
    Ok(())
}

#[test]
fn init_writes_a_file_and_says_what_comes_next() -> Result<()> {
    let workspace = Workspace::new()?;
    let init = || workspace.builder().args(["init", "-o", "bundle.yaml"]);
    init().succeed()?.says("ferry-builder lock bundle.yaml")?;
    let printed = workspace.builder().arg("init").succeed()?.stdout;
    ensure!(fs::read_to_string(workspace.path("bundle.yaml"))? == printed);
    workspace.write("bundle.yaml", "mine")?;
    init().fail_with(1)?.says("bundle.yaml is there already")?;
    ensure!(fs::read_to_string(workspace.path("bundle.yaml"))? == "mine");
    Ok(())
}

#[test]
fn another_version_is_a_difference() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.write("note.txt", "x")?;
    let spec = workspace.spec("files: [{path: note.txt, to: note.txt}]\n")?;
    workspace.lock()?;
    fs::rename(workspace.path("spec.lock"), workspace.path("old.lock"))?;
    fs::write(&spec, fs::read_to_string(&spec)?.replace("1.0.0", "1.1.0"))?;
    workspace.lock()?;
    let diff = workspace.builder().args(["diff", "old.lock", "spec.lock"]).fail_with(4)?;
    diff.prints("~ sample 1.0.0 -> sample 1.1.0")?.prints("0 changes")?;
    workspace.builder().args(["diff", "old.lock", "old.lock"]).succeed()?;
    Ok(())
}

#[test]
fn a_chart_may_lie_on_this_machine() -> Result<()> {
    let workspace = Workspace::new()?;
    let archive = |version: &str| {
        let metadata = format!("apiVersion: v2\nname: shop\nversion: {version}\n");
        gzip(&tar(&[("shop/Chart.yaml", metadata.as_bytes()), ("shop/values.yaml", &b"image: {}\n"[..])]))
    };
    workspace.write("packed/shop-1.0.0.tgz", archive("1.0.0"))?;
    workspace.write("packed/shop-1.0.0.tgz.prov", "-----BEGIN PGP SIGNED MESSAGE-----\n")?;
    workspace.spec("charts: [{chart: packed/shop-1.0.0.tgz, version: 1.0.0}]\n")?;
    let catalog = workspace.lock_and_build()?;
    let chart = &catalog.charts[0];
    ensure!((chart.name.as_str(), chart.repository.as_str()) == ("shop", "charts/shop"), "{chart:?}");
    ensure!(chart.archive == workspace.digest("packed/shop-1.0.0.tgz")? && chart.provenance.is_some());
    // What lies here is looked at each time.
    workspace.write("packed/shop-1.0.0.tgz", archive("1.1.0"))?;
    let lock = || workspace.builder().args(["lock", "spec.yaml"]);
    lock().fail_with(1)?.says("is version 1.1.0 of shop, and the spec says 1.0.0")?;
    workspace.spec("charts: [{chart: packed/shop-1.0.0.tgz}]\n")?;
    lock().succeed()?.prints("chart shop 1.1.0")?;
    workspace.spec("charts: [{chart: packed/shop, version: 1.0.0}]\n")?;
    lock().fail_with(1)?.says("`helm package` makes one of a folder")?;
    workspace.spec("charts: [{chart: \"oci://a.example.com/shop\"}]\n")?;
    lock().fail_with(1)?.says("missing field `version`")?;
    Ok(())
}

#[test]
fn a_chart_that_lies_here_under_any_name_is_checked_with_its_values() -> Result<()> {
    let workspace = Workspace::new()?;
    let metadata = b"apiVersion: v2\nname: shop\nversion: 1.0.0\n";
    let values = b"web: {image: {repository: team/web, tag: \"1\"}}\n";
    let archive = gzip(&tar(&[("shop/Chart.yaml", &metadata[..]), ("shop/values.yaml", &values[..])]));
    workspace.write("packed/ours.tgz", archive)?;
    workspace.write("site.yaml", "web: {image: {tag: \"2\"}}\n")?;
    workspace.spec("charts: [{chart: packed/ours.tgz, values: [site.yaml]}]\n")?;
    workspace.lock()?;
    workspace.build("bundle", &["--locked", "--skip-check"])?;
    let check =
        |subject: &str| workspace.builder().args(["check", subject, "--spec", "spec.yaml"]).fail_with(1);
    check("bundle")?.prints("MISSING   docker.io/team/web:2")?;
    Ok(())
}

fn signed(seed: u64) -> Result<Sample> {
    let sample = Sample::new(Corpus::small(seed, 20_000))?;
    sample.workspace.builder().args(["keygen", "mine"]).succeed()?;
    sample.workspace.build("bundle", &["--key", "mine.key"])?;
    Ok(sample)
}

#[test]
fn who_opens_a_signed_bundle_without_a_key_is_told_once() -> Result<()> {
    const NOTE: &str = "not checked: give --public-key";
    let sample = signed(301)?;
    let workspace = &sample.workspace;
    let image = sample.corpus.images[0].name();
    let export = |name: &str, flags: &[&str]| -> Result<Outcome> {
        let export = workspace.installer().args(["export", "bundle", &image, "-o", name]);
        export.args(flags).succeed()
    };
    let told = export("a.tar", &[])?;
    ensure!(told.stderr.matches(NOTE).count() == 1 && told.stderr.contains("is signed by key "), "{told}");
    for (name, flags) in [("b.tar", &["--quiet"][..]), ("c.tar", &["--public-key", "mine.pub"])] {
        let silent = export(name, flags)?;
        ensure!(!silent.stderr.contains(NOTE), "{silent}");
    }
    let events = export("d.tar", &["--progress", "json"])?.stderr;
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    ensure!(events.contains(NOTE), "{events}");
    Ok(())
}

#[test]
fn verify_tells_programs_what_it_tells_people() -> Result<()> {
    let sample = signed(302)?;
    let workspace = &sample.workspace;
    let verify = |bundle: &str, flags: &[&str]| {
        workspace.installer().args(["verify", bundle, "--output", "json"]).args(flags)
    };
    let good = verify("bundle", &[]).succeed()?.json()?;
    ensure!(good["verdict"] == "good" && good["complete"] == true, "{good:#}");
    ensure!(good["signer"]["is"] == "unchecked" && good["signer"]["key"].is_string(), "{good:#}");
    let digest = good["catalogDigest"].as_str().context("a digest")?.to_owned();
    let checked = verify("bundle", &["--public-key", "mine.pub"]).succeed()?.json()?;
    ensure!(checked["signer"]["is"] == "verified", "{checked:#}");
    let inspect = workspace.builder().args(["inspect", "bundle", "--output", "json"]).succeed()?.json()?;
    ensure!(inspect["bundle"]["signer"] == good["signer"], "{inspect:#}");
    // With and without the algorithm.
    let digits = digest.strip_prefix("sha256:").context("sha256")?;
    for digest in [digest.as_str(), digits] {
        verify("bundle", &["--catalog-digest", digest]).succeed()?;
    }

    // A byte in the body.
    let mut bytes = fs::read(workspace.path("bundle"))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    workspace.write("damaged", &bytes)?;
    let damaged = verify("damaged", &[]).fail_with(3)?.json()?;
    ensure!(damaged["verdict"] == "damaged", "{damaged:#}");
    let text = workspace.installer().args(["verify", "damaged"]).fail_with(3)?;
    text.prints("copy it again from the medium")?;
    // Half of it.
    workspace.write("half", &bytes[..middle])?;
    let half = workspace.installer().args(["verify", "half"]).fail_with(3)?;
    half.says("half is not a Ferry bundle, or not all of one: its end is missing")?
        .says("copy it again from the medium")?;
    Ok(())
}

#[test]
fn a_later_volume_leads_to_the_first() -> Result<()> {
    let sample = Sample::new(Corpus::small(303, 1_500_000))?;
    sample.workspace.builder().args(["build", "spec.yaml", "-o", "b", "--volume-size", "1MiB"]).succeed()?;
    let told = sample.workspace.installer().args(["inspect", "b.002"]).fail_with(1)?;
    told.says("b.002 is a later volume of a bundle")?.says("name that: b.001")?;
    Ok(())
}

#[test]
fn an_incomplete_bundle_is_not_called_good_alone() -> Result<()> {
    let workspace = Workspace::new()?;
    workspace.write("note.txt", "x")?;
    workspace
        .spec("files: [{path: note.txt, to: note.txt}, {path: none.txt, to: none.txt, required: false}]\n")?;
    workspace.build("b", &[])?;
    let verify = workspace.builder().args(["verify", "b"]).succeed()?;
    verify.prints("MISSING  ")?.prints("good. 1 blob, 1 B, all as their digests say, but INCOMPLETE")?;
    let json = workspace.builder().args(["verify", "b", "--output", "json"]).succeed()?.json()?;
    ensure!(json["complete"] == false && json["missing"].as_array().map(Vec::len) == Some(1), "{json:#}");
    Ok(())
}

#[test]
fn a_wrong_password_is_one_failure() -> Result<()> {
    let corpus = Corpus::small(304, 20_000);
    let auth = Auth::Basic { user: "u".into(), password: "p".into() };
    let registry = Registry::start(Setup { auth, ..Setup::default() });
    for image in &corpus.images {
        registry.load(image);
    }
    let (workspace, host) = (Workspace::new()?, registry.host());
    workspace.login(&host, "u", "wrong")?;
    workspace.spec(&format!("{}{}", plain_http(&[&host]), image_entries(&host, &corpus.images)))?;
    let refused = format!("{host} refused the password of user `u`");
    let lock = workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
    let last = lock.stderr.split("error: ").last().unwrap_or_default();
    ensure!(last.matches(&refused).count() == 1 && last.matches("hint:").count() == 1, "{lock}");
    ensure!(last.contains(&format!("docker login {host}")) && !lock.stderr.contains("wrong"), "{lock}");

    let sample = Sample::built(corpus)?;
    sample.workspace.login(&host, "u", "wrong")?;
    let push = ["push", "bundle", "--registry", &host, "--plain-http", &host];
    let push = sample.workspace.installer().args(push).fail_with(1)?;
    ensure!(push.stderr.matches(&refused).count() == 1, "{push}");
    // A file that cannot be read is told before anything is asked for.
    sample.workspace.write("bad.json", "{")?;
    let push = ["push", "bundle", "--registry", &host, "--plain-http", &host, "--authfile", "bad.json"];
    let push = sample.workspace.installer().args(push).fail_with(1)?;
    ensure!(push.stderr.matches("bad.json").count() == 1 && push.stderr.contains("docker login"), "{push}");
    Ok(())
}

#[test]
fn plain_http_can_be_said_for_good() -> Result<()> {
    let registry = Registry::start(Setup::default());
    let (workspace, host) = (Workspace::new()?, registry.host());
    workspace.spec(&format!("images: [\"{host}/team/app:1\"]\n"))?;
    let lock = workspace.builder().args(["lock", "spec.yaml"]).fail_with(1)?;
    lock.says(&format!("--plain-http {host}"))?;
    lock.says(&format!("registries: {{\"{host}\": {{plainHttp: true}}}}"))?;
    Ok(())
}
