//! Bringing blobs: each once, by whichever item comes to need it first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ferry_model::event::Event;
use tokio::sync::OnceCell;

use super::observe::Place;
use super::plan::{Blob, Plan};
use super::report::Moved;
use super::source::BundleBlob;
use super::{Failed, Push};

/// The blobs that a push brings.
pub(super) struct Blobs<'a> {
    run: &'a Push<'a>,
    jobs: BTreeMap<Place, Job<'a>>,
    moved: Cell<Moved>,
}

struct Job<'a> {
    blob: &'a Blob,
    /// The repository to mount it from.
    from: Option<&'a str>,
    /// How it came out.
    done: OnceCell<Result<(), Failed>>,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(run: &'a Push<'a>, plan: &'a Plan) -> Self {
        let uploads = plan.uploads.iter().map(|blob| (blob, None));
        let mounts = plan.mounts.iter().map(|mount| (&mount.blob, Some(mount.from.as_str())));
        let jobs = uploads
            .chain(mounts)
            .map(|(blob, from)| (blob.place(), Job { blob, from, done: OnceCell::new() }));
        Self { run, jobs: jobs.collect(), moved: Cell::default() }
    }

    /// What was moved so far.
    pub(super) fn moved(&self) -> Moved {
        self.moved.get()
    }

    /// Brings a blob to its place. Asked again, it gives how that came out.
    pub(super) async fn bring(&self, place: &Place) -> Result<(), Failed> {
        let Some(job) = self.jobs.get(place) else { return Ok(()) };
        job.done.get_or_init(|| self.carry(job)).await.clone()
    }

    async fn carry(&self, job: &Job<'_>) -> Result<(), Failed> {
        let blob = job.blob;
        if let Some(from) = job.from {
            // What is mounted from is uploaded or was there, so this goes no deeper. Whether that went well shows in the mount.
            if let Some(source) = self.jobs.get(&(from.to_owned(), blob.digest)) {
                let _ = source.done.get_or_init(|| self.upload(source.blob)).await;
            }
            if self.mount(blob, from).await {
                self.note(|moved| moved.mounted.add(blob.size));
                return Ok(());
            }
        }
        self.upload(blob).await
    }

    async fn upload(&self, blob: &Blob) -> Result<(), Failed> {
        let run = self.run;
        let _slot = run.slot().await;
        let task = run.events.start(format!("{} {}", blob.repository, blob.digest.short()), Some(blob.size));
        let source = BundleBlob { bundle: run.bundle.clone(), digest: blob.digest, size: blob.size };
        let repository = run.repository(&blob.repository);
        let result =
            run.tried(repository.upload_blob(&blob.digest, blob.size, Arc::new(source), &task)).await;
        match &result {
            Ok(()) => {
                self.note(|moved| moved.uploaded.add(blob.size));
                task.finish();
            }
            Err(failed) => task.fail(&failed.message),
        }
        result
    }

    /// Mounts the blob; whether the registry did.
    async fn mount(&self, blob: &Blob, from: &str) -> bool {
        let run = self.run;
        let _slot = run.slot().await;
        // A mount is an offer to save an upload: a registry that refuses it, or fails over it, may still take the upload.
        let is_mounted = run.repository(&blob.repository).mount(&blob.digest, from).await.unwrap_or(false);
        if is_mounted {
            let reason = format!("mounted from {from}");
            let name = format!("{} {}", blob.repository, blob.digest.short());
            run.events.emit(Event::Skipped { name, reason, bytes: blob.size });
        }
        is_mounted
    }

    fn note(&self, change: impl FnOnce(&mut Moved)) {
        let mut moved = self.moved.get();
        change(&mut moved);
        self.moved.set(moved);
    }
}
