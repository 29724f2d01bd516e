//! Nodes of tests: folders that play one, and what an editor says about each as text.

use std::fs;
use std::path::Path;

use ferry_model::node::NodeDesired;
use ferry_model::report::Failed;
use similar::TextDiff;

use super::{Edits, Root};

pub(crate) type Editor = fn(&Root, &NodeDesired) -> Result<Edits, Failed>;

/// A folder with these files.
pub(crate) fn node(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path());
    for (path, text) in files {
        put(&root, Path::new(path), text.as_bytes());
    }
    (folder, root)
}

pub(crate) fn put(root: &Root, path: &Path, bytes: &[u8]) {
    let path = root.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What an editor says of a node: diffs, notes, failures. Once that is written, it says nothing more.
pub(crate) fn says(editor: Editor, files: &[(&str, &str)], desired: &NodeDesired) -> String {
    let (_folder, root) = node(files);
    let edits = match editor(&root, desired) {
        Ok(edits) => edits,
        Err(failed) => return format!("FAILED {}\n", told(&failed)),
    };
    let mut text = String::new();
    for edit in &edits.files {
        let [before, after] = [&edit.before, &edit.after]
            .map(|bytes| visible(&String::from_utf8_lossy(bytes.as_deref().unwrap_or_default())));
        let made = if edit.before.is_none() { "make" } else { "change" };
        text.push_str(&format!("{made} {}, then {:?} {:?}\n", edit.path.display(), edit.takeup, edit.units));
        let diff = TextDiff::from_lines(&before, &after);
        text.push_str(&diff.unified_diff().context_radius(20).to_string());
        put(&root, &edit.path, edit.after.as_deref().unwrap());
    }
    edits.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    edits.failures.iter().for_each(|failed| text.push_str(&format!("failed: {}\n", told(failed))));
    if edits.files.is_empty() {
        text.push_str("nothing to write\n");
    }
    assert_eq!(editor(&root, desired).unwrap().files, [], "a second time there is something to write");
    text
}

fn told(failed: &Failed) -> String {
    format!("{}\n  {}", failed.message, failed.hints.join("\n  "))
}

/// With tabs, returns and byte order marks that one can see.
fn visible(text: &str) -> String {
    let mut text = text.replace('\t', "→").replace('\r', "␍").replace('\u{feff}', "<BOM>");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str("␄\n");
    }
    text
}

/// Compares with what was looked at by people.
pub(crate) fn golden(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/node").join(path);
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let diff = TextDiff::from_lines(expected.as_str(), text).unified_diff().to_string();
    assert!(diff.is_empty(), "look at the difference, then set FERRY_UPDATE_GOLDEN=1:\n{diff}");
}
