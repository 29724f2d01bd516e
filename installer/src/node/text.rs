//! Text of configuration files that others wrote: its line endings and byte order mark stay, and where it is broken is said.

use std::fmt::Write as _;
use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use similar::{ChangeTag, TextDiff};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

const BYTE_ORDER_MARK: &str = "\u{feff}";
/// What the keys of secrets have in their names; such a line is shown up to its value.
const SECRETS: [&str; 4] = ["passw", "auth", "token", "secret"];
/// The most of a line that is shown.
const SHOWN: usize = 160;

/// A text file, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    original: String,
    /// What it says, each line ending in `\n` alone.
    pub(crate) plain: String,
}

impl Text {
    /// Reads a file's bytes.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Failed> {
        let original = str::from_utf8(bytes).map_err(|error| {
            let (before, _) = bytes.split_at(error.valid_up_to());
            broken(path, &String::from_utf8_lossy(before), before.len(), "this is no UTF-8")
        })?;
        let content = original.strip_prefix(BYTE_ORDER_MARK).unwrap_or(original);
        Ok(Self { original: original.to_owned(), plain: content.replace("\r\n", "\n") })
    }

    /// The bytes that say `after`, where every line that stays is as it was.
    pub(crate) fn saying(&self, after: &str) -> Vec<u8> {
        let content = self.original.strip_prefix(BYTE_ORDER_MARK);
        let mut bytes = if content.is_some() { BYTE_ORDER_MARK.to_owned() } else { String::new() };
        let lines: Vec<&str> = content.unwrap_or(&self.original).split_inclusive('\n').collect();
        let returns = lines.iter().filter(|line| line.ends_with("\r\n")).count();
        let uses_returns = returns * 2 > lines.len();
        for change in TextDiff::from_lines(self.plain.as_str(), after).iter_all_changes() {
            match (change.tag(), change.old_index()) {
                (ChangeTag::Equal, Some(line)) => bytes.push_str(lines[line]),
                (ChangeTag::Insert, _) if uses_returns => {
                    bytes.push_str(&change.value().replace('\n', "\r\n"));
                }
                (ChangeTag::Insert, _) => bytes.push_str(change.value()),
                (ChangeTag::Equal | ChangeTag::Delete, _) => {}
            }
        }
        bytes.into_bytes()
    }
}

/// A TOML file as it is, and as it shall be.
#[derive(Clone, Debug)]
pub(crate) struct Toml {
    text: Text,
    /// The comments of a file that has nothing else: what is added stands behind them.
    head: String,
    /// What it says, to be changed.
    pub(crate) document: DocumentMut,
}

impl Toml {
    /// Reads a file's bytes.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Failed> {
        let text = Text::read(path, bytes)?;
        let mut document = text.plain.parse::<DocumentMut>().map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            broken(path, &text.plain, offset, error.message())
        })?;
        let mut head = String::new();
        if document.is_empty() {
            head.clone_from(&text.plain);
            document.set_trailing("");
        }
        Ok(Self { text, head, document })
    }

    /// The bytes that say what the document says now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let says = self.document.to_string();
        let is_open = !says.is_empty() && !self.head.is_empty() && !self.head.ends_with('\n');
        let end = if is_open { "\n" } else { "" };
        self.text.saying(&format!("{}{end}{says}", self.head))
    }
}

/// That a file that is there cannot be read, with the line that is wrong. It is left as it is.
pub(crate) fn broken(path: &Path, text: &str, offset: usize, message: &str) -> Failed {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[start..].chars().count() + 1;
    broken_at(path, text, (line, column), message)
}

/// The same, where line and column are known, both from 1.
pub(crate) fn broken_at(path: &Path, text: &str, (line, column): (usize, usize), message: &str) -> Failed {
    let shown = shown(text.lines().nth(line.saturating_sub(1)).unwrap_or_default());
    let mut says = format!("{}, line {line}, column {column}: ", path.display());
    says.push_str(message.lines().next().unwrap_or_default());
    if !shown.is_empty() {
        let _ = write!(says, ": `{shown}`");
    }
    Failed::because(Class::Input, says)
        .hint("correct this line, or move the file away; a file that cannot be read is never replaced")
}

/// A line as it may be shown: without what follows the key of a secret.
fn shown(line: &str) -> String {
    let lower = line.to_lowercase();
    let cut = match (SECRETS.iter().filter_map(|secret| lower.find(secret)).min(), line.find(['=', ':'])) {
        (Some(_), Some(at)) => format!("{} …", &line[..=at]),
        (Some(_), None) => "…".to_owned(),
        (None, _) => line.to_owned(),
    };
    cut.trim().chars().take(SHOWN).collect()
}

/// The table at a key, of whatever form, made where it is not there. `None` where something else stands there.
pub(crate) fn table_at<'a>(parent: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    let prefix = sibling_prefix(parent);
    let item = parent.entry(key).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        if let Some(prefix) = prefix {
            table.decor_mut().set_prefix(prefix);
        }
        Item::Table(table)
    });
    if item.is_inline_table() {
        *item = Item::Table(std::mem::take(item).into_table().unwrap_or_default());
        if let Some(mut key) = parent.key_mut(key) {
            key.leaf_decor_mut().clear();
        }
    }
    parent.get_mut(key)?.as_table_mut()
}

