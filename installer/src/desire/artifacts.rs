//! What of the bundle's files goes into bkrepo, and where there.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::SitePath;
use ferry_model::catalog::{Catalog, File, FileKind};
use ferry_model::plan::{
    BkrepoProject, BkrepoRepository, Desired, RepositoryFormat, Resource, ResourceId, Upload,
};
use ferry_model::site::{Bkrepo, Destination, RepositoryName, Site};

use super::Desire;
use crate::Error;

/// Where PaaS keeps what is its own.
const PAAS_PROJECT: &str = "bkpaas";
/// Repositories of that project that PaaS makes for all to read (`init_bkrepo.py`, releases 1.1 and 1.6).
const PAAS_PUBLIC: [&str; 2] = ["bkpaas3-platform-assets", "bkpaas3-apps-logo"];

/// The files that go into the site's bkrepo, with the projects and repositories that they need.
pub(super) fn desire_artifacts(desire: &mut Desire, catalog: &Catalog, site: &Site) -> Result<(), Error> {
    let mut left = Vec::new();
    let mut places: BTreeMap<Place, &File> = BTreeMap::new();
    for file in &catalog.files {
        let place = match &site.bkrepo {
            Some(bkrepo) => place(bkrepo, file)?,
            None => None,
        };
        let Some(place) = place else {
            left.push(file);
            continue;
        };
        if let Some(other) = places.get(&place).filter(|other| other.digest != file.digest) {
            let name = format!("{}{}", place.repository, place.path);
            return Err(Error::PlaceClash { name, one: other.served_path(), other: file.served_path() });
        }
        places.insert(place, file);
    }
    if let Some(bkrepo) = &site.bkrepo {
        refuse_files_as_folders(&places)?;
        let mut needs: BTreeMap<&RepositoryName, [ResourceId; 2]> = BTreeMap::new();
        for (place, file) in &places {
            let needs = needs
                .entry(&place.repository)
                .or_insert_with(|| repository(desire, bkrepo, &place.repository, RepositoryFormat::Generic));
            let upload = Upload {
                bkrepo: bkrepo.url.clone(),
                repository: place.repository.clone(),
                path: place.path.clone(),
                digest: file.digest,
                size: file.size,
                overwrite: bkrepo.overwrite,
                repair: bkrepo.repair,
                misplaced: misplaced(place, &places),
            };
            let reason = reason(file, place);
            desire
                .resources
                .push(Resource::new(Desired::Upload(upload), reason).after(needs.iter().cloned()));
        }
    }
    desire.by_hand.extend(left_by_hand(site, &left));
    Ok(())
}

/// The repositories of bkrepo that the bundle's files go into.
pub(crate) fn repositories(catalog: &Catalog, site: &Site) -> Vec<RepositoryName> {
    let mut desire = Desire::default();
    if desire_artifacts(&mut desire, catalog, site).is_err() {
        return Vec::new();
    }
    let name = |resource: Resource| match resource.desired {
        Desired::BkrepoRepository(repository) => Some(repository.repository),
        _ => None,
    };
    desire.resources.into_iter().filter_map(name).collect()
}

/// Sees to it that a repository of bkrepo, and its project, are among what is desired. Gives what must be there before anything is
/// put into it.
pub(super) fn repository(
    desire: &mut Desire,
    bkrepo: &Bkrepo,
    name: &RepositoryName,
    format: RepositoryFormat,
) -> [ResourceId; 2] {
    let project = BkrepoProject {
        bkrepo: bkrepo.url.clone(),
        name: name.project.clone(),
        create: bkrepo.create,
        patience: bkrepo.patience,
    };
    let repository = BkrepoRepository {
        bkrepo: bkrepo.url.clone(),
        repository: name.clone(),
        format,
        // helm reads without login, as the repositories of charts that bkrepo brings itself are read.
        public: format == RepositoryFormat::Helm
            || (name.project == PAAS_PROJECT && PAAS_PUBLIC.contains(&name.name.as_str())),
        create: bkrepo.create,
        patience: bkrepo.patience,
    };
    let project = Resource::new(Desired::BkrepoProject(project), "repositories of bkrepo lie in projects");
    let reason = "bkrepo takes uploads only into repositories that are there";
    let repository = Resource::new(Desired::BkrepoRepository(repository), reason).after([project.id()]);
    let ids = [project.id(), repository.id()];
    for resource in [project, repository] {
        if !desire.resources.iter().any(|known| known.id() == resource.id()) {
            desire.resources.push(resource);
        }
    }
    ids
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    repository: RepositoryName,
    /// With `/` in front.
    path: String,
}

