//! The plan (`plan.json`): each step that `apply` will take, in order, with what stands there now and what will.
//!
//! Everything at a site is a [`Resource`]: a file, a systemd unit, a container, an object of the cluster, an image of the
//! registry. What a resource shall be is a [`Desired`]; what it is, a [`State`]. A plan is made from those alone, so it is a
//! value that can be printed, reviewed, compared and carried out later. It holds no secrets: only where they are.

mod desired;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use desired::{
    AgentPlugins, App, BkrepoProject, BkrepoRepository, Certificates, ChartUpload, ClusterNames,
    ClusterTarget, Container, Content, DaemonImage, Desired, Endpoint, File, Folder, HelmApi, Htpasswd,
    Image, Keep, KeyPatch, LabelOperator, LabelRequirement, NewValue, NodeImage, NodePods, NodeSetup,
    NodeTerm, Object, Opening, Platform, PluginFile, Project, PullSecret, Reach, RedisEntries, Renamed,
    RepositoryFormat, Rollout, SaasModule, SaasPackage, SlugApp, Sudo, TakenUpBy, Unit, Upload, Variables,
    WorkloadImages,
};

use crate::{Digest, FormatVersion, Name};

/// The version of plans, journals and reports that this program writes.
pub const PLAN_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// The name of a resource, unique at a site: `file /etc/ferry/registry.yml`, `unit ferry-registry.service`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(String);

impl ResourceId {
    /// The resource of this kind with this name.
    pub fn new(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind} {name}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a registry that answers, through which alone its images can be seen.
    pub fn is_endpoint(&self) -> bool {
        self.0.starts_with("endpoint ")
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that shall be so, and what must come before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// What it shall be.
    pub desired: Desired,
    /// Why, for people: a sentence without its full stop.
    pub reason: String,
    /// Resources that must be as they shall be before this one is touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<ResourceId>,
    /// Resources whose change this one must take up: a service restarts when its configuration changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<ResourceId>,
    /// Resources of which one must be as it shall be before this one is touched. All have been tried by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<ResourceId>,
}

impl Resource {
    /// A resource that needs nothing.
    pub fn new(desired: Desired, reason: impl Into<String>) -> Self {
        let (needs, follows, one_of) = (Vec::new(), Vec::new(), Vec::new());
        Self { desired, reason: reason.into(), needs, follows, one_of }
    }

    /// Adds what must come before.
    #[must_use]
    pub fn after(mut self, needs: impl IntoIterator<Item = ResourceId>) -> Self {
        self.needs.extend(needs);
        self
    }

    /// Adds what is tried before, and of which one is enough.
    #[must_use]
    pub fn after_one_of(mut self, one_of: impl IntoIterator<Item = ResourceId>) -> Self {
        self.one_of.extend(one_of);
        self
    }

    /// Adds what it takes up; that also comes before.
    #[must_use]
    pub fn following(mut self, follows: impl IntoIterator<Item = ResourceId>) -> Self {
        for id in follows {
            self.needs.push(id.clone());
            self.follows.push(id);
        }
        self
    }

    /// Its name.
    pub fn id(&self) -> ResourceId {
        self.desired.id()
    }
}

/// What a resource is now. Two states are the same if nothing that Ferry cares for differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum State {
    /// There is nothing.
    Absent,
    /// There is something.
    Present {
        /// What it is like, by names that its kind knows: a file's `sha256` and `mode`, a unit's `active`.
        properties: BTreeMap<String, String>,
        /// Its text, where it is short, readable and no secret: for the diff.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// It could not be learnt.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl State {
    /// Something with these properties.
    pub fn present<N: Into<String>, V: Into<String>>(properties: impl IntoIterator<Item = (N, V)>) -> Self {
        let properties = properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self::Present { properties, text: None }
    }

    /// The same with a text.
    #[must_use]
    pub fn with_text(self, new: impl Into<String>) -> Self {
        match self {
            Self::Present { properties, .. } => Self::Present { properties, text: Some(new.into()) },
            other => other,
        }
    }

    /// One of its properties.
    pub fn property(&self, name: &str) -> Option<&str> {
        match self {
            Self::Present { properties, .. } => properties.get(name).map(String::as_str),
            Self::Absent | Self::Unknown { .. } => None,
        }
    }

    /// Its text, where it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Present { text, .. } => text.as_deref(),
            Self::Absent | Self::Unknown { .. } => None,
        }
    }

    /// Whether it is what `wanted` says: present, with every property that `wanted` has.
    pub fn meets(&self, wanted: &State) -> bool {
        match (self, wanted) {
            (Self::Present { properties: mine, .. }, Self::Present { properties: wanted, .. }) => {
                wanted.iter().all(|(name, value)| mine.get(name) == Some(value))
            }
            (mine, wanted) => mine == wanted,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Unknown { reason } => write!(f, "unknown: {reason}"),
            Self::Present { properties, .. } if properties.is_empty() => f.write_str("present"),
            Self::Present { properties, .. } => {
                let shown: Vec<_> =
                    properties.iter().map(|(name, value)| format!("{name} {value}")).collect();
                f.write_str(&shown.join(", "))
            }
        }
    }
}

