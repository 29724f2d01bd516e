//! Registries that `apply` brings up by the docker of a machine of their own: pushed to over TLS with a password, pulled from by
//! that docker, there after a reboot, changed, and gone without a trace after `rollback`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use ferry_model::Digest;
use ferry_tests::corpus::{self, Corpus, Dialect, Document, Image, ImageSetup, Layer};
use ferry_tests::cut_off::{self, Ground};
use ferry_tests::parts::{self, Machine, MachineSetup, skopeo, wait_for_port};
use ferry_tests::process::{Outcome, Program, binary};
use ferry_tests::registry::{Auth, Registry, Setup};
use ferry_tests::workspace::Workspace;

const PASSWORD: &str = "correct-horse-battery";
const INSTALLER: &str = "/opt/ferry/ferry-installer";
const BUNDLE: &str = "/data/bundle";
const SITE: &str = "/srv/ferry/site.yaml";

/// Every file and folder that a change could have touched, but for what registries note of uploads under way; and all that docker has: containers, images, volumes.
const LISTING: &str = r"
find /etc /var/lib /usr/local /opt /srv -xdev \( -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/containerd \
  -o -path /srv/ferry -o -path /opt/ferry -o -path /etc/docker -o -path /var/lib/private -o -name _uploads \) -prune \
  -o -printf '%p %y %m %U:%G %l\n' | sort
docker ps --all --no-trunc --format 'container {{.Names}} {{.ID}} {{.State}}' | sort
docker images --all --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}' | sort
docker volume ls --format 'volume {{.Name}}' | sort";

/// As the entrypoint of the official image has it.
const ENTRYPOINT: &str = r#"#!/bin/sh
set -e
case "$1" in
    *.yaml|*.yml) set -- registry serve "$@" ;;
    serve|garbage-collect|help|-*) set -- registry "$@" ;;
esac
exec "$@"
"#;

/// Debian's docker-registry in an image that is laid out like the official one, with a shell and what both need.
fn registry_image() -> Result<Image> {
    let mut files = vec![
        ("/bin/registry".to_owned(), fs::read("/usr/bin/docker-registry")?),
        ("/bin/sh".to_owned(), fs::read("/bin/sh")?),
        ("/entrypoint.sh".to_owned(), ENTRYPOINT.as_bytes().to_vec()),
    ];
    let mut libraries = BTreeSet::new();
    for program in ["/usr/bin/docker-registry", "/bin/sh"] {
        let said = Program::new("ldd").arg(program).succeed()?.stdout;
        libraries.extend(said.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    for library in libraries {
        let bytes = fs::read(&library).with_context(|| library.clone())?;
        files.push((library, bytes));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path.trim_start_matches('/'), &content[..])?;
    }
    let tar = archive.into_inner()?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar)?;
    let bytes = encoder.finish()?;
    let (digest, diff_id) = (Digest::of(&bytes), Digest::of(&tar));
    let layer = Arc::new(Layer { bytes: bytes.into(), digest, tar: tar.into(), diff_id, is_gzip: true });
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let setup = ImageSetup { repository: "library/registry", tag: "2", dialect: Dialect::Docker, platform };
    with_program(Image::single(&setup, &[layer]))
}

/// The image with the settings of the official one, an anonymous volume among them.
fn with_program(image: Image) -> Result<Image> {
    let mut config: serde_json::Value = serde_json::from_slice(&image.config)?;
    config["config"] = serde_json::json!({
        "Env": ["PATH=/bin"],
        "Entrypoint": ["/entrypoint.sh"],
        "Cmd": ["/etc/docker/registry/config.yml"],
        "ExposedPorts": {"5000/tcp": {}},
        "Volumes": {"/var/lib/registry": {}},
    });
    let config = Bytes::from(config.to_string());
    let first = image.documents.first().context("an image has a manifest")?;
    let mut manifest: serde_json::Value = serde_json::from_slice(&first.bytes)?;
    manifest["config"]["digest"] = Digest::of(&config).to_string().into();
    manifest["config"]["size"] = config.len().into();
    let bytes = Bytes::from(manifest.to_string());
    let document = Document { digest: Digest::of(&bytes), media_type: first.media_type, bytes };
    let mut blobs = image.blobs.clone();
    blobs.insert(Digest::of(&config), config.clone());
    Ok(Image { root: document.digest, documents: vec![document], blobs, config, ..image })
}

