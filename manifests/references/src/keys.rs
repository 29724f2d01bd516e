//! What the names of keys, variables and options say of their values.

/// The stem of a key that names an image: of `image` nothing, of `sidecarImage` and `SIDECAR_IMAGE` the sidecar.
pub(crate) fn is_image(key: &str) -> bool {
    ends_with(key, "image")
}

/// Whether a key names an image in other words: `imageName` of operators, `imageRef`.
pub(crate) fn is_image_name(key: &str) -> bool {
    ["imagename", "imageref", "imagereference"].iter().any(|end| ends_with(key, end))
}

/// Whether a key leads to several images.
pub(crate) fn is_images(key: &str) -> bool {
    ends_with(key, "images")
}

/// Whether a key names a registry for images that are named elsewhere.
pub(crate) fn is_registry(key: &str) -> bool {
    if !key.ends_with(['y', 'Y', 't', 'T', 's', 'S']) || key.len() < 12 {
        return false;
    }
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    ["imageregistry", "dockerregistry", "containerregistry", "registryhost", "registryaddress"]
        .iter()
        .any(|end| plain.ends_with(end))
}

/// Keys under which nothing is an image: selectors compare, schemas describe, and what was applied last is a copy.
pub(crate) fn is_barren(key: &str) -> bool {
    matches!(
        key,
        "labels"
            | "matchLabels"
            | "selector"
            | "nodeSelector"
            | "openAPIV3Schema"
            | "managedFields"
            | "kubectl.kubernetes.io/last-applied-configuration"
    )
}

/// Keys whose values are prose.
pub(crate) fn is_prose(key: &str) -> bool {
    matches!(key, "description" | "message" | "notes" | "NOTES" | "changelog" | "title" | "summary")
}

/// Keys whose values are commands or their arguments.
pub(crate) fn is_arguments(key: &str) -> bool {
    matches!(
        key,
        "args"
            | "command"
            | "commands"
            | "cmd"
            | "entrypoint"
            | "extraArgs"
            | "extraArguments"
            | "containerArgs"
    ) || key.ends_with("Args")
}

/// Keys whose values are environments, as maps or as `NAME=value`.
pub(crate) fn is_environment(key: &str) -> bool {
    matches!(key, "env" | "environment" | "envs" | "extraEnv" | "extraEnvs" | "extraEnvVars" | "envVars")
}

/// The keys beside one that names a repository: of `imageRepository` `imageTag`, of `image_repository` `image_tag`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beside<'k> {
    stem: &'k str,
    style: Style,
}

#[derive(Debug, PartialEq, Eq)]
enum Style {
    Lower,
    Camel,
    Snake,
    Screaming,
}

impl<'k> Beside<'k> {
    /// Beside a key that ends in `repository`.
    pub(crate) fn repository(key: &'k str) -> Option<Self> {
        ["repository", "Repository", "REPOSITORY", "repo", "Repo", "REPO"]
            .iter()
            .find_map(|end| key.strip_suffix(end))
            .and_then(|stem| Self::of_stem(stem, key))
    }

    /// Beside a key that ends in `image`: `image` and `tag`, or `imageTag`.
    pub(crate) fn image(key: &'k str) -> Self {
        let style = match key.as_bytes() {
            _ if key.contains('_') && key.contains("IMAGE") => Style::Screaming,
            b"IMAGE" => Style::Screaming,
            _ if key.contains('_') => Style::Snake,
            _ => Style::Camel,
        };
        Self { stem: key, style }
    }

    fn of_stem(stem: &'k str, key: &str) -> Option<Self> {
        let style = match (stem, key.as_bytes()[stem.len()]) {
            ("", first) if first.is_ascii_lowercase() => Style::Lower,
            ("", _) => return None,
            (_, first) if stem.ends_with('_') && first.is_ascii_uppercase() => Style::Screaming,
            _ if stem.ends_with('_') => Style::Snake,
            (_, first) if first.is_ascii_uppercase() => Style::Camel,
            _ => return None,
        };
        Some(Self { stem: stem.trim_end_matches('_'), style })
    }

    /// Whether `key` is `part`, of the same image: `tag`, `registry`, `digest`.
    pub(crate) fn is(&self, key: &str, part: &str) -> bool {
        let Some(rest) = key.strip_prefix(self.stem) else { return false };
        match self.style {
            Style::Lower => rest == part,
            Style::Camel => {
                rest.len() == part.len()
                    && rest[..1] == part[..1].to_ascii_uppercase()
                    && rest[1..] == part[1..]
            }
            Style::Snake => rest.strip_prefix('_') == Some(part),
            Style::Screaming => rest.strip_prefix('_').is_some_and(|rest| rest == part.to_ascii_uppercase()),
        }
    }
}

/// Whether `key` ends in the word, in whatever case words are told apart.
fn ends_with(key: &str, word: &str) -> bool {
    let Some(start) = key.len().checked_sub(word.len()) else { return false };
    key.is_char_boundary(start) && key[start..].eq_ignore_ascii_case(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_at_the_end() {
        for key in ["image", "Image", "sidecarImage", "PAAS_APP_IMAGE", "a/base-image", "containerimage"] {
            assert!(is_image(key), "{key}");
        }
        for key in ["", "mage", "imagePullPolicy", "imageTag", "images", "é", "imageID"] {
            assert!(!is_image(key), "{key}");
        }
        assert!(
            is_images("artifacthub.io/images")
                && is_registry("imageRegistry")
                && is_registry("IMAGE_REGISTRY")
        );
        assert!(!is_registry("registry"));
    }

    #[test]
    fn keys_beside() {
        for (key, tag) in [
            ("repository", "tag"),
            ("repo", "tag"),
            ("imageRepository", "imageTag"),
            ("image_repository", "image_tag"),
            ("WEB_IMAGE_REPOSITORY", "WEB_IMAGE_TAG"),
        ] {
            let beside = Beside::repository(key).unwrap();
            assert!(beside.is(tag, "tag"), "{key}");
            assert!(!beside.is("digest-tag", "tag") && !beside.is("étag", "tag"));
        }
        for (key, tag) in
            [("image", "imageTag"), ("web_image", "web_image_tag"), ("WEB_IMAGE", "WEB_IMAGE_TAG")]
        {
            assert!(Beside::image(key).is(tag, "tag"), "{key}");
        }
        assert_eq!(Beside::repository("monorepo"), None);
    }
}
