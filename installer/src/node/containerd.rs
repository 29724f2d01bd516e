//! containerd, from 1.4 to 2.x: `hosts.toml` for each registry, and a `config_path` that leads there.
//!
//! 1. The program itself tells what it can do ([`release`]); nothing is run.
//! 2. `config.toml` and its imports tell where registries stand now ([`config`]). Where that is nowhere, the file whose word
//!    counts gets a `config_path`, and the old tables beside it move into `hosts.toml` ([`migrate`]). That alone needs a restart.
//! 3. Each registry of the site, and each that it mirrors, gets its `hosts.toml`, merged with one that is there ([`hosts`]).
//!    Those are read at each pull.
//!
//! Where there is no `config.toml`, containerd runs with its defaults, and so it does with one that says nothing but its
//! version and the `config_path`: it is made in version 2, which 1.4 to 2.x read, or in version 3 where the program knows that.
//! Nothing is imported then, as nothing was before. containerd 2.2 needs no file at all: its default is that `config_path`.
//!
//! `_default` is never touched.

mod config;
mod hosts;
mod migrate;
mod release;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use ferry_model::node::{NodeDesired, NodeRegistry, Security, Takeup};
use ferry_model::report::Failed;

use self::config::Config;
use self::hosts::{Hosts, ITSELF, MIRROR, Place, Trust};
use self::migrate::Old;
use self::release::Release;
use super::{Edit, Edits, Root, endpoint};

const UNIT: &str = "containerd.service";
const MAIN: &str = "/etc/containerd/config.toml";
const FOLDER: &str = "/etc/containerd/certs.d";

/// What containerd's files shall have.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let Some(found) = Found::look(root)? else { return Ok(Edits::default()) };
    let mut edits = Edits { found: Some("containerd".into()), ..Edits::default() };
    if desired.registries.is_empty() {
        return Ok(edits);
    }
    let release = Release::of(root, found.program.as_deref());
    let config = Config::read(root, &found.main, release)?;
    if config.serves_docker_alone() {
        edits.notes.push(format!(
            "{} disables the CRI plug-in: dockerd alone uses this containerd, and its own files say where registries are",
            found.main.display()
        ));
        // Nobody pulls through it.
        edits.found = None;
        return Ok(edits);
    }
    if release == Release::Tables {
        with_tables(root, config, desired, &mut edits)?;
    } else {
        with_folders(root, config, release, desired, &mut edits)?;
    }
    Ok(edits)
}

/// containerd on a node.
#[derive(Debug)]
struct Found {
    program: Option<PathBuf>,
    main: PathBuf,
}

impl Found {
    fn look(root: &Root) -> Result<Option<Self>, Failed> {
        let unit = root.unit(UNIT)?;
        let (started, main) = command_line(&unit);
        let program = started.filter(|path| root.exists(path)).or_else(|| root.program("containerd"));
        let main = main.unwrap_or_else(|| MAIN.into());
        // dockerd may bring a containerd of its own, which it configures itself.
        let is_dockers = root.program("dockerd").is_some();
        let is_there = !unit.is_empty()
            || root.exists("/run/containerd/containerd.sock")
            || root.exists(&main)
            || (program.is_some() && !is_dockers);
        Ok(is_there.then_some(Self { program, main }))
    }
}

/// The program and the configuration file that a unit starts it with.
fn command_line(unit: &str) -> (Option<PathBuf>, Option<PathBuf>) {
    let unit = unit.replace("\\\n", " ");
    let mut commands = unit.lines().filter_map(|line| line.trim().strip_prefix("ExecStart="));
    let command = commands.rfind(|command| !command.trim().is_empty()).unwrap_or_default();
    let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let program = words.next().map(|word| PathBuf::from(word.trim_start_matches(['-', '@', ':', '+', '!'])));
    let mut main = None;
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--config" | "-config" | "-c" | "--c", path)) => main = Some(path),
            None if matches!(word, "--config" | "-config" | "-c" | "--c") => main = words.next(),
            _ => {}
        }
    }
    let main = main.map(|path| path.trim_matches(['"', '\'']));
    (program, main.map(PathBuf::from).filter(|path| path.is_absolute()))
}

