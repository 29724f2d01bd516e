//! Lists in a JSON file that others wrote: strings are added, and every other byte stays.
//!
//! `serde_json` says what is JSON and where each value lies in the text; only the places between values are written to.

use std::fmt;
use std::path::Path;

use ferry_model::report::Failed;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{broken, broken_at};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A JSON object as a file has it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    mark: &'static str,
    text: String,
}

/// The members of an object in their order; a key may be there twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object: `{ … }`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Object {
    /// Reads a file's bytes. An empty file is an empty object.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Failed> {
        let text = str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            broken(path, &valid, valid.len(), "this is no UTF-8")
        })?;
        let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (BYTE_ORDER_MARK, rest),
            None => ("", text),
        };
        if text.trim().is_empty() {
            return Ok(Self { mark, text: "{}\n".to_owned() });
        }
        serde_json::from_str::<Members<'_>>(text).map_err(|error| {
            let says = error.to_string();
            let says = says.split(" at line ").next().unwrap_or_default();
            broken_at(path, text, (error.line(), error.column().max(1)), says)
        })?;
        Ok(Self { mark, text: text.to_owned() })
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.mark.as_bytes(), self.text.as_bytes()].concat()
    }

    /// Whether it has a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The strings of a list; none where it is not there. Where a key is there twice, the last one counts, as for Go's reader.
    pub(crate) fn strings(&self, path: &Path, key: &str) -> Result<Vec<String>, Failed> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let strings: Result<Option<Vec<String>>, _> = serde_json::from_str(value.get());
        strings.map(Option::unwrap_or_default).map_err(|_| {
            let says = format!("`{key}` is no list of strings");
            broken(path, &self.text, self.offset(value.get()), &says)
        })
    }

    /// Adds strings at the end of a list, which is made where it is not there.
    pub(crate) fn add(&mut self, key: &str, strings: &[String]) {
        if strings.is_empty() {
            return;
        }
        let members = self.members();
        let value = members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.get());
        let (at, end, text) = match value {
            Some(list) => self.longer_list(list, strings),
            None => self.new_member(&members, key, strings),
        };
        self.text.replace_range(at..end, &text);
    }

    /// What to put where so that a list has more strings.
    fn longer_list(&self, list: &str, strings: &[String]) -> (usize, usize, String) {
        let start = self.offset(list);
        let elements: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
        let (Some(first), Some(last)) = (elements.first(), elements.last()) else {
            // `[]`, or `null`.
            return (start, start + list.len(), self.list(strings, &self.lead_of(start)));
        };
        let lead = &list[1..first.get().as_ptr().addr() - list.as_ptr().addr()];
        let lead = match elements.get(1) {
            Some(_) if !lead.contains('\n') => self.between(first.get(), elements[1].get()),
            None if lead.is_empty() => self.pad().to_owned(),
            _ => lead.to_owned(),
        };
        let at = self.offset(last.get()) + last.get().len();
        (at, at, strings.iter().map(|string| format!(",{lead}{}", quoted(string))).collect())
    }

    /// What to put where so that there is one more member.
    fn new_member(
        &self,
        members: &[(String, &RawValue)],
        key: &str,
        strings: &[String],
    ) -> (usize, usize, String) {
        let open = self.text.find('{').expect("it is an object");
        let close = self.text.rfind('}').expect("it is an object");
        let Some((_, last)) = members.last() else {
            let newline = self.newline();
            let lead = format!("{newline}  ");
            let member = format!("{lead}{}: {}{newline}", quoted(key), self.list(strings, &lead));
            return (open + 1, close, member);
        };
        let inside = &self.text[open + 1..];
        let lead = &inside[..inside.find('"').unwrap_or(0)];
        let at = self.offset(last.get()) + last.get().len();
        let (lead, colon) = if lead.contains('\n') { (lead, ": ") } else { (self.pad(), self.colon()) };
        (at, at, format!(",{lead}{}{colon}{}", quoted(key), self.list(strings, lead)))
    }

    /// A list whose key begins behind `lead`: one string a line where members have lines of their own.
    fn list(&self, strings: &[String], lead: &str) -> String {
        let quoted: Vec<String> = strings.iter().map(|string| quoted(string)).collect();
        if !lead.contains('\n') {
            return format!("[{}]", quoted.join(&format!(",{}", self.pad())));
        }
        // The last line of what is before a key is its indentation.
        let (newline, indentation) = (self.newline(), lead.rsplit('\n').next().unwrap_or_default());
        let step = if indentation.is_empty() { "  " } else { indentation };
        let inner = format!("{newline}{indentation}{step}");
        format!("[{inner}{}{newline}{indentation}]", quoted.join(&format!(",{inner}")))
    }

    /// What stands before the key whose value is at this place, if that is a line of its own.
    fn lead_of(&self, value: usize) -> String {
        let line = self.text[..value].rfind('\n').map_or(0, |end| end + 1);
        let indentation: String = self.text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
        let is_own = line > 0 && self.text[line + indentation.len()..].starts_with('"');
        if is_own { format!("{}{indentation}", self.newline()) } else { String::new() }
    }

    /// What stands behind the comma between two values.
    fn between(&self, one: &str, other: &str) -> String {
        let between = &self.text[self.offset(one) + one.len()..self.offset(other)];
        between.split_once(',').map_or(String::new(), |(_, behind)| behind.to_owned())
    }

    /// What stands behind commas of a text in one line.
    fn pad(&self) -> &'static str {
        if self.colon() == ":" { "" } else { " " }
    }

    fn colon(&self) -> &'static str {
        let spaced = [": ", ":\t"].iter().any(|colon| self.text.contains(colon));
        if spaced || !self.text.contains(':') { ": " } else { ":" }
    }

    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    fn value(&self, key: &str) -> Option<&RawValue> {
        self.members().into_iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn members(&self) -> Vec<(String, &RawValue)> {
        serde_json::from_str::<Members<'_>>(&self.text).map(|members| members.0).unwrap_or_default()
    }

    /// Where a part of the text begins.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr()
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn added(text: &str, key: &str, strings: &[&str]) -> String {
        let mut object = Object::read(Path::new("/f"), text.as_bytes()).unwrap();
        object.add(key, &strings.iter().map(|&string| string.to_owned()).collect::<Vec<_>>());
        String::from_utf8(object.bytes()).unwrap()
    }

    #[test]
    fn what_is_added_looks_like_what_is_there() {
        for (before, after) in [
            ("", "{\n  \"k\": [\n    \"a\",\n    \"b\"\n  ]\n}\n"),
            ("\u{feff}{}", "\u{feff}{\n  \"k\": [\n    \"a\",\n    \"b\"\n  ]\n}"),
            ("{ }\r\n", "{\r\n  \"k\": [\r\n    \"a\",\r\n    \"b\"\r\n  ]\r\n}\r\n"),
            ("{\n\t\"x\": 1\n}\n", "{\n\t\"x\": 1,\n\t\"k\": [\n\t\t\"a\",\n\t\t\"b\"\n\t]\n}\n"),
            (r#"{"x":1}"#, r#"{"x":1,"k":["a","b"]}"#),
            (r#"{"x": 1}"#, r#"{"x": 1, "k": ["a", "b"]}"#),
            (r#"{"k":["z"]}"#, r#"{"k":["z","a","b"]}"#),
            (r#"{"k": ["z"]}"#, r#"{"k": ["z", "a", "b"]}"#),
            (r#"{"k": [ "y" , "z" ] }"#, r#"{"k": [ "y" , "z", "a", "b" ] }"#),
            ("{\n  \"k\": [\n    \"z\"\n  ]\n}", "{\n  \"k\": [\n    \"z\",\n    \"a\",\n    \"b\"\n  ]\n}"),
            ("{\n    \"k\": []\n}", "{\n    \"k\": [\n        \"a\",\n        \"b\"\n    ]\n}"),
            (r#"{"k":null}"#, r#"{"k":["a","b"]}"#),
            (r#"{"k":["1"],"k":["2"]}"#, r#"{"k":["1"],"k":["2","a","b"]}"#),
            (r#"{"\u006b":["2"]}"#, r#"{"\u006b":["2","a","b"]}"#),
            (r#"{"x":"}"}"#, r#"{"x":"}","k":["a","b"]}"#),
        ] {
            assert_eq!(added(before, "k", &["a", "b"]), after, "{before}");
        }
    }

    #[test]
    fn what_is_broken_is_said_with_its_line() {
        for (text, says) in [
            ("{\n  \"a\": 1,\n}", "/f, line 3, column 1: trailing comma: `}`"),
            ("[]", "/f, line 1, column 1: invalid type: sequence, expected an object: `{ … }`: `[]`"),
            ("{\n// why\n}", "/f, line 2, column 1: key must be a string: `// why`"),
            ("{\"a\": 1} x", "/f, line 1, column 10: trailing characters: `{\"a\": 1} x`"),
        ] {
            let failed = Object::read(Path::new("/f"), text.as_bytes()).unwrap_err();
            assert_eq!(failed.message, says);
        }
        let object = Object::read(Path::new("/f"), b"{\"k\": [1]}").unwrap();
        let failed = object.strings(Path::new("/f"), "k").unwrap_err();
        assert!(failed.message.contains("`k` is no list of strings"), "{failed}");
        assert!(Object::read(Path::new("/f"), b"{\"a\": \"\xff\"}").is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_other_key_stays_byte_for_byte(
            members in prop::collection::vec(("[a-j\"\\\\é]{1,4}", json()), 0..6),
            list in prop::option::of(prop::collection::vec("[a-z]{0,3}", 0..3)),
            spaces in prop::collection::vec(prop::sample::select(vec!["", " ", "\n", "\r\n\t", "\n  "]), 24),
        ) {
            let mut members: Vec<(String, Value)> = members;
            if let Some(list) = &list {
                members.insert(members.len() / 2, ("ours".into(), Value::from(list.clone())));
            }
            let mut space = spaces.iter().cycle();
            let mut gap = || *space.next().unwrap();
            let written: Vec<String> = members.iter()
                .map(|(key, value)| format!("{}{}{}:{}{value}{}", gap(), quoted(key), gap(), gap(), gap()))
                .collect();
            let text = format!("{}{{{}}}{}", gap(), written.join(","), gap());
            let before = Object::read(Path::new("/f"), text.as_bytes()).unwrap();
            let mut after = before.clone();
            after.add("ours", &["new:1".to_owned(), "new:2".to_owned()]);
            let after = Object::read(Path::new("/f"), &after.bytes()).unwrap();
            let mut expected = list.unwrap_or_default();
            expected.extend(["new:1".to_owned(), "new:2".to_owned()]);
            prop_assert_eq!(after.strings(Path::new("/f"), "ours").unwrap(), expected);
            let others = |object: &Object| -> Vec<(String, String)> {
                let members = object.members().into_iter().filter(|(key, _)| key != "ours");
                members.map(|(key, value)| (key, value.get().to_owned())).collect()
            };
            prop_assert_eq!(others(&before), others(&after));
            // What was there is there, in its order, with nothing between but what was added.
            let mut rest = after.text.chars();
            if !before.members().is_empty() {
                prop_assert!(before.text.chars().all(|c| rest.any(|other| other == c)));
            }
        }
    }
}
