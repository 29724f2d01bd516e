//! What `rewrite` did, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use ferry_model::Digest;
use serde::Serialize;

use super::remark::{Kind, Remark, Weight};
use super::text::Edit;

/// What `rewrite` did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RewriteReport {
    /// The site's registry.
    pub registry: String,
    /// `nowhere`, `diff`, `in-place`, `folder` or `stream`.
    pub output: &'static str,
    /// Files that there are.
    pub files: usize,
    /// Texts among them, or in charts among them, in which images may be named.
    pub texts: usize,
    /// Files that change.
    pub changed: usize,
    /// References that had their right names before.
    pub right: usize,
    /// Names that resolve at the registry.
    pub resolved: usize,
    /// Why the registry was not asked; absent where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
    /// Each reference that got another name, in the order of the files.
    pub edits: Vec<Edit>,
    /// What else there is to say, problems first.
    pub remarks: Vec<Remark>,
    /// Charts that were packed anew.
    pub archives: Vec<Archive>,
}

/// A chart's archive that was packed anew.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Where it lies.
    pub file: Arc<str>,
    /// The digest that it had.
    pub before: Digest,
    /// The digest that it has.
    pub after: Digest,
}

impl RewriteReport {
    /// What somebody must see to.
    pub fn problems(&self) -> usize {
        self.remarks.iter().filter(|remark| remark.weight == Weight::Problem).count()
    }

    /// Whether a file could not be read or written.
    pub fn is_cut_short(&self) -> bool {
        self.remarks.iter().any(|remark| remark.kind == Kind::Failed)
    }

    /// Whether anything is still to be written.
    pub fn is_pending(&self) -> bool {
        matches!(self.output, "nowhere" | "diff") && !self.edits.is_empty()
    }

    /// For people: line by line, since there may be many.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        for edit in &self.edits {
            let object = edit.object.as_ref().map_or_else(String::new, |object| format!("  ({object})"));
            writeln!(to, "{}  {} -> {}{object}", edit.spot, edit.before, edit.after)?;
        }
        for archive in &self.archives {
            let (before, after) = (archive.before.short(), archive.after.short());
            writeln!(to, "{}  packed anew: {before} -> {after}", archive.file)?;
        }
        for remark in &self.remarks {
            let weight = match remark.weight {
                Weight::Problem => "problem",
                Weight::Note => "note",
            };
            let name = if remark.name.is_empty() { String::new() } else { format!("{}: ", remark.name) };
            let object = remark.object.as_ref().map_or_else(String::new, |object| format!("  ({object})"));
            writeln!(to, "{weight}: {}  {name}{}{object}", remark.spot, remark.message)?;
        }
        if !(self.edits.is_empty() && self.archives.is_empty() && self.remarks.is_empty()) {
            writeln!(to)?;
        }
        to.write_all(self.summary().as_bytes())
    }

    fn summary(&self) -> String {
        let changed = match self.output {
            "nowhere" | "diff" => "to be renamed",
            _ => "renamed",
        };
        let files = match self.output {
            "stream" => String::new(),
            _ => format!(" in {}", count(self.changed, "file")),
        };
        let mut text = format!(
            "{} {changed}{files}; {} right already; {}, {}\n",
            count(self.edits.len(), "reference"),
            self.right,
            count(self.problems(), "problem"),
            count(self.remarks.len() - self.problems(), "note"),
        );
        match &self.not_asked {
            None if self.resolved > 0 => {
                let _ = writeln!(text, "{} resolve at {}", count(self.resolved, "name"), self.registry);
            }
            None => {}
            Some(why) => {
                let _ = writeln!(text, "names were not resolved: {why}");
            }
        }
        if self.output == "nowhere" && !self.edits.is_empty() {
            text.push_str("nothing was written: --in-place does it, or --output-folder; --diff shows it\n");
        }
        text
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
