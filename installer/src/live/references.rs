//! Workloads that name images outside the site's registries: found, told with what each would become, and changed where that is
//! nobody else's business.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ferry_model::failure::Class;
use ferry_model::plan::{Desired, Renamed, Resource, WorkloadImages};
use ferry_model::report::{Failed, Outcome, Report};
use ferry_references::How;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::Value;

use super::hint::Hints;
use super::names::{Names, Presence, Whose, mirror_lines, reference};
use super::owner::{Owned, Owner, owner};
use super::settings::Setting;
use super::workload::{KINDS, Named, is_over, named, renamed};
use crate::Error;
use crate::cluster::{Cluster, Kind, Place, Right, Target};
use crate::context::Context;
use crate::desire::Desire;
use crate::rewrite::known::{Match, Target as AtSite};
use crate::session::{Applied, apply_alone};

/// Images that are asked for at once.
const HEADS: usize = 8;

/// What to do with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Show it.
    Show,
    /// Change it, as a run that `rollback` takes back.
    Apply,
}

/// Which workloads are meant.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The namespaces. Empty: all.
    pub namespaces: Vec<String>,
    /// Labels: `app=web,tier!=db`. Empty: any.
    pub selector: String,
}

/// What becomes of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// It is changed now.
    Changed,
    /// It can be changed.
    Changeable,
    /// It could not be changed.
    Failed,
    /// Its owner would change it back.
    LeftToOwner,
    /// The API does not let it be changed.
    Immutable,
    /// The site's registry does not have it yet.
    NotPushed,
    /// The bundle does not have it.
    NotInBundle,
}

/// A reference that points outside the site's registries.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveReference {
    /// `Deployment`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where in it: `spec.template.spec.containers[web].image`.
    pub path: String,
    /// The image.
    pub image: String,
    /// What the site calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_site: Option<String>,
    /// What becomes of it.
    pub becomes: Becomes,
    /// Why, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// What the owner is to set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Setting>,
    /// How, or where else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether nodes pull it from one of the site's registries anyway.
    pub mirrored: bool,
}

/// What was found, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveReferences {
    /// The cluster.
    pub cluster: String,
    /// Workloads that were looked at.
    pub workloads: usize,
    /// Their references that point outside.
    pub references: Vec<LiveReference>,
    /// Lines for the site file, with which nodes pull what cannot be changed from the site's registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// The run that made the changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Kinds that could not be listed, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

/// Finds them; changes those that can be changed, if that is wanted.
pub async fn rewrite(context: &Context, choice: &Choice, doing: Doing) -> Result<LiveReferences, Error> {
    context.bundle()?;
    let names = Names::new(context).await?;
    if names.address().is_empty() {
        let problem = "the site file has no `registry`, so nothing is called otherwise there".to_owned();
        return Err(Error::Usage {
            problem,
            hint: "`registry: {address: …}` says where images are pulled from".into(),
        });
    }
    let cluster = context.clusters.get(&Target::of(&context.site)).await?;
    let task = context.events.start("looking at workloads", None);
    let (objects, unasked) = list(&cluster, choice).await?;
    let mut hints = Hints::new(&cluster);
    let mut finds = Vec::new();
    for object in &objects {
        finds.extend(judge(object, &names, &mut hints).await);
    }
    see_whether_pushed(context, &names, &mut finds).await;
    task.finish();
    let mut found = LiveReferences {
        cluster: cluster.name(),
        workloads: objects.len(),
        references: Vec::new(),
        mirrors: mirrors(context, &finds),
        run: None,
        unasked,
    };
    if doing == Doing::Apply {
        found.run = change(context, &cluster, &mut finds).await?;
    }
    found.references = finds.into_iter().map(|find| find.told).collect();
    Ok(found)
}

/// A reference that points outside, with what is needed to change it.
struct Find {
    told: LiveReference,
    api_version: String,
    /// The whole value that names it.
    value: String,
    /// The bytes of the value that do.
    span: Option<Range<usize>>,
    /// The registry that it points to.
    registry: String,
    target: Option<AtSite>,
}

