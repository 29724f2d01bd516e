//! What was seen of the site's registry, and what that means. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::{Check, Failed, Finding, Severity};
use ferry_model::site::{Mode, Registry, Tls};
use ferry_transfer::{PushProbe, TlsProblem};

use super::catalogue as kinds;
use super::certificate::Certificate;
use super::host::Known;

/// Tokens and certificates live with clocks that differ by this much; bkrepo refuses more.
const LARGEST_SKEW: i64 = 60;
/// A certificate that ends within this time is to be renewed now.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What was seen of the site's registry.
#[derive(Debug)]
pub(super) struct RegistryFacts {
    /// The address of the registry, then its other names, with what each resolves to.
    pub(super) names: Vec<(Host, Known<Vec<IpAddr>>)>,
    /// Whether the address is one of this machine's.
    pub(super) is_here: bool,
    /// Whether it can be listened on, for a registry that Ferry brings up here.
    pub(super) port: Option<Port>,
    /// Whether what answers is the registry that Ferry has brought up here, where that could be seen.
    pub(super) is_own: Known<bool>,
    /// What came back from `/v2/`.
    pub(super) answer: Answer,
    /// What became of uploads that were begun, by repository.
    pub(super) pushes: Vec<(String, Result<PushProbe, Failed>)>,
    /// When it was looked at.
    pub(super) now: SystemTime,
}

/// Whether a port of this machine can be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Free,
    Taken,
    /// It cannot be known, or not be had.
    Trouble(String),
}

/// What came back from `/v2/`.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Came(Seen),
    /// No connection.
    Silent(String),
    /// A connection without an understanding about TLS.
    Tls(TlsProblem),
    /// A connection that broke, or an answer that is none.
    Broken(String),
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) is_registry: bool,
    /// What the server calls itself.
    pub(super) server: Option<String>,
    /// Where it sends us instead.
    pub(super) location: Option<String>,
    /// Whether it wants TLS spoken.
    pub(super) wants_tls: bool,
    /// Seconds that its clock is ahead of ours.
    pub(super) ahead: Option<i64>,
    pub(super) certificate: Option<Known<Certificate>>,
}

impl Seen {
    fn describe(&self) -> String {
        let server = self.server.as_ref().map_or(String::new(), |server| format!(" from {server}"));
        match &self.location {
            Some(location) => format!("status {}{server}, sends us to {location}", self.status),
            None => format!("status {}{server}", self.status),
        }
    }
}

/// Whose task it is to have the registry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is there.
    Existing,
    /// Ferry brings it up on this machine.
    Here,
    /// Ferry brings it up on a cluster.
    Elsewhere,
}

fn standing(mode: &Mode) -> Standing {
    match mode {
        Mode::Existing(_) => Standing::Existing,
        Mode::Serve(_) | Mode::Docker(_) | Mode::Systemd(_) | Mode::Proxy(_) => Standing::Here,
        Mode::Kubernetes(_) | Mode::Marathon(_) => Standing::Elsewhere,
    }
}

/// Whether a registry of this mode takes pushes.
pub(super) fn takes_pushes(mode: &Mode) -> bool {
    !matches!(mode, Mode::Serve(_) | Mode::Proxy(_))
}

/// Holds what was seen against what the site file says.
pub(super) fn check_registry(registry: &Registry, facts: &RegistryFacts) -> Vec<Check> {
    let standing = standing(&registry.mode);
    let mut checks = check_names(registry, facts, standing);
    let subject = registry.address.to_string();
    let is_up = match (standing, &facts.port) {
        (Standing::Here, Some(port)) => {
            let (check, is_ours) = check_own_port(&subject, registry, port, facts);
            checks.push(check);
            is_ours
        }
        (Standing::Here, None) => false,
        (Standing::Elsewhere, _) => !matches!(facts.answer, Answer::Silent(_)),
        (Standing::Existing, _) => {
            checks.push(match &facts.answer {
                Answer::Silent(reason) => kinds::REGISTRY_PORT.failed(&subject, reason),
                _ => kinds::REGISTRY_PORT.passed(&subject, "something answers"),
            });
            true
        }
    };
    // What is not up yet cannot be asked, and what Ferry will bring up need not be.
    if is_up {
        checks.extend(check_answer(&subject, registry, facts, standing));
    }
    checks
}

