//! What was seen of BlueKing's artifact repository, and what that means. Pure.

use std::net::IpAddr;

use ferry_model::report::Check;

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
    checks
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
            let facts = BkrepoFacts { name: Some(("bkrepo.corp".into(), name)), answer };
            let checks = check_bkrepo("http://bkrepo.corp", &facts);
            let findings: Vec<Finding> = checks.iter().map(|check| check.finding).collect();
            assert_eq!(findings, expected, "{checks:?}");
        }
    }
}
