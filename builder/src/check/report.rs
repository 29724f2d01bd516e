//! What a check comes to.

use std::collections::BTreeMap;
use std::fmt;

use ferry_display::{Align, Table, counted, printable};
use ferry_model::ImageReference;
use ferry_model::spec::{Check, Ignore};
use serde::Serialize;

use super::holdings::{Holding, Holdings};
use super::mention::{Mention, Place, Weight};

/// Every image that something names, and whether it is carried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The helm that charts were rendered with: `v3.17.2`.
    pub helm: Option<String>,
    /// The charts that were looked into.
    pub charts: Vec<CheckedChart>,
    /// How many other files were.
    pub files: usize,
    /// Images, what is missing first.
    pub images: Vec<CheckedImage>,
    /// What somebody should look at: references of which a part is only known to a renderer, in charts and files that
    /// were not rendered, and, with a note that says so, what is no reference or no YAML.
    pub unclear: Vec<Place>,
    /// What could not be read, and so may name anything.
    pub unread: Vec<Unread>,
    /// Silenced alarms that there were none of.
    pub idle: Vec<Idle>,
    /// What was written into the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Whether everything that is needed is there, or said not to be.
    pub complete: bool,
}

/// A chart that was looked into.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedChart {
    /// `charts/bk-monitor-3.7.0`.
    pub source: String,
    /// Whether helm rendered it.
    pub rendered: bool,
    /// Why it could not be rendered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Something that could not be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// What.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// A silenced alarm that there was none of.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// Its `image`.
    pub image: String,
    /// Its `in`.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Its `reason`.
    pub reason: String,
}

impl Idle {
    fn of(rule: &Ignore) -> Self {
        Self {
            image: rule.image.to_string(),
            place: rule.place.as_ref().map(ToString::to_string),
            reason: rule.reason.clone(),
        }
    }

    /// Whether it is this rule.
    pub(super) fn is(&self, rule: &Ignore) -> bool {
        *self == Self::of(rule)
    }
}

/// An image that something names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedImage {
    /// Its name, in full.
    pub image: ImageReference,
    /// Whether it is carried.
    pub state: State,
    /// What it is carried as, where that is another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_as: Option<String>,
    /// The line of a spec that would bring it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Why it is silenced, or what is odd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it is named.
    pub places: Vec<Place>,
}

/// Whether an image is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is needed, and is not.
    Missing,
    /// It is not; what names it may never be used.
    Possible,
    /// It is not; what names it is switched off, or may be missing.
    Optional,
    /// It is not, and the spec says why that is well.
    Silenced,
    /// It is.
    Held,
}

impl Report {
    /// Takes images that were written into the spec for carried.
    pub fn added(&mut self, added: Vec<String>) {
        for image in &mut self.images {
            if added.contains(&image.image.to_string()) {
                image.state = State::Held;
                image.line = None;
            }
        }
        self.added = added;
        self.complete = self.unread.is_empty() && self.in_state(State::Missing).next().is_none();
    }

    /// The charts that could not be rendered, and why; without those that are told as unread.
    pub fn unrendered(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_told = |chart: &CheckedChart| self.unread.iter().any(|unread| unread.source == chart.source);
        let failed = self.charts.iter().filter(move |chart| !is_told(chart));
        failed.filter_map(|chart| Some((chart.source.as_str(), chart.failure.as_deref()?)))
    }

    /// The images in this state.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &CheckedImage> {
        self.images.iter().filter(move |image| image.state == state)
    }
}

/// Compares what is named with what is carried.
pub(super) fn judge(
    mentions: Vec<Mention>,
    holdings: &Holdings,
    rules: &Check,
) -> (Vec<CheckedImage>, Vec<Idle>) {
    let mut by_image: BTreeMap<ImageReference, Vec<Mention>> = BTreeMap::new();
    for mention in mentions {
        by_image.entry(mention.image.clone()).or_default().push(mention);
    }
    let mut used = vec![false; rules.ignore.len()];
    let mut images: Vec<CheckedImage> = Vec::new();
    for (image, mut mentions) in by_image {
        mentions.sort_by(|a, b| (b.weight, &a.place).cmp(&(a.weight, &b.place)));
        mentions.dedup_by(|a, b| a.place == b.place);
        images.push(judge_one(image, mentions, holdings, &rules.ignore, &mut used));
    }
    images.sort_by(|a, b| (a.state, &a.image).cmp(&(b.state, &b.image)));
    let idle = rules.ignore.iter().zip(used).filter(|(_, used)| !used).map(|(rule, _)| Idle::of(rule));
    (images, idle.collect())
}

