//! The entries of a spec that bring what is missing.

use std::collections::BTreeSet;

use super::{MissingFile, Runtime};

/// The download site's channel for runtimes.
const CHANNEL: &str = "ce7/paas-runtimes";

/// What every spec begins with.
const HEAD: &str = "\
# What builds at the site asked for and did not get. A spec of its own; its entries can go into another, under `bkdl`.
apiVersion: ferry/v1
kind: Bundle
name: missing-runtimes
version: '1'
";

/// A spec: the download site's items, of this release, and a comment for each file that is none of them.
pub(super) fn spec<'a>(files: impl Iterator<Item = &'a MissingFile>, release: &str) -> String {
    let (mut items, mut others) = (BTreeSet::<&Runtime>::new(), Vec::new());
    for file in files {
        match &file.runtime {
            Some(runtime) if !runtime.is_range() => {
                items.insert(runtime);
            }
            _ => others.push(file),
        }
    }
    if items.is_empty() && others.is_empty() {
        return String::new();
    }
    let mut text = HEAD.to_owned();
    if !items.is_empty() {
        text.push_str(&format!(
            "bkdl:\n  - channel: {CHANNEL}\n    release: {}\n    items:\n",
            scalar(release)
        ));
        for runtime in items {
            text.push_str(&format!("      - {}\n", scalar(&runtime.item())));
        }
    }
    if !others.is_empty() {
        text.push_str("# Nothing is known to bring these; where a source is found, add each with its URL:\n");
        text.push_str("# files:\n");
        for file in others {
            let (repository, path) = (&file.repository, file.path.trim_start_matches('/'));
            text.push_str(&format!(
                "#   - {{url: …, to: {}, repository: {}}}\n",
                scalar(path),
                scalar(repository)
            ));
        }
    }
    text
}

/// A string as YAML. What a log says is anybody's words, so everything unusual is quoted.
fn scalar(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/=".contains(letter);
    let begins_well = text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if begins_well && text.chars().all(is_plain) {
        return text.to_owned();
    }
    serde_json::to_string(text).expect("a string is JSON, and JSON is YAML")
}
