//! What must be inserted, removed or replaced for a Corefile to have names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ferry_model::host::Host;

use super::parse::{Block, Statement, Word};
use super::zone::lies_in;
use super::{Conflict, Corefile, CorefileError, Edited, Entry, Others};

/// What the first of our lines begins with.
const BEGIN: &str = "# BEGIN ferry";
/// How it goes on where the whole block is ours.
const WITH_HOSTS: &str = ": this hosts block too";
/// How it goes on where only the braces are.
const WITH_BRACES: &str = ": these braces too";
/// The last of our lines.
const END: &str = "# END ferry";
/// What is in a `hosts` block that has nothing but our names.
const PASS_ON: &str = "fallthrough";

/// Bytes to take out, and what to put in their place.
type Edit = (Range<usize>, String);

/// Where names go.
enum Ground<'a> {
    /// Into this `hosts`.
    Hosts(&'a Statement),
    /// Into a new one in this block.
    Block(&'a Block),
}

pub(super) fn with_names(
    corefile: &Corefile<'_>,
    entries: &[Entry],
    others: Others,
) -> Result<Edited, CorefileError> {
    let mut grounds: BTreeMap<usize, (Ground<'_>, Vec<&Entry>)> = BTreeMap::new();
    // Names that are asked for no more are in some of these.
    for block in &corefile.blocks {
        for hosts in corefile.statements(block).filter(|statement| statement.name() == "hosts") {
            grounds.insert(hosts.span().start, (Ground::Hosts(hosts), Vec::new()));
        }
    }
    for entry in entries {
        let block = &corefile.blocks[corefile.block_for(&entry.0)?];
        let hosts = corefile.statements(block).find(|statement| statement.name() == "hosts");
        let (at, ground) = match hosts {
            Some(hosts) => (hosts.span().start, Ground::Hosts(hosts)),
            None => (block.body.start, Ground::Block(block)),
        };
        grounds.entry(at).or_insert((ground, Vec::new())).1.push(entry);
    }
    let page = Page { text: corefile.text };
    let (mut edits, mut conflicts) = (Vec::new(), Vec::new());
    for (ground, entries) in grounds.into_values() {
        match ground {
            Ground::Block(block) => edits.push(page.new_block(block, &lines_of(&entries))),
            Ground::Hosts(hosts) => {
                let there = page.there(hosts)?;
                there.refuse_zones(&entries)?;
                let judged = there.judge(&entries, others);
                edits.extend(judged.removals.iter().map(|line| page.without(line)));
                edits.extend(page.renewed(&there, &judged.lines));
                conflicts.extend(judged.conflicts);
            }
        }
    }
    Ok(Edited { text: page.edited(edits), conflicts })
}

#[cfg(test)]
pub(super) fn without_names(corefile: &Corefile<'_>) -> Result<String, CorefileError> {
    with_names(corefile, &[], Others::Keep).map(|edited| edited.text)
}

pub(super) fn ours(corefile: &Corefile<'_>) -> Result<Vec<Entry>, CorefileError> {
    let page = Page { text: corefile.text };
    let mut entries: BTreeMap<Host, Vec<IpAddr>> = BTreeMap::new();
    let statements = corefile.blocks.iter().flat_map(|block| &block.statements);
    for hosts in statements.filter(|statement| statement.name() == "hosts") {
        let Some(ours) = page.ours(hosts)? else { continue };
        for line in hosts.inner_lines().into_iter().filter(|line| ours.contains(&line[0].span.start)) {
            let Ok(address) = line[0].text.parse() else { continue };
            for name in line[1..].iter().filter_map(|word| word.text.parse().ok()) {
                entries.entry(name).or_default().push(address);
            }
        }
    }
    Ok(entries.into_iter().collect())
}

fn lines_of(entries: &[&Entry]) -> Vec<String> {
    entries
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |address| format!("{address} {name}")))
        .collect()
}

/// A `hosts` as it is.
struct There<'a> {
    hosts: &'a Statement,
    /// Our lines, from the first byte of the first comment to the end of the line of the last.
    ours: Option<Range<usize>>,
    /// The lines of others: an address and names.
    theirs: Vec<(IpAddr, &'a [Word])>,
}

/// What becomes of a `hosts`.
struct Judged<'a> {
    /// Our lines.
    lines: Vec<String>,
    conflicts: Vec<Conflict>,
    /// Lines of others with the names that go.
    removals: Vec<Removal<'a>>,
}

struct Removal<'a> {
    line: &'a [Word],
    names: Vec<&'a Word>,
}

