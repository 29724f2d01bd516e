//! What deleting a manifest would take along: other people's tags, and what those name.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::failure::Failure as _;
use ferry_model::report::Failed;
use ferry_transfer::manifest::{Parsed, is_index, parse};
use ferry_transfer::{Error, Repository};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;

use super::{Mine, Undone};

/// The tags of a repository that the run did not make, asked for once, when something is to be deleted there.
#[derive(Debug)]
pub(super) struct Tags {
    /// Tags that the run made, which may go with what they name.
    own: BTreeSet<String>,
    jobs: usize,
    others: OnceCell<BTreeMap<Digest, Named>>,
}

/// How others' tags lead to a manifest.
#[derive(Clone, Debug)]
enum Named {
    /// This tag names it.
    By(String),
    /// It is part of what this tag names.
    Below(String),
}

impl Tags {
    pub(super) fn new(mine: &Mine, repository: &str, jobs: usize) -> Self {
        let front = format!("{repository}:");
        let own = mine.images.range(front.clone()..).map_while(|(name, _)| name.strip_prefix(&front));
        Self { own: own.map(str::to_owned).collect(), jobs, others: OnceCell::new() }
    }

    /// Deletes a manifest, unless another's tag would go with it.
    pub(super) async fn delete(
        &self,
        repository: &Repository,
        digest: &Digest,
        name: &str,
    ) -> Result<Undone, Failed> {
        let others = self.others.get_or_try_init(|| self.ask(repository)).await?;
        let why = match others.get(digest) {
            Some(Named::By(tag)) => {
                Some(format!("its manifest is also tagged {tag}, which would go with it"))
            }
            Some(Named::Below(tag)) => Some(format!("it is part of what is tagged {tag}, which needs it")),
            None => None,
        };
        if let Some(why) = why {
            return Ok(Undone::Left(format!("{name} stays in the registry: {why}")));
        }
        match repository.delete_manifest(digest).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(Undone::Restored),
            Err(error) if error.class().is_retryable() => Err(Failed::new(&error)),
            Err(error) => Ok(Undone::Left(format!(
                "{name} stays in the registry, which does not let it be deleted: {}",
                Failed::new(&error)
            ))),
        }
    }

    async fn ask(&self, repository: &Repository) -> Result<BTreeMap<Digest, Named>, Failed> {
        let tags = match repository.tags().await {
            Ok(tags) => tags,
            Err(Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(Failed::new(&error)),
        };
        let others = tags.into_iter().filter(|tag| !self.own.contains(tag) && !is_list(tag));
        let named: Vec<(Digest, Named)> = stream::iter(others)
            .map(async |tag| named(repository, tag).await.map_err(|error| Failed::new(&error)))
            .buffer_unordered(self.jobs)
            .try_concat()
            .await?;
        // What a tag names itself is told before what is below another's.
        let (by, below): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(_, named)| matches!(named, Named::By(_)));
        Ok(below.into_iter().chain(by).collect())
    }
}

/// What a tag names, and what is below that.
async fn named(repository: &Repository, tag: String) -> Result<Vec<(Digest, Named)>, Error> {
    let Some(found) = repository.head(&tag).await? else { return Ok(Vec::new()) };
    let mut named = Vec::new();
    if is_index(&found.media_type) {
        let below = match repository.manifest(&found.digest.to_string()).await {
            Ok(raw) => parse(&raw.bytes, &raw.media_type)?,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if let Parsed::Index { manifests, .. } = below {
            named.extend(manifests.into_iter().map(|child| (child.digest, Named::Below(tag.clone()))));
        }
    }
    named.push((found.digest, Named::By(tag)));
    Ok(named)
}

/// Whether it is the tag of a list of referrers: that names nothing but the list.
fn is_list(tag: &str) -> bool {
    tag.strip_prefix("sha256-").is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}
