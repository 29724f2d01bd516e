//! Why a pull failed, by what the container runtime said: docker, containerd and CRI-O, through the kubelet's events and the
//! container's status.

use serde::Serialize;

/// Why an image is not on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The node's disk is full.
    NoSpace,
    /// The image is for other processors.
    Platform,
    /// The name is none.
    InvalidName,
    /// It names no registry, and the node will not guess one.
    NoRegistry,
    /// It is not there, and the pod forbids to pull it.
    NeverPulled,
    /// The registry's certificate is not trusted.
    Certificate,
    /// The registry talks HTTP, and the node HTTPS.
    PlainHttp,
    /// The registry lets only so many pulls through.
    RateLimit,
    /// The registry's name does not resolve.
    Resolution,
    /// The registry wants a login, or another.
    Login,
    /// The registry does not have it.
    NotFound,
    /// The registry does not answer.
    Unreachable,
    /// Something else.
    Unknown,
}

/// What each cause says, in small letters. The first that fits counts: what is said on the way to another failure comes before it.
const SAYS: [(Cause, &[&str]); 10] = [
    (Cause::NoSpace, &["no space left on device", "disk quota exceeded"]),
    (
        Cause::Platform,
        &[
            "no match for platform in manifest",
            "no matching manifest for",
            "no supported platform found in manifest list",
            "no image found in manifest list for architecture",
            "no image found in image index for architecture",
            "exec format error",
        ],
    ),
    (
        Cause::NoRegistry,
        &[
            "short name mode is enforcing",
            "no unqualified-search registries",
            "no registries configured while trying to pull an unqualified image",
            "short-name resolution enforced",
        ],
    ),
    (
        Cause::InvalidName,
        &["invalid reference format", "couldn't parse image name", "failed to apply default image tag"],
    ),
    (Cause::Certificate, &["x509: ", "tls: failed to verify certificate", "tls: bad certificate"]),
    (
        Cause::PlainHttp,
        &["server gave http response to https client", "first record does not look like a tls handshake"],
    ),
    (Cause::RateLimit, &["toomanyrequests", "429 too many requests", "pull rate limit", "pull limit"]),
    (Cause::Resolution, &["no such host", "server misbehaving", "dial tcp: lookup ", "name resolution"]),
    (
        Cause::Login,
        &[
            "unauthorized",
            "no basic auth credentials",
            "pull access denied",
            "insufficient_scope",
            "authorization failed",
            "authentication required",
            "requested access to the resource is denied",
            "denied: ",
            "403 forbidden",
        ],
    ),
    (
        Cause::Unreachable,
        &[
            "i/o timeout",
            "connection refused",
            "no route to host",
            "network is unreachable",
            "connection reset by peer",
            "connection timed out",
            "tls handshake timeout",
            "client.timeout exceeded",
            "deadline exceeded",
            "502 bad gateway",
            "503 service unavailable",
            "proxyconnect tcp",
            ": eof",
        ],
    ),
];
/// What says that the registry has no such image; said also in passing of other things, so it comes last.
const NOT_FOUND: [&str; 6] =
    ["manifest unknown", "name unknown", "repository name not known", "not found", "404", "does not exist"];

impl Cause {
    /// By the kubelet's reason and what was said.
    pub(super) fn of(reason: &str, said: &str) -> Self {
        let said = of_mirrors(said).to_lowercase();
        let told = SAYS.iter().find(|(_, patterns)| patterns.iter().any(|pattern| said.contains(pattern)));
        match (told, reason) {
            (_, "ErrImageNeverPull") => Self::NeverPulled,
            (_, "InvalidImageName") => Self::InvalidName,
            (Some((cause, _)), _) => *cause,
            (None, _) if NOT_FOUND.iter().any(|pattern| said.contains(pattern)) => Self::NotFound,
            (None, "RegistryUnavailable") => Self::Unreachable,
            (None, _) => Self::Unknown,
        }
    }
}

/// CRI-O tries the mirrors, then the registry itself, and says both. Nothing but a mirror can be reached where there is no internet.
fn of_mirrors(said: &str) -> &str {
    let mirrors = said.split_once("Mirrors also failed: [").and_then(|(_, rest)| rest.split_once("])"));
    mirrors.map_or(said, |(mirrors, _)| mirrors)
}

