//! Agent plug-ins that node management offers. It looks into a folder of its own and takes all packages that it finds there.

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, AgentPlugins, PluginFile, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Pod, Run};
use crate::context::Context;
use crate::paas::output::Output;
use crate::paas::record::{self, Plugin};
use crate::paas::{self, Blob, LONG, Wanted, put_file, remove_folder};

/// Our folder in the one that it looks through with all that lies below. Others may have left files there, which it takes too.
const FOLDER: &str = "official_plugin/ferry";
/// What node management says behind the path of a package that it has taken.
const SUCCESS: &str = "] import success";

impl Manage for AgentPlugins {
    fn wanted(&self) -> State {
        State::present(self.files.iter().map(|file| (file.name.clone(), file.digest.hex())))
    }

    fn summary(&self, _action: Action) -> String {
        match self.files.as_slice() {
            [file] => format!("give node management the agent plug-ins in {}", file.name),
            files => format!("give node management the agent plug-ins in {} packages", files.len()),
        }
    }

    fn undo_summary(&self, _before: &State) -> String {
        "leave them: node management has no command that takes plug-ins back".into()
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        let mut missing = Vec::new();
        for file in &self.files {
            let known: Option<Plugin> = record::read(&cluster, &self.platform, &key(file)).await?;
            if known.is_none_or(|known| known.digest != file.digest) {
                missing.push(file);
            }
        }
        let pod = paas::node_manager(&cluster, &self.platform).await?;
        // What an earlier run left that was killed.
        remove_folder(&pod, FOLDER).await?;
        let taken = self.give(context, &pod, &missing, task).await;
        // That it stays is no reason to fail.
        if let Err(failed) = remove_folder(&pod, FOLDER).await {
            context.events.warn(failed.message);
        }
        taken?;
        for file in missing {
            record::write(&cluster, &self.platform, &key(file), &Plugin { digest: file.digest }).await?;
        }
        Ok(())
    }

    async fn undo(&self, context: &Context, before: &Before, _: &Kept, _: &Mine) -> Result<Undone, Failed> {
        let now = self.look(context).await?;
        if now == before.state || now == State::Absent {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(
            "the agent plug-ins stay in node management, as it has no command that takes them back: disable versions on its page 插件包".into(),
        ))
    }
}

fn key(file: &PluginFile) -> String {
    format!("agent-plugin.{}", file.name)
}

trait Offered {
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn recorded(&self, cluster: &Cluster) -> Result<State, Failed>;
    async fn give(
        &self,
        context: &Context,
        pod: &Pod,
        missing: &[&PluginFile],
        task: &Task,
    ) -> Result<(), Failed>;
}

impl Offered for AgentPlugins {
    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = paas::cluster(context, &self.platform).await?;
        self.recorded(&cluster).await
    }

    async fn recorded(&self, cluster: &Cluster) -> Result<State, Failed> {
        let mut properties = Vec::new();
        for file in &self.files {
            let known: Option<Plugin> = record::read(cluster, &self.platform, &key(file)).await?;
            properties.extend(known.map(|known| (file.name.clone(), known.digest.hex())));
        }
        Ok(if properties.is_empty() { State::Absent } else { State::present(properties) })
    }

    async fn give(
        &self,
        context: &Context,
        pod: &Pod,
        missing: &[&PluginFile],
        task: &Task,
    ) -> Result<(), Failed> {
        let bundle = context.bundle()?;
        task.reset(0);
        for file in missing {
            let wanted = Wanted { name: &file.name, size: file.size, digest: file.digest };
            let input = Blob::open(bundle, file.digest, task);
            put_file(pod, FOLDER, wanted, input).await?;
        }
        let command = ["python", "manage.py", "init_official_plugins"];
        let mut left: Vec<&str> = missing.iter().map(|file| file.name.as_str()).collect();
        let hear = |line: &str| left.retain(|name| !is_taken(line, name));
        let ended = pod.run_with(Run { command: &command, limit: LONG }, (), hear).await?;
        for line in ended.stderr.lines() {
            left.retain(|name| !is_taken(line, name));
        }
        if left.is_empty() {
            return Ok(());
        }
        let output = Output::of(&ended, &[]);
        let what = format!("node management did not take {}", left.join(", "));
        if ended.code != 0 {
            return Err(output.failure(&what));
        }
        // Files that it does not understand are only passed over.
        let message = format!("{what}; {}", output.tail());
        Err(Failed::because(Class::Verification, message).hint(
            "see that each is a package of agent plug-ins (`gse_plugins_freq.tgz`) and not something else",
        ))
    }
}

/// Whether node management says that it has taken our file: `file->[/app/official_plugin/ferry/NAME] import success for …`.
fn is_taken(line: &str, name: &str) -> bool {
    line.contains(&format!("{FOLDER}/{name}{SUCCESS}"))
}
