//! `ferry-installer node` on a machine with systemd and dockerd: it pulls by name from a plain and a TLS registry, is told once,
//! and every file is as it was afterwards.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, Machine, MachineSetup, RegistrySetup};
use ferry_tests::process::{Outcome, binary};
use serde_json::{Value, json};

const INSTALLER: &str = "/opt/ferry/ferry-installer";
const DESIRED: &str = "/opt/desired.json";
/// The operator's own, behind a link, with tabs and returns.
const THEIRS: &str = "{\r\n\t\"max-concurrent-downloads\": 2,\r\n\t\"labels\": [\"a=b\"]\r\n}";

/// Every file, folder and link that a change could touch, with its rights and its content.
const LISTING: &str = r"
find /etc /var/lib /usr/local /srv -xdev \( -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/containerd \) -prune \
  -o -printf '%p %y %m %U:%G %l\n' | sort
find /etc /var/lib /usr/local /srv -xdev \( -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/containerd \) -prune \
  -o -type f -print0 | sort -z | xargs -0 sha256sum";

struct Ground {
    machine: Machine,
    corpus: Corpus,
    plain: DockerRegistry,
    tls: DockerRegistry,
}

impl Ground {
    fn new(seed: u64) -> Result<Self> {
        let shared = vec![(binary("ferry-installer"), PathBuf::from(INSTALLER))];
        let machine = Machine::start(&MachineSetup { shared })?;
        let corpus = Corpus::small(seed, 20_000);
        let address = machine.host_address();
        let plain = DockerRegistry::start(&RegistrySetup { address, ..RegistrySetup::default() })?;
        let storage = Some(plain.storage().to_owned());
        let tls = DockerRegistry::start(&RegistrySetup { address, storage, tls: true, login: None })?;
        for image in &corpus.images {
            plain.push(image)?;
        }
        machine.write("/srv/docker.json", THEIRS)?;
        machine.shell("mkdir -p /etc/docker && ln -s ../../srv/docker.json /etc/docker/daemon.json && chmod 640 /srv/docker.json").succeed()?;
        machine.shell("printf '127.0.0.1 localhost' >/etc/hosts").succeed()?;
        machine.program("systemctl").args(["enable", "--now", "docker.service"]).succeed()?;
        Ok(Self { machine, corpus, plain, tls })
    }

    fn desired(&self) -> Result<Value> {
        let address = self.machine.host_address();
        let image = &self.corpus.images[0];
        let digest = &image.documents.last().context("an image has a manifest")?.digest;
        let (plain, tls) = (self.plain.named("plain.corp"), self.tls.named("tls.corp"));
        Ok(json!({
            "names": [{"name": "plain.corp", "addresses": [address]}, {"name": "tls.corp", "addresses": [address]}],
            "hostTrust": true,
            "registries": [
                {"address": plain, "security": {"as": "plain-http"}, "mirrors": ["docker.io"]},
                {"address": tls, "security": {"as": "https", "authority": std::fs::read_to_string(self.tls.authority())?}},
            ],
            "probe": format!("{tls}/{}@{digest}", image.repository),
        }))
    }

    fn installer(&self, arguments: &[&str]) -> Result<Outcome> {
        self.machine.program(INSTALLER).arg("node").args(arguments).args(["--output", "json"]).run()
    }

    fn pull(&self, reference: &str) -> Result<Outcome> {
        self.machine.program("docker").args(["pull", "--quiet", reference]).run()
    }

    /// When dockerd was started, and how often it was told to read its configuration.
    fn life(&self) -> Result<(String, usize)> {
        let property = "--property=ExecMainStartTimestampMonotonic,NRestarts,MainPID";
        let began =
            self.machine.program("systemctl").args(["show", property, "docker.service"]).succeed()?.stdout;
        let log =
            self.machine.shell("journalctl --unit docker.service --output=cat --no-pager").succeed()?.stdout;
        Ok((began, log.matches("reload configuration").count()))
    }

    fn listing(&self) -> Result<String> {
        Ok(self.machine.shell(LISTING).succeed()?.stdout)
    }
}

/// The names and findings of checks that are not passed.
fn not_passed(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let wrong = checks.iter().filter(|check| check["finding"] != "passed");
    wrong.map(|check| format!("{} {}: {}", check["name"], check["subject"], check["found"])).collect()
}

#[test]
fn dockerd_pulls_by_name_is_told_once_and_forgets_nothing_of_the_operators() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let ground = Ground::new(701)?;
    ground.machine.write(DESIRED, ground.desired()?.to_string())?;
    let input = ["--input", DESIRED];
    let reference = |host: &str, number: usize| format!("{host}/{}", ground.corpus.images[number].name());
    let (plain, tls) = (ground.plain.named("plain.corp"), ground.tls.named("tls.corp"));

    let before = ground.listing()?;
    ensure!(ground.pull(&reference(&plain, 0))?.code != Some(0), "it pulls before it may");
    let wrong = ground.installer(&[&["check"], &input[..]].concat())?;
    ensure!(wrong.code == Some(1) && not_passed(&wrong.json()?).len() >= 5, "{wrong}");
    let planned = ground.installer(&[&["apply", "--dry-run"], &input[..]].concat())?;
    ensure!(planned.code == Some(0) && planned.stdout.contains("insecure-registries"), "{planned}");
    ensure!(ground.listing()? == before, "a dry run changes something");

    let (began, told) = ground.life()?;
    let applied = ground.installer(&[&["apply"], &input[..]].concat())?;
    ensure!(applied.code == Some(0), "{applied}");
    let runtimes = applied.json()?["runtimes"].as_array().cloned().unwrap_or_default();
    ensure!(runtimes.contains(&json!("docker")), "{applied}");
    ensure!(ground.life()? == (began.clone(), told + 1), "dockerd was not told once, or was restarted");
    let checked = ground.installer(&[&["check"], &input[..]].concat())?;
    ensure!(not_passed(&checked.json()?).iter().all(|wrong| wrong.contains("containerd")), "{checked}");
    ground.machine.shell("test -z \"$(docker images -q)\"").succeed().context("the probe stays")?;
    for reference in [reference(&plain, 0), reference(&tls, 1)] {
        let pulled = ground.pull(&reference)?;
        ensure!(pulled.code == Some(0), "{pulled}");
    }
    let trusted = ground.machine.shell("ls /etc/ssl/certs | grep -c ferry-tls.corp").succeed()?;
    ensure!(trusted.stdout.trim() == "1", "{trusted}");

    let after = ground.listing()?;
    ensure!(after != before);
    let again = ground.installer(&[&["apply"], &input[..]].concat())?;
    ensure!(again.code == Some(0) && again.json()?.get("changes").is_none(), "{again}");
    ensure!(again.json()?.get("services").is_none(), "{again}");
    ensure!(
        ground.listing()? == after && ground.life()? == (began.clone(), told + 1),
        "a second time it is told"
    );

    let undone = ground.installer(&["undo"])?;
    ensure!(undone.code == Some(0), "{undone}");
    let now = ground.listing()?;
    let differing: Vec<&str> = now.lines().filter(|line| !before.contains(line)).collect();
    ensure!(now == before, "{undone}\n{}", differing.join("\n"));
    ensure!(ground.life()?.0 == began, "dockerd was restarted");
    let seen =
        ground.machine.program("docker").args(["info", "--format", "{{json .RegistryConfig}}"]).succeed()?;
    ensure!(!seen.stdout.contains("plain.corp"), "dockerd has not forgotten: {seen}");
    ensure!(ground.machine.read("/etc/docker/daemon.json")? == THEIRS);
    Ok(())
}
