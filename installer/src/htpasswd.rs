//! Files of users and passwords as `htpasswd -B` writes them and `registry:2` reads them: one `user:hash` a line, with
//! bcrypt and nothing else, for all other hashes of that format can be guessed.
//!
//! Hashing takes a tenth of a second on purpose: call [`Htpasswd::verify`] and [`entry`] where that may block.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ferry_model::failure::{Class, Failure};

/// The work that goes into a hash: 2^10 rounds, as bcrypt libraries choose by default.
const COST: u32 = 10;
/// An entry that costs more takes seconds for each login, and a typing error in it hours.
const MAX_COST: u32 = 16;
/// What bcrypt takes of a password.
const MAX_PASSWORD: usize = 72;
/// What an unknown user's password is compared with, so that the time taken does not tell who is known.
const NOBODY: &str = "$2y$10$xycQiBFvODNWQDJCFDRdqe5KZaHsSGXbAg/5aiRvIQZ1ddiNCAjmm";

/// Users, each with the bcrypt hash of a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Htpasswd(BTreeMap<String, String>);

/// A line of a file of users that cannot be used. Never shows the hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct HtpasswdError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why a user and a password, or a line with them, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no colon.
    #[error("there is no `:` between user and hash")]
    NoColon,
    /// The user's name is empty or has a character that cannot stand in an entry.
    #[error("a user's name must not be empty, nor have a colon or a control character")]
    User,
    /// The password is empty, too long for bcrypt, or has a control character.
    #[error("a password must have 1 to {MAX_PASSWORD} bytes and no control character")]
    Password,
    /// The hash is none of bcrypt's.
    #[error("the password of `{0}` is not hashed with bcrypt")]
    NotBcrypt(String),
    /// Checking the hash would take too long.
    #[error("the password of `{0}` is hashed with a cost above {MAX_COST}")]
    TooCostly(String),
    /// Two lines are for one user.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// The line is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system has no randomness to give.
    #[error("the system gives no random numbers for a salt")]
    NoRandomness,
}

impl Htpasswd {
    /// Reads `user:hash` lines. Blank lines and those that begin with `#` are left out.
    pub fn parse(text: &str) -> Result<Self, HtpasswdError> {
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) =
                parse_line(line).map_err(|problem| HtpasswdError { line: index + 1, problem })?;
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(HtpasswdError { line: index + 1, problem: Problem::Twice(user.to_owned()) });
            }
        }
        Ok(Self(users))
    }

    /// Reads what can be used of a file that others write to as well: each line that cannot be is told, and lets nobody in. Of two
    /// lines for one user neither does, since nobody can tell which is meant.
    pub fn parse_usable(text: &[u8]) -> (Self, Vec<HtpasswdError>) {
        let (mut users, mut seen, mut problems) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut tell = |problem| problems.push(HtpasswdError { line: index + 1, problem });
            let Ok(line) = std::str::from_utf8(line) else {
                tell(Problem::NotText);
                continue;
            };
            let user = line.split_once(':').map(|(user, _)| user.to_owned());
            if let Some(user) = user.filter(|user| !seen.insert(user.clone())) {
                users.remove(&user);
                tell(Problem::Twice(user));
                continue;
            }
            match parse_line(line) {
                Ok((user, hash)) => {
                    users.insert(user.to_owned(), hash.to_owned());
                }
                Err(problem) => tell(problem),
            }
        }
        (Self(users), problems)
    }

    /// Whether there is no user at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `password` is the user's. Takes as long for a user who is not there.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.0.get(user);
        let hash = known.map_or(NOBODY, String::as_str);
        // Only a malformed hash is an error, and none got past `parse`.
        bcrypt::verify(password, hash).unwrap_or(false) && known.is_some()
    }

    /// The users, sorted.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Htpasswd").field(&self.users().collect::<Vec<_>>()).finish()
    }
}