/// What a step does to its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Makes what is not there.
    Create,
    /// Changes what is there.
    Update,
    /// Makes it take up a change elsewhere.
    Restart,
    /// Proves that it is so; changes nothing.
    Check,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Restart => "restart",
            Self::Check => "check",
        })
    }
}

/// The number of a step in its plan, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// To what, and what that shall be.
    pub resource: Resource,
    /// In one line, for people.
    pub summary: String,
    /// What stands there now.
    pub before: State,
    /// How its text changes, as a unified diff, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Bytes that it moves.
    pub bytes: u64,
    /// How it is undone, in one line.
    pub undo: String,
    /// Steps of this plan that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// Steps of this plan that must have been tried before. One must be done, unless one of [`Resource::one_of`] needs no step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<StepId>,
}

impl Step {
    /// Whether it cannot be taken although all of [`Step::one_of`] have been tried, if these are those that failed.
    pub fn lacks_all(&self, failed: impl Fn(StepId) -> bool) -> bool {
        let is_met = self.resource.one_of.len() > self.one_of.len();
        !is_met && !self.one_of.is_empty() && self.one_of.iter().all(|step| failed(*step))
    }
}

/// Which bundle and site a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The bundle's name.
    pub bundle: Name,
    /// The bundle's version.
    pub version: Name,
    /// The digest of its catalog.
    pub catalog: Digest,
    /// The site's name.
    pub site: Name,
    /// The digest of the site file.
    pub site_file: Digest,
}

/// Room that a plan takes on a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// A folder on it.
    pub folder: PathBuf,
    /// Bytes that come to lie there.
    pub bytes: u64,
    /// Where the file system is mounted that the folder lies on, or would: room that its folders share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<PathBuf>,
}

impl Space {
    /// Room in a folder, on whichever file system.
    pub fn new(folder: impl Into<PathBuf>, bytes: u64) -> Self {
        Self { folder: folder.into(), bytes, mount: None }
    }
}

/// What a plan leaves for later, because a service that it is part of cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The service: `bkrepo at http://bkrepo.corp`.
    pub service: String,
    /// Why it cannot be looked at.
    pub reason: String,
    /// What waits for it: `1 repository, 2014 files`.
    pub what: String,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, reason, what } = self;
        write!(f, "{what} for {service}: {reason}; run `apply` again when it can be looked at")
    }
}

/// Everything that `apply` will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The version of this document.
    pub format_version: FormatVersion,
    /// What it is for.
    pub identity: Identity,
    /// What every resource was when the plan was made, those that need no step too.
    pub observed: BTreeMap<ResourceId, State>,
    /// The steps, each behind those that it needs.
    pub steps: Vec<Step>,
    /// Room that the steps take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub space: Vec<Space>,
    /// What is left to the operator, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
    /// What the site file asks for and this plan does not bring: the site is not finished with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
}

impl Plan {
    /// Steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.action != Action::Check)
    }

    /// Bytes that all steps move.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_meets_what_it_has_more_of() {
        let state = State::present([("sha256", "aa"), ("mode", "0644")]).with_text("x");
        assert!(state.meets(&State::present([("sha256", "aa")])));
        assert!(!state.meets(&State::present([("sha256", "bb")])));
        assert!(!state.meets(&State::present([("owner", "0")])));
        assert!(
            State::Absent.meets(&State::Absent)
                && !State::Absent.meets(&state)
                && !state.meets(&State::Absent)
        );
        assert_eq!(state.to_string(), "mode 0644, sha256 aa");
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
