//! Dockerfiles: what stages are made from, and what is taken from images.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::How;
use crate::mapped::{Mapped, Writer};
use crate::parts::Parts;
use crate::report::Report;

/// Tells the images of `FROM`, `COPY --from`, `RUN --mount=…,from=` and of the `syntax` directive. `path` leads to a file
/// that stands in another one.
pub(crate) fn find(text: &Mapped<'_>, path: Option<&str>, report: &mut Report<'_>) {
    let mut file = File { arguments: HashMap::new(), stages: HashSet::new(), path, report };
    for instruction in instructions(text) {
        file.instruction(&instruction);
    }
}

struct File<'r, 't> {
    /// What `ARG`s before the first stage say.
    arguments: HashMap<String, Mapped<'static>>,
    stages: HashSet<String>,
    path: Option<&'r str>,
    report: &'r mut Report<'t>,
}

impl File<'_, '_> {
    fn instruction(&mut self, instruction: &Mapped<'_>) {
        let words = words(&instruction.text);
        let mut words = words.iter().map(|word| instruction.part(word.clone()));
        let Some(mut name) = words.next() else { return };
        if name.text.eq_ignore_ascii_case("ONBUILD") {
            match words.next() {
                Some(next) => name = next,
                None => return,
            }
        }
        match name.text.to_ascii_uppercase().as_str() {
            "#" => words.take(1).for_each(|image| self.tell(&image, "syntax")),
            "ARG" if self.stages.is_empty() => words.for_each(|word| self.argument(&word)),
            "FROM" => self.from(words),
            verb @ ("COPY" | "ADD") => {
                for word in words.take_while(|word| word.text.starts_with("--")) {
                    if let Some(image) = behind(&word, "--from=") {
                        self.tell_unless_stage(&image, &format!("{verb} --from"));
                    }
                }
            }
            "RUN" => {
                for word in words.take_while(|word| word.text.starts_with("--")) {
                    self.mount(&word);
                }
            }
            _ => {}
        }
    }

    fn argument(&mut self, word: &Mapped<'_>) {
        let Some((name, _)) = word.text.split_once('=') else { return };
        let value = unquoted(word.part(name.len() + 1..word.text.len()));
        if !value.text.is_empty() {
            let value = self.expand(&value);
            self.arguments.insert(name.to_owned(), value);
        }
    }

    fn from<'w>(&mut self, words: impl Iterator<Item = Mapped<'w>>) {
        let mut words = words.skip_while(|word| word.text.starts_with("--"));
        if let Some(image) = words.next() {
            let image = self.expand(&unquoted(image));
            self.tell_unless_stage(&image, "FROM");
        }
        let stage = words.nth(1).map(|name| name.text.to_ascii_lowercase());
        // A stage without a name has its number.
        let stage = stage.unwrap_or_else(|| self.stages.len().to_string());
        self.stages.insert(stage);
    }

    fn mount(&mut self, word: &Mapped<'_>) {
        let Some(options) = behind(word, "--mount=") else { return };
        let mut at = 0;
        for option in options.text.split(',') {
            if let Some(image) = behind(&options.part(at..at + option.len()), "from=") {
                self.tell_unless_stage(&image, "RUN --mount");
            }
            at += option.len() + 1;
        }
    }

    fn tell_unless_stage(&mut self, image: &Mapped<'_>, path: &str) {
        let name = image.text.to_ascii_lowercase();
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        if name != "scratch" && !is_number && !self.stages.contains(&name) {
            self.tell(image, path);
        }
    }

    fn tell(&mut self, image: &Mapped<'_>, path: &str) {
        if let Some(parts) = Parts::read(image) {
            let path = self.path.unwrap_or(path);
            self.report.push(parts, How::Dockerfile, None, path.to_owned());
        }
    }

    /// The text with the arguments' values in it; what has none stays a variable.
    fn expand(&self, text: &Mapped<'_>) -> Mapped<'static> {
        let mut writer = Writer::default();
        let written = &*text.text;
        let mut at = 0;
        while at < written.len() {
            let next = written[at..].find('$').map_or(written.len(), |dollar| at + dollar);
            writer.copy(text, at..next);
            at = next;
            let Some((name, length)) = variable(&written[at..]) else {
                if at < written.len() {
                    writer.copy(text, at..at + 1);
                    at += 1;
                }
                continue;
            };
            match self.arguments.get(name) {
                Some(value) => writer.copy(value, 0..value.text.len()),
                None => writer.copy(text, at..at + length),
            }
            at += length;
        }
        writer.finish(text.span(0..0).start)
    }
}

/// The name of the variable that `text` begins with, and the length of all of it.
fn variable(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix('$')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(rest) = rest.strip_prefix('{') {
        let end = rest.find('}')?;
        let name = rest.find(|c| !is_name(c))?;
        return (name > 0).then(|| (&rest[..name], end + 3));
    }
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    (end > 0).then(|| (&rest[..end], end + 1))
}

fn behind<'w>(word: &'w Mapped<'_>, prefix: &str) -> Option<Mapped<'w>> {
    word.text.starts_with(prefix).then(|| word.part(prefix.len()..word.text.len()))
}

