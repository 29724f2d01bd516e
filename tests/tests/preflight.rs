//! `ferry-installer preflight` against real registries and against servers that are none.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, RegistrySetup, free_port};
use ferry_tests::process::Outcome;
use ferry_tests::workspace::Sample;

/// A server that gives the same answer to everybody. An empty one means none at all: it only listens.
fn answering(answer: &'static str) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let host = listener.local_addr()?.to_string();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(host)
}

const WEB_PAGE: &str =
    "HTTP/1.1 200 OK\r\nserver: nginx/1.25\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";
const LONG_AGO: &str = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ndocker-distribution-api-version: registry/2.0\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

struct Site {
    sample: Sample,
}

/// What was found, by the check's name: finding and words.
type Found = BTreeMap<String, Vec<(String, String)>>;

impl Site {
    fn new(seed: u64) -> Result<Self> {
        Ok(Self { sample: Sample::built(Corpus::small(seed, 40_000))? })
    }

    /// Checks a site file with these sections. Gives what was found, with the exit code that must follow from it.
    fn check(&self, sections: &str, arguments: &[&str]) -> Result<(Outcome, Found)> {
        let head = "apiVersion: ferry/v1\nkind: Site\nname: dc\n";
        self.sample.workspace.write("site.yaml", format!("{head}{sections}\n"))?;
        let program = self.sample.workspace.installer().env("REGISTRY_PASSWORD", "s3cret-of-the-site");
        let program = program.args(["preflight", "bundle", "--site", "site.yaml", "--output", "json"]);
        let outcome = program.args(arguments).run()?;
        let found = found(&outcome)?;
        ensure!(!outcome.to_string().contains("s3cret"), "a password was shown: {outcome}");
        Ok((outcome, found))
    }
}

fn found(outcome: &Outcome) -> Result<Found> {
    let json = outcome.json()?;
    let mut found = Found::new();
    let mut blocked = false;
    for check in json["checks"].as_array().context("a list of checks")? {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        ensure!(!text("reason").is_empty() && !text("remedy").is_empty(), "{check}");
        blocked |= text("severity") == "required" && text("finding") != "passed";
        found.entry(text("name")).or_default().push((text("finding"), text("found")));
    }
    ensure!(outcome.code == Some(i32::from(blocked)), "{outcome}");
    Ok(found)
}

/// Expects the first check of this name to have found this, in words that hold `words`.
fn expect(found: &Found, name: &str, finding: &str, words: &str) -> Result<()> {
    let first = found.get(name).and_then(|checks| checks.first());
    let (actual, said) = first.with_context(|| format!("{name} is not among {found:?}"))?;
    ensure!(actual == finding && said.contains(words), "{name}: {actual}, {said}");
    Ok(())
}

