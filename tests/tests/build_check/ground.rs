//! A spec, charts beside it, and what a check says of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::parts;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::Workspace;
use serde_json::Value;

/// Runs once without helm, and once with helm 3 where it is there.
pub(crate) fn with_and_without_helm(test: impl Fn(&Ground) -> Result<()>) -> Result<()> {
    test(&Ground::new(false)?).context("without helm")?;
    if parts::ready(&["helm3"]) {
        test(&Ground::new(true)?).context("with helm")?;
    }
    Ok(())
}

pub(crate) struct Ground {
    pub(crate) workspace: Workspace,
    pub(crate) has_helm: bool,
}

impl Ground {
    pub(crate) fn new(has_helm: bool) -> Result<Self> {
        Ok(Self { workspace: Workspace::new()?, has_helm })
    }

    pub(crate) fn builder(&self) -> Program {
        let folder = if self.has_helm { parts::helm_folder(3) } else { self.workspace.path("nothing") };
        self.workspace.builder().env("PATH", folder)
    }

    /// Checks `spec.yaml` and these paths, and expects this exit code.
    pub(crate) fn check(&self, code: i32, arguments: &[&str]) -> Result<Checked> {
        let program = self.builder().args(["check", "spec.yaml", "--output", "json"]).args(arguments);
        Checked::new(&program.fail_with(code)?)
    }

    /// Writes a chart's files below `name/`.
    pub(crate) fn chart(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
        if !files.iter().any(|(path, _)| *path == "Chart.yaml") {
            let metadata = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\nappVersion: v2.5.0\n");
            self.workspace.write(&format!("{name}/Chart.yaml"), metadata)?;
        }
        for (path, content) in files {
            self.workspace.write(&format!("{name}/{path}"), content)?;
        }
        Ok(self.workspace.path(name))
    }
}

/// What a check said: of each image its state and its entry.
pub(crate) struct Checked {
    pub(crate) report: Value,
    pub(crate) states: BTreeMap<String, String>,
}

impl Checked {
    pub(crate) fn new(outcome: &Outcome) -> Result<Self> {
        let report = outcome.json()?;
        let images = report["images"].as_array().context("a list of images")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let states = images.iter().map(|image| (text(&image["image"]), text(&image["state"]))).collect();
        Ok(Self { report, states })
    }

    fn state(&self, image: &str) -> &str {
        self.states.get(image).map_or("", String::as_str)
    }

    pub(crate) fn expect(&self, image: &str, state: &str) -> Result<&Self> {
        ensure!(
            self.state(image) == state,
            "{image} is `{}`, not {state}: {:#}",
            self.state(image),
            self.report
        );
        Ok(self)
    }

    pub(crate) fn missing(&self) -> Vec<&str> {
        let missing = self.states.iter().filter(|(_, state)| *state == "missing");
        missing.map(|(image, _)| image.as_str()).collect()
    }

    /// The first place of an image.
    pub(crate) fn place(&self, image: &str) -> Result<&Value> {
        let images = self.report["images"].as_array().context("a list")?;
        let found = images.iter().find(|found| found["image"] == image);
        found.and_then(|found| found["places"].get(0)).with_context(|| format!("{image}: {:#}", self.report))
    }
}
