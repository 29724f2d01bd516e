//! Whether a catalog is consistent with itself and with the file, judged from sizes and names alone.

use std::collections::{HashMap, HashSet};

use ferry_model::catalog::{Blob, Catalog, Chart, Encoding, File, Image, Manifest};
use ferry_model::{Digest, ImageReference, SitePath};

use crate::locator::Locator;
use crate::{Error, frame, layout};

/// The most bytes that one blob may claim; keeps sums far from overflow.
const MAX_BLOB: u64 = 16 << 40;

fn inconsistent(problem: String) -> Error {
    Error::Inconsistent(problem)
}

/// Checks all, and gives back where each blob stands in the catalog's list.
pub(crate) fn check(catalog: &Catalog, locator: &Locator) -> Result<HashMap<Digest, usize>, Error> {
    let known = check_places(catalog, locator)?;
    let needed = |owner: &str, digest: &Digest| {
        if known.contains_key(digest) {
            Ok(())
        } else {
            Err(inconsistent(format!("{owner} needs {digest}, which is not there")))
        }
    };
    let manifest_needs = |owner: &str, manifest: &Manifest| {
        needed(owner, &manifest.digest)?;
        manifest.blobs.iter().try_for_each(|digest| needed(owner, digest))
    };
    for image in &catalog.images {
        let owner = image.reference.to_string();
        check_image(image)?;
        image.all_manifests().try_for_each(|manifest| manifest_needs(&owner, manifest))?;
        image.source_index.iter().try_for_each(|digest| needed(&owner, digest))?;
    }
    for chart in &catalog.charts {
        let owner = format!("chart {}", chart.name);
        check_chart(chart)?;
        manifest_needs(&owner, &chart.manifest)?;
        std::iter::once(&chart.archive)
            .chain(&chart.provenance)
            .try_for_each(|digest| needed(&owner, digest))?;
    }
    let mut paths = HashSet::new();
    for file in &catalog.files {
        check_file(file)?;
        needed(file.path.as_str(), &file.digest)?;
        if !paths.insert((file.repository.as_ref(), &file.path)) {
            return Err(inconsistent(format!("the file {} is there twice", file.path)));
        }
    }
    Ok(known)
}

/// Every blob once, each exactly where the sizes before it put it: so none overlaps, none lies out of the file, and
/// none was moved.
fn check_places(catalog: &Catalog, locator: &Locator) -> Result<HashMap<Digest, usize>, Error> {
    let mut known = HashMap::with_capacity(catalog.blobs.len());
    let mut previous = layout::OCI_LAYOUT_CONTENT.len() as u64;
    let mut end = layout::joint_size(None) + frame::raw_size(previous);
    for (index, blob) in catalog.blobs.iter().enumerate() {
        check_blob(blob)?;
        if known.insert(blob.digest, index).is_some() {
            return Err(inconsistent(format!("blob {} is there twice", blob.digest)));
        }
        let expected = end + layout::joint_size(Some(previous));
        if blob.offset != expected {
            return Err(inconsistent(format!(
                "blob {} lies at {}, not at {expected}",
                blob.digest, blob.offset
            )));
        }
        end = expected.saturating_add(blob.stored_size);
        if end > locator.catalog.offset {
            return Err(inconsistent(format!("blob {} lies out of the file", blob.digest)));
        }
        previous = blob.size;
    }
    Ok(known)
}

fn check_blob(blob: &Blob) -> Result<(), Error> {
    if blob.size > MAX_BLOB || blob.stored_size > MAX_BLOB {
        let value = blob.size.max(blob.stored_size);
        return Err(Error::Limit { what: "the size of a blob", value, limit: MAX_BLOB });
    }
    let possible = match &blob.encoding {
        Encoding::Stored => blob.stored_size == frame::raw_size(blob.size),
        // A frame of up to 4 MiB takes 10 bytes or more.
        Encoding::Zstd => {
            blob.size.div_ceil(frame::FRAME_CONTENT) * 10 <= blob.stored_size
                && (blob.size > 0 || blob.stored_size == 0)
        }
        Encoding::Unknown(name) => {
            return Err(Error::UnknownEncoding { digest: blob.digest, encoding: name.clone() });
        }
    };
    if possible {
        Ok(())
    } else {
        Err(inconsistent(format!(
            "blob {} of {} bytes cannot take {} as `{}`",
            blob.digest, blob.size, blob.stored_size, blob.encoding
        )))
    }
}

/// Repository and tag become parts of requests and paths.
fn check_repository(owner: &str, repository: &str, tag: Option<&str>) -> Result<(), Error> {
    let reference = ImageReference::new("localhost", repository, tag, None);
    let same = reference.as_ref().is_ok_and(|reference| reference.repository() == repository);
    if same {
        Ok(())
    } else {
        Err(inconsistent(format!("{owner} has an impossible place {repository:?}, {tag:?}")))
    }
}

fn check_media_type(owner: &str, manifest: &Manifest) -> Result<(), Error> {
    let good =
        manifest.media_type.len() <= 255 && manifest.media_type.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(()) } else { Err(inconsistent(format!("{owner} has an impossible media type"))) }
}

fn check_image(image: &Image) -> Result<(), Error> {
    let owner = image.reference.to_string();
    check_repository(&owner, &image.repository, image.tag.as_deref())?;
    image.all_manifests().try_for_each(|manifest| check_media_type(&owner, manifest))?;
    if image.root().is_none() {
        return Err(inconsistent(format!("{owner} lacks the manifest {}", image.digest)));
    }
    for attachment in &image.attachments {
        check_repository(&owner, &image.repository, attachment.tag.as_deref())?;
        if !attachment.manifests.iter().any(|manifest| manifest.digest == attachment.digest) {
            return Err(inconsistent(format!("{owner} lacks the attachment {}", attachment.digest)));
        }
    }
    Ok(())
}

fn check_chart(chart: &Chart) -> Result<(), Error> {
    let owner = format!("chart {:?} {:?}", chart.name, chart.version);
    check_repository(&owner, &chart.repository, Some(&chart.tag))?;
    check_media_type(&owner, &chart.manifest)?;
    let part = |text: &str| !text.contains('/') && text.parse::<SitePath>().is_ok();
    if part(&chart.name) && part(&chart.version) {
        Ok(())
    } else {
        Err(inconsistent(format!("{owner} has an impossible name or version")))
    }
}

fn check_file(file: &File) -> Result<(), Error> {
    let good = file.repository.as_ref().is_none_or(|repository| repository.parse::<SitePath>().is_ok());
    if good {
        Ok(())
    } else {
        Err(inconsistent(format!("the file {} has an impossible repository", file.path)))
    }
}
