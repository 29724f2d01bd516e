//! What stood at a place before, and what stands there now.

use std::collections::BTreeSet;

use ferry_model::plan::State;
use ferry_model::report::{Change, Outcome};

use super::markup::Markup;
use super::words::{self, Words};

/// Properties of one state.
const MAX_PROPERTIES: usize = 50;

pub(super) fn write(page: &mut Markup, change: &Change) {
    match (&change.before, &change.after) {
        (before @ State::Present { .. }, Some(after @ State::Present { .. })) => {
            write_properties(page, before, after);
        }
        (before, after) => {
            page.class("div", "state", |page| {
                write_state(page, before);
                page.text(" → ");
                match after {
                    Some(after) => write_state(page, after),
                    None => page.class("span", "label", |page| page.words(&nothing_known(change.outcome))),
                }
            });
        }
    }
}

/// What is to be said of a change whose result is not on record.
fn nothing_known(outcome: Outcome) -> Words {
    match outcome {
        Outcome::NotTried => words::AS_BEFORE,
        Outcome::Undone => words::RESTORED,
        Outcome::Done | Outcome::Failed | Outcome::Left => words::NOT_RECORDED,
    }
}

fn write_state(page: &mut Markup, state: &State) {
    match state {
        State::Absent => page.class("span", "label", |page| page.words(&words::ABSENT)),
        State::Unknown { reason } => {
            page.class("span", "label", |page| page.words(&words::UNKNOWN_STATE));
            page.class("div", "detail", |page| page.text(reason));
        }
        State::Present { properties, .. } => {
            page.class("span", "label", |page| page.words(&words::PRESENT));
            for (name, value) in properties.iter().take(MAX_PROPERTIES) {
                page.class("div", "property", |page| {
                    page.class("span", "label", |page| page.text(name));
                    page.text(" ");
                    page.code(value);
                });
            }
        }
    }
}

/// Both side by side; what stays the same is told once.
fn write_properties(page: &mut Markup, before: &State, after: &State) {
    let names: BTreeSet<&str> = [before, after]
        .into_iter()
        .filter_map(|state| match state {
            State::Present { properties, .. } => Some(properties.keys().map(String::as_str)),
            State::Absent | State::Unknown { .. } => None,
        })
        .flatten()
        .collect();
    if names.is_empty() {
        return page.class("span", "label", |page| page.words(&words::PRESENT));
    }
    for name in names.into_iter().take(MAX_PROPERTIES) {
        let (old, new) = (before.property(name), after.property(name));
        page.class("div", if old == new { "property same" } else { "property" }, |page| {
            page.class("span", "label", |page| page.text(name));
            page.text(" ");
            if old != new {
                write_value(page, old);
                page.text(" → ");
            }
            write_value(page, new);
        });
    }
}

fn write_value(page: &mut Markup, value: Option<&str>) {
    match value {
        Some(value) => page.code(value),
        None => page.class("span", "label", |page| page.words(&words::ABSENT)),
    }
}