/// A machine with docker, the installer and a bundle.
struct Site {
    machine: Machine,
    /// Holds the bundle that the machine sees.
    _workspace: Workspace,
    corpus: Corpus,
    registry: Image,
    host: String,
}

impl Ground for Site {
    fn installer(&self, arguments: &[&str]) -> Program {
        self.machine.program(INSTALLER).args(arguments).args(["--site", SITE]).limit(Duration::from_secs(120))
    }

    fn listing(&self) -> Result<String> {
        Ok(self.machine.shell(LISTING).succeed()?.stdout)
    }

    fn forget_a_line(&self) -> Result<()> {
        cut_off::forget_a_line_of(&self.machine, "/srv/ferry/site.ferry")
    }

    fn log(&self) -> String {
        let script = "docker ps --all; docker logs ferry-registry 2>&1 | tail -n 30; docker logs ferry-proxy 2>&1 | tail -n 30; cat /etc/ferry/registry/config.yml";
        self.machine.shell(script).run().map_or_else(|error| error.to_string(), |outcome| outcome.to_string())
    }
}

impl Site {
    fn new(seed: u64) -> Result<Self> {
        let (workspace, corpus, registry) =
            (Workspace::new()?, Corpus::small(seed, 40_000), registry_image()?);
        corpus::write_oci_layout(&workspace.path("images"), &corpus.images)?;
        corpus::write_docker_archive(&workspace.path("registry.tar"), std::slice::from_ref(&registry))?;
        let entry = |image: &Image| format!("  - {{image: 'oci:images:{0}', as: '{0}'}}\n", image.name());
        let entries: String = corpus.images.iter().map(entry).collect();
        workspace.spec(&format!(
            "platforms: all\nimages:\n{entries}  - docker-archive:registry.tar:library/registry:2\n"
        ))?;
        workspace.lock_and_build()?;
        let shared = vec![
            (binary("ferry-installer"), PathBuf::from(INSTALLER)),
            (workspace.path("bundle"), PathBuf::from(BUNDLE)),
        ];
        let machine = Machine::start(&MachineSetup { shared })?;
        machine.program("systemctl").args(["enable", "--now", "docker.service"]).succeed()?;
        machine.write("/srv/ferry/password", format!("{PASSWORD}\n"))?;
        let host = format!("{}:5000", machine.address());
        Ok(Self { machine, _workspace: workspace, corpus, registry, host })
    }

    /// Writes the site file with these lines about its registry.
    fn describe(&self, registry: &str) -> Result<()> {
        let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
        self.machine.write(SITE, format!("{head}  address: {}\n{registry}", self.host))
    }

    fn apply(&self) -> Result<Outcome> {
        let outcome = self.installer(&["apply", BUNDLE]).succeed().with_context(|| self.log())?;
        ensure!(!format!("{outcome}").contains(PASSWORD), "{outcome}");
        Ok(outcome)
    }

    fn rollback(&self) -> Result<Outcome> {
        self.installer(&["rollback"]).succeed().with_context(|| self.log())
    }

    fn docker(&self, arguments: &[&str]) -> Program {
        self.machine.program("docker").args(arguments)
    }

    /// One line of `docker inspect`.
    fn inspect(&self, container: &str, format: &str) -> Result<String> {
        let outcome = self.docker(&["inspect", "--type", "container", "--format", format, container]);
        Ok(outcome.succeed()?.stdout.trim().to_owned())
    }

