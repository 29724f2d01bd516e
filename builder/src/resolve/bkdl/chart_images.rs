//! `chart-images.txt`: a line for each chart, with its name, its version and the images that it starts.

use ferry_model::ImageReference;

/// The images that a list names, each once and sorted, or what is wrong in which line.
///
/// Where a reference has no registry it is `registry`'s, not Docker Hub's. There, too, a name without a folder is in
/// `library/`.
pub(super) fn parse(text: &str, registry: &str) -> Result<Vec<ImageReference>, Vec<String>> {
    let mut images: Vec<ImageReference> = Vec::new();
    let mut wrong = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#')) {
        for word in line.split_whitespace().skip(2) {
            match reference(word, registry) {
                Ok(image) => images.push(image),
                Err(reason) => wrong.push(format!("line {number}: {reason}")),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    images.sort_by_cached_key(ToString::to_string);
    images.dedup_by_key(|image| image.to_string());
    Ok(images)
}

fn reference(word: &str, registry: &str) -> Result<ImageReference, String> {
    let plain = word.split_once("://").map_or(word, |(_, plain)| plain);
    let first = plain.split_once('/').map(|(first, _)| first);
    let full = match first {
        Some(first) if first.contains(['.', ':']) || first == "localhost" => plain.to_owned(),
        Some(_) => format!("{registry}/{plain}"),
        None => format!("{registry}/library/{plain}"),
    };
    full.parse().map_err(|error: ferry_model::reference::ReferenceError| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_of_every_shape() {
        let text = format!(
            "\u{feff}# chart version images\r\nbkrepo\t1.3.16\tblueking/bkrepo-auth:v1 hub.bktencent.com/blueking/bkrepo-auth:v1\r\n\nbk-monitor 3.8.9  quay.io/a/b:2\tbusybox  registry.corp:5000/x:1 bitnami/redis:6@{DIGEST} docker://docker.io/library/alpine:3\nempty\t1\n"
        );
        let images = parse(&text, "hub.bktencent.com").unwrap();
        let images: Vec<String> = images.iter().map(ToString::to_string).collect();
        assert_eq!(
            images,
            [
                "docker.io/library/alpine:3".to_owned(),
                format!("hub.bktencent.com/bitnami/redis:6@{DIGEST}"),
                "hub.bktencent.com/blueking/bkrepo-auth:v1".to_owned(),
                "hub.bktencent.com/library/busybox:latest".to_owned(),
                "quay.io/a/b:2".to_owned(),
                "registry.corp:5000/x:1".to_owned(),
            ]
        );
    }

    #[test]
    fn wrong_references_name_their_line() {
        let wrong = parse("a 1 good/x:1\nb 1 Bad:1 x/y:z:w\n", "hub").unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(wrong.iter().all(|reason| reason.starts_with("line 2: ")), "{wrong:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-z0-9:@/. \t\r\n#]|sha256:){0,200}") {
            if let Ok(images) = parse(&text, "hub.example.com") {
                let texts: Vec<String> = images.iter().map(ToString::to_string).collect();
                prop_assert!(texts.is_sorted());
                // What it found is found again when it is listed.
                let again = parse(&format!("chart 1 {}", texts.join(" ")), "other.example.com").unwrap();
                prop_assert_eq!(again.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
            }
        }
    }
}
