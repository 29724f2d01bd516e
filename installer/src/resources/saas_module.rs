//! Modules of a SaaS that are deployed. PaaS deploys them; what is proven is what runs in the cluster then.

mod secrets;

use std::time::{Duration, Instant};

use bytes::Bytes;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, SaasModule, State, Variables};
use ferry_model::report::Failed;
use tokio::time::sleep;

use super::saas_package::{newer_there, package_key};
use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Ended, Pod, Run};
use crate::context::Context;
use crate::paas::output::{Output, plain};
use crate::paas::record::{self, Module};
use crate::paas::version::is_newer;
use crate::paas::{self, LONG, Wanted, app, use_file};

/// What PaaS says of a deployment that came to its end.
const SUCCESS: &str = "部署成功";
/// What it says when one is under way, such as that of a run that was cut off.
const UNDER_WAY: &str = "已有部署任务进行中";
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(5);
/// PaaS has waited for the pods; what they still may need.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the operator hears how far a deployment is.
const NEWS: Duration = Duration::from_secs(20);

impl Manage for SaasModule {
    fn wanted(&self) -> State {
        let mut properties = vec![
            ("revision", self.revision.clone()),
            ("ready", "yes".to_owned()),
            ("package", self.package.hex()),
        ];
        if let Some(variables) = &self.variables {
            properties.push(("variables", variables.digest.hex()));
        }
        State::present(properties)
    }

    fn summary(&self, action: Action) -> String {
        let again = if action == Action::Update { " anew" } else { "" };
        format!(
            "deploy module {} of {}{again} ({} in {})",
            self.module, self.app, self.revision, self.environment
        )
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        match before.property("revision").filter(|old| action == Action::Update && *old != self.revision) {
            Some(old) => {
                let Self { module, app, revision, environment, .. } = self;
                format!("deploy module {module} of {app} anew ({old} → {revision} in {environment})")
            }
            None => self.summary(action),
        }
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let version = |revision: &str| revision.split_once(':').map(|(_, version)| version.to_owned());
        let (old, new) = (version(before.property("revision")?)?, version(&self.revision)?);
        (!self.overwrite && is_newer(&old, &new)).then(|| newer_there(&self.app, &old))
    }

    fn undo_summary(&self, before: &State) -> String {
        match self.earlier(before) {
            Some(old) => format!("deploy {old} again"),
            None => "leave it: PaaS has no command that takes a module offline".into(),
        }
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let pod = paas::worker(&cluster, &self.platform).await?;
        let text = self.variables.as_ref().map(read).transpose()?;
        let secrets = text.as_deref().map(secrets::values).unwrap_or_default();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        if let Some(text) = &text {
            self.import_variables(&pod, text, &secrets).await?;
        }
        self.deploy(context, &cluster, &pod, &self.revision, &secrets).await?;
        self.wait(&cluster).await?;
        let variables = self.variables.as_ref().map(|variables| variables.digest);
        let module = Module { revision: self.revision.clone(), package: Some(self.package), variables };
        record::write(&cluster, &self.platform, &self.key(), &module).await
    }

    async fn undo(&self, context: &Context, before: &Before, _: &Kept, _: &Mine) -> Result<Undone, Failed> {
        let now = self.look(context).await?;
        if now == before.state || now == State::Absent {
            return Ok(Undone::Restored);
        }
        let Some(old) = self.earlier(&before.state) else {
            return Ok(Undone::Left(format!(
                "module {} of {} stays deployed in {}, as PaaS has no command that takes one offline: do so in the Developer Center (部署管理, 下架)",
                self.module, self.app, self.environment
            )));
        };
        let runs = now.property("revision").unwrap_or("unknown");
        if runs != self.revision && runs != old {
            return Ok(Undone::Left(format!(
                "module {} of {} is {runs} in {} by now, which somebody else has deployed, and is left so",
                self.module, self.app, self.environment
            )));
        }
        let cluster = paas::cluster(context, &self.platform).await?;
        let pod = paas::worker(&cluster, &self.platform).await?;
        self.deploy(context, &cluster, &pod, old, &[]).await?;
        let module = Module { revision: old.to_owned(), package: None, variables: None };
        record::write(&cluster, &self.platform, &self.key(), &module).await?;
        Ok(if self.variables.is_some() {
            Undone::Left(format!(
                "module {} of {} is {old} again; the configuration variables that were imported stay: see them in the Developer Center",
                self.module, self.app
            ))
        } else {
            Undone::Restored
        })
    }
}

