//! A mixed fleet from bare to proven and back: docker, docker beside kubelet's containerd, and containerd alone.

use anyhow::{Result, ensure};
use ferry_tests::parts::{self, DockerRegistry, Machine, RegistrySetup};
use serde_json::{Value, json};

use super::machines::{Member, Runtime, Site, expect_same, node_program, wait_for_socket, web_server};

/// The names under which images are pulled, and by whom.
struct Names {
    own: String,
    plain: String,
    mirrored: String,
    /// Of an upstream that only containerd knows mirrors of.
    further: String,
}

impl Names {
    fn of(site: &Site) -> Self {
        let images = &site.sample.corpus.images;
        Self {
            own: format!("{}/{}", site.own.named("tls.corp"), images[0].name()),
            plain: format!("{}/{}", site.plain.named("plain.corp"), site.busybox().name()),
            mirrored: "docker.io/library/busybox:latest".into(),
            further: format!("k8s.gcr.io/{}", images[2].name()),
        }
    }
}

/// Everything that a node of this kind can pull, is pulled; or nothing is.
fn expect_pulls(member: &Member, names: &Names, expected: bool) -> Result<()> {
    if member.runtime.has_docker() {
        for name in [&names.own, &names.plain, "busybox"] {
            let outcome = member.docker_pull(name)?;
            ensure!((outcome.code == Some(0)) == expected, "{:?} {name}: {outcome}", member.runtime);
        }
    }
    if member.runtime.serves_kubelet() {
        wait_for_socket(member, "/run/containerd/containerd.sock")?;
        for name in [&names.own, &names.plain, &names.mirrored, &names.further] {
            let pulled = member.kubelet_pulls(name);
            ensure!(pulled.is_ok() == expected, "{:?} {name}: {pulled:?}", member.runtime);
        }
    }
    Ok(())
}

/// Makes a node forget what it has pulled.
fn clear(member: &Member) -> Result<()> {
    if member.runtime.has_docker() {
        member
            .machine
            .shell("docker image rm --force $(docker images --all --quiet) >/dev/null")
            .succeed()?;
    }
    if member.runtime.serves_kubelet() {
        let script = "ctr -n k8s.io images ls -q | xargs -r ctr -n k8s.io images rm >/dev/null";
        member.machine.shell(script).succeed()?;
    }
    Ok(())
}

#[test]
fn a_mixed_fleet_pulls_by_name_and_forgets_it_again() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&Site::NEEDS) {
        return Ok(());
    }
    let site = Site::start(806, &[Runtime::Docker, Runtime::Both, Runtime::Containerd])?;
    site.write_site(&["canary: 1", "wave: 2"])?;
    let names = Names::of(&site);
    let listings = || site.members.iter().map(|member| member.machine.listing()).collect::<Result<Vec<_>>>();
    let lives = || site.members.iter().map(Member::life).collect::<Result<Vec<_>>>();
    let (before, began) = (listings()?, lives()?);
    for member in &site.members {
        expect_pulls(member, &names, false)?;
    }

    let plan = site.installer(&["plan", "bundle"]).succeed()?;
    for said in ["set up node node1", "docker reloads", "containerd restarts", "insecure-registries"] {
        ensure!(plan.stdout.contains(said), "no `{said}` in {plan}");
    }
    site.installer(&["apply", "bundle"]).succeed()?;
    let applied = lives()?;
    for ((member, began), applied) in site.members.iter().zip(&began).zip(&applied) {
        let restarts = usize::from(member.runtime.serves_kubelet());
        let reloads = usize::from(member.runtime.has_docker());
        ensure!(applied.docker == began.docker, "{:?}: dockerd was restarted", member.runtime);
        ensure!(applied.reloads == began.reloads + reloads, "{:?}: {applied:?}", member.runtime);
        ensure!(applied.boots == began.boots + restarts, "{:?}: {applied:?}", member.runtime);
        expect_pulls(member, &names, true)?;
    }
    let changed = listings()?;

    // What is right is left alone: by Ferry's word, by the files, and by the daemons themselves.
    site.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!(lives()? == applied, "a second run tells a runtime something: {:?}, {applied:?}", lives()?);
    for (before, after) in changed.iter().zip(listings()?) {
        expect_same(before, &after, "a second run changes something")?;
    }

    site.installer(&["rollback"]).succeed()?;
    for (before, after) in before.iter().zip(listings()?) {
        expect_same(before, &after, "the way back leads elsewhere")?;
    }
    for (member, began) in site.members.iter().zip(&began) {
        ensure!(member.life()?.docker == began.docker, "{:?}: dockerd was restarted", member.runtime);
        clear(member)?;
        expect_pulls(member, &names, false)?;
    }
    Ok(())
}

