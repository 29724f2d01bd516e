//! Writes images into a spec's `images:`, and leaves every other byte of it as it is.

use std::collections::BTreeSet;

use ferry_model::spec::Spec;

use super::{CheckedImage, Report, State};

const OWN_WAY: &str = "its `images` are written in a way of their own";

/// A spec with more images.
#[derive(Debug)]
pub struct Fixed {
    /// The text.
    pub text: String,
    /// What was added.
    pub added: Vec<String>,
}

/// Adds what is missing, each with a comment that says where it was found. The error says why that cannot be done.
pub fn fix(text: &str, report: &Report) -> Result<Fixed, String> {
    let missing: Vec<&CheckedImage> =
        report.in_state(State::Missing).filter(|image| image.line.is_some()).collect();
    let added: BTreeSet<String> = missing.iter().map(|image| image.image.to_string()).collect();
    if missing.is_empty() {
        return Ok(Fixed { text: text.to_owned(), added: Vec::new() });
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let fixed = with_entries(text, newline, &missing).ok_or(OWN_WAY)?;
    check(text, &fixed, &missing)?;
    Ok(Fixed { text: fixed, added: added.into_iter().collect() })
}

fn entry(image: &CheckedImage) -> String {
    let Some(place) = image.places.first() else { return format!("- {}", image.image) };
    let place: String = place.spot().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("- {}   # {place}", image.image)
}

/// The new text must be the same spec with these images at the end of its list.
fn check(before: &str, after: &str, missing: &[&CheckedImage]) -> Result<(), String> {
    let parse = |text: &str| Spec::parse(text).map_err(|error| error.to_string());
    let (mut expected, found) = (parse(before)?, parse(after)?);
    let known = expected.images.len();
    expected.images.extend(found.images.iter().skip(known).cloned());
    let added = found.images.iter().skip(known).filter_map(|entry| entry.source.reference());
    if expected == found && added.eq(missing.iter().map(|image| &image.image)) {
        Ok(())
    } else {
        Err(OWN_WAY.to_owned())
    }
}

/// A line with its place in the text.
struct Line<'a> {
    start: usize,
    end: usize,
    text: &'a str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let start = at;
            at += line.len();
            Line { start, end: at, text: line.trim_end() }
        })
        .collect()
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn is_content(&self) -> bool {
        let text = self.text.trim_start();
        !text.is_empty() && !text.starts_with('#')
    }
}

fn with_entries(text: &str, newline: &str, missing: &[&CheckedImage]) -> Option<String> {
    let entries = |indent: &str| -> String {
        missing.iter().map(|image| format!("{indent}{}{newline}", entry(image))).collect()
    };
    let lines = lines(text);
    let Some(key) = lines.iter().position(|line| line.text == "images:" || line.text.starts_with("images: "))
    else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        return Some(format!("{text}{gap}images:{newline}{}", entries("  ")));
    };
    let value = lines[key].text["images:".len()..].trim();
    let value = if value.starts_with('#') { "" } else { value };
    let value = match value.split_once(" #") {
        Some((null @ ("~" | "null" | "[]"), _)) => null,
        _ => value,
    };
    let below = lines[key + 1..].iter().take_while(|line| {
        !line.is_content() || line.indent() > 0 || line.text.starts_with("- ") || line.text == "-"
    });
    let below: Vec<&Line<'_>> = below.filter(|line| line.is_content()).collect();
    let (at, indent) = match (value, below.last()) {
        ("", Some(last)) => {
            let first = below.iter().find(|line| line.text.trim_start().starts_with('-'))?;
            (last.end, first.text[..first.indent()].to_owned())
        }
        ("", None) => (lines[key].end, "  ".to_owned()),
        // An empty list becomes a list of lines; what stands in brackets goes on in brackets.
        ("[]" | "~" | "null", None) => {
            let start = lines[key].start;
            let rest = &text[lines[key].end..];
            let line = lines[key].text;
            let comment = line.find(" #").map_or("", |at| &line[at..]);
            return Some(format!("{}images:{comment}{newline}{}{rest}", &text[..start], entries("  ")));
        }
        (flow, _) if flow.starts_with('[') => {
            let start = lines[key].start + lines[key].text.find('[')?;
            let (length, last) = closing(&text[start..])?;
            let end = start + length;
            let list = in_flow(last, text[..end].ends_with(char::is_whitespace), missing);
            return Some(format!("{}{list}{}", &text[..end], &text[end..]));
        }
        _ => return None,
    };
    let gap = if text[..at].ends_with('\n') { "" } else { newline };
    Some(format!("{}{gap}{}{}", &text[..at], entries(&indent), &text[at..]))
}

