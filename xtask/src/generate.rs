//! Files in the repository that are made by code: the JSON Schemas.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::run::{cargo, output, root};

/// Whether to write, or only to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write the files.
    Write,
    /// Fail where a file is not what would be written.
    Check,
}

/// The documents that have a schema.
const SCHEMAS: [&str; 2] = ["site", "spec"];

pub(crate) fn generate(mode: Mode) -> Result<()> {
    for document in SCHEMAS {
        let file = format!("manifests/schema/{document}.json");
        let path = root().join(&file);
        let program =
            ["run", "--quiet", "-p", "ferry-tests", "--features", "schema", "--bin", "ferry-schema"];
        let text = output(cargo(&program).args(["--", document]))?;
        match mode {
            Mode::Write => {
                fs::create_dir_all(path.parent().context("a file has a folder")?)?;
                fs::write(&path, text)?;
                println!("wrote {file}");
            }
            Mode::Check => {
                let current = fs::read_to_string(&path).unwrap_or_default();
                ensure!(current == text, "{file} is not up to date; run `cargo xtask gen` and commit it");
            }
        }
    }
    Ok(())
}
