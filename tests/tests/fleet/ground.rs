//! A site whose nodes are folders behind real sshds.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::LoopbackFleet;
use ferry_tests::process::{Program, binary};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Sample;
use serde_json::Value;

pub(crate) struct Ground {
    pub(crate) fleet: LoopbackFleet,
    pub(crate) sample: Sample,
    /// What the nodes pull from.
    registry: Registry,
    /// Without what only debuggers read: nodes check the digest of each byte.
    program: PathBuf,
}

impl Ground {
    pub(crate) fn new(seed: u64, count: usize, refuses: impl Fn(usize) -> bool) -> Result<Self> {
        let sample = Sample::built(Corpus::small(seed, 20_000))?;
        let program = sample.workspace.path("ferry-installer");
        let stripped = Command::new("strip").arg("-o").arg(&program).arg(binary("ferry-installer")).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(binary("ferry-installer"), &program)?;
        }
        let fleet = LoopbackFleet::start(count, refuses)?;
        Ok(Self { fleet, sample, registry: Registry::start(Setup::default()), program })
    }

    /// `settings` go beside the others of `nodes`, as in a mapping on one line.
    pub(crate) fn write_site(&self, settings: &str, names: &str) -> Result<()> {
        self.write_site_with("", settings, names)
    }

    /// The same with `ssh` more for ssh.
    pub(crate) fn write_site_with(&self, ssh: &str, settings: &str, names: &str) -> Result<()> {
        let settings: String = settings.split(", ").map(|setting| format!("  {setting}\n")).collect();
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nlimits: {{steps: 20}}\nnodes:\n{}  configure: true\n  names: {{{names}}}\n  \
             registries: [{{address: '{}', plainHttp: true, mirrors: [docker.io]}}]\n{settings}",
            self.fleet.section(ssh)?,
            self.registry.host(),
        );
        self.sample.workspace.write("site.yaml", text).map(drop)
    }

    /// A site with these sections, whose nodes pull from the registry as well.
    pub(crate) fn write_site_of(&self, sections: &str) -> Result<()> {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nlimits: {{steps: 20}}\n{sections}  \
             registries: [{{address: '{}', plainHttp: true, mirrors: [docker.io]}}]\n",
            self.registry.host()
        );
        self.sample.workspace.write("site.yaml", text).map(drop)
    }

    pub(crate) fn installer(&self, arguments: &[&str]) -> Program {
        Program::new(&self.program)
            .within(self.sample.workspace.path(""))
            .env("HOME", self.sample.workspace.path(""))
            .args(arguments)
    }

    pub(crate) fn read(&self, index: usize, path: &str) -> Result<String> {
        let path = self.fleet.root(index).join(path);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Every file of every node, with its rights, owner and digest.
    pub(crate) fn trees(&self) -> Result<String> {
        let nodes = self.fleet.root(0);
        let nodes = nodes.parent().and_then(|node| node.parent()).context("a node lies beside others")?;
        let script = "cd \"$1\" && find */root -printf '%p %y %m %U:%G %l\\n' | sort && find */root -type f | sort | xargs sha256sum";
        let outcome = Program::new("sh").args(["-c", script, "sh"]).arg(nodes).succeed()?;
        Ok(outcome.stdout)
    }

    /// How often all nodes together were asked for this.
    pub(crate) fn asked_for(&self, what: &str) -> usize {
        (0..self.fleet.len()).map(|index| self.fleet.asked(index).matches(what).count()).sum()
    }

    /// Files that lie where nodes keep programs.
    pub(crate) fn copies(&self) -> Result<usize> {
        let bin = self.fleet.programs();
        let folders = fs::read_dir(&bin)?.collect::<Result<Vec<_>, _>>()?;
        ensure!(folders.len() == 1, "programs of {} digests", folders.len());
        Ok(fs::read_dir(folders[0].path())?.count())
    }

    /// The report of the last run.
    pub(crate) fn newest_report(&self) -> Result<Value> {
        let runs = fs::read_dir(self.sample.workspace.path("site.ferry/runs"))?;
        let reports = runs.filter_map(|run| Some(run.ok()?.path().join("report.json")));
        let newest = reports.filter(|report| report.is_file()).max().context("there is no report")?;
        Ok(serde_json::from_slice(&fs::read(newest)?)?)
    }

    /// Sockets of connections that are kept.
    pub(crate) fn masters(&self) -> usize {
        fs::read_dir(self.sample.workspace.path("site.ferry/ssh")).map_or(0, Iterator::count)
    }
}
