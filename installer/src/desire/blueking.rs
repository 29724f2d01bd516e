//! What is installed through BlueKing's PaaS: Redis entries for SaaS, the packages, their modules with `default` first; and the agent
//! plug-ins that node management gets.

mod error;
mod packages;

use std::collections::BTreeMap;

use ferry_bundle::smart::{Package, PackageKind};
use ferry_model::Digest;
use ferry_model::catalog::{Catalog, File, FileKind};
use ferry_model::plan::{
    AgentPlugins, Desired, Platform, PluginFile, RedisEntries, Resource, ResourceId, SaasModule, SaasPackage,
    Variables,
};
use ferry_model::site::{Blueking, RedisPool, Saas, SecretSource};

pub use error::BluekingError;
pub(super) use packages::read_packages;

use super::{Desire, Facts};
use crate::Error;
use crate::site::SiteFile;

/// Where bundles that mirror BlueKing's download site have agent plug-ins.
const PLUGINS: &str = "gse2/plugins/";
/// The plan whose entries each belong to one application alone.
const EXCLUSIVE: &str = "1exclusive";
/// The module that PaaS makes the application from.
const DEFAULT: &str = "default";

/// A package that is asked for: its entries in the site file and in the catalog, and its own description.
struct Asked<'a> {
    saas: &'a Saas,
    file: &'a File,
    package: &'a Package,
}

pub(super) fn desire_blueking(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<(), Error> {
    let Some(blueking) = &site.site.blueking else { return Ok(()) };
    let platform = platform(site, blueking);
    let redis = blueking.redis_pool.as_ref().map(|pool| redis(blueking, pool, &platform)).transpose()?;
    let pool: Vec<ResourceId> = redis.iter().map(Resource::id).collect();
    desire.resources.extend(redis);
    let mut all = Vec::new();
    for saas in &blueking.saas {
        all.push(find(catalog, facts, saas)?);
    }
    for asked in &all {
        let package = package(asked, &platform, catalog, desire);
        let package = package.after(pool.iter().cloned());
        let id = package.id();
        // One application can be asked for in both environments.
        if !desire.resources.iter().any(|known| known.id() == id) {
            desire.resources.push(package);
        }
        modules(desire, asked, site, facts, &platform)?;
    }
    desire.by_hand.extend(missing_bases(catalog, &all));
    desire.by_hand.extend(desktops(&all));
    if blueking.plugins {
        plugins(desire, catalog, &platform)?;
    }
    Ok(())
}

fn platform(site: &SiteFile, blueking: &Blueking) -> Platform {
    let cluster = site.site.cluster.clone().unwrap_or_default();
    Platform {
        kubeconfig: cluster.kubeconfig.map(|path| site.absolute(&path)),
        context: cluster.context,
        namespace: blueking.namespace.clone(),
    }
}

fn redis(blueking: &Blueking, pool: &RedisPool, platform: &Platform) -> Result<Resource, BluekingError> {
    if pool.plan == EXCLUSIVE && pool.entries != 1 {
        return Err(BluekingError::SharedExclusively { entries: pool.entries });
    }
    let namespace = &blueking.namespace;
    let password = pool.password.clone().unwrap_or_else(|| SecretSource::Kubernetes {
        namespace: namespace.clone(),
        name: "bk-redis".into(),
        key: "redis-password".into(),
    });
    let host = pool.host.clone().unwrap_or_else(|| format!("bk-redis-master.{namespace}.svc.cluster.local"));
    let entries = RedisEntries {
        platform: platform.clone(),
        plan: pool.plan.clone(),
        entries: pool.entries,
        host,
        port: pool.port,
        password,
    };
    Ok(Resource::new(Desired::RedisEntries(entries), "each SaaS takes one, and fails to deploy without"))
}

/// The package of an application, if there is just one and it is what the catalog says.
fn find<'a>(catalog: &'a Catalog, facts: &'a Facts, saas: &'a Saas) -> Result<Asked<'a>, BluekingError> {
    let described = |file: &'a File| facts.packages.get(&file.digest).map(|package| (file, package));
    let is_asked =
        |(file, package): &(&File, &Package)| file.name.as_ref().unwrap_or(&package.app_code) == &saas.app;
    let packages = || catalog.files.iter().filter(|file| file.kind == FileKind::Saas);
    let found: Vec<(&File, &Package)> = packages().filter_map(described).filter(is_asked).collect();
    let &[(file, package)] = found.as_slice() else {
        let app = saas.app.clone();
        return Err(match found.len() {
            0 => BluekingError::NoPackage {
                app,
                known: packages().filter_map(|file| file.name.clone()).collect(),
            },
            _ => {
                let files = found.iter().map(|(file, _)| file.served_path()).collect();
                BluekingError::SeveralPackages { app, files }
            }
        });
    };
    let catalogued = file.version.as_deref().map(|version| version.trim_start_matches(['v', 'V']));
    let is_other =
        catalogued.is_some_and(|version| version != package.version.trim_start_matches(['v', 'V']));
    if is_other || package.app_code != saas.app {
        return Err(BluekingError::OtherPackage {
            file: file.served_path(),
            catalog: format!("{} {}", saas.app, file.version.as_deref().unwrap_or("of any version")),
            package: format!("{} {}", package.app_code, package.version),
        });
    }
    Ok(Asked { saas, file, package })
}

