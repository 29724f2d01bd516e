//! What ssh, sudo and shells say of their failures, with what to do about it.

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::Failed;

use super::command::{Answer, last_line};

/// What ssh itself ends with when there is no connection.
pub(crate) const NO_CONNECTION: i32 = 255;
/// A shell's for a program that it does not find.
const NOT_FOUND: i32 = 127;

/// Why a command failed.
pub(super) fn explain(node: &Host, answer: &Answer) -> Failed {
    let last = last_line(&answer.errors).unwrap_or_else(|| match answer.status.code() {
        Some(code) => format!("it ended with code {code} and said nothing"),
        None => "it was killed and said nothing".to_owned(),
    });
    told(node, answer.status.code(), &last, &answer.errors)
}

fn told(node: &Host, code: Option<i32>, last: &str, all: &str) -> Failed {
    let failed = |class: Class| Failed::because(class, format!("node {node}: {last}"));
    let has = |text: &str| all.contains(text);
    match code {
        Some(NO_CONNECTION) => not_connected(node, last, all),
        Some(NOT_FOUND) if has("sudo") => failed(Class::Local)
            .hint("there is no sudo: log in as root and leave `sudo` out of `nodes: {ssh: …}`"),
        _ if has("incorrect password attempt") || has("Sorry, try again") => {
            failed(Class::Denied).hint("the password of `nodes: {ssh: {sudoPassword: …}}` is not this node's")
        }
        _ if has("a password is required") || has("no password was provided") => failed(Class::Denied).hint(
            "say where sudo's password is: `nodes: {ssh: {sudo: true, sudoPassword: {file: …}}}`, or let it ask for none",
        ),
        _ if has("you must have a tty") => failed(Class::Denied)
            .hint("sudoers says `requiretty` there: take that out for this user (`Defaults:USER !requiretty`)"),
        _ if has("not in the sudoers file") || has("is not allowed to execute") => {
            failed(Class::Denied).hint("let this user run commands as root there, or log in as root")
        }
        _ if has("No space left on device") => failed(Class::Local)
            .hint("the disk of /var/lib/ferry is full there: make room for this program's copy"),
        _ if has("Read-only file system") => failed(Class::Local)
            .hint("/var/lib/ferry cannot be written there: mount it writable"),
        _ if has("Permission denied") => failed(Class::Denied)
            .hint("this user may not write there: `nodes: {ssh: {sudo: true}}` goes through sudo"),
        _ => failed(Class::Local),
    }
}

/// Why ssh got no connection: its `last` line, of `all` that it said.
pub(crate) fn not_connected(node: &Host, last: &str, all: &str) -> Failed {
    let failed = |class: Class| Failed::because(class, format!("node {node}: {last}"));
    if all.contains("Host key verification failed") {
        return failed(Class::Denied)
            .hint(format!("log in to {node} once by hand and check its host key, or add it to known_hosts"));
    }
    if all.contains("Permission denied") {
        return failed(Class::Denied).hint(
            "say how to log in without being asked: `nodes: {ssh: {user: …, identityFile: …}}`, or start ssh-agent",
        );
    }
    failed(Class::Transient).hint("see that `ssh` reaches it: `nodes: {hosts: [{name: …, address: …}]}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_its_cure() {
        let node: Host = "n1".parse().unwrap();
        for (code, said, class, cure) in [
            (
                255,
                "No ED25519 host key is known\nHost key verification failed.",
                Class::Denied,
                "known_hosts",
            ),
            (255, "root@n1: Permission denied (publickey).", Class::Denied, "identityFile"),
            (255, "ssh: connect to host n1 port 22: Connection refused", Class::Transient, "address"),
            (127, "sh: sudo: command not found", Class::Local, "no sudo"),
            (1, "sudo: a password is required", Class::Denied, "sudoPassword"),
            (
                1,
                "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt",
                Class::Denied,
                "is not this node's",
            ),
            (1, "sudo: sorry, you must have a tty to run sudo", Class::Denied, "requiretty"),
            (1, "mallory is not in the sudoers file.", Class::Denied, "as root"),
            (1, "cat: write error: No space left on device", Class::Local, "full"),
            (
                1,
                "mkdir: cannot create directory '/var/lib/ferry': Permission denied",
                Class::Denied,
                "sudo: true",
            ),
            (
                1,
                "mkdir: cannot create directory '/var/lib/ferry': Read-only file system",
                Class::Local,
                "writable",
            ),
            (7, "something else", Class::Local, ""),
        ] {
            let last = last_line(said).unwrap();
            let failed = told(&node, Some(code), &last, said);
            assert_eq!(failed.class, class, "{said}");
            assert!(failed.message.starts_with("node n1: ") && failed.message.ends_with(&last), "{failed}");
            assert!(failed.hints.join(" ").contains(cure), "{said}: {:?}", failed.hints);
        }
    }
}
