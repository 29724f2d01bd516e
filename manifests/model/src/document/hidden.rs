//! What of a document is not shown: logins, and credentials in URLs.

use std::collections::BTreeSet;

/// Keys whose values may be passwords, where somebody wrote one instead of saying where it is. `set` is a patch's, perhaps of a Secret.
const SECRET: [&str; 3] = ["password", "login", "set"];
/// Keys below those: they tell nothing.
const KNOWN: [&str; 5] = ["user", "password", "env", "file", "secret"];

/// The lines of a document that may hold a password.
pub(super) struct Hidden(BTreeSet<u64>);

impl Hidden {
    /// Lines with a secret key, and those that are indented below it.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = BTreeSet::new();
        let mut below = None;
        for (number, line) in (1u64..).zip(text.lines()) {
            let indent = line.len() - line.trim_start().len();
            if below.is_some_and(|key| indent > key || line.trim().is_empty()) {
                lines.insert(number);
                continue;
            }
            below = None;
            if value_start(line).is_some() {
                lines.insert(number);
                below = Some(indent);
            }
        }
        Self(lines)
    }

    /// Whether an error at this line may quote a password.
    pub(super) fn concerns(&self, line: u64) -> bool {
        if line == 0 { !self.0.is_empty() } else { self.0.contains(&line) }
    }

    /// The line as it may be shown.
    pub(super) fn line(&self, number: u64, line: &str) -> String {
        if !self.0.contains(&number) {
            return without_userinfo(line);
        }
        let start = value_start(line).unwrap_or_else(|| {
            let indent = line.len() - line.trim_start().len();
            let known =
                line.trim_start().split_once(':').map(|(key, _)| key).filter(|key| KNOWN.contains(key));
            indent + known.map_or(0, |key| key.len() + 1)
        });
        let (key, value) = line.split_at(start);
        let key = without_userinfo(key);
        match (key, value.trim()) {
            (key, "") => key,
            (key, _) if key.ends_with(':') => format!("{key} ***"),
            (key, _) => format!("{key}***"),
        }
    }
}

/// Where the value of a line's first secret key begins: `password:`, `"remoteLogin" :`. The user of a login is shown where
/// nothing else stands before the password.
fn value_start(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    // `sudoPassword` is secret too, `daemonSet` is not.
    let is_key = |at: usize, key: &str| {
        key != "set" || !lower[..at].ends_with(|before: char| before.is_ascii_alphanumeric())
    };
    let found = SECRET.iter().flat_map(|key| lower.match_indices(key));
    let ends = found.filter(|(at, key)| is_key(*at, key)).map(|(at, key)| at + key.len());
    let mut starts: Vec<usize> = ends
        .filter_map(|end| {
            let colon = line[end..].find(':')?;
            line[end..end + colon].trim_matches(['"', '\'', ' ']).is_empty().then_some(end + colon + 1)
        })
        .collect();
    starts.sort_unstable();
    let is_only_user = |front: &str| {
        front.trim_start().starts_with("{user:")
            && front.matches(':').count() == 2
            && front.matches(',').count() == 1
    };
    match starts[..] {
        [login, password, ..] if is_only_user(&line[login..password]) => Some(password),
        _ => starts.first().copied(),
    }
}

/// The parser's message without what it found: only what it expected there.
pub(super) fn without_values(message: &str) -> String {
    let own = [
        "a secret is named by",
        "missing field",
        "a patch names",
        "the patch of",
        "patched key",
        "a value is",
    ];
    let is_own = own.iter().any(|start| message.starts_with(start));
    if is_own {
        return message.to_owned();
    }
    let (found, expected) = match message.rsplit_once(", expected") {
        Some((found, expected)) => (found, format!(", expected{expected}")),
        None => (message, String::new()),
    };
    let found = found.split(['`', '"', '\'']).next().unwrap_or_default();
    format!("{}{expected}", found.trim_end_matches([' ', ':']))
}

/// The text with `***` for the credentials of its URLs.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once("://") {
        shown.push_str(front);
        shown.push_str("://");
        let url = behind.split(char::is_whitespace).next().unwrap_or_default();
        rest = behind;
        if let Some((_, host)) = url.rsplit_once('@').filter(|(_, host)| !host.starts_with("sha256:")) {
            shown.push_str("***@");
            rest = &behind[url.len() - host.len()..];
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_go() {
        for (text, shown) in [
            ("repo: https://me:pa/ss@corp/x  # y", "repo: https://***@corp/x  # y"),
            ("`http://corp/a` and `http://me@corp`", "`http://corp/a` and `http://***@corp`"),
            ("oci://corp/app@sha256:ab", "oci://corp/app@sha256:ab"),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
    }

    #[test]
    fn values_of_secret_keys_go() {
        let text = "a: 1\nlogin:\n  user: me\n  'Password' : |\n    hunter2\nb: {remoteLogin: me:hunter2}\nlogin: {user: a, password: hunter2}\nlogin: {pw: hunter2, password: x}\nc: 2\n";
        let hidden = Hidden::of(text);
        let shown: Vec<String> =
            (1u64..).zip(text.lines()).map(|(number, line)| hidden.line(number, line)).collect();
        assert_eq!(
            shown,
            [
                "a: 1",
                "login:",
                "  user: ***",
                "  'Password' : ***",
                "    ***",
                "b: {remoteLogin: ***",
                "login: {user: a, password: ***",
                "login: ***",
                "c: 2"
            ]
        );
    }
}
