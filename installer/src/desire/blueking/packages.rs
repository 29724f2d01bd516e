//! What the SaaS packages of a bundle say of themselves. It stands anywhere in them, so each is read to its end: once, and what it says
//! is kept in the state folder by the package's digest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ferry_bundle::Bundle;
use ferry_bundle::smart::{self, Package};
use ferry_model::Digest;
use ferry_model::catalog::FileKind;
use ferry_model::site::Blueking;
use serde::{Deserialize, Serialize};

use super::BluekingError;
use crate::Error;
use crate::replace::{Guise, write_file};

/// The file.
const NAME: &str = "packages.json";
/// How packages are read; more when the rules change, so that what was read by others is read again.
const RULES: u32 = 1;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    rules: u32,
    packages: BTreeMap<Digest, Package>,
}

/// The packages of the applications that are asked for, and those that the catalog has no name for.
pub(in crate::desire) fn read_packages(
    bundle: &Bundle,
    blueking: &Blueking,
    state: &Path,
) -> Result<BTreeMap<Digest, Package>, Error> {
    let is_asked = |name: &String| blueking.saas.iter().any(|saas| saas.app == *name);
    let mut files = bundle.catalog().files.iter().filter(|file| file.kind == FileKind::Saas).peekable();
    if blueking.saas.is_empty() || files.peek().is_none() {
        return Ok(BTreeMap::new());
    }
    let path = state.join(NAME);
    let known = known(&path);
    let mut packages = BTreeMap::new();
    for file in files.filter(|file| file.name.as_ref().is_none_or(is_asked)) {
        let package = match known.get(&file.digest) {
            Some(package) => package.clone(),
            None => smart::read(bundle.reader(&file.digest)?)
                .map_err(|source| BluekingError::Unreadable { file: file.served_path(), source })?,
        };
        packages.insert(file.digest, package);
    }
    if packages.keys().any(|digest| !known.contains_key(digest)) {
        keep(state, &path, packages.clone());
    }
    Ok(packages)
}

fn known(path: &Path) -> BTreeMap<Digest, Package> {
    let known: Option<Known> = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    known.filter(|known| known.rules == RULES).unwrap_or_default().packages
}

/// Where that cannot be written, they are read again.
fn keep(state: &Path, path: &Path, packages: BTreeMap<Digest, Package>) {
    let text = serde_json::to_vec(&Known { rules: RULES, packages }).expect("packages are plain data");
    let _ = fs::create_dir_all(state).and_then(|()| write_file(path, &text, &Guise::with_mode(0o600)));
}