/// The offset of the bracket that closes the one that `text` begins with, and the last character before it that means
/// something.
fn closing(text: &str) -> Option<(usize, char)> {
    let mut depth = 0;
    let mut quote = None;
    let mut is_comment = false;
    let (mut before, mut last) = (' ', ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if is_comment => is_comment = c != '\n',
            (Some(open), c) => quote = Some(open).filter(|open| *open != c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if before.is_whitespace() => is_comment = true,
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') if depth == 1 => return Some((at, last)),
            (None, ']' | '}') => depth -= 1,
            (None, _) => {}
        }
        before = c;
        if !is_comment && !c.is_whitespace() {
            last = c;
        }
    }
    None
}

/// What goes in before a closing bracket, behind what ends with `last`.
fn in_flow(last: char, is_apart: bool, missing: &[&CheckedImage]) -> String {
    let images: Vec<String> = missing.iter().map(|image| image.image.to_string()).collect();
    let lead = match last {
        '[' => "",
        ',' if is_apart => "",
        ',' => " ",
        _ => ", ",
    };
    format!("{lead}{}", images.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Place;

    fn missing(names: &[&str]) -> Vec<CheckedImage> {
        let place = Place {
            source: "charts/web-1.0".into(),
            file: Some("templates/a.yaml".into()),
            line: Some(7),
            object: None,
            path: String::new(),
            how: ferry_references::How::Image,
            rendered: true,
            note: None,
        };
        let image = |name: &&str| CheckedImage {
            image: name.parse().unwrap(),
            state: State::Missing,
            held_as: None,
            line: Some(format!("- {name}")),
            reason: None,
            places: vec![place.clone()],
        };
        names.iter().map(image).collect()
    }

    fn fixed(body: &str) -> Result<String, String> {
        let images = missing(&["busybox", "quay.io/a/b:1"]);
        let report = Report {
            helm: None,
            charts: Vec::new(),
            files: 0,
            images,
            unclear: Vec::new(),
            unread: Vec::new(),
            idle: Vec::new(),
            added: Vec::new(),
            complete: false,
        };
        let head = "apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: 1.0.0\n";
        let fixed = fix(&format!("{head}{body}"), &report)?;
        assert_eq!(fixed.added.len(), 2);
        Ok(fixed.text[head.len()..].to_owned())
    }

    #[test]
    fn new_lines_stand_behind_the_last_and_all_else_stays() {
        let (one, two) = (
            "- docker.io/library/busybox:latest   # charts/web-1.0/templates/a.yaml:7",
            "- quay.io/a/b:1   # charts/web-1.0/templates/a.yaml:7",
        );
        for (before, after) in [
            ("", format!("images:\n  {one}\n  {two}\n")),
            ("charts: []", format!("charts: []\nimages:\n  {one}\n  {two}\n")),
            (
                "images:   # all\n    - a:1 # kept\n    - image: c:1\n      as: d:1\n\n# charts\ncharts: []\n",
                format!(
                    "images:   # all\n    - a:1 # kept\n    - image: c:1\n      as: d:1\n    {one}\n    {two}\n\n# charts\ncharts: []\n"
                ),
            ),
            ("images:\n- a:1", format!("images:\n- a:1\n{one}\n{two}\n")),
            ("images: []\ncharts: []\n", format!("images:\n  {one}\n  {two}\ncharts: []\n")),
            ("images: ~\n", format!("images:\n  {one}\n  {two}\n")),
            ("images: null # none yet\nfiles: []\n", format!("images: # none yet\n  {one}\n  {two}\nfiles: []\n")),
            ("images:\n  # none yet\ncharts: []\n", format!("images:\n  {one}\n  {two}\n  # none yet\ncharts: []\n")),
            (
                "images: [a:1, {image: \"c:1\", as: \"d]:1\"}]\n".replace("d]", "d").as_str(),
                "images: [a:1, {image: \"c:1\", as: \"d:1\"}, docker.io/library/busybox:latest, quay.io/a/b:1]\n".to_owned(),
            ),
            (
                "images: [\n  a:1, # ]\n]\n",
                "images: [\n  a:1, # ]\ndocker.io/library/busybox:latest, quay.io/a/b:1]\n".to_owned(),
            ),
        ] {
            assert_eq!(fixed(before).as_deref(), Ok(after.as_str()), "{before}");
        }
        let windows = fixed("images:\r\n  - a:1\r\n").unwrap();
        assert_eq!(windows.matches("\r\n").count(), windows.matches('\n').count(), "{windows:?}");
    }

    #[test]
    fn what_cannot_be_edited_for_sure_is_not() {
        for body in
            ["\"images\": [a:1]\n", "images: &all\n  - a:1\n", "images:\n  - busybox\n  - |\n    a:1\n"]
        {
            let outcome = fixed(body);
            assert!(
                outcome.is_err() || outcome.as_ref().is_ok_and(|text| text.starts_with(body.trim_end())),
                "{outcome:?}"
            );
        }
        assert!(fixed("\"images\": [a:1]\n").is_err());
    }
}
