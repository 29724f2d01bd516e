//! `rewrite`: a corpus of files as sites have them, each with what becomes of it; charts; names that the registry has and has not.
//! `FERRY_UPDATE_GOLDEN=1 cargo nextest run -p ferry-tests --test rewrite` writes the answers anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{Dialect, Image, ImageSetup, Layer, write_docker_archive};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Workspace;

/// Stands in the corpus for the digest that the bundle's images have.
const PLACEHOLDER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rewrite").join(name)
}

/// A bundle with one image under all names of `images.txt`, or of `names`, and a site.
struct Ground {
    workspace: Workspace,
    digest: Digest,
}

impl Ground {
    fn new(names: &[&str], registry: &str) -> Result<Self> {
        let workspace = Workspace::new()?;
        let layers = [Arc::new(Layer::plain(61, 2000, 50))];
        let setup =
            ImageSetup { repository: "any", tag: "1", dialect: Dialect::Oci, platform: "linux/amd64" };
        write_docker_archive(&workspace.path("images.tar"), &[Image::single(&setup, &layers)])?;
        let entries: String =
            names.iter().map(|name| format!("  - docker-archive:images.tar:{name}\n")).collect();
        workspace.spec(&format!("images:\n{entries}"))?;
        let catalog = workspace.lock_and_build()?;
        let site = "apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry:\n  existing: {}\n";
        workspace.write("site.yaml", format!("{site}{registry}"))?;
        Ok(Self { workspace, digest: catalog.images[0].digest })
    }

    fn rewrite(&self, arguments: &[&str]) -> Result<ferry_tests::process::Outcome> {
        let command = ["rewrite", "--bundle", "bundle", "--site", "site.yaml"];
        self.workspace.installer().args(command).args(arguments).run()
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.workspace.path(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder)?.display().to_string(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(from, to).into_bytes(),
        Err(_) => bytes.to_owned(),
    }
}

#[test]
fn each_file_of_the_corpus_becomes_what_somebody_has_read() -> Result<()> {
    let images = fs::read_to_string(folder("images.txt"))?;
    let names: Vec<&str> = images.lines().filter(|line| !line.starts_with('#')).collect();
    let ground = Ground::new(&names, "  address: registry.corp:5000\n  alsoKnownAs: [images.corp]\n")?;
    let digest = ground.digest.to_string();
    let corpus = files(&folder("corpus"))?;
    ensure!(corpus.len() >= 200, "{} files", corpus.len());
    for (name, content) in &corpus {
        ground.workspace.write(&format!("corpus/{name}"), replaced(content, PLACEHOLDER, &digest))?;
    }
    let first = ground.rewrite(&["corpus", "--offline", "--output-folder", "out"])?;
    ensure!(first.code == Some(0), "{first}");
    let rewritten = files(&ground.workspace.path("out/corpus"))?;
    let mut answers: BTreeMap<String, Vec<u8>> = rewritten
        .iter()
        .map(|(name, content)| (name.clone(), replaced(content, &digest, PLACEHOLDER)))
        .filter(|(name, content)| corpus.get(name) != Some(content))
        .collect();
    answers.insert("report.txt".to_owned(), replaced(first.stdout.as_bytes(), &digest, PLACEHOLDER));
    ensure!(rewritten.len() == corpus.len(), "{} of {} files", rewritten.len(), corpus.len());
    compare(&folder("golden"), &answers)?;

    let again = ground.rewrite(&["out/corpus", "--offline", "--output-folder", "again"])?;
    again.prints("0 references renamed in 0 files")?;
    ensure!(files(&ground.workspace.path("again/corpus"))? == rewritten, "a second run changes nothing");
    let in_place = ground.rewrite(&["corpus", "--offline", "--in-place", "--check"])?;
    ensure!(in_place.code == Some(1), "the bundle lacks some: {in_place}");
    ensure!(files(&ground.workspace.path("corpus"))? == rewritten, "in place is the same");
    Ok(())
}

/// Compares with the files that were kept; those that did not change are not.
fn compare(golden: &Path, answers: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        if golden.exists() {
            fs::remove_dir_all(golden)?;
        }
        for (name, content) in answers {
            let path = golden.join(name);
            fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            fs::write(path, content)?;
        }
        return Ok(());
    }
    let kept = files(golden)?;
    let names: std::collections::BTreeSet<&String> = kept.keys().chain(answers.keys()).collect();
    for name in names {
        let text = |files: &BTreeMap<String, Vec<u8>>| {
            files.get(name).map(|content| String::from_utf8_lossy(content).into_owned())
        };
        let (expected, actual) = (text(&kept), text(answers));
        ensure!(
            expected == actual,
            "{name}\n--- expected\n{expected:?}\n--- actual\n{actual:?}\nlook at it, then set FERRY_UPDATE_GOLDEN=1"
        );
    }
    Ok(())
}

