//! What PaaS keeps in its Secret about bkrepo. Charts write it as an inline table, `{PROJECT='bkpaas', ENDPOINT='…',
//! USERNAME='…', PASSWORD='…'}`; people edit it, and releases differ. What is read here is never shown.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(test)]
mod tests;

/// Whom PaaS uploads as.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PaasLogin {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

impl fmt::Debug for PaasLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaasLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no login in a text. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoLogin {
    #[error("it is no table of names and values, such as {{USERNAME='…', PASSWORD='…'}}")]
    NoTable,
    #[error("it has no {0}")]
    Lacks(&'static str),
}

/// Reads the login: an inline table with either kind of quotes, or none; or JSON.
pub(crate) fn parse(text: &str) -> Result<PaasLogin, NoLogin> {
    let table = table(text).ok_or(NoLogin::NoTable)?;
    let value = |name: &'static str| {
        let value = table.get(name).filter(|value| !value.is_empty());
        value.cloned().ok_or(NoLogin::Lacks(name))
    };
    Ok(PaasLogin { user: value("USERNAME")?, password: value("PASSWORD")? })
}

/// Names, in capitals, and values.
fn table(text: &str) -> Option<BTreeMap<String, String>> {
    let text = text.trim();
    // The settings library lets people name the format: `@json {…}`.
    let text = match text.strip_prefix('@') {
        Some(marked) => marked.split_once(char::is_whitespace)?.1.trim_start(),
        None => text,
    };
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.trim_end().strip_suffix('}')?,
        None => text,
    };
    let mut table = BTreeMap::new();
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (name, after) = token(rest, |letter| letter == '=' || letter == ':')?;
        let after = after.trim_start();
        let after = after.strip_prefix(['=', ':'])?.trim_start();
        let (value, after) = token(after, |letter| letter == ',' || letter == '\n')?;
        if name.is_empty() {
            return None;
        }
        table.insert(name.to_uppercase(), value);
        let after = after.trim_start_matches([' ', '\t', '\r']);
        rest = match after.strip_prefix([',', '\n']) {
            Some(next) => next.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    (!table.is_empty()).then_some(table)
}

/// A name or value at the beginning of `text`, and what comes behind it. One without quotes ends where `ends` says.
fn token(text: &str, ends: impl Fn(char) -> bool) -> Option<(String, &str)> {
    if let Some(literal) = text.strip_prefix('\'') {
        let (value, rest) = literal.split_once('\'')?;
        return Some((value.to_owned(), rest));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return unescape(quoted);
    }
    let end = text.find(ends).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    Some((value.trim().to_owned(), rest))
}

/// A text in double quotes, up to the one that ends it: with TOML's and JSON's escapes.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => {
                let (_, escaped) = letters.next()?;
                value.push(match escaped {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => unicode(&mut letters, 4)?,
                    'U' => unicode(&mut letters, 8)?,
                    other => other,
                });
            }
            other => value.push(other),
        }
    }
    None
}

/// The letter whose number is written in so many hexadecimal digits.
fn unicode(letters: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let mut number = 0_u32;
    for _ in 0..digits {
        number = number.checked_mul(16)?.checked_add(letters.next()?.1.to_digit(16)?)?;
    }
    char::from_u32(number)
}
