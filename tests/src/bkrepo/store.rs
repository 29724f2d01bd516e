//! Projects, repositories and their nodes. Folders are nodes too and are made with what lies in them.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::{Value, json};

use super::Setup;
use super::answer::Refusal;
use super::auth::User;
use super::content::Content;
use super::helm::Index;
use super::path;

/// What a test sees of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// 64 hex digits; of a folder, nothing.
    pub sha256: String,
    /// Its bytes; of a folder, none.
    pub size: u64,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// After how many days it goes; 0 for never.
    pub expires: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) folder: bool,
    pub(super) content: Content,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) expires: u64,
    /// A number that grows from node to node, and the seconds of its date.
    pub(super) made: u64,
    pub(super) maker: String,
}

#[derive(Debug, Default)]
pub(super) struct Project {
    pub(super) display_name: String,
    pub(super) description: String,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) kind: String,
    pub(super) category: String,
    pub(super) public: bool,
    pub(super) description: String,
    pub(super) configuration: Value,
    pub(super) index: Index,
    nodes: BTreeMap<String, Node>,
    made: u64,
}

/// A block upload under way. It knows no path: that of its end counts.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) parts: BTreeMap<u64, Content>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) uploads_started: u64,
    pub(super) repositories: BTreeMap<(String, String), Repository>,
}

/// The time of the number: a day of seconds, always the same one.
pub(super) fn clock(made: u64) -> String {
    format!("{:02}:{:02}:{:02}", made / 3600 % 24, made / 60 % 60, made % 60)
}

impl Store {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut store = Self::default();
        for user in &setup.users {
            store.users.insert(user.name.clone(), user.clone());
        }
        let projects = setup.projects.iter().chain(setup.repositories.iter().map(|one| &one.project));
        for name in projects {
            let project = Project { display_name: name.clone(), description: String::new() };
            store.projects.insert(name.clone(), project);
        }
        for one in &setup.repositories {
            let repository = Repository::new(&one.kind, "LOCAL", one.public);
            store.repositories.insert((one.project.clone(), one.name.clone()), repository);
        }
        store
    }

    pub(super) fn repository(&self, project: &str, name: &str) -> Result<&Repository, Refusal> {
        let key = (project.to_owned(), name.to_owned());
        self.repositories.get(&key).ok_or_else(|| Refusal::no_repository(name))
    }

    pub(super) fn repository_mut(&mut self, project: &str, name: &str) -> Result<&mut Repository, Refusal> {
        let key = (project.to_owned(), name.to_owned());
        self.repositories.get_mut(&key).ok_or_else(|| Refusal::no_repository(name))
    }

    pub(super) fn files(&self, project: &str, repository: &str) -> BTreeMap<String, File> {
        let nodes = self.repository(project, repository).map(|repository| &repository.nodes);
        let files = nodes.into_iter().flatten().map(|(path, node)| {
            let file = File {
                sha256: node.content.sha256.clone(),
                size: node.content.size,
                folder: node.folder,
                metadata: node.metadata.clone(),
                expires: node.expires,
            };
            (path.clone(), file)
        });
        files.collect()
    }

    pub(super) fn repository_kinds(&self) -> BTreeMap<(String, String), (String, bool)> {
        let all = self.repositories.iter();
        all.map(|(name, repository)| (name.clone(), (repository.kind.clone(), repository.public))).collect()
    }
}

