//! The cluster that `cargo xtask test --cluster` also tests with: the API server of Kubernetes 1.20, which BlueKing 7.1 runs
//! on, built from Debian's source package; and whatever cluster is named by its kubeconfig.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{find, install_packages, rootfs};
use crate::run::{headline, run};

/// Names the kubeconfig of a cluster that is there. The tests read it too.
const KUBECONFIG: &str = "FERRY_TEST_KUBECONFIG";
/// Names the API server's program for the tests.
const API_SERVER: &str = "FERRY_TEST_APISERVER";

/// What building and running it takes: programs, and the Debian packages that have them.
const PACKAGES: [(&str, &str); 5] = [
    ("etcd", "etcd-server"),
    ("make", "make"),
    ("rsync", "rsync"),
    ("dpkg-source", "dpkg-dev"),
    (GO, "golang-1.19-go"),
];
/// The newest compiler that this release of Kubernetes was seen to build with.
const GO: &str = "/usr/lib/go-1.19/bin/go";

/// What it says of itself, as a release would.
const VERSION: &str = "KUBE_GIT_COMMIT=debian\nKUBE_GIT_TREE_STATE=archive\nKUBE_GIT_VERSION=v1.20.2\nKUBE_GIT_MAJOR=1\nKUBE_GIT_MINOR=20\n";

/// What the tests with a real cluster need.
#[derive(Debug)]
pub(crate) struct Cluster {
    api_server: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Cluster {
    /// Builds the API server, unless it is there, and checks the kubeconfig, where one is named.
    pub(crate) fn prepare() -> Result<Self> {
        let kubeconfig = std::env::var_os(KUBECONFIG).map(|named| checked(&named)).transpose()?;
        let folder = super::folder().join("kubernetes");
        let api_server = folder.join("kube-apiserver");
        install()?;
        if !api_server.is_file() {
            build(&folder, &api_server)?;
        }
        Ok(Self { api_server, kubeconfig })
    }

    /// What is said when no cluster was asked for.
    pub(crate) fn skipped() -> &'static str {
        "no real cluster was tested with: --cluster does that"
    }

    /// Tells the tests of `cluster`, or that there is none: that must be said, and not be lying about in the environment.
    pub(crate) fn tell(cluster: Option<&Self>, command: &mut Command) {
        let set = |command: &mut Command, name: &str, value: Option<&PathBuf>| {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        };
        set(command, API_SERVER, cluster.map(|cluster| &cluster.api_server));
        set(command, KUBECONFIG, cluster.and_then(|cluster| cluster.kubeconfig.as_ref()));
    }
}

fn install() -> Result<()> {
    let is_there = |program: &str| Path::new(program).is_file() || find(program).is_some();
    let missing: Vec<_> =
        PACKAGES.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    headline(&format!("installing {}", missing.join(" ")));
    install_packages(&missing)
}

/// Builds it in `folder`, and leaves nothing there but the program.
fn build(folder: &Path, program: &Path) -> Result<()> {
    headline(
        "building the API server of Kubernetes 1.20.2 from Debian's source, which takes a quarter of an hour",
    );
    let work = folder.join("build");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| work.display().to_string())?;
    }
    fs::create_dir_all(work.join("lists/partial"))?;
    let source = fetch_source(&work)?;
    let version = work.join("version");
    fs::write(&version, VERSION)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let compilers = Path::new(GO).parent().context("it lies in a folder")?.display();
    run(Command::new("make")
        .args(["--silent", "WHAT=cmd/kube-apiserver"])
        .current_dir(&source)
        .env("PATH", format!("{compilers}:{path}"))
        .env("KUBE_GIT_VERSION_FILE", &version)
        .envs([
            ("GOFLAGS", "-mod=vendor"),
            ("GOPROXY", "off"),
            ("CGO_ENABLED", "0"),
            ("FORCE_HOST_GO", "y"),
        ]))?;
    fs::rename(source.join("_output/local/go/bin/kube-apiserver"), program).context("it was built")?;
    fs::remove_dir_all(&work).with_context(|| work.display().to_string())
}

/// Fetches Debian's source package and gives the folder that it lies in. The machine's own list of sources stays as it is.
fn fetch_source(work: &Path) -> Result<PathBuf> {
    let list = work.join("sources.list");
    fs::write(&list, rootfs::sources()?)?;
    let apt = |arguments: &[&str]| {
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        run(Command::new("apt-get")
            .args(["-o", &option("Dir::Etc::sourcelist", &list), "-o", "Dir::Etc::sourceparts=-"])
            .args(["-o", &option("Dir::State::lists", &work.join("lists"))])
            .args(arguments)
            .current_dir(work))
    };
    apt(&["update", "-qq"])?;
    apt(&["source", "-qq", "kubernetes"]).context("Debian 12 has the source of Kubernetes 1.20.2")?;
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.join("cmd/kube-apiserver").is_dir() {
            return Ok(path);
        }
    }
    anyhow::bail!("the source package has no cmd/kube-apiserver")
}

fn checked(named: &OsStr) -> Result<PathBuf> {
    let path = Path::new(named);
    ensure!(path.is_file(), "{KUBECONFIG} names {}, which is no file", path.display());
    // Tests run in folders of their own.
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_a_file() {
        let error = checked(OsStr::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
        assert!(
            checked(OsStr::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).unwrap().is_absolute()
        );
    }
}
