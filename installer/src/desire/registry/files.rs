//! What every registry that Ferry brings up on this machine has: its folder, certificates, a password file.

use std::path::{Path, PathBuf};

use ferry_model::plan::{Certificates, Content, Desired, File, Folder, Htpasswd, Keep, Resource, ResourceId};
use ferry_model::site::{Registry, Tls};

use super::Ground;
use crate::Error;
use crate::desire::{Desire, GivenFile};

/// What every registry that Ferry brings up on this machine has.
pub(super) struct Common {
    /// The resources, for what must come after them and take up their changes.
    pub(super) ids: Vec<ResourceId>,
    /// The registry's folder, absolute.
    pub(super) folder: PathBuf,
    /// Certificate and key, unless it speaks plain HTTP.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    /// The password file, where it asks for one.
    pub(super) htpasswd: Option<PathBuf>,
}

/// Adds it.
pub(super) fn common(desire: &mut Desire, ground: &Ground<'_>) -> Result<Common, Error> {
    let registry = ground.registry;
    let folder = ground.site.absolute(&registry.folder);
    let home = add_folder(desire, &folder, None, Keep::Everything, "what the registry needs lies there");
    let mut common =
        Common { ids: vec![home.clone()], folder: folder.clone(), certificate: None, htpasswd: None };
    add_certificates(desire, ground, &mut common)?;
    if let Some(login) = &registry.login {
        let path = folder.join("htpasswd");
        let file = Htpasswd { path: path.clone(), login: login.clone() };
        let reason = format!("only {} may use the registry", login.user);
        common.ids.push(push(desire, Resource::new(Desired::Htpasswd(file), reason).after([home])));
        common.htpasswd = Some(path);
    }
    Ok(common)
}

pub(super) fn add_certificates(
    desire: &mut Desire,
    ground: &Ground<'_>,
    common: &mut Common,
) -> Result<(), Error> {
    let folder = common.folder.join("tls");
    let files = (folder.join("server.crt"), folder.join("server.key"));
    let make_folder = |desire: &mut Desire| {
        add_folder(desire, &folder, None, Keep::Everything, "the registry's certificate lies there")
    };
    match &ground.registry.tls {
        Tls::Generated => {
            let home = make_folder(desire);
            let certificates = Certificates { folder: folder.clone(), names: names(ground.registry) };
            let reason = "clients talk to the registry only when they can trust it";
            let certificates = Resource::new(Desired::Certificates(certificates), reason).after([home]);
            common.ids.push(push(desire, certificates));
        }
        Tls::Given { certificate: Some((certificate, key)), .. } => {
            let Some(given) = &ground.facts.certificate else {
                let problem = format!("the certificate {} was not read", certificate.display());
                return Err(Error::Usage {
                    problem,
                    hint: "say where its files are in the site file".into(),
                });
            };
            let home = make_folder(desire);
            let mut copy = |from: &Path, given: GivenFile, to: &Path, mode: u32| {
                let GivenFile { digest, size } = given;
                let content = Content::Copy { path: ground.site.absolute(from), digest, size };
                let reason = "the site file gives the registry's certificate";
                common.ids.push(add_file(desire, to, mode, content, reason, [home.clone()]));
            };
            copy(certificate, given.certificate, &files.0, 0o644);
            copy(key, given.key, &files.1, 0o600);
        }
        Tls::Given { certificate: None, .. } | Tls::System | Tls::PlainHttp => return Ok(()),
    }
    common.certificate = Some(files);
    Ok(())
}

/// What the registry's certificate must hold for.
pub(super) fn names(registry: &Registry) -> Vec<String> {
    let mut names: Vec<String> = std::iter::once(registry.address.host())
        .chain(&registry.also_known_as)
        .map(ToString::to_string)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Adds a folder and those that it lies in, each unless it is there already, so that taking the last one back takes back all
/// that were made. With `mode` absent, any will do.
pub(in crate::desire) fn add_folder(
    desire: &mut Desire,
    path: &Path,
    mode: Option<u32>,
    keep: Keep,
    reason: &str,
) -> ResourceId {
    let parent = path.parent().filter(|parent| parent.parent().is_some()).map(|parent| {
        let reason = format!("{} lies in it", path.display());
        add_folder(desire, parent, None, Keep::Everything, &reason)
    });
    let folder = Folder { path: path.to_owned(), mode, keep };
    push(desire, Resource::new(Desired::Folder(folder), reason).after(parent))
}

/// Adds a file.
pub(in crate::desire) fn add_file(
    desire: &mut Desire,
    path: &Path,
    mode: u32,
    content: Content,
    reason: &str,
    after: impl IntoIterator<Item = ResourceId>,
) -> ResourceId {
    let file = File { path: path.to_owned(), mode, content };
    push(desire, Resource::new(Desired::File(file), reason).after(after))
}

/// Adds a resource, unless it has been added already.
pub(super) fn push(desire: &mut Desire, resource: Resource) -> ResourceId {
    let id = resource.id();
    if desire.resources.iter().all(|known| known.id() != id) {
        desire.resources.push(resource);
    }
    id
}
