//! A plan as people read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ferry_display::printable;
use ferry_model::plan::{Action, Desired, Plan, Space, State, Step};
use ferry_model::size::ByteSize;

/// Images, and files, that are listed one by one.
const MAX_LISTED: usize = 20;
/// Different changes of nodes that are shown line by line.
const MAX_DIFFS: usize = 5;

/// The plan for people: each step with its reason, its diff and its undo, then the sums.
pub fn plan_text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    if plan.changes().next().is_none() {
        let unknown = plan.observed.values().filter(|state| matches!(state, State::Unknown { .. })).count();
        let count = plan.observed.len() - unknown;
        let _ = if plan.waiting.is_empty() {
            writeln!(text, "nothing to do: all {count} things are as they should be")
        } else {
            writeln!(text, "nothing to do yet: the {count} things that can be seen are as they should be")
        };
    }
    let is_image = |step: &&Step| matches!(step.resource.desired, Desired::Image(_));
    let (checked, images): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().filter(is_image).partition(|step| step.action == Action::Check);
    let is_file =
        |step: &&Step| step.action == Action::Create && matches!(step.resource.desired, Desired::Upload(_));
    let (files, others): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().filter(|step| !is_image(step)).partition(is_file);
    let (nodes, others): (Vec<&Step>, Vec<&Step>) =
        others.into_iter().partition(|step| matches!(step.resource.desired, Desired::NodeSetup(_)));
    for step in others {
        write_step(&mut text, step);
    }
    let shared = " with what they share counted for each";
    write_many(&mut text, &images, ["image or chart to push,", "images and charts to push,"], shared);
    write_many(&mut text, &files, ["file to upload to bkrepo,", "files to upload to bkrepo,"], "");
    write_nodes(&mut text, &nodes);
    if !checked.is_empty() {
        let _ = writeln!(
            text,
            "? {} images and charts to look for again, and to push where they are gone",
            checked.len()
        );
    }
    if !plan.steps.is_empty() {
        let _ = writeln!(text, "\n{}", sums(plan));
    }
    if !plan.steps.is_empty() {
        write_space(&mut text, &plan.space);
    }
    for waiting in &plan.waiting {
        let _ = writeln!(text, "not planned: {}", printable(&waiting.to_string()));
    }
    for sentence in &plan.by_hand {
        let _ = writeln!(text, "by hand: {}", printable(sentence));
    }
    text
}

/// Room that is needed: of folders on one file system together, for they share it.
fn write_space(text: &mut String, spaces: &[Space]) {
    let mut mounts: BTreeMap<&Path, Vec<&Space>> = BTreeMap::new();
    for space in spaces {
        // What is not known to share one stands for itself.
        mounts.entry(space.mount.as_deref().unwrap_or(&space.folder)).or_default().push(space);
    }
    let each = |space: &Space| format!("{} in {}", ByteSize(space.bytes), space.folder.display());
    for (mount, spaces) in mounts {
        let bytes = spaces.iter().map(|space| space.bytes).fold(0, u64::saturating_add);
        let folders: Vec<String> = spaces.iter().map(|space| each(space)).collect();
        let _ = match spaces[..] {
            [only] if only.mount.is_none() => writeln!(text, "needs up to {}", each(only)),
            _ => writeln!(
                text,
                "needs up to {} on {}: {}",
                ByteSize(bytes),
                mount.display(),
                folders.join(", ")
            ),
        };
    }
}

/// A line for each node. What is changed in the same way on many is shown once.
fn write_nodes(text: &mut String, steps: &[&Step]) {
    let mut shown: Vec<&Step> = Vec::new();
    for step in steps {
        if let State::Unknown { reason } = &step.before {
            let _ = writeln!(text, "{} {:>3} {}", sign(step), step.id, printable(&step.summary));
            let _ = writeln!(text, "      now: {}", printable(reason));
            continue;
        }
        let same = shown.iter().find(|other| other.diff == step.diff && other.action == step.action);
        match same {
            Some(same) => {
                let _ = writeln!(
                    text,
                    "{} {:>3} {}, as step {}",
                    sign(step),
                    step.id,
                    printable(&step.summary),
                    same.id
                );
            }
            None if shown.len() < MAX_DIFFS => {
                write_step(text, step);
                shown.push(step);
            }
            None => {
                let summary = printable(&step.summary);
                let _ = writeln!(text, "{} {:>3} {summary}; --output json has how", sign(step), step.id);
            }
        }
    }
}

fn write_step(text: &mut String, step: &Step) {
    let sign = sign(step);
    let bytes = if step.bytes > 1 << 20 { format!(" ({})", ByteSize(step.bytes)) } else { String::new() };
    let _ = writeln!(text, "{sign} {:>3} {}{bytes}", step.id, printable(&step.summary));
    let _ = writeln!(text, "      why: {}", printable(&step.resource.reason));
    if let (Desired::NodeImage(_), State::Unknown { reason }) = (&step.resource.desired, &step.before) {
        let _ = writeln!(text, "      now: {}", printable(reason));
    }
    if step.action != Action::Check {
        let _ = writeln!(text, "      undo: {}", printable(&step.undo));
    }
    for line in step.diff.iter().flat_map(|diff| diff.lines()) {
        let _ = writeln!(text, "      | {}", printable(line));
    }
}

/// A thousand images are one line and twenty names.
/// `what` one is called, and many.
fn write_many(text: &mut String, steps: &[&Step], what: [&str; 2], remark: &str) {
    if steps.is_empty() {
        return;
    }
    let bytes: u64 = steps.iter().map(|step| step.bytes).sum();
    let what = what[usize::from(steps.len() > 1)];
    let _ = writeln!(text, "+ {} {what} {}{remark}", steps.len(), ByteSize(bytes));
    for step in steps.iter().take(MAX_LISTED) {
        let _ = writeln!(text, "  {:>4} {} ({})", step.id, printable(&step.summary), ByteSize(step.bytes));
    }
    if let Some(more) = steps.len().checked_sub(MAX_LISTED).filter(|&more| more > 0) {
        let _ = writeln!(text, "       and {more} more; --output json lists all");
    }
}

fn sign(step: &Step) -> char {
    match step.action {
        Action::Create => '+',
        Action::Update => '~',
        Action::Restart => '>',
        Action::Check => '?',
    }
}

fn sums(plan: &Plan) -> String {
    let count = |action: Action| plan.steps.iter().filter(|step| step.action == action).count();
    let parts = [
        (Action::Create, "to create"),
        (Action::Update, "to update"),
        (Action::Restart, "to restart"),
        (Action::Check, "to check"),
    ];
    let shown: Vec<String> = parts
        .into_iter()
        .filter_map(|(action, words)| Some(count(action)).filter(|&n| n > 0).map(|n| format!("{n} {words}")))
        .collect();
    let steps = if plan.steps.len() == 1 { "step" } else { "steps" };
    format!("{} {steps}: {}", plan.steps.len(), shown.join(", "))
}
