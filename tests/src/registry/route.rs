//! Which request of the distribution spec this is.

use axum::http::{Method, Request};

/// A request's kind, as a test counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `GET /v2/`
    Ping,
    /// `GET /token`
    Token,
    /// `GET /v2/_catalog`
    Catalog,
    /// `GET …/tags/list`
    Tags,
    /// `GET …/referrers/DIGEST`
    Referrers,
    /// `GET …/manifests/REFERENCE`
    ManifestGet,
    /// `HEAD …/manifests/REFERENCE`
    ManifestHead,
    /// `PUT …/manifests/REFERENCE`
    ManifestPut,
    /// `DELETE …/manifests/DIGEST`
    ManifestDelete,
    /// `GET …/blobs/DIGEST`
    BlobGet,
    /// `HEAD …/blobs/DIGEST`
    BlobHead,
    /// `POST …/blobs/uploads/` without `mount`.
    UploadStart,
    /// `POST …/blobs/uploads/?mount=`
    UploadMount,
    /// `GET …/blobs/uploads/ID`
    UploadStatus,
    /// `PATCH …/blobs/uploads/ID`
    UploadPatch,
    /// `PUT …/blobs/uploads/ID`
    UploadPut,
    /// `DELETE …/blobs/uploads/ID`
    UploadDelete,
}

impl Kind {
    /// Whether it changes the registry.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::ManifestPut
                | Self::ManifestDelete
                | Self::UploadStart
                | Self::UploadMount
                | Self::UploadStatus
                | Self::UploadPatch
                | Self::UploadPut
                | Self::UploadDelete
        )
    }
}

/// A request taken apart.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) kind: Kind,
    pub(super) repository: String,
    /// The tag, digest or upload id.
    pub(super) reference: String,
    query: Vec<(String, String)>,
}

impl Route {
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let query = parse_query(request.uri().query().unwrap_or_default());
        let route = |kind, repository: &str, reference: &str| {
            Some(Self {
                kind,
                repository: repository.to_owned(),
                reference: reference.to_owned(),
                query: query.clone(),
            })
        };
        let path = request.uri().path();
        let method = request.method();
        if path == "/token" {
            return route(Kind::Token, "", "");
        }
        let rest = path.strip_prefix("/v2/")?;
        if rest.is_empty() {
            return route(Kind::Ping, "", "");
        }
        if rest == "_catalog" {
            return route(Kind::Catalog, "", "");
        }
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            return route(Kind::Tags, repository, "");
        }
        if let Some((repository, id)) = rest.rsplit_once("/blobs/uploads/") {
            let is_mount = query.iter().any(|(key, _)| key == "mount");
            let kind = match *method {
                Method::POST if is_mount => Kind::UploadMount,
                Method::POST => Kind::UploadStart,
                Method::PATCH => Kind::UploadPatch,
                Method::PUT => Kind::UploadPut,
                Method::DELETE => Kind::UploadDelete,
                _ => Kind::UploadStatus,
            };
            return route(kind, repository, id);
        }
        let (front, reference) = rest.rsplit_once('/')?;
        let (repository, what) = front.rsplit_once('/')?;
        let kind = match (what, method) {
            ("manifests", &Method::PUT) => Kind::ManifestPut,
            ("manifests", &Method::DELETE) => Kind::ManifestDelete,
            ("manifests", &Method::HEAD) => Kind::ManifestHead,
            ("manifests", _) => Kind::ManifestGet,
            ("blobs", &Method::HEAD) => Kind::BlobHead,
            ("blobs", _) => Kind::BlobGet,
            ("referrers", _) => Kind::Referrers,
            _ => return None,
        };
        route(kind, repository, reference)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Splits a query and undoes the percent signs that clients put into digests and scopes.
pub(super) fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), percent_decode(value)))
        .collect()
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (None, byte) => {
                bytes.push(if *byte == b'+' { b' ' } else { *byte });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_requests_apart() {
        for (method, uri, kind, repository, reference) in [
            ("GET", "/v2/", Kind::Ping, "", ""),
            ("GET", "/v2/a/b/manifests/1.0", Kind::ManifestGet, "a/b", "1.0"),
            ("HEAD", "/v2/a/blobs/sha256:00", Kind::BlobHead, "a", "sha256:00"),
            ("POST", "/v2/a/b/blobs/uploads/?mount=sha256%3A00&from=c", Kind::UploadMount, "a/b", ""),
            ("PATCH", "/v2/a/blobs/uploads/17", Kind::UploadPatch, "a", "17"),
            ("GET", "/v2/a/tags/list", Kind::Tags, "a", ""),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let route = Route::of(&request).unwrap();
            assert_eq!(
                (route.kind, route.repository.as_str(), route.reference.as_str()),
                (kind, repository, reference)
            );
        }
        assert_eq!(percent_decode("sha256%3a0+1%"), "sha256:0 1%");
    }
}
