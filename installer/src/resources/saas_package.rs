//! SaaS packages that PaaS has taken. It makes of each an application, and of its layers images in its own registry.

use ferry_bundle::Bundle;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, SaasPackage, State};
use ferry_model::report::Failed;
use ferry_model::site::Environment;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Pod, Run};
use crate::context::Context;
use crate::paas::output::Output;
use crate::paas::record::{self, Package};
use crate::paas::version::is_newer;
use crate::paas::{self, Blob, SHORT, Wanted, app, use_file};

const SMART_TOOL: [&str; 3] = ["python", "manage.py", "smart_tool"];
/// The only sign that PaaS has taken a package, with its full-width mark. The command ends with 0 whatever happens.
const FINISH: &str = "Finish！";
/// What the state calls a version that runs and is newer than the package's.
const NEWER: &str = "newer";
/// What newer releases say when they have these very bytes.
const ALREADY: &str = "already uploaded, skip";
/// What tells newer releases to take a package again, by its name in one release or the other.
const AGAIN: [&str; 2] = ["--reupload", "--overwrite"];

impl Manage for SaasPackage {
    fn wanted(&self) -> State {
        State::present([("version", self.version.clone())])
    }

    fn summary(&self, action: Action) -> String {
        let what = if action == Action::Update { "another version of the SaaS" } else { "the SaaS" };
        format!("give PaaS {what} {} ({})", self.app, self.version)
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        let old = before.property(NEWER).or(before.property("version"));
        match old.filter(|_| action == Action::Update) {
            Some(old) if old.starts_with(&self.with_other_content()) => {
                format!("give PaaS the SaaS {} ({}) again, with other content", self.app, self.version)
            }
            Some(old) => {
                format!("give PaaS another version of the SaaS {} ({old} → {})", self.app, self.version)
            }
            None => self.summary(action),
        }
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        before.property(NEWER).filter(|_| !self.overwrite).map(|version| newer_there(&self.app, version))
    }

    fn undo_summary(&self, before: &State) -> String {
        match before.property("version") {
            Some(old) => format!("leave it: PaaS keeps this version beside {old}"),
            None => "leave it: PaaS has no command that takes an application back".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        let bundle = context.bundle()?;
        let cluster = paas::cluster(context, &self.platform).await?;
        let pod = paas::worker(&cluster, &self.platform).await?;
        self.give(bundle, &pod, task).await?;
        let package = Package { version: self.version.clone(), digest: self.digest };
        record::write(&cluster, &self.platform, &self.key(), &package).await
    }

    async fn undo(&self, context: &Context, before: &Before, _: &Kept, _: &Mine) -> Result<Undone, Failed> {
        let now = self.look(context).await?;
        if now == before.state || !now.meets(&self.wanted()) {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(match before.state.property("version") {
            Some(old) => format!(
                "PaaS keeps {} {} beside {old}: delete it in the Developer Center, on the page 包版本管理 of the application",
                self.app, self.version
            ),
            None => format!(
                "PaaS keeps the application {}, as it has no command that takes one back: take its modules offline (下架) and delete it in the Developer Center",
                self.app
            ),
        }))
    }
}

/// Somebody has installed a newer version than the bundle's, such as the operator in the Developer Center.
pub(super) fn newer_there(app: &str, version: &str) -> Failed {
    let message = format!("{app} {version} is there, which is newer than the bundle's");
    Failed::because(Class::Denied, message).hint(format!(
        "say `blueking: {{saas: [{{app: {app}, overwrite: true}}]}}` to have the bundle's in its place, or take the application out of the site file"
    ))
}

/// What the package of an application is recorded under.
pub(super) fn package_key(app: &str) -> String {
    format!("saas.{app}")
}

trait Taken {
    fn key(&self) -> String;
    fn with_other_content(&self) -> String;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn running(&self, cluster: &Cluster) -> Result<Option<String>, Failed>;
    async fn give(&self, bundle: &Bundle, pod: &Pod, task: &Task) -> Result<(), Failed>;
}

impl Taken for SaasPackage {
    fn key(&self) -> String {
        package_key(&self.app)
    }

    /// What is recorded; where nothing is, what runs: BlueKing's script may have installed it.
    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let known: Option<Package> = record::read(&cluster, &self.platform, &self.key()).await?;
        let running = self.running(&cluster).await?;
        let newer = running.clone().filter(|running| is_newer(running, &self.version));
        let version = match known {
            Some(known) if known.digest == self.digest || known.version != self.version => {
                Some(known.version)
            }
            // Somebody has made another package and has not given it another version.
            Some(known) => Some(format!("{} ({})", self.with_other_content(), known.digest)),
            None => running,
        };
        let Some(version) = version else { return Ok(State::Absent) };
        let newer = newer.map(|newer| (NEWER, newer));
        Ok(State::present([("version", version)].into_iter().chain(newer)))
    }

    fn with_other_content(&self) -> String {
        format!("{} with other content", self.version)
    }

    async fn running(&self, cluster: &Cluster) -> Result<Option<String>, Failed> {
        let mut found = None;
        for environment in [Environment::Prod, Environment::Stag] {
            let running = app::running(cluster, &self.app, "default", environment).await?;
            found = found.or(running.and_then(|running| running.version));
        }
        Ok(found)
    }

    async fn give(&self, bundle: &Bundle, pod: &Pod, task: &Task) -> Result<(), Failed> {
        let give = async |option: &[&str]| {
            task.reset(0);
            let wanted = Wanted { name: &self.file, size: self.size, digest: self.digest };
            let command = [&SMART_TOOL, option, &["-f"]].concat();
            let ended =
                use_file(pod, wanted, Blob::open(bundle, self.digest, task), &command).await?.ended()?;
            Ok::<_, Failed>(Output::of(&ended, &[]))
        };
        let output = give(&[]).await?;
        if output.has_line(FINISH) || output.says(ALREADY) {
            return Ok(());
        }
        let failed = |output: &Output| {
            let failed = output.failure(&format!("PaaS did not take {} {}", self.app, self.version));
            failed.hint(
                "PaaS's own log of it: `kubectl logs deployment/bkpaas3-apiserver-worker`, in its namespace",
            )
        };
        if !output.says("已存在") && !output.says("already exist") {
            return Err(failed(&output));
        }
        if !self.overwrite {
            return Err(failed(&output).hint(format!(
                "say `blueking: {{saas: [{{app: {}, overwrite: true}}]}}` to have this package put in the place of what PaaS has",
                self.app
            )));
        }
        let help = [&SMART_TOOL[..], &["--help"]].concat();
        let help = Output::of(&pod.run(Run { command: &help, limit: SHORT }).await?, &[]);
        let Some(again) = AGAIN.into_iter().find(|option| help.says(option)) else {
            return Err(failed(&output));
        };
        let output = give(&[again]).await?;
        if output.has_line(FINISH) { Ok(()) } else { Err(failed(&output)) }
    }
}
