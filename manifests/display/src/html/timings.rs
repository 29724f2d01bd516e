//! Where the time went: the slowest steps as bars along one axis. When each began is not on record, so all begin at zero.

use std::cmp::Reverse;

use ferry_model::report::Report;
use ferry_model::size::ByteSize;

use super::contents::number;
use super::markup::Markup;
use super::summary::run_time;
use super::time::span;
use super::words::{self, sentence};
use super::{section, table};

/// Steps that are shown.
const MAX_BARS: usize = 15;
/// Where lines cross the bars, in percent.
const GRID: [&str; 3] = ["25", "50", "75"];

pub(super) fn write(page: &mut Markup, report: &Report) {
    let mut timed: Vec<_> =
        report.changes.iter().filter_map(|change| Some((change.duration_ms?, change))).collect();
    if timed.is_empty() {
        return;
    }
    timed.sort_by_key(|(duration, change)| (Reverse(*duration), change.step));
    let sum = timed.iter().fold(0_u64, |sum, (duration, _)| sum.saturating_add(*duration));
    let longest = timed[0].0.max(1);
    let shown = timed.len().min(MAX_BARS);
    section(page, "timings", &words::TIMINGS, |page| {
        page.class("p", "note", |page| {
            let run = run_time(report);
            page.words(&sentence::slowest(shown, timed.len(), &span(sum), run.as_deref()));
        });
        let columns = [
            &words::STEP,
            &words::CHANGE,
            &words::axis(&span(longest)),
            &words::TIME,
            &words::BYTES,
            &words::RATE,
        ];
        table(page, "timings", &columns, |page| {
            page.element("tbody", |page| {
                for (duration, change) in &timed[..shown] {
                    page.element("tr", |page| {
                        page.element("td", |page| page.text(&change.step.to_string()));
                        page.element("td", |page| page.code(change.resource.as_str()));
                        page.class("td", "bars", |page| draw_bar(page, *duration, longest));
                        number(page, &span(*duration));
                        number(page, &bytes(change.bytes));
                        number(page, &rate(change.bytes, *duration));
                    });
                }
            });
        });
    });
}

fn bytes(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { ByteSize(bytes).to_string() }
}

fn rate(bytes: u64, milliseconds: u64) -> String {
    if bytes == 0 || milliseconds == 0 {
        return String::new();
    }
    let rate = u128::from(bytes) * 1000 / u128::from(milliseconds);
    crate::rate(u64::try_from(rate).unwrap_or(u64::MAX))
}

fn draw_bar(page: &mut Markup, duration: u64, longest: u64) {
    let thousandths = u128::from(duration) * 1000 / u128::from(longest);
    let width = format!("{}.{}", thousandths / 10, thousandths % 10);
    let attributes = [
        ("xmlns", "http://www.w3.org/2000/svg"),
        ("viewBox", "0 0 100 10"),
        ("preserveAspectRatio", "none"),
        ("aria-hidden", "true"),
    ];
    page.with("svg", &attributes, |page| {
        for at in GRID {
            page.empty("line", &[("x1", at), ("x2", at), ("y1", "0"), ("y2", "10")]);
        }
        page.empty("rect", &[("width", &width), ("y", "1"), ("height", "8")]);
    });
}
