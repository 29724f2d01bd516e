//! The index of a release: which packages there are, what they need, and where they lie.
//!
//! A text of lines with tabs. Three columns are a group: name, description, what it needs. Seven are a package: the
//! same, then version, local folder, processor with arguments, and the URL with `%s` in the version's place. The rules
//! are those of the script `bkdl-7.0-stable.sh` (`parse_release_file`), with one difference: a line that the script
//! would skip and go on without is an error here when something needs it.

use std::collections::{BTreeMap, HashSet};

use ferry_bundle::tarball::member_name;
use ferry_model::spec::BkdlItem;

/// A release's index.
#[derive(Debug, Default)]
pub(super) struct Release {
    names: BTreeMap<String, Named>,
    malformed: Vec<Malformed>,
}

/// A package or a group.
#[derive(Clone, Debug, Default)]
struct Named {
    /// The line that it stands in, from 1.
    line: usize,
    needs: Vec<String>,
    package: Option<Package>,
}

/// What is fetched for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) version: String,
    /// Where the script puts it, below its installation folder.
    pub(super) folder: String,
    pub(super) processor: String,
    pub(super) arguments: Vec<String>,
    /// As the index has it, with the version in place.
    pub(super) url: String,
}

/// A line that is neither a group nor a package.
#[derive(Debug)]
struct Malformed {
    line: usize,
    name: String,
    reason: String,
}

/// What an item comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Each once, what is needed before what needs it.
    pub(super) packages: Vec<Package>,
    /// What is odd in the index and does no harm.
    pub(super) warnings: Vec<String>,
}

/// Why an item comes to nothing; `line` is 0 where the index has none to name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) line: usize,
    pub(super) problem: String,
    pub(super) remedy: String,
    /// Whether the name is just not there.
    pub(super) is_unknown: bool,
}

/// The lines of an index that say something: without line ends of either kind, blank lines and comments.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let said = |(_, line): &(usize, &str)| !line.trim().is_empty() && !line.starts_with('#');
    (1..).zip(text.lines().map(|line| line.trim_end_matches('\r'))).filter(said)
}

/// The releases that `list.txt` names; the last one is the latest.
pub(super) fn parse_list(text: &str) -> Vec<&str> {
    lines(text).map(|(_, line)| line.trim()).collect()
}

impl Release {
    /// Reads an index. A line that is wrong does not spoil the others.
    pub(super) fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for (number, line) in lines(text) {
            let columns: Vec<&str> = line.split('\t').map(str::trim).collect();
            if let Err(reason) = release.add(number, &columns) {
                let name = columns.first().copied().unwrap_or_default().to_owned();
                release.malformed.push(Malformed { line: number, name, reason });
            }
        }
        release
    }

    /// As in the script, a later line for a name replaces the earlier one, and what both need is needed.
    fn add(&mut self, line: usize, columns: &[&str]) -> Result<(), String> {
        let (name, needs, package) = match columns {
            [name, _, needs] => (*name, *needs, None),
            [name, _, needs, version, folder, processor, url] => {
                let package = Package::parse(line, name, version, (folder, processor, url))?;
                (*name, *needs, package)
            }
            other => return Err(format!("it has {} columns, not 3 or 7", other.len())),
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '=')) {
            return Err(format!("`{name}` is no name"));
        }
        let named = self.names.entry(name.to_owned()).or_default();
        let new = needs.split([' ', ',']).map(str::trim).filter(|need| !need.is_empty());
        for need in new {
            if !named.needs.iter().any(|known| known == need) {
                named.needs.push(need.to_owned());
            }
        }
        (named.line, named.package) = (line, package);
        Ok(())
    }

    /// Whether not one line of it made sense.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a package lies somewhere below this folder, which is therefore one.
    pub(super) fn has_below(&self, folder: &str) -> bool {
        let packages = self.names.values().filter_map(|named| named.package.as_ref());
        packages.map(|package| member_name(&package.folder)).any(|other| {
            other.strip_prefix(folder).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        })
    }

    /// The names most like one that is not there.
    fn nearest(&self, name: &str) -> Vec<&str> {
        let mut known: Vec<(f64, &str)> =
            self.names.keys().map(|known| (likeness(name, known), known.as_str())).collect();
        known.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let close: Vec<&str> = known.iter().filter(|(like, _)| *like > 0.7).map(|(_, name)| *name).collect();
        if close.is_empty() {
            known.iter().map(|(_, name)| *name).take(20).collect()
        } else {
            close.into_iter().take(5).collect()
        }
    }

    /// What the script would fetch, given this item alone.
    pub(super) fn select(&self, item: &BkdlItem) -> Result<Selection, Unusable> {
        let Some(named) = self.names.get(&item.name) else {
            self.check_malformed(&item.name)?;
            let nearest = self.nearest(&item.name).join(", ");
            return Err(Unusable {
                line: 0,
                problem: format!("there is no `{}`", item.name),
                remedy: format!("there is: {nearest}"),
                is_unknown: true,
            });
        };
        if let Some(version) = &item.version {
            let unusable = |problem: String, remedy: String| {
                Err(Unusable { line: named.line, problem, remedy, is_unknown: false })
            };
            let alone = format!("write `{}` alone", item.name);
            match &named.package {
                None => return unusable(format!("`{}` is a group, which has no version", item.name), alone),
                Some(package) if !package.has_place() && package.version != *version => {
                    let problem = format!("the URL of `{}` has no place for a version", item.name);
                    return unusable(problem, format!("{alone}: the release has {}", package.version));
                }
                Some(_) => {}
            }
        }
        let mut walk = Walk {
            release: self,
            item,
            path: Vec::new(),
            done: HashSet::new(),
            selection: Selection::default(),
        };
        walk.visit(&item.name)?;
        Ok(walk.selection)
    }

    fn check_malformed(&self, name: &str) -> Result<(), Unusable> {
        let Some(malformed) = self.malformed.iter().find(|malformed| malformed.name == name) else {
            return Ok(());
        };
        Err(Unusable {
            line: malformed.line,
            problem: format!("`{name}` cannot be read: {}", malformed.reason),
            remedy:
                "tell whoever keeps the download site; meanwhile take another release, or leave the item out"
                    .into(),
            is_unknown: false,
        })
    }

    /// Lines that nobody needed and that could not be read.
    pub(super) fn oddities(&self) -> impl Iterator<Item = String> {
        self.malformed.iter().map(|malformed| format!("line {}: {}", malformed.line, malformed.reason))
    }
}