impl Repository {
    pub(super) fn new(kind: &str, category: &str, public: bool) -> Self {
        Self {
            kind: kind.to_owned(),
            category: category.to_owned(),
            public,
            description: String::new(),
            configuration: json!({"type": category.to_lowercase(), "settings": {}}),
            index: Index::default(),
            nodes: BTreeMap::new(),
            made: 0,
        }
    }

    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Whether the path is a folder. The root always is.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        path == "/" || self.nodes.get(path).is_some_and(|node| node.folder)
    }

    /// All nodes below a path, not itself, by path.
    pub(super) fn below(&self, path: &str) -> impl Iterator<Item = (&String, &Node)> {
        let prefix = path::prefix(path);
        let range = self.nodes.range::<String, _>((Bound::Excluded(&prefix), Bound::Unbounded));
        range.take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// Makes a file and the folders above it. [BKREPO NodeBaseService.createNode, checkConflictAndQuota, mkdirs]
    pub(super) fn put_file(
        &mut self,
        path: &str,
        content: Content,
        overwrite: bool,
        maker: &str,
    ) -> Result<&mut Node, Refusal> {
        if path == "/" {
            return Err(Refusal::parameter("fullPath"));
        }
        match self.nodes.get(path) {
            Some(_) if !overwrite => return Err(Refusal::existed(path)),
            Some(node) if node.folder => return Err(Refusal::conflict(path)),
            _ => {}
        }
        self.make_folders(path::parent(path), maker)?;
        self.nodes.remove(path);
        Ok(self.insert(path, false, content, maker))
    }

    /// Makes an empty folder; what is there already is refused, whatever it is.
    pub(super) fn put_folder(&mut self, path: &str, maker: &str) -> Result<(), Refusal> {
        if path == "/" {
            return Err(Refusal::parameter("fullPath"));
        }
        if self.nodes.contains_key(path) {
            return Err(Refusal::existed(path));
        }
        self.make_folders(path, maker)
    }

    fn make_folders(&mut self, path: &str, maker: &str) -> Result<(), Refusal> {
        match self.nodes.get(path) {
            _ if path == "/" => return Ok(()),
            Some(node) if !node.folder => return Err(Refusal::conflict(path)),
            Some(_) => return Ok(()),
            None => {}
        }
        self.make_folders(path::parent(path), maker)?;
        self.insert(path, true, Content::default(), maker);
        Ok(())
    }

    fn insert(&mut self, path: &str, folder: bool, content: Content, maker: &str) -> &mut Node {
        self.made += 1;
        let node = Node {
            folder,
            content,
            metadata: BTreeMap::new(),
            expires: 0,
            made: self.made,
            maker: maker.to_owned(),
        };
        self.nodes.entry(path.to_owned()).or_insert(node)
    }

    /// Takes a path and all below it away; gives how many nodes and bytes that was. Nothing there is no error.
    pub(super) fn remove(&mut self, path: &str) -> (u64, u64) {
        let mut gone: Vec<String> = self.below(path).map(|(path, _)| path.clone()).collect();
        gone.push(path.to_owned());
        let nodes = gone.iter().filter_map(|path| self.nodes.remove(path));
        nodes.fold((0, 0), |(count, size), node| (count + 1, size + node.content.size))
    }

    pub(super) fn has_files_below(&self, path: &str) -> bool {
        self.below(path).any(|(_, node)| !node.folder)
    }
}

impl Node {
    /// The root, which is never stored.
    pub(super) fn root() -> Self {
        Self {
            folder: true,
            content: Content::default(),
            metadata: BTreeMap::new(),
            expires: 0,
            made: 0,
            maker: String::new(),
        }
    }

    /// As lists give it. [BKREPO NodeInfo]
    pub(super) fn info(&self, (project, repository): (&str, &str), full_path: &str, metadata: bool) -> Value {
        let date = format!("2023-06-14T{}.394", clock(self.made));
        let digest = |text: &str| if self.folder { Value::Null } else { json!(text) };
        let shown = if metadata { self.metadata.clone() } else { BTreeMap::new() };
        let list: Vec<Value> =
            shown.iter().map(|(key, value)| json!({"key": key, "value": value, "system": false})).collect();
        json!({
            "createdBy": self.maker,
            "createdDate": date,
            "lastModifiedBy": self.maker,
            "lastModifiedDate": date,
            "lastAccessDate": date,
            "folder": self.folder,
            "path": path::prefix(path::parent(full_path)),
            "name": path::name(full_path),
            "fullPath": full_path,
            "size": self.content.size,
            "sha256": digest(&self.content.sha256),
            "md5": digest(&self.content.md5),
            "metadata": shown,
            "nodeMetadata": list,
            "projectId": project,
            "repoName": repository,
            "clusterNames": null,
        })
    }

    /// As it is given alone: the same once more within itself. [BKREPO NodeDetail]
    pub(super) fn detail(&self, repository: (&str, &str), full_path: &str) -> Value {
        let info = self.info(repository, full_path, true);
        let mut detail = info.clone();
        detail["nodeInfo"] = info;
        detail
    }
}
