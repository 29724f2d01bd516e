//! Which of two versions of a SaaS is newer. Most are like semantic versions, some have two or four numbers.

use std::cmp::Ordering;

/// Whether `one` is newer than `other`, where both are versions that can be compared.
pub(crate) fn is_newer(one: &str, other: &str) -> bool {
    match (Version::of(one), Version::of(other)) {
        (Some(one), Some(other)) => one.compare(&other) == Ordering::Greater,
        _ => false,
    }
}

/// `v1.2.3-beta.4+build`.
struct Version<'a> {
    numbers: Vec<u64>,
    /// `beta.4`; a version without is newer.
    before: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let numbers = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Self { numbers, before })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let length = self.numbers.len().max(other.numbers.len());
        let number = |numbers: &[u64], at: usize| numbers.get(at).copied().unwrap_or(0);
        let by_numbers = (0..length)
            .map(|at| number(&self.numbers, at).cmp(&number(&other.numbers, at)))
            .find(|order| order.is_ne());
        by_numbers.unwrap_or_else(|| match (self.before, other.before) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => compare_words(one, other),
        })
    }
}

fn compare_words(one: &str, other: &str) -> Ordering {
    let word = |one: &str, other: &str| match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        // Numbers come before words.
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    };
    let (ones, others) = (one.split('.'), other.split('.'));
    let by_words = ones.clone().zip(others.clone()).map(|(one, other)| word(one, other));
    by_words.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| ones.count().cmp(&others.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_and_older() {
        let ascending = [
            "1.9",
            "1.10-alpha",
            "1.10-beta.2",
            "1.10-beta.10",
            "1.10-beta.10.1",
            "1.10-rc",
            "v1.10.0",
            "1.10.0.1",
            "2",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (place, other) in ascending.iter().enumerate() {
                assert_eq!(is_newer(one, other), at > place, "{one} {other}");
            }
        }
        for (one, other) in
            [("1.10", "1.10.0"), ("1.1+b", "1.1+a"), ("master-2", "1"), ("2", "latest"), ("", "")]
        {
            assert!(!is_newer(one, other) && !is_newer(other, one), "{one} {other}");
        }
    }
}
