//! Services that take changes up: through systemd (219 on), or without it as far as a process can be told.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ferry_model::failure::Class;
use ferry_model::node::{ServiceChange, Takeup};
use ferry_model::report::Failed;
use rustix::process::{Pid, Signal, kill_process};

use super::docker;

/// How long a service may take to answer again. A dockerd with many containers takes its time.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);
/// How long it must go on answering: one with bad settings may end a moment after its start.
const TRIAL: Duration = Duration::from_millis(600);
/// Lines of its log that a failure shows.
const LINES: &str = "12";
const DOCKER_PROCESS: &str = "/run/docker.pid";

/// Has a service take changes up, and waits until it answers again. Gives what there is to say about that.
pub(crate) fn take_up(service: &ServiceChange) -> Result<Option<String>, Failed> {
    if !Path::new("/run/systemd/system").is_dir() {
        return without_systemd(service);
    }
    let unit = service.unit.as_str();
    if show(unit, "ActiveState")? != "active" && show(unit, "ActiveState")? != "reloading" {
        // One that failed may be waiting for just this change.
        if service.how == Takeup::Reload || show(unit, "ActiveState")? != "failed" {
            return Ok(Some(format!("{unit} does not run; it reads its configuration once it is started")));
        }
    }
    let answered = answers(unit);
    let verb = match service.how {
        Takeup::Nothing => return Ok(None),
        Takeup::Reload if show(unit, "CanReload")? == "yes" => "reload",
        Takeup::Reload if is_docker(unit) => "hang-up",
        Takeup::Reload | Takeup::Restart => "restart",
    };
    let told = match verb {
        "hang-up" => systemctl(&["kill", "--kill-who=main", "--signal=HUP", unit]),
        "restart" => {
            // What failed a few times in a row is not started again before that.
            let _ = systemctl(&["reset-failed", unit]);
            systemctl(&["restart", unit])
        }
        verb => systemctl(&[verb, unit]),
    };
    told.and_then(|_| wait(unit, answered)).map_err(|failed| with_log(failed, unit))?;
    Ok(None)
}

/// Runs a program.
pub(crate) fn run(command: &[String]) -> Result<(), Failed> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    succeeded(program, &arguments).map(drop)
}

/// dockerd is told by a signal; others have to be restarted by whoever started them.
fn without_systemd(service: &ServiceChange) -> Result<Option<String>, Failed> {
    let unit = service.unit.as_str();
    if is_docker(unit) && service.how == Takeup::Reload {
        let Some(process) = docker_process() else {
            return Ok(Some("dockerd does not run; it reads its configuration once it is started".into()));
        };
        kill_process(process, Signal::HUP).map_err(|errno| {
            Failed::because(
                Class::Local,
                format!("dockerd cannot be told to read its configuration: {errno}"),
            )
        })?;
        return wait_for(true, &|| answers(unit)).map(|()| None);
    }
    let name = unit.trim_end_matches(".service");
    if Path::new("/etc/init.d").join(name).exists() {
        let answered = answers(unit);
        succeeded("service", &[name, "restart"])?;
        return wait_for(answered, &|| answers(unit)).map(|()| None);
    }
    let message = format!("{name} must be restarted, and no systemd runs here that could do it");
    Err(Failed::because(Class::Local, message)
        .hint(format!("restart {name}; the files are as they shall be")))
}

fn docker_process() -> Option<Pid> {
    let text = std::fs::read_to_string(DOCKER_PROCESS).ok()?;
    let process = Pid::from_raw(text.trim().parse().ok()?)?;
    // The file may be of a dockerd that is gone, and its number another's.
    let name = std::fs::read_to_string(format!("/proc/{}/comm", process.as_raw_nonzero())).ok()?;
    name.trim().starts_with("dockerd").then_some(process)
}

fn is_docker(unit: &str) -> bool {
    docker::UNITS.contains(&unit)
}

/// Whether the runtime of a unit answers on its usual socket.
fn answers(unit: &str) -> bool {
    let socket = match unit {
        unit if is_docker(unit) => return pong("/run/docker.sock").unwrap_or(false),
        "containerd.service" => "/run/containerd/containerd.sock",
        "crio.service" | "cri-o.service" => "/run/crio/crio.sock",
        unit if unit.starts_with("k3s") || unit.starts_with("rke2") => "/run/k3s/containerd/containerd.sock",
        _ => return false,
    };
    UnixStream::connect(socket).is_ok()
}

/// Asks dockerd whether it is there.
fn pong(socket: &str) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut head = [0; 15];
    stream.read_exact(&mut head)?;
    Ok(head.starts_with(b"HTTP/1.") && &head[9..12] == b"200")
}

/// Waits until a unit is up. One whose socket answered before must answer there again.
fn wait(unit: &str, answered: bool) -> Result<(), Failed> {
    let is_up =
        || show(unit, "ActiveState").is_ok_and(|state| state == "active") && (!answered || answers(unit));
    wait_for(true, &is_up)
        .map_err(|failed| Failed { message: format!("{unit} {}", failed.message), ..failed })?;
    let tried = Instant::now();
    while tried.elapsed() < TRIAL {
        sleep(PAUSE);
        if !is_up() {
            let message = format!("{unit} ended a moment after it took up its configuration");
            return Err(Failed::because(Class::Local, message));
        }
    }
    Ok(())
}

fn wait_for(wanted: bool, is_up: &dyn Fn() -> bool) -> Result<(), Failed> {
    let begun = Instant::now();
    while wanted && !is_up() {
        if begun.elapsed() > LIMIT {
            let message = format!("does not answer {} s after it was told", LIMIT.as_secs());
            return Err(Failed::because(Class::Local, message));
        }
        sleep(PAUSE);
    }
    Ok(())
}

fn show(unit: &str, property: &str) -> Result<String, Failed> {
    let said = systemctl(&["show", &format!("--property={property}"), unit])?;
    Ok(said.trim().rsplit('=').next().unwrap_or_default().to_owned())
}

/// Adds the last lines of the unit's log.
fn with_log(mut failed: Failed, unit: &str) -> Failed {
    let arguments = ["--unit", unit, "--no-pager", "--output=cat", "--lines", LINES];
    let log = output("journalctl", &arguments).map(|output| output.stdout).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).into_owned();
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !lines.is_empty() {
        failed.message = format!("{}; its log ends with: {}", failed.message, lines.join(" | "));
    }
    failed.hint(format!("`journalctl --unit {unit}` has all of its log"))
}

fn systemctl(arguments: &[&str]) -> Result<String, Failed> {
    succeeded("systemctl", arguments)
}

fn succeeded(program: &str, arguments: &[&str]) -> Result<String, Failed> {
    let output = output(program, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    let message = format!("{program} {}: {}: {said}", arguments.join(" "), output.status);
    Err(Failed::because(Class::Local, message))
}

/// Runs a program with a path on which administrators' programs are, which ssh does not always give.
fn output(program: &str, arguments: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
        .output()
        .map_err(|error| Failed::because(Class::Local, format!("{program} cannot be run: {error}")))
}
