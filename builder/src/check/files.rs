//! Paths from the command line: charts, manifests, helmfiles, compose files, Dockerfiles, Marathon apps, environment files
//! and lists, or folders of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_references::{Format, Found, How, Scopes, documents, format_of, is_split, survey};
use serde_json::Value;

use super::chart::{lenient, why_no_yaml};
use super::kustomize::Kustomized;
use super::mention::{Mention, Weight, has_unknown};
use super::{Checker, Content, Place, Unread, noted, unclear};
use crate::Error;

/// The largest file that is looked into.
const MAX_FILE: u64 = 64 << 20;
/// As much of a file as tells what it is.
const BEGINNING: usize = 4 << 10;

pub(super) fn look_into(checker: &mut Checker, path: &Path, not_these: &[PathBuf]) -> Result<(), Error> {
    let shown = path.display().to_string();
    let source = shown.trim_start_matches("./").trim_end_matches('/');
    let source = if source.is_empty() { "." } else { source };
    let metadata = std::fs::metadata(path).map_err(Error::io("reading", path))?;
    if !metadata.is_dir() {
        if is_archive(path) {
            return checker.chart(source, Content::At(path), &[]);
        }
        if !one_file(checker, source, path, &Kustomized::default())? {
            let problem = format!("{} is no chart, and nothing that is known to name images", path.display());
            let hint = "name a chart, a manifest, a values file, a compose file, a Dockerfile, an environment file, a list (*.txt) or a folder of them";
            return Err(Error::Entry { problem, hint: Some(hint.into()), class: Class::Usage });
        }
        return Ok(());
    }
    let kustomized = Kustomized::of(path);
    let skipped: Vec<PathBuf> = not_these.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut walk = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| Error::io("reading", path)(error.into()))?;
        let below = entry.path().strip_prefix(path).unwrap_or(entry.path()).display().to_string();
        let name = match (source, below.as_str()) {
            (source, "") => source.to_owned(),
            (".", below) => below.to_owned(),
            (source, below) => format!("{source}/{below}"),
        };
        let is_hidden = entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().is_dir() {
            if is_hidden || entry.file_name() == "node_modules" {
                walk.skip_current_dir();
            } else if entry.path().join("Chart.yaml").is_file() {
                checker.chart(&name, Content::At(entry.path()), &[])?;
                walk.skip_current_dir();
            }
        } else if entry.file_type().is_file() && !skipped.iter().any(|skip| is_same(entry.path(), skip)) {
            if is_archive(entry.path()) {
                chart_of_folder(checker, &name, entry.path())?;
            } else if entry.path().extension().is_none_or(|extension| extension != "lock") {
                one_file(checker, &name, entry.path(), &kustomized)?;
            }
        }
    }
    Ok(())
}

fn is_same(path: &Path, canonical: &Path) -> bool {
    path.file_name() == canonical.file_name() && path.canonicalize().is_ok_and(|path| path == canonical)
}

fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".tgz") || name.ends_with(".tar.gz")
}

/// An archive in a folder may be anything; one that is no chart is passed over.
fn chart_of_folder(checker: &mut Checker, name: &str, path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("reading", path))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file).take(MAX_FILE));
    let is_chart = archive.entries().is_ok_and(|entries| {
        // helm puts Chart.yaml first; others at least among the first.
        entries.take(1000).map_while(Result::ok).any(|entry| {
            entry.path().is_ok_and(|path| path.components().count() == 2 && path.ends_with("Chart.yaml"))
        })
    });
    if is_chart { checker.chart(name, Content::At(path), &[]) } else { Ok(()) }
}

