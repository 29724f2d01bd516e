//! SaaS packages that PaaS has taken. It makes of each an application, and of its layers images in its own registry.

use ferry_bundle::Bundle;
use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, SaasPackage, State};
use ferry_model::report::Failed;
use ferry_model::site::Environment;

use super::{Kept, Manage, Mine, Undone};
use crate::cluster::{Pod, Run};
use crate::context::Context;
use crate::paas::output::Output;
use crate::paas::record::{self, Package};
use crate::paas::{self, Blob, SHORT, Wanted, app, use_file};

const SMART_TOOL: [&str; 3] = ["python", "manage.py", "smart_tool"];
/// The only sign that PaaS has taken a package, with its full-width mark. The command ends with 0 whatever happens.
const FINISH: &str = "Finish！";
/// What newer releases say when they have these very bytes.
const ALREADY: &str = "already uploaded, skip";
/// What tells newer releases to take a package again, by its name in one release or the other.
const AGAIN: [&str; 2] = ["--reupload", "--overwrite"];

impl Manage for SaasPackage {
    fn wanted(&self) -> State {
        State::present([("version", self.version.clone())])
    }

    fn summary(&self, action: Action) -> String {
        let what = if action == Action::Update { "a new version of the SaaS" } else { "the SaaS" };
        format!("give PaaS {what} {} ({})", self.app, self.version)
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
        self.look(context).await.unwrap_or_else(|failed| State::Unknown { reason: failed.message })
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

/// What the package of an application is recorded under.
pub(super) fn package_key(app: &str) -> String {
    format!("saas.{app}")
}

trait Taken {
    fn key(&self) -> String;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
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
        let version = match known {
            Some(known) if known.digest == self.digest || known.version != self.version => {
                Some(known.version)
            }
            // Somebody has made another package and has not given it another version.
            Some(known) => Some(format!("{} with other content ({})", known.version, known.digest)),
            None => {
                let environments = [Environment::Prod, Environment::Stag];
                let mut found = None;
                for environment in environments {
                    let running = app::running(&cluster, &self.app, "default", environment).await?;
                    found = found.or(running.and_then(|running| running.version));
                }
                found
            }
        };
        Ok(version.map_or(State::Absent, |version| State::present([("version", version)])))
    }

    async fn give(&self, bundle: &Bundle, pod: &Pod, task: &Task) -> Result<(), Failed> {
        let give = async |option: &[&str]| {
            task.reset(0);
            let wanted = Wanted { name: &self.file, size: self.size, digest: self.digest };
            let command = [&SMART_TOOL, option, &["-f"]].concat();
            let ended = use_file(pod, wanted, Blob::open(bundle, self.digest, task), &command).await?;
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
        let help = [&SMART_TOOL[..], &["--help"]].concat();
        let help = Output::of(&pod.run(Run { command: &help, limit: SHORT }).await?, &[]);
        let Some(again) = AGAIN.into_iter().find(|option| help.says(option)) else {
            return Err(failed(&output));
        };
        let output = give(&[again]).await?;
        if output.has_line(FINISH) { Ok(()) } else { Err(failed(&output)) }
    }
}
