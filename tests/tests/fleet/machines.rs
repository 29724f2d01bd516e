//! A site of machines with systemd, sshd and real runtimes, each with no way out but to this host, and two registries on this host.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ferry_installer::node::check::cri::Images;
use ferry_tests::corpus::{Corpus, Image};
use ferry_tests::parts::{DockerRegistry, Machine, MachineSetup, RegistrySetup, ssh_key, wait_until};
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::Sample;

/// As the packages of docker itself ship it.
const DOCKERS_OWN: &str = "disabled_plugins = [\"cri\"]\n";
/// An operator's own, with tabs and returns.
const THEIRS: &str = "{\r\n\t\"max-concurrent-downloads\": 2\r\n}";

/// What runs containers on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// dockerd, with a containerd that serves nobody else.
    Docker,
    /// dockerd, and the containerd below it serves kubelet as well.
    Both,
    /// containerd for kubelet.
    Containerd,
}

impl Runtime {
    pub(crate) fn has_docker(self) -> bool {
        self != Self::Containerd
    }

    pub(crate) fn serves_kubelet(self) -> bool {
        self != Self::Docker
    }
}

/// A machine of the site.
pub(crate) struct Member {
    pub(crate) machine: Machine,
    pub(crate) runtime: Runtime,
}

/// When a machine's runtimes were started, and how often docker was told to read its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) docker: String,
    pub(crate) reloads: usize,
    pub(crate) containerd: String,
    /// How often it was started.
    pub(crate) boots: usize,
}

impl Member {
    fn start(runtime: Runtime) -> Result<Self> {
        let machine = Machine::start(&MachineSetup::default())?;
        match runtime {
            Runtime::Docker => {
                machine.write("/etc/containerd/config.toml", DOCKERS_OWN)?;
                machine.write("/srv/docker.json", THEIRS)?;
                let link = "mkdir -p /etc/docker && ln -s ../../srv/docker.json /etc/docker/daemon.json && chmod 640 /srv/docker.json";
                machine.shell(link).succeed()?;
            }
            Runtime::Both => {}
            Runtime::Containerd => {
                let remove = "rm -rf /usr/bin/docker* /usr/sbin/dockerd /lib/systemd/system/docker.* /etc/docker /etc/systemd/system/docker.service.d && systemctl daemon-reload";
                machine.shell(remove).succeed()?;
            }
        }
        let services: &[&str] =
            if runtime.has_docker() { &["containerd", "docker"] } else { &["containerd"] };
        machine.program("systemctl").args(["enable", "--now"]).args(services).succeed()?;
        Ok(Self { machine, runtime })
    }

    pub(crate) fn life(&self) -> Result<Life> {
        let show = |unit: &str| -> Result<String> {
            let properties = "--property=InvocationID,ExecMainStartTimestampMonotonic,MainPID,NRestarts";
            Ok(self.machine.program("systemctl").args(["show", properties, unit]).succeed()?.stdout)
        };
        let logged = |unit: &str, text: &str| -> Result<usize> {
            let log = self.machine.program("journalctl").args(["--unit", unit, "--output=cat", "--no-pager"]);
            Ok(log.succeed()?.stdout.matches(text).count())
        };
        Ok(Life {
            docker: show("docker.service")?,
            reloads: logged("docker.service", "reload configuration")?,
            containerd: show("containerd.service")?,
            boots: logged("containerd.service", "containerd successfully booted")?,
        })
    }

    /// Pulls through dockerd.
    pub(crate) fn docker_pull(&self, reference: &str) -> Result<Outcome> {
        self.machine.program("docker").args(["pull", "--quiet", reference]).run()
    }

    /// Pulls as kubelet does.
    pub(crate) fn kubelet_pulls(&self, reference: &str) -> Result<()> {
        let socket = self.machine.inside("/run/containerd/containerd.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let images = Images::at(&socket).await.context("containerd serves no CRI")?;
            images.pull(reference).await.map_err(|failed| anyhow::anyhow!("{failed}"))?;
            ensure!(images.find(reference).await.is_ok_and(|image| image.is_some()), "no {reference}");
            Ok(())
        })
    }
}

/// The site.
pub(crate) struct Site {
    pub(crate) members: Vec<Member>,
    pub(crate) sample: Sample,
    /// The site's own registry, filled by its runs: `tls.corp`.
    pub(crate) own: DockerRegistry,
    /// One that somebody else filled: `plain.corp`. It mirrors docker.io.
    pub(crate) plain: DockerRegistry,
}

