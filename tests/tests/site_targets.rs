//! Registries elsewhere than on this machine: on a cluster, on DC/OS, in Harbor; and nodes that get an image before there is one.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use ferry_tests::corpus::Corpus;
use ferry_tests::harbor::Harbor;
use ferry_tests::marathon::Marathon;
use ferry_tests::process::Program;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};
use serde_json::Value;

const PASSWORD: &str = "correct-horse-battery";
/// Of the oldest Kubernetes that Ferry runs on and of a new one, what their API servers take. Made by prune.py beside them.
const SCHEMAS: [(&str, &str); 2] = [
    ("1.20", include_str!("../data/kubernetes/v1.20.json")),
    ("1.37", include_str!("../data/kubernetes/v1.37.json")),
];

/// A bundle with the registry's own image.
fn with_registry(seed: u64) -> Result<Sample> {
    let mut corpus = Corpus::small(seed, 20_000);
    let Some(image) = corpus.images.get_mut(2) else { bail!("a corpus without images") };
    *image = image.named("library/registry", "2");
    Sample::built(corpus)
}

fn write_site(workspace: &Workspace, sections: &str) -> Result<()> {
    workspace.write("site.yaml", format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\n{sections}")).map(drop)
}

fn installer(workspace: &Workspace, arguments: &[&str]) -> Program {
    workspace.installer().args(arguments).env("REGISTRY_PASSWORD", PASSWORD).env("S3_KEY", "s3-secret-key")
}

/// Whether `value` is a `shape` of the schema, with no field that it does not know.
fn check(schema: &Value, shape: &Value, value: &Value, path: &str) -> Result<()> {
    if let Some(name) = shape["ref"].as_str() {
        return check(schema, &schema["definitions"][name], value, path);
    }
    if let Some(item) = shape.get("list") {
        let list = value.as_array().with_context(|| format!("{path} is no list"))?;
        return list
            .iter()
            .enumerate()
            .try_for_each(|(at, value)| check(schema, item, value, &format!("{path}[{at}]")));
    }
    if let Some(item) = shape.get("map") {
        let map = value.as_object().with_context(|| format!("{path} is no map"))?;
        return map.iter().try_for_each(|(key, value)| check(schema, item, value, &format!("{path}.{key}")));
    }
    if let Some(known) = shape["properties"].as_object() {
        let object = value.as_object().with_context(|| format!("{path} is no object"))?;
        for required in shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(object.contains_key(required), "{path} lacks {required}");
        }
        return object.iter().try_for_each(|(key, value)| {
            let shape = known.get(key).with_context(|| format!("{path}.{key} is unknown"))?;
            check(schema, shape, value, &format!("{path}.{key}"))
        });
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = shape["type"].as_array().with_context(|| format!("{path}: the schema says nothing"))?;
    ensure!(types.iter().any(|known| known == is), "{path} is {is}, not {types:?}");
    Ok(())
}

fn check_object(schema: &Value, object: &Value) -> Result<()> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let root = schema["kinds"][kind].as_str().with_context(|| format!("the schema has no {kind}"))?;
    check(schema, &serde_json::json!({"ref": root}), object, kind)
}

const SITES: [(&str, &str); 4] = [
    (
        "claim",
        "registry:\n  address: registry.corp:30500\n  kubernetes: {storage: {size: 500GiB, class: fast}}\n",
    ),
    (
        "folder",
        "registry:\n  address: 10.96.0.50:5000\n  plainHttp: true\n  kubernetes: {storage: {hostPath: /data/registry}, nodeSelector: {kubernetes.io/hostname: n1}}\n",
    ),
    (
        "bucket",
        "registry:\n  address: registry.corp\n  login: {user: ferry, password: {env: REGISTRY_PASSWORD}}\n  kubernetes:\n    replicas: 2\n    storage: {s3: {endpoint: 'http://minio.corp:9000', bucket: images, login: {user: AK, password: {env: S3_KEY}}}}\n    ingress: {issuer: cluster/corp-ca}\n",
    ),
    (
        "balancer",
        "registry:\n  address: 10.0.0.9\n  kubernetes: {storage: {size: 1TiB}, service: LoadBalancer}\n",
    ),
];

