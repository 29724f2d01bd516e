//! What was looked at before anything was changed: what speaks against going on first, then what nobody knows.

use ferry_model::report::{Check, Finding, Report};

use super::markup::Markup;
use super::words::{self, sentence};
use super::{MAX_FOLDED, folded, section, table};

/// Checks that are listed openly, of one finding.
const MAX_OPEN: usize = 200;

pub(super) fn write(page: &mut Markup, report: &Report) {
    section(page, "checks", &words::CHECKS, |page| {
        if report.checks.is_empty() {
            return page.say("p", &words::NO_CHECKS);
        }
        for finding in [Finding::Failed, Finding::Unknown, Finding::Passed] {
            let mut checks: Vec<_> = report.checks.iter().filter(|check| check.finding == finding).collect();
            checks.sort_by_key(|check| check.severity);
            if !checks.is_empty() {
                write_finding(page, finding, &checks);
            }
        }
    });
}

fn write_finding(page: &mut Markup, finding: Finding, checks: &[&Check]) {
    page.class("h3", class(finding), |page| {
        page.words(&words::finding(finding));
        page.text(&format!(" ({})", words::number(checks.len())));
    });
    let (open, rest) = checks.split_at(checks.len().min(MAX_OPEN));
    write_table(page, finding, open);
    if !rest.is_empty() {
        folded(page, &sentence::others(rest.len()), rest.len(), |page| {
            write_table(page, finding, &rest[..rest.len().min(MAX_FOLDED)]);
            if rest.len() > MAX_FOLDED {
                page.say("p", &sentence::left_out(rest.len() - MAX_FOLDED));
            }
        });
    }
}

fn class(finding: Finding) -> &'static str {
    match finding {
        Finding::Passed => "finding passed",
        Finding::Failed => "finding failed",
        Finding::Unknown => "finding unknown",
    }
}

fn write_table(page: &mut Markup, finding: Finding, checks: &[&Check]) {
    let all = [&words::CHECK, &words::SEVERITY, &words::FOUND, &words::REASON, &words::REMEDY];
    // What is as it should be needs no remedy.
    let (table_class, columns) =
        if finding == Finding::Passed { ("checks short", &all[..4]) } else { ("checks", &all[..]) };
    table(page, table_class, columns, |page| {
        page.element("tbody", |page| {
            for check in checks {
                page.element("tr", |page| {
                    page.element("td", |page| {
                        page.element("b", |page| page.text(&check.name));
                        page.class("div", "subject", |page| page.text(&check.subject));
                    });
                    page.say("td", &words::severity(check.severity));
                    page.element("td", |page| page.text(&check.found));
                    page.element("td", |page| page.text(&check.reason));
                    if finding != Finding::Passed {
                        page.element("td", |page| page.text(&check.remedy));
                    }
                });
            }
        });
    });
}