/// What was said, without what the kubelet and its runtime put in front, and without what differs from one try to the next.
pub(super) fn gist(said: &str) -> String {
    let mut said = said.trim();
    for begin in ["Failed to pull image \"", "Failed to inspect image \"", "Back-off pulling image \""] {
        if let Some(rest) = said.strip_prefix(begin).and_then(|rest| rest.split_once("\": ")) {
            said = rest.1;
        }
    }
    said = said.strip_prefix("ErrImagePull: ").unwrap_or(said);
    if let Some(rest) = said.strip_prefix("rpc error: code = ") {
        said = rest.split_once(" desc = ").map_or(rest, |(_, rest)| rest);
    }
    said = said.strip_prefix("Error response from daemon: ").unwrap_or(said);
    for begin in ["failed to pull and unpack image \"", "failed to resolve reference \""] {
        if let Some((_, rest)) = said.strip_prefix(begin).and_then(|rest| rest.split_once("\": ")) {
            said = rest;
        }
    }
    said = said.strip_prefix("failed to resolve image: ").unwrap_or(said);
    without_ports(said)
}

/// The port that a connection came from is another one each time: `read udp 10.0.0.1:33734->10.0.0.2:53`.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("->");
    let mut plain = String::with_capacity(text.len());
    if let Some(first) = parts.next() {
        plain.push_str(first);
    }
    for part in parts {
        let address = plain.trim_end_matches(|c: char| c.is_ascii_digit());
        if address.len() < plain.len() && address.ends_with(':') {
            let length = address.len() - 1;
            plain.truncate(length);
        }
        plain.push_str("->");
        plain.push_str(part);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What runtimes really said, as the kubelet told it: by runtime and cause.
    const SAID: [(&str, Cause, &str); 64] = include!("said.in");

    #[test]
    fn causes_are_told_from_what_runtimes_said() {
        for (runtime, cause, said) in SAID {
            assert_eq!(Cause::of("ImagePullBackOff", said), cause, "{runtime}: {said}");
        }
    }

    #[test]
    fn every_runtime_has_said_the_usual() {
        use Cause::{Certificate, Login, NotFound, PlainHttp, Platform, Resolution, Unreachable};
        for runtime in ["docker", "containerd", "cri-o"] {
            for cause in [Resolution, Certificate, PlainHttp, Login, NotFound, Unreachable, Platform] {
                let is_there = SAID.iter().any(|(by, about, _)| (*by, *about) == (runtime, cause));
                assert!(is_there, "{runtime} is not known to say {cause:?}");
            }
        }
    }

    #[test]
    fn reasons_of_the_kubelet_count() {
        assert_eq!(
            Cause::of(
                "ErrImageNeverPull",
                "Container image \"a:1\" is not present with pull policy of Never"
            ),
            Cause::NeverPulled
        );
        let said = "Failed to apply default image tag \"A:1\": couldn't parse image reference \"A:1\": invalid reference format: repository name must be lowercase";
        assert_eq!(Cause::of("InvalidImageName", said), Cause::InvalidName);
        assert_eq!(Cause::of("ImagePullBackOff", "Back-off pulling image \"nginx:1\""), Cause::Unknown);
    }

    #[test]
    fn the_gist_is_what_the_registry_or_the_network_said() {
        for (said, expected) in [
            (
                "Failed to pull image \"busybox\": rpc error: code = Unknown desc = failed to pull and unpack image \"docker.io/library/busybox:latest\": failed to resolve reference \"docker.io/library/busybox:latest\": failed to do request: Head \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: read udp 10.0.0.1:33734->10.0.0.2:53: i/o timeout",
                "failed to do request: Head \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: read udp 10.0.0.1->10.0.0.2:53: i/o timeout",
            ),
            (
                "Failed to pull image \"a/b:1\": rpc error: code = Unknown desc = Error response from daemon: manifest for a/b:1 not found: manifest unknown: manifest unknown",
                "manifest for a/b:1 not found: manifest unknown: manifest unknown",
            ),
            (
                "Back-off pulling image \"a:1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/a:1\": docker.io/library/a:1: not found",
                "docker.io/library/a:1: not found",
            ),
        ] {
            assert_eq!(gist(said), expected);
        }
    }
}
