//! The pull half of the
//! [OCI distribution specification 1.1](https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md).

mod listing;
mod referrers;
mod refusal;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use ferry_model::Digest;
use ferry_model::digest::DigestError;

use super::content::{Lifetime, respond, set};
use super::library::Repository;
use super::router::Shared;
use refusal::{Code, Refusal};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// `/v2/`: yes, this is a registry, and you may use it.
pub(super) async fn base(method: Method) -> Response {
    let answer = read_only(&method).map(|()| {
        let mut response = Response::new(Body::from("{}"));
        set(response.headers_mut(), CONTENT_TYPE, "application/json");
        response
    });
    finish(answer)
}

/// Everything below `/v2/`. Names have slashes, so the path is read from its end.
pub(super) async fn route(
    State(shared): State<Arc<Shared>>,
    Path(rest): Path<String>,
    method: Method,
    uri: Uri,
    request: HeaderMap,
) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    finish(match read_only(&method).and_then(|()| Target::parse(&rest)) {
        Ok(target) => answer(&shared, target, &query, &request).await,
        Err(refusal) => Err(refusal),
    })
}

/// To whom it may not answer.
pub(super) fn unauthorized() -> Response {
    finish(Err(Refusal::new(Code::Unauthorized, "authentication required")))
}

fn finish(answer: Result<Response, Refusal>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    set(response.headers_mut(), API_VERSION, "registry/2.0");
    set(response.headers_mut(), HeaderName::from_static("x-content-type-options"), "nosniff");
    response
}

fn read_only(method: &Method) -> Result<(), Refusal> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    Err(Refusal::new(Code::Unsupported, "this registry serves bundles and is read-only"))
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Catalog,
    Tags { name: &'a str },
    Manifest { name: &'a str, reference: &'a str },
    Blob { name: &'a str, digest: Digest },
    Referrers { name: &'a str, subject: Digest },
}

impl<'a> Target<'a> {
    fn parse(rest: &'a str) -> Result<Self, Refusal> {
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags { name: check_name(name)? });
        }
        let no_such_path = || Refusal::new(Code::NotFound, "the registry API has no such path");
        let (head, reference) = rest.rsplit_once('/').ok_or_else(no_such_path)?;
        let (name, kind) = head.rsplit_once('/').ok_or_else(no_such_path)?;
        let digest = || {
            reference
                .parse()
                .map_err(|error: DigestError| Refusal::new(Code::DigestInvalid, error.to_string()))
        };
        match kind {
            "manifests" => Ok(Self::Manifest { name: check_name(name)?, reference }),
            "blobs" => Ok(Self::Blob { name: check_name(name)?, digest: digest()? }),
            "referrers" => Ok(Self::Referrers { name: check_name(name)?, subject: digest()? }),
            _ => Err(no_such_path()),
        }
    }
}

/// The characters that repository names are made of, and a host in front of one (`host:5000/library/app`).
fn check_name(name: &str) -> Result<&str, Refusal> {
    let good = !name.is_empty()
        && name.len() <= 511
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:[]".contains(c))
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if good { Ok(name) } else { Err(Refusal::new(Code::NameInvalid, "this is no repository name")) }
}

/// The parameters that this API knows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    count: Option<String>,
    last: Option<String>,
    namespace: Option<String>,
    artifact_types: Vec<String>,
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match &*key {
                "n" => query.count = Some(value.into_owned()),
                "last" => query.last = Some(value.into_owned()),
                "ns" => query.namespace = Some(value.into_owned()),
                "artifactType" => query.artifact_types.push(value.into_owned()),
                _ => {}
            }
        }
        query
    }
}

async fn answer(
    shared: &Arc<Shared>,
    target: Target<'_>,
    query: &Query,
    request: &HeaderMap,
) -> Result<Response, Refusal> {
    let repository = |name: &str| {
        shared.library.repository(name, query.namespace.as_deref()).ok_or_else(|| {
            Refusal::new(Code::NameUnknown, "no bundle has this repository").about("name", name)
        })
    };
    match target {
        Target::Catalog => listing::catalog(&shared.library, query),
        Target::Tags { name } => listing::tags(name, repository(name)?, query),
        Target::Manifest { name, reference } => manifest(shared, repository(name)?, reference, request),
        Target::Blob { name, digest } => {
            repository(name)?;
            blob(shared, &digest, request)
        }
        Target::Referrers { name, subject } => {
            referrers::referrers(shared, repository(name)?, &subject, query).await
        }
    }
}

fn manifest(
    shared: &Shared,
    repository: &Repository,
    reference: &str,
    request: &HeaderMap,
) -> Result<Response, Refusal> {
    let unknown = || {
        Refusal::new(Code::ManifestUnknown, "the repository has no such manifest")
            .about("reference", reference)
    };
    let (digest, lifetime) = if reference.contains(':') {
        let digest = reference
            .parse()
            .map_err(|error: DigestError| Refusal::new(Code::DigestInvalid, error.to_string()))?;
        (digest, Lifetime::Forever)
    } else {
        (*repository.tags.get(reference).ok_or_else(unknown)?, Lifetime::UntilAsked)
    };
    let media_type = repository.media_type(&digest).ok_or_else(unknown)?;
    let content = shared.library.content(&digest).ok_or_else(unknown)?;
    let mut response = respond(shared, content, request, media_type, lifetime);
    set(response.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    Ok(response)
}

/// A blob, whichever repository it was asked for in: what one client may read, all may.
fn blob(shared: &Shared, digest: &Digest, request: &HeaderMap) -> Result<Response, Refusal> {
    let unknown =
        || Refusal::new(Code::BlobUnknown, "no bundle has this blob").about("digest", &digest.to_string());
    let content = shared.library.content(digest).ok_or_else(unknown)?;
    let mut response = respond(shared, content, request, "application/octet-stream", Lifetime::Forever);
    set(response.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    Ok(response)
}

#[cfg(test)]
mod tests;
