//! Preflight: what must be so before anything is changed, looked at beforehand and listed with reason and remedy.
//!
//! 1. Facts are gathered: of this machine ([`gather_host`], [`gather_storage`]; through [`Machine`], so that nodes can be
//!    looked at the same way), and of the site's registry and bkrepo (`probe`). Each has a time limit; what could not be
//!    found out is kept as that.
//! 2. Pure functions hold them against what this bundle needs: `storage`, `here`, `registry`, `bkrepo`, and, for
//!    BlueKing, its deployment guide ([`check_host`]).
//! 3. Each gives [`Check`]s by the names of [`CHECKS`]. "Could not check" is not "passed": see [`blocking`].
//! 4. Nodes are looked at by the program itself on each ([`preflight_nodes`], [`look_at_this_node`]), many at once.
//!
//! Nothing is changed. What is tried, an upload into the registry and one into bkrepo, is taken back.

mod bkrepo;
mod blueking;
mod catalogue;
mod certificate;
mod cluster;
mod here;
mod host;
mod limits;
mod machine;
mod mounts;
mod needs;
mod nodes;
mod on_node;
mod own;
mod probe;
mod registry;
mod report;
mod request;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::plan::Space;
use ferry_model::report::{Check, Failed};
use ferry_model::site::Site;
use ferry_transfer::{BkrepoLogin, Login, Options};
use tokio::time::timeout;

pub use blueking::check_host;
pub use catalogue::{CHECKS, Kind, find};
pub use cluster::check_cluster;
pub use host::{HostFacts, Known, SeLinux, Version, Zone, gather_host, gather_storage};
pub use machine::{FileSystem, Machine, Ran, ThisMachine};
pub(crate) use mounts::note_mounts;
pub use needs::{needs, registry_space};
pub use nodes::{NodeChecks, preflight_nodes, room};
pub use on_node::look_at_this_node;
pub use report::{PreflightReport, blocking, list_text};
pub use request::{bkrepo_login, changes_login, login, login_differs, repositories, skipped};

/// Looking at a machine: a handful of commands, each with a limit of its own.
const HOST_LIMIT: Duration = Duration::from_secs(45);
/// Looking at a file system. One whose server is gone never answers.
const STORAGE_LIMIT: Duration = Duration::from_secs(5);

/// Whose requirements a machine is held against, besides Ferry's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Nobody's; BlueKing's where the site has a bkrepo.
    #[default]
    Ferry,
    /// BlueKing's deployment guide.
    Blueking,
}

/// What a machine is to BlueKing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The one that deployments are run from.
    #[default]
    Control,
    /// A master of the Kubernetes cluster.
    Master,
    /// A node of the Kubernetes cluster.
    Node,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control host",
            Self::Master => "master",
            Self::Node => "node",
        })
    }
}

/// What to look at.
#[derive(Debug)]
pub struct Request<'a> {
    /// The bundle that everything is sized from.
    pub bundle: &'a Bundle,
    /// The site, where there is one.
    pub site: Option<&'a Site>,
    /// What the site file's relative paths begin at.
    pub folder: &'a Path,
    /// Room that will be taken on this machine: a plan's, or that of [`needs`].
    pub needs: Vec<Space>,
    /// Whose requirements.
    pub profile: Profile,
    /// What this machine is.
    pub role: Role,
    /// How to talk to the registry, with the site's trust in it.
    pub options: Options,
    /// What repositories the bundle's images and charts will have at the registry.
    pub repositories: Vec<String>,
    /// Who pushes, where the site says so; or why the password could not be had.
    pub login: Result<Option<Login>, Failed>,
    /// Who uploads to the site's bkrepo; absent where it has none.
    pub bkrepo: Option<Result<BkrepoLogin, Failed>>,
    /// Whether the login of a registry that Ferry brings up is about to change: the one that runs does not know the new one yet.
    pub login_changes: bool,
    /// Names of checks that are left out.
    pub skip: BTreeSet<&'static str>,
    /// Told what happens.
    pub events: &'a Events,
}

impl Request<'_> {
    fn wants(&self, kind: &Kind) -> bool {
        let is_too_early = self.login_changes && *kind == catalogue::REGISTRY_PUSH;
        !self.skip.contains(kind.name) && !is_too_early
    }

    fn is_for_blueking(&self) -> bool {
        self.profile == Profile::Blueking || self.site.is_some_and(|site| site.bkrepo.is_some())
    }
}

/// Looks at everything at once. Lists all that was looked at, in the order of [`CHECKS`].
pub async fn preflight(request: &Request<'_>) -> Vec<Check> {
    request.events.stage("preflight", None, None);
    let guide = blueking::FOLDERS.iter().map(PathBuf::from).filter(|_| request.is_for_blueking());
    let folders: BTreeSet<PathBuf> =
        request.needs.iter().map(|space| space.folder.clone()).chain(guide).collect();
    let (facts, storage, engine, mut checks, bkrepo) = tokio::join!(
        look_at_host(request.events),
        look_at_storage(folders),
        probe::docker_engine(request),
        probe::check_registry(request),
        probe::check_bkrepo(request),
    );
    if request.login_changes {
        checks.extend(registry::push_not_tried(&checks));
    }
    checks.extend(bkrepo);
    checks.extend(storage::check_storage(&request.needs, request.bundle.catalog(), &storage));
    checks.extend(limits::check_layers(request.bundle.catalog()));
    if let Some(registry) = request.site.and_then(|site| site.registry.as_ref()) {
        checks.extend(here::check_here(&registry.mode, &facts, engine));
    }
    if request.is_for_blueking() {
        checks.extend(check_host(&facts, &storage, request.role));
    }
    checks.retain(|check| !request.skip.contains(check.name.as_str()));
    let place = |check: &Check| CHECKS.iter().position(|kind| kind.name == check.name);
    checks.sort_by_key(place);
    checks
}

async fn look_at_host(events: &Events) -> HostFacts {
    let task = events.start("this machine", None);
    let facts = on_thread(HOST_LIMIT, || gather_host(&ThisMachine)).await;
    task.finish();
    facts.unwrap_or_else(|reason| HostFacts::unknown(&reason))
}

async fn look_at_storage(folders: BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Known<FileSystem>> {
    let looks = folders.into_iter().map(async |folder: PathBuf| {
        let there = folder.clone();
        let look = move || gather_storage(&ThisMachine, [there.as_path()]).remove(&there);
        let found = on_thread(STORAGE_LIMIT, look).await;
        let found = found.and_then(|found| found.unwrap_or_else(|| Err("it was not looked at".to_owned())));
        (folder, found)
    });
    futures_util::future::join_all(looks).await.into_iter().collect()
}

/// Runs blocking work on a thread that nobody waits for at the end: one that hangs in the kernel would otherwise keep the
/// program from ending.
async fn on_thread<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Known<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(work()));
    match timeout(limit, receiver).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err("looking at it failed".to_owned()),
        Err(_) => Err(format!("no answer in {} s", limit.as_secs())),
    }
}

/// A folder's path, for people.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