#[test]
fn printed_objects_are_what_every_cluster_takes() -> Result<()> {
    let sample = with_registry(401)?;
    let workspace = &sample.workspace;
    let schemas: Vec<(&str, Value)> = SCHEMAS
        .iter()
        .map(|(version, text)| Ok((*version, serde_json::from_str(text)?)))
        .collect::<Result<_>>()?;
    for (name, sections) in SITES {
        let sections = format!("{sections}  folder: .\n");
        write_site(workspace, &sections)?;
        let printed = installer(workspace, &["registry", "manifests", "bundle"]).succeed()?.stdout;
        ensure!(!printed.contains(PASSWORD) && !printed.contains("s3-secret-key"), "{printed}");
        golden(name, &printed.replace(&workspace.path("").display().to_string(), "/site"))?;
        let mut kinds = 0;
        for text in
            printed.split("---\n").filter(|text| !text.trim_start().starts_with('#') && !text.is_empty())
        {
            let object: Value = from_yaml(text)?;
            for (version, schema) in &schemas {
                check_object(schema, &object)
                    .with_context(|| format!("{name}, Kubernetes {version}:\n{text}"))?;
            }
            kinds += 1;
        }
        ensure!(kinds >= 4, "{printed}");
    }
    // The check would see what is wrong.
    for (version, schema) in &schemas {
        let wrong: [Value; 3] = [
            serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "dta": {}}),
            serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "1"}}),
            serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {}}}),
        ];
        for object in wrong {
            ensure!(check_object(schema, &object).is_err(), "{version} takes {object}");
        }
    }
    Ok(())
}

#[test]
fn secrets_are_printed_only_where_that_is_spelled_out() -> Result<()> {
    let sample = with_registry(402)?;
    let workspace = &sample.workspace;
    write_site(workspace, SITES[2].1)?;
    let shown =
        installer(workspace, &["registry", "manifests", "bundle", "--dangerously-show-secrets"]).succeed()?;
    let secret = shown.stdout.split("---\n").find(|text| text.contains("name: registry-s3"));
    let secret: Value = from_yaml(secret.context("the bucket's Secret")?)?;
    let key = base64::engine::general_purpose::STANDARD
        .decode(secret["data"]["password"].as_str().unwrap_or_default())?;
    ensure!(key == b"s3-secret-key", "{secret}");
    Ok(())
}

/// Compares with what was once looked at and found good.
fn golden(name: &str, text: &str) -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/kubernetes/{name}.yaml"));
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&path, text)?;
    }
    let expected = fs::read_to_string(&path)?;
    ensure!(expected == text, "{} is not:\n{text}", path.display());
    Ok(())
}

fn from_yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).with_context(|| text.to_owned())
}

fn marathon_site(workspace: &Workspace, registry: &str, endpoint: &str) -> Result<()> {
    write_site(
        workspace,
        &format!(
            "registry:\n  address: {registry}\n  plainHttp: true\n  folder: registry\n  marathon: {{agent: 192.168.1.80, endpoint: '{endpoint}'}}\n"
        ),
    )
}

