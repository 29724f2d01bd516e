//! Registries that `apply` brings up on a machine of their own, under its systemd: pulled from over TLS with a password, there
//! after a reboot, and gone without a trace after `rollback`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_model::Digest;
use ferry_tests::corpus::{Corpus, Dialect, Image, ImageSetup, Layer};
use ferry_tests::cut_off::{self, Ground};
use ferry_tests::parts::{self, Machine, MachineSetup, skopeo, wait_for_port};
use ferry_tests::process::{Outcome, Program, binary};
use ferry_tests::workspace::{Sample, Workspace};

const USER: &str = "ferry";
const PASSWORD: &str = "correct-horse-battery";
const INSTALLER: &str = "/opt/ferry/ferry-installer";
const BUNDLE: &str = "/data/my bundle";
const UNIT: &str = "/etc/systemd/system/ferry-registry.service";
const SITE: &str = "/srv/ferry/site.yaml";

/// The checks that would have seen the taken port before.
const CHECKS: &str = "registry-port,registry-here,registry-tls,registry-answer";

/// Something else takes the service's port.
const SQUATTER: &str =
    "systemd-run --unit=squatter systemd-socket-activate --listen=5000 --accept --inetd true";

/// Every file, folder and link that a change could have touched, with its rights and its content, leaving out what systemd keeps
/// for itself.
const LISTING: &str = r"
find /etc /var/lib /usr/local /opt /srv -xdev \( -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/containerd \
  -o -path /srv/ferry -o -path /opt/ferry \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
find /etc /var/lib /usr/local /srv -xdev \( -path /var/lib/systemd -o -path /srv/ferry \) -prune -o -type f -print0 |
  sort -z | xargs -0 sha256sum";

/// A machine with the installer, a bundle and a site file.
struct Site {
    machine: Machine,
    workspace: Workspace,
    corpus: Corpus,
    host: String,
}

impl Ground for Site {
    fn installer(&self, arguments: &[&str]) -> Program {
        self.machine.program(INSTALLER).args(arguments).args(["--site", SITE]).limit(Duration::from_secs(120))
    }

    fn listing(&self) -> Result<String> {
        Ok(self.machine.shell(LISTING).succeed()?.stdout)
    }

    fn forget_a_line(&self) -> Result<()> {
        cut_off::forget_a_line_of(&self.machine, "/srv/ferry/site.ferry")
    }

    fn log(&self) -> String {
        let script = "systemctl --no-pager status ferry-registry; journalctl --no-pager -u ferry-registry -n 40; cat /etc/systemd/system/ferry-registry.service";
        self.machine.shell(script).run().map_or_else(|error| error.to_string(), |outcome| outcome.to_string())
    }
}

impl Site {
    fn new(corpus: Corpus, mode: impl FnOnce(&str) -> String) -> Result<Self> {
        let Sample { workspace, corpus, registry, .. } = Sample::built(corpus)?;
        let shared = vec![
            (binary("ferry-installer"), PathBuf::from(INSTALLER)),
            (workspace.path("bundle"), PathBuf::from(BUNDLE)),
        ];
        let machine = Machine::start(&MachineSetup { shared })?;
        let host = format!("{}:5000", machine.address());
        let site = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: {host}\n  alsoKnownAs: [registry.corp]\n  login: {{user: {USER}, password: {{file: password}}}}\n{}",
            mode(&registry.host())
        );
        machine.write(SITE, site)?;
        machine.write("/srv/ferry/password", format!("{PASSWORD}\n"))?;
        Ok(Self { machine, workspace, corpus, host })
    }

    fn apply(&self) -> Result<Outcome> {
        let outcome = self.installer(&["apply", BUNDLE]).succeed().with_context(|| self.log())?;
        ensure!(!format!("{outcome}").contains(PASSWORD), "{outcome}");
        Ok(outcome)
    }

    /// What the host sees over TLS, trusting the authority that the machine has made.
    fn inspect(&self, image: &Image, login: &str) -> Result<Program> {
        let folder = self.workspace.path("certificates");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("ca.crt"), self.machine.read("/etc/ferry/registry/tls/ca.crt")?)?;
        let reference = format!("docker://{}/{}", self.host, image.name());
        Ok(skopeo().args(["inspect", "--raw", "--creds", login, "--cert-dir"]).arg(folder).arg(reference))
    }

    /// Pulls everything with all layers, as a node would.
    fn pull_all(&self) -> Result<()> {
        let login = format!("{USER}:{PASSWORD}");
        for image in &self.corpus.images {
            let raw = self.inspect(image, &login)?.succeed().with_context(|| self.log())?.stdout;
            ensure!(Digest::of(raw.as_bytes()) == image.root, "{}: {raw}", image.name());
            let copy = self.workspace.path("copy");
            skopeo()
                .args(["copy", "--all", "--src-creds", &login, "--src-cert-dir"])
                .arg(self.workspace.path("certificates"))
                .arg(format!("docker://{}/{}", self.host, image.name()))
                .arg(format!("dir:{}", copy.display()))
                .succeed()?;
            fs::remove_dir_all(copy)?;
        }
        Ok(())
    }

    fn is_shut_to_others(&self) -> Result<()> {
        let image = &self.corpus.images[0];
        for login in ["ferry:wrong", "other:correct-horse-battery"] {
            let refused = self.inspect(image, login)?.run()?;
            ensure!(refused.code != Some(0), "{login} got in: {refused}");
        }
        let unknown = tempfile::tempdir()?;
        let login = format!("{USER}:{PASSWORD}");
        let reference = format!("docker://{}/{}", self.host, image.name());
        let refused = skopeo()
            .args(["inspect", "--raw", "--creds", &login, "--cert-dir"])
            .arg(unknown.path())
            .arg(reference)
            .run()?;
        ensure!(refused.code != Some(0) && refused.stderr.contains("certificate"), "{refused}");
        Ok(())
    }

    /// Every key of the unit file is known to this systemd, and those that matter have been taken up.
    fn is_hardened(&self) -> Result<()> {
        let verified = self.machine.program("systemd-analyze").args(["verify", UNIT]).succeed()?;
        ensure!(verified.stderr.lines().all(|line| !line.contains("ferry")), "{verified}");
        let properties = "--property=ProtectSystem,PrivateTmp,NoNewPrivileges,CapabilityBoundingSet";
        let shown =
            self.machine.program("systemctl").args(["show", properties, "ferry-registry"]).succeed()?;
        for line in ["ProtectSystem=strict\n", "PrivateTmp=yes\n", "NoNewPrivileges=yes\n"] {
            ensure!(shown.stdout.contains(line), "{shown}");
        }
        ensure!(!shown.stdout.contains("cap_sys_admin"), "{shown}");
        Ok(())
    }

    /// Applied, pulled from, rebooted, pulled from, applied again, taken back.
    fn comes_and_goes(&mut self) -> Result<()> {
        let before = self.listing()?;
        self.apply()?;
        self.pull_all()?;
        self.is_shut_to_others()?;
        self.is_hardened()?;
        self.machine.reboot()?;
        wait_for_port(&self.host, Duration::from_secs(20)).with_context(|| self.log())?;
        self.pull_all()?;
        let standing = self.listing()?;
        ensure!(standing != before, "the listing does not show what apply does");
        self.installer(&["apply", BUNDLE]).succeed()?.prints("nothing to do")?;
        ensure!(self.listing()? == standing, "an apply with nothing to do has written something");
        self.stays_up_to_date()?;

        self.installer(&["rollback"]).succeed().with_context(|| self.log())?;
        let after = self.listing()?;
        ensure!(after == before, "{}", difference(&before, &after));
        let units = self.machine.shell("systemctl list-units --all --no-legend 'ferry*'").succeed()?;
        ensure!(units.stdout.trim().is_empty(), "{units}");
        self.machine.reboot()?;
        ensure!(std::net::TcpStream::connect(&self.host).is_err(), "it is back after a reboot");
        Ok(())
    }

    /// Where the service cannot start, its own words say why; once the reason has gone, the same command goes on.
    fn says_why_it_does_not_start(&self) -> Result<()> {
        let before = self.listing()?;
        self.machine.shell(SQUATTER).succeed()?;
        wait_for_port(&self.host, Duration::from_secs(10))?;
        let failed = self.installer(&["apply", BUNDLE, "--skip-check", CHECKS]).fail_with(1)?;
        let said = failed.to_string();
        ensure!(said.contains("its log ends with") && said.contains("in use"), "{failed}");
        self.machine.program("systemctl").args(["stop", "squatter"]).succeed()?;
        self.apply()?;
        self.pull_all()?;
        for _ in 0..2 {
            self.installer(&["rollback"]).succeed()?;
        }
        let after = self.listing()?;
        ensure!(after == before, "{}", difference(&before, &after));
        Ok(())
    }

    /// Stopped, or started in vain again and again, the service is taken back with all that it held.
    fn goes_when_it_does_not_run(&self) -> Result<()> {
        let before = self.listing()?;
        let stopped = "systemctl stop ferry-registry";
        let crashing =
            format!("{stopped} && {SQUATTER} && sleep 1 && systemctl start --no-block ferry-registry");
        for script in [stopped, &crashing] {
            self.apply()?;
            self.machine.shell(script).succeed()?;
            self.installer(&["rollback"]).succeed().with_context(|| self.log())?;
            let after = self.listing()?;
            ensure!(after == before, "{script}: {}", difference(&before, &after));
        }
        self.machine.program("systemctl").args(["stop", "squatter"]).succeed().map(drop)
    }

    /// A file that somebody changed is put right, and the service takes it up; undoing that brings back what they had.
    fn stays_up_to_date(&self) -> Result<()> {
        let changed = format!("{}# by somebody\n", self.machine.read(UNIT)?);
        self.machine.write(UNIT, &changed)?;
        let process = || self.machine.shell("systemctl show --property=MainPID ferry-registry").succeed();
        let first = process()?.stdout;
        let plan = self.installer(&["plan", BUNDLE]).succeed()?;
        plan.prints("-# by somebody")?.prints("restart unit ferry-registry.service")?;
        self.apply()?;
        let second = process()?.stdout;
        ensure!(first != second, "the service was not restarted");
        self.installer(&["rollback"]).succeed()?;
        ensure!(self.machine.read(UNIT)? == changed, "what stood there before is not back");
        ensure!(process()?.stdout != second, "the service does not run with what is back");
        wait_for_port(&self.host, Duration::from_secs(20)).with_context(|| self.log())?;
        self.pull_all()?;
        self.machine.write(UNIT, changed.trim_end_matches("# by somebody\n"))
    }
}

