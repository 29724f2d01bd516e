//! Giving a tag that was moved what it named before.

use std::collections::BTreeMap;

use ferry_model::Digest;
use ferry_model::failure::Failure as _;
use ferry_model::journal::Before;
use ferry_model::plan::Image;
use ferry_model::report::Failed;
use ferry_transfer::manifest::media_type;
use ferry_transfer::{Error, Repository};

use super::keep::Note;
use super::{Kept, Undone};

/// A tag that was moved.
pub(super) struct Moved<'a> {
    pub(super) image: &'a Image,
    pub(super) repository: &'a Repository,
    pub(super) before: &'a Before,
    pub(super) kept: &'a Kept,
}

impl Moved<'_> {
    /// Lets the tag name `had` again. What the registry has deleted since comes back from what was kept; layers were not kept.
    pub(super) async fn put_back(&self, had: &str) -> Result<Undone, Failed> {
        let mut files = self.files();
        let root = had.parse().ok().and_then(|digest: Digest| files.remove(&digest));
        let (kind, bytes) = match (self.repository.manifest(had).await, &root) {
            (Ok(raw), _) => (raw.media_type, raw.bytes),
            // Some registries take what they do not give out.
            (Err(error), Some(file)) if !error.class().is_retryable() => self.read(file)?,
            (Err(Error::NotFound { .. }), None) => {
                let reason =
                    format!("{} named {had} before, and the registry no longer has that", self.image.name());
                return Ok(Undone::Left(reason));
            }
            // A login can be put right; what else it answers it will answer again.
            (Err(error), None)
                if !error.class().is_retryable() && !matches!(error.status(), None | Some(401)) =>
            {
                let reason = format!(
                    "{} named {had} before, which the registry does not give: {}",
                    self.image.name(),
                    Failed::new(&error)
                );
                return Ok(Undone::Left(reason));
            }
            (Err(error), _) => return Err(Failed::new(&error)),
        };
        let tag = self.image.tag.as_deref().unwrap_or(had);
        let put = || self.repository.put_manifest(tag, &kind, bytes.clone());
        let mut outcome = put().await;
        if outcome.as_ref().is_err_and(is_incomplete) && !files.is_empty() {
            self.put_below(&files).await?;
            outcome = put().await;
        }
        match outcome {
            Ok(_) => Ok(Undone::Restored),
            Err(error) if is_incomplete(&error) => {
                let kept =
                    root.map(|file| format!("; its manifest is kept in {}", self.kept.path(file).display()));
                Ok(Undone::Left(format!(
                    "{} named {had} before, and the registry no longer has all that belongs to that: {}{}",
                    self.image.name(),
                    Failed::new(&error),
                    kept.unwrap_or_default()
                )))
            }
            Err(error) => Err(Failed::new(&error)),
        }
    }

    /// The files with what the tag named before, and with what was below that.
    fn files(&self) -> BTreeMap<Digest, &str> {
        let mut files = BTreeMap::new();
        for (name, file) in &self.before.kept {
            if let Note::Had(digest) = Note::read(name) {
                files.insert(digest, file.as_str());
            }
        }
        files
    }

    fn read(&self, file: &str) -> Result<(String, bytes::Bytes), Failed> {
        let bytes = self.kept.read(file)?;
        let kind = media_type(&bytes, None).map_err(|error| Failed::new(&error))?;
        Ok((kind, bytes.into()))
    }

    /// Puts those below an index. One that cannot come back shows when the index is put.
    async fn put_below(&self, files: &BTreeMap<Digest, &str>) -> Result<(), Failed> {
        for (digest, file) in files {
            let (kind, bytes) = self.read(file)?;
            match self.repository.put_manifest(&digest.to_string(), &kind, bytes).await {
                Err(error) if !is_incomplete(&error) => return Err(Failed::new(&error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether the registry lacks what a manifest names: registries answer that in these ways.
fn is_incomplete(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 404 | 422))
}