fn judge_one(
    image: ImageReference,
    mentions: Vec<Mention>,
    holdings: &Holdings,
    rules: &[Ignore],
    used: &mut [bool],
) -> CheckedImage {
    let is_pinned = mentions.iter().any(|mention| mention.is_pinned);
    let holding = holdings.look_for(&image, is_pinned);
    // Of what is carried there is no alarm to silence.
    let rules = if matches!(holding, Holding::Held | Holding::As(_)) { &[] } else { rules };
    let mut weight = None;
    let mut silence = None;
    for mention in &mentions {
        match rules.iter().position(|rule| silences(rule, mention)) {
            Some(rule) => {
                used[rule] = true;
                silence = Some(rules[rule].reason.clone());
            }
            None => weight = weight.max(Some(mention.weight)),
        }
    }
    let open = match weight {
        Some(Weight::Needed) => State::Missing,
        Some(Weight::Possible) => State::Possible,
        Some(Weight::Optional) => State::Optional,
        None => State::Silenced,
    };
    let line = format!("- {image}");
    let (state, held_as, line, reason) = match holding {
        Holding::Held => (State::Held, None, None, None),
        Holding::As(name) => (State::Held, Some(name), None, None),
        Holding::OtherDigest(name) => {
            (open, None, None, silence.or_else(|| Some(format!("{name} is there, with another digest"))))
        }
        Holding::LeftOut => {
            let reason = "the spec has it as `required: false`, and it could not be had".to_owned();
            (open.max(State::Optional), None, None, silence.or(Some(reason)))
        }
        Holding::Missing if is_pinned => (open, None, Some(line), silence.or_else(|| holdings.near(&image))),
        Holding::Missing => {
            (open, None, None, silence.or_else(|| Some("its tag is said elsewhere".to_owned())))
        }
    };
    let reason = reason.filter(|_| state != State::Held);
    CheckedImage {
        image,
        state,
        held_as,
        line,
        reason,
        places: mentions.into_iter().map(|mention| mention.place).collect(),
    }
}

fn silences(rule: &Ignore, mention: &Mention) -> bool {
    let (image, place) = (&mention.image, &mention.place);
    let full = image.to_string();
    let short = full.strip_prefix("docker.io/").unwrap_or(&full);
    let shortest = short.strip_prefix("library/").unwrap_or(short);
    // A name without a tag is all of its tags.
    let names = [image.raw(), &full, short, shortest, &image.name(), image.repository(), untagged(shortest)];
    names.iter().any(|name| rule.image.matches(name))
        && rule
            .place
            .as_ref()
            .is_none_or(|pattern| pattern.matches(&place.source) || pattern.matches(&place.name()))
}

/// A name without its tag and its digest.
fn untagged(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last..].find(':').map_or(name, |colon| &name[..last + colon])
}

/// The most places that are shown of one image.
const SHOWN: usize = 4;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (chart, failure) in self.unrendered() {
            writeln!(f, "{chart} does not render, so all that it says counts: {failure}")?;
        }
        if self.helm.is_none() && !self.charts.is_empty() {
            writeln!(
                f,
                "helm was not used, so all that charts say counts, and what they make up is not seen"
            )?;
        }
        for unread in &self.unread {
            writeln!(f, "UNREAD    {}: {}", unread.source, unread.reason)?;
        }
        for image in self.in_state(State::Missing) {
            write_image(f, "MISSING ", image)?;
        }
        for (state, word) in
            [(State::Possible, "possible"), (State::Optional, "optional"), (State::Silenced, "silenced")]
        {
            for image in self.in_state(state) {
                write_image(f, word, image)?;
            }
        }
        for place in &self.unclear {
            let why = place.note.as_deref().unwrap_or("a template says what it is");
            writeln!(f, "unclear   {}: {}", printable(&place.spot()), printable(why))?;
        }
        for idle in &self.idle {
            let place = idle.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
            writeln!(
                f,
                "idle      `check.ignore` silences {}{place}, which is not missing there",
                idle.image
            )?;
        }
        self.write_sum(f)
    }
}

impl Report {
    fn write_sum(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| self.in_state(state).count();
        let counts = [
            (count(State::Missing), "missing"),
            (count(State::Possible), "possible"),
            (count(State::Optional), "optional"),
            (count(State::Silenced), "silenced"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, word)| *count > 0 || *word == "missing")
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let rendered = match &self.helm {
            Some(helm) => format!(" (helm {helm})"),
            None => String::new(),
        };
        writeln!(
            f,
            "{} named by {}{rendered} and {}: {} carried, {}",
            counted(self.images.len(), "image"),
            counted(self.charts.len(), "chart"),
            counted(self.files, "other file"),
            count(State::Held),
            counts.join(", ")
        )
    }
}

fn write_image(f: &mut fmt::Formatter<'_>, word: &str, image: &CheckedImage) -> fmt::Result {
    let reason = image.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default();
    writeln!(f, "{word}  {}{reason}", printable(&image.image.to_string()))?;
    let mut table = Table::new([Align::Left; 3]).indented(10);
    // Where one has an object, the others keep its column free.
    let has_objects = image.places.iter().take(SHOWN).any(|place| place.object.is_some());
    for place in image.places.iter().take(SHOWN) {
        let object = place.object.clone().filter(|_| has_objects);
        table.row(
            [Some(printable(&place.spot()).into_owned()), object, Some(how(place))].into_iter().flatten(),
        );
    }
    write!(f, "{table}")?;
    match image.places.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "          and {more} more"),
    }
}

fn how(place: &Place) -> String {
    let how = serde_json::to_value(place.how).ok();
    let how = how.as_ref().and_then(|how| how.as_str()).unwrap_or_default().to_owned();
    let rendered = if place.rendered { ", rendered" } else { "" };
    let note = place.note.as_ref().map(|note| format!(", {note}")).unwrap_or_default();
    format!("{how}{rendered}{note}")
}
