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
    others: OnceCell<Others>,
}

/// What others' tags lead to.
#[derive(Debug, Default)]
struct Others {
    named: BTreeMap<Digest, Named>,
    /// The first of them of which the registry does not tell, and why: anything may be below it.
    untold: Option<String>,
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
        let why = match others.named.get(digest) {
            Some(Named::By(tag)) => {
                Some(format!("its manifest is also tagged {tag}, which would go with it"))
            }
            Some(Named::Below(tag)) => Some(format!("it is part of what is tagged {tag}, which needs it")),
            None => others
                .untold
                .as_ref()
                .map(|untold| format!("whether others need it cannot be told: {untold}")),
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

    /// Fails only where asking again may help.
    async fn ask(&self, repository: &Repository) -> Result<Others, Failed> {
        let tags = match repository.tags().await {
            Ok(tags) => tags,
            Err(Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Ok(Others { untold: Some(refused(&error)?), ..Others::default() }),
        };
        let others = tags.into_iter().filter(|tag| !self.own.contains(tag) && !is_list(tag));
        let asked: Vec<_> = stream::iter(others)
            .map(async |tag| named(repository, tag).await)
            .buffer_unordered(self.jobs)
            .try_collect()
            .await?;
        let mut others = Others::default();
        for (tag, seen) in asked {
            match seen {
                Seen::Nothing => {}
                Seen::This(digest, below) => {
                    for child in below {
                        others.named.entry(child).or_insert_with(|| Named::Below(tag.clone()));
                    }
                    // What a tag names itself is told before what is below another's.
                    others.named.insert(digest, Named::By(tag));
                }
                Seen::Untold(digest, why) => {
                    others.untold.get_or_insert_with(|| format!("{tag}: {why}"));
                    others.named.extend(digest.map(|digest| (digest, Named::By(tag))));
                }
            }
        }
        Ok(others)
    }
}

/// What a tag leads to.
enum Seen {
    Nothing,
    /// The manifest that it names, and what is below that.
    This(Digest, Vec<Digest>),
    /// The registry does not tell all of it, and would not if it were asked again: what is known, and why no more.
    Untold(Option<Digest>, String),
}

async fn named(repository: &Repository, tag: String) -> Result<(String, Seen), Failed> {
    let seen = match repository.head(&tag).await {
        Ok(None) => Seen::Nothing,
        Ok(Some(found)) if is_index(&found.media_type) => below(repository, found.digest).await?,
        Ok(Some(found)) => Seen::This(found.digest, Vec::new()),
        Err(error) => Seen::Untold(None, refused(&error)?),
    };
    Ok((tag, seen))
}

/// What an index leads to.
async fn below(repository: &Repository, index: Digest) -> Result<Seen, Failed> {
    let parsed = match repository.manifest(&index.to_string()).await {
        Ok(raw) => parse(&raw.bytes, &raw.media_type),
        Err(Error::NotFound { .. }) => return Ok(Seen::Nothing),
        Err(error) => Err(error),
    };
    Ok(match parsed {
        Ok(Parsed::Index { manifests, .. }) => {
            Seen::This(index, manifests.into_iter().map(|child| child.digest).collect())
        }
        Ok(_) => Seen::This(index, Vec::new()),
        Err(error) => Seen::Untold(Some(index), refused(&error)?),
    })
}

/// Why something is not told, where asking again would not help.
fn refused(error: &Error) -> Result<String, Failed> {
    let failed = Failed::new(error);
    if error.class().is_retryable() { Err(failed) } else { Ok(failed.message) }
}

/// Whether it is the tag of a list of referrers: that names nothing but the list.
fn is_list(tag: &str) -> bool {
    tag.strip_prefix("sha256-").is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}
