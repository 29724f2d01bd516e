//! What a chart renders to.

use std::collections::HashSet;

use ferry_references::{Format, Found, documents, survey};

use super::chart::Chart;
use super::mention::{Mention, Place, Weight, has_unknown};
use super::{noted, values};

/// The templates that something came out of, as helm names them: `web/charts/redis/templates/master.yaml`.
pub(super) fn sources(text: &str) -> HashSet<String> {
    documents(text).filter_map(|range| source(&text[range])).map(str::to_owned).collect()
}

/// The images in what a chart renders to, and the places of those that cannot be images.
pub(super) fn read(source_name: &str, chart: &Chart, text: &str) -> (Vec<Mention>, Vec<Place>) {
    let (mut mentions, mut malformed) = (Vec::new(), Vec::new());
    let mut template = String::new();
    for range in documents(text) {
        let document = &text[range];
        if let Some(source) = source(document) {
            source.clone_into(&mut template);
        }
        // The root's name is no part of a path in the chart.
        let file = template.split_once('/').map_or(template.as_str(), |(_, path)| path);
        let written = text_of(chart, file).unwrap_or_default();
        let survey = survey(document, Format::Yaml);
        for one in survey.malformed {
            // The line is one of what helm wrote, which nobody has at hand.
            let place = noted(source_name, Some(file), one.place, Some(one.reason));
            malformed.push(Place { line: None, rendered: true, ..place });
        }
        for found in survey.found {
            if has_unknown(&found) {
                continue;
            }
            let mut place = Mention::place(source_name, Some(file), &found);
            place.rendered = true;
            place.line = line(written, &found);
            mentions.extend(Mention::new(&found, &found.named, Weight::Needed, place));
        }
    }
    (mentions, malformed)
}

/// What helm writes above each document.
fn source(document: &str) -> Option<&str> {
    document.lines().take(3).find_map(|line| line.strip_prefix("# Source: ")).map(str::trim)
}

/// A file of the chart, or of a subchart by the name or the alias that helm gives it.
fn text_of<'a>(chart: &'a Chart, path: &str) -> Option<&'a str> {
    if let Some(text) = chart.files.get(path) {
        return Some(text);
    }
    let (key, rest) = path.strip_prefix("charts/")?.split_once('/')?;
    let nothing = serde_json::Value::Null;
    let is_it =
        |subchart: &Chart| values::parts(chart, &nothing, subchart).iter().any(|part| part.key == key);
    let subchart = chart.subcharts.iter().find(|subchart| is_it(&subchart.chart))?;
    text_of(&subchart.chart, rest)
}

/// The line of the template that a reference comes from, where that is plain to see: the one that has its repository,
/// else the only one that has its key.
fn line(template: &str, found: &Found) -> Option<usize> {
    let number = |position: Option<usize>| position.map(|at| at + 1);
    let named = template.lines().position(|line| line.contains(&found.named.repository));
    if named.is_some() {
        return number(named);
    }
    let last = found.place.path.rsplit('.').next()?.split('[').next()?;
    let key = format!("{last}:");
    let mut lines = template
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim_start().trim_start_matches("- ").trim_matches('"').starts_with(&key));
    let only = lines.next()?.0;
    number(lines.next().is_none().then_some(only))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_that_helm_names() {
        let text = "---\n# Source: web/templates/a.yaml\na: 1\n---\nb: 2\n---\n# Source: web/charts/redis/templates/b.yaml\nc: 3\n";
        let mut sources: Vec<String> = sources(text).into_iter().collect();
        sources.sort();
        assert_eq!(sources, ["web/charts/redis/templates/b.yaml", "web/templates/a.yaml"]);
    }
}