fn check_names(registry: &Registry, facts: &RegistryFacts, standing: Standing) -> Vec<Check> {
    let mut checks = Vec::new();
    for (position, (name, resolved)) in facts.names.iter().enumerate() {
        let is_address = position == 0;
        let kind = if is_address { &kinds::REGISTRY_NAME } else { &kinds::REGISTRY_ALIAS };
        if name.ip().is_none() {
            checks.push(match resolved {
                Ok(addresses) => kind.passed(name.as_str(), list(addresses)),
                Err(reason) => kind.failed(name.as_str(), reason),
            });
        }
        if let (true, Standing::Here, Ok(addresses)) = (is_address, standing, resolved) {
            let text =
                if facts.is_here { "an address of this machine" } else { "not an address of this machine" };
            let found = format!("{}: {text}", list(addresses));
            checks.push(kinds::REGISTRY_HERE.judge(facts.is_here, registry.address.to_string(), found));
        }
    }
    checks
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// The port of a registry that Ferry brings up here: free, or held by Ferry's registry of an earlier run.
fn check_own_port(subject: &str, registry: &Registry, port: &Port, facts: &RegistryFacts) -> (Check, bool) {
    let kind = &kinds::REGISTRY_PORT;
    let check = match (port, &facts.answer) {
        (Port::Free, _) => return (kind.passed(subject, "free"), false),
        (Port::Trouble(reason), _) => kind.unknown(subject, reason),
        (Port::Taken, Answer::Came(seen)) if seen.is_registry => match &facts.is_own {
            Ok(true) => {
                return (kind.passed(subject, "Ferry's own registry of an earlier run answers"), true);
            }
            Ok(false) => kind.failed(
                subject,
                format!("a registry that Ferry did not set up listens there ({})", seen.describe()),
            ),
            Err(reason) => kind.unknown(
                subject,
                format!("a registry listens there; whether it is Ferry's own cannot be seen: {reason}"),
            ),
        },
        (Port::Taken, Answer::Came(seen)) => {
            kind.failed(subject, format!("something else listens there ({})", seen.describe()))
        }
        (Port::Taken, Answer::Tls(problem)) if registry.tls != Tls::PlainHttp => {
            kind.failed(subject, format!("something else listens there: {problem}"))
        }
        (Port::Taken, Answer::Tls(_) | Answer::Silent(_) | Answer::Broken(_)) => {
            kind.failed(subject, "something else listens there")
        }
    };
    (check, false)
}

fn check_answer(subject: &str, registry: &Registry, facts: &RegistryFacts, standing: Standing) -> Vec<Check> {
    let mut checks = check_tls(subject, registry, facts);
    let seen = match &facts.answer {
        Answer::Came(seen) => seen,
        Answer::Silent(reason) | Answer::Broken(reason) => {
            checks.push(kinds::REGISTRY_ANSWER.unknown(subject, reason));
            return checks;
        }
        Answer::Tls(problem) => {
            checks.push(kinds::REGISTRY_ANSWER.unknown(subject, problem.to_string()));
            return checks;
        }
    };
    let mut answered = kinds::REGISTRY_ANSWER.judge(seen.is_registry, subject, seen.describe());
    if seen.wants_tls {
        "it speaks TLS only".clone_into(&mut answered.found);
        "take `plainHttp` out of the site file".clone_into(&mut answered.remedy);
    }
    checks.push(answered);
    // Here, both clocks are one.
    if standing != Standing::Here {
        checks.push(check_clock(&kinds::REGISTRY_CLOCK, subject, seen.ahead));
    }
    if seen.is_registry {
        let pushes = facts.pushes.iter();
        checks.extend(pushes.map(|(name, outcome)| check_push(subject, registry, name, outcome)));
    }
    checks
}

fn check_tls(subject: &str, registry: &Registry, facts: &RegistryFacts) -> Vec<Check> {
    if registry.tls == Tls::PlainHttp {
        return Vec::new();
    }
    let kind = &kinds::REGISTRY_TLS;
    match &facts.answer {
        Answer::Tls(problem) => {
            let mut check = kind.failed(subject, problem.to_string());
            match problem {
                TlsProblem::PlainHttp => "say `plainHttp: true` in the site file, if that is what you want",
                TlsProblem::Expired => "check this machine's clock, then have the certificate made anew",
                TlsProblem::WrongName => {
                    "have the certificate made for this name too, or use a name that it is for"
                }
                TlsProblem::UnknownAuthority | TlsProblem::Other(_) => kind.remedy,
            }
            .clone_into(&mut check.remedy);
            vec![check]
        }
        Answer::Silent(reason) | Answer::Broken(reason) => vec![kind.unknown(subject, reason)],
        Answer::Came(seen) => {
            let mut checks = vec![kind.passed(subject, "trusted, and for this name")];
            checks.extend(seen.certificate.as_ref().map(|known| {
                let check = check_certificate(subject, known, facts.now);
                // What Ferry has made it makes anew, in time and for all names.
                let renews = registry.tls == Tls::Generated && check.finding == Finding::Failed;
                if renews { Check { remedy: "`apply` makes it anew".into(), ..check } } else { check }
            }));
            checks
        }
    }
}

fn check_certificate(subject: &str, certificate: &Known<Certificate>, now: SystemTime) -> Check {
    let kind = &kinds::REGISTRY_CERTIFICATE;
    let certificate = match certificate {
        Ok(certificate) => certificate,
        Err(reason) => return kind.unknown(subject, reason),
    };
    let left = certificate.ends.duration_since(now).unwrap_or_default();
    let mut found = format!("ends in {} days", left.as_secs() / (24 * 60 * 60));
    if !certificate.lacks.is_empty() {
        let names: Vec<&str> = certificate.lacks.iter().map(Host::as_str).collect();
        found.push_str(&format!("; it is not for {}", names.join(", ")));
    }
    kind.judge(left > ENDS_SOON && certificate.lacks.is_empty(), subject, found)
}

/// `ahead`: seconds that the other clock is ahead of ours.
pub(super) fn check_clock(kind: &'static kinds::Kind, subject: &str, ahead: Option<i64>) -> Check {
    match ahead {
        None => kind.unknown(subject, "its answer has no `Date`"),
        // `Date` knows whole seconds only.
        Some(-1..=1) => kind.passed(subject, "the same as here"),
        Some(ahead) => {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let found = format!("{} s {side} this machine's", ahead.unsigned_abs());
            kind.judge(ahead.abs() <= LARGEST_SKEW, subject, found)
        }
    }
}

/// Of a registry that answers, that no upload was tried: it gets its new password only now. Holds up nothing.
pub(super) fn push_not_tried(checks: &[Check]) -> Option<Check> {
    let answers =
        |check: &&Check| check.name == kinds::REGISTRY_ANSWER.name && check.finding == Finding::Passed;
    let answered = checks.iter().find(answers)?;
    let found = "not probed: the password changes in this run";
    Some(Check {
        severity: Severity::Advised,
        remedy: "nothing: the push itself will tell".to_owned(),
        ..kinds::REGISTRY_PUSH.unknown(&answered.subject, found)
    })
}

fn check_push(subject: &str, registry: &Registry, name: &str, outcome: &Result<PushProbe, Failed>) -> Check {
    let subject = format!("{subject}/{name}");
    let kind = &kinds::REGISTRY_PUSH;
    let failed = match outcome {
        Ok(PushProbe::Removed) => return kind.passed(subject, "an upload was allowed, and taken back"),
        Ok(PushProbe::Left) => {
            return kind.passed(subject, "an upload was allowed; the registry will drop it by itself");
        }
        Err(failed) => failed,
    };
    let creates = matches!(&registry.mode, Mode::Existing(existing) if existing.create_projects);
    let message = failed.message.to_ascii_lowercase();
    // Harbor's words for a project that is not there.
    let lacks_project = message.contains("project") && message.contains("not found");
    if creates && lacks_project {
        return kinds::REGISTRY_PROJECT.unknown(subject, "its project is not there yet");
    }
    let mut check = match failed.class {
        Class::Transient | Class::RateLimited => kind.unknown(subject, &failed.message),
        _ => kind.failed(subject, &failed.message),
    };
    if let Some(hint) = failed.hints.first().filter(|_| failed.class != Class::Denied) {
        check.remedy.clone_from(hint);
    }
    check
}

#[cfg(test)]
mod tests;
