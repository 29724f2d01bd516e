//! A machine with systemd, sshd and dockerd: from the site file to a pull by digest, by an operator who may only use sudo or is root.

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, Machine, MachineSetup, RegistrySetup};
use ferry_tests::workspace::Sample;
use std::time::Duration;

#[test]
fn dockerd_pulls_from_the_registry_that_this_run_filled() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["docker-registry", "ssh", "ssh-keygen"]) {
        return Ok(());
    }
    let machine = Machine::start(&MachineSetup::default())?;
    let address = machine.host_address();
    let registry = DockerRegistry::start(&RegistrySetup { address, tls: true, ..RegistrySetup::default() })?;
    let sample = Sample::built(Corpus::small(804, 20_000))?;
    let workspace = &sample.workspace;
    let host_key = machine.open_ssh(&parts::ssh_key(&workspace.path("key"))?)?;
    machine.write("/etc/docker/daemon.json", "{\n  \"log-level\": \"info\"\n}\n")?;
    machine.program("systemctl").args(["enable", "--now", "docker.service"]).succeed()?;

    let site = |known: &str| {
        format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: '{}'\n  existing: {{}}\n  authority: {}\nnodes:\n  \
             hosts: [{{name: worker1, address: {}}}]\n  ssh: {{user: root, identityFile: key, options: ['UserKnownHostsFile={known}', \
             'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']}}\n  configure: true\n  \
             names: {{registry.corp: [{address}]}}\n",
            registry.host(),
            registry.authority().display(),
            machine.address(),
        )
    };
    let known = workspace.path("known");
    workspace.write("site.yaml", site(&known.display().to_string()))?;
    let installer =
        |arguments: &[&str]| workspace.installer().args(arguments).limit(Duration::from_secs(300));

    // A host whose key nobody has seen is not trusted.
    workspace.write("known", "")?;
    let refused = installer(&["apply", "bundle"]).fail_with(1)?;
    ensure!(refused.to_string().contains("Host key verification failed"), "{refused}");
    ensure!(refused.to_string().contains("add it to known_hosts"), "{refused}");
    workspace.write("known", host_key)?;

    let before = machine.listing()?;
    let plan = installer(&["plan", "bundle"]).succeed()?;
    ensure!(plan.stdout.contains("set up node worker1"), "{plan}");
    installer(&["apply", "bundle"]).succeed()?;
    installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    let reference = format!("{}/{}", registry.host(), sample.corpus.images[0].name());
    machine.program("docker").args(["pull", "--quiet", &reference]).succeed()?;
    let digests: Vec<String> =
        machine.shell("ls /var/lib/ferry/bin").succeed()?.stdout.lines().map(str::to_owned).collect();
    let [digest] = digests.as_slice() else { anyhow::bail!("{digests:?}") };
    let sum = machine.shell("sha256sum /var/lib/ferry/bin/*/ferry-installer").succeed()?.stdout;
    ensure!(sum.split_whitespace().next().context("a sum")? == digest, "{sum}");

    // Two runs pushed and set up nothing twice; the one that did is taken back.
    installer(&["rollback"]).succeed()?;
    let after = machine.listing()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    Ok(())
}
