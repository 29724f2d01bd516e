//! 100 MB of YAML in which every document names images of the bundle, against `sed` with one expression for each.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::process::Command;

use anyhow::Result;

use super::{Bench, path, remove};
use crate::run::{headline, output, run};

const BYTES: usize = 100_000_000;
const NAMES: usize = 50;

impl Bench {
    /// Into another folder, so that each run finds the same.
    pub(super) fn rewrite(&mut self) -> Result<()> {
        headline("rewriting 100 MB of YAML");
        let samples = self.folder.join("samples");
        output(Command::new(&self.samples).arg("make").arg(&samples).arg("http://127.0.0.1:1"))?;
        let images: String = (0..NAMES)
            .map(|number| {
                format!(
                    "  - {{image: \"oci:samples/images:team/app:1.0\", as: \"team/app-{number:02}:1.0\"}}\n"
                )
            })
            .collect();
        let spec = self.folder.join("names.yaml");
        let head =
            "apiVersion: ferry/v1\nkind: Bundle\nname: names\nversion: 1.0.0\nplatforms: all\nimages:\n";
        fs::write(&spec, format!("{head}{images}"))?;
        let bundle = self.folder.join("names.ferry.tar.zst");
        run(Command::new(&self.builder).args(["build", "--quiet", "-o"]).arg(&bundle).arg(&spec))?;
        let site = self.folder.join("rewrite.yaml");
        fs::write(
            &site,
            "apiVersion: ferry/v1\nkind: Site\nname: r\nregistry: {address: \"registry.corp:5000\", existing: {}}\n",
        )?;

        let text = self.folder.join("large.yaml");
        let mut file = BufWriter::new(fs::File::create(&text)?);
        let (mut written, mut number) = (0, 0);
        while written < BYTES {
            let document = document(number);
            file.write_all(document.as_bytes())?;
            (written, number) = (written + document.len(), number + 1);
        }
        file.flush()?;
        let out = self.folder.join("rewritten");
        let ours = self.best(
            |_| remove(&out),
            &[
                path(&self.installer),
                "rewrite",
                path(&text),
                "--bundle",
                path(&bundle),
                "--site",
                path(&site),
                "--offline",
                "--output-folder",
                path(&out),
            ],
        )?;
        let expressions = (0..NAMES).map(|number| {
            format!("s#image: team/app-{number:02}:1.0#image: registry.corp:5000/team/app-{number:02}:1.0#")
        });
        let script = self.folder.join("names.sed");
        fs::write(&script, expressions.collect::<Vec<_>>().join("\n"))?;
        let copy = self.folder.join("by-sed");
        let command = format!("sed -f {} {} > {}", path(&script), path(&text), path(&copy));
        let sed = self.best(|_| remove(&copy), &["sh", "-c", &command])?;
        self.table.compare("rewrite 100 MB", ours, vec![(format!("sed, {NAMES} expressions"), sed)], 1.0);
        Ok(())
    }
}

/// A workload of some 2 kB with two images.
fn document(number: usize) -> String {
    let variables: String = (0..24)
        .map(|line| {
            format!(
                "            - name: SETTING_{line:02}\n              value: \"value {line} of {number}\"\n"
            )
        })
        .collect();
    let image = |offset: usize| format!("team/app-{:02}:1.0", (number + offset) % NAMES);
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{number}\n  namespace: shop\nspec:\n  template:\n    spec:\n      initContainers:\n        - name: wait\n          image: {}\n      containers:\n        - name: main\n          image: {} # {number}\n          env:\n{variables}",
        image(0),
        image(7)
    )
}
