//! The rows of the root page, made some at a time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::catalog::{Chart, File, FileKind, Image};
use ferry_model::size::ByteSize;

use super::Reach;
use crate::serve::library::Library;
use crate::serve::router::Security;
use crate::serve::text::{encode_path, escape_html};

/// Rows that are made at once: some 100 KiB of HTML.
const AT_ONCE: usize = 128;

/// A section of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Images,
    Charts,
    Files(FileKind),
}

/// All sections, with their anchors and titles in English and Chinese.
const SECTIONS: [(Kind, &str, &str, &str); 5] = [
    (Kind::Images, "images", "Images", "镜像"),
    (Kind::Charts, "charts", "Charts", "Chart"),
    (Kind::Files(FileKind::Runtime), "runtimes", "Runtimes", "运行时"),
    (Kind::Files(FileKind::Saas), "saas", "SaaS", "SaaS 应用"),
    (Kind::Files(FileKind::File), "files", "Files", "文件"),
];

impl Kind {
    fn count(self, library: &Library) -> usize {
        match self {
            Self::Images => library.images().len(),
            Self::Charts => library.charts().len(),
            Self::Files(kind) => library.files("").filter(|(_, file)| file.kind == kind).count(),
        }
    }

    /// Links to the sections that have rows.
    pub(super) fn navigation(library: &Library) -> String {
        let mut links = String::new();
        for (kind, anchor, english, chinese) in SECTIONS {
            let count = kind.count(library);
            if count > 0 {
                let _ = write!(
                    links,
                    "<a href=\"#{anchor}\"><span class=en>{english}</span><span class=zh>{chinese}</span><b>{count}</b></a>"
                );
            }
        }
        links
    }
}

/// A piece of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open { section: usize, count: usize },
    Rows { section: usize, from: usize },
    Close,
}

impl Step {
    /// All pieces, in order.
    pub(super) fn all(library: &Library) -> Vec<Self> {
        let mut steps = Vec::new();
        for (section, (kind, ..)) in SECTIONS.iter().enumerate() {
            let count = kind.count(library);
            if count > 0 {
                steps.push(Self::Open { section, count });
                steps.extend((0..count).step_by(AT_ONCE).map(|from| Self::Rows { section, from }));
                steps.push(Self::Close);
            }
        }
        steps
    }

    pub(super) fn render(self, library: &Library, reach: &Reach) -> String {
        match self {
            Self::Open { section, count } => {
                let (_, anchor, english, chinese) = SECTIONS[section];
                format!(
                    "<section id={anchor}><h2><span class=en>{english}</span><span class=zh>{chinese}</span><b>{count}</b></h2><div class=list>\n"
                )
            }
            Self::Close => "</div></section>\n".to_owned(),
            Self::Rows { section, from } => rows(SECTIONS[section].0, from, library, reach),
        }
    }
}

fn rows(kind: Kind, from: usize, library: &Library, reach: &Reach) -> String {
    match kind {
        Kind::Images => library
            .images()
            .skip(from)
            .take(AT_ONCE)
            .map(|(bundle, image)| image_row(bundle, image, reach))
            .collect(),
        Kind::Charts => library
            .charts()
            .skip(from)
            .take(AT_ONCE)
            .map(|(file_name, chart)| chart_row(library, file_name, chart, reach))
            .collect(),
        Kind::Files(kind) => library
            .files("")
            .filter(|(_, file)| file.kind == kind)
            .skip(from)
            .take(AT_ONCE)
            .map(|(path, file)| file_row(path, file, reach))
            .collect(),
    }
}

/// A row before it is HTML; `name` and `side` are HTML already.
struct Row<'a> {
    /// Attributes for the script, as HTML.
    data: String,
    name: String,
    side: String,
    size: u64,
    digest: &'a Digest,
    command: String,
    link: Option<String>,
}

impl Row<'_> {
    fn render(&self) -> String {
        let Self { data, name, side, size, digest, command, link } = self;
        let link = link.as_ref().map_or_else(String::new, |link| {
            format!(" · <a href=\"{link}\"><span class=en>download</span><span class=zh>下载</span></a>")
        });
        format!(
            "<details class=r {data}><summary><span class=n>{name}</span><span class=p>{side}</span><span class=s>{}</span></summary>\
             <div><div><span class=d>{digest}</span>{link}</div><pre>{}</pre></div></details>\n",
            ByteSize(*size),
            escape_html(command),
        )
    }
}

