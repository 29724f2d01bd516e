//! Lines for the login shell of a node, whichever that is.

/// Stands between sudo's password and what the command reads. sudo may not have asked for the password: then the command gets it,
/// and must throw it away.
pub(super) const MARK: &str = "ferry-begins-here";

/// A script, to be run by `sh`.
pub(super) fn line(script: &str) -> String {
    format!("sh -c {}", quoted(script))
}

/// As one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:@+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The script, once everything up to the mark is read away.
pub(super) fn after_password(script: &str) -> String {
    format!("l=\nwhile [ \"$l\" != {MARK} ]; do IFS= read -r l || exit 90; done\n{script}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_password_that_nobody_asked_for_reaches_no_command() {
        for input in [format!("hunter2\n{MARK}\nthe rest\nof it\n"), format!("{MARK}\nthe rest\nof it\n")] {
            let mut child = Command::new("sh")
                .args(["-c", &line(&after_password("exec cat"))])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "the rest\nof it\n");
        }
    }

    #[test]
    fn words_survive_a_shell() {
        for text in ["it's", "a b", "$x `y` \"z\"", "a\nb", "\\", "", "/plain-1.0", "~"] {
            let output =
                Command::new("sh").args(["-c", &format!("printf %s {}", quoted(text))]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