const POD: &str = "kind: Pod\nspec:\n  containers:\n    - image: nginx:1\n    - image: quay.io/a/b:2 # two\n";

#[test]
fn prefix_flatten_and_names_of_the_site() -> Result<()> {
    let values = "global:\n  imageRegistry: quay.io\nimage: {repository: a/b, tag: 2}\n";
    for (registry, pod, expected_values) in [
        (
            "  prefix: mirror\n",
            ["mirror/library/nginx:1", "mirror/a/b:2"],
            "imageRegistry: r.corp:5000/mirror\nimage: {repository: a/b, tag: 2}",
        ),
        (
            "  prefix: m\n  flatten: true\n",
            ["m/nginx:1", "m/b:2"],
            "imageRegistry: quay.io\nimage: {repository: a/b, tag: 2}",
        ),
        (
            "  names: {\"quay.io/a/b:2\": base/b:2.10}\n",
            ["library/nginx:1", "base/b:2.10"],
            "imageRegistry: r.corp:5000\nimage: {repository: base/b, tag: \"2.10\"}",
        ),
    ] {
        let ground =
            Ground::new(&["nginx:1", "quay.io/a/b:2"], &format!("  address: r.corp:5000\n{registry}"))?;
        ground.workspace.write("pod.yaml", POD)?;
        ground.workspace.write("values.yaml", values)?;
        let outcome = ground.rewrite(&["pod.yaml", "values.yaml", "--offline", "--in-place"])?;
        ensure!(outcome.code == Some(0), "{outcome}");
        let [one, two] = pod.map(|name| format!("r.corp:5000/{name}"));
        let expected = POD.replace("nginx:1", &one).replace("quay.io/a/b:2", &two);
        ensure!(ground.read("pod.yaml")? == expected, "{}", ground.read("pod.yaml")?);
        let now = ground.read("values.yaml")?;
        ensure!(now == format!("global:\n  {expected_values}\n"), "{registry}{now}{outcome}");
        ground
            .rewrite(&["pod.yaml", "values.yaml", "--offline"])?
            .prints("0 references to be renamed in 0 files")?;
    }
    Ok(())
}

#[test]
fn nothing_is_written_unless_that_is_asked_for() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n")?;
    let path = ground.workspace.write("deploy/pod.yaml", POD)?;
    let other = ground.workspace.write("deploy/other.yaml", "kind: Service\n")?;
    let untouched = fs::metadata(&other)?.ino();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    let listed = ground.rewrite(&["deploy", "--offline", "--check"])?;
    ensure!(listed.code == Some(4), "some are to be renamed: {listed}");
    listed.prints("deploy/pod.yaml:4:14  nginx:1 -> r.corp:5000/library/nginx:1")?;
    let json = ground.rewrite(&["deploy", "--offline", "--output", "json"])?.json()?;
    ensure!(json["edits"][1]["line"] == 5 && json["edits"][1]["before"] == "quay.io/a/b:2", "{json}");

    let diff = ground.rewrite(&["deploy", "--offline", "--diff"])?;
    let expected = "--- deploy/pod.yaml\n+++ deploy/pod.yaml\n@@ -1,5 +1,5 @@\n kind: Pod\n spec:\n   containers:\n\
        -    - image: nginx:1\n-    - image: quay.io/a/b:2 # two\n\
        +    - image: r.corp:5000/library/nginx:1\n+    - image: r.corp:5000/a/b:2 # two\n";
    ensure!(diff.stdout == expected, "{diff}");
    diff.says("2 references to be renamed in 1 file")?;
    ensure!(ground.read("deploy/pod.yaml")? == POD);

    ground
        .rewrite(&["deploy", "--offline", "--in-place", "--check"])?
        .prints("2 references renamed in 1 file")?;
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o640);
    ensure!(fs::metadata(&other)?.ino() == untouched, "a file that does not change is not written");
    let inside = ground.rewrite(&["deploy", "--offline", "--output-folder", "deploy/out"])?;
    ensure!(inside.code == Some(2), "{inside}");
    Ok(())
}

#[test]
fn a_stream_goes_through() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n")?;
    let command = ["rewrite", "-", "--bundle", "bundle", "--site", "site.yaml", "--offline"];
    let mut command = ground.workspace.installer().args(command).command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("it is piped")?.write_all(format!("{POD}---\n{POD}").as_bytes())?;
    let output = child.wait_with_output()?;
    let one =
        POD.replace("nginx:1", "r.corp:5000/library/nginx:1").replace("quay.io/a/b:2", "r.corp:5000/a/b:2");
    ensure!(String::from_utf8(output.stdout)? == format!("{one}---\n{one}"));
    ensure!(
        String::from_utf8_lossy(&output.stderr).contains("standard input:10:14  nginx:1 -> "),
        "places are told"
    );
    Ok(())
}

