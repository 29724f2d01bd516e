//! The sizes of the bundle's contents as a picture: one tile for each entry, as large as its share, kind beside kind.

use std::cmp::Reverse;

use ferry_model::size::ByteSize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::contents::Group;
use super::markup::Markup;
use super::treemap::{Rectangle, squarify};
use super::words::{self, Words, sentence};

/// The picture, in its own units; it is scaled to the page.
pub(super) const PICTURE: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 960.0, height: 400.0 };
/// Entries with a tile of their own. More could not be told apart.
const MAX_TILES: usize = 150;
/// Width of a Latin letter in the tiles' font; a Chinese character takes two.
const LETTER: f64 = 6.0;
const LINE: f64 = 14.0;
const MARGIN: f64 = 5.0;

/// One tile.
#[derive(Debug)]
struct Tile<'a> {
    /// Absent for what has no tile of its own.
    name: Option<&'a str>,
    count: usize,
    size: u64,
}

pub(super) fn draw(page: &mut Markup, groups: &[Group<'_>]) {
    if groups.iter().all(|group| group.size == 0) {
        return;
    }
    let frame = format!("0 0 {} {}", PICTURE.width, PICTURE.height);
    let attributes = [
        ("xmlns", "http://www.w3.org/2000/svg"),
        ("class", "picture"),
        ("viewBox", &frame),
        ("role", "img"),
        ("aria-labelledby", "picture-title picture-text"),
    ];
    let smallest = smallest_tile(groups);
    page.class("figure", "sizes", |page| {
        page.with("svg", &attributes, |page| {
            let (title, text) = (&words::CONTENTS, &words::PICTURE_NOTE);
            page.with("title", &[("id", "picture-title")], |page| in_both(page, title));
            page.with("desc", &[("id", "picture-text")], |page| in_both(page, text));
            let areas = squarify(&groups.iter().map(|group| amount(group.size)).collect::<Vec<_>>(), PICTURE);
            for (group, area) in groups.iter().zip(areas) {
                draw_group(page, group, area, smallest);
            }
        });
    });
}

/// A square of the kind's colour.
pub(super) fn draw_swatch(page: &mut Markup, kind: &str) {
    let attributes = [
        ("xmlns", "http://www.w3.org/2000/svg"),
        ("class", "swatch"),
        ("viewBox", "0 0 12 12"),
        ("aria-hidden", "true"),
    ];
    page.with("svg", &attributes, |page| {
        page.empty("rect", &[("class", colour(kind)), ("width", "12"), ("height", "12")]);
    });
}

fn colour(kind: &str) -> &'static str {
    match kind {
        "image" => "tile-image",
        "chart" => "tile-chart",
        "runtime" => "tile-runtime",
        "saas" => "tile-saas",
        "file" => "tile-file",
        _ => "tile-other",
    }
}

/// Tooltips are text without elements, so that no style sheet can choose.
fn in_both(page: &mut Markup, words: &Words) {
    page.text(&words.english);
    page.text(" / ");
    page.text(&words.chinese);
}

#[expect(clippy::cast_precision_loss, reason = "a picture needs no exact byte")]
fn amount(size: u64) -> f64 {
    size as f64
}

