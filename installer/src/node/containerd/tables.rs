//! Registries of containerd 1.4, which knows no `hosts.toml`: `mirrors` and `configs` in its own configuration.

use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::node::{NodeRegistry, Security};
use ferry_model::report::Failed;
use toml_edit::{Table, Value};

use crate::node::{endpoint, text};

/// Adds the site's registries; `folder` is where the authorities' files lie.
pub(super) fn add(table: &mut Table, registries: &[NodeRegistry], folder: &Path) -> Result<(), Failed> {
    for registry in registries {
        let host = registry.address.to_string();
        match &registry.security {
            Security::PlainHttp => mirror(table, &host, &[endpoint::url(registry)])?,
            Security::Unverified => {
                text::set(tls(table, &host)?, "insecure_skip_verify", true);
            }
            Security::Https { authority: Some(_) } => {
                let file = folder.join(&host).join(endpoint::AUTHORITY);
                text::set(tls(table, &host)?, "ca_file", file.to_string_lossy().as_ref());
            }
            Security::Https { authority: None } => {}
        }
    }
    for (upstream, mirrors) in endpoint::upstreams(registries) {
        let urls: Vec<String> = mirrors.into_iter().map(endpoint::mirror_url).collect();
        mirror(table, &upstream.to_string(), &urls)?;
    }
    Ok(())
}

/// Puts endpoints that are missing before those that are there.
fn mirror(table: &mut Table, name: &str, urls: &[String]) -> Result<(), Failed> {
    let mirror = below(table, &["mirrors", name])?;
    let there = text::texts(mirror.get("endpoint"));
    let missing = urls.iter().filter(|url| !there.contains(url));
    let all: Vec<&str> = missing.chain(&there).map(String::as_str).collect();
    text::set(mirror, "endpoint", Value::from(text::array(all)));
    Ok(())
}

fn tls<'a>(table: &'a mut Table, host: &str) -> Result<&'a mut Table, Failed> {
    below(table, &["configs", host, "tls"])
}

fn below<'a>(table: &'a mut Table, keys: &[&str]) -> Result<&'a mut Table, Failed> {
    keys.iter().try_fold(table, |table, key| text::table_at(table, key)).ok_or_else(|| {
        let message = format!("`registry.{}` in containerd's configuration is no table", keys.join("."));
        Failed::because(Class::Input, message).hint("correct it: containerd cannot read it either")
    })
}