/// All workloads that were chosen and have not ended.
async fn list(cluster: &Cluster, choice: &Choice) -> Result<(Vec<Value>, Vec<String>), Failed> {
    let namespaces =
        if choice.namespaces.is_empty() { vec![String::new()] } else { choice.namespaces.clone() };
    let mut kinds = Vec::new();
    for (api_version, kind, older) in KINDS {
        let place = |version: &str| Place { api_version: version.to_owned(), ..Place::core(kind, "", "") };
        let found = match (cluster.kind(&place(api_version)).await, older) {
            (Err(failed), Some(older)) if failed.class == Class::NotFound => {
                cluster.kind(&place(older)).await
            }
            (found, _) => found,
        };
        kinds.push(found?);
    }
    let right = |kind: &Kind| {
        namespaces.iter().map(|namespace| Right::new("list", kind, namespace)).collect::<Vec<_>>()
    };
    let rights: Vec<Right> = kinds.iter().flat_map(right).collect();
    let missing = cluster.missing(&rights).await?;
    if missing.len() == rights.len() {
        cluster.require(&rights, "to look at workloads").await?;
    }
    let (mut objects, mut unasked) = (Vec::new(), Vec::new());
    for kind in &kinds {
        for namespace in &namespaces {
            let right = Right::new("list", kind, namespace);
            if missing.contains(&right) {
                unasked.push(format!("{}: this user may not {right}", kind.plural));
                continue;
            }
            let listed = cluster.list(kind, namespace, &choice.selector).await?;
            let with_kind = |mut object: Value| {
                // Items of a list do not say what they are.
                object["apiVersion"] = Value::from(kind.api_version.as_str());
                object["kind"] = Value::from(kind.name.as_str());
                object
            };
            objects.extend(listed.into_iter().map(with_kind).filter(|object| !is_over(object)));
        }
    }
    objects.retain(|object| owner(object) != Owned::ByWorkload);
    Ok((objects, unasked))
}

/// Its references that point outside.
async fn judge(object: &Value, names: &Names, hints: &mut Hints<'_>) -> Vec<Find> {
    let place = Place::of(object);
    let owner = match owner(object) {
        Owned::By(owner) => Some(owner),
        _ => None,
    };
    let mut finds = Vec::new();
    for named in named(object, &place.kind) {
        let Some(LookedUp { registry, target, becomes, why }) = look_up(&named, names) else { continue };
        let mut told = LiveReference {
            kind: place.kind.clone(),
            namespace: place.namespace.clone(),
            name: place.name.clone(),
            path: named.path.clone(),
            image: named.image.clone(),
            at_site: target.as_ref().map(|target| names.at_site(target)),
            becomes,
            why,
            owner: owner.clone(),
            set: Vec::new(),
            hint: None,
            mirrored: names.is_mirrored(&registry) && target.is_some(),
        };
        if let (Becomes::Changeable, Some(target)) = (becomes, &target) {
            if let Some(owner) = &owner {
                told.becomes = Becomes::LeftToOwner;
                (told.set, told.hint) = hints.of(owner, &told, names, target).await;
            } else if let Some(why) = immutable(&told) {
                told.becomes = Becomes::Immutable;
                told.why = Some(why);
            }
        }
        let Named { value, span, .. } = named;
        finds.push(Find { told, api_version: place.api_version.clone(), value, span, registry, target });
    }
    finds
}

/// A name that points outside.
struct LookedUp {
    registry: String,
    /// What the bundle has under it.
    target: Option<AtSite>,
    becomes: Becomes,
    why: Option<String>,
}

/// What the bundle says of it. `None` if it points to one of the site's registries, or is no image.
fn look_up(named: &Named, names: &Names) -> Option<LookedUp> {
    let Whose::Outside(name) = names.whose(&named.image) else { return None };
    let is_sure = named.how == How::Image;
    let why = match names.find(&name)? {
        Match::Held(target) if named.span.is_some() => {
            let (registry, target) = (name.registry, Some(target));
            return Some(LookedUp { registry, target, becomes: Becomes::Changeable, why: None });
        }
        Match::OtherTags(tags) => format!("the bundle has other tags of it: {}", tags.join(", ")),
        Match::OtherDigest(digest) => format!("the bundle has the tag with another digest: {digest}"),
        Match::NotPushed(_) => {
            "the digest is that of one platform, which the site's registry does not get".to_owned()
        }
        // What else looks like an image may be anything.
        _ if is_sure => "the bundle does not have it".to_owned(),
        _ => return None,
    };
    Some(LookedUp { registry: name.registry, target: None, becomes: Becomes::NotInBundle, why: Some(why) })
}

/// Why the API does not let it be changed, if it does not.
fn immutable(told: &LiveReference) -> Option<String> {
    match told.kind.as_str() {
        "Job" => Some("a Job cannot be changed: make it again with the other name".to_owned()),
        "Pod" if told.path.contains("ephemeralContainers[") || !told.path.ends_with("].image") => {
            Some("this cannot be changed in a Pod: make it again with the other name".to_owned())
        }
        _ => None,
    }
}

/// Nothing is let name what the registry does not have.
async fn see_whether_pushed(context: &Context, names: &Names, finds: &mut [Find]) {
    let targets: BTreeSet<(String, String)> =
        finds.iter().filter_map(|find| find.target.as_ref().map(key)).collect();
    let presences: BTreeMap<(String, String), Presence> = stream::iter(targets)
        .map(|(repository, reference)| async move {
            let presence = names.presence(context, &repository, &reference).await;
            ((repository, reference), presence)
        })
        .buffer_unordered(HEADS)
        .collect()
        .await;
    for find in finds {
        let Some(presence) = find.target.as_ref().map(key).and_then(|key| presences.get(&key)) else {
            continue;
        };
        let why = match presence {
            Presence::There => continue,
            Presence::Missing => format!("{} does not have it yet", names.address()),
            Presence::Unknown(why) => format!("{} does not tell whether it has it: {why}", names.address()),
        };
        if find.told.becomes == Becomes::Changeable {
            find.told.becomes = Becomes::NotPushed;
        }
        find.told.why = Some(why);
    }
}