fn package(asked: &Asked<'_>, platform: &Platform, catalog: &Catalog, desire: &Desire) -> Resource {
    let Asked { saas, file, package } = asked;
    let wanted = SaasPackage {
        platform: platform.clone(),
        app: saas.app.clone(),
        version: package.version.clone(),
        file: file_name(file),
        digest: file.digest,
        size: file.size,
        overwrite: saas.overwrite,
    };
    let is_runtime = |digest: &Digest| {
        catalog.files.iter().any(|file| file.kind == FileKind::Runtime && file.digest == *digest)
    };
    // PaaS puts layers on an image that it fetches from the site's registry, and builds source code with the runtimes in bkrepo. What
    // else may fail there is no reason to leave SaaS untried.
    let is_needed = |desired: &Desired| match desired {
        Desired::Image(image) => package.base_image().is_some_and(|base| base.is(&image.repository)),
        Desired::Upload(upload) => package.kind == PackageKind::Source && is_runtime(&upload.digest),
        _ => false,
    };
    let needs = desire.resources.iter().filter(|resource| is_needed(&resource.desired)).map(Resource::id);
    let reason = format!("the site file asks for it; it is made of {}", package.kind);
    Resource::new(Desired::SaasPackage(wanted), reason).after(needs)
}

fn modules(
    desire: &mut Desire,
    asked: &Asked<'_>,
    site: &SiteFile,
    facts: &Facts,
    platform: &Platform,
) -> Result<(), BluekingError> {
    let Asked { saas, file, package } = asked;
    let mut first: Option<ResourceId> = None;
    let names = ordered(saas, package)?;
    if saas.variables.is_some() && !names.contains(&DEFAULT) {
        return Err(BluekingError::VariablesOfNoModule {
            app: saas.app.clone(),
            modules: names.iter().map(|&name| name.to_owned()).collect(),
        });
    }
    for name in names {
        let variables = saas.variables.as_ref().filter(|_| name == DEFAULT).and_then(|path| {
            let path = site.absolute(path);
            facts.variables.get(&path).map(|given| Variables { digest: given.digest, path })
        });
        let module = SaasModule {
            platform: platform.clone(),
            app: saas.app.clone(),
            module: name.to_owned(),
            environment: saas.environment,
            revision: format!("{}:{}", package.revision_kind(), package.version),
            package: file.digest,
            overwrite: saas.overwrite,
            variables,
        };
        let reason = match first {
            None => "an application is there once it is deployed",
            Some(_) => "it works with all of its modules only",
        };
        // The same version can come with other content: what is given anew is deployed anew.
        let module = Resource::new(Desired::SaasModule(module), reason)
            .after(first.clone())
            .following([ResourceId::new("saas", &saas.app)]);
        first.get_or_insert_with(|| module.id());
        if !desire.resources.iter().any(|known| known.id() == module.id()) {
            desire.resources.push(module);
        }
    }
    Ok(())
}

