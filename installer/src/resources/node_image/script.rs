//! What is run on a node: one line for its shell, whichever that is, with nothing copied there.

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Says what machine it is, and `present` or `absent`.
    Look,
    /// Lists the names that are ids.
    Ids,
    /// Takes an archive from standard input.
    Import,
    /// Lists all names of what the first name means, itself among them.
    Names,
    /// Removes names.
    Remove,
}

/// Finds the runtime that kubelet talks to: k3s and rke2 bring their own containerd; containerd has kubelet's namespace as soon
/// as it serves one; docker does until Kubernetes 1.23.
const RUNTIME: &str = r#"PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/var/lib/rancher/rke2/bin
has() { command -v "$1" >/dev/null 2>&1; }
if [ -S /run/k3s/containerd/containerd.sock ] && has k3s; then c="k3s ctr -n k8s.io"
elif [ -S /run/k3s/containerd/containerd.sock ] && has ctr; then c="ctr -a /run/k3s/containerd/containerd.sock -n k8s.io"
elif has ctr && ctr namespaces ls -q 2>/dev/null | grep -qx k8s.io; then c="ctr -n k8s.io"
elif has docker && docker version >/dev/null 2>&1; then c=docker
elif has ctr && ctr version >/dev/null 2>&1; then c="ctr -n k8s.io"
else echo "neither containerd nor docker answers there" >&2; exit 69; fi
"#;

const LOOK: &str = r#"uname -m
if [ "$c" = docker ]; then docker image inspect "$i" >/dev/null 2>&1 && echo present || echo absent
else l=$($c images ls -q "name==$i") || exit 1; [ -n "$l" ] && echo present || echo absent; fi
"#;

const IMPORT: &str = r#"if [ "$c" = docker ]; then exec docker load -q; else exec $c images import -; fi
"#;

const IDS: &str = r#"[ "$c" = docker ] && exit
l=$($c images ls -q) || exit 1
echo "$l" | grep ^sha256: || true
"#;

const NAMES: &str = r#"if [ "$c" = docker ]; then echo "$i"; exit; fi
l=$($c images ls "name==$i") || exit 1
d=$(echo "$l" | while read -r name type digest rest; do if [ "$name" = "$i" ]; then echo "$digest"; fi; done)
[ -z "$d" ] || exec $c images ls -q "target.digest==$d"
"#;

const REMOVE: &str = r#"if [ "$c" = docker ]; then exec docker rmi "$@"; else exec $c images rm "$@"; fi
"#;

/// The command for ssh, which hands it to the login shell there.
pub(super) fn remote_command(work: Work, names: &[&str], sudo: bool) -> String {
    let work = match work {
        Work::Look => LOOK,
        Work::Ids => IDS,
        Work::Import => IMPORT,
        Work::Names => NAMES,
        Work::Remove => REMOVE,
    };
    let names = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" ");
    let script = format!("set -- {names}\ni=$1\n{RUNTIME}{work}");
    let sudo = if sudo { "sudo -n " } else { "" };
    format!("{sudo}sh -c {}", quoted(&script))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    /// Runs the line as a login shell would, on a machine with these programs: each prints how it was called and ends with what
    /// its line says.
    fn run(work: Work, programs: &[(&str, &str)]) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, body) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["sh", "grep", "uname"] {
            std::os::unix::fs::symlink(format!("/bin/{name}"), folder.path().join(name)).unwrap();
        }
        let line = remote_command(work, &["docker.io/library/registry:2"], false);
        // The machine that tests run on may have a runtime of its own.
        let line = line.replace("PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/var/lib/rancher/rke2/bin", ":");
        let output = Command::new("/bin/sh").args(["-c", &line]).env("PATH", folder.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn the_runtime_of_kubelet_is_found() {
        let containerd =
            ("ctr", "case \"$*\" in 'namespaces ls -q') echo moby; echo k8s.io;; *) echo ctr \"$@\";; esac");
        let of_docker = ("ctr", "case \"$*\" in 'namespaces ls -q') echo moby;; *) echo ctr \"$@\";; esac");
        let docker = ("docker", "echo docker \"$@\"");
        let dead = ("docker", "exit 1");
        for (programs, expected) in [
            (vec![containerd], "ctr -n k8s.io images import -"),
            (vec![containerd, docker], "ctr -n k8s.io images import -"),
            (vec![of_docker, docker], "docker load -q"),
            (vec![docker], "docker load -q"),
            (vec![of_docker, dead], "ctr -n k8s.io images import -"),
        ] {
            let (said, errors) = run(Work::Import, &programs);
            assert_eq!(said.trim(), expected, "{programs:?}: {errors}");
        }
        assert!(run(Work::Look, &[dead]).1.contains("neither containerd nor docker"));
    }

    #[test]
    fn a_look_tells_there_from_not_there() {
        let ctr =
            |answer: &str| format!("case \"$*\" in 'namespaces ls -q') echo k8s.io;; *) {answer};; esac");
        for (answer, expected) in [("echo docker.io/library/registry:2", "present"), ("true", "absent")] {
            assert_eq!(run(Work::Look, &[("ctr", &ctr(answer))]).0.lines().nth(1), Some(expected));
        }
        // Trouble is not absence.
        assert_eq!(run(Work::Look, &[("ctr", &ctr("exit 1"))]).0.lines().nth(1), None);
        for (end, expected) in [("0", "present"), ("1", "absent")] {
            let docker = format!("case \"$1\" in version) exit 0;; *) exit {end};; esac");
            assert_eq!(run(Work::Look, &[("docker", &docker)]).0.lines().nth(1), Some(expected));
        }
    }
}