/// A path with its last part in bold.
fn path_html(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{}/<b>{}</b>", escape_html(folder), escape_html(name)),
        None => format!("<b>{}</b>", escape_html(path)),
    }
}

fn image_row(bundle: &Bundle, image: &Image, reach: &Reach) -> String {
    let suffix = match &image.tag {
        Some(tag) => format!(":{tag}"),
        None => format!("@{}", image.digest),
    };
    let shown =
        if image.tag.is_some() { suffix.clone() } else { format!("@{}…", &image.digest.to_string()[..19]) };
    let mut platforms: Vec<String> = image.platforms().map(ToString::to_string).collect();
    platforms.sort_unstable();
    platforms.dedup();
    let side = if platforms.len() > 3 {
        format!("{}, +{}", platforms[..2].join(", "), platforms.len() - 2)
    } else {
        platforms.join(", ")
    };
    let name = format!("{}{suffix}", image.repository);
    Row {
        data: format!("data-kind=image data-name=\"{}\"", escape_html(&name)),
        name: format!("{}<i>{}</i>", path_html(&image.repository), escape_html(&shown)),
        side: escape_html(&side).into_owned(),
        size: image_size(bundle, image),
        digest: &image.digest,
        command: format!("docker pull {}", shell_word(&format!("{}/{name}", reach.host))),
        link: None,
    }
    .render()
}

/// Bytes of everything that the image consists of, each blob once.
fn image_size(bundle: &Bundle, image: &Image) -> u64 {
    let mut seen = HashSet::new();
    let digests =
        image.manifests.iter().flat_map(|manifest| std::iter::once(&manifest.digest).chain(&manifest.blobs));
    digests
        .filter(|digest| seen.insert(**digest))
        .filter_map(|digest| bundle.blob(digest))
        .map(|blob| blob.size)
        .sum()
}

fn chart_row(library: &Library, file_name: &str, chart: &Chart, reach: &Reach) -> String {
    let flag = match reach.security {
        Security::PlainHttp => " --plain-http",
        Security::Https => "",
    };
    let reference = shell_word(&format!("oci://{}/{}", reach.host, chart.repository)).into_owned();
    Row {
        data: format!(
            "data-kind=chart data-name=\"{}\" data-chart=\"{}\" data-version=\"{}\"",
            escape_html(file_name),
            escape_html(&chart.name),
            escape_html(&chart.version)
        ),
        name: format!("<b>{}</b> <i>{}</i>", escape_html(&chart.name), escape_html(&chart.version)),
        side: String::new(),
        size: library.content(&chart.archive).map_or(0, |content| content.size),
        digest: &chart.archive,
        command: format!("helm pull {reference} --version {}{flag}", shell_word(&chart.version)),
        link: Some(format!("/charts/{}", encode_path(file_name))),
    }
    .render()
}

fn file_row(path: &str, file: &File, reach: &Reach) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let link = format!("/files/{}", encode_path(path));
    let about: Vec<&str> = [&file.name, &file.version].into_iter().flatten().map(String::as_str).collect();
    Row {
        data: format!("data-kind=file data-name=\"{}\"", escape_html(path)),
        name: path_html(path),
        side: escape_html(&about.join(" ")).into_owned(),
        size: file.size,
        digest: &file.digest,
        command: format!("curl -f -o {} {}://{}{link}", shell_word(name), reach.scheme(), reach.host),
        link: Some(link),
    }
    .render()
}

/// Text as one word of a shell command.
fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.,:/@%+=~-".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with(['-', '~']) {
        return Cow::Borrowed(text);
    }
    let quoted = format!("'{}'", text.replace('\'', r"'\''"));
    Cow::Owned(if text.starts_with('-') { format!("./{quoted}") } else { quoted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words() {
        for (text, word) in [
            ("host:5000/a/b:1@sha256:00", "host:5000/a/b:1@sha256:00"),
            ("a b", "'a b'"),
            ("$(x)", "'$(x)'"),
            ("it's", r"'it'\''s'"),
            ("-rf", "./'-rf'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