/// containerd 1.4.
fn with_tables(
    root: &Root,
    mut config: Config,
    desired: &NodeDesired,
    edits: &mut Edits,
) -> Result<(), Failed> {
    for registry in &desired.registries {
        authority(root, &Path::new(FOLDER).join(registry.address.to_string()), registry, edits)?;
    }
    tables::add(config.decisive_registry()?, &desired.registries, Path::new(FOLDER))?;
    restart(
        config,
        "this containerd is older than 1.5, which reads its registries only when it starts",
        edits,
    );
    Ok(())
}

/// containerd 1.5 and later.
fn with_folders(
    root: &Root,
    mut config: Config,
    release: Release,
    desired: &NodeDesired,
    edits: &mut Edits,
) -> Result<(), Failed> {
    let old = Old::read(config.registries())?;
    let mut folders = config.folders();
    let says_nothing = config
        .registries()
        .all(|table| !["config_path", "mirrors", "configs"].iter().any(|key| table.contains_key(key)));
    let is_set = !folders.is_empty() || (release == Release::Default && says_nothing);
    if folders.is_empty() {
        folders.push(FOLDER.into());
        // What containerd looks at in this case, so that nothing that it sees now is lost.
        folders.extend((release == Release::Default && is_set).then(|| PathBuf::from("/etc/docker/certs.d")));
    }
    let folders = Folders { root, folders };
    let mut wanted = site_hosts(&folders, &desired.registries);
    for (host, hosts) in old.hosts() {
        add_hosts(&mut wanted, host, hosts);
    }
    for registry in &desired.registries {
        authority(root, &folders.of(&registry.address.to_string()).0, registry, edits)?;
    }
    for (host, hosts) in wanted {
        folders.edit(&host, hosts, edits)?;
    }
    let mut keeps_logins = false;
    if !old.is_empty() {
        config.change_each(|registry| keeps_logins |= migrate::take_out(registry));
        edits.notes.push(moved(&folders.folders[0], keeps_logins));
    }
    if !is_set {
        let folder = folders.folders[0].to_string_lossy().into_owned();
        super::text::set(config.decisive_registry()?, "config_path", folder);
    }
    let reason = if old.is_empty() {
        "containerd learns only when it starts in which folder registries are configured"
    } else {
        "containerd's old tables of registries moved into that folder, which it learns only when it starts"
    };
    restart(config, reason, edits);
    Ok(())
}

fn moved(folder: &Path, keeps_logins: bool) -> String {
    let logins = if keeps_logins {
        "; logins in `configs` stay where they are, since hosts.toml has no place for them: containerd still reads \
         them there, but wants the cluster's image pull secrets instead"
    } else {
        ""
    };
    format!(
        "containerd's `mirrors` and `configs` moved to hosts.toml files in {}, since its CRI plug-in does not start with both{logins}",
        folder.display()
    )
}

/// What `hosts.toml` of the site's registries and of those that they mirror shall say.
fn site_hosts(folders: &Folders<'_>, registries: &[NodeRegistry]) -> Vec<(String, Hosts)> {
    let mut all = Vec::new();
    for registry in registries {
        let trust = trust(folders, registry, true);
        let server = endpoint::url(registry);
        let places = vec![Place { url: server.clone(), capabilities: ITSELF.to_vec(), trust: trust.clone() }];
        add_hosts(&mut all, registry.address.to_string(), Hosts { server, trust, places });
    }
    for (upstream, mirrors) in endpoint::upstreams(registries) {
        let place = |registry: &&NodeRegistry| Place {
            url: endpoint::mirror_url(registry),
            capabilities: MIRROR.to_vec(),
            trust: trust(folders, registry, false),
        };
        let places = mirrors.iter().map(place).collect();
        let hosts = Hosts { server: endpoint::upstream_url(upstream), trust: Trust::default(), places };
        add_hosts(&mut all, upstream.to_string(), hosts);
    }
    all
}

fn trust(folders: &Folders<'_>, registry: &NodeRegistry, is_beside: bool) -> Trust {
    let file = match &registry.security {
        Security::Https { authority: Some(_) } if is_beside => Some(PathBuf::from(endpoint::AUTHORITY)),
        Security::Https { authority: Some(_) } => {
            Some(folders.of(&registry.address.to_string()).0.join(endpoint::AUTHORITY))
        }
        _ => None,
    };
    Trust {
        authorities: file.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        clients: Vec::new(),
        is_unverified: registry.security == Security::Unverified,
    }
}

