//! The lists of referrers for registries without the API: an index under the tag `sha256-<hex>` of the subject, as the
//! distribution spec's "referrers tag schema" has it.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_transfer::{Error, Parsed, RawManifest, manifest, referrers_tag};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use super::item::Item;
use super::manifests::read_manifest;
use super::{Failed, Push};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Puts `unlisted` items on the lists of their subjects. Gives those that failed.
pub(super) async fn list(
    run: &Push<'_>,
    items: &[Item],
    unlisted: &BTreeSet<usize>,
) -> BTreeMap<usize, Failed> {
    // Read, changed and written back: two at once on one list would lose entries.
    let mut lists: BTreeMap<(&str, Digest), Vec<usize>> = BTreeMap::new();
    for &index in unlisted {
        if let Some(subject) = items[index].subject {
            lists.entry((&items[index].repository, subject)).or_default().push(index);
        }
    }
    let mut updates = stream::iter(lists)
        .map(async |((repository, subject), members)| {
            let result = update(run, repository, &subject, members.iter().map(|&index| &items[index])).await;
            (members, result)
        })
        .buffer_unordered(run.jobs());
    let mut failures = BTreeMap::new();
    while let Some((members, result)) = updates.next().await {
        if let Err(failed) = result {
            failures.extend(members.into_iter().map(|index| (index, failed.clone())));
        }
    }
    failures
}

async fn update<'a>(
    run: &Push<'_>,
    repository: &str,
    subject: &Digest,
    members: impl Iterator<Item = &'a Item>,
) -> Result<(), Failed> {
    let (tag, repository) = (referrers_tag(subject), run.repository(repository));
    let existing = async {
        match repository.manifest(&tag).await {
            Ok(raw) => Ok(Some(raw)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let existing = run.attempt(existing).await?;
    let entries = members.map(|item| entry(run, item)).collect::<Result<Vec<_>, _>>()?;
    let Some(index) = merged(existing.as_ref(), entries)? else { return Ok(()) };
    run.attempt(repository.put_manifest(&tag, INDEX, index.into())).await.map(|_| ())
}

/// The item as an entry of the list: what the spec tells to copy out of its manifest.
fn entry(run: &Push<'_>, item: &Item) -> Result<Value, Failed> {
    let Some(root) = item.manifests.iter().find(|manifest| manifest.digest == item.digest) else {
        return Err(Failed::because(
            Class::Verification,
            format!("the catalog lacks the manifest {}", item.digest),
        ));
    };
    let bytes = read_manifest(run, &root.digest)?;
    let (artifact_type, annotations) = match manifest::parse(&bytes, &root.media_type) {
        Ok(Parsed::Image { config, artifact_type, annotations, .. }) => {
            (artifact_type.or(Some(config.media_type)), annotations)
        }
        Ok(Parsed::Index { artifact_type, annotations, .. }) => (artifact_type, annotations),
        Err(error) => return Err(Failed::new(&error)),
    };
    let mut entry = json!({"mediaType": root.media_type, "digest": root.digest, "size": root.size});
    if let Some(artifact_type) = artifact_type {
        entry["artifactType"] = artifact_type.into();
    }
    if !annotations.is_empty() {
        entry["annotations"] = json!(annotations);
    }
    Ok(entry)
}

/// The list with `entries` added, keeping all that is on it; `None` if nothing is new.
fn merged(existing: Option<&RawManifest>, entries: Vec<Value>) -> Result<Option<Vec<u8>>, Failed> {
    let mut index = match existing {
        Some(raw) => serde_json::from_slice(&raw.bytes).map_err(|error| {
            Failed::because(Class::Protocol, format!("its list of referrers is malformed: {error}"))
        })?,
        None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
    };
    let Some(listed) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(Failed::because(
            Class::Protocol,
            "the tag of its list of referrers names something else",
        ));
    };
    let before = listed.len();
    for entry in entries {
        if !listed.iter().any(|other| other["digest"] == entry["digest"]) {
            listed.push(entry);
        }
    }
    let is_new = listed.len() > before;
    Ok(is_new.then(|| index.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_added_to() {
        let entry = |name: &str| json!({"mediaType": "m", "digest": Digest::of(name.as_bytes()), "size": 1});
        let first = merged(None, vec![entry("a")]).unwrap().unwrap();
        let raw = RawManifest { digest: Digest::of(&first), bytes: first.into(), media_type: INDEX.into() };
        assert!(merged(Some(&raw), vec![entry("a")]).unwrap().is_none());
        let second = merged(Some(&raw), vec![entry("b"), entry("a")]).unwrap().unwrap();
        let Parsed::Index { manifests, .. } = manifest::parse(&second, INDEX).unwrap() else { panic!() };
        let digests: Vec<_> = manifests.iter().map(|entry| entry.digest).collect();
        assert_eq!(digests, [Digest::of(b"a"), Digest::of(b"b")]);

        let image = RawManifest { bytes: "{}".into(), ..raw };
        assert_eq!(merged(Some(&image), vec![entry("a")]).unwrap_err().class, Class::Protocol);
    }
}
