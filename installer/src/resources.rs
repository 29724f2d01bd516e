//! The kinds of things at a site: how each is looked at, changed and taken back. One file for each kind; all do it through
//! [`Manage`], so that planning, applying and undoing know no kinds.

mod agent_plugins;
mod app;
mod bkrepo_project;
mod bkrepo_repository;
mod certificates;
mod chart_upload;
mod cluster_names;
mod container;
mod daemon_image;
mod endpoint;
mod file;
mod folder;
mod htpasswd;
mod image;
mod kept;
mod key_patch;
mod node_image;
mod node_setup;
mod object;
mod project;
mod pull_secret;
mod redis_entries;
mod rollout;
mod saas_module;
mod saas_package;
mod slug_app;
mod unit;
mod upload;
mod workload_images;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Desired, ResourceId, State};
use ferry_model::report::Failed;

pub(crate) use cluster_names::{PUT_BACK, put_back_notes};
pub(crate) use container::is_own as is_own_container;
pub(crate) use endpoint::is_registry;
pub(crate) use image::{Known, ToUndo, keep_beside, push_images, undo_images};
pub(crate) use kept::Kept;
pub(crate) use node_setup::Previous;
pub(crate) use object::{remove, with_secrets};
pub(crate) use rollout::{Standing, lasting_trouble, standing, troubles, troubles_of};
pub(crate) use upload::{Asked as AskedUpload, misplaced_note};

use crate::context::Context;

/// What every kind of resource can do. The edge between the engine and the world.
pub(crate) trait Manage {
    /// The state that it shall have: of [`Manage::observe`]'s properties, those that matter. Asks nothing.
    fn wanted(&self) -> State;

    /// In one line, what a step does to it.
    fn summary(&self, action: Action) -> String;

    /// The same, where what stands there makes a difference.
    fn summary_from(&self, action: Action, _before: &State) -> String {
        self.summary(action)
    }

    /// In one line, how a step is undone.
    fn undo_summary(&self, before: &State) -> String;

    /// Its new text, where a change of it can be shown to anybody.
    fn text(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// How its text changes, where that is told by who looked.
    fn diff_from(&self, _before: &State) -> Option<String> {
        None
    }

    /// Bytes that creating it moves.
    fn bytes(&self) -> u64 {
        0
    }

    /// Bytes that making it right moves.
    fn bytes_from(&self, _before: &State) -> u64 {
        self.bytes()
    }

    /// Why it stays as it is, though it differs: what stands there may be replaced only when the site file says so.
    fn refusal(&self, _before: &State) -> Option<Failed> {
        None
    }

    /// Whether it is only looked at.
    fn is_check(&self) -> bool {
        false
    }

    /// What it is now. Trouble is [`State::Unknown`].
    async fn observe(&self, context: &Context) -> State;

    /// The same for who takes it back, as far as it can be seen without today's passwords.
    async fn observe_to_undo(&self, context: &Context) -> State {
        self.observe(context).await
    }

    /// Of what was seen of it, what tells whose work it is. What changes without anybody's doing is left out: whether it runs, how
    /// near its end it is, whether today's password is in it.
    fn owned(&self, seen: &State) -> State {
        seen.clone()
    }

    /// Keeps the bytes that undoing will need, and says what they are called.
    async fn keep(&self, _context: &Context, _kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        Ok(BTreeMap::new())
    }

    /// Makes it as it shall be. Doing it again after it was cut off anywhere comes to the same end.
    async fn apply(&self, context: &Context, action: Action, task: &Task) -> Result<(), Failed>;

    /// The same, and says who has made it where that may have been somebody else.
    async fn make(&self, context: &Context, action: Action, task: &Task) -> Result<Maker, Failed> {
        self.apply(context, action, task).await.map(|()| Maker::Untold)
    }

    /// Brings back what stood there before. Doing it again after it was cut off anywhere comes to the same end.
    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed>;
}

/// What cannot be looked at.
fn unknown(failed: Failed) -> State {
    State::Unknown { reason: failed.message }
}

/// How its text changes, where that is what the state's text says.
fn seen_diff(before: &State) -> Option<String> {
    before.text().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What was seen, without these properties.
fn without(seen: &State, names: &[&str]) -> State {
    let mut seen = seen.clone();
    if let State::Present { properties, .. } = &mut seen {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    seen
}

/// What the run that is being undone has made, for resources whose content others may have added to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mine {
    /// Images of the site's registry that were not there before: the digest of each, by `repository:tag`.
    pub(crate) images: BTreeMap<String, String>,
    /// All images that the run saw to, those that were there before too.
    pub(crate) brought: BTreeMap<String, String>,
    /// What its steps say that they, and nobody else, have made: see [`Maker`].
    pub(crate) made: BTreeSet<ResourceId>,
}

/// Who has made what a step was to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// The step.
    Step,
    /// It is not told apart, or somebody else was faster.
    Untold,
}

/// How undoing a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// What stood there before stands there again.
    Restored,
    /// Something stays, and why.
    Left(String),
}

