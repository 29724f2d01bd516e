//! What is undone, and in which order.

use ferry_model::plan::{Desired, Plan, State, Step};

use crate::journal::{Progress, StepProgress, StepState};
use crate::resources::{Manage as _, Mine};

/// A step that was begun, and how far it came.
pub(super) type Begun<'a> = (&'a Step, &'a StepProgress);

/// The steps to undo, the last one first. What ran before and takes up others' changes comes last, when those are back.
pub(super) fn undo_order<'a>(plan: &'a Plan, progress: &'a Progress) -> Vec<Begun<'a>> {
    let open = plan.steps.iter().rev().filter(|step| !step.resource.desired.is_check());
    let open =
        open.filter_map(|step| Some((step, progress.steps.get(&step.id).filter(|begun| is_open(begun))?)));
    let (last, mut first): (Vec<_>, Vec<_>) = open.partition(takes_up);
    // Of images, tags that named something else go back first: deleting a manifest takes every tag along that names it.
    let at = first.iter().position(|begun| is_image(begun.0)).unwrap_or(first.len());
    let (moved, rest): (Vec<_>, Vec<_>) = first.split_off(at).into_iter().partition(is_moved);
    first.into_iter().chain(moved).chain(rest).chain(last.into_iter().rev()).collect()
}

/// Whether there is something to undo. A step that was done may have been begun again, and not been tried then: what it had made
/// stands.
fn is_open(begun: &StepProgress) -> bool {
    begun.before.is_some() && begun.state != StepState::Undone
}

/// Whether it is a tag that named something else.
pub(super) fn is_moved(begun: &Begun<'_>) -> bool {
    is_image(begun.0) && was_there(begun)
}

/// Whether it ran before, and runs with what others have changed.
pub(super) fn takes_up(begun: &Begun<'_>) -> bool {
    was_there(begun) && !is_node(begun.0) && !begun.0.resource.follows.is_empty()
}

fn was_there((_, begun): &Begun<'_>) -> bool {
    begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }))
}

/// The same, with images behind all else.
pub(super) fn images_last(steps: Vec<Begun<'_>>) -> Vec<Begun<'_>> {
    let (images, mut others): (Vec<_>, Vec<_>) = steps.into_iter().partition(|(step, _)| is_image(step));
    others.extend(images);
    others
}

/// Steps that are undone together: images or nodes that stand side by side, and each other step alone.
pub(super) fn batches<'a, 'b>(steps: &'b [Begun<'a>]) -> impl Iterator<Item = &'b [Begun<'a>]> {
    steps.chunk_by(|(one, _), (other, _)| is_image(one) && is_image(other) || is_node(one) && is_node(other))
}

pub(super) fn is_node(step: &Step) -> bool {
    matches!(step.resource.desired, Desired::NodeSetup(_))
}

pub(super) fn is_image(step: &Step) -> bool {
    matches!(step.resource.desired, Desired::Image(_))
}

/// What the run brought.
pub(super) fn mine(plan: &Plan, progress: &Progress) -> Mine {
    let mut mine = Mine::default();
    for step in &plan.steps {
        if progress.steps.get(&step.id).is_some_and(|begun| begun.made) {
            mine.made.insert(step.resource.id());
        }
        let (Desired::Image(image), Some(begun)) = (&step.resource.desired, progress.steps.get(&step.id))
        else {
            continue;
        };
        let name = format!("{}:{}", image.repository, image.tag.as_deref().unwrap_or_default());
        if begun.before.as_ref().is_some_and(|before| before.state == State::Absent) {
            mine.images.insert(name.clone(), image.digest.to_string());
        }
        mine.brought.insert(name, image.digest.to_string());
    }
    mine
}
