//! What stands in the way of more than one file: bkrepo is down, does not know the user, or lets him not write. A refused upload
//! costs its whole transfer, so what is known is not tried again for each of thousands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ferry_model::report::Failed;
use ferry_model::site::RepositoryName;
use ferry_transfer::{BkrepoProblem, Error};

use super::problem;
use crate::context::{Context, Manner};

/// How long bkrepo is taken to be as it was.
const HOLDS: Duration = Duration::from_secs(30);

/// What is known to stand in the way.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Since when nothing can be asked, and why.
    shut: Option<(Instant, Failed)>,
    /// Repositories that have taken an upload.
    taking: BTreeSet<RepositoryName>,
    /// Repositories that take none, and why.
    refusing: BTreeMap<RepositoryName, Failed>,
}

impl Trouble {
    /// Why asking for something in a repository is in vain.
    pub(crate) fn of_looking(&self) -> Result<(), Failed> {
        let mut known = self.lock();
        match &known.shut {
            Some((since, failed)) if since.elapsed() < HOLDS => Err(not_tried(failed)),
            _ => {
                known.shut = None;
                Ok(())
            }
        }
    }

    /// Why an upload into a repository is in vain.
    pub(crate) fn of_writing(&self, repository: &RepositoryName) -> Result<(), Failed> {
        self.of_looking()?;
        self.lock().refusing.get(repository).map_or(Ok(()), |failed| Err(not_tried(failed)))
    }

    /// A repository has taken an upload.
    pub(crate) fn none(&self, repository: &RepositoryName) {
        self.lock().taking.insert(repository.clone());
    }

    /// Something failed: whether other things would too is asked once.
    pub(crate) async fn learn(
        &self,
        context: &Context,
        repository: &RepositoryName,
        error: &Error,
        failed: &Failed,
    ) {
        match problem(error) {
            Some(BkrepoProblem::Denied) => {
                let mut known = self.lock();
                if !known.taking.contains(repository) {
                    known.refusing.insert(repository.clone(), failed.clone());
                }
                return;
            }
            // About that file alone.
            Some(problem)
                if !matches!(
                    problem,
                    BkrepoProblem::Unauthenticated | BkrepoProblem::ClockSkew | BkrepoProblem::NotBkrepo
                ) =>
            {
                return;
            }
            _ => {}
        }
        if self.of_looking().is_err() {
            return;
        }
        let asked = async {
            let bkrepo = context.bkrepo(Manner::Brief).await?;
            bkrepo.projects().await.map_err(|error| Failed::new(&error))
        };
        if let Err(failed) = asked.await {
            self.lock().shut = Some((Instant::now(), failed));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For what was kept back by another's failure.
fn not_tried(failed: &Failed) -> Failed {
    Failed {
        message: format!("not tried, because it would fail as another did: {}", failed.message),
        ..failed.clone()
    }
}
