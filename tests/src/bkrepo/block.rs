//! Uploads in parts. [BKREPO UploadService, FileBlockSupport]

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, BLOCK_EMPTY, BLOCK_MISSING, CHUNKED_ARTIFACT_BROKEN, Refusal, Stop};
use super::auth::Action;
use super::call::{Call, address};
use super::content::{self, Content};
use super::generic::wrong;
use super::path::normalize;
use super::store::Upload;
use super::{Keeping, Release, lock};

const EXPIRE_SECONDS: u64 = 12 * 3600;

impl Call<'_> {
    pub(super) async fn block(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        let Some((project, repository, raw)) = address(rest) else {
            return Ok(answer::gateway(StatusCode::NOT_FOUND));
        };
        let (name, path) = ((project.as_str(), repository.as_str()), normalize(&raw)?);
        let action = if self.is(&Method::GET) { Action::Read } else { Action::Write };
        lock(&self.server.store).check(self.release(), &self.who, name, action)?;
        if self.is(&Method::POST) {
            return self.start(name, &path);
        }
        let id = self.header("x-bkrepo-upload-id").map(str::to_owned);
        let id = id.ok_or_else(|| Refusal::bad(250_116, "Header [X-BKREPO-UPLOAD-ID] is missing"))?;
        if !lock(&self.server.store).uploads.contains_key(&id) {
            return Err(Refusal::no_upload(&id).into());
        }
        match self.parts.method {
            Method::PUT => self.complete(name, &path, &id).await,
            Method::GET => Ok(answer::success(&self.list_parts(&id))),
            Method::DELETE => {
                lock(&self.server.store).uploads.remove(&id);
                Ok(answer::success(&Value::Null))
            }
            _ => Err(Refusal::method_not_allowed(self.release(), self.parts.method.as_str()).into()),
        }
    }

    fn start(&self, name: (&str, &str), path: &str) -> Result<Response<Body>, Stop> {
        let mut store = lock(&self.server.store);
        let exists = store.repository(name.0, name.1)?.node(path).is_some();
        if exists && !self.flag("x-bkrepo-overwrite") {
            return Err(Refusal::existed(path).into());
        }
        store.uploads_started += 1;
        let id = format!("{:032x}", store.uploads_started);
        store.uploads.insert(id.clone(), Upload::default());
        Ok(answer::success(&json!({"uploadId": id, "expireSeconds": EXPIRE_SECONDS})))
    }

    /// One part, which is checked like a file. One that is there stays unless it is to be overwritten.
    pub(super) async fn put_part(
        &mut self,
        name: (&str, &str),
        id: &str,
        sequence: u64,
    ) -> Result<Response<Body>, Stop> {
        let content = self.receive(Keeping::OnDisk).await?;
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, Action::Write)?;
        self.check_digests(&content)?;
        let upload = store.uploads.get_mut(id).ok_or_else(|| Refusal::no_upload(id))?;
        if self.flag("x-bkrepo-overwrite") || !upload.parts.contains_key(&sequence) {
            upload.parts.insert(sequence, content);
        }
        Ok(answer::success(&Value::Null))
    }

    /// Puts the parts together under this path. 1.3.16 replaces what is there without being told to and keeps neither metadata nor days
    /// to live; 3.3 looks at the headers once more. Neither looks at digests.
    async fn complete(&mut self, name: (&str, &str), path: &str, id: &str) -> Result<Response<Body>, Stop> {
        let parts = self.contiguous(id)?;
        let (keeping, folder) = (self.server.setup.keeping, self.server.folder.path().to_owned());
        let merged = tokio::task::spawn_blocking(move || content::merge(&parts, keeping, &folder)).await;
        let content = merged
            .map_err(|error| Refusal::system(error.to_string()))?
            .map_err(|error| Refusal::system(error.to_string()))?;
        let mut store = lock(&self.server.store);
        store.uploads.remove(id);
        let is_old = self.release() == Release::V1_3_16;
        let overwrite = is_old || self.flag("x-bkrepo-overwrite");
        let repository = store.repository_mut(name.0, name.1)?;
        let node = repository.put_file(path, content, overwrite, self.user())?;
        if !is_old {
            node.metadata = self.metadata();
            node.expires = self.number("x-bkrepo-expires")?;
        }
        if self.stores_wrong() {
            node.content.sha256 = wrong(&node.content.sha256);
        }
        Ok(answer::success(&Value::Null))
    }

    /// The parts in order, none missing.
    fn contiguous(&self, id: &str) -> Result<Vec<Content>, Refusal> {
        let fault = |code, message: String| match self.release() {
            Release::V1_3_16 => Refusal::bad(code, message).with_status(StatusCode::INTERNAL_SERVER_ERROR),
            Release::V3_3 => Refusal::bad(CHUNKED_ARTIFACT_BROKEN, message),
        };
        let store = lock(&self.server.store);
        let upload = store.uploads.get(id).ok_or_else(|| Refusal::no_upload(id))?;
        if upload.parts.is_empty() {
            return Err(fault(BLOCK_EMPTY, "Block is empty".into()));
        }
        let missing = (1..).zip(upload.parts.keys()).find(|(expected, sequence)| expected != *sequence);
        if let Some((missing, _)) = missing {
            return Err(fault(BLOCK_MISSING, format!("Block [{missing}] is missing")));
        }
        Ok(upload.parts.values().cloned().collect())
    }

    /// The parts that are there. 1.3.16 numbers them anew, so that where one is missing the numbers lie.
    fn list_parts(&self, id: &str) -> Value {
        let store = lock(&self.server.store);
        let parts = store.uploads.get(id).map(|upload| &upload.parts);
        let rows = (1..).zip(parts.into_iter().flatten()).map(|(position, (sequence, part))| {
            let shown = if self.release() == Release::V1_3_16 { position } else { *sequence };
            json!({"size": part.size, "sequence": shown, "sha256": part.sha256})
        });
        rows.collect()
    }
}