fn likeness(wanted: &str, known: &str) -> f64 {
    if known.contains(wanted) || wanted.contains(known) { 1.0 } else { strsim::jaro_winkler(wanted, known) }
}

/// A walk from an item over all that it needs.
struct Walk<'a> {
    release: &'a Release,
    item: &'a BkdlItem,
    /// The names from the item to where the walk is.
    path: Vec<&'a str>,
    done: HashSet<&'a str>,
    selection: Selection,
}

/// Names that need each other in a row; the script gives up at 100.
const MAX_DEPTH: usize = 100;

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a str) -> Result<(), Unusable> {
        if let Some(at) = self.path.iter().position(|above| *above == name) {
            let circle = [&self.path[at..], &[name]].concat().join(" → ");
            self.selection.warnings.push(format!("these need each other in a circle: {circle}"));
            return Ok(());
        }
        if self.done.contains(name) {
            return Ok(());
        }
        let Some(named) = self.release.names.get(name) else {
            self.release.check_malformed(name)?;
            let by = self.path.last().copied().unwrap_or_default();
            self.selection.warnings.push(format!(
                "`{by}` needs `{name}`, which is not there; the official script goes on without it, too"
            ));
            self.done.insert(name);
            return Ok(());
        };
        if self.path.len() >= MAX_DEPTH {
            return Err(Unusable {
                line: named.line,
                problem: format!("`{}` needs more than {MAX_DEPTH} names in a row", self.item.name),
                remedy: "name what it needs one by one".into(),
                is_unknown: false,
            });
        }
        self.path.push(name);
        for need in &named.needs {
            self.visit(need)?;
        }
        self.path.pop();
        self.done.insert(name);
        if let Some(package) = &named.package {
            let own = self.item.version.as_ref().filter(|_| name == self.item.name);
            self.selection.packages.push(package.at(own));
        }
        Ok(())
    }
}

impl Package {
    /// `None` for a line without a version, which the script takes for a group.
    fn parse(
        line: usize,
        name: &str,
        version: &str,
        (folder, processor, url): (&str, &str, &str),
    ) -> Result<Option<Self>, String> {
        if version.is_empty() {
            return Ok(None);
        }
        let mut words = processor.split_whitespace().map(str::to_owned);
        let processor = words.next().ok_or("it names no processor")?;
        if url.is_empty() || folder.is_empty() {
            return Err("it has no URL or no folder".to_owned());
        }
        fill(url, version)?;
        Ok(Some(Self {
            name: name.to_owned(),
            line,
            version: version.to_owned(),
            folder: folder.to_owned(),
            processor,
            arguments: words.collect(),
            url: url.to_owned(),
        }))
    }

    /// Whether its URL has a place for the version.
    fn has_place(&self) -> bool {
        fill(&self.url, "1").ok() != fill(&self.url, "2").ok()
    }

    /// With its URL filled in, for this version or its own.
    fn at(&self, version: Option<&String>) -> Self {
        let version = version.unwrap_or(&self.version).clone();
        let url = fill(&self.url, &version).expect("the form was tried when the line was read");
        Self { version, url, ..self.clone() }
    }
}

/// `printf` with one `%s`: everything else that begins with `%`, but `%%`, would not mean what it looks like.
fn fill(form: &str, version: &str) -> Result<String, String> {
    let mut url = String::new();
    let mut places = 0;
    let mut rest = form.chars();
    while let Some(letter) = rest.next() {
        match (letter, (letter == '%').then(|| rest.next()).flatten()) {
            ('%', Some('%')) => url.push('%'),
            ('%', Some('s')) => {
                places += 1;
                url.push_str(version);
            }
            ('%', other) => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!("the URL has `%{other}`, where only `%s` and `%%` are known"));
            }
            (letter, _) => url.push(letter),
        }
    }
    if places > 1 { Err(format!("the URL has {places} places for the version")) } else { Ok(url) }
}

#[cfg(test)]
mod tests;
