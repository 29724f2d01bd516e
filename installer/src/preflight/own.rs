//! Whether what listens on a registry's port is the one that Ferry has brought up here.

use std::fmt::Display;
use std::io;
use std::path::Path;

use ferry_model::report::Failed;
use ferry_model::site::{Mode, Registry, Tls};
use ferry_transfer::Daemon;
use tokio::time::timeout;

use super::host::Known;
use super::machine::{Machine, ThisMachine};
use super::probe::{ASK_LIMIT, brief};
use super::{HOST_LIMIT, Request, on_thread};
use crate::resources::is_own_container;

/// Where its unit lies.
const UNITS: &str = "/etc/systemd/system";

/// Whether it is, as far as it can be seen. Over a certificate of Ferry's own authority it has shown that itself. Else its files
/// prove nothing, for they stay when it is stopped and another takes its port: its unit or its container must run.
pub(super) async fn is_own(request: &Request<'_>, registry: &Registry, port: u16) -> Known<bool> {
    let folder = request.folder.join(&registry.folder);
    if registry.tls == Tls::Generated {
        return folder.try_exists().map_err(|error| unseen(folder.display(), &error));
    }
    let (container, daemon) = match &registry.mode {
        Mode::Serve(serve) => {
            return unit_runs(serve.unit.as_deref().unwrap_or("ferry-registry"), &folder, port).await;
        }
        Mode::Systemd(systemd) => return unit_runs(&systemd.unit, &folder, port).await,
        Mode::Docker(docker) => (&docker.container, &docker.daemon),
        Mode::Proxy(proxy) => (&proxy.container, &proxy.daemon),
        Mode::Existing(_) | Mode::Kubernetes(_) | Mode::Marathon(_) => return Ok(false),
    };
    let options = brief(request.options.clone());
    let daemon = match daemon {
        Some(host) => Daemon::at(host, &options),
        None => Daemon::from_environment(&options),
    };
    match timeout(ASK_LIMIT, async { daemon?.inspect_container(container).await }).await {
        Ok(Ok(found)) => Ok(found.is_some_and(|found| found.running && is_own_container(&found))),
        Ok(Err(error)) => Err(Failed::new(&error).message),
        Err(_) => Err(format!("the docker daemon did not answer within {} s", ASK_LIMIT.as_secs())),
    }
}

fn unseen(what: impl Display, error: &io::Error) -> String {
    format!("{what}: {error}")
}

async fn unit_runs(unit: &str, folder: &Path, port: u16) -> Known<bool> {
    let (unit, folder) = (unit.to_owned(), folder.to_owned());
    on_thread(HOST_LIMIT, move || listens(&ThisMachine, &unit, &folder, port)).await?
}

/// Whether the unit is active, and was set up for this port.
fn listens(machine: &impl Machine, unit: &str, folder: &Path, port: u16) -> Known<bool> {
    let unit = format!("{}.service", unit.strip_suffix(".service").unwrap_or(unit));
    let says_port = |path: &Path| match machine.read(path) {
        Ok(text) => Ok(names_port(&String::from_utf8_lossy(&text), port)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unseen(path.display(), &error)),
    };
    if !says_port(&Path::new(UNITS).join(&unit))? && !says_port(&folder.join("config.yml"))? {
        return Ok(false);
    }
    match machine.run("systemctl", &["is-active", &unit]) {
        Ok(ran) => Ok(ran.stdout.trim() == "active"),
        Err(error) => Err(unseen("systemctl is-active", &error)),
    }
}

fn names_port(text: &str, port: u16) -> bool {
    let port = format!(":{port}");
    text.match_indices(&port)
        .any(|(at, _)| !text[at + port.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::preflight::{FileSystem, Ran};

    /// A machine with a unit file, and what systemd says of the unit.
    struct Fake(&'static str, &'static str);

    impl Machine for Fake {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            if path == Path::new("/etc/systemd/system/ferry-registry.service") {
                if self.0 == "denied" {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                return Ok(self.0.into());
            }
            Err(io::ErrorKind::NotFound.into())
        }

        fn link(&self, _path: &Path) -> io::Result<PathBuf> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn exists(&self, _path: &Path) -> io::Result<bool> {
            Ok(true)
        }

        fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
            assert_eq!((program, arguments), ("systemctl", &["is-active", "ferry-registry.service"][..]));
            if self.1 == "hangs" {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(Ran { code: Some(0), stdout: format!("{}\n", self.1), stderr: String::new() })
        }

        fn file_system(&self, _folder: &Path) -> io::Result<FileSystem> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn files_alone_prove_nothing() {
        let folder = Path::new("/etc/ferry/registry");
        for (text, active, expected) in [
            ("ExecStart=/x serve --listen 0.0.0.0:5000\n", "active", true),
            ("ExecStart=/x serve --listen 0.0.0.0:5000\n", "activating", false),
            ("ExecStart=/x serve --listen 0.0.0.0:5000\n", "inactive", false),
            ("ExecStart=/x serve --listen 0.0.0.0:50001\n", "active", false),
            ("", "active", false),
        ] {
            for unit in ["ferry-registry", "ferry-registry.service"] {
                assert_eq!(listens(&Fake(text, active), unit, folder, 5000), Ok(expected), "{text} {active}");
            }
        }
    }

    #[test]
    fn what_cannot_be_seen_is_not_called_a_stranger() {
        let folder = Path::new("/etc/ferry/registry");
        for (text, active) in [("denied", "active"), ("ExecStart=/x serve --listen 0.0.0.0:5000\n", "hangs")]
        {
            assert!(listens(&Fake(text, active), "ferry-registry", folder, 5000).is_err(), "{text} {active}");
        }
    }
}