    /// The machine's docker logs in and pulls every image anew.
    fn pull_all(&self) -> Result<()> {
        let trust = format!(
            "mkdir -p /etc/docker/certs.d/{0} && cp /etc/ferry/registry/tls/ca.crt /etc/docker/certs.d/{0}/ca.crt",
            self.host
        );
        self.machine.shell(&trust).succeed()?;
        wait_for_port(&self.host, Duration::from_secs(30)).with_context(|| self.log())?;
        self.docker(&["login", "--username", "ferry", "--password", PASSWORD, &self.host])
            .succeed()
            .with_context(|| self.log())?;
        for image in &self.corpus.images {
            let reference = format!("{}/{}", self.host, image.name());
            let pulled = self.docker(&["pull", &reference]).succeed().with_context(|| self.log())?;
            pulled.prints(&image.root.to_string())?;
            self.docker(&["rmi", &reference]).succeed()?;
        }
        self.docker(&["logout", &self.host]).succeed()?;
        let refused = self.docker(&["pull", &format!("{}/team/app:1.0", self.host)]).run()?;
        ensure!(refused.code != Some(0) && refused.stderr.contains("auth"), "{refused}");
        Ok(())
    }

    /// The password is in no file that the installer leaves beside the site file, and in none that anybody may read.
    fn keeps_its_secret(&self) -> Result<()> {
        let script = format!("grep -rlF {PASSWORD} /srv/ferry/site.ferry /etc/ferry; test $? = 1");
        self.machine.shell(&script).succeed().map(drop)
    }
}

fn ready() -> bool {
    parts::ready(&Machine::NEEDS) && parts::ready(&["docker-registry", "skopeo", "strace"])
}

fn difference(before: &str, after: &str) -> String {
    let lines = |text: &str, other: &str, sign: &str| -> Vec<String> {
        let known: BTreeSet<&str> = other.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [lines(before, after, "-"), lines(after, before, "+")].concat().join("\n")
}

#[test]
fn docker_runs_the_registry_out_of_the_bundle() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let mut site = Site::new(501)?;
    let login = "  login: {user: ferry, password: {file: password}}\n";
    site.describe(&format!("{login}  docker: {{}}\n"))?;
    let before = site.listing()?;
    site.apply()?;
    site.pull_all()?;
    let labels =
        "{{.HostConfig.RestartPolicy.Name}} {{index .Config.Labels \"io.ferry.managed\"}} {{.Config.Image}}";
    let labels = site.inspect("ferry-registry", labels)?;
    ensure!(labels == format!("unless-stopped true {}/library/registry:2", site.host), "{labels}");
    let image = site.inspect("ferry-registry", "{{.Image}}")?;
    ensure!(image == Digest::of(&site.registry.config).to_string(), "{image}");
    site.keeps_its_secret()?;

    let standing = site.listing()?;
    ensure!(standing.contains("container ferry-registry"), "{standing}");
    ensure!(!standing.contains("volume "), "a volume that nobody knows of: {standing}");
    site.apply()?.prints("nothing to do")?;
    ensure!(site.listing()? == standing, "an apply with nothing to do has changed something");
    site.machine.reboot()?;
    site.pull_all()?;
    site.apply()?.prints("nothing to do")?;

    takes_up_what_changes(&site)?;
    takes_a_new_password(&site)?;
    is_replaced_and_comes_back(&site, login)?;
    site.describe(&format!("{login}  docker: {{}}\n"))?;
    site.rollback()?;
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(&before, &after));
    leaves_others_alone(&site, &before)
}

/// A configuration that somebody changed is put right, and the container starts again with it.
fn takes_up_what_changes(site: &Site) -> Result<()> {
    let path = "/etc/ferry/registry/config.yml";
    let original = site.machine.read(path)?;
    site.machine.write(path, format!("{original}# by somebody\n"))?;
    let started = || site.inspect("ferry-registry", "{{.Id}} {{.State.StartedAt}}");
    let first = started()?;
    site.apply()?;
    let second = started()?;
    let id = |text: &str| text.split(' ').next().map(str::to_owned);
    ensure!(first != second && id(&first) == id(&second), "{first} {second}");
    site.rollback()?;
    ensure!(site.machine.read(path)?.ends_with("# by somebody\n"), "what stood there before is not back");
    ensure!(started()? != second, "the container does not run with what is back");
    site.machine.write(path, original)?;
    // What stopped is started again.
    site.docker(&["stop", "ferry-registry"]).succeed()?;
    site.apply()?;
    site.pull_all()?;
    site.rollback()?;
    ensure!(site.inspect("ferry-registry", "{{.State.Running}}")? == "false", "it did not run before");
    site.docker(&["start", "ferry-registry"]).succeed()?;
    site.pull_all()
}

