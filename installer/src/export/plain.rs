//! Charts and files out of a bundle, byte for byte.

use std::io::Write;

use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Chart};
use ferry_model::event::Task;

use super::ExportError;

/// A chart's archive, or a file: a runtime, a SaaS package or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// What it is called.
    pub name: String,
    /// Its bytes.
    pub digest: Digest,
}

/// The chart or the file that `name` means: `demo`, where there is one version of it, `demo:1.2.3`, `demo-1.2.3.tgz`; a file's
/// path as `serve` offers it, or its end.
pub fn find_plain(catalog: &Catalog, name: &str) -> Result<Option<Plain>, ExportError> {
    let is_meant = |chart: &&Chart| {
        name == chart.name
            || name == chart.file_name()
            || name.split_once(':') == Some((chart.name.as_str(), chart.version.as_str()))
    };
    let charts = catalog.charts.iter().filter(is_meant);
    let charts = charts.map(|chart| Plain { name: chart.file_name(), digest: chart.archive });
    let is_end = |path: &str| path == name || path.ends_with(&format!("/{name}"));
    let files = catalog.files.iter().filter(|file| is_end(&file.served_path()));
    let files = files.map(|file| Plain { name: file.served_path(), digest: file.digest });
    let mut found: Vec<Plain> = charts.chain(files).collect();
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => {
            let found = found.into_iter().map(|plain| plain.name).collect();
            Err(ExportError::Ambiguous { name: name.to_owned(), found })
        }
    }
}

impl Plain {
    /// How many bytes it has.
    pub fn size(&self, bundle: &Bundle) -> Result<u64, ExportError> {
        Ok(bundle.blob(&self.digest).ok_or(ExportError::NoBlob(self.digest))?.size)
    }

    /// Writes it, verified on the way.
    pub fn write(&self, bundle: &Bundle, out: &mut impl Write, task: &Task) -> Result<(), ExportError> {
        let mut reader = bundle.reader(&self.digest)?;
        while let Some(chunk) = reader.next_chunk()? {
            out.write_all(&chunk).map_err(ExportError::Write)?;
            task.advance(chunk.len() as u64);
        }
        out.flush().map_err(ExportError::Write)
    }
}