fn unquoted(word: Mapped<'_>) -> Mapped<'static> {
    let is_quoted = word.text.len() > 1
        && ['"', '\''].iter().any(|&quote| word.text.starts_with(quote) && word.text.ends_with(quote));
    if is_quoted { word.part(1..word.text.len() - 1).into_owned() } else { word.into_owned() }
}

fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut is_inside = false;
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            is_inside = false;
        } else if is_inside {
            words.last_mut().expect("it began").end = at + character.len_utf8();
        } else {
            words.push(at..at + character.len_utf8());
            is_inside = true;
        }
    }
    words
}

/// Each instruction in one line, without comments and the bodies of here-documents; before them `# syntax=…` as `#` and
/// its image.
fn instructions(whole: &Mapped<'_>) -> Vec<Mapped<'static>> {
    let mut instructions = Vec::new();
    let mut escape = '\\';
    let mut is_head = true;
    let mut current: Option<Writer> = None;
    let mut bodies: Vec<String> = Vec::new();
    for (at, line) in crate::lines::of(&whole.text) {
        let trimmed = line.trim();
        if let Some(end) = bodies.first() {
            if trimmed == end {
                bodies.remove(0);
            }
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            if let Some((name, value)) = comment.split_once('=').filter(|_| is_head) {
                let start = at + line.len() - line.trim_start().len();
                match name.trim().to_ascii_lowercase().as_str() {
                    "escape" => escape = value.trim().chars().next().unwrap_or('\\'),
                    "syntax" => instructions.push(syntax(whole, start, trimmed)),
                    _ => {}
                }
            }
            continue;
        }
        is_head = false;
        if trimmed.is_empty() {
            continue;
        }
        let mut writer = current.take().unwrap_or_default();
        let end = line.trim_end();
        match end.strip_suffix(escape) {
            Some(rest) => {
                writer.copy(whole, at..at + rest.len());
                current = Some(writer);
            }
            None => {
                writer.copy(whole, at..at + end.len());
                let instruction = writer.finish(at);
                bodies = here_documents(&instruction.text);
                instructions.push(instruction);
            }
        }
    }
    instructions.extend(current.map(|writer| writer.finish(0)));
    instructions
}

fn syntax(whole: &Mapped<'_>, start: usize, line: &str) -> Mapped<'static> {
    let mut writer = Writer::default();
    let value = line.find('=').map_or(line.len(), |equals| equals + 1);
    writer.copy(whole, start..start + 1);
    writer.push(' ', &(start..start + 1));
    writer.copy(whole, start + value..start + line.len());
    writer.finish(start)
}

/// The words that end the here-documents of an instruction.
fn here_documents(instruction: &str) -> Vec<String> {
    let verb = instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(verb.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    let word = |rest: &str| {
        let rest = rest.trim_start_matches('-').trim_start_matches(['"', '\'']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        (end > 0).then(|| rest[..end].to_owned())
    };
    instruction.split("<<").skip(1).filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Format, find};

    #[test]
    fn images_of_stages() {
        for (text, expected) in [
            ("FROM alpine\n", "FROM alpine"),
            (
                "from --platform=$BUILDPLATFORM a.b/c:1 as build\nFROM build\nFROM BUILD AS x\nFROM scratch\n",
                "FROM a.b/c:1",
            ),
            ("ARG REG=a.b\nARG TAG=\"1.2\"\nFROM ${REG}/c:${TAG}\nARG LATER=x.y/z:1\n", "FROM a.b/c:1.2"),
            ("ARG BASE=a.b/c:1\nFROM $BASE AS x\nCOPY --from=x /a /b\n", "FROM a.b/c:1"),
            ("ARG V=3.9\nFROM python:${V}-slim\n", "FROM python:3.9-slim"),
            ("ARG REG\nFROM ${REG}/x/y:1\nFROM ${BASE}\nFROM ${OTHER:-redis:7}\n", "FROM x/y:1 FROM redis:7"),
            (
                "FROM a:1\nCOPY --chown=1 --from=b/c:2 /x /y\nCOPY --from=0 / /\nRUN --mount=type=bind,from=d:3,target=/x ls\n",
                "FROM a:1 COPY --from b/c:2 RUN --mount d:3",
            ),
            (
                "# syntax=docker/dockerfile:1\n# FROM no\nFROM \\\n  # why\n  a:1\n",
                "syntax docker/dockerfile:1 FROM a:1",
            ),
            ("# escape=`\nFROM `\n a:1\nRUN <<EOF\nFROM no\nEOF\nFROM b:1\n", "FROM a:1 FROM b:1"),
            (
                "FROM a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
                "FROM a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "ONBUILD COPY --from=a/b:1 / /\nFROM \"quoted:1\"\nFROM\nFROM Bad\n",
                "COPY --from a/b:1 FROM quoted:1",
            ),
        ] {
            for text in [text.to_owned(), text.replace('\n', "\r\n")] {
                let found = find(&text, Format::Dockerfile);
                for found in &found {
                    assert_eq!(text[found.spans.repository.clone()], found.named.repository, "{text}");
                }
                let mut names: Vec<String> =
                    found.iter().map(|found| format!("{} {}", found.place.path, found.named)).collect();
                if text.contains("OTHER") {
                    assert!(found[0].named.registry.is_none() && found[0].spans.registry.is_some());
                }
                names.dedup();
                assert_eq!(names.join(" "), expected, "{text}");
            }
        }
    }
}
