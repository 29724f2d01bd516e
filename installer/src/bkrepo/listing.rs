//! What lies where files belong: listed in pages, or asked one by one, whichever asks less.

use std::collections::{HashMap, HashSet};

use ferry_model::plan::Upload;
use ferry_model::report::Failed;
use ferry_transfer::{Bkrepo, BkrepoProblem, Error, Node};
use futures_util::stream::{self, StreamExt as _};

use super::{explained, problem};
use crate::context::{Context, Manner};

/// So few files are asked for one by one, however small their repository.
const FEW: usize = 4;
/// Questions at once. The client has a limit of its own.
const LOOKS: usize = 32;

/// What lies at a file's place, and at the wrong one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// At its place.
    pub(crate) node: Option<Node>,
    /// At the wrong place that the deployment guide's loop gives it.
    pub(crate) misplaced: Option<Node>,
}

/// Looks for one file.
pub(crate) async fn look(context: &Context, upload: &Upload) -> Result<Found, Failed> {
    context.bkrepos.trouble.of_looking()?;
    let bkrepo = context.bkrepo_at(&upload.bkrepo, Manner::Patient).await?;
    match ask(&bkrepo, upload).await {
        Ok(found) => Ok(found),
        Err(error) => Err(failed(context, upload, &error).await),
    }
}

/// Looks for files of one repository, all together. Gives what was found of each, in their order.
pub(crate) async fn find(context: &Context, uploads: &[&Upload]) -> Vec<Result<Found, Failed>> {
    let Some(first) = uploads.first() else { return Vec::new() };
    if uploads.len() <= FEW {
        return stream::iter(uploads).map(|upload| look(context, upload)).buffered(LOOKS).collect().await;
    }
    let bkrepo = match context.bkrepo_at(&first.bkrepo, Manner::Patient).await {
        Ok(bkrepo) => bkrepo,
        Err(failed) => return uploads.iter().map(|_| Err(failed.clone())).collect(),
    };
    match list(&bkrepo, uploads).await {
        Ok(listed) => {
            stream::iter(uploads)
                .map(async |upload| match listed.found(upload) {
                    Some(found) => Ok(found),
                    None => look(context, upload).await,
                })
                .buffered(LOOKS)
                .collect()
                .await
        }
        Err(error) => {
            let failed = failed(context, first, &error).await;
            uploads.iter().map(|_| Err(failed.clone())).collect()
        }
    }
}

/// Questions about two places, of which the second is not always one.
async fn ask(bkrepo: &Bkrepo, upload: &Upload) -> Result<Found, Error> {
    let misplaced = async {
        match &upload.misplaced {
            Some(path) => bkrepo.node(&upload.repository, path).await,
            None => Ok(None),
        }
    };
    match tokio::try_join!(bkrepo.node(&upload.repository, &upload.path), misplaced) {
        Ok((node, misplaced)) => Ok(Found { node, misplaced }),
        Err(error) if is_nowhere(&error) => Ok(Found::default()),
        Err(error) => Err(error),
    }
}

/// What a listing brought.
struct Listed {
    nodes: HashMap<String, Node>,
    /// Whether it was read to its end: what it does not have is not there.
    whole: bool,
}

impl Listed {
    /// `None` where the listing does not tell.
    fn found(&self, upload: &Upload) -> Option<Found> {
        let at = |path: &str| match self.nodes.get(path) {
            // Not each release lists digests.
            Some(node) if !node.folder && node.digest.is_none() => None,
            Some(node) => Some(Some(node.clone())),
            None => self.whole.then_some(None),
        };
        let misplaced = upload.misplaced.as_deref().map_or(Some(None), at);
        Some(Found { node: at(&upload.path)?, misplaced: misplaced? })
    }
}

/// Reads as many pages as there are files, at most: in a huge repository of which little is of interest, asking is cheaper.
async fn list(bkrepo: &Bkrepo, uploads: &[&Upload]) -> Result<Listed, Error> {
    let own = uploads.iter().map(|upload| upload.path.as_str());
    let wrong = uploads.iter().filter_map(|upload| upload.misplaced.as_deref());
    let wanted: HashSet<&str> = own.chain(wrong).collect();
    let mut listed = Listed { nodes: HashMap::new(), whole: false };
    let mut pages = bkrepo.list(&uploads[0].repository, "/")?;
    for _ in 0..uploads.len() {
        match pages.next_page().await {
            Ok(Some(page)) => {
                let interesting = page.into_iter().filter(|node| wanted.contains(node.path.as_str()));
                listed.nodes.extend(interesting.map(|node| (node.path.clone(), node)));
            }
            Ok(None) => {
                listed.whole = true;
                break;
            }
            Err(error) if is_nowhere(&error) => {
                return Ok(Listed { nodes: HashMap::new(), whole: true });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

/// There is no such repository, and so no such file.
fn is_nowhere(error: &Error) -> bool {
    matches!(
        problem(error),
        Some(BkrepoProblem::NoProject | BkrepoProblem::NoRepository | BkrepoProblem::NoNode)
    )
}

async fn failed(context: &Context, upload: &Upload, error: &Error) -> Failed {
    let access = context.site.site.bkrepo.as_ref().map(|section| &section.access);
    let failed = explained(error, access);
    context.bkrepos.trouble.learn(context, &upload.repository, error, &failed).await;
    failed
}
