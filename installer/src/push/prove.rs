//! The proof: what was pushed resolves to what the catalog says.

use std::collections::BTreeMap;

use ferry_model::failure::Class;
use futures_util::stream::{self, StreamExt as _};

use super::item::Item;
use super::{Failed, Push};

/// Asks for what was pushed of these items, by tag and by digest. What was found right before was proven then.
pub(super) async fn prove(
    run: &Push<'_>,
    items: &[Item],
    members: &[usize],
    failures: &mut BTreeMap<usize, Failed>,
) {
    let pushed: Vec<usize> = members.iter().copied().filter(|index| !failures.contains_key(index)).collect();
    let mut proofs = stream::iter(pushed)
        .map(async |index| (index, resolves(run, &items[index]).await))
        .buffer_unordered(run.jobs());
    while let Some((index, proof)) = proofs.next().await {
        if let Err(failed) = proof {
            failures.insert(index, failed);
        }
    }
}

async fn resolves(run: &Push<'_>, item: &Item) -> Result<(), Failed> {
    let repository = run.repository(&item.repository);
    let expected = item.digest;
    for reference in item.tag.iter().cloned().chain([expected.to_string()]) {
        let found = run.attempt(repository.head(&reference)).await?;
        let message = match found {
            Some(found) if found.digest == expected => continue,
            Some(found) => format!("{reference} resolves to {}, not to {expected}", found.digest),
            None => format!("{reference} resolves to nothing, though the registry took {expected}"),
        };
        return Err(Failed::because(Class::Verification, message));
    }
    Ok(())
}
