//! The head of the report: what was brought where, who vouches for it, and how it went, on the first page.

use ferry_model::report::{Finding, Outcome, Report, Severity, Signer};
use ferry_model::size::ByteSize;

use super::markup::Markup;
use super::time::{span, utc};
use super::words::{self, Words, sentence, verdict};

/// Missing entries that are named.
const MAX_MISSING: usize = 200;

/// How a verdict is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Neutral,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "verdict good",
            Self::Bad => "verdict bad",
            Self::Neutral => "verdict neutral",
        }
    }
}

pub(super) fn write(page: &mut Markup, report: &Report) {
    page.element("header", |page| {
        page.class("p", "kind", |page| page.words(&words::REPORT));
        page.element("h1", |page| {
            let identity = &report.identity;
            page.text(&format!("{} {} → {}", identity.bundle, identity.version, identity.site));
        });
        write_verdict(page, report);
        write_strip(page, report);
        write_facts(page, report);
    });
}

/// How the run went, in a sentence or two. One that left a part of the site for later is no success yet.
pub(super) fn judge(report: &Report) -> (Tone, Vec<Words>) {
    match judge_steps(report) {
        (Tone::Good, sentences) if !report.waiting.is_empty() => (Tone::Bad, sentences),
        judged => judged,
    }
}

fn judge_steps(report: &Report) -> (Tone, Vec<Words>) {
    let total = report.changes.len();
    let count = |outcome| report.with(outcome).count();
    let [done, failed, not_tried] = [Outcome::Done, Outcome::Failed, Outcome::NotTried].map(count);
    let [undone, left] = [Outcome::Undone, Outcome::Left].map(count);
    let all = || {
        let parts = [
            (failed, words::FAILED_COUNT),
            (left, words::LEFT),
            (done, words::DONE),
            (not_tried, words::NOT_TRIED),
            (undone, words::UNDONE),
        ];
        verdict::parts(total, &parts)
    };
    let blocked = not_passed(report);
    if report.ended.is_none() {
        return (
            Tone::Bad,
            if total == 0 { vec![verdict::cut_off()] } else { vec![verdict::cut_off(), all()] },
        );
    }
    match total {
        0 if blocked > 0 => (Tone::Bad, vec![verdict::blocked(blocked)]),
        0 => (Tone::Good, vec![verdict::nothing_to_do()]),
        _ if not_tried == total && blocked > 0 => (Tone::Bad, vec![verdict::blocked(blocked)]),
        _ if done == total => (Tone::Good, vec![verdict::all_done(total)]),
        _ if undone == total => (Tone::Neutral, vec![verdict::all_undone(total)]),
        _ => (if failed + left + not_tried > 0 { Tone::Bad } else { Tone::Neutral }, vec![all()]),
    }
}

/// Required checks that did not pass.
fn not_passed(report: &Report) -> usize {
    let speaks_against = |severity, finding| severity == Severity::Required && finding != Finding::Passed;
    report.checks.iter().filter(|check| speaks_against(check.severity, check.finding)).count()
}

fn write_verdict(page: &mut Markup, report: &Report) {
    let (tone, sentences) = judge(report);
    page.class("div", tone.class(), |page| {
        page.class("p", "outcome", |page| {
            for words in &sentences {
                page.words(words);
                page.text(" ");
            }
        });
        let blocked = not_passed(report);
        let cautions = [
            ("#checks", blocked, sentence::not_passed(blocked)),
            ("#facts", report.missing.len(), sentence::incomplete(report.missing.len())),
            ("#facts", usize::from(report.signer == Signer::Unsigned), words::UNSIGNED),
            ("#facts", usize::from(report.signer == Signer::Unknown), words::NOT_KNOWN),
            ("#by-hand", report.waiting.len(), sentence::waiting(report.waiting.len())),
            ("#by-hand", report.by_hand.len(), sentence::left_by_hand(report.by_hand.len())),
        ];
        if cautions.iter().all(|(_, count, _)| *count == 0) {
            return;
        }
        page.class("ul", "cautions", |page| {
            for (target, _, words) in cautions.iter().filter(|(_, count, _)| *count > 0) {
                page.element("li", |page| page.with("a", &[("href", target)], |page| page.words(words)));
            }
        });
    });
}

