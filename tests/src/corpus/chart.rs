//! Helm charts and the repositories' `index.yaml`.

use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use ferry_model::Digest;
use flate2::{Compression, GzBuilder};

/// A packaged chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The `.tgz`.
    pub archive: Bytes,
}

impl Chart {
    /// A chart with one template, as `helm package` would lay it out.
    pub fn new(name: &str, version: &str) -> Self {
        let files = [
            (
                "Chart.yaml",
                format!(
                    "apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: \"1.0\"\ndescription: A sample chart\ntype: application\n"
                ),
            ),
            ("values.yaml", "image:\n  repository: team/app\n  tag: \"1.0\"\n".to_owned()),
            (
                "templates/configmap.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  image: {{ .Values.image.repository | quote }}\n".to_owned(),
            ),
        ];
        let mut archive = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, format!("{name}/{path}"), content.as_bytes())
                .expect("writing to memory");
        }
        let mut encoder = archive.into_inner().expect("writing to memory");
        encoder.flush().expect("writing to memory");
        let archive = encoder.finish().expect("writing to memory").into();
        Self { name: name.to_owned(), version: version.to_owned(), archive }
    }

    /// Its file name in a repository.
    pub fn file_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }

    /// The digest of its archive.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.archive)
    }
}

/// The `index.yaml` of these charts, which lie beside it; newest version first, as helm writes it.
pub fn index_yaml(charts: &[Chart]) -> String {
    let mut names: Vec<_> = charts.iter().map(|chart| chart.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::from("apiVersion: v1\nentries:\n");
    for name in names {
        let _ = writeln!(text, "  {name}:");
        for chart in charts.iter().rev().filter(|chart| chart.name == name) {
            write_entry(&mut text, chart, &chart.digest().hex(), &chart.file_name());
        }
    }
    text.push_str("generated: \"2024-01-01T00:00:00Z\"\n");
    text
}

fn write_entry(text: &mut String, chart: &Chart, digest: &str, url: &str) {
    let (name, version) = (&chart.name, &chart.version);
    let _ = write!(
        text,
        "  - apiVersion: v2\n    appVersion: \"1.0\"\n    created: \"2024-01-01T00:00:00Z\"\n    description: A sample chart\n    digest: {digest}\n    name: {name}\n    type: application\n    urls:\n    - {url}\n    version: {version}\n"
    );
}

/// An `index.yaml` of at least `size` bytes: `charts`, and as many versions of charts that nobody asks for as
/// it takes.
pub fn large_index_yaml(charts: &[Chart], size: usize) -> String {
    let mut text = index_yaml(charts);
    let generated = text.rfind("generated:").unwrap_or(text.len());
    text.truncate(generated);
    let mut number = 0;
    while text.len() < size {
        let _ = writeln!(text, "  filler-{number:05}:");
        for minor in 0..50 {
            let filler = Chart {
                name: format!("filler-{number:05}"),
                version: format!("1.{minor}.0"),
                archive: Bytes::new(),
            };
            let digest = Digest::of(format!("{number}/{minor}").as_bytes()).hex();
            write_entry(&mut text, &filler, &digest, &format!("charts/{}", filler.file_name()));
        }
        number += 1;
    }
    text.push_str("generated: \"2024-01-01T00:00:00Z\"\n");
    text
}