fn parse_line(line: &str) -> Result<(&str, &str), Problem> {
    let (user, hash) = line.split_once(':').ok_or(Problem::NoColon)?;
    check_user(user)?;
    let cost = bcrypt_cost(hash).ok_or_else(|| Problem::NotBcrypt(user.to_owned()))?;
    if cost > MAX_COST {
        return Err(Problem::TooCostly(user.to_owned()));
    }
    Ok((user, hash))
}

fn check_user(user: &str) -> Result<(), Problem> {
    let bad = user.is_empty() || user.contains(|c: char| c == ':' || c.is_control());
    if bad { Err(Problem::User) } else { Ok(()) }
}

/// The cost of a well-formed bcrypt hash: `$2y$10$`, then 22 characters of salt and 31 of hash.
fn bcrypt_cost(hash: &str) -> Option<u32> {
    let rest = ["$2y$", "$2a$", "$2b$"].iter().find_map(|prefix| hash.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    let digits = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
    let cost = cost.parse().ok().filter(|cost| digits && (4..=31).contains(cost))?;
    let whole = rest.len() == 53 && rest.bytes().all(letters);
    whole.then_some(cost)
}

/// A line for a file of users, without its line end: `user:$2y$10$…`. Each call salts anew.
///
/// bcrypt does not look beyond 72 bytes, so a longer password is refused and not cut.
pub fn entry(user: &str, password: &str) -> Result<String, Problem> {
    check_user(user)?;
    if password.is_empty() || password.len() > MAX_PASSWORD || password.contains(char::is_control) {
        return Err(Problem::Password);
    }
    let parts = bcrypt::hash_with_result(password, COST).map_err(|_| Problem::NoRandomness)?;
    Ok(format!("{user}:{}", parts.format_for_version(bcrypt::Version::TwoY)))
}

impl Failure for HtpasswdError {
    fn class(&self) -> Class {
        self.problem.class()
    }

    fn hints(&self) -> Vec<String> {
        self.problem.hints()
    }
}

impl Failure for Problem {
    fn class(&self) -> Class {
        match self {
            Self::NoRandomness => Class::Local,
            Self::NoColon
            | Self::User
            | Self::Password
            | Self::NotBcrypt(_)
            | Self::TooCostly(_)
            | Self::Twice(_)
            | Self::NotText => Class::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoColon | Self::NotBcrypt(_) | Self::TooCostly(_) => {
                let user =
                    if let Self::NotBcrypt(user) | Self::TooCostly(user) = self { user } else { "USER" };
                vec![format!(
                    "`htpasswd -B FILE {user}` writes an entry with bcrypt; it asks for the password"
                )]
            }
            Self::Twice(_) => vec!["take out the line that is not meant".into()],
            Self::NotText => vec!["save the file as UTF-8".into()],
            Self::User | Self::Password | Self::NoRandomness => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `htpasswd -nbBC 4 me secret`, and the same hash under the other names of the same algorithm.
    const HASH: &str = "04$dR6hxErPqaiaC/UxvPDQCulI7ljYJVJNfEVFJygSfahPNR2lOlMMO";

    #[test]
    fn an_entry_is_read_back() {
        let line = entry("me", "sécret: 密码").unwrap();
        assert!(line.starts_with("me:$2y$10$"), "{line}");
        let users = Htpasswd::parse(&format!("# users\n\n{line}\r\n")).unwrap();
        assert!(users.verify("me", "sécret: 密码"));
        for (user, password) in [("me", "secret"), ("me", ""), ("you", "sécret: 密码"), ("", "")] {
            assert!(!users.verify(user, password), "{user} {password}");
        }
        assert_ne!(entry("me", "x").unwrap(), entry("me", "x").unwrap());
        assert!(!format!("{users:?}").contains("$2y"), "{users:?}");
    }

    #[test]
    fn what_can_be_no_entry() {
        for user in ["", "a:b", "a\nb"] {
            assert_eq!(entry(user, "x"), Err(Problem::User), "{user}");
        }
        for password in ["", "a\0b", &"x".repeat(73)] {
            assert_eq!(entry("me", password), Err(Problem::Password), "{password}");
        }
        let longest = "x".repeat(72);
        assert!(Htpasswd::parse(&entry("me", &longest).unwrap()).unwrap().verify("me", &longest));
    }

    #[test]
    fn all_names_of_bcrypt_and_no_other_hash() {
        for name in ["2y", "2a", "2b"] {
            let users = Htpasswd::parse(&format!("me:${name}${HASH}")).unwrap();
            assert!(users.verify("me", "secret") && !users.verify("me", "Secret"), "{name}");
        }
        let not_bcrypt = || Problem::NotBcrypt("me".into());
        let good = format!("a:$2y${HASH}");
        for (line, problem) in [
            ("me".to_owned(), Problem::NoColon),
            (":x".to_owned(), Problem::User),
            ("me:plain".to_owned(), not_bcrypt()),
            ("me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), not_bcrypt()),
            ("me:$apr1$x$y".to_owned(), not_bcrypt()),
            (format!("me:$2x${HASH}"), not_bcrypt()),
            (format!("me:$2y${HASH}x"), not_bcrypt()),
            (format!("me:$2y$99{}", &HASH[2..]), not_bcrypt()),
            (format!("me:$2y$31{}", &HASH[2..]), Problem::TooCostly("me".into())),
            (good.clone(), Problem::Twice("a".into())),
        ] {
            let error = Htpasswd::parse(&format!("{good}\n\n{line}\n")).unwrap_err();
            assert_eq!(error, HtpasswdError { line: 3, problem }, "{line}");
            assert!(!error.to_string().contains('$'), "{error}");
        }
        let error = Htpasswd::parse("me:plain").unwrap_err();
        assert_eq!(error.to_string(), "line 1: the password of `me` is not hashed with bcrypt");
        assert!(error.hints()[0].contains("htpasswd -B FILE me"), "{:?}", error.hints());
    }

    #[test]
    fn what_can_be_used_of_a_file_is() {
        let good = |user: &str| format!("{user}:$2y${HASH}");
        let text = format!(
            "# ours\r\n\n{}\r\nold:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nnothing\n{}\n  {}\nplain:x\n{}\n",
            good("me"),
            good("twice"),
            good("you"),
            good("twice"),
        );
        let mut text = text.into_bytes();
        text.extend_from_slice(b"\xff:x");
        let (users, problems) = Htpasswd::parse_usable(&text);
        assert_eq!(users.users().collect::<Vec<_>>(), ["me", "you"]);
        assert!(users.verify("me", "secret") && users.verify("you", "secret"));
        for user in ["old", "twice", "plain", "nothing"] {
            assert!(!users.verify(user, "secret") && !users.verify(user, "x"), "{user}");
        }
        let problems: Vec<_> = problems.into_iter().map(|error| (error.line, error.problem)).collect();
        let expected = [
            (4, Problem::NotBcrypt("old".into())),
            (5, Problem::NoColon),
            (8, Problem::NotBcrypt("plain".into())),
            (9, Problem::Twice("twice".into())),
            (10, Problem::NotText),
        ];
        assert_eq!(problems, expected);
        // What is wholly right is the same either way.
        let right = format!("{}\n# x\n\n{}", good("a"), good("b"));
        assert_eq!(Htpasswd::parse_usable(right.as_bytes()), (Htpasswd::parse(&right).unwrap(), Vec::new()));
        assert!(Htpasswd::parse_usable(b"").0.is_empty());
    }

    #[test]
    fn nobody_is_a_good_hash() {
        assert_eq!(bcrypt_cost(NOBODY), Some(COST));
        assert!(!Htpasswd::default().verify("me", ""));
    }
}
