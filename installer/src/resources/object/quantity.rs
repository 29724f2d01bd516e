//! Amounts as Kubernetes writes them: `1Gi` is `1024Mi`, `0.5` is `500m`.

use serde_json::Value;

/// What suffixes stand for, in thousandths.
const SUFFIXES: [(&str, i128); 13] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1000),
];

/// Whether two values are the same amount.
pub(super) fn is_same_quantity(one: &Value, other: &Value) -> bool {
    match (quantity(one), quantity(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// In thousandths.
fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let (number, factor) =
        SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = fraction.trim_end_matches('0');
    let scale = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let value: i128 = format!("{whole}{digits}").parse().ok()?;
    value.checked_mul(factor).map(|value| value / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_amount_in_other_words() {
        for (one, other) in [
            (json!("1Gi"), json!("1024Mi")),
            (json!(1), json!("1")),
            (json!("0.5"), json!("500m")),
            (json!("1.50Gi"), json!("1536Mi")),
            (json!("2k"), json!(2000)),
        ] {
            assert!(is_same_quantity(&one, &other), "{one} {other}");
        }
        for (one, other) in [
            (json!("1Gi"), json!("1G")),
            (json!("x"), json!("x")),
            (json!({}), json!({})),
            (json!(""), json!(0)),
        ] {
            assert!(!is_same_quantity(&one, &other), "{one} {other}");
        }
    }
}
