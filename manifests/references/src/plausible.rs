//! Whether a text that could be a reference is one. Almost any word could.

use ferry_model::ImageReference;

use crate::mapped::{HOLE, Mapped};
use crate::parts::Parts;

/// What a key that names an image leads to: any reference.
pub(crate) fn named_so(text: &Mapped<'_>) -> Option<Parts> {
    let parts = Parts::read(text)?;
    (!is_other_word(&text.text) && !is_file(&text.text)).then_some(parts)
}

/// Why what must be a reference cannot be one; none where it can, or where a template or a variable is a part of it.
pub(crate) fn why_malformed(text: &str) -> Option<String> {
    if text.contains("{{") || text.contains('$') {
        return None;
    }
    text.parse::<ImageReference>().err().map(|error| error.to_string())
}

/// What no key calls an image: only with a registry, and a tag or a digest.
pub(crate) fn by_itself(text: &Mapped<'_>) -> Option<Parts> {
    if !may_be_by_itself(&text.text) {
        return None;
    }
    let parts = Parts::read(text)?;
    let is_real = match &parts.named.registry {
        Some(registry) => is_host(registry),
        None => parts.has_registry(),
    };
    (is_real && parts.is_pinned() && is_image_tag(&parts)).then_some(parts)
}

/// What stands where images often do, as in environments: with a path and a version, if without a registry.
pub(crate) fn among_values(text: &Mapped<'_>) -> Option<Parts> {
    if !may_be_by_itself(&text.text) {
        return None;
    }
    by_itself(text).or_else(|| {
        let parts = Parts::read(text)?;
        let has_version = parts.named.tag.as_deref().is_some_and(is_version) || parts.named.digest.is_some();
        let is_path = parts.named.repository.contains('/') && !is_file(&parts.named.repository);
        (!parts.has_registry() && is_path && has_version).then_some(parts)
    })
}

/// Told without reading it: references that are known by themselves have a slash, and a colon or an `@` behind it.
pub(crate) fn may_be_by_itself(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(slash) = bytes.iter().rposition(|&byte| byte == b'/') else { return false };
    let has_mark = bytes[slash..].iter().any(|byte| matches!(byte, b':' | b'@'));
    // A template's path has slashes of its own perhaps.
    has_mark || text.contains("{{") || text.contains('$')
}

/// The top of a domain, a number of an address, or a host with a port.
fn is_host(registry: &str) -> bool {
    let host = registry.split('/').next().unwrap_or_default();
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let top = name.rsplit('.').next().unwrap_or_default();
    let is_address = name.split('.').count() == 4 && name.split('.').all(|part| part.parse::<u8>().is_ok());
    port.is_some()
        || name == "localhost"
        || is_address
        || (name.contains('.') && top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Tags that would be one's in a reference, and options of a mount or a port elsewhere.
fn is_image_tag(parts: &Parts) -> bool {
    let is_number = !parts.named.repository.contains(|c: char| c.is_ascii_alphabetic());
    !is_number && !matches!(parts.named.tag.as_deref(), Some("ro" | "rw" | "z" | "Z" | "tcp" | "udp"))
}

fn is_version(tag: &str) -> bool {
    let has_digit = tag.contains(|c: char| c.is_ascii_digit());
    tag == "latest" || (has_digit && tag.contains(|c: char| !c.is_ascii_digit()))
}

/// Words that YAML or people mean otherwise.
fn is_other_word(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "true" | "false" | "null" | "none" | "yes" | "no" | "on" | "off" | "default" | "auto"
    ) || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        || text.chars().all(|c| c == HOLE)
}

/// Pictures and disks are called images too.
fn is_file(text: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        "png", "jpg", "jpeg", "gif", "svg", "ico", "webp", "bmp", "iso", "img", "qcow2", "vmdk", "raw", "vhd",
    ];
    let name = text.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_by_themselves() {
        for text in [
            "quay.io/a/b:v1",
            "host:5000/a:1",
            "10.0.0.1/a/b:1",
            "localhost/a:1",
            &format!("a.example.com/b@{DIGEST}"),
            "{{ .Values.registry }}/a/b:{{ .Values.tag }}",
            "$(REGISTRY)/a:1",
        ] {
            assert!(by_itself(&Mapped::new(text, 0)).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "https://a.example.com/b:1",
            "host.example.com:5000",
            "/etc/a.conf:1",
            "conf.d/default.conf:ro",
            "./data:/data",
            "apps/v1",
            "kubernetes.io/arch",
            "application/json",
            "12:30:00",
            "fe80::1/64",
            "10.0.0.0/8:80",
            "quay.io/a/b",
            "a/b:v1",
            "nginx:1",
            "app.kubernetes.io/name: web",
            "git@github.com:a/b.git",
            "{{ .Values.image }}:{{ .Values.tag }}",
            "{{ .a }}/{{ .b }}:{{ .c }}",
            "system:serviceaccount:a/b:c",
        ] {
            assert!(by_itself(&Mapped::new(text, 0)).is_none(), "{text}");
        }
        for text in
            ["true", "1.5", "logo.png", "a/b.svg", "", "a b", "{{ .x }}", "https://x.y/z", "/a/b", "Foo"]
        {
            assert!(named_so(&Mapped::new(text, 0)).is_none(), "{text}");
        }
        for text in ["redis", "a/b", "redis:7"] {
            assert!(named_so(&Mapped::new(text, 0)).is_some(), "{text}");
        }
        assert!(among_values(&Mapped::new("blueking/slug-app:v1.1.0-beta.27", 0)).is_some());
        assert!(among_values(&Mapped::new("svc/web:8080", 0)).is_none());
    }
}
