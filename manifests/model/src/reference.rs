//! Image references: `registry:2`, `hub.bktencent.com/blueking/slug-app:v1.1.0`, `host:5000/a/b@sha256:…`.
//!
//! The grammar and the defaults are those of
//! [distribution/reference](https://github.com/distribution/reference/blob/main/reference.go).

use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// A reference to an image, parsed once. Both spellings are kept: what was written ([`ImageReference::raw`]) and the
/// canonical form ([`Display`](fmt::Display)), with Docker Hub's `docker.io/library/` and `:latest` filled in.
#[derive(Clone, Debug)]
pub struct ImageReference {
    raw: String,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no [`ImageReference`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is not an image reference: {reason}; expected something like `registry.example.com:5000/team/app:1.0`"
)]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

/// The longest repository name that registries take (distribution's `RepositoryNameTotalLengthMax`).
const MAX_NAME: usize = 255;
/// The longest tag (distribution spec, "Pulling manifests").
const MAX_TAG: usize = 128;

impl ImageReference {
    pub(crate) const EXPECTING: &'static str =
        "an image reference such as `registry.example.com:5000/team/app:1.0`";

    /// A reference from its parts, all checked.
    pub fn new(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Self, ReferenceError> {
        let mut text = format!("{registry}/{repository}");
        if let Some(tag) = tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = digest {
            text = format!("{text}@{digest}");
        }
        text.parse()
    }

    /// As it was written.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The registry's host, and port where there is one: `docker.io`, `host:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry: `library/registry`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where one was written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What comes behind `/manifests/` in a request: the digest where there is one, else the tag.
    pub fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
        }
    }

    /// The registry and repository, without tag or digest: `docker.io/library/registry`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same image, in the same repository, by `digest`.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        let mut pinned = Self { tag: None, digest: Some(digest), ..self.clone() };
        pinned.raw = pinned.to_string();
        pinned
    }

    /// The same repository, by `tag`.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Self::new(&self.registry, &self.repository, Some(tag), None)
    }
}

/// Whether the part before the first `/` is a registry and not a name on Docker Hub.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':'])
        || part == "localhost"
        || part.starts_with('[')
        || part.chars().any(|c| c.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("the IPv6 address has no closing bracket")?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "the registry's IPv6 address is malformed")?;
            return match port.strip_prefix(':') {
                None if port.is_empty() => Ok(()),
                Some(port) => check_port(port),
                None => Err("what follows the IPv6 address is no port"),
            };
        }
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label_is_good) {
        return Err("the registry's host name is malformed");
    }
    port.map_or(Ok(()), check_port)
}

fn check_port(port: &str) -> Result<(), &'static str> {
    if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err("the registry's port is not a number below 65536")
    }
}

/// A path component: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn component_is_good(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("a repository name is lower case");
    }
    if !repository.split('/').all(component_is_good) {
        return Err("the repository name is malformed");
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.is_empty() || tag.len() > MAX_TAG {
        return Err("the tag is empty or longer than 128");
    }
    if !tag.starts_with(word) || !tag.chars().all(|c| word(c) || c == '.' || c == '-') {
        return Err("the tag has a character that tags cannot have");
    }
    Ok(())
}

fn parse(text: &str) -> Result<ImageReference, &'static str> {
    if text.len() > 1024 {
        return Err("it is too long");
    }
    if text.contains("://") {
        return Err("it is a URL");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (
            rest,
            Some(digest.parse().map_err(|_| "the digest is not `sha256:` and 64 lower-case hex digits")?),
        ),
        None => (text, None),
    };
    // A colon behind the last slash starts the tag; one before it is the registry's port.
    let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_start..].find(':') {
        Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
        None => (rest, None),
    };
    let (registry, repository) = match name.split_once('/') {
        Some((registry, repository)) if is_registry(registry) => (registry, repository.to_owned()),
        _ => ("docker.io", name.to_owned()),
    };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    check_registry(registry)?;
    let repository = if registry == "docker.io" && !repository.contains('/') && !repository.is_empty() {
        format!("library/{repository}")
    } else {
        repository
    };
    check_repository(&repository)?;
    if repository.len() > MAX_NAME {
        return Err("the repository name is longer than 255");
    }
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
    Ok(ImageReference { raw: text.to_owned(), registry: registry.to_owned(), repository, tag, digest })
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError { text: text.chars().take(200).collect(), reason })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Two references are equal when their canonical forms are.
impl PartialEq for ImageReference {
    fn eq(&self, other: &Self) -> bool {
        (&self.registry, &self.repository, &self.tag, &self.digest)
            == (&other.registry, &other.repository, &other.tag, &other.digest)
    }
}
impl Eq for ImageReference {}

impl std::hash::Hash for ImageReference {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.registry, &self.repository, &self.tag, &self.digest).hash(state);
    }
}
impl PartialOrd for ImageReference {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ImageReference {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.registry, &self.repository, &self.tag, &self.digest).cmp(&(
            &other.registry,
            &other.repository,
            &other.tag,
            &other.digest,
        ))
    }
}

crate::serde_as_string!(ImageReference);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("registry:2", "docker.io/library/registry:2"),
            ("busybox", "docker.io/library/busybox:latest"),
            ("bitnami/redis", "docker.io/bitnami/redis:latest"),
            ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
            (
                "hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27",
                "hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27",
            ),
            ("localhost/a", "localhost/a:latest"),
            ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.raw(), text);
            assert_eq!(canonical.parse::<ImageReference>().unwrap(), reference);
        }
        let both: ImageReference = format!("a:1@{DIGEST}").parse().unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/a:1@{DIGEST}"));
        assert_eq!(both.manifest(), DIGEST);
        let only_digest: ImageReference = format!("a@{DIGEST}").parse().unwrap();
        assert_eq!(only_digest.tag(), None);
    }

    #[test]
    fn rejects() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "A",
            "a:",
            "a:-1",
            "a@sha256:12",
            "a b",
            "https://a.b/c",
            "a..b",
            "a.b:99999/c",
            "a.b:/c",
            "a/../b",
            "host.io/-a",
            "[::1/a",
            "a:b:c",
            &format!("a:{}", "x".repeat(129)),
            &"a".repeat(300),
            "a\0",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// What the reference implementation of the OCI project takes, we take, and read the same way.
        #[test]
        fn agrees_with_oci_spec(text in "([a-z]{1,4}(\\.[a-z]{2,3})?(:[0-9]{1,4})?/)?[a-z0-9]{1,3}([._/-]{1,2}[a-z0-9]{1,3}){0,3}(:[A-Za-z0-9_.-]{1,6})?") {
            let theirs = text.parse::<oci_spec::distribution::Reference>();
            let ours = text.parse::<ImageReference>();
            // They take `_` in a host name, which neither DNS nor docker does.
            prop_assume!(!text.split('/').next().unwrap_or_default().contains('_') || !text.contains('.'));
            prop_assert_eq!(theirs.is_ok(), ours.is_ok(), "{} {:?} {:?}", text, theirs, ours);
            if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
                prop_assert_eq!((theirs.registry(), theirs.repository(), theirs.tag()), (ours.registry(), ours.repository(), ours.tag()));
            }
        }

        #[test]
        fn never_panics_and_round_trips(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
            }
        }
    }
}
