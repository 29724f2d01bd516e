//! The requests themselves: manifests, blobs, uploads, lists.

use axum::body::Body;
use axum::http::{Response, StatusCode, request::Parts};
use bytes::Bytes;
use ferry_model::Digest;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::route::{Kind, Route};
use super::{Locations, Registry, answer, lock};

/// One request under way.
pub(super) struct Call<'a> {
    pub(super) registry: &'a Registry,
    pub(super) route: &'a Route,
    pub(super) parts: &'a Parts,
}

impl Call<'_> {
    pub(super) async fn serve(&self, body: Body) -> Response<Body> {
        match self.route.kind {
            Kind::Ping => answer::json(StatusCode::OK, &json!({})),
            Kind::Token => answer::status(StatusCode::NOT_FOUND),
            Kind::Catalog => {
                let store = lock(&self.registry.0.store);
                answer::json(StatusCode::OK, &json!({"repositories": store.names()}))
            }
            Kind::Tags => self.tags(),
            Kind::Referrers => self.referrers(),
            Kind::ManifestGet | Kind::ManifestHead => self.manifest(),
            Kind::BlobGet | Kind::BlobHead => self.blob(),
            Kind::ManifestPut => self.put_manifest(body).await,
            Kind::ManifestDelete => self.delete_manifest(),
            Kind::UploadStart => self.start_upload(body).await,
            Kind::UploadMount => self.mount(body).await,
            Kind::UploadStatus => self.upload_status(),
            Kind::UploadPatch => self.patch(body).await,
            Kind::UploadPut => self.finish_upload(body).await,
            Kind::UploadDelete => {
                lock(&self.registry.0.store).end_upload(&self.route.reference);
                answer::status(StatusCode::NO_CONTENT)
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    fn tags(&self) -> Response<Body> {
        let store = lock(&self.registry.0.store);
        match store.tags(&self.route.repository) {
            Some(tags) => answer::json(StatusCode::OK, &json!({"name": self.route.repository, "tags": tags})),
            None => answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository not known"),
        }
    }

    fn referrers(&self) -> Response<Body> {
        if !self.registry.0.setup.referrers {
            return answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path");
        }
        let manifests = lock(&self.registry.0.store).referrers(&self.route.repository, &self.route.reference);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        });
        let headers = [("content-type", "application/vnd.oci.image.index.v1+json")];
        answer::respond(StatusCode::OK, &headers, Body::from(index.to_string()))
    }

    fn manifest(&self) -> Response<Body> {
        let setup = &self.registry.0.setup;
        let found = lock(&self.registry.0.store).manifest(&self.route.repository, &self.route.reference);
        let Some((digest, media_type, bytes)) = found else {
            return answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        let (length, digest) = (bytes.len().to_string(), digest.to_string());
        let mut headers = vec![("content-type", media_type.as_str()), ("content-length", length.as_str())];
        if setup.digest_header {
            headers.push(("docker-content-digest", &digest));
        }
        let (limit, left) = setup.rate_limit.unwrap_or_default();
        let (limit, left) = (format!("{limit};w=21600"), format!("{left};w=21600"));
        if setup.rate_limit.is_some() {
            headers.push(("ratelimit-limit", &limit));
            headers.push(("ratelimit-remaining", &left));
        }
        if self.route.kind == Kind::ManifestHead {
            return answer::respond(StatusCode::OK, &headers, Body::empty());
        }
        self.registry.sent(bytes.len());
        answer::respond(StatusCode::OK, &headers, Body::from(bytes))
    }

    fn blob(&self) -> Response<Body> {
        let digest = self.route.reference.parse::<Digest>().ok();
        let found =
            digest.and_then(|digest| lock(&self.registry.0.store).blob(&self.route.repository, digest));
        let Some(bytes) = found else {
            return answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown");
        };
        let range = self.header("range").filter(|_| self.registry.0.setup.ranges);
        let mut response = crate::files::ranged(bytes, range, self.route.kind == Kind::BlobHead);
        if self.route.kind == Kind::BlobGet {
            self.registry.sent(crate::files::content_length(&response));
        }
        if self.registry.0.setup.digest_header
            && let Ok(value) = self.route.reference.parse()
        {
            response.headers_mut().insert("docker-content-digest", value);
        }
        response
    }

    /// With every tag that names it, as the distribution does.
    fn delete_manifest(&self) -> Response<Body> {
        let Ok(digest) = self.route.reference.parse() else {
            return answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "only by digest");
        };
        if lock(&self.registry.0.store).delete_manifest(&self.route.repository, digest) {
            return answer::status(StatusCode::ACCEPTED);
        }
        answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown")
    }

    async fn put_manifest(&self, body: Body) -> Response<Body> {
        let bytes = match self.collect(body).await {
            Ok(bytes) => bytes,
            Err(refusal) => return *refusal,
        };
        let digest = Digest::of(&bytes);
        if let Ok(expected) = self.route.reference.parse::<Digest>()
            && expected != digest
        {
            return answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "digest does not match");
        }
        let Ok(manifest) = serde_json::from_slice(&bytes) else {
            return answer::error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "no JSON");
        };
        let mut store = lock(&self.registry.0.store);
        let lacking = store.lacking(&self.route.repository, &manifest);
        let may_lack = self.registry.0.setup.sparse_indexes && manifest.get("manifests").is_some();
        if !lacking.is_empty() && !may_lack {
            return answer::error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", &lacking.join(", "));
        }
        let media_type = self.header("content-type").unwrap_or("application/octet-stream");
        store.put_manifest(&self.route.repository, digest, media_type, bytes);
        if self.route.reference.parse::<Digest>().is_err() {
            store.put_tag(&self.route.repository, &self.route.reference, digest);
        }
        drop(store);
        let location = format!("/v2/{}/manifests/{digest}", self.route.repository);
        let mut headers = vec![("location", location), ("docker-content-digest", digest.to_string())];
        if self.registry.0.setup.referrers
            && let Some(subject) = manifest["subject"]["digest"].as_str()
        {
            headers.push(("oci-subject", subject.to_owned()));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        answer::respond(StatusCode::CREATED, &headers, Body::empty())
    }

    async fn start_upload(&self, body: Body) -> Response<Body> {
        let id = lock(&self.registry.0.store).begin_upload();
        if let Some(digest) = self.route.parameter("digest") {
            return self.complete(&id, digest, body).await;
        }
        self.accepted(&id, 0)
    }

    async fn mount(&self, body: Body) -> Response<Body> {
        let digest = self.route.parameter("mount").and_then(|text| text.parse::<Digest>().ok());
        let from = self.route.parameter("from").unwrap_or_default();
        let mounted = self.registry.0.setup.mounts
            && digest.is_some_and(|digest| {
                lock(&self.registry.0.store).mount(&self.route.repository, digest, from)
            });
        match digest {
            Some(digest) if mounted => self.created(digest),
            _ => self.start_upload(body).await,
        }
    }

    fn upload_status(&self) -> Response<Body> {
        let held = lock(&self.registry.0.store).upload(&self.route.reference).map(|held| held.len());
        match held {
            Some(held) => {
                let mut response = self.accepted(&self.route.reference, held);
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            None => answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload"),
        }
    }

    async fn patch(&self, body: Body) -> Response<Body> {
        let held = lock(&self.registry.0.store).upload(&self.route.reference).map(|held| held.len());
        let Some(held) = held else {
            return answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        let start = self.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
        if start.is_some_and(|start: usize| start != held) {
            return answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", "out of order");
        }
        match self.append(&self.route.reference, body).await {
            Ok(held) => self.accepted(&self.route.reference, held),
            Err(refusal) => *refusal,
        }
    }

    async fn finish_upload(&self, body: Body) -> Response<Body> {
        match self.route.parameter("digest") {
            Some(digest) => self.complete(&self.route.reference, digest, body).await,
            None => answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "no digest given"),
        }
    }

    async fn complete(&self, id: &str, digest: &str, body: Body) -> Response<Body> {
        if let Err(refusal) = self.append(id, body).await {
            return *refusal;
        }
        let content = lock(&self.registry.0.store).end_upload(id);
        let Some(content) = content else {
            return answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        let actual = Digest::of(&content);
        if actual.to_string() != digest {
            return answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "digest does not match");
        }
        lock(&self.registry.0.store).put_blob(&self.route.repository, actual, content.into());
        self.created(actual)
    }

    /// Adds a body to an upload frame by frame, so that a broken connection leaves what had come.
    async fn append(&self, id: &str, mut body: Body) -> Result<usize, Box<Response<Body>>> {
        self.check_length()?;
        let unknown =
            || Box::new(answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload"));
        let mut length = lock(&self.registry.0.store).upload(id).ok_or_else(unknown)?.len();
        let mut of_this_body = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(|_| Box::new(answer::status(StatusCode::BAD_REQUEST)))?;
            let Ok(data) = data.into_data() else { continue };
            of_this_body += data.len();
            if self.registry.0.setup.largest_body.is_some_and(|largest| of_this_body > largest) {
                return Err(too_large().into());
            }
            self.registry.received(data.len());
            let mut store = lock(&self.registry.0.store);
            let held = store.upload(id).ok_or_else(unknown)?;
            held.extend_from_slice(&data);
            length = held.len();
        }
        Ok(length)
    }

    async fn collect(&self, body: Body) -> Result<Bytes, Box<Response<Body>>> {
        self.check_length()?;
        let body = body.collect().await.map_err(|_| answer::status(StatusCode::BAD_REQUEST))?;
        let bytes = body.to_bytes();
        self.registry.received(bytes.len());
        Ok(bytes)
    }

    fn check_length(&self) -> Result<(), Box<Response<Body>>> {
        let declared = self.header("content-length").and_then(|text| text.parse::<usize>().ok());
        match (self.registry.0.setup.largest_body, declared) {
            (Some(largest), Some(declared)) if declared > largest => Err(too_large().into()),
            _ => Ok(()),
        }
    }

    fn created(&self, digest: Digest) -> Response<Body> {
        let location = self.location(&format!("/v2/{}/blobs/{digest}", self.route.repository));
        let headers = [("location", location.as_str()), ("docker-content-digest", &digest.to_string())];
        answer::respond(StatusCode::CREATED, &headers, Body::empty())
    }

    fn accepted(&self, id: &str, held: usize) -> Response<Body> {
        // The query stands for the state that docker-registry carries there; a client must keep it.
        let location = self.location(&format!("/v2/{}/blobs/uploads/{id}?_state=x", self.route.repository));
        let range = format!("0-{}", held.saturating_sub(1));
        let headers = [("location", location.as_str()), ("range", &range), ("docker-upload-uuid", id)];
        answer::respond(StatusCode::ACCEPTED, &headers, Body::empty())
    }

    fn location(&self, path: &str) -> String {
        let host = self.header("host").unwrap_or_default();
        match self.registry.0.setup.locations {
            Locations::Absolute => format!("http://{host}{path}"),
            Locations::WithoutPort => {
                format!("http://{}{path}", host.split(':').next().unwrap_or_default())
            }
            Locations::Relative => path.to_owned(),
        }
    }
}

fn too_large() -> Response<Body> {
    answer::respond(
        StatusCode::PAYLOAD_TOO_LARGE,
        &[("content-type", "text/html"), ("connection", "close")],
        Body::from("<html><h1>413 Request Entity Too Large</h1></html>"),
    )
}
