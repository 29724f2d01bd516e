//! A folder of one test, with a spec, credentials, and the programs run in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_bundle::{Bundle, Trust};
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use tempfile::TempDir;

use crate::corpus::{Chart, Corpus, Image};
use crate::files::{Files, FilesSetup};
use crate::process::{Outcome, Program};
use crate::registry::{Registry, Setup};

/// The folder. It goes when dropped.
#[derive(Debug)]
pub struct Workspace {
    folder: TempDir,
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// One inside `parent`, such as a file system of its own.
    pub fn within(parent: &Path) -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir_in(parent)? })
    }

    /// The folder, or a path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.path().to_owned() } else { self.folder.path().join(name) }
    }

    /// Writes a file and the folders that it needs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(&path, content).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Writes `spec.yaml`: `entries` behind the head that every spec has.
    pub fn spec(&self, entries: &str) -> Result<PathBuf> {
        let head = "apiVersion: ferry/v1\nkind: Bundle\nname: sample\nversion: 1.0.0\n";
        self.write("spec.yaml", format!("{head}{entries}"))
    }

    /// Keeps credentials for `host`, as `docker login` does.
    pub fn login(&self, host: &str, user: &str, password: &str) -> Result<()> {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let config = serde_json::json!({"auths": {host: {"auth": auth}}});
        self.write("docker/config.json", config.to_string()).map(drop)
    }

    /// `ferry-builder` in this folder, quick to retry.
    pub fn builder(&self) -> Program {
        self.program(Program::builder())
    }

    /// `ferry-installer` in this folder, quick to retry.
    pub fn installer(&self) -> Program {
        self.program(Program::installer())
    }

    fn program(&self, program: Program) -> Program {
        program
            .within(self.folder.path())
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("HOME", self.folder.path())
            .env("FERRY_RETRY_BASE_MS", "5")
            .env("FERRY_STALL_TIMEOUT", "5")
    }

    /// Locks `spec.yaml`.
    pub fn lock(&self) -> Result<Outcome> {
        self.builder().args(["lock", "spec.yaml"]).succeed()
    }

    /// Builds `spec.yaml` into this file, with these further arguments.
    pub fn build(&self, bundle: &str, arguments: &[&str]) -> Result<PathBuf> {
        self.builder().args(["build", "spec.yaml", "-o", bundle]).args(arguments).succeed()?;
        Ok(self.path(bundle))
    }

    /// Locks and builds `spec.yaml` into `bundle`, verifies that, and returns its catalog.
    pub fn lock_and_build(&self) -> Result<Catalog> {
        self.lock()?;
        self.build("bundle", &["--locked"])?;
        self.builder().args(["verify", "bundle"]).succeed()?;
        self.catalog("bundle")
    }

    /// What a bundle says is in it.
    pub fn catalog(&self, bundle: &str) -> Result<Catalog> {
        Ok(Bundle::open(&self.path(bundle), &Trust::default())?.catalog().clone())
    }

    /// Every file below a folder of it.
    pub fn files_below(&self, folder: &str) -> Result<Vec<PathBuf>> {
        let (mut files, mut folders) = (Vec::new(), vec![self.path(folder)]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        Ok(files)
    }

    /// All that runs have written down, but for what they keep for the undo.
    pub fn written(&self) -> Result<String> {
        let is_kept = |path: &Path| path.components().any(|part| part.as_os_str() == "before");
        let mut all = String::new();
        for path in self.files_below("site.ferry")?.iter().filter(|path| !is_kept(path)) {
            all.push_str(&String::from_utf8_lossy(&fs::read(path)?));
        }
        Ok(all)
    }

    /// The digest of a file in the folder.
    pub fn digest(&self, name: &str) -> Result<Digest> {
        let path = self.path(name);
        Ok(Digest::of(&fs::read(&path).with_context(|| path.display().to_string())?))
    }
}

/// The spec's `images:` for these images of the registry at `host`, each under its own name at the site.
pub fn image_entries(host: &str, images: &[Image]) -> String {
    let line = |image: &Image| format!("  - {host}/{}\n", image.name());
    format!("images:\n{}", images.iter().map(line).collect::<String>())
}

