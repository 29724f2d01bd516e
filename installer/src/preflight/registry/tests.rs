//! What was seen, and the checks that come of it.
#![expect(clippy::unnecessary_wraps, reason = "facts as they stand in tables, where others are not known")]

use ferry_model::report::Finding::{self, Failed as Fails, Passed, Unknown};
use ferry_model::site::Site;

use super::*;

fn registry(section: &str) -> Registry {
    let text = format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry: {{address: \"r.corp:5000\", {section}}}\n"
    );
    Site::parse(&text).unwrap().registry.unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn days(days: u64) -> Option<Known<Certificate>> {
    Some(Ok(Certificate { ends: now() + Duration::from_secs(days * 86_400 + 1), lacks: Vec::new() }))
}

/// A registry where all is well.
fn good() -> Seen {
    Seen { status: 401, is_registry: true, ahead: Some(0), certificate: days(300), ..Seen::default() }
}

fn facts(answer: Answer) -> RegistryFacts {
    let addresses = Ok(vec![IpAddr::from([10, 0, 0, 5])]);
    RegistryFacts {
        names: vec![("r.corp".parse().unwrap(), addresses)],
        is_here: true,
        port: None,
        is_own: Ok(false),
        answer,
        pushes: Vec::new(),
        now: now(),
    }
}

fn findings(section: &str, facts: &RegistryFacts) -> Vec<(String, Finding)> {
    let checks = check_registry(&registry(section), facts);
    checks.into_iter().map(|check| (check.name, check.finding)).collect()
}

fn expect(section: &str, facts: &RegistryFacts, expected: &[(&str, Finding)]) {
    let found = findings(section, facts);
    let found: Vec<(&str, Finding)> = found.iter().map(|(name, finding)| (name.as_str(), *finding)).collect();
    assert_eq!(found, expected, "{section}: {facts:?}");
}

#[test]
fn a_registry_that_is_there() {
    let (name, port, tls, certificate) =
        ("registry-name", "registry-port", "registry-tls", "registry-certificate");
    let (answer, clock) = ("registry-answer", "registry-clock");
    let existing = "existing: {}";
    expect(
        existing,
        &facts(Answer::Came(good())),
        &[
            (name, Passed),
            (port, Passed),
            (tls, Passed),
            (certificate, Passed),
            (answer, Passed),
            (clock, Passed),
        ],
    );
    expect(
        existing,
        &facts(Answer::Silent("refused".into())),
        &[(name, Passed), (port, Fails), (tls, Unknown), (answer, Unknown)],
    );
    for problem in
        [TlsProblem::UnknownAuthority, TlsProblem::PlainHttp, TlsProblem::Expired, TlsProblem::WrongName]
    {
        expect(
            existing,
            &facts(Answer::Tls(problem)),
            &[(name, Passed), (port, Passed), (tls, Fails), (answer, Unknown)],
        );
    }
    let page =
        Seen { is_registry: false, status: 200, server: Some("nginx".into()), certificate: None, ..good() };
    expect(
        "existing: {}, plainHttp: true",
        &facts(Answer::Came(page)),
        &[(name, Passed), (port, Passed), (answer, Fails), (clock, Passed)],
    );
}

#[test]
fn names_and_addresses() {
    let mut seen = facts(Answer::Came(Seen { certificate: None, ..good() }));
    seen.names = vec![
        ("r.corp".parse().unwrap(), Err("no such host".into())),
        ("10.0.0.9".parse().unwrap(), Ok(vec![[10, 0, 0, 9].into()])),
        ("other.corp".parse().unwrap(), Err("no such host".into())),
    ];
    let found = findings("existing: {}", &seen);
    // An address is no name to resolve.
    assert_eq!(
        found[..3],
        [
            ("registry-name".to_owned(), Fails),
            ("registry-alias".to_owned(), Fails),
            ("registry-port".to_owned(), Passed),
        ]
    );
}

#[test]
fn a_registry_that_will_be_brought_up_here() {
    let (name, here, port) = ("registry-name", "registry-here", "registry-port");
    for section in ["serve: {}", "docker: {}", "systemd: {}", "proxy: {remote: https://x.y}"] {
        let free = RegistryFacts { port: Some(Port::Free), ..facts(Answer::Silent("refused".into())) };
        expect(section, &free, &[(name, Passed), (here, Passed), (port, Passed)]);
        let other = RegistryFacts {
            port: Some(Port::Taken),
            is_here: false,
            ..facts(Answer::Came(Seen { is_registry: false, status: 200, ..Seen::default() }))
        };
        expect(section, &other, &[(name, Passed), (here, Fails), (port, Fails)]);
        for answer in [
            Answer::Tls(TlsProblem::UnknownAuthority),
            Answer::Broken("reset".into()),
            Answer::Silent("no answer".into()),
            Answer::Came(good()),
        ] {
            let taken = RegistryFacts { port: Some(Port::Taken), ..facts(answer) };
            expect(section, &taken, &[(name, Passed), (here, Passed), (port, Fails)]);
        }
        let trouble = Port::Trouble("permission denied".into());
        let trouble = RegistryFacts { port: Some(trouble), ..facts(Answer::Silent("refused".into())) };
        expect(section, &trouble, &[(name, Passed), (here, Passed), (port, Unknown)]);
        let unseen = RegistryFacts {
            port: Some(Port::Taken),
            is_own: Err("permission denied".into()),
            ..facts(Answer::Came(good()))
        };
        expect(section, &unseen, &[(name, Passed), (here, Passed), (port, Unknown)]);
        let own = RegistryFacts {
            port: Some(Port::Taken),
            is_own: Ok(true),
            ..facts(Answer::Came(Seen { ahead: Some(-3600), ..good() }))
        };
        expect(
            section,
            &own,
            &[
                (name, Passed),
                (here, Passed),
                (port, Passed),
                ("registry-tls", Passed),
                ("registry-certificate", Passed),
                ("registry-answer", Passed),
            ],
        );
    }
}

#[test]
fn a_registry_that_will_be_brought_up_on_a_cluster() {
    let section = "kubernetes: {storage: {size: 1GiB}}";
    expect(section, &facts(Answer::Silent("refused".into())), &[("registry-name", Passed)]);
    assert_eq!(findings(section, &facts(Answer::Came(good()))).len(), 5);
}

#[test]
fn certificates_are_renewed_in_time() {
    for (certificate, finding, text) in [
        (days(31), Passed, "31 days"),
        (days(29), Fails, "29 days"),
        (days(0), Fails, "0 days"),
        (Some(Err("malformed".into())), Unknown, "malformed"),
        (
            Some(Ok(Certificate {
                ends: now() + Duration::from_secs(86_400 * 90),
                lacks: vec!["r2.corp".parse().unwrap()],
            })),
            Fails,
            "not for r2.corp",
        ),
    ] {
        let checks =
            check_registry(&registry("existing: {}"), &facts(Answer::Came(Seen { certificate, ..good() })));
        let check = checks.iter().find(|check| check.name == "registry-certificate").unwrap();
        assert_eq!(check.finding, finding, "{check:?}");
        assert!(check.found.contains(text), "{check:?}");
    }
}

#[test]
fn a_certificate_of_ferrys_own_is_renewed_by_apply() {
    let remedy = |section: &str| {
        let seen = Answer::Came(Seen { certificate: days(10), ..good() });
        let checks = check_registry(&registry(section), &facts(seen));
        let check = checks.into_iter().find(|check| check.name == "registry-certificate").unwrap();
        (check.finding, check.remedy)
    };
    let (finding, own) = remedy("kubernetes: {storage: {size: 1GiB}}");
    assert_eq!((finding, own.as_str()), (Fails, "`apply` makes it anew"));
    let (finding, theirs) = remedy("existing: {}");
    assert!(finding == Fails && theirs != own, "{theirs}");
}

#[test]
fn clocks() {
    for (ahead, finding, text) in [
        (Some(0), Passed, "the same"),
        (Some(-1), Passed, "the same"),
        (Some(60), Passed, "60 s ahead"),
        (Some(61), Fails, "61 s ahead"),
        (Some(-61), Fails, "61 s behind"),
        (Some(i64::MIN + 1), Fails, "behind"),
        (None, Unknown, "Date"),
    ] {
        let check = check_clock(&kinds::REGISTRY_CLOCK, "r", ahead);
        assert_eq!(check.finding, finding, "{check:?}");
        assert!(check.found.contains(text), "{check:?}");
    }
}

#[test]
fn rights_to_push() {
    let failed = |class, message: &str| Err(Failed::because(class, message).hint("try this"));
    for (section, outcome, name, finding) in [
        ("existing: {}", Ok(PushProbe::Removed), "registry-push", Passed),
        ("existing: {}", Ok(PushProbe::Left), "registry-push", Passed),
        ("existing: {}", failed(Class::Denied, "denied (403)"), "registry-push", Fails),
        ("existing: {}", failed(Class::Protocol, "refused (405)"), "registry-push", Fails),
        ("existing: {}", failed(Class::Transient, "broke"), "registry-push", Unknown),
        ("existing: {}", failed(Class::Input, "secret X is not set"), "registry-push", Fails),
        (
            "existing: {}",
            failed(Class::NotFound, "NOT_FOUND: project p not found"),
            "registry-project",
            Unknown,
        ),
        (
            "existing: {createProjects: false}",
            failed(Class::NotFound, "NOT_FOUND: project p not found"),
            "registry-push",
            Fails,
        ),
    ] {
        let denied = matches!(&outcome, Err(Failed { class: Class::Denied, .. }));
        let seen = RegistryFacts { pushes: vec![("p/app".into(), outcome)], ..facts(Answer::Came(good())) };
        let checks = check_registry(&registry(section), &seen);
        let check = checks.last().unwrap();
        assert_eq!((check.name.as_str(), check.finding), (name, finding), "{check:?}");
        assert_eq!(check.subject, "r.corp:5000/p/app");
        if name == "registry-push" && finding != Passed {
            assert_eq!(check.remedy == "try this", !denied, "{check:?}");
        }
    }
}
