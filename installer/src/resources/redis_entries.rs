//! Redis entries in PaaS's pool of instances, from which each SaaS takes one. PaaS's command adds what it is given, however often it is
//! given it; so what is there is counted first, and only the rest is added.

use std::time::Duration;

use bytes::Bytes;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, RedisEntries, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Pod, Run};
use crate::context::Context;
use crate::paas::output::Output;
use crate::paas::record::{self, Redis, Stage};
use crate::paas::{self, SHORT, Used, Wanted, use_file};

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(60);
/// What the count stands behind in the output; Django may say other things.
const COUNTED: &str = "ferry counted ";
/// How PaaS calls the service; releases that know no regions leave the first part out.
const SERVICES: [&str; 2] = ["default:redis", "redis"];
/// What the state says of entries that may or may not have been added.
const UNSURE: &str = "unsure";
/// What it says of a pool that cannot be counted, and of which nothing is recorded: BlueKing's script may have filled it.
const UNCOUNTED: &str = "uncounted";
/// How Python's commands end that do not understand their arguments, before they do anything.
const MISUSED: i32 = 2;

impl Manage for RedisEntries {
    fn wanted(&self) -> State {
        State::present([("entries", self.entries.to_string())])
    }

    fn summary(&self, action: Action) -> String {
        let verb = if action == Action::Update { "fill up" } else { "add" };
        format!(
            "{verb} {} entries of {}:{} in PaaS's Redis pool ({})",
            self.entries, self.host, self.port, self.plan
        )
    }

    fn undo_summary(&self, _before: &State) -> String {
        "leave them: PaaS has no command that removes them".into()
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        match before.property("entries") {
            Some(UNSURE) => Some(self.unsure()),
            Some(UNCOUNTED) => Some(self.uncounted()),
            _ => None,
        }
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let pod = paas::worker(&cluster, &self.platform).await?;
        let (counted, known) = (self.count(&pod, SHORT).await?, self.known(&cluster).await?);
        let there = match (counted, known.as_ref().map(|known| (known.stage, known.entries))) {
            (Some(there), _) | (None, Some((Stage::Done, there))) => there,
            (None, Some((Stage::Begun, _))) => return Err(self.unsure()),
            (None, None) => return Err(self.uncounted()),
        };
        let missing = self.entries.saturating_sub(there);
        if missing > 0 {
            let password = context.secrets.get(&self.password).await?;
            self.note(&cluster, Stage::Begun).await?;
            if let Err(NotAdded { failed, is_sure }) = self.add(&pod, password.reveal(), missing).await {
                if is_sure {
                    self.take_back(&cluster, known.as_ref()).await?;
                }
                return Err(failed);
            }
        }
        if let Some(there) = self.count(&pod, SHORT).await?
            && there < self.entries
        {
            let message =
                format!("PaaS's pool has {there} of {} entries after they were added", self.entries);
            return Err(Failed::because(Class::Verification, message));
        }
        self.note(&cluster, Stage::Done).await
    }

    async fn undo(&self, context: &Context, before: &Before, _: &Kept, _: &Mine) -> Result<Undone, Failed> {
        let now = self.look(context).await?;
        if now == before.state || now == State::Absent {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(format!(
            "the Redis entries of plan {} stay in PaaS's pool, as it has no command that removes them: delete those that no SaaS has taken on PaaS's page /backend/admin42/platform/pre-created-instances/manage",
            self.plan
        )))
    }
}

/// Why entries were not added.
struct NotAdded {
    failed: Failed,
    /// Whether it is certain that not even some were.
    is_sure: bool,
}

trait Pool {
    fn key(&self) -> String;
    fn server(&self) -> String;
    fn unsure(&self) -> Failed;
    fn uncounted(&self) -> Failed;
    fn say(&self, entries: u32) -> String;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn known(&self, cluster: &Cluster) -> Result<Option<Redis>, Failed>;
    async fn note(&self, cluster: &Cluster, stage: Stage) -> Result<(), Failed>;
    async fn take_back(&self, cluster: &Cluster, known: Option<&Redis>) -> Result<(), Failed>;
    async fn count(&self, pod: &Pod, limit: Duration) -> Result<Option<u32>, Failed>;
    async fn add(&self, pod: &Pod, password: &str, missing: u32) -> Result<(), NotAdded>;
}

impl Pool for RedisEntries {
    fn key(&self) -> String {
        format!("redis-entries.{}", self.plan)
    }

    fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Entries cannot be counted, and an earlier run was cut off while it added some.
    fn unsure(&self) -> Failed {
        let message = format!(
            "an earlier run was cut off while it added Redis entries of plan {}, and PaaS does not say how many there are",
            self.plan
        );
        Failed::because(Class::Local, message)
            .hint(format!(
                "count those of {} on PaaS's page /backend/admin42/platform/pre-created-instances/manage, and add or delete some there until there are {}",
                self.server(),
                self.entries
            ))
            .hint(format!("then say so: {}", self.say(self.entries)))
    }

    /// Entries cannot be counted, and nobody has noted how many there are. To add some to those that somebody else may have added
    /// would double them.
    fn uncounted(&self) -> Failed {
        let message = format!(
            "PaaS does not say how many Redis entries of plan {} there are, and no run of Ferry has noted it",
            self.plan
        );
        Failed::because(Class::Local, message)
            .hint(format!(
                "count those of {} on PaaS's page /backend/admin42/platform/pre-created-instances/manage",
                self.server()
            ))
            .hint(format!(
                "then say how many there are (if none, 0 for {}): {}",
                self.entries,
                self.say(self.entries)
            ))
    }

    /// How the operator records how many there are. There may be no ConfigMap to patch yet.
    fn say(&self, entries: u32) -> String {
        let record = Redis { entries, ..self.record(Stage::Done) };
        let patch =
            serde_json::json!({"data": {self.key(): serde_json::to_string(&record).unwrap_or_default()}});
        let (namespace, name) = (&self.platform.namespace, record::NAME);
        format!(
            "`kubectl -n {namespace} patch configmap {name} -p '{patch}'`, after `kubectl -n {namespace} create configmap {name}` where there is none"
        )
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let known = self.known(&cluster).await?;
        let (counted, is_there) = match paas::worker(&cluster, &self.platform).await {
            Ok(pod) => (self.count(&pod, LOOK).await?, true),
            // BlueKing is yet to come.
            Err(failed) if failed.class == Class::NotFound => (None, false),
            Err(failed) => return Err(failed),
        };
        let entries = |count: u32| State::present([("entries", count.min(self.entries).to_string())]);
        Ok(match (counted, known.map(|known| (known.stage, known.entries))) {
            (Some(0), _) | (None, Some((Stage::Done, 0))) => State::Absent,
            (Some(count), _) | (None, Some((Stage::Done, count))) => entries(count),
            (None, Some((Stage::Begun, _))) => State::present([("entries", UNSURE)]),
            (None, None) if is_there => State::present([("entries", UNCOUNTED)]),
            (None, None) => State::Absent,
        })
    }

    async fn known(&self, cluster: &Cluster) -> Result<Option<Redis>, Failed> {
        let known: Option<Redis> = record::read(cluster, &self.platform, &self.key()).await?;
        Ok(known.filter(|known| known.server == self.server()))
    }

    async fn note(&self, cluster: &Cluster, stage: Stage) -> Result<(), Failed> {
        record::write(cluster, &self.platform, &self.key(), &self.record(stage)).await
    }

    /// As it was before entries were to be added: none were.
    async fn take_back(&self, cluster: &Cluster, known: Option<&Redis>) -> Result<(), Failed> {
        match known {
            Some(known) => record::write(cluster, &self.platform, &self.key(), known).await,
            None => record::forget(cluster, &self.platform, &self.key()).await,
        }
    }

    /// How many there are, where PaaS says that: releases may differ from the script. That it cannot be asked is an error.
    async fn count(&self, pod: &Pod, limit: Duration) -> Result<Option<u32>, Failed> {
        let script = self.counting();
        let command = ["python", "manage.py", "shell", "-c", &script];
        let ended = pod.run(Run { command: &command, limit }).await?;
        let output = Output::of(&ended, &[]);
        let number = output.after(COUNTED).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(number.filter(|_| ended.code == 0))
    }