fn difference(before: &str, after: &str) -> String {
    let lines = |text: &str, other: &str, sign: &str| -> Vec<String> {
        let known: std::collections::BTreeSet<&str> = other.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [lines(before, after, "-"), lines(after, before, "+")].concat().join("\n")
}

#[test]
fn a_bundle_is_served_in_place() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["skopeo"]) {
        return Ok(());
    }
    let mut site = Site::new(Corpus::small(401, 60_000), |_| String::new())?;
    site.comes_and_goes()?;
    site.says_why_it_does_not_start()?;
    site.goes_when_it_does_not_run()
}

#[test]
fn cut_off_at_every_line_of_its_journal_a_service_goes_on_or_back() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["skopeo", "strace"]) {
        return Ok(());
    }
    let site = Site::new(Corpus::small(403, 20_000), |_| String::new())?;
    let lines = cut_off::at_every_line(&site, BUNDLE)?;
    ensure!(lines >= 16, "a run of {lines} lines");
    Ok(())
}

/// Debian's docker-registry in an image that is laid out like the official one.
fn registry_image() -> Result<Image> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut put = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content)
    };
    put("bin/registry", &fs::read("/usr/bin/docker-registry")?)?;
    put("entrypoint.sh", b"#!/bin/sh\nexec registry serve \"$@\"\n")?;
    let tar = archive.into_inner()?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar)?;
    let bytes = encoder.finish()?;
    let (digest, diff_id) = (Digest::of(&bytes), Digest::of(&tar));
    let layer = Layer { bytes: bytes.into(), digest, tar: tar.into(), diff_id, is_gzip: true };
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let setup = ImageSetup { repository: "library/registry", tag: "2", dialect: Dialect::Docker, platform };
    Ok(Image::single(&setup, &[Arc::new(layer)]))
}

#[test]
fn the_registry_out_of_the_bundle_runs_without_containers() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["skopeo", "docker-registry"]) {
        return Ok(());
    }
    let mut corpus = Corpus::small(402, 60_000);
    corpus.images.push(registry_image()?);
    let mode = |host: &str| {
        format!("  systemd: {{image: '{host}/library/registry:2', storage: /var/lib/images/registry}}\n")
    };
    let mut site = Site::new(corpus, mode)?;
    site.comes_and_goes()?;
    site.goes_when_it_does_not_run()
}