impl<'a> There<'a> {
    /// A `hosts` may answer for some zones alone: what follows its file.
    fn refuse_zones(&self, entries: &[&Entry]) -> Result<(), CorefileError> {
        let zones: Vec<&str> = self.hosts.arguments().iter().skip(1).map(|word| word.text.as_str()).collect();
        let is_answered = |name: &Host| zones.is_empty() || zones.iter().any(|zone| lies_in(name, zone));
        match entries.iter().find(|(name, _)| !is_answered(name)) {
            Some((name, _)) => Err(CorefileError::Zones { name: name.clone(), zones: zones.join(", ") }),
            None => Ok(()),
        }
    }

    fn judge(&self, entries: &[&Entry], others: Others) -> Judged<'a> {
        let mut judged = Judged { lines: Vec::new(), conflicts: Vec::new(), removals: Vec::new() };
        let mut going: Vec<(Host, Vec<IpAddr>)> = Vec::new();
        for (name, wanted) in entries {
            let theirs: Vec<IpAddr> =
                self.theirs.iter().filter(|(_, line)| says(line, name)).map(|line| line.0).collect();
            let is_other = theirs.iter().any(|address| !wanted.contains(address));
            if is_other && others == Others::Keep {
                judged.conflicts.push(Conflict { name: name.clone(), addresses: theirs });
                continue;
            }
            let missing = wanted.iter().filter(|address| !theirs.contains(address));
            judged.lines.extend(missing.map(|address| format!("{address} {name}")));
            going.extend(is_other.then(|| (name.clone(), wanted.clone())));
        }
        for (address, line) in &self.theirs {
            let goes = |word: &&Word| {
                going.iter().any(|(name, wanted)| is_name(word, name) && !wanted.contains(address))
            };
            let names: Vec<&Word> = line[1..].iter().filter(goes).collect();
            if !names.is_empty() {
                judged.removals.push(Removal { line, names });
            }
        }
        judged
    }
}

fn says(line: &[Word], name: &Host) -> bool {
    line[1..].iter().any(|word| is_name(word, name))
}

fn is_name(word: &Word, name: &Host) -> bool {
    word.text.trim_end_matches('.').eq_ignore_ascii_case(name.as_str())
}

/// The text that is edited.
struct Page<'a> {
    text: &'a str,
}

