//! Work that goes on when the connection that it came by does not. Restarting dockerd ends every container, the pod that the work
//! came through among them; restarting containerd cuts the connection into it. So it is started apart from the pod: by the node's
//! systemd where there is one, which takes it out of the container's processes altogether, and is asked for its end afterwards.

use super::super::shell;

/// Where nodes keep what goes on. After a restart of the node nothing does.
const FOLDER: &str = "/run/ferry";
/// What asking ends with while the work goes on.
pub(super) const GOES_ON: i32 = 96;
/// What asking ends with where there is no such work.
pub(super) const LOST: i32 = 97;
/// What starting ends with where not all arrived that the work shall read.
const CUT: i32 = 98;
/// How long one question waits for the end, in seconds: no proxy on the way cuts it for being silent.
const WAIT: u32 = 10;

/// A piece of work, by a name of its own.
#[derive(Clone, Debug)]
pub(super) struct Apart(String);

impl Apart {
    /// One that no other has the name of.
    pub(super) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        use std::time::{SystemTime, UNIX_EPOCH};

        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("work-{now:x}-{:x}-{number:x}", std::process::id()))
    }

    fn folder(&self) -> String {
        format!("{FOLDER}/{}", self.0)
    }

    /// Begins with `script`, which reads the `size` bytes that this script reads. Done again, it begins nothing anew.
    pub(super) fn start_script(&self, script: &str, size: usize) -> String {
        let folder = self.folder();
        let run = format!(
            "umask 022\n/bin/sh {folder}/script <{folder}/input >{folder}/output 2>{folder}/errors\n\
             echo $? >{folder}/code.new && mv -f {folder}/code.new {folder}/code\n"
        );
        format!(
            "umask 077\nd={folder}\n[ ! -e $d/begun ] || exit 0\nmkdir -p $d && cat >$d/input || exit 1\n\
             [ $(wc -c <$d/input) -eq {size} ] || exit {CUT}\n\
             printf %s {script} >$d/script && printf %s {run} >$d/run && : >$d/begun || exit 1\n\
             if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1 &&\n  \
             systemd-run --quiet --unit=ferry-{name} /bin/sh $d/run </dev/null >/dev/null 2>&1\nthen exit 0; fi\n\
             /bin/sh $d/run </dev/null >/dev/null 2>&1 &\n",
            script = shell::quoted(script),
            run = shell::quoted(&run),
            name = self.0,
        )
    }

    /// Waits a while for its end, and then says what it said and ends as it did.
    pub(super) fn ask_script(&self) -> String {
        format!(
            "d={folder} i=0\n[ -e $d/begun ] || exit {LOST}\n\
             while [ ! -e $d/code ]; do [ $i -lt {WAIT} ] || exit {GOES_ON}; i=$((i+1)); sleep 1; done\n\
             cat $d/output\ncat $d/errors >&2\nexit $(cat $d/code)\n",
            folder = self.folder()
        )
    }

    /// Removes what it left.
    pub(super) fn forget_script(&self) -> String {
        format!("rm -rf {}\nrmdir {FOLDER} 2>/dev/null\nexit 0\n", self.folder())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    use super::*;

    fn sh(folder: &Path, script: &str, input: &[u8]) -> Output {
        use std::io::Write as _;
        let script = script.replace(FOLDER, &folder.display().to_string());
        // Nothing of a test is started by this machine's systemd.
        let script = script.replace("/run/systemd/system", "/nowhere");
        let mut child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    #[test]
    fn work_is_begun_once_and_asked_for_as_often_as_need_be() {
        let folder = tempfile::tempdir().unwrap();
        let run = |script: &str, input: &[u8]| sh(folder.path(), script, input);
        let (work, input) = (Apart::new(), b"what it reads\n");
        assert_eq!(run(&work.ask_script(), b"").status.code(), Some(LOST));
        let marks = folder.path().join("marks");
        let script = format!("echo begun >>{}; cat; echo \"it's bad\" >&2; exit 3\n", marks.display());
        let start = work.start_script(&script, input.len());
        assert_eq!(run(&start, &input[..5]).status.code(), Some(CUT), "half of it is enough");
        for _ in 0..2 {
            let started = run(&start, input);
            assert_eq!(started.status.code(), Some(0), "{}", String::from_utf8_lossy(&started.stderr));
        }
        for _ in 0..2 {
            let ended = run(&work.ask_script(), b"");
            assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(3), &input[..]));
            assert_eq!(ended.stderr, b"it's bad\n");
        }
        assert_eq!(std::fs::read_to_string(&marks).unwrap(), "begun\n", "it ran more than once");
        std::fs::remove_file(&marks).unwrap();
        assert_eq!(run(&work.forget_script(), b"").status.code(), Some(0));
        assert!(!folder.path().exists(), "something is left");
        std::fs::create_dir(folder.path()).unwrap();
    }
}
