//! The file server: `/files/<repository>/<path>`, and listings of what lies below a path.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, HeaderName, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use ferry_model::Digest;
use ferry_model::catalog::FileKind;
use ferry_model::size::ByteSize;
use serde::Serialize;

use super::content::{Lifetime, json, respond, set};
use super::library::Library;
use super::router::{Shared, not_found};
use super::text::{attachment, encode_path, escape_html};

pub(super) async fn root(State(shared): State<Arc<Shared>>, request: HeaderMap) -> Response {
    listing(&shared.library, "", &request)
}

pub(super) async fn file(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    request: HeaderMap,
) -> Response {
    if let Some(file) = shared.library.file(&path) {
        let Some(content) = shared.library.content(&file.digest) else { return not_found() };
        let mut response =
            respond(&shared, content, &request, "application/octet-stream", Lifetime::UntilAsked);
        // A carried HTML file must not become a page of this server.
        set(response.headers_mut(), CONTENT_DISPOSITION, &attachment(&path));
        set(response.headers_mut(), HeaderName::from_static("x-content-type-options"), "nosniff");
        return response;
    }
    let folder = format!("{}/", path.trim_end_matches('/'));
    if shared.library.files(&folder).next().is_none() {
        return not_found();
    }
    if path != folder {
        let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
        set(response.headers_mut(), LOCATION, &format!("/files/{}", encode_path(&folder)));
        return response;
    }
    listing(&shared.library, &folder, &request)
}

/// One row of a listing.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Entry {
    Directory { name: String, files: u64, size: u64 },
    File { name: String, size: u64, digest: Digest, kind: FileKind },
}

/// What lies directly below `folder`, folders first.
fn entries(library: &Library, folder: &str) -> Vec<Entry> {
    let mut folders: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut files = Vec::new();
    for (path, file) in library.files(folder) {
        let below = &path[folder.len()..];
        match below.split_once('/') {
            Some((name, _)) => {
                let (count, size) = folders.entry(name).or_default();
                *count += 1;
                *size = size.saturating_add(file.size);
            }
            None => files.push(Entry::File {
                name: below.to_owned(),
                size: file.size,
                digest: file.digest,
                kind: file.kind,
            }),
        }
    }
    let folders = folders.into_iter().map(|(name, (files, size))| Entry::Directory {
        name: name.to_owned(),
        files,
        size,
    });
    folders.chain(files).collect()
}

fn listing(library: &Library, folder: &str, request: &HeaderMap) -> Response {
    let entries = entries(library, folder);
    let accept = request.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if accept.contains("application/json") {
        json("application/json", &entries)
    } else {
        Html(listing_html(folder, &entries)).into_response()
    };
    set(response.headers_mut(), CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'");
    response
}

fn listing_html(folder: &str, entries: &[Entry]) -> String {
    let title = escape_html(folder);
    let mut html = format!(
        "<!doctype html><meta charset=utf-8><meta name=color-scheme content=\"light dark\">\
         <meta name=viewport content=\"width=device-width\"><title>/files/{title}</title><style>\
         body{{font:15px/1.7 system-ui,sans-serif;max-width:60rem;margin:2.5rem auto;padding:0 1.25rem}}\
         td{{padding-right:2rem}}td+td{{text-align:right;opacity:.7;font-variant-numeric:tabular-nums}}\
         a{{text-decoration:none}}a:hover{{text-decoration:underline}}h1{{font-size:1.1rem;font-weight:600}}</style>\
         <h1>/files/{title}</h1><table><tr><td><a href=\"../\">../</a>"
    );
    for entry in entries {
        let (name, slash, size) = match entry {
            Entry::Directory { name, size, .. } => (name, "/", size),
            Entry::File { name, size, .. } => (name, "", size),
        };
        let (link, text) = (encode_path(name), escape_html(name));
        // `./` keeps a name with a colon from being read as a scheme.
        let _ =
            write!(html, "\n<tr><td><a href=\"./{link}{slash}\">{text}{slash}</a><td>{}", ByteSize(*size));
    }
    html.push_str("\n</table>\n");
    html
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use crate::serve::testing::Site;

    #[tokio::test]
    async fn files_and_listings() {
        let site = Site::new();
        let file = site.get("/files/blueking/tools/bin/tool%20%E4%B8%AD.bin").await;
        assert_eq!((file.status, &file.body), (200, &site.content("tool")));
        assert_eq!(
            file.header("content-disposition"),
            "attachment; filename=\"tool _.bin\"; filename*=UTF-8''tool%20%E4%B8%AD.bin"
        );
        let part = site.request(Method::GET, "/files/docs/readme.md", &[("range", "bytes=2-4")]).await;
        assert_eq!((part.status, part.body.as_slice()), (206, &b"doc"[..]));
        assert_eq!(part.header("content-range"), "bytes 2-4/6");

        let listing = site.request(Method::GET, "/files/", &[("accept", "application/json")]).await;
        let length = site.content("tool").len();
        assert_eq!(
            listing.json(),
            json!([
                {"type": "directory", "name": "blueking", "files": 1, "size": length},
                {"type": "directory", "name": "docs", "files": 2, "size": 6 + 30},
            ])
        );
        let moved = site.get("/files/docs").await;
        assert_eq!((moved.status, moved.header("location")), (308, "/files/docs/"));
        let page = site.get("/files/docs/").await;
        assert!(page.text().contains("<a href=\"./readme.md\">readme.md</a>"), "{}", page.text());
        assert!(page.text().contains("<a href=\"./%3Cscript%3E.html\">&lt;script&gt;.html</a>"));
    }

    #[tokio::test]
    async fn nothing_but_the_catalogs_names() {
        let site = Site::new();
        for path in [
            "/files/../Cargo.toml",
            "/files/%2e%2e/%2e%2e/etc/passwd",
            "/files//etc/passwd",
            "/files/doc",
            "/files/docs/readme.md/",
            "/files/docs/readme.md%00",
            "/files/%ff",
            "/etc/passwd",
        ] {
            let answer = site.get(path).await;
            assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        }
        assert_eq!(site.request(Method::PUT, "/files/docs/readme.md", &[]).await.status, 405);
    }
}
