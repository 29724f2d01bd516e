//! The base image of SaaS (slug-app). PaaS copies it into its own registry in a job of its installation, which fails where the image's
//! name leads to the internet: the ConfigMap gets the name at the site, and the job is run again.

mod job;

use std::collections::BTreeMap;

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, ClusterTarget, KeyPatch, NewValue, SlugApp, State, TakenUpBy};
use ferry_model::report::Failed;
use ferry_model::site::PatchedKind;
use serde_json::Value;

use super::{Kept, Manage, Mine, Undone, key_patch, seen_diff, unknown};
use crate::cluster::{Cluster, Place};
use crate::context::Context;
use crate::paas;

/// The ConfigMap that PaaS's processes and jobs get their environment from.
const ENVS: &str = "bkpaas3-apiserver-general-envs";
/// Its key for the image.
const IMAGE: &str = "PAAS_APP_IMAGE";
/// The Deployment whose image says which release PaaS is.
const WEB: &str = "bkpaas3-apiserver-web";
/// The release that takes for the tag what follows the first `:` of the name.
const TRAPPED: &str = "1.4";

impl Manage for SlugApp {
    fn wanted(&self) -> State {
        State::present([("matches", "yes"), ("job", "done")])
    }

    fn summary(&self, _action: Action) -> String {
        format!(
            "have PaaS take the base image of SaaS from {}, and run its job for that again if it failed",
            self.image
        )
    }

    fn undo_summary(&self, _before: &State) -> String {
        format!("put ConfigMap {ENVS} back as it was; PaaS keeps the copy of the image that it has made")
    }

    fn diff_from(&self, before: &State) -> Option<String> {
        seen_diff(before)
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let is_trapped = before.property("release") == Some(TRAPPED) && self.has_port;
        is_trapped.then(|| {
            let message = format!(
                "PaaS {TRAPPED} takes for the tag what follows the first `:` of {}, and that is the registry's port",
                self.image
            );
            Failed::because(Class::Input, message)
                .hint("have the registry answer at port 80 or 443 under a name of its own, and give `registry: {address: …}` without a port")
                .hint("or update PaaS to 1.5 or later")
        })
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        self.patch(context).await?.keep(context, kept).await
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let patch = self.patch(context).await?;
        let restarted = key_patch::write(&patch, context, &cluster).await?;
        // PaaS's processes may wait for what the job prepares.
        self.see_the_job_done(&cluster).await?;
        match restarted {
            Some(restarted) => key_patch::wait_for(&patch, &cluster, &restarted).await,
            None => Ok(()),
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        if cluster.get(&self.envs()).await?.is_none() {
            return Ok(Undone::Restored);
        }
        let undone = self.patch(context).await?.undo(context, before, kept, mine).await?;
        job::remove(&cluster, &self.platform.namespace).await?;
        Ok(undone)
    }
}

trait OfPaas {
    fn envs(&self) -> Place;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn patch(&self, context: &Context) -> Result<KeyPatch, Failed>;
    async fn release(&self, cluster: &Cluster) -> Result<String, Failed>;
    async fn see_the_job_done(&self, cluster: &Cluster) -> Result<(), Failed>;
}

impl OfPaas for SlugApp {
    fn envs(&self) -> Place {
        Place::core("ConfigMap", &self.platform.namespace, ENVS)
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let seen = self.patch(context).await?.observe(context).await;
        let State::Present { properties, text } = seen else { return Ok(seen) };
        let job = job::latest(&cluster, &self.platform.namespace).await?;
        let job = match job.as_ref().map(job::standing) {
            None | Some(job::Standing::Done) => "done",
            Some(job::Standing::Runs) => "runs",
            Some(job::Standing::Failed) => "failed",
        };
        let mut properties = properties;
        properties.insert("job".into(), job.into());
        properties.insert("release".into(), self.release(&cluster).await?);
        let text = text.filter(|_| properties.get("matches").is_some_and(|matches| matches == "no"));
        Ok(State::Present { properties, text })
    }

