//! Redis entries in PaaS's pool of instances, from which each SaaS takes one. PaaS's command adds what it is given, however often it is
//! given it; so what is there is counted first, and only the rest is added.

use std::time::Duration;

use bytes::Bytes;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, RedisEntries, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone};
use crate::cluster::{Cluster, Pod, Run};
use crate::context::Context;
use crate::paas::output::Output;
use crate::paas::record::{self, Redis, Stage};
use crate::paas::{self, SHORT, Wanted, use_file};

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(60);
/// What the count stands behind in the output; Django may say other things.
const COUNTED: &str = "ferry counted ";
/// How PaaS calls the service; releases that know no regions leave the first part out.
const SERVICES: [&str; 2] = ["default:redis", "redis"];
/// What the state says of entries that may or may not have been added.
const UNSURE: &str = "unsure";

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
        (before.property("entries") == Some(UNSURE)).then(|| self.unsure())
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(|failed| State::Unknown { reason: failed.message })
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let pod = paas::worker(&cluster, &self.platform).await?;
        let counted = self.count(&pod, SHORT).await;
        let missing = match &counted {
            Ok(there) => self.entries.saturating_sub(*there),
            Err(_) => match self.known(&cluster).await?.map(|known| known.stage) {
                Some(Stage::Begun) => return Err(self.unsure()),
                Some(Stage::Done) => 0,
                None => self.entries,
            },
        };
        if missing > 0 {
            self.note(&cluster, Stage::Begun).await?;
            self.add(context, &pod, missing).await?;
        }
        if counted.is_ok() {
            let there = self.count(&pod, SHORT).await?;
            if there < self.entries {
                let message =
                    format!("PaaS's pool has {there} of {} entries after they were added", self.entries);
                return Err(Failed::because(Class::Verification, message));
            }
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

trait Pool {
    fn key(&self) -> String;
    fn server(&self) -> String;
    fn unsure(&self) -> Failed;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn known(&self, cluster: &Cluster) -> Result<Option<Redis>, Failed>;
    async fn note(&self, cluster: &Cluster, stage: Stage) -> Result<(), Failed>;
    async fn count(&self, pod: &Pod, limit: Duration) -> Result<u32, Failed>;
    async fn add(&self, context: &Context, pod: &Pod, missing: u32) -> Result<(), Failed>;
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
        let namespace = &self.platform.namespace;
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
            .hint(format!(
                "then say so: `kubectl -n {namespace} patch configmap {} -p '{}'`",
                record::NAME,
                serde_json::json!({"data": {self.key(): serde_json::to_string(&self.record(Stage::Done)).unwrap_or_default()}})
            ))
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let known = self.known(&cluster).await?;
        let counted = match paas::worker(&cluster, &self.platform).await {
            Ok(pod) => self.count(&pod, LOOK).await,
            Err(failed) if failed.class == Class::NotFound => Err(failed),
            Err(failed) => return Err(failed),
        };
        let entries = |count: u32| State::present([("entries", count.min(self.entries).to_string())]);
        Ok(match (counted, known.map(|known| (known.stage, known.entries))) {
            (Ok(0), _) | (Err(_), None) => State::Absent,
            (Ok(count), _) | (Err(_), Some((Stage::Done, count))) => entries(count),
            (Err(_), Some((Stage::Begun, _))) => State::present([("entries", UNSURE)]),
        })
    }

    async fn known(&self, cluster: &Cluster) -> Result<Option<Redis>, Failed> {
        let known: Option<Redis> = record::read(cluster, &self.platform, &self.key()).await?;
        Ok(known.filter(|known| known.server == self.server()))
    }

    async fn note(&self, cluster: &Cluster, stage: Stage) -> Result<(), Failed> {
        record::write(cluster, &self.platform, &self.key(), &self.record(stage)).await
    }

    async fn count(&self, pod: &Pod, limit: Duration) -> Result<u32, Failed> {
        let script = self.counting();
        let command = ["python", "manage.py", "shell", "-c", &script];
        let ended = pod.run(Run { command: &command, limit }).await?;
        let output = Output::of(&ended, &[]);
        let number = output.after(COUNTED).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number
            .filter(|_| ended.code == 0)
            .ok_or_else(|| output.failure("PaaS's Redis entries cannot be counted"))
    }

    async fn add(&self, context: &Context, pod: &Pod, missing: u32) -> Result<(), Failed> {
        let password = context.secrets.get(&self.password).await?;
        let text = self.documents(password.reveal(), missing);
        let mut said = None;
        for service in SERVICES {
            let file = Wanted::text("redis.yaml", &text);
            let command = ["python", "manage.py", "import_pre_created_instance", "--service", service, "-f"];
            let ended = use_file(pod, file, Bytes::copy_from_slice(text.as_bytes()), &command).await?;
            if ended.code == 0 {
                return Ok(());
            }
            let output = Output::of(&ended, &[password.reveal()]);
            let is_called_otherwise = output.says("invalid choice");
            said = Some(output);
            if !is_called_otherwise {
                break;
            }
        }
        let failed = said.map(|output| output.failure("PaaS did not take the Redis entries"));
        let hint = "see that PaaS has the add-on service redis, given out from a pool, with this plan";
        failed.map_or(Ok(()), |failed| Err(failed.hint(hint)))
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
             read = lambda c: json.loads(c) if isinstance(c, str) else c\n\
             servers = [(str(c.get('host')), str(c.get('port'))) for c in (read(r.credentials) for r in rows)]\n\
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
    }
}
