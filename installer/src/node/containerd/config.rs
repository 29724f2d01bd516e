//! `config.toml` and the files that it imports, in the order in which containerd reads them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use toml_edit::{Item, Table, TableLike};

use super::release::Release;
use crate::node::Root;
use crate::node::text::{self, Toml};

/// The most files that are read; containerd's own limit is the machine's.
const MOST_FILES: usize = 200;

/// All of containerd's configuration.
#[derive(Debug)]
pub(super) struct Config {
    files: Vec<ConfigFile>,
    release: Release,
    version: i64,
}

/// One file of it.
#[derive(Debug)]
struct ConfigFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    toml: Toml,
}

impl Config {
    /// Reads the file and those that it imports: breadth first, each once, names with `*` in order.
    pub(super) fn read(root: &Root, main: &Path, release: Release) -> Result<Self, Failed> {
        let mut files: Vec<ConfigFile> = Vec::new();
        let mut pending = VecDeque::from([main.to_owned()]);
        while let Some(path) = pending.pop_front() {
            let is_main = files.is_empty();
            if files.iter().any(|file| file.path == path) || files.len() == MOST_FILES {
                continue;
            }
            let before = root.read(&path)?;
            if before.is_none() && !is_main {
                let message =
                    format!("{} is imported by containerd's configuration, and is not there", path.display());
                return Err(Failed::because(Class::Input, message).hint(format!(
                    "take it out of `imports`, or put it there: containerd does not start without it; see {}",
                    main.display()
                )));
            }
            let toml = Toml::read(&path, before.as_deref().unwrap_or_default())?;
            for import in text::texts(toml.document.get("imports")) {
                pending.extend(imported(root, &path, &import)?);
            }
            files.push(ConfigFile { path, before, toml });
        }
        let mut config = Self { files, release, version: 0 };
        config.version = config.effective_version();
        Ok(config)
    }

    /// The last version that a file says; 1 where none does.
    fn effective_version(&self) -> i64 {
        let said = self.files.iter().filter_map(ConfigFile::version).next_back();
        let is_anew = self.files.iter().all(|file| !file.names_plugins());
        let is_qualified =
            || self.files.iter().any(|file| file.section("io.containerd.grpc.v1.cri").is_some());
        match said {
            Some(version) => version,
            None if is_anew => self.release.version(),
            None if self.release >= Release::Two && is_qualified() => 2,
            None => 1,
        }
    }

