//! Byte counts as people read and write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Written with binary units (`1.5 GiB`), read with binary (`4GiB`) or decimal ones (`4GB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A text is no [`ByteSize`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a size; expected a number and a unit, such as `4GiB`, `700MB` or `1048576`")]
pub struct ByteSizeError(String);

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let error = || ByteSizeError(text.chars().take(100).collect());
        let text_trimmed = text.trim();
        let split =
            text_trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text_trimmed.len());
        let (number, unit) = text_trimmed.split_at(split);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(error()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(error);
        }
        if !number.contains('.') {
            return Err(error());
        }
        let number: f64 = number.parse().map_err(|_| error())?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a fraction of a unit needs no exact byte"
        )]
        let bytes = (number * factor as f64) as u64;
        Ok(Self(bytes))
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "a size: 4GiB, 700MB"})
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let mut value = self.0 as f64;
        let mut unit = 0;
        // 1023.95 would be shown as "1024.0".
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 { format!("{} B", self.0) } else { format!("{value:.1} {}", UNITS[unit]) };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("700MB", 700_000_000),
            ("1048576", 1 << 20),
            ("1.5k", 1536),
            ("8 MiB", 8 << 20),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for bad in ["", "GiB", "4 parsecs", "-1", "99999999999999999999", "1.2.3M"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1536, "1.5 KiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