/// The repository that the bundle names, or else that of the site's entry that says the most of the file's path.
fn place(bkrepo: &Bkrepo, file: &File) -> Result<Option<Place>, Error> {
    let own = file.repository.as_ref().and_then(|repository| repository.parse::<RepositoryName>().ok());
    if let Some(repository) = own {
        return Ok(Some(Place { repository, path: format!("/{}", file.path) }));
    }
    let path = file.served_path();
    let matching = bkrepo.files.iter().filter_map(|entry| Some((entry, below(entry, &path)?)));
    let Some((entry, rest)) = matching.max_by_key(|(entry, _)| entry.from.trim_matches('/').len()) else {
        return Ok(None);
    };
    let to = entry.to.trim_matches('/');
    let text = if to.is_empty() { rest.to_owned() } else { format!("{to}/{rest}") };
    let path: SitePath =
        text.parse().map_err(|source| Error::Place { file: path.clone(), to: entry.to.clone(), source })?;
    Ok(Some(Place { repository: entry.repository.clone(), path: format!("/{path}") }))
}

/// What an entry leaves of a path that begins as it says. One that names a whole file leaves its name.
fn below<'a>(entry: &Destination, path: &'a str) -> Option<&'a str> {
    let from = entry.from.trim_matches('/');
    if from.is_empty() {
        return Some(path);
    }
    if from == path {
        return path.rsplit('/').next();
    }
    path.strip_prefix(from)?.strip_prefix('/')
}

/// A path cannot be both a file and a folder.
fn refuse_files_as_folders(places: &BTreeMap<Place, &File>) -> Result<(), Error> {
    for (place, file) in places {
        let folders = place.path.char_indices().filter(|&(at, letter)| letter == '/' && at > 0);
        for (at, _) in folders {
            let folder = Place { repository: place.repository.clone(), path: place.path[..at].to_owned() };
            if let Some(other) = places.get(&folder) {
                let name = format!("{}{}", folder.repository, folder.path);
                return Err(Error::PlaceClash { name, one: other.served_path(), other: file.served_path() });
            }
        }
    }
    Ok(())
}

/// Where the deployment guide's loop takes a file: it strips one folder too many, and uploads into a folder of the file's name.
fn misplaced(place: &Place, places: &BTreeMap<Place, &File>) -> Option<String> {
    let (_, rest) = place.path.strip_prefix('/')?.split_once('/')?;
    let name = rest.rsplit('/').next()?;
    let at = |path: String| Place { repository: place.repository.clone(), path };
    // Another file may belong where that folder is, or in it, just there for example: then it is none of the loop's.
    let is_place = places.contains_key(&at(format!("/{rest}")));
    let inside = at(format!("/{rest}/"));
    let next = places.range(&inside..).next();
    let is_parent = next
        .is_some_and(|(next, _)| next.repository == inside.repository && next.path.starts_with(&inside.path));
    (!is_place && !is_parent).then(|| format!("/{rest}/{name}"))
}

fn reason(file: &File, place: &Place) -> String {
    let is_assets =
        place.repository.project == PAAS_PROJECT && PAAS_PUBLIC.contains(&place.repository.name.as_str());
    match file.kind {
        FileKind::Runtime if is_assets => "builds of PaaS ask for it there".to_owned(),
        FileKind::Runtime | FileKind::Saas | FileKind::File => {
            format!("the bundle has it ({}) and bkrepo shall have it", file.served_path())
        }
    }
}

/// Files that nothing takes.
fn left_by_hand(site: &Site, left: &[&File]) -> Option<String> {
    let left: Vec<&&File> = left.iter().filter(|file| !is_taken_by_paas(site, file)).collect();
    let first = left.first()?;
    let count = if left.len() == 1 { "1 file".to_owned() } else { format!("{} files", left.len()) };
    Some(match site.bkrepo {
        None => format!(
            "{count} (runtimes, SaaS packages and others) not uploaded anywhere: the site file has no `bkrepo`; `serve` offers them at /files/"
        ),
        Some(_) => {
            let folders: BTreeSet<String> = left.iter().map(|file| first_part(file)).collect();
            let shown = folders.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let more = if folders.len() > 5 { ", …" } else { "" };
            format!(
                "{count} not uploaded anywhere, because they name no repository ({shown}{more}): `bkrepo: {{files: [{{from: {}, repository: PROJECT/NAME}}]}}` takes them; `serve` offers them at /files/",
                first_part(first)
            )
        }
    })
}

/// How a path begins: its first folder, or the file itself.
fn first_part(file: &File) -> String {
    let path = file.served_path();
    match path.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => path,
    }
}

/// Whether it is installed through PaaS, or given to node management.
fn is_taken_by_paas(site: &Site, file: &File) -> bool {
    let Some(blueking) = &site.blueking else { return false };
    let is_asked_for = |name: &String| blueking.saas.iter().any(|saas| saas.app == *name);
    let is_saas = file.kind == FileKind::Saas && file.name.as_ref().is_some_and(is_asked_for);
    is_saas || (blueking.plugins && file.path.as_str().starts_with("gse2/plugins/"))
}
