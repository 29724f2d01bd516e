//! The specs of `manifests/catalog`, as what they ask for. `FERRY_UPDATE_GOLDEN=1 cargo test -p ferry-builder catalog`
//! writes the lists anew.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/catalog")
}

fn line(entry: &Entry) -> String {
    match &entry.wanted {
        Wanted::Image(image) => format!("image {}", image.entry.source),
        Wanted::Chart(chart) => match &chart.source {
            ChartSource::Repository { url, name } => format!("chart {name} {} {url}", chart.version),
            ChartSource::Oci(reference) => format!("chart {reference} {}", chart.version),
            ChartSource::File(path) => format!("chart {path} {}", chart.version),
        },
        Wanted::Remote(remote) => {
            let repository = remote.repository.as_deref().unwrap_or("-");
            let digest = remote.sha256.map(|sha256| format!(" {}", sha256.0)).unwrap_or_default();
            format!("{} {repository} {} {}{digest}", remote.kind, remote.path, remote.url)
        }
        Wanted::Local(local) => format!("file {} {}", local.pattern, local.to),
        Wanted::Bkdl(wanted) => {
            let Bkdl { base, channel, release, registry, .. } = &wanted.source;
            match &wanted.what {
                BkdlWhat::Item(item) => format!("bkdl {base}{channel}/{release}.txt {item}"),
                BkdlWhat::ChartImages { .. } => {
                    format!("bkdl {base}{channel}/{release}.txt images of {registry}")
                }
            }
        }
    }
}

#[test]
fn the_catalog_asks_for_what_it_always_asked_for() {
    for name in ["blueking-7.1", "blueking-7.2"] {
        let file = SpecFile::read(&manifests().join(format!("{name}.yaml"))).expect(name);
        let entries = entries(&file).expect(name);
        let mut text = String::new();
        for entry in &entries {
            let optional = if entry.required { "" } else { " (optional)" };
            writeln!(text, "{}{optional}", line(entry)).unwrap();
        }
        let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/resolve/entry/golden")
            .join(format!("{name}.txt"));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "{name}: look at the difference, then set FERRY_UPDATE_GOLDEN=1");
    }
}

#[test]
fn the_catalog_puts_nothing_twice_and_every_runtime_where_paas_looks() {
    for name in ["blueking-7.1", "blueking-7.2"] {
        let file = SpecFile::read(&manifests().join(format!("{name}.yaml"))).expect(name);
        let entries = entries(&file).expect(name);
        let fingerprints: HashSet<&String> = entries.iter().map(|entry| &entry.fingerprint).collect();
        assert_eq!(fingerprints.len(), entries.len(), "{name} asks for something twice");
        let mut places = HashSet::new();
        for entry in &entries {
            let Wanted::Remote(remote) = &entry.wanted else { continue };
            assert!(places.insert((&remote.repository, &remote.path)), "{name}: {} twice", remote.path);
            if remote.kind != FileKind::Runtime {
                continue;
            }
            assert_eq!(remote.repository.as_deref(), Some("bkpaas/bkpaas3-platform-assets"));
            let path = remote.path.as_str();
            let known = [
                "runtimes/python/heroku-18/runtimes/python-",
                "runtimes/python/common/pip-",
                "runtimes/nodejs/node/release/linux-x64/node-v",
                "runtimes/golang/go",
            ];
            assert!(known.iter().any(|start| path.starts_with(start)), "{name}: {path}");
            let checked = path.contains("/golang/") || path.contains("/common/pip-");
            assert_eq!(remote.sha256.is_some(), checked, "{name}: {path}");
        }
    }
}

#[test]
fn a_fingerprint_changes_with_what_is_asked_for_and_with_nothing_else() {
    let entry = |entry: &str| {
        let head = "apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: \"1\"\nbkdl:\n";
        let spec = Spec::parse(&format!("{head}  - {entry}\n")).unwrap();
        entries(&SpecFile { path: "a.yaml".into(), spec }).unwrap().remove(0)
    };
    let one = entry("{channel: c, items: [a]}");
    assert_eq!(one.fingerprint, entry("{channel: c/, release: latest, items: [a, b]}").fingerprint);
    assert_eq!(one.fingerprint, entry("{channel: c, items: [a], required: false}").fingerprint);
    for other in [
        "{channel: d, items: [a]}",
        "{channel: c, release: \"1\", items: [a]}",
        "{channel: c, items: [a=1]}",
        "{base: \"http://h/\", channel: c, items: [a]}",
        "{channel: c, chartImages: true}",
    ] {
        assert_ne!(one.fingerprint, entry(other).fingerprint, "{other}");
    }
    assert!(one.is_called("a") && one.is_called("c") && !one.is_called("b"));
}
