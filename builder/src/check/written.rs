//! What a chart and its subcharts say without being rendered: values, templates, definitions of custom resources,
//! annotations.

use std::collections::{HashMap, HashSet};

use ferry_references::{Format, Found, How, Named, find, format_of, survey};
use serde_json::Value;

use super::chart::Chart;
use super::mention::{Mention, Place, Weight, has_unknown};
use super::template::{Known, fill};
use super::{unclear, values};

/// A chart under examination.
#[derive(Debug)]
pub(super) struct Written<'a> {
    /// `charts/bk-monitor-3.7.0`.
    pub(super) source: &'a str,
    /// The templates that something came out of, as helm names them; none where the chart is not rendered.
    pub(super) rendered: Option<&'a HashSet<String>>,
    /// What was found.
    pub(super) mentions: Vec<Mention>,
    /// References of which a part is only known to a renderer.
    pub(super) unclear: Vec<Place>,
    /// Dependencies that are switched on and not in `charts/`.
    pub(super) lacking: Vec<String>,
}

/// A chart within the chart: itself, or a subchart of any depth.
#[derive(Clone, Copy)]
struct Level<'a> {
    chart: &'a Chart,
    values: &'a Value,
    /// Its folder in the chart, with `/` behind it.
    folder: &'a str,
    /// The same as helm names it, the root's name before it.
    name: &'a str,
    /// Why nothing of it is used.
    off: Option<&'a str>,
}

impl<'a> Written<'a> {
    pub(super) fn new(source: &'a str, rendered: Option<&'a HashSet<String>>) -> Self {
        Self { source, rendered, mentions: Vec::new(), unclear: Vec::new(), lacking: Vec::new() }
    }

    /// Reads a chart with the values that the user gives it.
    pub(super) fn read(&mut self, chart: &Chart, given: &Value) -> Result<(), String> {
        let mut values = own_values(chart)?;
        values::merge(&mut values, given);
        let name = chart.metadata.name.clone();
        self.level(Level { chart, values: &values, folder: "", name: &name, off: None })
    }

    fn level(&mut self, level: Level<'_>) -> Result<(), String> {
        let mut keys = HashSet::new();
        for subchart in &level.chart.subcharts {
            for part in values::parts(level.chart, level.values, &subchart.chart) {
                let own =
                    own_values(&subchart.chart).map_err(|error| format!("{}: {error}", subchart.place))?;
                let values = values::of_subchart(own, level.values, &part.key);
                let name = format!("{}/charts/{}", level.name, part.key);
                let folder = format!("{}{}/", level.folder, subchart.place);
                let off = self.why_off(&name, &part.key, part.is_on);
                let off = level.off.map(str::to_owned).or(off);
                keys.insert(part.key);
                let chart = &subchart.chart;
                let off = off.as_deref();
                self.level(Level { chart, values: &values, folder: &folder, name: &name, off })?;
            }
        }
        if level.off.is_none() {
            let is_there =
                |name: &str| level.chart.subcharts.iter().any(|sub| sub.chart.metadata.name == name);
            let listed = level.chart.metadata.dependencies.iter();
            let lacking = listed.filter(|one| !is_there(&one.name) && values::is_on(one, level.values));
            self.lacking.extend(lacking.map(|dependency| dependency.name.clone()));
        }
        self.values(level, &keys);
        for (path, text) in &level.chart.files {
            self.file(level, path, text);
        }
        Ok(())
    }