#[test]
fn an_app_is_posted_waited_for_and_taken_back() -> Result<()> {
    let sample = with_registry(403)?;
    let workspace = &sample.workspace;
    let (registry, marathon) = (Registry::start(Setup::default()), Marathon::start());
    let run = |arguments: &[&str]| installer(workspace, arguments);
    marathon_site(workspace, &registry.host(), &marathon.endpoint())?;
    run(&["apply", "bundle"]).succeed()?;
    let app = marathon.app("/registry").context("the app")?;
    ensure!(app["container"]["docker"]["image"] == "docker.io/library/registry:2", "{app:#}");
    let written: Value = serde_json::from_slice(&fs::read(workspace.path("docker-registry.json"))?)?;
    ensure!(written["id"] == "/registry");
    let changes = marathon.changes();
    run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!(marathon.changes() == changes, "a second run changed something");

    // Somebody changes it; it is put right, and taking that back brings back what they made of it.
    marathon.edit("/registry", |app| app["mem"] = 64.into());
    let edited = marathon.app("/registry");
    run(&["plan", "bundle"]).succeed()?.prints("\"mem\": 64")?;
    run(&["apply", "bundle"]).succeed()?;
    ensure!(marathon.app("/registry").is_some_and(|app| app["mem"] == 256));
    run(&["rollback"]).succeed()?;
    ensure!(marathon.app("/registry") == edited, "{:?}", marathon.app("/registry"));
    // What others have made of it would not be removed; what the first run has made is.
    marathon.edit("/registry", |app| app["mem"] = 256.into());
    run(&["rollback"]).succeed()?;
    ensure!(marathon.app("/registry").is_none(), "it is still there");
    Ok(())
}

#[test]
fn harbor_gets_the_projects_that_it_lacks() -> Result<()> {
    let sample = with_registry(404)?;
    let workspace = &sample.workspace;
    let harbor = Harbor::start("admin", PASSWORD)?;
    let run = |arguments: &[&str]| installer(workspace, arguments);
    let site = |login: &str| {
        write_site(
            workspace,
            &format!(
                "registry:\n  address: {}\n  plainHttp: true\n{login}  existing: {{publicProjects: true}}\n",
                harbor.host()
            ),
        )
    };
    site("  login: {user: admin, password: {env: REGISTRY_PASSWORD}}\n")?;
    harbor.add_project("library", false);
    // Its name has a wanted one in it.
    harbor.add_project("my-charts", false);
    run(&["plan", "bundle"]).succeed()?.prints("make the public project charts")?;
    run(&["apply", "bundle"]).succeed()?;
    ensure!(harbor.project("charts") == Some(true) && harbor.project("library") == Some(false));
    run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    run(&["rollback"]).succeed()?;
    ensure!(harbor.project("charts").is_none() && harbor.project("library").is_some());

    // One that somebody else has pushed to stays.
    run(&["apply", "bundle"]).succeed()?;
    harbor.push_foreign("charts/theirs")?;
    run(&["rollback"]).run()?.prints("charts/theirs")?;
    ensure!(harbor.project("charts").is_some());
    Ok(())
}

/// sshd on loopback, for one key, with programs of the test in front of the machine's own.
struct Node {
    folder: tempfile::TempDir,
    port: u16,
    daemon: std::process::Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both do nothing to one that has ended.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// containerd's client, as far as images go: an image is a file.
const CTR: &str = r#"#!/bin/sh
store=$(dirname "$0")/images
case "$*" in
  "namespaces ls -q") echo k8s.io;;
  "-n k8s.io images ls -q") ;;
  "-n k8s.io images ls -q name=="*/library/registry:2) if [ -e "$store" ]; then echo it; fi;;
  "-n k8s.io images ls name=="*) echo "REF TYPE DIGEST";;
  "-n k8s.io images import -") cat >"$store.partial" && mv "$store.partial" "$store";;
  "-n k8s.io images rm "*/library/registry:2) rm "$store";;
  *) echo "not expected: $*" >&2; exit 1;;
esac
"#;

