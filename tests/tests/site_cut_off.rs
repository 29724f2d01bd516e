//! Runs against registries and Marathon that are killed at each line of their journal go on to the same end, or are taken back
//! from wherever they were.

use std::path::Path;

use anyhow::{Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::cut_off::{self, Ground};
use ferry_tests::marathon::Marathon;
use ferry_tests::parts;
use ferry_tests::process::Program;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Sample;

struct Site {
    sample: Sample,
    registry: Registry,
    marathon: Marathon,
}

impl Site {
    /// A site whose registry section has these lines beside its address.
    fn new(mut corpus: Corpus, section: impl FnOnce(&Marathon) -> String) -> Result<Self> {
        if let Some(image) = corpus.images.last_mut() {
            image.repository = "library/registry".into();
            image.tag = "2".into();
        }
        let sample = Sample::built(corpus)?;
        let (registry, marathon) = (Registry::start(Setup::default()), Marathon::start());
        let (host, section) = (registry.host(), section(&marathon));
        let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
        sample
            .workspace
            .write("site.yaml", format!("{head}  address: {host}\n  plainHttp: true\n{section}"))?;
        Ok(Self { sample, registry, marathon })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.sample.workspace.path(name)
    }
}

impl Ground for Site {
    fn installer(&self, arguments: &[&str]) -> Program {
        self.sample.workspace.installer().args(arguments)
    }

    /// Names and manifests, since a registry cannot be asked to forget blobs; the app; and the files.
    fn listing(&self) -> Result<String> {
        let registry = self.registry.content();
        let registry: Vec<&str> = registry.lines().filter(|line| !line.contains(" blob ")).collect();
        let files = "find . -path ./site.ferry -prune -o -type f -exec sha256sum {} + -o -print | sort";
        let files = Program::new("sh").args(["-c", files]).within(self.path("")).succeed()?.stdout;
        Ok(format!("{}\n{:?}\n{files}", registry.join("\n"), self.marathon.app("/registry")))
    }

    fn forget_a_line(&self) -> Result<()> {
        cut_off::forget_a_line(Path::new(&self.path("site.ferry")))
    }
}

#[test]
fn a_registry_that_is_there() -> Result<()> {
    if !parts::ready(&["strace"]) {
        return Ok(());
    }
    let site = Site::new(Corpus::small(340, 20_000), |_| "  existing: {}\n".into())?;
    let lines = cut_off::at_every_line(&site, "bundle")?;
    ensure!(lines >= 4, "a run of {lines} lines");
    Ok(())
}

#[test]
fn an_app_of_marathon() -> Result<()> {
    if !parts::ready(&["strace"]) {
        return Ok(());
    }
    let site = Site::new(Corpus::small(341, 20_000), |marathon| {
        format!(
            "  folder: registry\n  marathon: {{agent: 192.168.1.80, endpoint: '{}'}}\n",
            marathon.endpoint()
        )
    })?;
    let lines = cut_off::at_every_line(&site, "bundle")?;
    ensure!(lines >= 8, "a run of {lines} lines");
    Ok(())
}
