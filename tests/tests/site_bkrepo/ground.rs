//! A bundle with files, and a bkrepo that they go to.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, ensure};
use axum::http::Method;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, Grant, Release, Setup, User};
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::Workspace;

pub(crate) const PROJECT: &str = "bkpaas";
pub(crate) const ASSETS: &str = "bkpaas3-platform-assets";
pub(crate) const PASSWORD: &str = "correct-horse, 'battery'";
pub(crate) const LOGIN: &str = "login: {user: bkpaas3, password: {env: BKREPO_PASSWORD}}";
pub(crate) const RELEASES: [Release; 2] = [Release::V1_3_16, Release::V3_3];
pub(crate) const STDLIB: &str = "common/buildpack-stdlib/v7/stdlib.sh";
pub(crate) const NODE: &str = "runtimes/nodejs/node/release/linux-x64/node-v16.16.0-linux-x64.tar.gz";

/// A bundle with files, and a bkrepo that they go to.
pub(crate) struct Ground {
    pub(crate) workspace: Workspace,
    pub(crate) server: Bkrepo,
    /// The right content, by path.
    pub(crate) files: BTreeMap<String, (Digest, u64)>,
}

/// A bkrepo as PaaS leaves it, with our password.
pub(crate) fn after_paas(release: Release) -> Setup {
    let mut setup = Setup { release, ..Setup::after_paas() };
    setup.users.retain(|user| user.name != "bkpaas3");
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Project(PROJECT.into())]));
    setup
}

impl Ground {
    /// Builds a bundle of these files and writes a site file whose `bkrepo` has these settings.
    pub(crate) fn new(setup: Setup, files: &[(&str, Vec<u8>)], settings: &str) -> Result<Self> {
        let (workspace, server) = (Workspace::new()?, Bkrepo::start(setup)?);
        let mut known = BTreeMap::new();
        for (path, content) in files {
            workspace.write(&format!("files/{path}"), content)?;
            known.insert(format!("/{path}"), (Digest::of(content), content.len() as u64));
        }
        let mut folders: Vec<&str> = files.iter().filter_map(|(path, _)| path.split('/').next()).collect();
        folders.sort_unstable();
        folders.dedup();
        let entry = |folder: &&str| {
            format!("  - {{path: files/{folder}, to: {folder}/, repository: {PROJECT}/{ASSETS}}}\n")
        };
        workspace.spec(&format!("files:\n{}", folders.iter().map(entry).collect::<String>()))?;
        workspace.lock_and_build()?;
        let ground = Self { workspace, server, files: known };
        ground.site(settings)?;
        Ok(ground)
    }

    /// The usual one: PaaS has been installed, and a few runtimes are to be uploaded.
    pub(crate) fn usual(release: Release, settings: &str) -> Result<Self> {
        Self::new(after_paas(release), &runtimes(), settings)
    }

    pub(crate) fn site(&self, settings: &str) -> Result<()> {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nbkrepo:\n  url: {}\n  {LOGIN}\n{settings}",
            self.server.url()
        );
        self.workspace.write("site.yaml", text).map(drop)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments).env("BKREPO_PASSWORD", PASSWORD)
    }

    pub(crate) fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }

    /// Everything is where it belongs, and nothing else.
    pub(crate) fn expect_all(&self) -> Result<()> {
        let there: BTreeMap<String, (String, u64)> = self
            .server
            .files(PROJECT, ASSETS)
            .into_iter()
            .filter(|(_, file)| !file.folder)
            .map(|(path, file)| (path, (file.sha256, file.size)))
            .collect();
        let right: BTreeMap<String, (String, u64)> =
            self.files.iter().map(|(path, (digest, size))| (path.clone(), (digest.hex(), *size))).collect();
        ensure!(there == right, "bkrepo has {there:#?}\nand should have {right:#?}");
        Ok(())
    }

    /// Bodies of whole files that the server took, by path.
    pub(crate) fn taken(&self) -> BTreeMap<String, usize> {
        let mut taken = BTreeMap::new();
        let prefix = format!("/generic/{PROJECT}/{ASSETS}");
        for asked in self.server.requests() {
            let is_file = asked.method == "PUT" && asked.status == 200;
            if let Some(path) = asked.path.strip_prefix(&prefix).filter(|_| is_file) {
                *taken.entry(path.to_owned()).or_default() += 1;
            }
        }
        taken
    }

    pub(crate) fn puts(&self) -> usize {
        self.server.count(&Method::PUT, "/generic/")
    }
}

pub(crate) fn runtimes() -> Vec<(&'static str, Vec<u8>)> {
    let tar =
        |seed: u8| (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
    vec![
        (STDLIB, b"#!/bin/sh\necho stdlib\n".to_vec()),
        (NODE, tar(1)),
        ("buildpacks/bk-buildpack-python-v213.tar", tar(2)),
        ("runtimes/python/common/pip-20.2.3-py2.py3-none-any.whl", tar(3)),
        ("runtimes/蓝鲸/a b+c%20;.tgz", tar(4)),
        ("runtimes/empty", Vec::new()),
    ]
}

/// The password is in no file of the state folder, and in nothing that was said.
pub(crate) fn shows_no_secret(ground: &Ground, outcome: &Outcome) -> Result<()> {
    ensure!(!outcome.stdout.contains("battery") && !outcome.stderr.contains("battery"), "{outcome}");
    for path in ground.workspace.files_below("site.ferry")? {
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        ensure!(!text.contains("battery"), "the password is in {}", path.display());
    }
    Ok(())
}