    /// The plug-in that has the registries: by a file's own version, where containerd brings each file to the same version.
    fn plugin(&self, file: &ConfigFile) -> &'static str {
        let own = file.version().filter(|_| self.release >= Release::Two);
        match own.unwrap_or(self.version) {
            ..=1 => "cri",
            2 => "io.containerd.grpc.v1.cri",
            3.. => "io.containerd.cri.v1.images",
        }
    }

    /// Whether Kubernetes cannot use this containerd: Docker's packages ship it so.
    pub(super) fn serves_docker_alone(&self) -> bool {
        let disabled =
            self.files.iter().flat_map(|file| text::texts(file.toml.document.get("disabled_plugins")));
        disabled.into_iter().any(|plugin| matches!(plugin.as_str(), "cri" | "io.containerd.grpc.v1.cri"))
    }

    /// The file whose word counts: the last one with a section of the plug-in, or else the first.
    fn decisive(&self) -> usize {
        let has_section = |file: &ConfigFile| file.section(self.plugin(file)).is_some();
        self.files.iter().rposition(has_section).unwrap_or(0)
    }

    /// Files whose tables count.
    fn counting(&self) -> Vec<usize> {
        if self.release.merges() { (0..self.files.len()).collect() } else { vec![self.decisive()] }
    }

    /// What is said of registries in the files that count, the most decisive last.
    pub(super) fn registries(&self) -> impl Iterator<Item = &dyn TableLike> {
        let tables = self.counting().into_iter().filter_map(|at| {
            let file = &self.files[at];
            file.section(self.plugin(file))?.get("registry")
        });
        tables.filter_map(Item::as_table_like)
    }

    /// The folders in which registries stand, the first one first; none where they are not set.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let said = self.registries().filter_map(|registry| registry.get("config_path")?.as_str());
        let said = said.filter(|path| !path.is_empty()).last().map(str::to_owned);
        let split = |path: &str| path.split(':').filter(|one| !one.is_empty()).map(PathBuf::from).collect();
        said.as_deref().map(split).unwrap_or_default()
    }

    /// Changes what is said of registries in each file that counts.
    pub(super) fn change_each(&mut self, mut change: impl FnMut(&mut Table)) {
        for at in self.counting() {
            let plugin = self.plugin(&self.files[at]);
            let file = &mut self.files[at];
            if file.section(plugin).is_some_and(|section| section.contains_key("registry"))
                && let Ok(registry) = file.registry(plugin)
            {
                change(registry);
            }
        }
    }

    /// What is said of registries in the file whose word counts, made where it is not there.
    pub(super) fn decisive_registry(&mut self) -> Result<&mut Table, Failed> {
        let at = self.decisive();
        let plugin = self.plugin(&self.files[at]);
        let file = &mut self.files[at];
        if at == 0 && file.version().is_none() && plugin != "cri" {
            // Without it, names of plug-ins would be read as those of version 1.
            let version = self.version;
            text::set(file.toml.document.as_table_mut(), "version", version);
        }
        file.registry(plugin)
    }

    /// Path, bytes before and bytes after of the files that differ now.
    pub(super) fn changed(self) -> impl Iterator<Item = (PathBuf, Option<Vec<u8>>, Vec<u8>)> {
        self.files.into_iter().filter_map(|file| {
            let after = file.toml.bytes();
            let is_same = file.before.as_deref().unwrap_or_default() == after;
            (!is_same).then_some((file.path, file.before, after))
        })
    }
}

impl ConfigFile {
    fn version(&self) -> Option<i64> {
        self.toml.document.get("version").and_then(Item::as_integer).filter(|version| *version > 0)
    }

    /// Whether it names a plug-in anywhere, in a form that depends on its version.
    fn names_plugins(&self) -> bool {
        let document = &self.toml.document;
        let lists = ["disabled_plugins", "required_plugins"];
        document.get("plugins").is_some_and(|plugins| !text::is_empty(plugins))
            || lists.iter().any(|list| !text::texts(document.get(list)).is_empty())
    }

    fn section(&self, plugin: &str) -> Option<&dyn TableLike> {
        self.toml.document.get("plugins")?.get(plugin)?.as_table_like()
    }

    fn registry(&mut self, plugin: &str) -> Result<&mut Table, Failed> {
        let path = self.path.clone();
        let root = self.toml.document.as_table_mut();
        let section = text::table_at(root, "plugins").and_then(|plugins| text::table_at(plugins, plugin));
        section.and_then(|section| text::table_at(section, "registry")).ok_or_else(|| {
            let message = format!("{}: `registry` of the plug-in {plugin} is no table", path.display());
            Failed::because(Class::Input, message).hint("correct it: containerd cannot read it either")
        })
    }
}

/// The files that an entry of `imports` means.
fn imported(root: &Root, parent: &Path, import: &str) -> Result<Vec<PathBuf>, Failed> {
    let folder = parent.parent().unwrap_or(Path::new("/"));
    let path = folder.join(import);
    let path: PathBuf = path.components().filter(|part| part.as_os_str() != ".").collect();
    if !import.contains('*') {
        return Ok(vec![path]);
    }
    let (Some(folder), Some(pattern)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    if folder.to_string_lossy().contains('*') {
        let message = format!("{} imports `{import}`, a pattern of folders", parent.display());
        return Err(Failed::because(Class::Input, message)
            .hint("name the folders: what is in them decides where registries are configured"));
    }
    let names = root.list(folder)?;
    Ok(names.iter().filter(|name| matches(pattern, name)).map(|name| folder.join(name)).collect())
}

/// Whether a name is what a pattern with `*` means.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]).any(|rest| matches(after, rest))
        }),
    }
}
