//! helm, where it is on PATH: charts rendered as a site would get them.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The most that a chart may render to.
const MAX_OUTPUT: u64 = 64 << 20;
/// Enough of what helm says about a failure.
const MAX_COMPLAINT: u64 = 64 << 10;
/// The longest that helm may take.
const LIMIT: Duration = Duration::from_secs(120);
/// The oldest Kubernetes that BlueKing runs on, and that Ferry knows.
pub(super) const OLDEST_KUBERNETES: &str = "1.20.0";

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Helm {
    path: PathBuf,
    /// `v3.17.2`.
    pub(super) version: String,
    /// The longest that it may take.
    limit: Duration,
}

/// What to render, and with what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rendering<'a> {
    /// The release's name.
    pub(super) name: &'a str,
    /// The chart's folder or archive.
    pub(super) chart: &'a Path,
    /// Files of values, the last on top.
    pub(super) values: &'a [PathBuf],
    /// The version of Kubernetes to render for; without one, [`OLDEST_KUBERNETES`], or whatever the chart asks for.
    pub(super) kube_version: Option<&'a str>,
}

impl Helm {
    /// The helm 3 or later that is on PATH.
    pub(super) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let path =
            std::env::split_paths(&path).map(|folder| folder.join("helm")).find(|file| file.is_file())?;
        let helm = Self { path, version: String::new(), limit: LIMIT };
        let version = helm.run(&["version", "--short"], &[]).ok()?;
        let version = version.split(['+', '\n']).next().unwrap_or_default().trim().to_owned();
        // Helm 2 rendered in another way, and has been out of care since 2020.
        let major: u32 = version.strip_prefix('v')?.split('.').next()?.parse().ok()?;
        (major >= 3).then_some(Self { version, ..helm })
    }

    /// Renders a chart; the error is what helm says.
    pub(super) fn template(&self, rendering: Rendering<'_>) -> Result<String, String> {
        if let Some(version) = rendering.kube_version {
            return self.template_for(rendering, version);
        }
        self.template_for(rendering, OLDEST_KUBERNETES).or_else(|error| {
            // A chart that is made for newer ones alone says so; helm's own default is a recent one.
            if error.contains("kubeVersion") { self.template_for(rendering, "") } else { Err(error) }
        })
    }

    fn template_for(&self, rendering: Rendering<'_>, kube_version: &str) -> Result<String, String> {
        let mut arguments = vec!["template", rendering.name];
        // What stands in `helm.sh/hook: test` is wanted by `helm test` alone.
        arguments.extend(["--include-crds", "--skip-tests", "--namespace", "ferry"]);
        if !kube_version.is_empty() {
            arguments.extend(["--kube-version", kube_version]);
        }
        let mut files: Vec<&Path> = Vec::new();
        for file in rendering.values {
            files.extend([Path::new("--values"), file]);
        }
        files.extend([Path::new("--"), rendering.chart]);
        self.run(&arguments, &files)
    }

    fn run(&self, arguments: &[&str], files: &[&Path]) -> Result<String, String> {
        let mut command = Command::new(&self.path);
        command.args(arguments).args(files).stdin(Stdio::null());
        // Plugins and settings of the user's are no part of what a site gets.
        command.env("HELM_NO_PLUGINS", "1").env("HELM_DEBUG", "false").env_remove("HELM_NAMESPACE");
        // A group of its own, so that what it starts ends with it.
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("helm does not start: {error}"))?;
        let output = drain(child.stdout.take(), MAX_OUTPUT);
        let complaint = drain(child.stderr.take(), MAX_COMPLAINT);
        let status = wait(&mut child, self.limit)?;
        let (output, is_cut) = output.join().unwrap_or_default();
        let (complaint, _) = complaint.join().unwrap_or_default();
        if !status.success() {
            return Err(last_words(&complaint));
        }
        if is_cut {
            return Err(format!("it renders to more than {} MiB", MAX_OUTPUT >> 20));
        }
        Ok(output)
    }
}

fn wait(child: &mut Child, limit: Duration) -> Result<std::process::ExitStatus, String> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if begun.elapsed() > limit {
            // It may have ended by itself just now.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _ = child.wait();
            return Err(format!("helm did not end within {} seconds", limit.as_secs()));
        }
        thread::sleep((begun.elapsed() / 10).clamp(Duration::from_millis(1), Duration::from_millis(50)));
    }
}

/// Reads all of a pipe and keeps up to `limit` bytes; tells whether there was more.
fn drain(pipe: Option<impl Read + Send + 'static>, limit: u64) -> thread::JoinHandle<(String, bool)> {
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return Default::default() };
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
        // What is not read would keep helm waiting.
        let is_cut = std::io::copy(&mut pipe, &mut std::io::sink()).unwrap_or(0) > 0;
        (String::from_utf8_lossy(&bytes).into_owned(), is_cut)
    })
}

/// The error in what helm wrote, on one line and not long.
fn last_words(complaint: &str) -> String {
    let lines = complaint.lines().map(str::trim);
    let lines = lines
        .filter(|line| !line.is_empty() && !line.starts_with("WARNING") && !line.starts_with("Use --debug"));
    let text = lines.collect::<Vec<_>>().join(" ");
    let text = text.trim_start_matches("Error: ");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_quoted_in_short() {
        let complaint = "WARNING: Kubernetes configuration file is group-readable\nError: execution error at (a/templates/b.yaml:1:3): set a.b\n\nUse --debug flag to render out invalid YAML\n";
        assert_eq!(last_words(complaint), "execution error at (a/templates/b.yaml:1:3): set a.b");
        assert_eq!(last_words(&"蓝".repeat(500)).chars().count(), 401);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_whatever_is_kept() {
        let (kept, is_cut) = drain(Some(std::io::repeat(b'a').take(1000)), 10).join().unwrap();
        assert_eq!((kept.as_str(), is_cut), ("aaaaaaaaaa", true));
        let (kept, is_cut) = drain(Some(&b"abc"[..]), 10).join().unwrap();
        assert_eq!((kept.as_str(), is_cut), ("abc", false));
    }

    #[test]
    fn what_takes_too_long_ends_with_all_that_it_started() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, child) = (folder.path().join("helm"), folder.path().join("child"));
        let script = format!("#!/bin/sh\nsleep 600 &\necho $! > {}\nwait\n", child.display());
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helm = Helm { path, version: String::new(), limit: Duration::from_secs(2) };
        assert!(helm.run(&["template"], &[]).unwrap_err().contains("did not end"));
        let child = std::fs::read_to_string(child).unwrap();
        let has_ended = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            state.map_or(true, |state| state.contains(") Z "))
        };
        let begun = Instant::now();
        while !has_ended() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{child} goes on");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
