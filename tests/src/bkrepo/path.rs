//! Paths as bkrepo reads them. [BKREPO PathUtils.kt]

use super::answer::{NODE_PATH_INVALID, Refusal};

const MAX_DEPTH: usize = 64;
const MAX_NAME: usize = 1024;

/// `/a/b/c`, or `/` for the root: slashes run together, names are trimmed, `.` goes, `..` takes its parent along, `\` is a slash.
pub(super) fn normalize(input: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::bad(NODE_PATH_INVALID, format!("Node path [{input}] is invalid"));
    let slashes = input.replace('\\', "/");
    let mut names: Vec<&str> = Vec::new();
    for name in slashes.split('/').map(str::trim).filter(|name| !name.is_empty() && *name != ".") {
        if name == ".." {
            names.pop();
        } else if name.chars().count() > MAX_NAME || name.contains('\0') {
            return Err(invalid());
        } else {
            names.push(name);
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(invalid());
    }
    Ok(format!("/{}", names.join("/")))
}

/// The folder that holds a normalised path, without a slash at its end; the root is `/`.
pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// The last part of a normalised path; of the root, nothing.
pub(super) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The path with one slash at its end: what paths below it begin with.
pub(super) fn prefix(path: &str) -> String {
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

/// Takes `%XX` apart; what is no UTF-8 then is replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The pairs of a query, where `+` is a space. A name alone has an empty value.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode(&text.replace('+', " "));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}
