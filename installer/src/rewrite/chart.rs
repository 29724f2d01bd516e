//! What a chart's own file says of its own values: `Chart.yaml` of `values.yaml`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

/// The longest `Chart.yaml` that is read.
const MAX: u64 = 1 << 20;

/// A chart, as far as its values need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chart {
    app_version: Option<String>,
    /// The keys that lead to the values of charts that it needs.
    needed: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dependency {
    name: String,
    alias: Option<String>,
}

impl Chart {
    /// Out of a `Chart.yaml`.
    pub(super) fn read(text: &str) -> Self {
        let written: Written = serde_saphyr::from_str(text).unwrap_or_default();
        let key = |dependency: Dependency| dependency.alias.unwrap_or(dependency.name);
        Self { app_version: app_version(text), needed: written.dependencies.into_iter().map(key).collect() }
    }

    /// The chart whose own values a file holds.
    pub(super) fn beside(path: &Path) -> Option<Self> {
        if path.file_name()? != "values.yaml" {
            return None;
        }
        let mut text = String::new();
        File::open(path.with_file_name("Chart.yaml")).ok()?.take(MAX).read_to_string(&mut text).ok()?;
        Some(Self::read(&text))
    }

    /// What images without a tag mostly have.
    pub(super) fn app_version(&self) -> Option<&str> {
        self.app_version.as_deref()
    }

    /// Whether a value is its own, and does not lie over one of a chart that it needs.
    pub(super) fn owns(&self, path: &str) -> bool {
        let first = path.split(['.', '[']).next().unwrap_or_default();
        !self.needed.iter().any(|needed| needed == first)
    }
}

/// By its line, since the file may be a template.
fn app_version(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("appVersion:"))?;
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_needed_charts_are_not_its_own() {
        let text =
            "name: a\nappVersion: \"1.2\" # b\ndependencies:\n- {name: redis}\n- {name: mysql, alias: db}\n";
        let chart = Chart::read(text);
        assert_eq!(chart.app_version(), Some("1.2"));
        assert!(chart.owns("image.repository") && chart.owns("redis2.image") && chart.owns("mysql.image"));
        assert!(!chart.owns("redis.image.repository") && !chart.owns("db[0]"));
        assert_eq!(Chart::read("{{ x }}\nappVersion: v1\n").app_version(), Some("v1"));
    }
}
