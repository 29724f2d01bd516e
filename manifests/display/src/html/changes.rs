//! Each change with what stood there before and what stands there now. What went wrong has a section of its own.

use ferry_model::report::{Change, Outcome, Report};
use ferry_model::size::ByteSize;

use super::markup::Markup;
use super::time::span;
use super::words::{self, sentence};
use super::{MAX_FOLDED, diff, folded, section, state, table};

/// Steps that are shown in full.
const MAX_FULL: usize = 300;

/// What failed, or could not be undone; no section if all went well.
pub(super) fn write_failed(page: &mut Markup, report: &Report) {
    let failed: Vec<_> = report.changes.iter().filter(|change| went_wrong(change)).collect();
    if !failed.is_empty() {
        section(page, "failed", &words::FAILED, |page| write_steps(page, &failed));
    }
}

/// All other changes, in the order of their steps.
pub(super) fn write(page: &mut Markup, report: &Report) {
    section(page, "changes", &words::CHANGES, |page| {
        let (failed, mut others): (Vec<_>, Vec<_>) =
            report.changes.iter().partition(|change| went_wrong(change));
        if !failed.is_empty() {
            page.class("p", "note", |page| page.words(&sentence::failures_above(failed.len())));
        }
        if others.is_empty() {
            if failed.is_empty() {
                page.say("p", &words::NO_CHANGES);
            }
            return;
        }
        if others.len() > MAX_FULL {
            // Where not all can be shown in full, those with most to show are.
            others.sort_by_key(|change| change.diff.is_none());
            others[..MAX_FULL].sort_by_key(|change| change.step);
        }
        write_steps(page, &others);
    });
}

fn went_wrong(change: &Change) -> bool {
    matches!(change.outcome, Outcome::Failed | Outcome::Left)
}

fn write_steps(page: &mut Markup, changes: &[&Change]) {
    let columns = [&words::STEP, &words::CHANGE, &words::BEFORE_AFTER, &words::BYTES_TIME];
    let (full, rest) = changes.split_at(changes.len().min(MAX_FULL));
    table(page, "steps", &columns, |page| {
        for change in full {
            page.element("tbody", |page| write_step(page, change));
        }
    });
    if !rest.is_empty() {
        folded(page, &sentence::further_steps(rest.len()), rest.len(), |page| {
            table(page, "steps brief", &columns, |page| {
                page.element("tbody", |page| {
                    rest.iter().take(MAX_FOLDED).for_each(|change| write_in_brief(page, change));
                });
            });
            if rest.len() > MAX_FOLDED {
                page.say("p", &sentence::left_out(rest.len() - MAX_FOLDED));
            }
        });
    }
}

fn write_step(page: &mut Markup, change: &Change) {
    page.element("tr", |page| {
        page.element("td", |page| {
            page.text(&format!("{} ", change.step));
            write_badge(page, change.outcome);
        });
        page.element("td", |page| {
            page.words(&words::action(change.action));
            page.text(" ");
            page.element("b", |page| page.code(change.resource.as_str()));
            if tells_more(change) {
                page.class("div", "summary", |page| page.text(&change.summary));
            }
            page.class("div", "reason", |page| page.text(&change.reason));
        });
        page.element("td", |page| state::write(page, change));
        write_amounts(page, change);
    });
    if let Some(failure) = &change.failure {
        beneath(page, |page| {
            page.class("div", "failure", |page| {
                page.class("p", "message", |page| page.text(&failure.message));
                page.class("p", "detail", |page| {
                    page.words(&words::CLASS);
                    page.words(&words::class(failure.class));
                });
                if !failure.hints.is_empty() {
                    page.class("p", "label", |page| page.words(&words::TRY));
                    page.element("ul", |page| {
                        failure.hints.iter().for_each(|hint| page.element("li", |page| page.text(hint)));
                    });
                }
            });
        });
    }
    if let Some(text) = &change.diff {
        beneath(page, |page| diff::write(page, text));
    }
}

/// Whether the summary is more than a verb before the name that stands above it already.
fn tells_more(change: &Change) -> bool {
    let name = change.resource.as_str().split_once(' ').map_or("", |(_, name)| name);
    let rest = change.summary.strip_suffix(name).unwrap_or(&change.summary);
    rest.split_whitespace().count() > 1
}

/// A row for what needs the table's width.
fn beneath(page: &mut Markup, inside: impl FnOnce(&mut Markup)) {
    page.class("tr", "beneath", |page| {
        page.element("td", |_| {});
        page.with("td", &[("colspan", "3")], inside);
    });
}

fn write_in_brief(page: &mut Markup, change: &Change) {
    page.element("tr", |page| {
        page.element("td", |page| {
            page.text(&format!("{} ", change.step));
            write_badge(page, change.outcome);
        });
        page.element("td", |page| {
            page.words(&words::action(change.action));
            page.text(" ");
            page.code(change.resource.as_str());
            if let Some(failure) = &change.failure {
                page.class("div", "message", |page| page.text(&failure.message));
            }
        });
        page.element("td", |page| state::write(page, change));
        write_amounts(page, change);
    });
}

fn write_amounts(page: &mut Markup, change: &Change) {
    page.class("td", "number", |page| {
        if change.bytes > 0 {
            page.element("div", |page| page.text(&ByteSize(change.bytes).to_string()));
        }
        if let Some(duration) = change.duration_ms {
            page.element("div", |page| page.text(&span(duration)));
        }
    });
}

fn write_badge(page: &mut Markup, outcome: Outcome) {
    let (class, sign) = match outcome {
        Outcome::Done => ("badge done", "✓ "),
        Outcome::Failed => ("badge failed", "✗ "),
        Outcome::NotTried => ("badge not-tried", "○ "),
        Outcome::Undone => ("badge undone", "↩ "),
        Outcome::Left => ("badge failed", "! "),
    };
    page.class("span", class, |page| {
        page.text(sign);
        page.words(&words::outcome(outcome));
    });
}

#[cfg(test)]
mod tests {
    use ferry_model::plan::{Action, ResourceId, State, StepId};

    use super::*;

    #[test]
    fn a_name_is_not_told_twice() {
        for (summary, more) in [
            ("push r:5000/a:1", false),
            ("push r:5000/a:1 for two platforms", true),
            ("replace what r:5000/a:1", true),
            ("push r:5000/b:1 as r:5000/a:1", true),
        ] {
            let change = Change {
                step: StepId(1),
                action: Action::Create,
                resource: ResourceId::new("image", "r:5000/a:1"),
                summary: summary.into(),
                reason: String::new(),
                outcome: Outcome::Done,
                before: State::Absent,
                after: None,
                diff: None,
                bytes: 0,
                duration_ms: None,
                failure: None,
            };
            assert_eq!(tells_more(&change), more, "{summary}");
        }
    }
}
