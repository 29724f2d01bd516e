//! Signatures, SBOMs and attestations: cosign's tags and OCI referrers.

use ferry_model::Digest;
use ferry_model::catalog::Attachment;
use ferry_transfer::{Parsed, manifest};

use super::images::{Store, collect};
use super::{Found, Request};
use crate::Error;

/// The tags that cosign gives to what it attaches to a manifest.
const COSIGN_SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// Everything attached to any of `subjects`.
pub(super) async fn resolve(
    request: &Request<'_>,
    store: &Store,
    found: &mut Found,
    subjects: &[Digest],
) -> Result<Vec<Attachment>, Error> {
    let Store::Registry { repository, name } = store else { return Ok(Vec::new()) };
    let mut attachments: Vec<Attachment> = Vec::new();
    for subject in subjects {
        for suffix in COSIGN_SUFFIXES {
            let tag = format!("sha256-{}.{suffix}", subject.hex());
            if let Some(descriptor) = repository.head(&tag).await? {
                let attachment = one(store, found, &descriptor.digest.to_string(), Some(tag)).await?;
                attachments.push(attachment);
            }
        }
        for descriptor in repository.referrers(subject).await? {
            if !attachments.iter().any(|known| known.digest == descriptor.digest) {
                let mut attachment = one(store, found, &descriptor.digest.to_string(), None).await?;
                attachment.artifact_type = attachment.artifact_type.or(descriptor.artifact_type);
                attachment.subject = Some(*subject);
                attachments.push(attachment);
            }
        }
    }
    if attachments.is_empty() {
        request.events.note(format!("{name}: nothing is attached to this image"));
    }
    attachments.sort_by(|a, b| (&a.tag, a.digest).cmp(&(&b.tag, b.digest)));
    Ok(attachments)
}

async fn one(
    store: &Store,
    found: &mut Found,
    reference: &str,
    tag: Option<String>,
) -> Result<Attachment, Error> {
    let raw = store.manifest(reference).await?;
    let (artifact_type, subject) = match manifest::parse(&raw.bytes, &raw.media_type)? {
        Parsed::Image { artifact_type, subject, .. } | Parsed::Index { artifact_type, subject, .. } => {
            (artifact_type, subject.map(|subject| subject.digest))
        }
    };
    let mut manifests = Vec::new();
    collect(store, found, &mut manifests, &raw, None, 0).await?;
    Ok(Attachment { digest: raw.digest, tag, artifact_type, subject, manifests })
}