/// Runs `$work` for whatever kind `$desired` is.
macro_rules! each_kind {
    ($desired:expr, $thing:ident => $work:expr) => {
        match $desired {
            Desired::Folder($thing) => $work,
            Desired::File($thing) => $work,
            Desired::Certificates($thing) => $work,
            Desired::Htpasswd($thing) => $work,
            Desired::Unit($thing) => $work,
            Desired::DaemonImage($thing) => $work,
            Desired::Container($thing) => $work,
            Desired::Object($thing) => $work,
            Desired::Rollout($thing) => $work,
            Desired::WorkloadImages($thing) => $work,
            Desired::NodeImage($thing) => $work,
            Desired::NodeSetup($thing) => $work,
            Desired::App($thing) => $work,
            Desired::Endpoint($thing) => $work,
            Desired::Project($thing) => $work,
            Desired::Image($thing) => $work,
            Desired::BkrepoProject($thing) => $work,
            Desired::BkrepoRepository($thing) => $work,
            Desired::Upload($thing) => $work,
            Desired::ChartUpload($thing) => $work,
            Desired::RedisEntries($thing) => $work,
            Desired::SaasPackage($thing) => $work,
            Desired::SaasModule($thing) => $work,
            Desired::AgentPlugins($thing) => $work,
            Desired::ClusterNames($thing) => $work,
            Desired::KeyPatch($thing) => $work,
            Desired::PullSecret($thing) => $work,
            Desired::SlugApp($thing) => $work,
        }
    };
}

impl Manage for Desired {
    fn wanted(&self) -> State {
        each_kind!(self, thing => thing.wanted())
    }

    fn summary(&self, action: Action) -> String {
        each_kind!(self, thing => thing.summary(action))
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        each_kind!(self, thing => thing.summary_from(action, before))
    }

    fn undo_summary(&self, before: &State) -> String {
        each_kind!(self, thing => thing.undo_summary(before))
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        each_kind!(self, thing => thing.text())
    }

    fn diff_from(&self, before: &State) -> Option<String> {
        each_kind!(self, thing => thing.diff_from(before))
    }

    fn bytes(&self) -> u64 {
        each_kind!(self, thing => thing.bytes())
    }

    fn bytes_from(&self, before: &State) -> u64 {
        each_kind!(self, thing => thing.bytes_from(before))
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        each_kind!(self, thing => thing.refusal(before))
    }

    fn is_check(&self) -> bool {
        each_kind!(self, thing => thing.is_check())
    }

    async fn observe(&self, context: &Context) -> State {
        each_kind!(self, thing => thing.observe(context).await)
    }

    async fn observe_to_undo(&self, context: &Context) -> State {
        each_kind!(self, thing => thing.observe_to_undo(context).await)
    }

    fn owned(&self, seen: &State) -> State {
        each_kind!(self, thing => thing.owned(seen))
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        each_kind!(self, thing => thing.keep(context, kept).await)
    }

    async fn apply(&self, context: &Context, action: Action, task: &Task) -> Result<(), Failed> {
        each_kind!(self, thing => thing.apply(context, action, task).await)
    }

    async fn make(&self, context: &Context, action: Action, task: &Task) -> Result<Maker, Failed> {
        each_kind!(self, thing => thing.make(context, action, task).await)
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed> {
        each_kind!(self, thing => thing.undo(context, before, kept, mine).await)
    }
}
