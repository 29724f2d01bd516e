//! Asks the site's registry for every name that the texts have now.

use std::collections::BTreeMap;

use ferry_model::report::Failed;
use ferry_transfer::Client;
use futures_util::stream::{self, StreamExt as _};

use super::known::Target;
use super::remark::{Kind, Remark, Said, Spot};
use crate::context::{Context, Manner};

/// A name at the site's registry, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// The first place.
    pub(super) spot: Spot,
    /// How many there are.
    pub(super) count: usize,
    /// Whether the bundle knows nothing of it.
    pub(super) is_foreign: bool,
}

/// What the registry said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How many names resolve.
    pub(super) resolved: usize,
    /// Why it was not asked.
    pub(super) skipped: Option<String>,
    pub(super) remarks: Vec<Remark>,
}

/// What became of a name.
enum Answer {
    Resolves,
    Not,
    /// It names this.
    Other(String),
}

/// Asks for each name once.
pub(super) async fn resolve(context: &Context, address: &str, names: &BTreeMap<Target, Use>) -> Answers {
    let mut answers = Answers::default();
    let asked: Vec<(&Target, &Use)> =
        names.iter().filter(|(target, _)| target.tag.is_some() || target.digest.is_some()).collect();
    let Some(first) = asked.first() else { return answers };
    let client = match context.client(Manner::Brief).await {
        Ok(client) => client,
        Err(failed) => return skipped(address, names, &failed),
    };
    // Nobody waits for a registry that is not there once for each name. One that refuses this name may know others.
    match ask(&client, address, first.0).await {
        Err(failed) if failed.class.is_retryable() => return skipped(address, names, &failed),
        _ => {}
    }
    let mut replies = stream::iter(asked)
        .map(async |(target, place)| (target, place, ask(&client, address, target).await))
        .buffered(context.transfers());
    while let Some((target, place, reply)) = replies.next().await {
        let name = target.at(address);
        let said = match reply {
            Ok(Answer::Resolves) => {
                answers.resolved += 1;
                place.is_foreign.then(|| Said::note(Kind::NotOfBundle, "it is there, and not of this bundle"))
            }
            Ok(Answer::Not) if place.is_foreign => Some(not_of_bundle(" and not there")),
            Ok(Answer::Not) => {
                Some(Said::problem(Kind::NotResolved, "the registry does not have it: `apply` pushes it"))
            }
            Ok(Answer::Other(digest)) => Some(Said::problem(
                Kind::ResolvesToOther,
                format!("the registry has {digest} under that name, not what the bundle has"),
            )),
            Err(failed) => {
                Some(Said::problem(Kind::NotResolved, format!("it cannot be resolved: {}", failed.message)))
            }
        };
        let more = match place.count {
            1 => String::new(),
            count => format!(" ({count} places)"),
        };
        let remark = said.map(|said| {
            let message = format!("{}{more}", said.message);
            Said { message, ..said }.at(place.spot.clone(), None, name)
        });
        answers.remarks.extend(remark);
    }
    answers
}

/// What can be told without the registry.
pub(super) fn unasked(address: &str, names: &BTreeMap<Target, Use>, why: String) -> Answers {
    let foreign = names.iter().filter(|(_, place)| place.is_foreign);
    let remarks =
        foreign.map(|(target, place)| not_of_bundle("").at(place.spot.clone(), None, target.at(address)));
    Answers { resolved: 0, skipped: Some(why), remarks: remarks.collect() }
}

fn skipped(address: &str, names: &BTreeMap<Target, Use>, failed: &Failed) -> Answers {
    unasked(address, names, format!("{address} cannot be asked: {}", failed.message))
}

fn not_of_bundle(more: &str) -> Said {
    Said::problem(
        Kind::NotOfBundle,
        format!("it is at the site's registry by its name, but not of this bundle{more}"),
    )
}

async fn ask(client: &Client, address: &str, target: &Target) -> Result<Answer, Failed> {
    let repository = client.repository(address, &target.repository);
    let digest = target.digest.map(|digest| digest.to_string());
    // Runtimes pull by the digest where there is one; the tag beside it must be there, and may name the index above.
    for reference in target.tag.iter().chain(&digest) {
        let Some(found) = repository.head(reference).await.map_err(|error| Failed::new(&error))? else {
            return Ok(Answer::Not);
        };
        let is_beside = digest.as_ref().is_some_and(|digest| digest != reference);
        if !is_beside && target.resolves.is_some_and(|wanted| wanted != found.digest) {
            return Ok(Answer::Other(found.digest.to_string()));
        }
    }
    Ok(Answer::Resolves)
}