/// The modules that are deployed, the one first that the others need.
fn ordered<'a>(saas: &'a Saas, package: &'a Package) -> Result<Vec<&'a str>, BluekingError> {
    let known: Vec<&str> = package.modules.iter().map(|module| module.name.as_str()).collect();
    let mut names: Vec<&str> = saas.modules.iter().map(String::as_str).collect();
    if let Some(module) = names.iter().find(|name| !known.contains(name)) {
        return Err(BluekingError::NoModule {
            app: saas.app.clone(),
            module: (*module).to_owned(),
            known: known.iter().map(|&name| name.to_owned()).collect(),
        });
    }
    if names.is_empty() {
        names = known;
    }
    names.sort_by_key(|&name| (name != DEFAULT, name));
    names.dedup();
    Ok(names)
}

/// What packages need and the bundle lacks, so that nobody but PaaS itself can have brought it.
fn missing_bases(catalog: &Catalog, all: &[Asked<'_>]) -> Vec<String> {
    let mut lacking: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Asked { saas, package, .. } in all {
        let missing = match package.base_image() {
            Some(base) => (!catalog.images.iter().any(|image| base.is(&image.repository))).then(|| {
                format!("the image {base} in PaaS's registry, which its job init-data brings there")
            }),
            None => (!catalog.files.iter().any(|file| file.kind == FileKind::Runtime))
                .then(|| "runtimes in bkrepo".to_owned()),
        };
        if let Some(missing) = missing {
            lacking.entry(missing).or_default().push(&saas.app);
        }
    }
    let sentence = |(missing, apps): (String, Vec<&str>)| {
        let verb = if apps.len() == 1 { "needs" } else { "need" };
        format!("{} {verb} {missing}, and the bundle has none: see that it is there", apps.join(", "))
    };
    lacking.into_iter().map(sentence).collect()
}

/// Desktops are no part of PaaS.
fn desktops(all: &[Asked<'_>]) -> Option<String> {
    let apps: Vec<&str> = all.iter().map(|asked| asked.saas.app.as_str()).collect();
    (!apps.is_empty()).then(|| {
        format!("users see the SaaS on their desktops after `scripts/set_desktop_default_app.sh -a \"{}\"` of BlueKing's scripts", apps.join(","))
    })
}

fn plugins(desire: &mut Desire, catalog: &Catalog, platform: &Platform) -> Result<(), Error> {
    let mut files: BTreeMap<String, &File> = BTreeMap::new();
    for file in catalog.files.iter().filter(|file| file.path.as_str().starts_with(PLUGINS)) {
        let name = file_name(file);
        if let Some(other) = files.get(&name).filter(|other| other.digest != file.digest) {
            let (one, other) = (other.served_path(), file.served_path());
            return Err(Error::PlaceClash {
                name: format!("node management's folder as {name}"),
                one,
                other,
            });
        }
        files.insert(name, file);
    }
    if files.is_empty() {
        desire.by_hand.push(format!(
            "no agent plug-ins given to node management: the bundle has no files below {PLUGINS}; `bkdl` with `gse_plugins_freq` in its spec brings them"
        ));
        return Ok(());
    }
    let files =
        files.into_iter().map(|(name, file)| PluginFile { name, digest: file.digest, size: file.size });
    let plugins = AgentPlugins { platform: platform.clone(), files: files.collect() };
    let reason = "the site file says `blueking: {plugins: true}`";
    desire.resources.push(Resource::new(Desired::AgentPlugins(plugins), reason));
    Ok(())
}

fn file_name(file: &File) -> String {
    let path = file.path.as_str();
    path.rsplit('/').next().unwrap_or(path).to_owned()
}