impl Site {
    /// The parts that it needs, beside those of machines.
    pub(crate) const NEEDS: [&'static str; 5] = ["docker-registry", "ssh", "ssh-keygen", "unshare", "mount"];

    pub(crate) fn start(seed: u64, runtimes: &[Runtime]) -> Result<Self> {
        let members = std::thread::scope(|scope| {
            let starting: Vec<_> =
                runtimes.iter().map(|runtime| scope.spawn(|| Member::start(*runtime))).collect();
            let started = starting.into_iter().map(|member| member.join().expect("no part panics"));
            started.collect::<Result<Vec<_>>>()
        })?;
        let address = members.first().context("a site without machines")?.machine.host_address();
        // This host answers for its address on the first cable whichever cable asks.
        for Member { machine, .. } in &members[1..] {
            let (to, via) = (address.to_string(), machine.host_address().to_string());
            machine.program("ip").args(["route", "add", &to, "via", &via]).succeed()?;
        }
        let plain = DockerRegistry::start(&RegistrySetup { address, ..RegistrySetup::default() })?;
        let own = DockerRegistry::start(&RegistrySetup { address, tls: true, ..RegistrySetup::default() })?;
        let sample = Sample::built(Corpus::small(seed, 20_000))?;
        let site = Self { members, sample, own, plain };
        site.plain.push(&site.busybox())?;
        site.write_hosts()?;
        site.open()?;
        Ok(site)
    }

    /// What stands in docker.io's place under that name.
    pub(crate) fn busybox(&self) -> Image {
        self.sample.corpus.images[0].named("library/busybox", "latest")
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.sample.workspace.path(name)
    }

    /// How the control host resolves names.
    fn write_hosts(&self) -> Result<()> {
        let text = format!("127.0.0.1 localhost\n{} tls.corp plain.corp\n", self.address());
        self.sample.workspace.write("hosts", text).map(drop)
    }

    fn open(&self) -> Result<()> {
        let key = ssh_key(&self.path("key"))?;
        let known = self.members.iter().map(|member| member.machine.open_ssh(&key));
        let known = known.collect::<Result<String>>()?;
        self.sample.workspace.write("known", known).map(drop)
    }

    /// The address of both registries.
    pub(crate) fn address(&self) -> std::net::IpAddr {
        self.members[0].machine.host_address()
    }

    /// `settings` go beside the others of `nodes`, each on a line.
    pub(crate) fn write_site(&self, settings: &[&str]) -> Result<()> {
        let hosts = self.members.iter().enumerate().map(|(number, member)| {
            format!("    - {{name: node{}, address: {}}}\n", number + 1, member.machine.address())
        });
        let settings: String = settings.iter().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: '{own}'\n  existing: {{}}\n  authority: {authority}\nnodes:\n  \
             hosts:\n{hosts}  ssh:\n    user: root\n    identityFile: key\n    options: ['UserKnownHostsFile={known}', \
             'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']\n  configure: true\n  \
             names:\n    tls.corp: [{address}]\n    plain.corp: [{address}]\n  mirrors: [k8s.gcr.io]\n  registries:\n    \
             - {{address: '{plain}', plainHttp: true, mirrors: [docker.io]}}\n{settings}",
            own = self.own.named("tls.corp"),
            plain = self.plain.named("plain.corp"),
            authority = self.own.authority().display(),
            hosts = hosts.collect::<String>(),
            known = self.path("known").display(),
            address = self.address(),
        );
        self.sample.workspace.write("site.yaml", text).map(drop)
    }

    /// The installer, on a host that resolves the registries' names.
    pub(crate) fn installer(&self, arguments: &[&str]) -> Program {
        let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
        Program::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(self.path("hosts"))
            .arg(ferry_tests::process::binary("ferry-installer"))
            .args(arguments)
            .within(self.path(""))
            .env("HOME", self.path(""))
            .limit(Duration::from_secs(300))
    }
}

/// The program as a run of the fleet left it on a machine.
pub(crate) fn node_program(
    member: &Member,
    arguments: &[&str],
    desired: &serde_json::Value,
) -> Result<Outcome> {
    member.machine.write("/run/desired.json", desired.to_string())?;
    let script =
        "exec /var/lib/ferry/bin/*/ferry-installer node \"$@\" --input /run/desired.json --output json";
    member.machine.shell(script).arg("sh").args(arguments).run()
}

/// Waits until a service of the machine serves.
pub(crate) fn wait_for_socket(member: &Member, path: &str) -> Result<()> {
    let socket = member.machine.inside(path);
    let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    wait_until(Duration::from_secs(30), path, answers)
}

/// Fails with the lines that differ.
pub(crate) fn expect_same(before: &str, after: &str, what: &str) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let lines = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|known| known == *line)).map(str::to_owned).collect()
    };
    bail!("{what}: gone {:#?}, new {:#?}", lines(before, after), lines(after, before))
}

/// A web server that is no registry, for as long as the test runs.
pub(crate) fn web_server(address: std::net::IpAddr) -> Result<String> {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind((address, 0))?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n",
            );
        }
    });
    Ok(host)
}
