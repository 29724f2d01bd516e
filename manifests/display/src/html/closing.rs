//! What is left to people: things to do, with a box to tick, and lines to sign.

use ferry_model::report::Report;

use super::markup::Markup;
use super::words::{self, sentence};
use super::{section, table};

/// Things to do that are listed.
const MAX_LISTED: usize = 1_000;

pub(super) fn write_by_hand(page: &mut Markup, report: &Report) {
    section(page, "by-hand", &words::BY_HAND, |page| {
        let all: Vec<&String> = report.waiting.iter().chain(&report.by_hand).collect();
        if all.is_empty() {
            return page.say("p", &words::NOTHING_BY_HAND);
        }
        page.class("ul", "boxes", |page| {
            for sentence in all.iter().take(MAX_LISTED) {
                page.element("li", |page| page.text(sentence));
            }
        });
        if all.len() > MAX_LISTED {
            page.say("p", &sentence::left_out(all.len() - MAX_LISTED));
        }
    });
}

pub(super) fn write_sign_off(page: &mut Markup) {
    section(page, "sign-off", &words::SIGN_OFF, |page| {
        let columns = [&words::ROLE, &words::PERSON, &words::SIGNED, &words::DATE, &words::REMARKS];
        table(page, "sign-off", &columns, |page| {
            page.element("tbody", |page| {
                for role in [&words::CARRIED_OUT, &words::REVIEWED, &words::APPROVED] {
                    page.element("tr", |page| {
                        page.with("th", &[("scope", "row")], |page| page.words(role));
                        for _ in 1..columns.len() {
                            page.element("td", |_| {});
                        }
                    });
                }
            });
        });
    });
}