/// The size from which on an entry has a tile of its own.
fn smallest_tile(groups: &[Group<'_>]) -> u64 {
    let mut sizes: Vec<u64> =
        groups.iter().flat_map(|group| &group.contents).map(|content| content.size).collect();
    if sizes.len() <= MAX_TILES {
        return 1;
    }
    let (_, smallest, _) = sizes.select_nth_unstable_by(MAX_TILES - 1, |one, other| other.cmp(one));
    // Where thousands are of the same size, none of them stands out.
    let smallest = *smallest;
    if sizes.iter().filter(|&&size| size >= smallest).count() > 2 * MAX_TILES {
        smallest + 1
    } else {
        smallest
    }
}

fn draw_group(page: &mut Markup, group: &Group<'_>, area: Rectangle, smallest: u64) {
    let shown = group.contents.partition_point(|content| content.size >= smallest.max(1));
    let mut tiles: Vec<Tile<'_>> = group.contents[..shown]
        .iter()
        .map(|content| Tile { name: Some(&content.name), count: 1, size: content.size })
        .collect();
    let rest = &group.contents[shown..];
    let size = rest.iter().fold(0_u64, |sum, content| sum.saturating_add(content.size));
    if size > 0 {
        tiles.push(Tile { name: None, count: rest.len(), size });
        // Together they may be the largest; out of order, all others would become slivers.
        tiles.sort_by_key(|tile| Reverse(tile.size));
    }
    let amounts: Vec<f64> = tiles.iter().map(|tile| amount(tile.size)).collect();
    page.class("g", colour(group.kind), |page| {
        for (at, (tile, area)) in tiles.iter().zip(squarify(&amounts, area)).enumerate() {
            // The first is the largest: it tells the kind for all.
            draw_tile(page, tile, area, (at == 0).then(|| words::kind(group.kind)).as_ref());
        }
        // Around what is hardly there, a border would be all that is seen.
        if area.width.min(area.height) > 4.0 {
            draw_rectangle(page, "border", area);
        }
    });
}

fn draw_tile(page: &mut Markup, tile: &Tile<'_>, area: Rectangle, kind: Option<&Words>) {
    let size = ByteSize(tile.size).to_string();
    let others = sentence::others(tile.count);
    page.element("g", |page| {
        page.element("title", |page| {
            match tile.name {
                Some(name) => page.text(name),
                None => in_both(page, &others),
            }
            page.text(&format!(": {size}"));
        });
        let class = if tile.name.is_some() { "tile" } else { "tile rest" };
        draw_rectangle(page, class, area);
        let mut pen = Pen { page, area, line: 0 };
        if let Some(kind) = kind {
            pen.write("kind", |page| page.words_in("tspan", kind), kind.english.width());
        }
        let room = pen.letters();
        match tile.name {
            Some(name) => {
                let name = fit(name, room);
                pen.write("name", |page| page.text(&name), name.width());
            }
            None => pen.write("name", |page| page.words_in("tspan", &others), others.english.width()),
        }
        pen.write("size", |page| page.text(&size), size.width());
    });
}

/// Writes lines into a tile for as long as they fit.
struct Pen<'a> {
    page: &'a mut Markup,
    area: Rectangle,
    line: u32,
}

impl Pen<'_> {
    #[expect(clippy::cast_sign_loss, reason = "never below zero")]
    fn letters(&self) -> usize {
        ((self.area.width - 2.0 * MARGIN) / LETTER).max(0.0) as usize
    }

    fn write(&mut self, class: &'static str, inside: impl FnOnce(&mut Markup), letters: usize) {
        let base = f64::from(self.line + 1) * LINE;
        let is_too_much = letters < 2 || letters > self.letters() || base + 3.0 > self.area.height;
        if is_too_much {
            return;
        }
        self.line += 1;
        let (x, y) = (tenths(self.area.x + MARGIN), tenths(self.area.y + base));
        self.page.with("text", &[("class", class), ("x", &x), ("y", &y)], inside);
    }
}

/// The part of a name that tells most, in so many letters: a path's end, then that without its end.
fn fit(name: &str, letters: usize) -> String {
    let short = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name);
    for text in [name, short] {
        if text.width() <= letters {
            return text.to_owned();
        }
    }
    if letters < 4 {
        return String::new();
    }
    let mut text = String::new();
    let mut width = 1;
    for c in short.chars() {
        width += c.width().unwrap_or(0);
        if width > letters {
            break;
        }
        text.push(c);
    }
    text.push('…');
    text
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

/// Edges are rounded, not extents, so that neighbours still meet.
fn draw_rectangle(page: &mut Markup, class: &str, area: Rectangle) {
    let round = |number: f64| (number * 10.0).round() / 10.0;
    let (left, top) = (round(area.x), round(area.y));
    let width = tenths(round(area.x + area.width) - left);
    let height = tenths(round(area.y + area.height) - top);
    let (x, y) = (tenths(left), tenths(top));
    page.empty("rect", &[("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_what_tells_most() {
        for (name, letters, text) in [
            ("hub.corp/blueking/slug-app:v1.1.0", 40, "hub.corp/blueking/slug-app:v1.1.0"),
            ("hub.corp/blueking/slug-app:v1.1.0", 20, "slug-app:v1.1.0"),
            ("hub.corp/blueking/slug-app:v1.1.0", 8, "slug-ap…"),
            ("文档/离线安装手册", 8, "离线安…"),
            ("slug-app:v1.1.0", 3, ""),
            ("", 9, ""),
        ] {
            assert_eq!(fit(name, letters), text);
        }
    }
}