/// The registry that stands knows the old password until the run gives it the new one, so that is not tried before.
fn takes_a_new_password(site: &Site) -> Result<()> {
    let rotated = "another-horse-battery";
    site.machine.write("/srv/ferry/password", format!("{rotated}\n"))?;
    let looked = site.installer(&["preflight", BUNDLE]).run()?;
    looked.prints("not probed: the password changes in this run")?;
    site.apply()?;
    let login = |password| site.docker(&["login", "--username", "ferry", "--password", password, &site.host]);
    login(rotated).succeed()?;
    site.apply()?.prints("nothing to do")?;
    site.rollback()?;
    site.machine.write("/srv/ferry/password", format!("{PASSWORD}\n"))?;
    site.pull_all()?;
    site.apply()?.prints("nothing to do").map(drop)
}

/// Another storage takes another container; undoing that brings back the very one.
fn is_replaced_and_comes_back(site: &Site, login: &str) -> Result<()> {
    let (before, id) = (site.listing()?, site.inspect("ferry-registry", "{{.Id}}")?);
    site.describe(&format!("{login}  docker: {{storage: /var/lib/elsewhere/images}}\n"))?;
    // What images there are is asked of the registry that stands; the second time it is the new one, which is empty.
    site.apply()?;
    site.apply()?;
    site.pull_all()?;
    site.apply()?.prints("nothing to do")?;
    ensure!(site.inspect("ferry-registry", "{{.Id}}")? != id, "it is the same container");
    let kept = format!("ferry-registry-before-{}", &id[..12]);
    ensure!(site.inspect(&kept, "{{.State.Running}}")? == "false", "both run");
    while site.listing()?.contains(&kept) {
        site.rollback()?;
    }
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(&before, &after));
    ensure!(site.inspect("ferry-registry", "{{.Id}}")? == id, "it is another container");
    site.pull_all()
}

/// A container of somebody else that has the name.
fn leaves_others_alone(site: &Site, before: &str) -> Result<()> {
    let import = "tar --create --directory=/ etc/hostname | docker import - theirs:1";
    site.machine.shell(import).succeed()?;
    site.docker(&["create", "--name", "ferry-registry", "theirs:1", "/none"]).succeed()?;
    let theirs = site.listing()?;
    let refused = site.installer(&["apply", BUNDLE]).fail_with(1)?;
    ensure!(format!("{refused}").contains("was not made by Ferry"), "{refused}");
    site.installer(&["rollback"]).run()?;
    let after = site.listing()?;
    ensure!(after == theirs, "{}", difference(&theirs, &after));
    site.docker(&["rm", "ferry-registry"]).succeed()?;
    site.docker(&["rmi", "theirs:1"]).succeed()?;
    ensure!(site.listing()? == before);
    Ok(())
}

#[test]
fn cut_off_at_every_line_of_its_journal_it_goes_on_and_can_be_taken_back() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new(503)?;
    site.describe("  login: {user: ferry, password: {file: password}}\n  docker: {}\n")?;
    let before = site.listing()?;
    let lines = cut_off::at_every_line(&site, BUNDLE)?;
    ensure!(lines >= 16, "a run of {lines} lines");
    a_container_that_ends_says_why(&site, &before)
}

/// A certificate that is none: the registry's program ends at once.
fn a_container_that_ends_says_why(site: &Site, before: &str) -> Result<()> {
    site.machine.write("/srv/ferry/bad.crt", "no certificate\n")?;
    site.machine.write("/srv/ferry/bad.key", "no key\n")?;
    site.describe("  certificate: bad.crt\n  key: bad.key\n  docker: {}\n")?;
    let failed = site.installer(&["apply", BUNDLE]).fail_with(1)?;
    let words = format!("{failed}");
    ensure!(words.contains("it said last") && words.contains("tls:"), "{words}");
    site.rollback()?;
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(before, &after));
    Ok(())
}

