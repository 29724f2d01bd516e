//! What was seen of BlueKing's artifact repository, and what that means. Pure.

use std::net::IpAddr;

use ferry_model::failure::Class;
use ferry_model::report::{Check, Failed};
use ferry_model::site::RepositoryName;

use super::catalogue as kinds;
use super::host::Known;
use super::registry::{Answer, check_clock};

/// What was seen of bkrepo.
#[derive(Debug)]
pub(super) struct BkrepoFacts {
    /// The host in its URL, and what that resolves to; none for an address.
    pub(super) name: Option<(String, Known<Vec<IpAddr>>)>,
    /// What came back from its URL.
    pub(super) answer: Answer,
    /// What it lets us do, where it was asked.
    pub(super) rights: Option<Rights>,
}

/// What bkrepo lets us do.
#[derive(Debug)]
pub(super) struct Rights {
    /// Whether it knows the user.
    pub(super) login: Result<(), Failed>,
    /// Whether an upload could be begun in each repository that files go into.
    pub(super) writes: Vec<(RepositoryName, Result<Write, Failed>)>,
}

/// Whether an upload could be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It could.
    May,
    /// There is no such repository yet.
    NoRepository,
}

pub(super) fn check_bkrepo(url: &str, facts: &BkrepoFacts) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some((host, resolved)) = &facts.name {
        checks.push(match resolved {
            Ok(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                kinds::BKREPO_NAME.passed(host, addresses.join(", "))
            }
            Err(reason) => kinds::BKREPO_NAME.failed(host, reason),
        });
    }
    let kind = &kinds::BKREPO_ANSWER;
    match &facts.answer {
        Answer::Came(seen) => {
            // Its gateway's own errors are 5xx; without credentials most of its pages say 401, 403 or 404.
            checks.push(kind.judge(seen.status < 500, url, format!("status {}", seen.status)));
            checks.push(check_clock(&kinds::BKREPO_CLOCK, url, seen.ahead));
        }
        Answer::Silent(reason) | Answer::Broken(reason) => checks.push(kind.failed(url, reason)),
        Answer::Tls(problem) => checks.push(kind.failed(url, problem.to_string())),
    }
    if !matches!(facts.answer, Answer::Came(_)) {
        checks.push(kinds::BKREPO_CLOCK.unknown(url, "it could not be asked"));
    }
    if let Some(rights) = &facts.rights {
        checks.extend(check_rights(url, rights));
    }
    checks
}

fn check_rights(url: &str, rights: &Rights) -> Vec<Check> {
    let refused = |kind: &kinds::Kind, subject: String, failed: &Failed| {
        // What bkrepo does not say is not what it refuses.
        let is_no = matches!(failed.class, Class::Denied | Class::Input | Class::NotFound);
        let found = crate::bkrepo::reason(failed);
        if is_no { kind.failed(subject, found) } else { kind.unknown(subject, found) }
    };
    if let Err(failed) = &rights.login {
        return vec![refused(&kinds::BKREPO_LOGIN, url.to_owned(), failed)];
    }
    let write = |(repository, outcome): &(RepositoryName, Result<Write, Failed>)| {
        let subject = repository.to_string();
        match outcome {
            Ok(Write::May) => {
                kinds::BKREPO_WRITE.passed(subject, "an upload could be begun; it was taken back")
            }
            Ok(Write::NoRepository) => kinds::BKREPO_WRITE.passed(subject, "it is not there yet"),
            Err(failed) => refused(&kinds::BKREPO_WRITE, subject, failed),
        }
    };
    let login = kinds::BKREPO_LOGIN.passed(url, "it takes the login");
    [login].into_iter().chain(rights.writes.iter().map(write)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::registry::Seen;
    use super::*;
    use ferry_model::report::Finding::{self, Failed, Passed, Unknown};

    #[test]
    fn bkrepo() {
        let came = |status, ahead| Answer::Came(Seen { status, ahead, ..Seen::default() });
        let here = || Ok(vec![IpAddr::from([10, 0, 0, 1])]);
        for (name, answer, expected) in [
            (here(), came(404, Some(0)), [Passed, Passed, Passed]),
            (here(), came(200, Some(61)), [Passed, Passed, Failed]),
            (here(), came(200, Some(-60)), [Passed, Passed, Passed]),
            (here(), came(502, None), [Passed, Failed, Unknown]),
            (Err("no such host".into()), Answer::Silent("no such host".into()), [Failed, Failed, Unknown]),
        ] {
            let facts = BkrepoFacts { name: Some(("bkrepo.corp".into(), name)), answer, rights: None };
            let checks = check_bkrepo("http://bkrepo.corp", &facts);
            let findings: Vec<Finding> = checks.iter().map(|check| check.finding).collect();
            assert_eq!(findings, expected, "{checks:?}");
        }
    }

    #[test]
    fn what_it_lets_us_do() {
        let no = |class| super::Failed::because(class, "no");
        let repository: RepositoryName = "bkpaas/assets".parse().unwrap();
        let findings = |login, write| {
            let rights = Rights { login, writes: vec![(repository.clone(), write)] };
            check_rights("http://b", &rights).iter().map(|check| check.finding).collect::<Vec<_>>()
        };
        assert_eq!(findings(Ok(()), Ok(Write::May)), [Passed, Passed]);
        assert_eq!(findings(Ok(()), Ok(Write::NoRepository)), [Passed, Passed]);
        assert_eq!(findings(Ok(()), Err(no(Class::Denied))), [Passed, Failed]);
        assert_eq!(findings(Ok(()), Err(no(Class::Transient))), [Passed, Unknown]);
        assert_eq!(findings(Err(no(Class::Denied)), Ok(Write::May)), [Failed]);
        assert_eq!(findings(Err(no(Class::Transient)), Ok(Write::May)), [Unknown]);
    }
}