/// Adds places of a registry behind those that it has already.
fn add_hosts(all: &mut Vec<(String, Hosts)>, host: String, hosts: Hosts) {
    match all.iter_mut().find(|(known, _)| *known == host) {
        None => all.push((host, hosts)),
        Some((_, known)) => {
            for place in hosts.places {
                match known.places.iter_mut().find(|there| there.url == place.url) {
                    None => known.places.push(place),
                    Some(there) => there.trust.add(place.trust),
                }
            }
            known.trust.add(hosts.trust);
        }
    }
}

/// The folders of `config_path`.
struct Folders<'a> {
    root: &'a Root,
    folders: Vec<PathBuf>,
}

impl Folders<'_> {
    /// The folder that containerd takes for a registry, and whether it is there. Another that would be taken before it is
    /// never made.
    fn of(&self, host: &str) -> (PathBuf, bool) {
        let spelled = host.rsplit_once(':').map(|(name, port)| format!("{name}_{port}_"));
        for folder in &self.folders {
            let names = spelled.iter().map(String::as_str).chain([host]);
            if let Some(there) = names.map(|name| folder.join(name)).find(|path| self.root.exists(path)) {
                // Docker's folders are its own: a `hosts.toml` is only changed there, and never made.
                if folder == &self.folders[0] || self.root.exists(there.join("hosts.toml")) {
                    return (there, true);
                }
                break;
            }
            if self.root.exists(folder.join("_default")) {
                break;
            }
        }
        (self.folders[0].join(host), false)
    }

    fn edit(&self, host: &str, mut hosts: Hosts, edits: &mut Edits) -> Result<(), Failed> {
        let (folder, is_there) = self.of(host);
        let path = folder.join("hosts.toml");
        let before = self.root.read(&path)?;
        if before.is_none() {
            let found = self.certificates(host)?;
            for place in hosts.places.iter_mut().filter(|place| place.url == hosts.server) {
                place.trust.add(found.clone());
            }
            hosts.trust.add(found);
        }
        let default = self.folders.iter().map(|folder| folder.join("_default/hosts.toml"));
        if !is_there && let Some(default) = default.into_iter().find(|path| self.root.exists(path)) {
            edits.notes.push(format!(
                "{} applies no longer to {host}, which has a folder of its own now",
                default.display()
            ));
        }
        let merged = hosts.merge(&path, before.as_deref())?;
        edits.notes.extend(merged.notes);
        let reason = format!("containerd asks these hosts for images of {host}");
        edits.files.extend(Edit::of(path, before, merged.bytes, reason));
        Ok(())
    }

    /// Certificates in the way of Docker, which containerd reads only where there is no `hosts.toml`.
    fn certificates(&self, host: &str) -> Result<Trust, Failed> {
        let mut found = Trust::default();
        let Some(folder) =
            self.folders.iter().map(|folder| folder.join(host)).find(|path| self.root.exists(path))
        else {
            return Ok(found);
        };
        let names = self.root.list(&folder)?;
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        for name in &names {
            if name.ends_with(".crt") && name != endpoint::AUTHORITY {
                found.authorities.push(path(name));
            }
            if let Some(client) = name.strip_suffix(".cert") {
                let key = format!("{client}.key");
                let key = if names.contains(&key) { path(&key) } else { String::new() };
                found.clients.push((path(name), key));
            }
        }
        Ok(found)
    }
}

/// The file of a registry's authority.
fn authority(root: &Root, folder: &Path, registry: &NodeRegistry, edits: &mut Edits) -> Result<(), Failed> {
    if let Some(pem) = endpoint::authority(registry) {
        let path = folder.join(endpoint::AUTHORITY);
        edits.files.extend(root.edit(path, pem, format!("the authority of {}", registry.address))?);
    }
    Ok(())
}

/// Files of the configuration itself, which containerd reads when it starts.
fn restart(config: Config, reason: &str, edits: &mut Edits) {
    for (path, before, after) in config.changed() {
        edits.files.push(Edit {
            path,
            before,
            after: Some(after),
            mode: 0o644,
            units: vec![UNIT.into()],
            takeup: Takeup::Restart,
            reason: reason.into(),
        });
    }
}