    fn why_off(&self, name: &str, key: &str, is_on: bool) -> Option<String> {
        let is_used = |sources: &HashSet<String>| {
            sources.iter().any(|source| source.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
        };
        let is_off = !is_on || self.rendered.is_some_and(|sources| !is_used(sources));
        is_off.then(|| format!("the values switch subchart `{key}` off"))
    }

    /// Images in the values as they come together, which are those of no subchart.
    fn values(&mut self, level: Level<'_>, subcharts: &HashSet<String>) {
        let mut values = level.values.clone();
        let registry = values::get(&values, "global.imageRegistry").and_then(values::text);
        let registry = registry.filter(|text| !text.is_empty());
        if let Value::Object(map) = &mut values {
            map.retain(|key, _| {
                !subcharts.contains(key.as_str()) && (key != "global" || level.folder.is_empty())
            });
        }
        let Ok(text) = serde_saphyr::to_string(&values) else { return };
        let lines: HashMap<String, usize> = find(level.chart.text("values.yaml"), Format::Yaml)
            .into_iter()
            .map(|found| (found.place.path, found.place.line))
            .collect();
        for found in find(&text, Format::Yaml) {
            let mut place = self.place(level, "values.yaml", &found);
            place.line = lines.get(&found.place.path).copied();
            if place.line.is_none() {
                place.note = Some("in the values that are given".to_owned());
            }
            if has_unknown(&found) {
                self.unclear(place);
                continue;
            }
            let named = completed(&found, registry.as_deref(), level.chart.metadata.app_version.as_deref());
            let switch = switched_off(&values, &found.place.path);
            let weight = if switch.is_some() { Weight::Optional } else { Weight::Needed };
            place.note = place.note.or_else(|| switch.map(|key| format!("the values switch `{key}` off")));
            self.push(level, &found, &named, place, weight);
        }
    }

    fn file(&mut self, level: Level<'_>, path: &str, text: &str) {
        let known = Known { values: level.values, metadata: &level.chart.metadata };
        let (format, weight) = match kind(path, text) {
            Kind::Template => (Format::Template, Weight::Needed),
            Kind::Test => (Format::Template, Weight::Optional),
            Kind::Other(format) => (format, Weight::Needed),
            Kind::Aside(format) => (format, Weight::Possible),
            Kind::Nothing => return,
        };
        let filled = (format == Format::Template).then(|| fill(text, known));
        let text = filled.as_deref().unwrap_or(text);
        let survey = survey(text, format);
        let file = format!("{}{path}", level.folder);
        if self.rendered.is_none() && level.off.is_none() {
            self.unclear.extend(unclear(self.source, Some(&file), survey.unclear, survey.malformed));
        }
        for found in survey.found {
            let place = self.place(level, path, &found);
            // A chart's own list has all that it may ever use.
            let is_listed = path == "Chart.yaml" && found.how == How::Annotation;
            let weight = if is_listed { weight.min(Weight::Possible) } else { weight };
            if has_unknown(&found) {
                self.unclear(place);
            } else {
                self.push(level, &found, &found.named, place, weight);
            }
        }
    }

    fn place(&self, level: Level<'_>, path: &str, found: &Found) -> Place {
        let mut place = Mention::place(self.source, Some(&format!("{}{path}", level.folder)), found);
        place.note = level.off.map(str::to_owned);
        place
    }

    fn push(&mut self, level: Level<'_>, found: &Found, named: &Named, mut place: Place, weight: Weight) {
        let most = match (level.off, self.rendered) {
            (Some(_), _) => Weight::Optional,
            (None, Some(_)) => Weight::Possible,
            (None, None) => Weight::Needed,
        };
        if weight == Weight::Optional && place.note.is_none() {
            place.note = Some("for `helm test` alone".to_owned());
        }
        self.mentions.extend(Mention::new(found, named, weight.min(most), place));
    }

    /// Rendering tells what it is; without, somebody should look.
    fn unclear(&mut self, place: Place) {
        if self.rendered.is_none() && place.note.is_none() {
            self.unclear.push(place);
        }
    }
}

/// What a file of a chart is to it.
enum Kind {
    Template,
    /// A template for `helm test`.
    Test,
    /// Something that templates may take in.
    Other(Format),
    /// Something that only people take in, such as other values.
    Aside(Format),
    /// Nothing, or something that is read in another way.
    Nothing,
}

fn kind(path: &str, text: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_text = matches!(
        name,
        "values.yaml"
            | "values.schema.json"
            | "Chart.lock"
            | "requirements.yaml"
            | "requirements.lock"
            | "NOTES.txt"
    );
    if is_text || path.starts_with("ci/") || name.ends_with(".md") || path.contains("/.") {
        return Kind::Nothing;
    }
    if path.starts_with("templates/tests/") {
        return Kind::Test;
    }
    if path.starts_with("templates/") {
        return Kind::Template;
    }
    match format_of(path, text.get(..text.len().min(1024)).unwrap_or_default()) {
        None => Kind::Nothing,
        Some(format) if name.starts_with("values") => Kind::Aside(format),
        Some(format) => Kind::Other(format),
    }
}

fn own_values(chart: &Chart) -> Result<Value, String> {
    values::parse(chart.text("values.yaml")).map_err(|error| format!("values.yaml: {error}"))
}

/// What is named in parts, with those parts that charts take from elsewhere.
fn completed(found: &Found, registry: Option<&str>, app_version: Option<&str>) -> Named {
    let mut named = found.named.clone();
    if found.spans.whole.is_some() {
        return named;
    }
    if let Some(registry) = registry {
        named.registry = Some(registry.to_owned());
    }
    if named.tag.is_none() && named.digest.is_none() {
        named.tag = app_version.map(str::to_owned);
    }
    named
}

/// The keys of the innermost map around an image that its own `enabled: false` switches off.
fn switched_off<'p>(values: &Value, path: &'p str) -> Option<&'p str> {
    let mut value = values;
    let mut switch = None;
    for (dot, _) in path.match_indices('.') {
        let key = path[..dot].rsplit('.').next().unwrap_or_default();
        let Some(inner) = value.get(key) else { break };
        value = inner;
        if value.get("enabled") == Some(&Value::Bool(false)) {
            switch = Some(&path[..dot]);
        }
    }
    switch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_switched_off_in_values() {
        let values = json!({
            "enabled": false,
            "metrics": {"enabled": false, "image": {"repository": "a/b"}, "deep": {"er": {"image": "a/b"}}},
            "web": {"enabled": true, "image": {"repository": "a/b"}},
        });
        for (path, switch) in [
            ("metrics.image.repository", Some("metrics")),
            ("metrics.deep.er.image", Some("metrics")),
            ("web.image.repository", None),
            ("image", None),
            ("none.image", None),
        ] {
            assert_eq!(switched_off(&values, path), switch, "{path}");
        }
    }
}
