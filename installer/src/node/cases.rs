//! Configurations as they are found on nodes, and what an editor makes of them. Each case is one file: the node's files, then
//! what is expected. `FERRY_UPDATE_GOLDEN=1 cargo test -p ferry-installer node` writes the latter anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ferry_model::node::{NodeDesired, NodeRegistry, Security};
use ferry_model::report::Failed;
use similar::TextDiff;

use super::{Edits, Root};

const EXPECTED: &str = "== expected ==\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";

pub(crate) type Editor = fn(&Root, &NodeDesired) -> Result<Edits, Failed>;

/// Runs all cases of a folder beside this file.
pub(crate) fn run(folder: &str, edits: Editor) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/node").join(folder).join("cases");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut different = Vec::new();
    for path in paths {
        let case = fs::read_to_string(&path).unwrap();
        let (given, expected) = case.split_once(EXPECTED).unwrap_or((&case, ""));
        let node = tempfile::tempdir().unwrap();
        lay(node.path(), given);
        let got = outcome(node.path(), &desired(given), edits);
        if got == expected {
            continue;
        }
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            fs::write(&path, format!("{given}{EXPECTED}{got}")).unwrap();
        } else {
            different.push(format!(
                "{}:\n{}",
                path.display(),
                TextDiff::from_lines(expected, &got).unified_diff()
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{}\nlook at the differences, then set FERRY_UPDATE_GOLDEN=1",
        different.join("\n")
    );
}

/// Lays the files of a case: `-- PATH --`, and behind the path how it is written: `crlf`, `bom`, `bare` (no last line end),
/// `folder`, `link TARGET`, `program` (its lines stand somewhere in one).
fn lay(node: &Path, given: &str) {
    for section in given.split("\n-- ").skip(1) {
        let (head, content) = section.split_once(" --").unwrap();
        let content = content.strip_prefix('\n').unwrap_or(content);
        let mut words = head.split(' ');
        let path = node.join(words.next().unwrap().trim_start_matches('/'));
        let words: Vec<&str> = words.collect();
        if words.contains(&"folder") {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let ["link", target] = words[..] {
            std::os::unix::fs::symlink(target, path).unwrap();
            continue;
        }
        let mut content = content.to_owned();
        if !content.is_empty() && !content.ends_with('\n') {
            content.push('\n');
        }
        if words.contains(&"bare") {
            content.pop();
        }
        if words.contains(&"crlf") {
            content = content.replace('\n', "\r\n");
        }
        if words.contains(&"bom") {
            content.insert(0, '\u{feff}');
        }
        if words.contains(&"program") {
            content = format!("\x7fELF\0{}\0", content.replace('\n', ""));
        }
        fs::write(path, content).unwrap();
    }
}

/// What a case's site asks for: `site: tls` and so on, on its first line.
fn desired(given: &str) -> NodeDesired {
    let names = given.lines().next().and_then(|line| line.strip_prefix("site:")).unwrap_or_default();
    let registries = names.split_whitespace().map(registry).collect();
    NodeDesired { registries, ..NodeDesired::default() }
}

/// The registries that cases ask for.
pub(crate) fn registry(name: &str) -> NodeRegistry {
    let authority = Some(CERTIFICATE.to_owned());
    let (address, security, prefix, mirrors): (_, _, _, &[&str]) = match name {
        "tls" => {
            ("registry.corp:5000", Security::Https { authority }, "", &["docker.io", "hub.bktencent.com"])
        }
        "public" => {
            ("harbor.corp", Security::Https { authority: None }, "mirror", &["docker.io", "k8s.gcr.io"])
        }
        "plain" => ("10.0.0.5:5000", Security::PlainHttp, "", &["docker.io"]),
        "unverified" => ("docker.bk.corp", Security::Unverified, "", &[]),
        other => panic!("no registry {other}"),
    };
    NodeRegistry {
        address: address.parse().unwrap(),
        security,
        prefix: prefix.into(),
        mirrors: mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect(),
    }
}

/// What an editor says, as text; a second look at what it made must change nothing.
fn outcome(node: &Path, desired: &NodeDesired, edits: Editor) -> String {
    let root = Root::new(node);
    let first = match edits(&root, desired) {
        Ok(edits) => edits,
        Err(failed) => return failure(&failed),
    };
    let mut text = String::new();
    writeln!(text, "found: {}", first.found.as_deref().unwrap_or("nothing")).unwrap();
    for note in &first.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    for edit in &first.files {
        let units = if edit.units.is_empty() { "nobody".to_owned() } else { edit.units.join(" or ") };
        writeln!(text, "\n{} ({:o}), {units}: {:?}", edit.path.display(), edit.mode, edit.takeup).unwrap();
        writeln!(text, "because {}", edit.reason).unwrap();
        let before = shown(edit.before.as_deref().unwrap_or_default());
        let after = shown(edit.after.as_deref().unwrap_or_default());
        let diff = TextDiff::from_lines(&before, &after);
        write!(text, "{}", diff.unified_diff().missing_newline_hint(false)).unwrap();
        if !text.ends_with('\n') {
            text.push_str("(no line end)\n");
        }
    }
    write_all(&root, &first);
    let second = edits(&root, desired).expect("what it wrote itself is readable");
    assert_eq!(second.files, [], "a second look changes nothing");
    text
}

/// Does what an editor says.
pub(crate) fn write_all(root: &Root, edits: &Edits) {
    for edit in &edits.files {
        let path = root.path(&edit.path);
        assert_eq!(edit.before, fs::read(&path).ok(), "{}", edit.path.display());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, edit.after.as_ref().unwrap()).unwrap();
    }
}

fn failure(failed: &Failed) -> String {
    let hints: Vec<String> = failed.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
    format!("failed: {}\n{}", failed.message, hints.concat())
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "␍").replace('\u{feff}', "<BOM>").replace('\t', "→   ")
}