fn key(target: &AtSite) -> (String, String) {
    (target.repository.clone(), reference(target.tag.as_deref(), target.digest))
}

/// For what the bundle has and nobody may change here.
fn mirrors(context: &Context, finds: &[Find]) -> Vec<String> {
    let stays = |find: &&Find| {
        matches!(find.told.becomes, Becomes::LeftToOwner | Becomes::Immutable) && !find.told.mirrored
    };
    let registries: BTreeSet<String> = finds.iter().filter(stays).map(|find| find.registry.clone()).collect();
    if registries.is_empty() {
        return Vec::new();
    }
    let registries: Vec<String> = registries.into_iter().collect();
    mirror_lines(context.site.site.nodes.configure.as_ref(), &registries)
}

/// Changes what can be changed, as a run of its own. Gives the run's name, if there was anything to do.
async fn change(context: &Context, cluster: &Cluster, finds: &mut [Find]) -> Result<Option<String>, Error> {
    let workloads = workloads(&Target::of(&context.site), finds);
    if workloads.is_empty() {
        return Ok(None);
    }
    let mut rights = BTreeSet::new();
    for workload in &workloads {
        let place =
            Place { api_version: workload.api_version.clone(), ..Place::core(&workload.kind, "", "") };
        let kind = cluster.kind(&place).await?;
        for verb in ["get", "patch"] {
            rights.insert(Right::new(verb, &kind, &workload.namespace));
        }
    }
    cluster.require(&rights.into_iter().collect::<Vec<_>>(), "to change images").await?;
    let reason = "it names images that are at the site under other names";
    let resources =
        workloads.into_iter().map(|workload| Resource::new(Desired::WorkloadImages(workload), reason));
    let desire = Desire { resources: resources.collect(), ..Desire::default() };
    match apply_alone(context, &desire).await? {
        Applied::Nothing(_) => {
            mark(finds, &|_| Ok(()));
            Ok(None)
        }
        Applied::Run(report, run) => {
            mark(finds, &|find| of_run(&report, find));
            Ok(Some(run.name()))
        }
    }
}

/// Values by their paths, each with the names that are to stand in it.
type Values<'a> = BTreeMap<&'a str, (&'a str, Vec<(Range<usize>, String)>)>;

/// The workloads with what can be changed in them.
fn workloads(target: &Target, finds: &[Find]) -> Vec<WorkloadImages> {
    let mut workloads: BTreeMap<String, (WorkloadImages, Values<'_>)> = BTreeMap::new();
    for find in finds.iter().filter(|find| find.told.becomes == Becomes::Changeable) {
        let told = &find.told;
        let (Some(span), Some(at_site)) = (&find.span, &told.at_site) else { continue };
        let workload = WorkloadImages {
            kubeconfig: target.kubeconfig.clone(),
            context: target.context.clone(),
            api_version: find.api_version.clone(),
            kind: told.kind.clone(),
            namespace: told.namespace.clone(),
            name: told.name.clone(),
            values: BTreeMap::new(),
        };
        let (_, values) = workloads.entry(workload.name()).or_insert_with(|| (workload, BTreeMap::new()));
        // An argument may name several.
        let (_, names) = values.entry(&told.path).or_insert_with(|| (&find.value, Vec::new()));
        names.push((span.clone(), at_site.clone()));
    }
    let with_values = |(mut workload, values): (WorkloadImages, Values<'_>)| {
        for (path, (from, names)) in values {
            let to = renamed(from, &names);
            workload.values.insert(path.to_owned(), Renamed { from: from.to_owned(), to });
        }
        workload
    };
    workloads.into_values().map(with_values).collect()
}

fn mark(finds: &mut [Find], came: &dyn Fn(&Find) -> Result<(), String>) {
    for find in finds {
        if find.told.becomes == Becomes::Changeable {
            match came(find) {
                Ok(()) => find.told.becomes = Becomes::Changed,
                Err(why) => (find.told.becomes, find.told.why) = (Becomes::Failed, Some(why)),
            }
        }
    }
}

fn of_run(report: &Report, find: &Find) -> Result<(), String> {
    let told = &find.told;
    let name = format!("workload-images {} {}/{}", told.kind, told.namespace, told.name);
    let change = report.changes.iter().find(|change| change.resource.as_str() == name);
    match change {
        Some(change) if change.outcome != Outcome::Done => Err(change
            .failure
            .as_ref()
            .map_or_else(|| "it was not tried".to_owned(), |failure| failure.message.clone())),
        // What was right already by then is no step.
        _ => Ok(()),
    }
}
