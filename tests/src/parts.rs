//! Real servers and clients, as users run them, each on loopback or in a network namespace without a route out.
//!
//! A part that is not installed makes its tests skip loudly; under `cargo xtask test` (`FERRY_REQUIRE_PARTS=1`)
//! it makes them fail.

mod api_server;
mod cable;
mod certificates;
mod daemon;
mod dns_server;
mod docker_registry;
mod loopback_fleet;
mod machine;
mod node;
mod ssh_node;

use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use api_server::ApiServer;
pub use certificates::Certificates;
pub use dns_server::{DnsServer, table_of};
pub(crate) use docker_registry::push;
pub use docker_registry::{DockerRegistry, RegistrySetup, htpasswd};
pub use loopback_fleet::LoopbackFleet;
pub use machine::{Machine, MachineSetup};
pub use node::Node;
pub use ssh_node::{Runtime, SshNode};

use crate::process::Program;

/// Whether all of these programs are installed, and, where one needs it, we are root. `helm3` and `helm4` are the
/// two helms that `cargo xtask test` fetches, `rootfs` is the system that it builds for [`Machine`]s.
///
/// # Panics
/// Where they are not and `FERRY_REQUIRE_PARTS` says that they must be.
pub fn ready(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().copied().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(
        std::env::var_os("FERRY_REQUIRE_PARTS").is_none(),
        "this test needs {missing}, and FERRY_REQUIRE_PARTS is set"
    );
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    {
        eprintln!("SKIPPED: needs {missing}; `cargo xtask test` installs what is missing");
    }
    false
}

fn is_there(name: &str) -> bool {
    match name {
        "root" => rustix::process::geteuid().is_root(),
        "helm3" => helm_path(3).is_file(),
        "helm4" => helm_path(4).is_file(),
        "rootfs" => rootfs().is_dir(),
        name => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
                .any(|folder| folder.join(name).is_file())
        }
    }
}

/// kubectl, out of the wheel that has helm 3.
fn kubectl() -> PathBuf {
    folder().join("helm3/kubectl")
}

fn helm_path(major: u32) -> PathBuf {
    helm_folder(major).join("helm")
}

/// The system that machines boot.
fn rootfs() -> PathBuf {
    folder().join("rootfs")
}

/// Where `cargo xtask test` keeps what it fetches and builds.
fn folder() -> PathBuf {
    std::env::var_os("FERRY_PARTS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/parts"), PathBuf::from)
}

/// The folder that has the helm of this major version, to be a `PATH`.
pub fn helm_folder(major: u32) -> PathBuf {
    folder().join(format!("helm{major}"))
}

/// The helm CLI of this major version, with its configuration and cache in `home`.
pub fn helm(major: u32, home: &Path) -> Program {
    Program::new(helm_path(major)).env("HOME", home).env("XDG_CACHE_HOME", home.join("cache"))
}

/// skopeo, with no policy and no configuration of this machine.
pub fn skopeo() -> Program {
    Program::new("skopeo").arg("--insecure-policy")
}

/// Makes a key for ssh at `path`, and gives its public half, which lies beside it as `.pub`.
pub fn ssh_key(path: &Path) -> Result<String> {
    Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).succeed()?;
    Ok(std::fs::read_to_string(format!("{}.pub", path.display()))?)
}

/// A port of this address that was free a moment ago.
pub fn free_port(address: IpAddr) -> Result<u16> {
    let listener = TcpListener::bind((address, 0)).with_context(|| format!("no port on {address}"))?;
    Ok(listener.local_addr()?.port())
}

/// Waits until something listens at `address`.
pub fn wait_for_port(address: &str, limit: Duration) -> Result<()> {
    wait_until(limit, &format!("nothing listens at {address}"), || TcpStream::connect(address).is_ok())
}

/// Waits until `is_so`, or fails with `otherwise`.
pub fn wait_until(limit: Duration, otherwise: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > limit {
            bail!("{otherwise} after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs a tool of the machine and fails with what it said.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