#[test]
fn each_name_is_asked_for_at_the_registry() -> Result<()> {
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let ground =
        Ground::new(&["nginx:1", "quay.io/a/b:2"], &format!("  address: {host}\n  plainHttp: true\n"))?;
    ground.workspace.write("pod.yaml", POD)?;
    let none = ground.rewrite(&["pod.yaml", "--in-place", "--check"])?;
    ensure!(none.code == Some(1), "{none}");
    none.prints("problem: pod.yaml:4:14  ")?.prints("the registry does not have it")?;
    let pushed =
        ground.workspace.installer().args(["push", "bundle", "--registry", &host, "--plain-http", &host]);
    pushed.succeed()?;
    let all = ground.rewrite(&["pod.yaml", "--check"])?;
    ensure!(all.code == Some(0), "{all}");
    all.prints("2 names resolve at ")?;

    // Somebody moved a tag.
    let layers = [Arc::new(Layer::plain(62, 2000, 50))];
    let setup = ImageSetup { repository: "a/b", tag: "2", dialect: Dialect::Oci, platform: "linux/amd64" };
    let other = Image::single(&setup, &layers);
    registry.load(&other);
    let moved = ground.rewrite(&["pod.yaml", "--check"])?;
    ensure!(moved.code == Some(1), "{moved}");
    moved.prints(&format!("the registry has {} under that name", other.root))?;

    ground.workspace.write("foreign.yaml", format!("image: {host}/a/b:2\nimage2: {host}/c/d:1\n"))?;
    let foreign = ground.rewrite(&["foreign.yaml", "--check"])?;
    ensure!(foreign.code == Some(1), "{foreign}");
    foreign.prints("not of this bundle and not there")?;
    drop(registry);
    ground.rewrite(&["pod.yaml"])?.prints("names were not resolved")?;
    let unproven = ground.rewrite(&["pod.yaml", "--check"])?;
    ensure!(unproven.code == Some(1), "what was not asked is not proven: {unproven}");
    unproven.prints(&format!("problem: {host}  it was not asked"))?;
    let offline = ground.rewrite(&["pod.yaml", "--check", "--offline"])?;
    ensure!(offline.code == Some(0), "{offline}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_holds_up_no_other() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n")?;
    ground.workspace.write("deploy/a.yaml", POD)?;
    ground.workspace.write("deploy/b.yaml", POD)?;
    let early = ground.rewrite(&["deploy", "nothere.yaml", "--offline", "--in-place"])?;
    ensure!(early.code == Some(1), "{early}");
    early.says("nothere.yaml")?;
    ensure!(ground.read("deploy/a.yaml")? == POD, "nothing is written before all paths are there");

    // A folder lies where a file should be written.
    fs::create_dir_all(ground.workspace.path("out/deploy/a.yaml/x"))?;
    let outcome = ground.rewrite(&["deploy", "--offline", "--output-folder", "out"])?;
    ensure!(outcome.code == Some(1), "{outcome}");
    outcome.prints("problem: deploy/a.yaml  ")?.prints("2 references renamed in 1 file")?;
    ensure!(ground.read("out/deploy/b.yaml")?.contains("r.corp:5000/a/b:2"));
    Ok(())
}

#[test]
fn the_site_file_the_bundle_and_specs_stay_as_they_are() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n")?;
    ground.workspace.write("pod.yaml", POD)?;
    let before = files(&ground.workspace.path("."))?;
    ground.rewrite(&[".", "--offline", "--in-place"])?.prints("2 references renamed in 1 file")?;
    let after = files(&ground.workspace.path("."))?;
    let changed: Vec<&String> = before
        .iter()
        .filter(|(name, content)| after.get(*name) != Some(content))
        .map(|(name, _)| name)
        .collect();
    ensure!(changed == ["pod.yaml"], "{changed:?}");
    Ok(())
}

/// A chart's archive as helm packs it: a comment in the head, a mode and a time of its own on each member.
fn chart(members: &[(&str, &str)]) -> Result<Vec<u8>> {
    let encoder =
        flate2::GzBuilder::new().comment("Helm").extra(b"+aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo=".to_vec());
    let mut tar = tar::Builder::new(encoder.write(Vec::new(), flate2::Compression::best()));
    for (number, (name, content)) in members.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if number % 2 == 0 { 0o644 } else { 0o600 });
        header.set_mtime(1_700_000_000 + number as u64);
        header.set_uid(1000);
        tar.append_data(&mut header, name, content.as_bytes())?;
    }
    Ok(tar.into_inner()?.finish()?)
}