impl Page<'_> {
    fn there<'b>(&self, hosts: &'b Statement) -> Result<There<'b>, CorefileError> {
        let ours = self.ours(hosts)?;
        let is_theirs = |line: &&[Word]| ours.as_ref().is_none_or(|ours| !ours.contains(&line[0].span.start));
        let address = |line: &'b [Word]| Some((line[0].text.parse().ok()?, line));
        let theirs = hosts.inner_lines().into_iter().filter(is_theirs).filter_map(address).collect();
        Ok(There { hosts, ours, theirs })
    }

    /// The bytes between the two comments, them included.
    fn ours(&self, hosts: &Statement) -> Result<Option<Range<usize>>, CorefileError> {
        let Some((open, close)) = hosts.braces else { return Ok(None) };
        let inside = hosts.words[open].span.end..hosts.words[close].span.start;
        let (mut begin, mut end, mut at) = (None, None, inside.start);
        for line in self.text[inside].split_inclusive('\n') {
            let said = line.trim();
            match (said.starts_with(BEGIN), said == END) {
                (true, _) if begin.is_none() => begin = Some(at + line.len() - line.trim_start().len()),
                (_, true) if begin.is_some() && end.is_none() => end = Some(at + line.len()),
                (true, _) | (_, true) => return Err(CorefileError::Marks),
                _ => {}
            }
            at += line.len();
        }
        match (begin, end) {
            (None, None) => Ok(None),
            (Some(begin), Some(end)) => Ok(Some(begin..end)),
            _ => Err(CorefileError::Marks),
        }
    }

    /// A `hosts` with these lines for ours.
    fn renewed(&self, there: &There<'_>, lines: &[String]) -> Option<Edit> {
        match (&there.ours, lines.is_empty()) {
            (None, true) => None,
            (None, false) => Some(self.first_lines(there.hosts, lines)),
            (Some(ours), true) => Some((self.removal(there, ours), String::new())),
            (Some(ours), false) => {
                let indent = &self.text[self.line_start(ours.start)..ours.start];
                let first = self.text[ours.clone()].lines().next().unwrap_or(BEGIN).trim_end();
                let renewed = self.between(indent, first, lines);
                Some((ours.clone(), renewed.trim_start().to_owned()))
            }
        }
    }

    /// The bytes that go with our lines.
    fn removal(&self, there: &There<'_>, ours: &Range<usize>) -> Range<usize> {
        let whole = self.line_start(ours.start)..ours.end;
        let first = self.text[ours.clone()].lines().next().unwrap_or_default().trim_end();
        let rest = there.hosts.inner_lines().into_iter().filter(|line| !ours.contains(&line[0].span.start));
        let rest: Vec<String> = rest
            .map(|line| line.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
            .collect();
        let Some((open, _)) = there.hosts.braces else { return whole };
        let span = there.hosts.span();
        if first.ends_with(WITH_HOSTS) && rest == [PASS_ON] {
            let (start, end) = (self.line_start(span.start), self.line_end(span.end));
            let breaks_before = end == self.text.len() && !self.text.ends_with('\n') && start > 0;
            return if breaks_before { start - self.newline().len()..end } else { start..end };
        }
        if first.ends_with(WITH_BRACES) && rest.is_empty() {
            let before = there.hosts.words[open - 1].span.end;
            return before..span.end;
        }
        whole
    }

    /// Our lines in a `hosts` that has none yet.
    fn first_lines(&self, hosts: &Statement, lines: &[String]) -> Edit {
        let outer = self.indent(hosts.span().start);
        let newline = self.newline();
        let Some((open, _)) = hosts.braces else {
            let end = hosts.span().end;
            let inner = self.between(&format!("{outer}    "), &format!("{BEGIN}{WITH_BRACES}"), lines);
            return (end..end, format!(" {{{newline}{inner}{outer}}}"));
        };
        let brace = &hosts.words[open];
        let next = hosts.words.get(open + 1);
        let inner = match next {
            Some(word) if word.text != "}" && word.line != brace.line => self.indent(word.span.start),
            _ => format!("{outer}    "),
        };
        let text = self.between(&inner, BEGIN, lines);
        match next {
            Some(word) if word.line == brace.line => {
                (brace.span.end..brace.span.end, format!("{newline}{text}{inner}"))
            }
            _ => {
                let at = self.line_end(brace.span.end);
                (at..at, text)
            }
        }
    }

    /// A `hosts` where there is none: behind `prometheus`, as BlueKing's script does; else before what sends queries elsewhere.
    fn new_block(&self, block: &Block, lines: &[String]) -> Edit {
        let find = |name: &str| block.statements.iter().find(|statement| statement.name() == name);
        let first = block.statements.first();
        let indent = first.map_or_else(|| "    ".to_owned(), |statement| self.indent(statement.span().start));
        let newline = self.newline();
        let inner = self.between(&format!("{indent}    "), &format!("{BEGIN}{WITH_HOSTS}"), lines);
        let text =
            format!("{indent}hosts {{{newline}{inner}{indent}    {PASS_ON}{newline}{indent}}}{newline}");
        let at = match (find("prometheus"), find("forward").or_else(|| find("proxy"))) {
            (Some(statement), _) => self.line_end(statement.span().end),
            (None, Some(statement)) => self.line_start(statement.span().start),
            (None, None) => block.statements.last().map_or_else(
                || self.line_end(block.body.start),
                |statement| self.line_end(statement.span().end),
            ),
        };
        if at < block.body.start || at > block.body.end {
            // Other words stand on the line of the brace.
            let at = block.body.start;
            return (at..at, format!("{newline}{text}{indent}"));
        }
        if at == self.text.len() && !self.text.ends_with('\n') {
            return (at..at, format!("{newline}{}", text.trim_end()));
        }
        (at..at, text)
    }

    fn between(&self, indent: &str, first: &str, lines: &[String]) -> String {
        let newline = self.newline();
        let lines: String = lines.iter().map(|line| format!("{indent}{line}{newline}")).collect();
        format!("{indent}{first}{newline}{lines}{indent}{END}{newline}")
    }

    /// Takes names out of a line of others; the line itself, where it has no other.
    fn without(&self, removal: &Removal<'_>) -> Edit {
        let line = removal.line;
        let (start, end) = (line[0].span.start, line[line.len() - 1].span.end);
        if removal.names.len() == line.len() - 1 {
            return (self.line_start(start)..self.line_end(end), String::new());
        }
        let mut text = String::new();
        let mut at = start;
        for word in &removal.names {
            let before = self.text[..word.span.start].trim_end_matches([' ', '\t']).len();
            text.push_str(&self.text[at..before]);
            at = word.span.end;
        }
        text.push_str(&self.text[at..end]);
        (start..end, text)
    }

    fn edited(&self, mut edits: Vec<Edit>) -> String {
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in edits {
            text.push_str(&self.text[at..range.start]);
            text.push_str(&new);
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        text
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |before| before + 1)
    }

    /// Behind the end of the line.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |more| at + more + 1)
    }

    /// The white space that a line begins with.
    fn indent(&self, at: usize) -> String {
        let line = &self.text[self.line_start(at)..at];
        line[..line.len() - line.trim_start().len()].to_owned()
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}
