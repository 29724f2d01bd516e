//! This program on a node: copied there once, under its digest, so that both sides always are the same.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::Failed;

use super::shell;

/// Where nodes keep it.
const FOLDER: &str = "/var/lib/ferry/bin";
/// What the script ends with where the copy is not what was sent.
const DAMAGED: i32 = 91;
/// What it ends with where the copy does not run.
const DOES_NOT_RUN: i32 = 92;
/// What a script ends with where there is no copy.
const MISSING: i32 = 93;

/// How much of it is read at once.
const PIECE: usize = 64 << 10;

/// This very program.
#[derive(Debug)]
pub(super) struct OwnProgram {
    /// What was started, also where its file has been replaced since.
    source: PathBuf,
    path: String,
    digest: Digest,
    size: u64,
}

impl OwnProgram {
    pub(super) async fn find() -> Result<Self, Failed> {
        let unreadable = |error: io::Error| {
            Failed::because(Class::Local, format!("this program's own file cannot be read: {error}"))
        };
        let path = std::env::current_exe().map_err(unreadable)?.display().to_string();
        let source = PathBuf::from("/proc/self/exe");
        let file = source.clone();
        let read = tokio::task::spawn_blocking(move || digest_of(&file)).await;
        let (digest, size) =
            read.map_err(|error| unreadable(io::Error::other(error)))?.map_err(unreadable)?;
        Ok(Self { source, path, digest, size })
    }

    /// What is sent.
    pub(super) fn source(&self) -> &Path {
        &self.source
    }

    /// Where it is on this machine.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where it is on a node.
    pub(super) fn remote_path(&self) -> String {
        format!("{}/ferry-installer", self.remote_folder())
    }

    fn remote_folder(&self) -> String {
        format!("{FOLDER}/{}", self.digest.hex())
    }

    /// Starts it, wherever it is.
    pub(super) fn start_script(path: &str, arguments: &[&str]) -> String {
        let words: Vec<String> =
            std::iter::once(&path).chain(arguments).map(|word| shell::quoted(word)).collect();
        format!("exec {}\n", words.join(" "))
    }

    /// Starts it on a node that has it, or else says what machine that is. Its digest was made sure of when it got its name;
    /// of each start on hundreds of nodes, that would be most of the work.
    pub(super) fn start_if_there_script(&self, arguments: &[&str]) -> String {
        format!(
            "f={path}\nif [ -f \"$f\" ] && [ -x \"$f\" ] && [ $(wc -c <\"$f\") -eq {size} ]; then {start}fi\nuname -m\nexit {MISSING}\n",
            path = self.remote_path(),
            size = self.size,
            start = Self::start_script(&self.remote_path(), arguments),
        )
    }

    /// Whether it could not be started because it is not there.
    pub(super) fn is_missing(status: ExitStatus) -> bool {
        status.code() == Some(MISSING)
    }

    /// Takes it from standard input. What has its name is always whole.
    pub(super) fn copy_script(&self) -> String {
        format!(
            "umask 022\nmkdir -p {folder} || exit 1\nf={folder}/.new.$$\ntrap 'rm -f \"$f\"' EXIT\n{is_whole}\
             cat >\"$f\" && chmod 755 \"$f\" || exit 1\nis_whole || {{ echo \"the copy differs from what was sent\" >&2; exit {DAMAGED}; }}\n\
             \"$f\" --version >/dev/null || exit {DOES_NOT_RUN}\nmv -f \"$f\" {path}\n",
            folder = self.remote_folder(),
            path = self.remote_path(),
            is_whole = self.is_whole()
        )
    }

    /// A function of the shell: whether `$f` is whole, by its digest, or where nothing there can compute that, by its size.
    fn is_whole(&self) -> String {
        format!(
            "is_whole() {{\n  [ -f \"$f\" ] && [ -x \"$f\" ] || return 1\n  if command -v sha256sum >/dev/null 2>&1; then s=$(sha256sum \"$f\") && [ \"${{s%% *}}\" = {} ]\n  \
             else [ $(wc -c <\"$f\") -eq {} ]; fi\n}}\n",
            self.digest.hex(),
            self.size
        )
    }