/// What stands before the header of a new table, where tables beside it are indented or follow each other without a gap.
pub(crate) fn sibling_prefix(parent: &Table) -> Option<String> {
    let siblings = parent.iter().filter_map(|(_, item)| item.as_table());
    let decor = siblings.filter(|table| !table.is_implicit()).map(Table::decor).last()?;
    let prefix = decor.prefix()?.as_str()?;
    let indent = prefix.rsplit('\n').next().filter(|indent| indent.trim().is_empty())?;
    Some(if prefix.contains('\n') { format!("\n{indent}") } else { indent.to_owned() })
}

/// The list of tables at a key, of whatever form, made where it is not there. `None` where something else stands there.
pub(crate) fn tables_at<'a>(parent: &'a mut Table, key: &str) -> Option<&'a mut ArrayOfTables> {
    let item = parent.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let is_empty = item.as_array().is_some_and(Array::is_empty);
    if is_empty || item.as_array().is_some_and(|array| array.iter().all(Value::is_inline_table)) {
        *item = Item::ArrayOfTables(std::mem::take(item).into_array_of_tables().unwrap_or_default());
        if let Some(mut key) = parent.key_mut(key) {
            key.leaf_decor_mut().clear();
        }
    }
    parent.get_mut(key)?.as_array_of_tables_mut()
}

/// The texts of an array, or of a single text.
pub(crate) fn texts(item: Option<&Item>) -> Vec<String> {
    match item {
        Some(Item::Value(Value::String(text))) => vec![text.value().clone()],
        Some(Item::Value(Value::Array(array))) => {
            array.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// Sets a value, and keeps the comment behind the one that it replaces. Says whether that changed anything.
pub(crate) fn set(table: &mut Table, key: &str, value: impl Into<Value>) -> bool {
    let mut value = value.into();
    if let Some(Item::Value(there)) = table.get_mut(key) {
        if is_same(there, &value) {
            return false;
        }
        *value.decor_mut() = there.decor().clone();
        *there = value;
        return true;
    }
    let indent = indent_of(table);
    table.insert(key, Item::Value(value));
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_prefix(indent);
    }
    true
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Boolean(one), Value::Boolean(other)) => one.value() == other.value(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| is_same(one, other))
        }
        (one, other) => one.as_str().is_some() && one.as_str() == other.as_str(),
    }
}

/// The spaces or tabs with which a table's lines begin: those of its first key, or one step behind its header.
fn indent_of(table: &Table) -> String {
    let prefix_of = |decor: &toml_edit::Decor| {
        let prefix = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
        prefix.rsplit('\n').next().unwrap_or_default().to_owned()
    };
    let is_indent = |text: &String| text.chars().all(|c| c == ' ' || c == '\t');
    let first = table.iter().find(|(_, item)| item.is_value()).and_then(|(key, _)| table.key(key));
    match first {
        Some(key) => Some(prefix_of(key.leaf_decor())),
        None => Some(prefix_of(table.decor())).map(|indent| match indent.chars().next() {
            Some('\t') => format!("{indent}\t"),
            Some(_) => format!("{indent}  "),
            None => indent,
        }),
    }
    .filter(is_indent)
    .unwrap_or_default()
}

/// An array of texts, on one line.
pub(crate) fn array<'a>(texts: impl IntoIterator<Item = &'a str>) -> Array {
    texts.into_iter().collect()
}

/// Whether a table has nothing in it.
pub(crate) fn is_empty(item: &Item) -> bool {
    item.as_table_like().is_some_and(toml_edit::TableLike::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_keep_their_endings() {
        let text = Text::read(Path::new("/x"), "\u{feff}a = 1\r\nb = 2\nc = 3\r\n".as_bytes()).unwrap();
        let after = text.saying("a = 1\nnew = 0\nb = 2\nc = 3\n");
        assert_eq!(String::from_utf8(after).unwrap(), "\u{feff}a = 1\r\nnew = 0\r\nb = 2\nc = 3\r\n");
        let text = Text::read(Path::new("/x"), b"a = 1").unwrap();
        assert_eq!(text.saying("a = 1"), b"a = 1");
    }

    #[test]
    fn broken_lines_are_shown_without_secrets() {
        let failed = Toml::read(Path::new("/etc/x.toml"), b"a = 1\n  b = = 2\n").unwrap_err();
        assert!(failed.message.starts_with("/etc/x.toml, line 2, column 7: "), "{}", failed.message);
        assert!(failed.message.ends_with(": `b = = 2`"), "{}", failed.message);
        let failed = Toml::read(Path::new("/x"), b"password = hunter2\n").unwrap_err();
        assert!(failed.message.ends_with(": `password = …`"), "{}", failed.message);
        let failed = Toml::read(Path::new("/x"), b"a = 1\nb = \"\xff\"\n").unwrap_err();
        assert!(failed.message.starts_with("/x, line 2, column 6: this is no UTF-8"), "{}", failed.message);
    }
}
