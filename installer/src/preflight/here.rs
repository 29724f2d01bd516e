//! What a registry needs of this machine if Ferry is to bring it up here. Pure.

use ferry_model::report::Check;
use ferry_model::site::Mode;

use super::catalogue as kinds;
use super::host::{HostFacts, Known, Version};

/// The oldest docker that Ferry talks to.
const OLDEST_DOCKER: Version = Version(19, 3, 0);

/// `engine` is the version of the docker that the mode names; none where it names none.
pub(super) fn check_here(mode: &Mode, facts: &HostFacts, engine: Option<Known<String>>) -> Vec<Check> {
    let host = facts.name.clone().unwrap_or_else(|_| "this machine".to_owned());
    let mut checks = Vec::new();
    if matches!(mode, Mode::Serve(_) | Mode::Systemd(_) | Mode::Docker(_) | Mode::Proxy(_)) {
        checks.push(match &facts.root {
            Ok(is_root) => {
                kinds::PRIVILEGES.judge(*is_root, &host, if *is_root { "root" } else { "not root" })
            }
            Err(reason) => kinds::PRIVILEGES.unknown(&host, reason),
        });
    }
    if matches!(mode, Mode::Serve(_) | Mode::Systemd(_)) {
        checks.push(match &facts.systemd {
            Ok(runs) => kinds::SYSTEMD.judge(
                *runs,
                &host,
                if *runs { "it runs" } else { "this machine runs without it" },
            ),
            Err(reason) => kinds::SYSTEMD.unknown(&host, reason),
        });
    }
    checks.extend(engine.map(|engine| match engine.as_ref().map(|text| (text, Version::parse(text))) {
        Ok((text, Some(version))) => kinds::DOCKER_ENGINE.judge(version >= OLDEST_DOCKER, &host, text),
        Ok((text, None)) => kinds::DOCKER_ENGINE.unknown(&host, format!("`{text}` is no version")),
        Err(reason) => kinds::DOCKER_ENGINE.failed(&host, reason),
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferry_model::report::Finding::{self, Failed, Passed, Unknown};
    use ferry_model::site::Site;

    fn mode(section: &str) -> Mode {
        let text =
            format!("apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry: {{address: r:5000, {section}}}\n");
        Site::parse(&text).unwrap().registry.unwrap().mode
    }

    #[test]
    fn each_mode_asks_for_what_it_uses() {
        let ready = HostFacts { root: Ok(true), systemd: Ok(true), ..HostFacts::unknown("x") };
        let bare = HostFacts { root: Ok(false), systemd: Ok(false), ..HostFacts::unknown("x") };
        let unseen = HostFacts::unknown("no answer");
        let engine = |text: &str| Some(Ok(text.to_owned()));
        for (section, facts, engine, expected) in [
            ("serve: {}", &ready, None, &[("privileges", Passed), ("systemd", Passed)][..]),
            ("systemd: {}", &bare, None, &[("privileges", Failed), ("systemd", Failed)]),
            ("serve: {}", &unseen, None, &[("privileges", Unknown), ("systemd", Unknown)]),
            ("docker: {}", &ready, engine("19.03.15"), &[("privileges", Passed), ("docker-engine", Passed)]),
            ("docker: {}", &ready, engine("18.09.1"), &[("privileges", Passed), ("docker-engine", Failed)]),
            ("docker: {}", &ready, engine("dev"), &[("privileges", Passed), ("docker-engine", Unknown)]),
            (
                "proxy: {remote: https://x.y}",
                &bare,
                Some(Err("no socket".into())),
                &[("privileges", Failed), ("docker-engine", Failed)],
            ),
            ("existing: {}", &bare, None, &[]),
        ] {
            let checks = check_here(&mode(section), facts, engine);
            let found: Vec<(&str, Finding)> =
                checks.iter().map(|check| (check.name.as_str(), check.finding)).collect();
            assert_eq!(found, expected, "{section}");
        }
    }
}