    /// Fails where a node says that it is a machine of another kind.
    pub(super) fn refuse_machine(node: &Host, said: &str) -> Result<(), Failed> {
        let machine = said.trim();
        if machine == std::env::consts::ARCH {
            return Ok(());
        }
        let message =
            format!("node {node} is a {machine} machine, and this program is for {}", std::env::consts::ARCH);
        Err(Failed::because(Class::Input, message)
            .hint("configure nodes of that kind from a machine of that kind, with a site file that lists them alone"))
    }

    /// Why the copy is of no use.
    pub(super) fn explain(failed: Failed, code: Option<i32>) -> Failed {
        match code {
            Some(DAMAGED) => Failed { class: Class::Verification, ..failed },
            Some(DOES_NOT_RUN) => failed.hint(format!(
                "the file system of {FOLDER} may be mounted `noexec`; programs must run from there"
            )),
            _ => failed,
        }
    }
}

fn digest_of(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut size) = (Hasher::default(), 0);
    let mut piece = vec![0; PIECE];
    while let count @ 1.. = file.read(&mut piece)? {
        hasher.update(&piece[..count]);
        size += count as u64;
    }
    Ok((hasher.finish(), size))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const SCRIPT: &str = "#!/bin/sh\necho ferry-installer \"$@\"\n";

    fn run(folder: &Path, script: &str, input: &[u8], path: Option<&Path>) -> (Option<i32>, String, String) {
        use std::io::Write as _;
        let script = script.replace(FOLDER, &folder.display().to_string());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn own(text: &str) -> OwnProgram {
        let (digest, size) = (Digest::of(text.as_bytes()), text.len() as u64);
        OwnProgram { source: "/proc/self/exe".into(), path: "/x".into(), digest, size }
    }

    #[test]
    fn what_has_its_name_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        // A node without sha256sum.
        let bare = tempfile::tempdir().unwrap();
        for name in ["mkdir", "cat", "chmod", "mv", "rm", "wc", "uname", "sh"] {
            std::os::unix::fs::symlink(format!("/bin/{name}"), bare.path().join(name)).unwrap();
        }
        let own = own(SCRIPT);
        let script = own.start_if_there_script(&["node", "it's"]);
        for path in [None, Some(bare.path())] {
            let there = || match run(folder.path(), &script, b"", path) {
                (Some(MISSING), said, _) => {
                    OwnProgram::refuse_machine(&"n1".parse().unwrap(), &said).unwrap();
                    false
                }
                (code, said, _) => {
                    assert_eq!((code, said.as_str()), (Some(0), "ferry-installer node it's\n"));
                    true
                }
            };
            assert!(!there());
            let cut = &SCRIPT.as_bytes()[..20];
            let (code, _, errors) = run(folder.path(), &own.copy_script(), cut, path);
            assert_eq!((code, errors.contains("differs")), (Some(DAMAGED), true), "{errors}");
            assert!(!there());
            let (code, _, errors) = run(folder.path(), &own.copy_script(), SCRIPT.as_bytes(), path);
            assert_eq!(code, Some(0), "{errors}");
            assert!(there());
            let kept = folder.path().join(own.digest.hex());
            assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 1, "the half stays");
            std::fs::write(kept.join("ferry-installer"), "cut").unwrap();
            assert!(!there(), "a damaged one is used");
            std::fs::remove_dir_all(kept).unwrap();
        }
    }

    #[test]
    fn a_copy_that_does_not_run_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let own = own("#!/nowhere\n");
        let (code, _, errors) = run(folder.path(), &own.copy_script(), b"#!/nowhere\n", None);
        assert_eq!(code, Some(DOES_NOT_RUN), "{errors}");
        let failed = OwnProgram::explain(Failed::because(Class::Local, errors), code);
        assert!(failed.hints[0].contains("noexec"), "{failed}");
        assert!(!folder.path().join(own.digest.hex()).join("ferry-installer").exists());
    }

    #[test]
    fn a_machine_of_another_kind_is_told() {
        let failed = OwnProgram::refuse_machine(&"n1".parse().unwrap(), "riscv64\n").unwrap_err();
        assert!(failed.message.contains("riscv64"), "{failed}");
    }
}