/// Looks into a file; tells whether it is of a kind that names images.
fn one_file(checker: &mut Checker, name: &str, path: &Path, kustomized: &Kustomized) -> Result<bool, Error> {
    let mut file = File::open(path).map_err(Error::io("reading", path))?;
    let mut bytes = Vec::new();
    let read = file.by_ref().take(BEGINNING as u64).read_to_end(&mut bytes);
    read.map_err(Error::io("reading", path))?;
    let beginning = String::from_utf8_lossy(&bytes).into_owned();
    let Some(format) = format_of(&path.display().to_string(), &beginning) else { return Ok(false) };
    let unread = |checker: &mut Checker, reason: String| {
        checker.unread.push(Unread { source: name.to_owned(), reason });
        Ok(true)
    };
    let read = file.take(MAX_FILE).read_to_end(&mut bytes);
    read.map_err(Error::io("reading", path))?;
    if bytes.len() as u64 >= MAX_FILE {
        return unread(checker, format!("it has more than {} MiB", MAX_FILE >> 20));
    }
    let Ok(text) = String::from_utf8(bytes) else {
        return unread(checker, "it is no UTF-8 text".to_owned());
    };
    checker.files += 1;
    survey_file(checker, &OneFile { name, path, kustomized, format }, &without_own(&text));
    Ok(true)
}

/// The text without documents of Ferry's own: a spec names what is carried, and nobody pulls it from there. Lines stay.
fn without_own(text: &str) -> Cow<'_, str> {
    let is_own = |document: &str| {
        let versions = document.lines().filter_map(|line| line.strip_prefix("apiVersion:"));
        versions.into_iter().any(|version| version.trim().trim_matches(['"', '\'']).starts_with("ferry/"))
    };
    if !documents(text).any(|range| is_own(&text[range])) {
        return Cow::Borrowed(text);
    }
    let keep = |range: std::ops::Range<usize>| {
        let document = &text[range];
        if is_own(document) { "\n".repeat(document.matches('\n').count()) } else { document.to_owned() }
    };
    Cow::Owned(documents(text).map(keep).collect())
}

/// A file that is looked into.
struct OneFile<'a> {
    name: &'a str,
    path: &'a Path,
    kustomized: &'a Kustomized,
    format: Format,
}

fn survey_file(checker: &mut Checker, file: &OneFile<'_>, text: &str) {
    let survey = survey(text, file.format);
    let scopes = Scopes::new(text, survey.registries);
    let built = if file.format == Format::Compose { built(text) } else { HashSet::new() };
    for found in &survey.found {
        take(checker, file, found, &scopes, &built);
    }
    checker.unclear.extend(unclear(file.name, None, survey.unclear, survey.malformed));
    if matches!(file.format, Format::Yaml | Format::Compose | Format::Kustomization) {
        checker.unclear.extend(no_yaml(file.name, text));
    }
}

/// The documents that cannot be parsed. Images in them are found as in any text, but kubectl and compose refuse them.
fn no_yaml(name: &str, text: &str) -> Vec<Place> {
    if name.ends_with(".json") && !is_deployed(text) {
        return Vec::new();
    }
    let broken = documents(text).filter_map(|range| {
        let document = without_directives(&text[range.clone()]);
        if document.contains("{{") || document.contains("{%") {
            // It becomes YAML when it is rendered.
            return None;
        }
        why_no_yaml(document)?;
        // Once more from the line that it begins at, so that the reason names lines of the file.
        let line = text[..range.start].matches('\n').count();
        let reason = why_no_yaml(&format!("{}{document}", "\n".repeat(line)))?;
        let place = ferry_references::Place { line: line + 1, ..ferry_references::Place::default() };
        Some((place, format!("this is no YAML, so it was searched as any text is: {reason}")))
    });
    broken.map(|(place, reason)| noted(name, None, place, Some(reason))).collect()
}

/// Whether JSON looks like something of Kubernetes or Marathon. Settings of editors and compilers have comments, and nobody
/// deploys them.
fn is_deployed(json: &str) -> bool {
    let says = |key: &str| json.contains(&format!("\"{key}\""));
    says("apiVersion") || (says("id") && (says("container") || says("containers")))
}

/// A document without what is said at its end of the next: `%YAML 1.2`.
fn without_directives(document: &str) -> &str {
    let of_next = |line: &&str| line.starts_with(['%', '#']) || line.trim().is_empty();
    let length: usize = document.split_inclusive('\n').rev().take_while(of_next).map(str::len).sum();
    let (body, end) = document.split_at(document.len() - length);
    if end.lines().any(|line| line.starts_with('%')) { body } else { document }
}