impl Node {
    fn start() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for name in ["host", "key"] {
            ferry_tests::parts::ssh_key(&path(name))?;
        }
        fs::copy(path("key.pub"), path("authorized"))?;
        fs::create_dir(path("bin"))?;
        fs::write(path("bin/ctr"), CTR)?;
        fs::set_permissions(path("bin/ctr"), fs::Permissions::from_mode(0o755))?;
        // sshd wants it, and only its package's script makes it.
        fs::create_dir_all("/run/sshd")?;
        let port = ferry_tests::parts::free_port(std::net::Ipv4Addr::LOCALHOST.into())?;
        let daemon = std::process::Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-o", "ListenAddress=127.0.0.1", "-o", "UsePAM=no"])
            .args(["-o", "PermitRootLogin=yes", "-o", "PasswordAuthentication=no", "-o", "StrictModes=no"])
            .args(["-o", "PidFile=none", "-o", &format!("Port={port}")])
            .arg("-o")
            .arg(format!("HostKey={}", path("host").display()))
            .arg("-o")
            .arg(format!("AuthorizedKeysFile={}", path("authorized").display()))
            .arg("-o")
            .arg(format!("SetEnv=PATH={}:/usr/bin:/bin", path("bin").display()))
            .stdin(std::process::Stdio::null())
            .stderr(fs::File::create(path("log"))?)
            .spawn()?;
        let node = Self { folder, port, daemon };
        ferry_tests::parts::wait_for_port(&format!("127.0.0.1:{port}"), std::time::Duration::from_secs(10))?;
        Ok(node)
    }

    /// The site's `nodes`, with the hosts that ssh knows in a file of the test.
    fn section(&self, known: &str) -> Result<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        fs::write(path("known"), known)?;
        Ok(format!(
            "nodes:\n  hosts: [{{name: n1, address: 127.0.0.1}}]\n  ssh: {{user: root, port: {}, identityFile: {}, options: ['UserKnownHostsFile={}', 'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']}}\n",
            self.port,
            path("key"),
            path("known")
        ))
    }

    fn known(&self) -> Result<String> {
        let key = fs::read_to_string(self.folder.path().join("host.pub"))?;
        Ok(format!("[127.0.0.1]:{} {key}", self.port))
    }
}

#[test]
fn a_node_gets_the_registrys_image_through_ssh_and_gives_it_back() -> Result<()> {
    if !ferry_tests::parts::ready(&["root", "ssh", "sshd", "ssh-keygen"]) {
        return Ok(());
    }
    let sample = with_registry(405)?;
    let (workspace, node) = (&sample.workspace, Node::start()?);
    let cluster = ferry_tests::cluster::FakeCluster::start();
    let kubeconfig = cluster.kubeconfig(&workspace.path(""))?;
    let registry = Registry::start(Setup::default());
    let image = format!("{}/library/registry:2", sample.registry.host());
    let site = |known: &str| -> Result<()> {
        write_site(
            workspace,
            &format!(
                "cluster: {{kubeconfig: {}}}\nregistry:\n  address: {}\n  plainHttp: true\n  kubernetes: {{image: '{image}', service: NodePort, storage: {{size: 1GiB}}}}\n{}",
                kubeconfig.display(),
                registry.host(),
                node.section(known)?
            ),
        )
    };
    // A node with a stranger's key is told of, and a registry that no node can run is not made.
    let namespace = "/api/v1/namespaces/ferry-registry";
    let deployment = "/apis/apps/v1/namespaces/ferry-registry/deployments/registry";
    site("")?;
    installer(workspace, &["plan", "bundle"])
        .succeed()?
        .prints("now: node n1: Host key verification failed")?;
    installer(workspace, &["apply", "bundle"]).fail_with(1)?;
    ensure!(cluster.object(namespace).is_some() && cluster.object(deployment).is_none());
    installer(workspace, &["rollback"]).succeed()?;
    site(&node.known()?)?;
    installer(workspace, &["plan", "bundle"]).succeed()?.prints("to node n1")?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    let archive = fs::read(node.folder.path().join("bin/images"))?;
    let mut archive = tar::Archive::new(&archive[..]);
    let names = archive.entries()?.map(|entry| Ok(entry?.path()?.display().to_string()));
    ensure!(names.collect::<Result<Vec<_>>>()?.iter().any(|name| name == "manifest.json"));
    ensure!(cluster.object(deployment).is_some(), "{:?}", cluster.writes());
    let writes = cluster.writes().len();
    installer(workspace, &["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!(cluster.writes().len() == writes, "a second run changed something");
    installer(workspace, &["rollback"]).run()?;
    ensure!(!node.folder.path().join("bin/images").exists(), "the node still has it");
    ensure!(cluster.object(namespace).is_none(), "the cluster still has it");
    Ok(())
}