/// The spec's `charts:` for charts of a helm repository.
pub fn chart_entries(repository: &str, charts: &[Chart]) -> String {
    let line = |chart: &Chart| {
        format!("  - {{repo: \"{repository}\", name: {}, version: {}}}\n", chart.name, chart.version)
    };
    format!("charts:\n{}", charts.iter().map(line).collect::<String>())
}

/// The spec's `registries:` that says to talk plain HTTP to these hosts.
pub fn plain_http(hosts: &[&str]) -> String {
    let line = |host: &&str| format!("  {host}: {{plainHttp: true}}\n");
    format!("registries:\n{}", hosts.iter().map(line).collect::<String>())
}

/// The spec's `runtimes:` for the corpus's, offered below `url`.
pub fn runtime_entries(url: &str, corpus: &Corpus) -> String {
    let line = |(path, content): &(String, bytes::Bytes)| {
        format!("      - {{url: {path}, to: {path}, sha256: {}}}\n", Digest::of(content).hex())
    };
    let items: String = corpus.runtimes.iter().map(line).collect();
    format!("runtimes:\n  - base: {url}/\n    repository: bkpaas/assets\n    items:\n{items}")
}

/// Offers the corpus's charts (below `charts/`) and runtimes.
pub fn offer(files: &Files, corpus: &Corpus) {
    files.add_charts("charts", &corpus.charts);
    for (path, content) in &corpus.runtimes {
        files.add(path, content.clone());
    }
}

/// A corpus on its servers, and a workspace whose spec asks for all of it.
#[derive(Debug)]
pub struct Sample {
    /// Where the spec is.
    pub workspace: Workspace,
    /// What it carries.
    pub corpus: Corpus,
    /// Has the images.
    pub registry: Registry,
    /// Has charts and runtimes.
    pub files: Files,
}

impl Sample {
    /// The servers and the spec.
    pub fn new(corpus: Corpus) -> Result<Self> {
        Self::through(corpus, Setup::default(), |host| host)
    }

    /// The same with this registry, where the spec names another host in place of a server's own: a proxy in front of it.
    pub fn through(corpus: Corpus, setup: Setup, mut front: impl FnMut(String) -> String) -> Result<Self> {
        let workspace = Workspace::new()?;
        let registry = Registry::start(setup);
        let files = Files::start(FilesSetup::default());
        for image in &corpus.images {
            registry.load(image);
        }
        offer(&files, &corpus);
        let (images, others) = (front(registry.host()), front(files.host()));
        let url = format!("http://{others}");
        workspace.write("docs/readme.md", "text ".repeat(4000))?;
        workspace.spec(&format!(
            "platforms: all\n{}{}{}{}files: [{{path: docs, to: docs/}}]\n",
            plain_http(&[&images, &others]),
            image_entries(&images, &corpus.images),
            chart_entries(&format!("{url}/charts"), &corpus.charts),
            runtime_entries(&url, &corpus),
        ))?;
        Ok(Self { workspace, corpus, registry, files })
    }

    /// The same, locked and built as `bundle`.
    pub fn built(corpus: Corpus) -> Result<Self> {
        let sample = Self::new(corpus)?;
        sample.workspace.lock_and_build()?;
        Ok(sample)
    }
}

/// Expects the image under this repository, whole.
pub fn expect_image(catalog: &Catalog, repository: &str, image: &Image) -> Result<()> {
    let found = catalog.images.iter().find(|found| found.repository == repository);
    let found = found.with_context(|| format!("{repository} is not in the catalog"))?;
    ensure!(found.digest == image.root, "{repository}: {} is not {}", found.digest, image.root);
    ensure!(found.tag.as_deref() == Some(&image.tag), "{repository}: tag {:?}", found.tag);
    for digest in image.blobs.keys() {
        ensure!(catalog.blobs.iter().any(|blob| blob.digest == *digest), "{repository} lacks {digest}");
    }
    Ok(())
}
