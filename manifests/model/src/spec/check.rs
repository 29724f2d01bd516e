//! `check`: what `ferry-builder check` takes for no hole, and what it does about holes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::entry::yes;

/// How completeness is checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Images that something names and that the bundle need not have.
    #[serde(default)]
    pub ignore: Vec<Ignore>,
    /// Whether `check` and `build` fail on an image that is named and not carried. Default: true.
    #[serde(default = "yes")]
    pub fail: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self { ignore: Vec::new(), fail: true }
    }
}

/// A false alarm, and why it is one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "IgnoreMapping")]
pub struct Ignore {
    /// The image, as it is written or in full: `busybox*`, `docker.io/library/busybox:*`.
    pub image: Pattern,
    /// Where it is named; anywhere, where this is absent.
    pub place: Option<Pattern>,
    /// Why the bundle need not have it.
    pub reason: String,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IgnoreMapping {
    /// The image, as it is written or in full; `*` stands for any characters, `?` for one: `busybox*`.
    image: Pattern,
    /// Where it is named: `charts/bk-monitor*`, `deploy/*.yaml`. Default: anywhere.
    #[serde(default, rename = "in")]
    place: Option<Pattern>,
    /// Why the bundle need not have it, for whoever reads this next.
    reason: String,
}

impl TryFrom<IgnoreMapping> for Ignore {
    type Error = String;

    fn try_from(mapping: IgnoreMapping) -> Result<Self, String> {
        if mapping.reason.trim().is_empty() {
            return Err(format!("`{}` is silenced without a `reason`", mapping.image));
        }
        Ok(Self { image: mapping.image, place: mapping.place, reason: mapping.reason })
    }
}

/// A text in which `*` stands for any characters, `/` among them, and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    pub(crate) const EXPECTING: &'static str = "a text in which `*` stands for any characters";
    /// The longest pattern.
    pub const MAX_LENGTH: usize = 512;

    /// Whether all of `text` is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut at, mut next) = (0, 0);
        // Where to go on when what follows the last `*` does not fit: one character further.
        let mut last_star = None;
        while next < text.len() {
            match pattern.get(at) {
                Some('*') => {
                    last_star = Some((at, next));
                    at += 1;
                }
                Some(&c) if c == '?' || c == text[next] => (at, next) = (at + 1, next + 1),
                _ => match last_star {
                    Some((star, from)) => {
                        last_star = Some((star, from + 1));
                        (at, next) = (star + 1, from + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|c| *c == '*')
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("the pattern is empty".to_owned()),
            1..=Self::MAX_LENGTH => Ok(Self(text.to_owned())),
            length => Err(format!("a pattern of {length} bytes is too long")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::serde_as_string!(Pattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failure::Failure as _;
    use crate::spec::Spec;

    const HEAD: &str = "apiVersion: ferry/v1\nkind: Bundle\nname: demo\nversion: 1.0.0\ncheck:\n";

    #[test]
    fn false_alarms_need_a_reason() {
        let spec = Spec::parse(&format!(
            "{HEAD}  ignore:\n    - {{image: \"busybox*\", in: \"charts/bk-monitor*\", reason: off at our site}}\n"
        ));
        let check = spec.unwrap().check;
        assert!(check.fail);
        assert!(check.ignore[0].place.as_ref().unwrap().matches("charts/bk-monitor-3.7.0/templates/a.yaml"));
        for (entry, expect) in [
            ("{image: a}", "reason"),
            ("{image: a, reason: \" \"}", "without a `reason`"),
            ("{image: \"\", reason: b}", "empty"),
        ] {
            let error = Spec::parse(&format!("{HEAD}  ignore:\n    - {entry}\n")).unwrap_err();
            assert!(error.to_string().contains(expect), "{entry}: {error}");
        }
        let error = Spec::parse(&format!("{HEAD}  ignored: []\n")).unwrap_err();
        assert_eq!(error.hints(), ["did you mean `ignore`?"]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("busybox*", "busybox:1.34", true),
            ("busybox*", "library/busybox", false),
            ("*/busybox:*", "docker.io/library/busybox:latest", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("*", "", true),
            ("a**", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_with_a_star_put_in_still_fits(text in "[a-c*?]{1,12}", from in 0usize..12, to in 0usize..12) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern: Pattern = format!("{}*{}", &text[..from], &text[to..]).parse().unwrap();
            prop_assert!(pattern.matches(&text));
        }
    }
}
