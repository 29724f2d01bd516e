//! The command line that dockerd is started with, and which file says each word of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferry_model::report::Failed;

use super::super::Root;
use super::UNITS;

/// Where units lie; those of an earlier folder hide those of a later one.
const FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const CONFIGURATION: &str = "/etc/docker/daemon.json";
/// Variables of distributions whose init scripts start dockerd, and the files that set them.
const SCRIPTS: [(&str, &str); 2] =
    [("/etc/default/docker", "DOCKER_OPTS"), ("/etc/sysconfig/docker", "OPTIONS")];

/// A dockerd as it is started.
#[derive(Clone, Debug, Default)]
pub(super) struct Dockerd {
    words: Vec<Word>,
}

/// A word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    place: String,
}

/// A flag with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) value: String,
    /// The file that says so.
    pub(super) place: String,
}

impl Dockerd {
    /// The dockerd of a node; `None` where there is none.
    pub(super) fn look(root: &Root) -> Result<Option<Self>, Failed> {
        let unit = UNITS.iter().find(|unit| root.has_unit(unit));
        if unit.is_none() && root.program("dockerd").is_none() {
            return Ok(None);
        }
        let words = match unit {
            Some(unit) => Unit::read(root, unit)?.words(),
            None => started_otherwise(root)?,
        };
        Ok(Some(Self { words }))
    }

    /// All values of a flag.
    pub(super) fn flags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Flag> + 'a {
        self.words.iter().enumerate().filter_map(move |(number, word)| {
            let rest = word.text.strip_prefix("--")?.strip_prefix(name)?;
            let value = match rest.strip_prefix('=') {
                Some(value) => value.to_owned(),
                None if rest.is_empty() => self.words.get(number + 1)?.text.clone(),
                None => return None,
            };
            Some(Flag { value, place: word.place.clone() })
        })
    }

    /// Its configuration file.
    pub(super) fn configuration(&self) -> PathBuf {
        let named = self.flags("config-file").last();
        PathBuf::from(named.map_or_else(|| CONFIGURATION.to_owned(), |flag| flag.value))
    }
}

/// What a unit says about starting.
#[derive(Debug, Default)]
struct Unit {
    command: Option<(String, String)>,
    /// By name: value and place.
    variables: BTreeMap<String, (String, String)>,
    /// Files that set variables, and win over those of the unit.
    files: Vec<String>,
}

impl Unit {
    fn read(root: &Root, name: &str) -> Result<Self, Failed> {
        let mut unit = Self::default();
        for folder in FOLDERS {
            let path = Path::new(folder).join(name);
            if let Some(bytes) = root.read(&path)? {
                unit.add(&path, &bytes);
                break;
            }
        }
        // All drop-ins in the order of their names, wherever they lie; of two with one name, that of the earlier folder.
        let mut dropped = BTreeMap::new();
        for folder in FOLDERS.iter().rev().map(|folder| Path::new(folder).join(format!("{name}.d"))) {
            let names = root.list(&folder)?.into_iter().filter(|name| name.ends_with(".conf"));
            dropped.extend(names.map(|name| (name.clone(), folder.join(name))));
        }
        for path in dropped.values() {
            unit.add(path, &root.read(path)?.unwrap_or_default());
        }
        for file in std::mem::take(&mut unit.files) {
            let bytes = root.read(&file)?.unwrap_or_default();
            for line in String::from_utf8_lossy(&bytes).replace("\\\n", " ").lines() {
                unit.set(line, &file);
            }
        }
        Ok(unit)
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) {
        let place = path.display().to_string();
        for line in String::from_utf8_lossy(bytes).replace("\\\n", " ").lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            match (key.trim(), value.trim()) {
                ("ExecStart", "") => self.command = None,
                ("ExecStart", value) => self.command = Some((value.to_owned(), place.clone())),
                ("EnvironmentFile", "") => self.files.clear(),
                ("EnvironmentFile", value) => self.files.push(value.trim_start_matches('-').to_owned()),
                ("Environment", value) => {
                    for assignment in words(value) {
                        self.set(&assignment, &place);
                    }
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, assignment: &str, place: &str) {
        let Some((name, value)) = assignment.split_once('=') else { return };
        let name = name.trim().trim_start_matches("export ");
        if !name.starts_with('#') {
            let value = unquoted(value.trim());
            self.variables.insert(name.to_owned(), (value, place.to_owned()));
        }
    }

    /// As systemd makes them: `$NAME` alone is as many words as its value has.
    fn words(&self) -> Vec<Word> {
        let Some((command, place)) = &self.command else { return Vec::new() };
        let mut all = Vec::new();
        for word in words(command) {
            let name = word.strip_prefix('$').map(|name| name.trim_matches(['{', '}']));
            match name.map(|name| self.variables.get(name)) {
                Some(Some((value, place))) => {
                    all.extend(words(value).into_iter().map(|text| Word { text, place: place.clone() }));
                }
                Some(None) => {}
                None => all.push(Word { text: self.filled(&word), place: place.clone() }),
            }
        }
        all
    }

    /// With `${NAME}` replaced inside.
    fn filled(&self, word: &str) -> String {
        self.variables
            .iter()
            .fold(word.to_owned(), |word, (name, (value, _))| word.replace(&format!("${{{name}}}"), value))
    }
}

/// Without a unit: as the running dockerd was started, or as init scripts start one.
fn started_otherwise(root: &Root) -> Result<Vec<Word>, Failed> {
    let process = root.read("/run/docker.pid")?.unwrap_or_default();
    let process = String::from_utf8_lossy(&process).trim().to_owned();
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let line = if is_number { root.read(format!("/proc/{process}/cmdline"))? } else { None };
    if let Some(line) = line {
        let place = format!("the command line of the running dockerd (process {process})");
        let texts = line.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        return Ok(texts.map(|text| Word { text, place: place.clone() }).collect());
    }
    let mut all = Vec::new();
    for (file, variable) in SCRIPTS {
        let mut unit = Unit::default();
        let bytes = root.read(file)?.unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().for_each(|line| unit.set(line, file));
        let value = unit.variables.remove(variable).unwrap_or_default().0;
        all.extend(words(&value).into_iter().map(|text| Word { text, place: file.to_owned() }));
    }
    Ok(all)
}

/// The words of a line, with their quotes taken off.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn unquoted(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).to_owned()
}
