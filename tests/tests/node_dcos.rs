//! What agents of DC/OS need of the kernel, with a real one: in a network namespace of the test's own.

use std::fs;

use anyhow::{Result, ensure};
use ferry_tests::parts;
use ferry_tests::process::{Program, binary};

const VALUE: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";

#[test]
fn connection_tracking_is_told_and_told_back() -> Result<()> {
    if !parts::ready(&["root", "unshare"]) {
        return Ok(());
    }
    let node = tempfile::tempdir()?;
    fs::create_dir_all(node.path().join("etc"))?;
    std::os::unix::fs::symlink("/proc", node.path().join("proc"))?;
    let script = format!(
        "set -e; test -e {VALUE} || {{ echo none; exit 0; }}; apply() {{ echo '{{\"dcos\":true}}' | \"$1\" node apply --root \"$2\"; }}
         cat {VALUE}; apply \"$@\" >&2; cat {VALUE}; apply \"$@\"; \"$1\" node undo --root \"$2\" >&2; cat {VALUE}"
    );
    let said = Program::new("unshare")
        .args(["--net", "sh", "-c", &script, "sh"])
        .arg(binary("ferry-installer"))
        .arg(node.path())
        .succeed()?;
    if said.stdout.trim() == "none" {
        // This kernel tracks no connections.
        return Ok(());
    }
    let lines: Vec<&str> = said.stdout.lines().collect();
    ensure!(lines.first() == Some(&"0") && lines.get(1) == Some(&"1"), "{said}");
    ensure!(lines.last() == Some(&"0"), "{said}");
    ensure!(said.stdout.contains("nothing to do"), "a second time something is done: {said}");
    let left: Vec<_> = fs::read_dir(node.path().join("etc"))?.collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
