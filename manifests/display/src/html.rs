//! The report of a run as one HTML file for a security desk or a change board: to be read offline, printed and filed.
//!
//! 1. [`report_html`] takes the [`Report`] and gives the whole file. Same report, same bytes.
//! 2. `markup` is the only place where text becomes HTML; it escapes everything, so names and errors may be hostile. The
//!    file is well-formed XML too, has no script, fetches nothing, and forbids itself both (Content-Security-Policy).
//! 3. `words` holds every sentence in English and Chinese. Both are in the file; two radio buttons and the style sheet
//!    decide which one shows.
//! 4. One module for each section: `summary`, `contents` (with its `picture`), `checks`, `changes`, `timings`, `closing`.
//!
//! The page stays usable for tens of thousands of images: long lists are cut, and say what was left out.

mod changes;
mod checks;
mod closing;
mod contents;
mod diff;
mod markup;
mod picture;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod time;
mod timings;
mod treemap;
mod words;

use ferry_model::report::Report;

use self::markup::Markup;
use self::words::Words;

/// Forbids scripts, requests, forms and frames, whatever else is in the file.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Rows of a list that is folded away at first.
const MAX_FOLDED: usize = 20_000;

/// The report as one HTML file that needs nothing else.
pub fn report_html(report: &Report) -> String {
    let mut page = Markup::default();
    page.own("<!DOCTYPE html>\n");
    page.with("html", &[("xmlns", "http://www.w3.org/1999/xhtml"), ("lang", "en")], |page| {
        page.element("head", |page| write_head(page, report));
        page.element("body", |page| write_body(page, report));
    });
    page.own("\n");
    page.into_text()
}

fn write_head(page: &mut Markup, report: &Report) {
    let identity = &report.identity;
    page.empty("meta", &[("charset", "utf-8")]);
    page.empty("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
    page.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    page.element("title", |page| {
        let (english, chinese) = (words::REPORT.english, words::REPORT.chinese);
        page.text(&format!(
            "{} {} → {}: {english} {chinese}",
            identity.bundle, identity.version, identity.site
        ));
    });
    page.element("style", |page| page.own(include_str!("html/style.css")));
}

fn write_body(page: &mut Markup, report: &Report) {
    // They come before all that they show and hide: style sheets only look ahead.
    let radio = [("type", "radio"), ("name", "language"), ("class", "switch")];
    let [kind, name, class] = radio;
    let english =
        [kind, name, class, ("id", "english"), ("aria-label", words::ENGLISH), ("checked", "checked")];
    page.empty("input", &english);
    page.empty("input", &[kind, name, class, ("id", "chinese"), ("aria-label", words::CHINESE)]);
    page.class("div", "bar", |page| {
        page.class("span", "brand", |page| page.text("Ferry 摆渡"));
        page.class("span", "languages", |page| {
            // Not "en" and "zh-CN", which the style sheet hides.
            page.with("label", &[("for", "english"), ("lang", "en-GB")], |page| page.text(words::ENGLISH));
            page.with("label", &[("for", "chinese"), ("lang", "zh")], |page| page.text(words::CHINESE));
        });
    });
    page.element("main", |page| {
        summary::write(page, report);
        changes::write_failed(page, report);
        closing::write_by_hand(page, report);
        contents::write(page, report);
        checks::write(page, report);
        changes::write(page, report);
        timings::write(page, report);
        closing::write_sign_off(page);
    });
    page.element("footer", |page| {
        page.say("p", &words::ORIGIN);
        page.say("p", &words::LANGUAGE_NOTE);
    });
}

/// A section with its heading.
fn section(page: &mut Markup, id: &str, heading: &Words, inside: impl FnOnce(&mut Markup)) {
    page.with("section", &[("id", id)], |page| {
        page.say("h2", heading);
        inside(page);
    });
}

/// A table of this class with these column headings.
fn table(page: &mut Markup, class: &'static str, columns: &[&Words], inside: impl FnOnce(&mut Markup)) {
    page.class("table", class, |page| {
        page.element("thead", |page| {
            page.element("tr", |page| {
                for column in columns {
                    page.with("th", &[("scope", "col")], |page| page.words(column));
                }
            });
        });
        inside(page);
    });
}

/// A list that is folded away until somebody opens it, and how many of its entries are nowhere else. On paper nobody can.
fn folded(page: &mut Markup, summary: &Words, hidden: usize, inside: impl FnOnce(&mut Markup)) {
    page.class("details", "list", |page| {
        page.say("summary", summary);
        inside(page);
    });
    page.class("p", "not-printed", |page| page.words(&words::sentence::not_printed(hidden)));
}
