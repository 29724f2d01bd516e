//! The pull half of the [distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::Task;
use http::{HeaderMap, HeaderValue, Method, header};
use oci_distribution::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use url::Url;

use crate::auth::Access;
use crate::download::{Download, Output};
use crate::exchange::Call;
use crate::manifest::{self, Parsed};
use crate::{Client, Descriptor, Error, Expected, Resume, Sink};

pub(crate) const CONTENT_DIGEST: header::HeaderName =
    header::HeaderName::from_static("docker-content-digest");

/// The largest page of tags that is read, and the most pages.
const MAX_PAGE: u64 = 4 << 20;
const MAX_PAGES: usize = 1000;

/// A repository of a registry. Cheap to make and to clone.
#[derive(Clone)]
pub struct Repository {
    pub(crate) client: Client,
    pub(crate) registry: Arc<str>,
    pub(crate) name: Arc<str>,
    for_push: bool,
}

/// A manifest as a registry gave it, checked against the digest that it was asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
}

/// How many pulls a registry still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Pulls in one window.
    pub limit: u64,
    /// Pulls left in this one.
    pub remaining: u64,
    /// How long a window is.
    pub window: Duration,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({}/{})", self.registry, self.name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl Repository {
    pub(crate) fn new(client: Client, registry: &str, repository: &str) -> Self {
        Self { client, registry: registry.into(), name: repository.into(), for_push: false }
    }

    /// The same repository, asking for the right to push from the first request on: one token then does for all.
    #[must_use]
    pub fn for_push(mut self) -> Self {
        self.for_push = true;
        self
    }

    /// The repository's name within its registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a tag or digest resolves to; `None` where there is no such manifest.
    pub async fn head(&self, reference: &str) -> Result<Option<Descriptor>, Error> {
        let headers = match self.head_manifest(reference).await {
            Ok(headers) => headers,
            Err(Error::NotFound { .. }) => return Ok(None),
            // Not every registry knows HEAD here.
            Err(Error::Refused { status: 405, .. }) => HeaderMap::new(),
            Err(error) => return Err(error),
        };
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let digest = text(CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
        let size = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        let media_type =
            text(header::CONTENT_TYPE).filter(|media_type| media_type.starts_with("application/vnd."));
        if let (Some(digest), Some(size), Some(media_type)) = (digest, size, media_type) {
            let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
            return Ok(Some(plain_descriptor(digest, size, media_type)));
        }
        match self.manifest(reference).await {
            Ok(raw) => Ok(Some(plain_descriptor(raw.digest, raw.bytes.len() as u64, raw.media_type))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn head_manifest(&self, reference: &str) -> Result<HeaderMap, Error> {
        let access = self.access()?;
        let call = accepting(Call::new(Method::HEAD, self.manifest_url(reference)?, &access));
        Ok(self.client.request(&call).await?.response.headers().clone())
    }

    /// The manifest under a tag or digest.
    pub async fn manifest(&self, reference: &str) -> Result<RawManifest, Error> {
        let access = self.access()?;
        let url = self.manifest_url(reference)?;
        let call = accepting(Call::new(Method::GET, url.clone(), &access));
        let (headers, bytes) = self.client.request_bytes(&call, manifest::MAX_INDEX).await?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = manifest::media_type(&bytes, content_type)?;
        if manifest::is_schema1(&media_type) {
            return Err(Error::Schema1 { reference: self.describe(reference) });
        }
        if !manifest::is_index(&media_type) && bytes.len() as u64 > manifest::MAX_MANIFEST {
            return Err(Error::TooLarge { url: (&url).into(), limit: manifest::MAX_MANIFEST });
        }
        let digest = Digest::of(&bytes);
        // For a tag the registry's own word is all there is to compare with; it catches what the way there changed.
        let announced = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
        match reference.parse().ok().or(announced) {
            Some(expected) if expected != digest => {
                Err(Error::WrongDigest { url: (&url).into(), expected, actual: digest })
            }
            _ => Ok(RawManifest { bytes, media_type, digest }),
        }
    }

    /// The size of a blob; `None` where the repository does not have it.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let access = self.access()?;
        match self.client.request(&Call::new(Method::HEAD, self.blob_url(digest)?, &access)).await {
            Ok(reply) => {
                let size = reply.header(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
                // A registry that has it but does not say how large it is has it all the same.
                Ok(Some(size.unwrap_or_default()))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Streams a blob into `sink`, going on from `resume`. Gives the digest and the size.
    pub async fn fetch_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        resume: Resume,
        sink: &mut dyn Sink,
        task: &Task,
    ) -> Result<(Digest, u64), Error> {
        let (url, access) = (self.blob_url(digest)?, self.access()?);
        let expected = Expected { digest: Some(*digest), size };
        Download::new(&self.client, &url, &access, expected, Output { sink, task }).run(resume).await
    }

    /// A small blob (an image's config) as a whole.
    pub async fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        let (url, access) = (self.blob_url(digest)?, self.access()?);
        let (_, bytes) =
            self.client.request_bytes(&Call::new(Method::GET, url.clone(), &access), limit).await?;
        let actual = Digest::of(&bytes);
        if actual == *digest {
            Ok(bytes)
        } else {
            Err(Error::WrongDigest { url: (&url).into(), expected: *digest, actual })
        }
    }

    /// All tags, as the registry sorts them.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        self.pages(self.url("tags/list?n=1000")?, |url, _, body| {
            let page: Page = serde_json::from_slice(body)
                .map_err(|_| Error::Protocol { url: url.into(), reason: "it is no list of tags".into() })?;
            tags.extend(page.tags.unwrap_or_default());
            Ok(())
        })
        .await?;
        Ok(tags)
    }

    /// Artifacts about the manifest `digest`: from the referrers API, or from its tag where there is no such API.
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        let mut referrers = Vec::new();
        let listed = self.pages(self.url(&format!("referrers/{digest}"))?, |url, content_type, body| {
            if content_type != OCI_IMAGE_INDEX_MEDIA_TYPE {
                return Err(Error::NotFound { url: url.into(), message: "no referrers API".into() });
            }
            referrers.extend(entries(manifest::parse(body, OCI_IMAGE_INDEX_MEDIA_TYPE)?));
            Ok(())
        });
        match listed.await {
            Ok(()) => return Ok(referrers),
            Err(Error::NotFound { .. } | Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.manifest(&referrers_tag(digest)).await {
            Ok(raw) => Ok(entries(manifest::parse(&raw.bytes, &raw.media_type)?)),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// How many pulls the registry still allows, where it says so. Asks by HEAD, which costs no pull.
    pub async fn pull_quota(&self, reference: &str) -> Result<Option<Quota>, Error> {
        Ok(read_quota(&self.head_manifest(reference).await?))
    }

    /// Reads a list page by page.
    async fn pages(
        &self,
        first: Url,
        mut take: impl FnMut(&Url, &str, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let access = self.access()?;
        let mut url = first;
        for _ in 0..MAX_PAGES {
            let call = Call::new(Method::GET, url.clone(), &access);
            let (headers, body) = self.client.request_bytes(&call, MAX_PAGE).await?;
            let text = |name| {
                headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default()
            };
            let content_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
            take(&url, content_type, &body)?;
            match next_page(&url, text(header::LINK)) {
                Some(next) => url = next,
                None => return Ok(()),
            }
        }
        Err(Error::Protocol {
            url: (&url).into(),
            reason: format!("its list has more than {MAX_PAGES} pages"),
        })
    }

    /// `registry/repository:tag` or `…@digest`, for errors.
    fn describe(&self, reference: &str) -> String {
        let separator = if reference.contains(':') { '@' } else { ':' };
        format!("{self}{separator}{reference}")
    }

    pub(crate) fn access(&self) -> Result<Access, Error> {
        self.access_to(if self.for_push { "pull,push" } else { "pull" })
    }

    pub(crate) fn access_to(&self, actions: &str) -> Result<Access, Error> {
        Ok(Access {
            origin: self.client.registry_origin(&self.registry)?,
            registry: self.registry.as_ref().to_owned(),
            repository: self.name.as_ref().to_owned(),
            scopes: vec![format!("repository:{}:{actions}", self.name)],
            given: None,
        })
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        let origin = self.client.registry_origin(&self.registry)?;
        crate::url::parse(&format!("{origin}v2/{}/{path}", self.name))
    }

    pub(crate) fn manifest_url(&self, reference: &str) -> Result<Url, Error> {
        self.url(&format!("manifests/{reference}"))
    }

    pub(crate) fn blob_url(&self, digest: &Digest) -> Result<Url, Error> {
        self.url(&format!("blobs/{digest}"))
    }
}

/// The tag that holds the list of referrers where the registry has no API for it.
pub fn referrers_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

fn plain_descriptor(digest: Digest, size: u64, media_type: String) -> Descriptor {
    let annotations = std::collections::BTreeMap::new();
    Descriptor {
        digest,
        size,
        media_type,
        platform: None,
        annotations,
        artifact_type: None,
        urls: Vec::new(),
    }
}

fn entries(parsed: Parsed) -> Vec<Descriptor> {
    match parsed {
        Parsed::Index { manifests, .. } => manifests,
        Parsed::Image { .. } => Vec::new(),
    }
}

fn accepting(call: Call<'_>) -> Call<'_> {
    manifest::ACCEPT
        .iter()
        .fold(call, |call, media_type| call.header(header::ACCEPT, HeaderValue::from_static(media_type)))
}

/// The next page of a list, by its `Link` header (RFC 5988). Never on another host.
fn next_page(url: &Url, link: &str) -> Option<Url> {
    let next = link.split(',').find(|link| {
        link.split(';').skip(1).any(|parameter| matches!(parameter.trim(), r#"rel="next""# | "rel=next"))
    })?;
    let target = next.trim().strip_prefix('<')?.split_once('>')?.0;
    crate::url::follow_location(url, target).ok().filter(|next| crate::url::same_origin(url, next))
}

/// Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`.
fn read_quota(headers: &HeaderMap) -> Option<Quota> {
    let read = |name: &str| {
        let (count, window) = headers.get(name)?.to_str().ok()?.split_once(";w=")?;
        Some((count.trim().parse().ok()?, Duration::from_secs(window.trim().parse().ok()?)))
    };
    let ((limit, window), (remaining, _)) = (read("ratelimit-limit")?, read("ratelimit-remaining")?);
    Some(Quota { limit, remaining, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_quotas() {
        let url = Url::parse("https://r:5000/v2/a/tags/list?n=2").unwrap();
        for (link, expected) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("https://r:5000/v2/a/tags/list?last=b&n=2")),
            (
                r#"<https://r/v2/a/tags/list?last=b>; rel="next""#,
                Some("https://r:5000/v2/a/tags/list?last=b"),
            ),
            (r#"<https://other/v2/>; rel="next""#, None),
            (r#"</v2/x>; rel="prev""#, None),
            ("", None),
        ] {
            assert_eq!(next_page(&url, link).as_ref().map(Url::as_str), expected);
        }
        let mut headers = HeaderMap::new();
        assert_eq!(read_quota(&headers), None);
        headers.insert("ratelimit-limit", HeaderValue::from_static("100;w=21600"));
        headers.insert("ratelimit-remaining", HeaderValue::from_static("76;w=21600"));
        let window = Duration::from_secs(21600);
        assert_eq!(read_quota(&headers), Some(Quota { limit: 100, remaining: 76, window }));
    }
}
