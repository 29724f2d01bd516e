//! SaaS packages, looked into while they are hashed.

use ferry_bundle::smart::{self, Package};
use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Failure as _;
use ferry_transfer::Expected;

use super::Request;
use super::through::look_through;
use crate::Error;

/// What the package at `url` is, and what it says of itself.
pub(super) async fn inspect(
    request: &Request<'_>,
    url: &str,
    digest: Option<Digest>,
    task: &Task,
) -> Result<(Digest, u64, Package), Error> {
    let expected = Expected { digest, size: None };
    let seen = look_through(request.client, url, expected, task, |stream| smart::read(stream)).await?;
    let package = seen.sight.map_err(|error| {
        let cause = std::error::Error::source(&error).and_then(std::error::Error::source);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::Entry {
            problem: format!("{url} is {error}{cause}"),
            hint: error.hints().into_iter().next(),
            class: error.class(),
        }
    })?;
    Ok((seen.digest, seen.size, package))
}

/// Refuses a package that is not the one that the spec names.
pub(super) fn check(url: &str, name: &str, version: &str, package: &Package) -> Result<(), Error> {
    let plain = |version: &str| version.trim_start_matches(['v', 'V']).to_owned();
    if name == package.app_code && plain(version) == plain(&package.version) {
        return Ok(());
    }
    Err(Error::input(
        format!("{url} is {} {}, the spec says {name} {version}", package.app_code, package.version),
        "correct `name` and `version`, or the URL",
    ))
}
