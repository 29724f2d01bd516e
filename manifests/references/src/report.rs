//! Collects what is found, and puts it in the order of the text.

use std::ops::Range;

use crate::parts::Parts;
use crate::registries::Registry;
use crate::{Found, How, Malformed, Place, Survey};

/// What was found in a text so far.
#[derive(Debug)]
pub(crate) struct Report<'t> {
    text: &'t str,
    found: Vec<Found>,
    registries: Vec<Registry>,
    /// With the byte where each stands.
    unclear: Vec<(usize, Place)>,
    /// The same, with the reasons.
    malformed: Vec<(usize, Malformed)>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new(), registries: Vec::new(), unclear: Vec::new(), malformed: Vec::new() }
    }

    /// Notes a reference. Its line and column follow from its bytes.
    pub(crate) fn push(&mut self, parts: Parts, how: How, object: Option<String>, path: String) {
        let place = Place { line: 0, column: 0, object, path };
        self.found.push(Found { named: parts.named, how, place, spans: parts.spans });
    }

    /// Notes a registry by itself.
    pub(crate) fn push_registry(
        &mut self,
        value: &str,
        span: Range<usize>,
        object: Option<String>,
        path: String,
    ) {
        let place = Place { line: 0, column: 0, object, path };
        self.registries.push(Registry { value: value.to_owned(), place, span });
    }

    /// Notes an image of which nothing is known before something is rendered.
    pub(crate) fn push_unclear(&mut self, at: usize, object: Option<String>, path: String) {
        self.unclear.push((at, Place { line: 0, column: 0, object, path }));
    }

    /// Notes what stands for an image and cannot be one.
    pub(crate) fn push_malformed(&mut self, at: usize, reason: String, object: Option<String>, path: String) {
        let place = Place { line: 0, column: 0, object, path };
        self.malformed.push((at, Malformed { place, reason }));
    }

    /// Everything in the order of its bytes, each once: what was noted first of the same bytes stays.
    pub(crate) fn finish(mut self) -> Survey {
        self.found.sort_by_key(|found| (found.spans.repository.start, found.spans.repository.end));
        self.found.dedup_by(|later, first| later.spans.repository == first.spans.repository);
        self.found.sort_by_key(|found| found.spans.first());
        let mut lines = Lines::new(self.text);
        for found in &mut self.found {
            (found.place.line, found.place.column) = lines.place(found.spans.first());
        }
        self.registries.sort_by_key(|registry| (registry.span.start, registry.span.end));
        self.registries.dedup_by(|later, first| later.span == first.span);
        let mut lines = Lines::new(self.text);
        for registry in &mut self.registries {
            (registry.place.line, registry.place.column) = lines.place(registry.span.start);
        }
        self.unclear.sort();
        let mut lines = Lines::new(self.text);
        for (at, place) in &mut self.unclear {
            (place.line, place.column) = lines.place(*at);
        }
        let unclear = self.unclear.into_iter().map(|(_, place)| place).collect();
        self.malformed.sort_by_key(|(at, _)| *at);
        let mut lines = Lines::new(self.text);
        for (at, malformed) in &mut self.malformed {
            (malformed.place.line, malformed.place.column) = lines.place(*at);
        }
        let malformed = self.malformed.into_iter().map(|(_, malformed)| malformed).collect();
        Survey { found: self.found, registries: self.registries, unclear, malformed }
    }
}

/// Counts lines and characters, forward only.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1, column: 1 }
    }

    fn place(&mut self, at: usize) -> (usize, usize) {
        let between = &self.text[self.at..at];
        let count = between.bytes().filter(|&byte| byte == b'\n').count();
        if count > 0 {
            self.line += count;
            let last = between.rfind('\n').expect("there is one");
            self.column = between[last + 1..].chars().count() + 1;
        } else {
            self.column += between.chars().count();
        }
        self.at = at;
        (self.line, self.column)
    }
}