/// Lets machines connect to a server that listens on this host's loopback.
fn forward(address: IpAddr, to: String) -> Result<String> {
    let listener = TcpListener::bind((address, 0))?;
    let host = listener.local_addr()?.to_string();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&to) else { return };
            if let (Ok(back), Ok(forth)) = (server.try_clone(), client.try_clone()) {
                copy(client, server);
                copy(back, forth);
            }
        }
    });
    Ok(host)
}

#[test]
fn whether_it_runs_or_not_it_is_taken_back() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new(504)?;
    site.describe("  login: {user: ferry, password: {file: password}}\n  docker: {}\n")?;
    let before = site.listing()?;
    site.apply()?;
    site.docker(&["kill", "ferry-registry"]).succeed()?;
    // Its images, which it cannot be asked for, are gone with its storage.
    site.rollback()?;
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(&before, &after));

    site.apply()?;
    let standing = site.listing()?;
    let docker =
        |verb| site.machine.program("systemctl").args([verb, "docker.socket", "docker.service"]).succeed();
    docker("stop")?;
    let left = site.installer(&["rollback"]).fail_with(1)?;
    left.prints("container ferry-registry needs it and stays")?.prints("rollback 0002")?;
    docker("start")?;
    wait_for_port(&site.host, Duration::from_secs(30)).with_context(|| site.log())?;
    let stands = site.listing()?;
    ensure!(stands == standing, "{}", difference(&standing, &stands));
    site.pull_all()?;
    site.apply()?.prints("nothing to do")?;
    site.installer(&["rollback", "0002"]).succeed().with_context(|| site.log())?;
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(&before, &after));
    Ok(())
}

#[test]
fn a_cache_fetches_what_it_is_asked_for() -> Result<()> {
    if !ready() {
        return Ok(());
    }
    let site = Site::new(502)?;
    let auth = Auth::Token {
        user: "puller".into(),
        password: PASSWORD.into(),
        anonymous_pull: false,
        requests_per_token: None,
        fixed_scope: false,
    };
    let registry = Registry::start(Setup { auth, ..Setup::default() });
    let image = site.corpus.image("team/app");
    registry.load(image);
    let remote = forward(site.machine.host_address(), registry.host())?;

    let before = site.listing()?;
    let proxy = |file: &str| {
        format!(
            "  plainHttp: true\n  proxy:\n    remote: http://{remote}\n    remoteLogin: {{user: puller, password: {{file: {file}}}}}\n    hostNetwork: true\n"
        )
    };
    site.describe(&proxy("password"))?;
    let applied = site.apply()?;
    applied.prints("/etc/containerd/certs.d/")?.prints("registry-mirrors")?;
    let pull = || {
        let source = format!("docker://{}/{}", site.host, image.name());
        skopeo().args(["inspect", "--raw", "--tls-verify=false", &source]).run()
    };
    let pulled = pull()?;
    ensure!(Digest::of(pulled.stdout.as_bytes()) == image.root, "{pulled}\n{}", site.log());
    let cached = site.machine.shell("find /var/lib/ferry/proxy -name link | grep team/app");
    cached.succeed().context("nothing is cached")?;
    site.keeps_its_secret()?;
    let environment = site.inspect("ferry-proxy", "{{range .Config.Env}}{{println .}}{{end}}")?;
    ensure!(environment.contains("REGISTRY_PROXY_PASSWORD="), "{environment}");
    site.apply()?.prints("nothing to do")?;

    // Another password is another container, though the site file names the same place.
    let id = site.inspect("ferry-proxy", "{{.Id}}")?;
    site.machine.write("/srv/ferry/password", "another-password\n")?;
    site.apply()?;
    ensure!(site.inspect("ferry-proxy", "{{.Id}}")? != id, "it has the old password");
    site.rollback()?;
    ensure!(site.inspect("ferry-proxy", "{{.Id}}")? == id, "the one with the old password is not back");
    wait_for_port(&site.host, Duration::from_secs(20))?;
    ensure!(pull()?.code == Some(0), "{}", site.log());

    site.machine.shell("rm -r /var/lib/ferry/proxy/docker").succeed()?;
    site.rollback()?;
    let after = site.listing()?;
    ensure!(after == before, "{}", difference(&before, &after));
    Ok(())
}