#[test]
fn a_real_registry_that_is_ready() -> Result<()> {
    if !parts::ready(&["docker-registry", "htpasswd"]) {
        return Ok(());
    }
    let site = Site::new(301)?;
    let login = Some(("u".to_owned(), "s3cret-of-the-site".to_owned()));
    let registry = DockerRegistry::start(&RegistrySetup { tls: true, login, ..RegistrySetup::default() })?;
    let (host, authority) = (registry.host(), registry.authority().display().to_string());
    let section = |user: &str, more: &str| {
        let login = format!("login: {{user: {user}, password: {{env: REGISTRY_PASSWORD}}}}");
        format!("registry: {{address: \"{host}\", existing: {{}}, authority: {authority}, {login}{more}}}")
    };
    let (outcome, checks) = site.check(&section("u", ""), &[])?;
    ensure!(outcome.code == Some(0), "{outcome}");
    for name in ["registry-port", "registry-tls", "registry-certificate", "registry-answer", "registry-clock"]
    {
        expect(&checks, name, "passed", "")?;
    }
    expect(&checks, "registry-push", "passed", "taken back")?;
    expect(&checks, "registry-limits", "passed", "nothing is known to refuse")?;
    ensure!(!checks.contains_key("host-swap"), "BlueKing's requirements were not asked for: {checks:?}");
    // No upload is left, and nothing that a push would have left; registry:2 forgets an empty file of its own there.
    let mut left = Command::new("find");
    left.arg(registry.storage()).args(["-type", "f", "-not", "-path", "*/hashstates/*"]);
    let left = left.output()?.stdout;
    ensure!(left.is_empty(), "{}", String::from_utf8_lossy(&left));

    let (outcome, checks) = site.check(&section("nobody", ""), &[])?;
    expect(&checks, "registry-push", "failed", "refused the password of user `nobody`")?;
    outcome.says("registry-push")?;
    // The certificate is for the address alone.
    let (_, checks) = site.check(&section("u", ", alsoKnownAs: [registry.invalid]"), &[])?;
    expect(&checks, "registry-alias", "failed", "")?;
    expect(&checks, "registry-certificate", "failed", "registry.invalid")?;
    // A check that is left out is not made, and does not count.
    let (outcome, checks) = site.check(&section("nobody", ""), &["--skip", "registry-push,image-layers"])?;
    ensure!(outcome.code == Some(0) && !checks.contains_key("registry-push"), "{outcome}");

    let missing = section("u", "").replace("REGISTRY_PASSWORD", "NOT_SET_ANYWHERE");
    let (_, checks) = site.check(&missing, &[])?;
    expect(&checks, "registry-push", "failed", "NOT_SET_ANYWHERE")?;
    expect(&checks, "registry-answer", "passed", "")?;
    let (_, checks) = site.check(&section("u", "").replace(&format!("authority: {authority},"), ""), &[])?;
    expect(&checks, "registry-tls", "failed", "unknown authority")?;
    expect(&checks, "registry-answer", "unknown", "")?;
    let plain = format!("registry: {{address: \"{host}\", existing: {{}}, plainHttp: true}}");
    let (_, checks) = site.check(&plain, &[])?;
    expect(&checks, "registry-answer", "failed", "TLS only")?;
    Ok(())
}

#[test]
fn servers_that_are_no_registry() -> Result<()> {
    let site = Site::new(302)?;
    let at = |host: &str, plain: bool| {
        format!("registry: {{address: \"{host}\", existing: {{}}, plainHttp: {plain}}}")
    };
    let page = answering(WEB_PAGE)?;
    let (_, checks) = site.check(&at(&page, true), &[])?;
    expect(&checks, "registry-answer", "failed", "status 200 from nginx/1.25")?;
    expect(&checks, "registry-clock", "unknown", "Date")?;
    ensure!(!checks.contains_key("registry-push"), "a web server was pushed to: {checks:?}");
    let (_, checks) = site.check(&at(&page, false), &[])?;
    expect(&checks, "registry-tls", "failed", "plain HTTP")?;

    let (_, checks) = site.check(&at(&answering(LONG_AGO)?, true), &[])?;
    expect(&checks, "registry-answer", "passed", "")?;
    expect(&checks, "registry-clock", "failed", "behind this machine's")?;

    let closed = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST.into())?);
    let (_, checks) = site.check(&at(&closed, true), &[])?;
    expect(&checks, "registry-port", "failed", "refused")?;
    expect(&checks, "registry-answer", "unknown", "")?;
    // One that never says a word.
    let (outcome, checks) = site.check(&at(&answering("")?, true), &["--stall-timeout", "1"])?;
    expect(&checks, "registry-port", "failed", "silent")?;
    ensure!(outcome.elapsed < Duration::from_secs(60), "{outcome}");
    let (_, checks) = site.check(&at("registry.invalid:5000", true), &[])?;
    expect(&checks, "registry-name", "failed", "")?;
    Ok(())
}

