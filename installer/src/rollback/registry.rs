//! The registry that a run's images went to. By the time the run is taken back the site file may name another, so how that one is
//! reached is kept beside the run's plan, as the site file would say it of a registry that is there.

use std::fs;
use std::io;

use ferry_model::host::RegistryAddress;
use ferry_model::plan::{Desired, Plan};
use ferry_model::site::{Registry, Site, Tls};
use serde_json::json;

use crate::Error;
use crate::context::Context;
use crate::journal::RunFolder;
use crate::site::SiteFile;

const REGISTRY: &str = "registry.json";

/// How the site's registry is reached, as a file of a run. Of secrets it says where they are.
pub(crate) fn registry_file(context: &Context) -> Option<(&'static str, Vec<u8>)> {
    let registry = context.site.site.registry.as_ref()?;
    let mut known = json!({
        "address": registry.address,
        "existing": {},
        "plainHttp": registry.tls == Tls::PlainHttp,
    });
    if let Some(authority) = context.site.authority() {
        known["authority"] = json!(authority);
    }
    if let Some(login) = &registry.login {
        known["login"] = json!(login);
    }
    Some((REGISTRY, serde_json::to_vec_pretty(&known).expect("texts can be written as JSON")))
}

/// What is needed to reach the registry of the run's images, where that is no longer the site's.
pub(super) fn context_of(context: &Context, plan: &Plan, run: &RunFolder) -> Result<Option<Context>, Error> {
    let address = plan.steps.iter().find_map(|step| match &step.resource.desired {
        Desired::Image(image) => Some(&image.registry),
        Desired::Project(project) => Some(&project.registry),
        _ => None,
    });
    let Some(address) = address.filter(|address| !is_of_site(context, address)) else { return Ok(None) };
    let registry = read(run)?.filter(|known| known.address == *address);
    let registry = registry.unwrap_or_else(|| {
        let bare = json!({"address": address, "existing": {}});
        serde_json::from_value(bare).expect("a registry that is there needs no more than its address")
    });
    let site = SiteFile {
        site: Site { registry: Some(registry), ..context.site.site.clone() },
        ..context.site.clone()
    };
    Ok(Some(Context::new(site, None, context.options.clone(), context.events.clone())))
}

fn is_of_site(context: &Context, address: &RegistryAddress) -> bool {
    context.site.site.registry.as_ref().is_some_and(|registry| registry.address == *address)
}

/// Nothing where the run's program did not keep it.
fn read(run: &RunFolder) -> Result<Option<Registry>, Error> {
    let path = run.path().join(REGISTRY);
    match fs::read(&path) {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|error| Error::damaged(&path, error.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("reading", &path)(error)),
    }
}