    /// The keys as they shall be: of the builders' only those that this release has.
    async fn patch(&self, context: &Context) -> Result<KeyPatch, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let live = cluster.get(&self.envs()).await?.ok_or_else(|| {
            Failed::because(Class::NotFound, format!("there is no {} in {}", self.envs(), cluster.name()))
                .hint("BlueKing's PaaS must be installed first, then apply again")
        })?;
        let text = |text: &String| NewValue::Text { text: text.clone() };
        let has = |key: &String| live["data"].get(key).is_some();
        let mut set: BTreeMap<String, NewValue> = self
            .builders
            .iter()
            .filter(|(key, _)| has(key))
            .map(|(key, name)| (key.clone(), text(name)))
            .collect();
        set.insert(IMAGE.to_owned(), text(&self.image));
        let name = format!("{}/{ENVS}", self.platform.namespace);
        let name = name.parse().map_err(|error: ferry_model::site::ObjectNameError| {
            Failed::because(Class::Input, format!("`blueking: {{namespace: …}}`: {error}"))
        })?;
        let (kubeconfig, context) = (self.platform.kubeconfig.clone(), self.platform.context.clone());
        let cluster = ClusterTarget { kubeconfig, context };
        Ok(KeyPatch { cluster, object: PatchedKind::ConfigMap, name, set, restart: TakenUpBy::Readers })
    }

    /// `1.4`, as the site file or the image of its own processes says; empty where neither does.
    async fn release(&self, cluster: &Cluster) -> Result<String, Failed> {
        if let Some(release) = &self.release {
            return Ok(short(release).unwrap_or_else(|| release.clone()));
        }
        let web = Place {
            api_version: "apps/v1".into(),
            ..Place::core("Deployment", &self.platform.namespace, WEB)
        };
        let live = cluster.get(&web).await?;
        let image = live.as_ref().and_then(|live| live.pointer("/spec/template/spec/containers/0/image"));
        Ok(image.and_then(Value::as_str).and_then(release_of).unwrap_or_default())
    }

    /// Waits for the job, which runs again if it has failed.
    async fn see_the_job_done(&self, cluster: &Cluster) -> Result<(), Failed> {
        let Some(job) = job::latest(cluster, &self.platform.namespace).await? else { return Ok(()) };
        let job = match job::standing(&job) {
            job::Standing::Done => return Ok(()),
            job::Standing::Runs => job,
            job::Standing::Failed => job::again(cluster, &job).await?,
        };
        job::wait_for(cluster, &job).await
    }
}

/// The release that a name of an image tells by its tag.
fn release_of(image: &str) -> Option<String> {
    let name = image.split('@').next().unwrap_or_default();
    let (_, tag) = name.rsplit_once('/').unwrap_or(("", name)).1.split_once(':')?;
    short(tag)
}

/// The first two numbers of a version: `1.4` of `v1.4.2-beta.1`.
fn short(version: &str) -> Option<String> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
    let is_number = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let (major, minor) = (numbers.next().filter(is_number)?, numbers.next().filter(is_number)?);
    Some(format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use ferry_model::plan::Platform;

    use super::*;

    #[test]
    fn releases_are_read_off_images() {
        for (image, release) in [
            ("hub.bktencent.com/blueking/bkpaas3-apiserver:v1.4.2", Some("1.4")),
            ("registry.corp:5000/blueking/bkpaas3-apiserver:1.1.0-beta.27@sha256:00", Some("1.1")),
            ("registry.corp:5000/blueking/bkpaas3-apiserver", None),
            ("bkpaas3-apiserver:latest", None),
        ] {
            assert_eq!(release_of(image).as_deref(), release, "{image}");
        }
    }

    #[test]
    fn the_port_is_a_trap_in_one_release() {
        let slug = |has_port| SlugApp {
            platform: Platform { kubeconfig: None, context: None, namespace: "blueking".into() },
            image: "registry.corp:5000/blueking/slug-app:v1".into(),
            builders: BTreeMap::new(),
            has_port,
            release: None,
        };
        let state = |release: &str| State::present([("release", release)]);
        let refusal = slug(true).refusal(&state("1.4")).unwrap();
        assert!(
            refusal.message.contains("the registry's port") && refusal.hints[1].contains("1.5"),
            "{refusal:?}"
        );
        assert_eq!(slug(false).refusal(&state("1.4")), None);
        for release in ["1.1", "1.3", "1.5", ""] {
            assert_eq!(slug(true).refusal(&state(release)), None, "{release}");
        }
    }
}
