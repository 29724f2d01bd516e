//! CRI-O and podman: `registries.conf` and what is dropped in beside it say where images are looked for, `certs.d` which
//! authorities are trusted. Both are of the library that the two share, and skopeo and buildah with them.
//!
//! A later file replaces the whole entry of an earlier one with the same prefix. So an entry that is there is changed in the
//! file whose word counts, and only one that is nowhere goes into a file of Ferry's own.

use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::node::{NodeDesired, NodeRegistry, Security, Takeup};
use ferry_model::report::Failed;
use toml_edit::{ArrayOfTables, Item, Table, TableLike};

use super::text::{self, Toml};
use super::{Edit, Edits, Root, endpoint};

const MAIN: &str = "/etc/containers/registries.conf";
const DROPPED_IN: &str = "/etc/containers/registries.conf.d";
/// Ferry's own file.
const OWN: &str = "50-ferry.conf";
const CERTIFICATES: &str = "/etc/containers/certs.d";
const UNITS: [&str; 2] = ["crio.service", "cri-o.service"];

#[cfg(test)]
mod tests;

/// What the files of CRI-O and podman shall have.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let Some(found) = found(root) else { return Ok(Edits::default()) };
    let mut edits = Edits { found: Some(found.into()), ..Edits::default() };
    if desired.registries.is_empty() {
        return Ok(edits);
    }
    for registry in &desired.registries {
        authority(root, registry, &mut edits)?;
    }
    let mut files = Files::read(root)?;
    let mut notes = Vec::new();
    if files.0.first().is_some_and(ConfFile::is_first_version) {
        notes.push(format!(
            "{MAIN} is of version 1, which has no place for mirrors: {DROPPED_IN}/{OWN} has them, and podman older than 2.0 does not read it"
        ));
    }
    for registry in desired.registries.iter().filter(|registry| is_insecure(registry)) {
        files.allow_insecure(registry)?;
    }
    for (upstream, mirrors) in endpoint::upstreams(&desired.registries) {
        files.mirror(&upstream.to_string(), &mirrors, &mut notes)?;
    }
    let is_daemon = has_crio(root);
    for file in files.0 {
        let after = file.toml.bytes();
        if file.before.as_ref() == Some(&after) || (file.before.is_none() && after.is_empty()) {
            continue;
        }
        edits.files.push(Edit {
            path: file.path,
            before: file.before,
            after: Some(after),
            mode: 0o644,
            units: if is_daemon { UNITS.map(str::to_owned).to_vec() } else { Vec::new() },
            takeup: if is_daemon { Takeup::Reload } else { Takeup::Nothing },
            reason: "registries and their mirrors; CRI-O reads them again when it is told to".into(),
        });
    }
    edits.notes = notes;
    Ok(edits)
}

fn found(root: &Root) -> Option<&'static str> {
    match (has_crio(root), root.program("podman").is_some()) {
        (true, true) => Some("cri-o and podman"),
        (true, false) => Some("cri-o"),
        (false, true) => Some("podman"),
        (false, false) => None,
    }
}

fn has_crio(root: &Root) -> bool {
    ["crio", "cri-o"].iter().any(|name| root.program(name).is_some())
        || UNITS.iter().any(|unit| root.has_unit(unit))
        || ["/etc/crio", "/run/crio/crio.sock", "/var/run/crio/crio.sock"]
            .iter()
            .any(|path| root.exists(path))
}

fn is_insecure(registry: &NodeRegistry) -> bool {
    matches!(registry.security, Security::PlainHttp | Security::Unverified)
}

fn authority(root: &Root, registry: &NodeRegistry, edits: &mut Edits) -> Result<(), Failed> {
    let Some(pem) = endpoint::authority(registry) else { return Ok(()) };
    let path = Path::new(CERTIFICATES).join(registry.address.to_string()).join(endpoint::AUTHORITY);
    let reason = format!("the authority of {}, which is read at each pull", registry.address);
    edits.files.extend(root.edit(path, pem, reason)?);
    Ok(())
}

/// The files that say where images are looked for, in the order in which they are read.
#[derive(Debug)]
struct Files(Vec<ConfFile>);

#[derive(Debug)]
struct ConfFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    toml: Toml,
}

impl Files {
    fn read(root: &Root) -> Result<Self, Failed> {
        let mut paths = vec![PathBuf::from(MAIN)];
        let mut names = root.list(DROPPED_IN)?;
        names.retain(|name| name.ends_with(".conf") && root.path(DROPPED_IN).join(name).is_file());
        if !names.iter().any(|name| name == OWN) {
            names.push(OWN.to_owned());
            names.sort();
        }
        paths.extend(names.into_iter().map(|name| Path::new(DROPPED_IN).join(name)));
        let mut files = Vec::new();
        for path in paths {
            let before = root.read(&path)?;
            let toml = Toml::read(&path, before.as_deref().unwrap_or_default())?;
            let file = ConfFile { path, before, toml };
            if file.entries().is_none() {
                return Err(no_tables(&file.path, "registry"));
            }
            files.push(file);
        }
        Ok(Self(files))
    }