#[test]
fn a_port_for_a_registry_of_our_own() -> Result<()> {
    if !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let site = Site::new(303)?;
    let at = |host: &str, mode: &str| {
        format!("registry: {{address: \"{host}\", plainHttp: true, folder: ferry, {mode}}}")
    };
    let skip = ["--skip", "privileges,systemd"];
    let free = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST.into())?);
    let systemd = "systemd: {storage: kept}";
    for mode in ["serve: {}", systemd] {
        let (outcome, checks) = site.check(&at(&free, mode), &skip)?;
        ensure!(outcome.code == Some(0), "{outcome}");
        expect(&checks, "registry-port", "passed", "free")?;
        expect(&checks, "registry-here", "passed", "")?;
        ensure!(!checks.contains_key("registry-answer"), "nothing is there to answer: {checks:?}");
    }
    let (_, checks) = site.check(&at(&answering(WEB_PAGE)?, "serve: {}"), &skip)?;
    expect(&checks, "registry-port", "failed", "nginx/1.25")?;

    let registry = DockerRegistry::start(&RegistrySetup::default())?;
    let (_, checks) = site.check(&at(registry.host(), systemd), &skip)?;
    expect(&checks, "registry-port", "failed", "did not set up")?;
    // That files of Ferry's lie here makes it no registry of Ferry's.
    fs::create_dir(site.sample.workspace.path("ferry"))?;
    for mode in ["serve: {}", systemd] {
        let (outcome, checks) = site.check(&at(registry.host(), mode), &skip)?;
        ensure!(outcome.code == Some(1), "{outcome}");
        expect(&checks, "registry-port", "failed", "did not set up")?;
    }
    // What docker cannot be asked about is not known.
    let (_, checks) =
        site.check(&at(registry.host(), "docker: {daemon: \"unix:///nowhere.sock\"}"), &skip)?;
    expect(&checks, "registry-port", "unknown", "cannot be seen")?;
    Ok(())
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, options: &str) -> Result<Self> {
        fs::create_dir_all(&path)?;
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status()?;
        ensure!(status.success(), "cannot mount a tmpfs");
        Ok(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn disks_are_sized_from_the_bundle() -> Result<()> {
    if !parts::ready(&["root", "mount"]) {
        return Ok(());
    }
    let site = Site::new(304)?;
    let workspace = &site.sample.workspace;
    let check = |storage: &Path| {
        let program = workspace.installer().args(["preflight", "bundle", "--output", "json", "--storage"]);
        found(&program.arg(storage).run()?)
    };
    let roomy = SmallDisk::mount(workspace.path("roomy"), "size=64m")?;
    let found = check(&roomy.0.join("registry/not/there/yet"))?;
    expect(&found, "disk-space", "passed", "64.0 MiB free")?;
    expect(&found, "disk-inodes", "passed", "")?;
    let small = SmallDisk::mount(workspace.path("small"), "size=8k")?;
    expect(&check(&small.0)?, "disk-space", "failed", "8.0 KiB free")?;
    let few = SmallDisk::mount(workspace.path("few"), "size=64m,nr_inodes=8")?;
    expect(&check(&few.0)?, "disk-inodes", "failed", "7 free")?;
    Ok(())
}

#[test]
fn what_blueking_asks_for() -> Result<()> {
    let site = Site::new(305)?;
    let skewed = answering(LONG_AGO)?;
    let (_, checks) = site.check(&format!("bkrepo: {{url: \"http://{skewed}\"}}"), &["--role", "node"])?;
    expect(&checks, "bkrepo-answer", "passed", "200")?;
    expect(&checks, "bkrepo-clock", "failed", "behind this machine's")?;
    for name in ["host-system", "host-kernel", "host-swap", "host-selinux", "host-firewall", "host-data"] {
        ensure!(checks.contains_key(name), "{name} is not among {checks:?}");
    }
    let installer = || site.sample.workspace.installer().arg("preflight");
    let by_profile = installer().args(["bundle", "--profile", "blueking"]).run()?;
    by_profile.prints("host-memory")?.prints("for a control host")?;
    let list = installer().arg("--list").succeed()?;
    list.prints("host-swap")?.prints("required")?.prints("registry-push")?;
    installer().args(["bundle", "--skip", "no-such-check"]).fail_with(2)?.says("no-such-check")?;
    installer().fail_with(2)?;
    Ok(())
}
