//! Patterns for many hosts: `n[01:20].corp`, `rack-[a:f]`, `n[1:9:2]`.

/// The most hosts that one pattern may mean.
const MOST: usize = 10_000;

/// The hosts that a pattern means, in order.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((front, range, behind)) = first_range(rest) {
        let values = values(range).ok_or_else(|| format!("`[{range}]` of {pattern} is no range"))?;
        if names.len().saturating_mul(values.len()) > MOST {
            return Err(format!("{pattern} means more than {MOST} hosts"));
        }
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{front}{value}")))
            .collect();
        rest = behind;
    }
    Ok(names.into_iter().map(|name| name + rest).collect())
}

/// The text before the first range, the range, and what comes behind it. `[fd00::5]` is an address.
fn first_range(text: &str) -> Option<(&str, &str, &str)> {
    let (front, rest) = text.split_once('[')?;
    let (range, behind) = rest.split_once(']')?;
    (range.parse::<std::net::Ipv6Addr>().is_err()).then_some((front, range, behind))
}

fn values(range: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = range.split(':').collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1),
        [first, last, step] => (first, last, step.parse().ok().filter(|&step: &usize| step > 0)?),
        _ => return None,
    };
    let letter =
        |text: &str| Some(text.bytes().next()?).filter(|byte| text.len() == 1 && byte.is_ascii_alphabetic());
    if let (Some(from), Some(to)) = (letter(first), letter(last)) {
        let letters = (from..=to).step_by(step).map(|byte| char::from(byte).to_string());
        return Some(letters.collect::<Vec<_>>()).filter(|values| !values.is_empty());
    }
    let (from, to): (usize, usize) =
        (if first.is_empty() { 0 } else { first.parse().ok()? }, last.parse().ok()?);
    if to < from || to - from > MOST {
        return None;
    }
    // `01` keeps its width.
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Some((from..=to).step_by(step).map(|number| format!("{number:0>width$}")).collect())
}