/// What checks found wrong, by their names.
fn wrong(member: &Member, desired: &Value) -> Result<Vec<String>> {
    let outcome = node_program(member, &["check"], desired)?;
    let report = outcome.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let wrong = checks.iter().filter(|check| check["finding"] != "passed");
    let wrong: Vec<String> = wrong
        .map(|check| format!("{} {}: {}", check["name"], check["subject"], check["found"]).replace('"', ""))
        .collect();
    ensure!(wrong.is_empty() == (outcome.code == Some(0)), "{outcome}");
    Ok(wrong)
}

#[test]
fn what_is_not_so_is_not_proven() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&Site::NEEDS) {
        return Ok(());
    }
    let site = Site::start(807, &[Runtime::Containerd, Runtime::Docker])?;
    site.write_site(&[])?;
    site.installer(&["apply", "bundle"]).succeed()?;
    let [containerd, docker] = site.members.as_slice() else { unreachable!("there are two") };
    let authority = std::fs::read_to_string(site.own.authority())?;
    let desired = |address: &str, security: Value| {
        json!({"names": [{"name": "tls.corp", "addresses": [site.address()]}], "resolver": "dns",
            "registries": [{"address": address, "security": security}]})
    };
    let https = json!({"as": "https", "authority": authority});
    let expect = |member: &Member, address: &str, security: &Value, said: &[&str]| -> Result<()> {
        let wrong = wrong(member, &desired(address, security.clone()))?;
        let of_registry: Vec<&String> =
            wrong.iter().filter(|line| line.starts_with("node-registry")).collect();
        ensure!(said.is_empty() == of_registry.is_empty(), "{address}: {wrong:#?}");
        for said in said {
            ensure!(of_registry.iter().any(|line| line.contains(said)), "{address}, no `{said}`: {wrong:#?}");
        }
        Ok(())
    };
    let own = site.own.named("tls.corp");
    let other = RegistrySetup { address: site.address(), tls: true, ..RegistrySetup::default() };
    let other = DockerRegistry::start(&other)?;
    let web = web_server(site.address())?;
    let web = format!("tls.corp:{}", web.rsplit(':').next().unwrap_or_default());
    for member in [containerd, docker] {
        expect(member, &own, &https, &[])?;
        // An authority of its own, a name that is not in the certificate, no TLS at all, another web server, nobody.
        expect(member, &other.named("tls.corp"), &https, &["no TLS connection", "Signature"])?;
        expect(member, &site.own.named("plain.corp"), &https, &["plain.corp"])?;
        expect(member, &site.plain.named("tls.corp"), &https, &["tls.corp"])?;
        expect(member, &web, &json!({"as": "plain-http"}), &["not as a registry does"])?;
        expect(member, "tls.corp:9", &json!({"as": "plain-http"}), &["tls.corp:9"])?;
    }

    // A line of somebody else leads the name elsewhere: the fleet's next run says so, and says it of that node alone.
    let mine = docker.machine.read("/etc/hosts")?;
    docker.machine.write("/etc/hosts", format!("198.18.0.99 tls.corp\n{mine}"))?;
    let led_astray = wrong(docker, &desired(&own, https.clone()))?;
    ensure!(led_astray.iter().any(|line| line.contains("198.18.0.99")), "{led_astray:#?}");
    let told = site.installer(&["apply", "bundle"]).fail_with(1)?.to_string();
    ensure!(told.contains("node node2") && !told.contains("node node1"), "{told}");
    ensure!(told.contains("tls.corp") && told.contains("/etc/hosts"), "{told}");
    docker.machine.write("/etc/hosts", mine)?;
    site.installer(&["apply", "bundle"]).succeed()?;

    // The plug-in has not read what its files say: they are right, `ctr` would pull, and pods would not.
    containerd
        .machine
        .shell(
            "cp /etc/containerd/config.toml /root/ && printf 'version = 2\\n' >/etc/containerd/config.toml",
        )
        .succeed()?;
    containerd
        .machine
        .shell("systemctl restart containerd && mv /root/config.toml /etc/containerd/config.toml")
        .succeed()?;
    wait_for_socket(containerd, "/run/containerd/containerd.sock")?;
    let told = site.installer(&["apply", "bundle"]).fail_with(3)?.to_string();
    ensure!(told.contains("node node1 is not proven: node-pull"), "{told}");
    Ok(())
}