    async fn add(&self, pod: &Pod, password: &str, missing: u32) -> Result<(), NotAdded> {
        let text = self.documents(password, missing);
        let mut said = None;
        for service in SERVICES {
            let file = Wanted::text("redis.yaml", &text);
            let command = ["python", "manage.py", "import_pre_created_instance", "--service", service, "-f"];
            let ended = use_file(pod, file, Bytes::copy_from_slice(text.as_bytes()), &command).await;
            let ended = match ended {
                Ok(Used::Ended(ended)) if ended.code == 0 => return Ok(()),
                Ok(Used::Ended(ended)) => ended,
                Ok(Used::NotRun(failed)) => return Err(NotAdded { failed, is_sure: true }),
                Err(failed) => return Err(NotAdded { failed, is_sure: false }),
            };
            let output = Output::of(&ended, &[password]);
            let is_called_otherwise = output.says("invalid choice");
            said = Some((output, ended.code == MISUSED || is_called_otherwise));
            if !is_called_otherwise {
                break;
            }
        }
        let Some((output, is_sure)) = said else { return Ok(()) };
        let failed = output
            .failure("PaaS did not take the Redis entries")
            .hint("see that PaaS has the add-on service redis, given out from a pool, with this plan");
        Err(NotAdded { failed, is_sure })
    }
}

trait Texts {
    fn record(&self, stage: Stage) -> Redis;
    fn counting(&self) -> String;
    fn documents(&self, password: &str, count: u32) -> String;
}

impl Texts for RedisEntries {
    fn record(&self, stage: Stage) -> Redis {
        Redis { entries: self.entries, server: self.server(), stage }
    }

    /// A script for Django's shell. The model has moved from release to release, so it is found by its name.
    fn counting(&self) -> String {
        let literal = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "import json\n\
             from django.apps import apps\n\
             model = next(m for m in apps.get_models() if m.__name__ == 'PreCreatedInstance')\n\
             rows = model.objects.filter(plan__name={plan}, plan__service__name='redis')\n\
             def server(c):\n\
             \x20   try:\n\
             \x20       c = json.loads(c) if isinstance(c, str) else c\n\
             \x20       return (str(c['host']), str(c['port']))\n\
             \x20   except Exception:\n\
             \x20       return None\n\
             servers = [server(r.credentials) for r in rows]\n\
             print({counted} + str(servers.count(({host}, {port}))))\n",
            plan = literal(&self.plan),
            counted = literal(COUNTED),
            host = literal(&self.host),
            port = literal(&self.port.to_string()),
        )
    }

    /// As BlueKing's script writes them.
    fn documents(&self, password: &str, count: u32) -> String {
        let literal = |text: &str| serde_json::Value::from(text).to_string();
        let document = format!(
            "plan: {}\nconfig: |\n  {{\n    \"recyclable\": true\n  }}\ncredentials: |\n  {{\n    \"host\": {},\n    \"port\": {},\n    \"password\": {}\n  }}\n",
            literal(&self.plan),
            literal(&self.host),
            self.port,
            literal(password),
        );
        vec![document; count as usize].join("---\n")
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::plan::Platform;
    use ferry_model::site::SecretSource;

    use super::*;

    fn pool() -> RedisEntries {
        RedisEntries {
            platform: Platform { kubeconfig: None, context: None, namespace: "blueking".into() },
            plan: "0shared".into(),
            entries: 10,
            host: "bk-redis-master.blueking.svc.cluster.local".into(),
            port: 6379,
            password: SecretSource::Environment("X".into()),
        }
    }

    #[test]
    fn documents_are_those_of_the_script() {
        let one = "plan: \"0shared\"\nconfig: |\n  {\n    \"recyclable\": true\n  }\ncredentials: |\n  {\n    \"host\": \"bk-redis-master.blueking.svc.cluster.local\",\n    \"port\": 6379,\n    \"password\": \"pw\"\n  }\n";
        assert_eq!(pool().documents("pw", 2), format!("{one}---\n{one}"));
        assert!(pool().documents("a\"b\\c", 1).contains(r#""password": "a\"b\\c""#));
    }

    #[test]
    fn an_unsure_pool_is_refused_with_the_way_out() {
        let refusal = pool().refusal(&State::present([("entries", UNSURE)])).unwrap();
        assert!(
            refusal.hints[1].contains(
                r#"patch configmap ferry-installer -p '{"data":{"redis-entries.0shared":"{\"entries\":10"#
            ),
            "{refusal:?}"
        );
        assert_eq!(pool().refusal(&State::present([("entries", "3")])), None);
        let refusal = pool().refusal(&State::present([("entries", UNCOUNTED)])).unwrap();
        assert!(refusal.hints[1].contains("if none, 0 for 10"), "{refusal:?}");
    }
}