type Members = Vec<(String, u32, u64, String)>;

fn members(archive: &[u8]) -> Result<Members> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut members = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let (mode, time) = (entry.header().mode()?, entry.header().mtime()?);
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content)?;
        members.push((name, mode, time, content));
    }
    Ok(members)
}

#[test]
fn a_chart_is_packed_anew_with_its_references_alone_changed() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n")?;
    let long = format!("shop/templates/{}.yaml", "long".repeat(40));
    let source = [
        ("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: \"2\"\n"),
        ("shop/values.yaml", "image:\n  registry: quay.io\n  repository: a/b\n  tag: \"\"\n"),
        ("shop/templates/web.yaml", "image: nginx:1 # {{ .Values.x }}\n"),
        (&long, "image: \"quay.io/a/b:2\"\n"),
        ("shop/README.md", "image: nginx:1\n"),
    ];
    let archive = chart(&source)?;
    let path = ground.workspace.write("charts/shop-1.0.0.tgz", &archive)?;
    ground.workspace.write("charts/shop-1.0.0.tgz.prov", "signed")?;
    ground.workspace.write("charts/other.tgz", chart(&[("a/b.yaml", "image: nginx:1\n")])?)?;
    let outcome = ground.rewrite(&["charts", "--offline", "--in-place", "--check"])?;
    ensure!(outcome.code == Some(0), "{outcome}");
    outcome.prints(
        "charts/shop-1.0.0.tgz!shop/templates/web.yaml:1:8  nginx:1 -> r.corp:5000/library/nginx:1",
    )?;
    outcome.prints("signs the chart as it was")?.prints("packed anew: ")?;
    let now = fs::read(&path)?;
    let expected: Members = members(&archive)?
        .into_iter()
        .map(|(name, mode, time, content)| {
            let content = match name.as_str() {
                "shop/README.md" => content,
                _ => content
                    .replace("nginx:1", "r.corp:5000/library/nginx:1")
                    .replace("quay.io", "r.corp:5000"),
            };
            (name, mode, time, content)
        })
        .collect();
    ensure!(members(&now)? == expected, "{:?}", members(&now)?);
    let mut head = flate2::read::GzDecoder::new(&now[..]);
    std::io::Read::read_to_end(&mut head, &mut Vec::new())?;
    ensure!(head.header().and_then(|head| head.comment()) == Some(&b"Helm"[..]));

    fs::write(&path, &archive)?;
    ground.rewrite(&["charts", "--offline", "--in-place"])?;
    ensure!(fs::read(&path)? == now, "the same chart gives the same one again");
    ground.rewrite(&["charts", "--offline", "--in-place"])?.prints("0 references renamed")?;
    ensure!(fs::read(&path)? == now);
    Ok(())
}

#[test]
fn workloads_on_virtual_nodes_and_no_others_are_annotated() -> Result<()> {
    let ground = Ground::new(&["nginx:1", "quay.io/a/b:2"], "  address: r.corp:5000\n  plainHttp: true\n")?;
    let site = ground.read("site.yaml")?;
    ground.workspace.write(
        "site.yaml",
        format!("{site}nodes: {{configure: true, virtual: {{}}, names: {{r.corp: [10.0.0.5]}}}}\n"),
    )?;
    let workload = |node: &str| {
        format!(
            "kind: Deployment\napiVersion: apps/v1\nmetadata: {{name: {node}}}\nspec:\n  template:\n    metadata:\n      labels: {{a: b}}\n    spec:\n      nodeSelector: {{type: {node}}}\n      containers:\n        - image: nginx:1\n"
        )
    };
    ground
        .workspace
        .write("all.yaml", format!("{}---\n{}", workload("machine"), workload("virtual-kubelet")))?;
    let outcome = ground.rewrite(&["all.yaml", "--offline", "--in-place"])?;
    ensure!(outcome.code == Some(0), "{outcome}");
    let text = ground.read("all.yaml")?;
    let (machine, instance) = text.split_once("---\n").context("there are two")?;
    let renamed = |text: String| text.replace("nginx:1", "r.corp:5000/library/nginx:1");
    ensure!(machine == renamed(workload("machine")), "{machine}");
    let annotations = "      annotations:\n        k8s.ksyun.com/kci-host-aliases: '[{\"ip\":\"10.0.0.5\",\"hostnames\":[\"r.corp\"]}]'\n        k8s.ksyun.com/kci-http-registry: 'r.corp:5000'\n";
    let expected = renamed(workload("virtual-kubelet"))
        .replace("    metadata:\n", &format!("    metadata:\n{annotations}"));
    ensure!(instance == expected, "{instance}");
    ground.rewrite(&["all.yaml", "--offline", "--in-place"])?.prints("0 references renamed in 0 files")?;
    Ok(())
}
