//! The system that the tests' machines boot: a Debian with systemd, docker and containerd, in a folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run::{headline, output, run};

/// What the system has beyond Debian's smallest.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,ca-certificates,docker.io,containerd,runc,iptables,kmod,procps,curl";

/// What a machine does not start by itself.
const DISABLED: [&str; 3] = ["docker.service", "docker.socket", "containerd.service"];

/// What a finished system says it was made of.
const RECIPE: &str = "etc/ferry-packages";

/// An archive of packages.
#[derive(Debug, PartialEq, Eq)]
struct Archive {
    address: String,
    components: Vec<String>,
}

/// Whether it is there, and made of what it should be.
pub(super) fn is_there(root: &Path) -> bool {
    fs::read_to_string(root.join(RECIPE)).is_ok_and(|recipe| recipe == PACKAGES)
}

/// Builds it.
pub(super) fn build(root: &Path) -> Result<()> {
    headline("building the system of the tests' machines, which takes a minute or three");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let (archive, release) = archive()?;

    let unfinished = root.with_extension("unfinished");
    for folder in [root, &unfinished] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
    }
    // A system that is never started needs no disk that is safe against power cuts; syncing would double the time.
    fs::create_dir_all(unfinished.join("etc/dpkg/dpkg.cfg.d"))?;
    fs::write(unfinished.join("etc/dpkg/dpkg.cfg.d/unsafe-io"), "force-unsafe-io\n")?;
    // In a mount namespace, so that an interrupted one leaves no /proc mounted in what is then removed.
    let unshare = ["--mount", "--propagation", "private", "debootstrap", "--variant=minbase"];
    output(
        Command::new("unshare")
            .args(unshare)
            .arg(format!("--components={}", archive.components.join(",")))
            .arg(format!("--include={PACKAGES}"))
            .arg(&release)
            .arg(&unfinished)
            .arg(&archive.address),
    )
    .with_context(|| format!("see {}/debootstrap/debootstrap.log", unfinished.display()))?;
    run(Command::new("systemctl")
        .arg("--quiet")
        .arg("--root")
        .arg(&unfinished)
        .arg("disable")
        .args(DISABLED))?;
    fs::remove_dir_all(unfinished.join("var/cache/apt/archives"))?;
    fs::write(unfinished.join(RECIPE), PACKAGES)?;
    fs::rename(&unfinished, root)?;
    Ok(())
}

/// The archive that packages of this machine's release come from, and that release's code name.
fn archive() -> Result<(Archive, String)> {
    let release = release(&fs::read_to_string("/etc/os-release")?)?;
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let targets =
        output(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let archive = choose(&targets, &release)
        .with_context(|| format!("apt knows no archive of {release} that debootstrap can read"))?;
    Ok((archive, release))
}

/// The line of a sources.list that names the same archive's source packages.
pub(super) fn sources() -> Result<String> {
    let (archive, release) = archive()?;
    Ok(format!("deb-src {} {release} {}\n", archive.address, archive.components.join(" ")))
}

/// The code name of the distribution's release.
fn release(text: &str) -> Result<String> {
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// The archive of this release among the targets that apt knows: lines of address, release and component.
fn choose(targets: &str, release: &str) -> Option<Archive> {
    let targets = targets.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (address, its_release, component) = (fields.next()?, fields.next()?, fields.next()?);
        let is_readable = ["http://", "https://", "file:/"].iter().any(|scheme| address.starts_with(scheme));
        (is_readable && its_release == release).then_some((address, component))
    });
    let targets: Vec<_> = targets.collect();
    let (address, _) = *targets.first()?;
    let components = targets.iter().filter(|target| target.0 == address).map(|target| target.1.to_owned());
    Some(Archive { address: address.to_owned(), components: components.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_archive_that_apt_uses() {
        let targets = "mirror+file:/etc/mirrors bookworm main
http://security.example/ bookworm-security main
http://packages.example/debian/ bookworm main
http://packages.example/debian/ bookworm contrib
http://packages.example/debian/ bookworm-updates main
http://other.example/ nodistro main
";
        let archive = Archive {
            address: "http://packages.example/debian/".into(),
            components: vec!["main".into(), "contrib".into()],
        };
        assert_eq!(choose(targets, "bookworm"), Some(archive));
        assert_eq!(choose(targets, "trixie"), None);
        assert_eq!(release("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
    }
}