/// The paths of images that compose builds itself.
fn built(text: &str) -> HashSet<String> {
    let document: Value = lenient(text).unwrap_or_default();
    let services = document.get("services").and_then(Value::as_object);
    let built = services.into_iter().flatten().filter(|(_, service)| service.get("build").is_some());
    built
        .flat_map(|(name, _)| [format!("services.{name}.image"), format!("services[{name:?}].image")])
        .collect()
}

fn take(checker: &mut Checker, file: &OneFile<'_>, found: &Found, scopes: &Scopes, built: &HashSet<String>) {
    let mut place = Mention::place(file.name, None, found);
    let mut named = found.named.clone();
    let above = scopes.above(found).map(|index| &scopes.all()[index]);
    if let Some(scope) = above {
        named.registry = Some(scope.value.clone());
    }
    let is_unknown = match above {
        // What stands beside it does not count there.
        Some(_) => has_unknown(&Found { named: named.clone(), ..found.clone() }),
        None => has_unknown(found),
    };
    if is_unknown {
        checker.unclear.push(place);
        return;
    }
    let mut weight = Weight::Needed;
    if is_split(found) && named.registry.is_none() {
        place.note = Some("its registry is said elsewhere".to_owned());
        weight = Weight::Possible;
    } else if built.contains(&found.place.path) {
        place.note = Some("compose builds it".to_owned());
        weight = Weight::Optional;
    }
    if matches!(found.how, How::Image | How::CustomResource) {
        let (stays, others) = file.kustomized.becomes(file.path, &named);
        for other in others {
            let mut place = place.clone();
            place.note = Some(format!("which a kustomization puts in the place of {named}"));
            checker.mentions.extend(Mention::new(found, &other, weight, place));
        }
        if !stays {
            place.note = Some("a kustomization puts another in its place".to_owned());
            weight = Weight::Optional;
        }
    }
    checker.mentions.extend(Mention::new(found, &named, weight, place));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_ferry_are_passed_over() {
        let text = "a: 1\n---\napiVersion: \"ferry/v1\"\nimages: [a:1]\n---\napiVersion: v1\n";
        assert_eq!(without_own(text), "a: 1\n\n\n\n---\napiVersion: v1\n");
        let other = "apiVersion: v1\ndata:\n  a: |\n    apiVersion: ferry/v1\n";
        assert!(matches!(without_own(other), Cow::Borrowed(_)));
    }

    #[test]
    fn what_nobody_parses_as_it_is_written_is_not_called_broken() {
        let many = format!("a: [{}]\n", "1, ".repeat(300_000));
        for (name, text) in [
            ("helmfile.yaml", "releases:\n{{- range .Values.all }}\n- name: {{ . }}\n{{- end }}\n"),
            ("play.yaml", "{% if a %}\nimage: a/b:1\n{% endif %}\n"),
            ("tsconfig.json", "{\n  \"target\": \"es6\", // new enough\n  \"module\": \"a\" // b\n}\n"),
            ("a.yaml", "%YAML 1.2\n---\na: 1\n"),
            ("a.yaml", "# both\n%YAML 1.2\n---\na: 1\n...\n# next\n%YAML 1.2\n---\nb: 1\n"),
            ("a.yaml", many.as_str()),
        ] {
            assert_eq!(no_yaml(name, text), [], "{name}");
        }
    }

    #[test]
    fn what_kubectl_and_marathon_refuse_is_told() {
        for (name, text, line) in [
            ("a.yaml", "a: 1\n---\nb: [\n", 2),
            ("a.yaml", "a: {{ .b }}\n  c: [\n---\nb: [\n", 3),
            ("a.yaml", "%YAML 1.2\n---\nb: [\n", 2),
            ("a.json", "{\"kind\": \"Pod\", \"apiVersion\": \"v1\" // here\n}", 1),
            ("a.json", "{\"container\": {}, \"id\": \"/a\" // here\n}", 1),
        ] {
            let lines: Vec<_> = no_yaml(name, text).iter().map(|place| place.line).collect();
            assert_eq!(lines, [Some(line)], "{text}");
        }
    }
}