trait Deployed {
    fn key(&self) -> String;
    fn earlier<'a>(&self, before: &'a State) -> Option<&'a str>;
    fn seen(&self, version: Option<&str>, known: Option<&Module>) -> String;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn import_variables(&self, pod: &Pod, text: &str, secrets: &[&str]) -> Result<(), Failed>;
    async fn deploy(
        &self,
        context: &Context,
        cluster: &Cluster,
        pod: &Pod,
        revision: &str,
        secrets: &[&str],
    ) -> Result<(), Failed>;
    async fn wait(&self, cluster: &Cluster) -> Result<(), Failed>;
}

impl Deployed for SaasModule {
    fn key(&self) -> String {
        format!("saas-module.{}.{}.{}", self.app, self.module, self.environment)
    }

    /// The revision that was there before, where PaaS can be told to deploy it.
    fn earlier<'a>(&self, before: &'a State) -> Option<&'a str> {
        let revision = before.property("revision").filter(|revision| revision.contains(':'))?;
        (revision != self.revision).then_some(revision)
    }

    /// Which revision runs. Images of packages are tagged with it; what PaaS builds of source code need not be.
    fn seen(&self, version: Option<&str>, known: Option<&Module>) -> String {
        let (kind, wanted) = self.revision.split_once(':').unwrap_or(("image", &self.revision));
        match (version, known) {
            (Some(version), _) if version == wanted => self.revision.clone(),
            (Some(version), _) if kind == "image" => format!("{kind}:{version}"),
            (_, Some(known)) => known.revision.clone(),
            (Some(version), None) => version.to_owned(),
            (None, None) => "unknown".to_owned(),
        }
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let running = app::running(&cluster, &self.app, &self.module, self.environment).await?;
        let Some(running) = running else { return Ok(State::Absent) };
        let known: Option<Module> = record::read(&cluster, &self.platform, &self.key()).await?;
        let ready = if running.troubles.is_empty() { "yes" } else { "no" };
        let revision = self.seen(running.version.as_deref(), known.as_ref());
        // Of what Ferry has not deployed, nobody knows; its version must do.
        let package =
            known.as_ref().filter(|known| known.revision == revision).and_then(|known| known.package);
        let mut properties = vec![
            ("revision", revision),
            ("ready", ready.to_owned()),
            ("package", package.unwrap_or(self.package).hex()),
        ];
        if self.variables.is_some() {
            let digest = known.and_then(|known| known.variables).map(|digest| digest.hex());
            properties.push(("variables", digest.unwrap_or_else(|| "none".into())));
        }
        Ok(State::present(properties))
    }

    async fn import_variables(&self, pod: &Pod, text: &str, secrets: &[&str]) -> Result<(), Failed> {
        let command = [
            "python",
            "manage.py",
            "import_configvars",
            "--app-code",
            &self.app,
            "--module",
            &self.module,
            "-f",
        ];
        let file = Wanted::text("variables.yaml", text);
        let ended = use_file(pod, file, Bytes::copy_from_slice(text.as_bytes()), &command).await?.ended()?;
        if ended.code == 0 {
            return Ok(());
        }
        let output = Output::of(&ended, secrets);
        let what = format!("PaaS did not take the variables for module {} of {}", self.module, self.app);
        Err(output.failure(&what).hint(
            "a file of variables is a list `env_variables:` of key, value, environment_name and description",
        ))
    }

    /// Has PaaS deploy a revision. Where it is at it already, for a run that was cut off, its end is waited for.
    async fn deploy(
        &self,
        context: &Context,
        cluster: &Cluster,
        pod: &Pod,
        revision: &str,
        secrets: &[&str],
    ) -> Result<(), Failed> {
        let environment = self.environment.to_string();
        let command = [
            "python",
            "manage.py",
            "deploy_bkapp",
            "--app-code",
            &self.app,
            "--module",
            &self.module,
            "--env",
            &environment,
            "--revision",
            revision,
        ];
        let begun = Instant::now();
        loop {
            let mut heard = Instant::now();
            let tell = |line: &str| {
                if heard.elapsed() >= NEWS && line.contains(char::is_alphanumeric) {
                    heard = Instant::now();
                    let line = Output::of(&Ended { stdout: plain(line), ..Ended::default() }, secrets);
                    context.events.note(format!("{}/{}: {}", self.app, self.module, line.text().trim()));
                }
            };
            let ended = pod.run_with(Run { command: &command, limit: LONG }, (), tell).await?;
            let output = Output::of(&ended, secrets);
            // An error of PaaS's API ends it with 0, too.
            if ended.code == 0 && output.says(SUCCESS) {
                return Ok(());
            }
            if output.says(UNDER_WAY) && begun.elapsed() < LONG {
                sleep(PAUSE).await;
                continue;
            }
            let what = format!("PaaS could not deploy module {} of {} ({revision})", self.module, self.app);
            let mut failed = output.failure(&what);
            if output.says("application matching query does not exist") {
                // Somebody has deleted it there; what is recorded of it would keep it from being given again.
                record::forget(cluster, &self.platform, &package_key(&self.app)).await?;
                failed = failed.hint("PaaS does not have it any more: apply again gives it anew");
            }
            if let Ok(Some(running)) = app::running(cluster, &self.app, &self.module, self.environment).await
            {
                let troubles = Ended { stdout: running.troubles.join("\n  "), ..Ended::default() };
                let troubles = Output::of(&troubles, secrets);
                if !troubles.text().trim().is_empty() {
                    failed.message.push_str(&format!("\n  {}", troubles.text().trim_end()));
                }
            }
            return Err(failed.hint(format!(
                "the whole log is in the Developer Center: 部署管理 of {}, module {}",
                self.app, self.module
            )));
        }
    }

    async fn wait(&self, cluster: &Cluster) -> Result<(), Failed> {
        let begun = Instant::now();
        loop {
            let running = app::running(cluster, &self.app, &self.module, self.environment).await?;
            let troubles = match running {
                Some(running) if running.troubles.is_empty() => return Ok(()),
                Some(running) => running.troubles,
                None => vec![format!(
                    "there is no Deployment in namespace {}",
                    app::namespace(&self.app, &self.module, self.environment)
                )],
            };
            if begun.elapsed() >= PATIENCE {
                let what = format!("module {} of {} was deployed and is not ready", self.module, self.app);
                let text = format!("{what}: {}", troubles.join("; "));
                return Err(Failed::because(Class::Local, text).hint(format!(
                    "`{} -n {} get pods` shows them",
                    cluster.kubectl(),
                    app::namespace(&self.app, &self.module, self.environment)
                )));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The text of a file of variables, which must be the one that was planned with.
fn read(variables: &Variables) -> Result<String, Failed> {
    let text = std::fs::read_to_string(&variables.path).map_err(|error| {
        Failed::because(Class::Local, format!("reading {}: {error}", variables.path.display()))
    })?;
    if ferry_model::Digest::of(text.as_bytes()) != variables.digest {
        let message = format!("{} has changed since the plan was made", variables.path.display());
        return Err(Failed::because(Class::Input, message).hint("make a new plan"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use ferry_model::plan::Platform;
    use ferry_model::site::Environment;

    use super::*;

    fn module(revision: &str) -> SaasModule {
        SaasModule {
            platform: Platform { kubeconfig: None, context: None, namespace: "blueking".into() },
            app: "bk_sops".into(),
            module: "api".into(),
            environment: Environment::Prod,
            revision: revision.into(),
            package: ferry_model::Digest::of(b"package"),
            overwrite: false,
            variables: None,
        }
    }

    #[test]
    fn what_runs_is_told_by_its_image_or_else_by_the_record() {
        let record = |revision: &str| Module { revision: revision.into(), package: None, variables: None };
        for (wanted, version, known, seen) in [
            ("image:2", Some("2"), None, "image:2"),
            ("image:2", Some("1"), None, "image:1"),
            // Somebody went back to the old version in the Developer Center.
            ("image:2", Some("1"), Some("image:2"), "image:1"),
            ("image:2", None, Some("image:2"), "image:2"),
            ("package:2", Some("master-2312"), Some("package:2"), "package:2"),
            ("package:2", Some("2"), None, "package:2"),
            ("package:2", Some("master-2312"), None, "master-2312"),
            ("package:2", None, None, "unknown"),
        ] {
            let known = known.map(record);
            assert_eq!(module(wanted).seen(version, known.as_ref()), seen, "{wanted} {version:?} {known:?}");
        }
    }

    #[test]
    fn only_another_known_revision_can_be_deployed_again() {
        let earlier = |revision: &str| {
            let before = State::present([("revision", revision)]);
            module("image:2").earlier(&before).map(str::to_owned)
        };
        assert_eq!(earlier("image:1"), Some("image:1".into()));
        assert_eq!(
            (earlier("image:2"), earlier("unknown"), module("image:2").earlier(&State::Absent)),
            (None, None, None)
        );
    }

    #[test]
    fn newer_versions_stay_unless_the_site_file_says_so() {
        let before = |revision: &str| State::present([("revision", revision)]);
        let refusal = module("image:3.28.13").refusal(&before("image:3.28.14")).unwrap();
        assert_eq!(refusal.message, "bk_sops 3.28.14 is there, which is newer than the bundle's");
        let overwriting = SaasModule { overwrite: true, ..module("image:3.28.13") };
        assert_eq!(overwriting.refusal(&before("image:3.28.14")), None);
        for other in ["image:3.28.13", "image:3.28.9", "unknown", "master-2312"] {
            assert_eq!(module("image:3.28.13").refusal(&before(other)), None, "{other}");
        }
    }
}