    /// The file that has the entry for a prefix and whose word counts, or the one where it goes.
    fn file_of(&mut self, prefix: &str) -> Result<&mut ConfFile, Failed> {
        let there = self.0.iter().rposition(|file| file.position(prefix).is_some());
        // Versions of before 2020 read no other files than the first; they make no folder for them either.
        let has_folder = self.0.iter().skip(1).any(|file| file.before.is_some());
        let main = self.0.first().filter(|file| file.before.is_some() && !file.is_first_version());
        let own = || self.0.iter().position(|file| file.path.ends_with(OWN));
        let at = there.or(if main.is_some() && !has_folder { Some(0) } else { own() });
        at.and_then(|at| self.0.get_mut(at)).ok_or_else(|| {
            Failed::because(
                Class::Internal,
                format!("{DROPPED_IN}/{OWN} is not among the files that were read"),
            )
        })
    }

    /// A registry itself is spoken to without encryption, or with a certificate that nobody checks.
    fn allow_insecure(&mut self, registry: &NodeRegistry) -> Result<(), Failed> {
        let address = registry.address.to_string();
        let entry = self.file_of(&address)?.entry(&address)?;
        text::set(entry, "insecure", true);
        Ok(())
    }

    /// Mirrors of ours that are missing stand before those that are there.
    fn mirror(
        &mut self,
        upstream: &str,
        mirrors: &[&NodeRegistry],
        notes: &mut Vec<String>,
    ) -> Result<(), Failed> {
        let within = format!("{upstream}/");
        for file in &self.0 {
            let entries = file.entries().unwrap_or_default();
            for part in entries.into_iter().filter_map(prefix_of).filter(|part| part.starts_with(&within)) {
                notes.push(format!(
                    "{} has an entry of its own for {part}: its images come from where that says, and not from the mirrors of {upstream}",
                    file.path.display()
                ));
            }
        }
        let file = self.file_of(upstream)?;
        let path = file.path.clone();
        let entry = file.entry(upstream)?;
        if entry.get("blocked").and_then(Item::as_bool) == Some(true) {
            notes.push(format!("{} blocks {upstream}: its mirrors are not asked either", path.display()));
        }
        let there = text::tables_at(entry, "mirror").ok_or_else(|| no_tables(&path, "mirror"))?;
        let mut missing = Vec::new();
        for registry in mirrors {
            let location = match endpoint::prefix(registry) {
                "" => registry.address.to_string(),
                prefix => format!("{}/{prefix}", registry.address),
            };
            let known = there.iter_mut().find(|table| text_of(&**table, "location") == Some(&location));
            let mut made = Table::new();
            let table = match known {
                Some(table) => table,
                None => {
                    text::set(&mut made, "location", location);
                    missing.push(made);
                    let Some(made) = missing.last_mut() else { continue };
                    made
                }
            };
            if is_insecure(registry) {
                text::set(table, "insecure", true);
            }
        }
        put_first(there, missing);
        Ok(())
    }
}

impl ConfFile {
    /// Version 1 had lists; nothing of version 2 may stand beside them.
    fn is_first_version(&self) -> bool {
        self.toml.document.get("registries").is_some()
    }

    /// Its entries, in whichever of the two forms; none where there is something else.
    fn entries(&self) -> Option<Vec<&dyn TableLike>> {
        match self.toml.document.get("registry") {
            None => Some(Vec::new()),
            Some(Item::ArrayOfTables(tables)) => {
                Some(tables.iter().map(|table| table as &dyn TableLike).collect())
            }
            Some(item) => {
                let inline = |value: &'_ toml_edit::Value| value.is_inline_table();
                let array = item.as_array().filter(|array| array.iter().all(inline))?;
                let tables = array.iter().filter_map(|value| value.as_inline_table());
                Some(tables.map(|table| table as &dyn TableLike).collect())
            }
        }
    }

    fn position(&self, prefix: &str) -> Option<usize> {
        self.entries()?.into_iter().position(|table| prefix_of(table) == Some(prefix))
    }

    /// The entry for a prefix, made at the end where it is not there.
    fn entry(&mut self, prefix: &str) -> Result<&mut Table, Failed> {
        let at = self.position(prefix);
        let path = self.path.clone();
        let broken = || no_tables(&path, "registry");
        let tables = text::tables_at(self.toml.document.as_table_mut(), "registry").ok_or_else(broken)?;
        let at = at.unwrap_or_else(|| {
            let mut table = Table::new();
            text::set(&mut table, "prefix", prefix);
            text::set(&mut table, "location", prefix);
            tables.push(table);
            tables.len() - 1
        });
        tables.get_mut(at).ok_or_else(broken)
    }
}

fn no_tables(path: &Path, key: &str) -> Failed {
    Failed::because(Class::Input, format!("{}: `{key}` is no list of tables", path.display()))
        .hint(format!("write each as a table of its own, as in `[[{key}]]`"))
}

fn text_of<'a>(table: &'a dyn TableLike, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Item::as_str).filter(|text| !text.is_empty())
}

fn prefix_of(table: &dyn TableLike) -> Option<&str> {
    text_of(table, "prefix").or_else(|| text_of(table, "location"))
}

/// Tables of an array are written in the order of their positions. Each place is taken over by the next table.
fn put_first(tables: &mut ArrayOfTables, new: Vec<Table>) {
    if new.is_empty() {
        return;
    }
    let old: Vec<Table> = tables.iter().cloned().collect();
    let positions: Vec<isize> = old.iter().filter_map(Table::position).collect();
    tables.clear();
    for (number, mut table) in new.into_iter().chain(old).enumerate() {
        // Those that find no place any more stand behind the last.
        let place = positions.get(number).or(positions.last()).copied();
        table.set_position(place);
        tables.push(table);
    }
}