fn write_strip(page: &mut Markup, report: &Report) {
    let count = |outcome| words::number(report.with(outcome).count());
    let bytes = report.changes.iter().filter(|change| change.outcome != Outcome::NotTried);
    let bytes = bytes.fold(0_u64, |sum, change| sum.saturating_add(change.bytes));
    let run = run_time(report).unwrap_or_else(|| "–".into());
    let mut cells = vec![
        (words::DONE, count(Outcome::Done), "done"),
        (words::FAILED_COUNT, count(Outcome::Failed), "failed"),
        (words::NOT_TRIED, count(Outcome::NotTried), "not-tried"),
        (words::UNDONE, count(Outcome::Undone), "undone"),
        (words::UNCHANGED, words::number(report.unchanged), "unchanged"),
        (words::MOVED, ByteSize(bytes).to_string(), "plain"),
        (words::DURATION, run, "plain"),
    ];
    if report.with(Outcome::Left).next().is_some() {
        cells.insert(4, (words::LEFT, count(Outcome::Left), "failed"));
    }
    page.class("div", "strip", |page| {
        for (words, value, class) in &cells {
            let class = if value == "0" { "none" } else { class };
            page.with("div", &[("class", class)], |page| {
                page.element("b", |page| page.text(value));
                page.words(words);
            });
        }
    });
}

/// How long the run took, where its end is known.
pub(super) fn run_time(report: &Report) -> Option<String> {
    let ended = report.ended?;
    Some(span(ended.saturating_sub(report.began)))
}

fn write_facts(page: &mut Markup, report: &Report) {
    let identity = &report.identity;
    page.with("table", &[("class", "facts"), ("id", "facts")], |page| {
        page.element("tbody", |page| {
            fact(page, &words::BUNDLE, |page| {
                page.element("b", |page| page.text(&format!("{} {}", identity.bundle, identity.version)));
                if report.signer == Signer::Unknown {
                    return;
                }
                page.text(" · ");
                let size = ByteSize(report.bundle_size).to_string();
                page.words(&sentence::bundle_file(report.contents.len(), &size));
            });
            fact(page, &words::CATALOG, |page| page.code(&identity.catalog.to_string()));
            fact(page, &words::SIGNATURE, |page| write_signer(page, &report.signer));
            fact(page, &words::COMPLETENESS, |page| match report.signer {
                Signer::Unknown => page.words(&words::NOT_KNOWN),
                _ => write_missing(page, &report.missing),
            });
            fact(page, &words::SITE, |page| page.element("b", |page| page.text(identity.site.as_str())));
            fact(page, &words::SITE_FILE, |page| page.code(&identity.site_file.to_string()));
            fact(page, &words::RUN, |page| page.code(&report.run));
            fact(page, &words::BEGAN, |page| page.text(&utc(report.began)));
            fact(page, &words::ENDED, |page| match report.ended {
                Some(ended) => page.text(&utc(ended)),
                None => page.words(&words::CUT_OFF),
            });
            fact(page, &words::PROGRAM, |page| page.text(&format!("Ferry {}", report.program)));
        });
    });
}

fn fact(page: &mut Markup, name: &Words, value: impl FnOnce(&mut Markup)) {
    page.element("tr", |page| {
        page.with("th", &[("scope", "row")], |page| page.words(name));
        page.element("td", value);
    });
}

fn write_signer(page: &mut Markup, signer: &Signer) {
    let (words, key, comment) = match signer {
        Signer::Unknown => (&words::NOT_KNOWN, None, None),
        Signer::Unsigned => (&words::UNSIGNED, None, None),
        Signer::Unchecked { key } => (&words::UNCHECKED, Some(key), None),
        Signer::Verified { key, comment } => (&words::VERIFIED, Some(key), Some(comment)),
    };
    page.words(words);
    for (name, value) in [(&words::KEY, key), (&words::COMMENT, comment)] {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        page.class("div", "detail", |page| {
            page.class("span", "label", |page| page.words(name));
            page.text(" ");
            page.code(value);
        });
    }
}

fn write_missing(page: &mut Markup, missing: &[String]) {
    if missing.is_empty() {
        return page.words(&words::COMPLETE);
    }
    page.class("span", "warning", |page| page.words(&sentence::incomplete(missing.len())));
    page.class("ul", "missing", |page| {
        for entry in missing.iter().take(MAX_MISSING) {
            page.element("li", |page| page.text(entry));
        }
    });
    if missing.len() > MAX_MISSING {
        page.say("p", &sentence::left_out(missing.len() - MAX_MISSING));
    }
}
