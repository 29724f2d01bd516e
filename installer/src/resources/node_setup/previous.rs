//! What nodes were asked to be by the runs before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::plan::Desired;
use ferry_model::report::Failed;

use super::ASKED;
use crate::Error;
use crate::context::Context;
use crate::journal::{RunFolder, StepState, Undo};

/// What nodes were asked to be by the runs before, read once.
#[derive(Debug, Default)]
pub(crate) struct Previous(Mutex<Option<BTreeMap<Host, Vec<u8>>>>);

impl Previous {
    /// The last document that a run sent to this node, if that run still stands.
    pub(super) fn of(&self, context: &Context, node: &Host) -> Result<Option<Vec<u8>>, Failed> {
        self.with(context, |known| known.get(node).cloned()).map_err(|error| Failed::new(&error))
    }

    /// Whether a run that still stands has set up any node.
    pub(crate) fn is_any(&self, context: &Context) -> Result<bool, Error> {
        self.with(context, |known| !known.is_empty())
    }

    fn with<T>(&self, context: &Context, work: impl Fn(&BTreeMap<Host, Vec<u8>>) -> T) -> Result<T, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(work(known));
        }
        let read = read(context)?;
        Ok(work(known.insert(read)))
    }
}

/// Later runs over earlier ones.
fn read(context: &Context) -> Result<BTreeMap<Host, Vec<u8>>, Error> {
    let mut asked = BTreeMap::new();
    for run in RunFolder::all(&context.site.state_folder())? {
        let progress = run.progress()?;
        // One that goes on has begun none of the steps that it asks this for.
        if progress.undo == Undo::Ended || progress.ended.is_none() {
            continue;
        }
        for step in &run.plan()?.steps {
            let (Desired::NodeSetup(setup), Some(begun)) =
                (&step.resource.desired, progress.steps.get(&step.id))
            else {
                continue;
            };
            let file = begun.before.as_ref().and_then(|before| before.kept.get(ASKED));
            if let (Some(file), false) = (file, begun.state == StepState::Undone) {
                let text = run.kept().read(file).map_err(|failed| {
                    Error::from(Failed::because(Class::Local, format!("run {}: {failed}", run.name())))
                })?;
                asked.insert(setup.node.clone(), text);
            }
        }
    }
    Ok(asked)
}
