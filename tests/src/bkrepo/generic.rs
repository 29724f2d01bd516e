//! The generic service: files by their paths. [BKREPO GenericController, GenericLocalRepository, DownloadService]

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode, response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::{self, FOLDER_NOT_EMPTY, LIST_DIR_NOT_ALLOWED, RESOURCE_NOT_FOUND, Refusal, Stop};
use super::auth::Action;
use super::call::{Call, address};
use super::content::{self, Content};
use super::path::{normalize, percent_decode, prefix};
use super::store::{Node, clock};
use super::{FolderListing, lock};

impl Call<'_> {
    pub(super) async fn generic(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        if let Some(rest) = rest.strip_prefix("block/") {
            return self.block(rest).await;
        }
        let Some((project, repository, raw)) = address(rest) else {
            return Err(Refusal::bad(RESOURCE_NOT_FOUND, "no such path")
                .with_status(StatusCode::NOT_FOUND)
                .into());
        };
        let (name, path) = ((project.as_str(), repository.as_str()), normalize(&raw)?);
        match self.parts.method {
            Method::PUT => self.put(name, &path).await,
            Method::GET | Method::HEAD => self.get(name, &path, raw.is_empty() || raw.ends_with('/')),
            Method::DELETE => self.delete(name, &path),
            _ => Err(Refusal::method_not_allowed(self.release(), self.parts.method.as_str()).into()),
        }
    }

    /// The body is received before anything is looked at; then come rights, existence, sha256, md5.
    async fn put(&mut self, name: (&str, &str), path: &str) -> Result<Response<Body>, Stop> {
        let id = self.header("x-bkrepo-upload-id").filter(|id| !id.trim().is_empty()).map(str::to_owned);
        let sequence = self.header("x-bkrepo-sequence").map(str::parse::<u64>);
        if let (Some(id), Some(sequence)) = (id, sequence) {
            let sequence = sequence.map_err(|_| Refusal::system("X-BKREPO-SEQUENCE is no number"))?;
            return self.put_part(name, &id, sequence).await;
        }
        let content = self.receive(self.server.setup.keeping).await?;
        let overwrite = self.flag("x-bkrepo-overwrite");
        let release = self.release();
        let mut store = lock(&self.server.store);
        store.check(release, &self.who, name, Action::Write)?;
        let repository = store.repository_mut(name.0, name.1)?;
        if !overwrite && (path == "/" || repository.node(path).is_some()) {
            return Err(Refusal::existed(path).into());
        }
        self.check_digests(&content)?;
        let (sha256, md5) = (content.sha256.clone(), content.md5.clone());
        let node = repository.put_file(path, content, overwrite, self.user())?;
        node.metadata = self.metadata();
        node.expires = self.number("x-bkrepo-expires")?;
        let mut answer = answer::success(&node.detail(name, path));
        if self.stores_wrong() {
            node.content.sha256 = wrong(&node.content.sha256);
        }
        for (header, value) in [("x-checksum-sha256", sha256), ("x-checksum-md5", md5)] {
            answer.headers_mut().insert(header, value.parse().expect("hex is a header value"));
        }
        Ok(answer)
    }

    pub(super) fn check_digests(&self, content: &Content) -> Result<(), Refusal> {
        for (header, which, got) in
            [("x-bkrepo-sha256", "sha256", &content.sha256), ("x-bkrepo-md5", "md5", &content.md5)]
        {
            if self.header(header).is_some_and(|wanted| !wanted.eq_ignore_ascii_case(got)) {
                return Err(Refusal::digest(which));
            }
        }
        Ok(())
    }

    /// A header's number; 0 without it.
    pub(super) fn number(&self, header: &str) -> Result<u64, Refusal> {
        let value = self.header(header).map_or(Ok(0), str::parse);
        value.map_err(|_| Refusal::system(format!("{header} is no number")))
    }

    /// `X-BKREPO-META-KEY: value`, keys in lower case; and `X-BKREPO-META`, base64 of `key=value&…`.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::new();
        for (name, value) in &self.parts.headers {
            let key = name.as_str().strip_prefix("x-bkrepo-meta-").filter(|key| !key.is_empty());
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                metadata.insert(key.to_owned(), percent_decode(&value.replace('+', " ")));
            }
        }
        let encoded = self.header("x-bkrepo-meta").and_then(|text| STANDARD.decode(text).ok());
        let pairs = String::from_utf8(encoded.unwrap_or_default()).unwrap_or_default();
        let pairs = super::path::query_pairs(&pairs).into_iter();
        metadata.extend(pairs.filter(|(key, value)| !key.trim().is_empty() && !value.trim().is_empty()));
        metadata
    }

    fn get(&self, name: (&str, &str), path: &str, has_slash: bool) -> Result<Response<Body>, Stop> {
        let node = {
            let store = lock(&self.server.store);
            store.check(self.release(), &self.who, name, Action::Read)?;
            let repository = store.repository(name.0, name.1)?;
            if repository.is_folder(path) {
                return self.list_folder(name, path, has_slash);
            }
            repository.node(path).cloned()
        };
        let node = node.ok_or_else(|| Refusal::no_node(path).with_status(StatusCode::NOT_FOUND))?;
        self.send(&node, path)
    }

    fn list_folder(&self, name: (&str, &str), path: &str, has_slash: bool) -> Result<Response<Body>, Stop> {
        let listing = self.server.setup.folder_listing;
        if listing == FolderListing::Off {
            let message = format!("Repository[{}] does not allow listing directories[{path}]", name.1);
            return Err(Refusal::bad(LIST_DIR_NOT_ALLOWED, message)
                .with_status(StatusCode::FORBIDDEN)
                .into());
        }
        if self.parameter("download") == Some("true") {
            return Err(Refusal::system("the stand-in makes no zip of a folder").into());
        }
        let answer = Response::builder();
        if listing == FolderListing::Redirected && !has_slash {
            let host = self.header("host").unwrap_or_default();
            let location = format!("http://{host}{}/", self.parts.uri.path());
            let answer = answer.status(StatusCode::FOUND).header("location", location);
            return Ok(answer.body(Body::empty()).expect("a location from a URL that was parsed"));
        }
        let page = format!(
            "<html><head><title>Index of /{}/{}{}</title></head></html>",
            name.0,
            name.1,
            prefix(path)
        );
        let answer = answer.header("content-type", "text/html; charset=UTF-8");
        Ok(answer.body(Body::from(page)).expect("a plain header"))
    }

    pub(super) fn send(&self, node: &Node, path: &str) -> Result<Response<Body>, Stop> {
        let size = node.content.size;
        let asked = self.header("range").filter(|range| !range.trim().is_empty());
        let Some((from, to)) = asked.map_or(Some((0, size)), |range| part(range, size)) else {
            let refusal = Refusal::bad(250_118, "Requested range not satisfiable");
            return Err(refusal.with_status(StatusCode::RANGE_NOT_SATISFIABLE).into());
        };
        let status = if asked.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let body = match node.content.file.as_deref() {
            _ if self.is(&Method::HEAD) => Body::empty(),
            Some(file) => content::send(file, from, to - from, self.answer_cut_after())
                .map_err(|error| Refusal::system(error.to_string()))?,
            None => return Err(Refusal::system("the stand-in kept only digests").into()),
        };
        let last = to.saturating_sub(1);
        let answer = described(node, path)
            .status(status)
            .header("content-length", to - from)
            // Also of a whole file.
            .header("content-range", format!("bytes {from}-{last}/{size}"));
        Ok(answer.body(body).expect("plain headers"))
    }

    /// A folder that holds files is not taken away here, only by `node/delete`, whatever the documentation says.
    fn delete(&self, name: (&str, &str), path: &str) -> Result<Response<Body>, Stop> {
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, Action::Write)?;
        let repository = store.repository_mut(name.0, name.1)?;
        if path != "/" && repository.node(path).is_none() {
            return Err(Refusal::no_node(path).with_status(StatusCode::NOT_FOUND).into());
        }
        if repository.is_folder(path) && repository.has_files_below(path) {
            return Err(Refusal::bad(FOLDER_NOT_EMPTY, "Folder is not empty").into());
        }
        if path == "/" {
            return Err(Refusal::method_not_allowed(self.release(), "Can't delete root node.").into());
        }
        repository.remove(path);
        Ok(answer::success(&serde_json::Value::Null))
    }
}

/// Another sha256.
pub(super) fn wrong(sha256: &str) -> String {
    let first = if sha256.starts_with('0') { "1" } else { "0" };
    format!("{first}{}", &sha256[1..])
}

fn described(node: &Node, path: &str) -> response::Builder {
    Response::builder()
        .header("content-type", "application/octet-stream")
        .header("accept-ranges", "bytes")
        .header("cache-control", "no-cache")
        .header(
            "content-disposition",
            format!("attachment;filename=\"{}\"", super::path::name(path).escape_default()),
        )
        // Without quotes.
        .header("etag", &node.content.sha256)
        .header("x-checksum-sha256", &node.content.sha256)
        .header("x-checksum-md5", &node.content.md5)
        .header("last-modified", format!("Wed, 14 Jun 2023 {} GMT", clock(node.made)))
}

/// From and to (excluded) of `bytes=FROM-[TO]` or `bytes=-LAST`.
fn part(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = if from.is_empty() {
        (size.saturating_sub(to.parse().ok()?), size)
    } else if to.is_empty() {
        (from.parse().ok()?, size)
    } else {
        (from.parse().ok()?, to.parse::<u64>().ok()?.checked_add(1)?.min(size))
    };
    (from < to).then_some((from, to))
}
