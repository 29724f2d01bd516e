//! Objects of a cluster, through the engine: made, changed, left alone, taken back. Against the API server in this process, and
//! with `cargo xtask test --cluster`, against a real one, and against the cluster that `FERRY_TEST_KUBECONFIG` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_installer::apply::apply;
use ferry_installer::cluster::Target;
use ferry_installer::context::Context;
use ferry_installer::desire::Desire;
use ferry_installer::journal::{Progress, RunFolder, StepState};
use ferry_installer::observe::observe;
use ferry_installer::plan::plan;
use ferry_installer::rollback::rollback;
use ferry_installer::site::SiteFile;
use ferry_model::Digest;
use ferry_model::event::Events;
use ferry_model::failure::Class;
use ferry_model::plan::{Action, Desired, Identity, Object, Plan, Resource, Rollout};
use ferry_model::report::Failed;
use ferry_model::site::{Login, Node, SecretSource};
use ferry_tests::cluster::{FakeCluster, Fate, Peer};
use ferry_tests::parts::{ApiServer, wait_until};
use ferry_tests::workspace::Workspace;
use ferry_transfer::Options;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const PASSWORD: &str = "the-password-of-the-test";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nof the test\n";

/// A site with a cluster.
struct Ground {
    workspace: Workspace,
    kubeconfig: PathBuf,
    namespace: String,
    runtime: Runtime,
}

/// How a run came out: the plan, and the failures by summary.
struct Outcome {
    plan: Plan,
    failures: Vec<(String, Failed)>,
}

impl Outcome {
    fn actions(&self) -> Vec<(Action, String)> {
        let name =
            |id: &str| id.trim_start_matches("object ").split(' ').next().unwrap_or_default().to_owned();
        self.plan.steps.iter().map(|step| (step.action, name(step.resource.id().as_str()))).collect()
    }
}

impl Ground {
    fn new(kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
        let workspace = Workspace::new()?;
        workspace.write("site.yaml", "apiVersion: ferry/v1\nkind: Site\nname: dc1\n")?;
        workspace.write("password", PASSWORD)?;
        workspace.write("tls.key", KEY)?;
        let kubeconfig = kubeconfig(&workspace.path(""))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { workspace, kubeconfig, namespace: format!("ferry-test-{}", std::process::id()), runtime })
    }

    fn fake() -> Result<(FakeCluster, Self)> {
        let cluster = FakeCluster::start();
        let ground = Self::new(|folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    fn target(&self) -> Target {
        Target { kubeconfig: Some(self.kubeconfig.clone()), context: None }
    }

    fn context(&self) -> Result<Context> {
        let site = SiteFile::read(&self.workspace.path("site.yaml"))?;
        Ok(Context::new(site, None, Options::default(), Events::none()))
    }

    fn object(&self, manifest: &Value) -> Object {
        let object = json!({"kubeconfig": self.kubeconfig, "manifest": manifest});
        serde_json::from_value(object).expect("an object needs no more than its manifest")
    }

    #[expect(clippy::needless_pass_by_value, reason = "manifests are written in place")]
    fn resource(&self, manifest: Value) -> Resource {
        Resource::new(Desired::Object(self.object(&manifest)), "the test wants it")
    }

    fn namespace(&self) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}))
    }

    fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.namespace, "labels": {"app.kubernetes.io/managed-by": "ferry"}})
    }

    fn config_map(&self, text: &str) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata("config"),
            "data": {"config.yml": text}}))
    }

    fn secret(&self) -> Resource {
        let mut object =
            self.object(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": self.metadata("secret")}));
        object.data_files.insert("tls.key".into(), self.workspace.path("tls.key"));
        let login = Login { user: "pusher".into(), password: SecretSource::File("password".into()) };
        object.data_logins.insert("htpasswd".into(), login);
        Resource::new(Desired::Object(object), "the registry asks for a password")
    }

    fn deployment(&self, seconds: u32) -> Resource {
        self.resource(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata("registry"),
            "spec": {"replicas": 1, "progressDeadlineSeconds": seconds,
                "selector": {"matchLabels": {"app": "registry"}},
                "template": {"metadata": {"labels": {"app": "registry"}}, "spec": {
                    "containers": [{"name": "registry", "image": "registry:2", "ports": [{"containerPort": 5000}],
                        "resources": {"requests": {"memory": "1024Mi"}},
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/docker/registry"}]}],
                    "volumes": [{"name": "config", "configMap": {"name": "config"}}]}}}}))
    }

    fn service(&self) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "Service", "metadata": self.metadata("registry"),
            "spec": {"selector": {"app": "registry"}, "ports": [{"name": "registry", "port": 5000, "protocol": "TCP"}]}}))
    }

    /// All kinds, in each other's way as a registry's are.
    fn registry(&self, config: &str) -> Vec<Resource> {
        let namespace = self.namespace();
        let inside = [namespace.id()];
        let (config, secret) =
            (self.config_map(config).after(inside.clone()), self.secret().after(inside.clone()));
        let deployment = self.deployment(600).following([config.id(), secret.id()]);
        let service = self.service().after(inside);
        vec![namespace, config, secret, deployment, service]
    }

    fn rollout(&self) -> Resource {
        let rollout = Rollout {
            kubeconfig: Some(self.kubeconfig.clone()),
            context: None,
            namespace: self.namespace.clone(),
            name: "registry".into(),
        };
        Resource::new(Desired::Rollout(rollout), "images are pushed to it next")
    }

    fn plan(&self, resources: &[Resource]) -> Result<Plan> {
        let context = self.context()?;
        let identity = Identity {
            bundle: "demo".parse()?,
            version: "1".parse()?,
            catalog: Digest::of(b"catalog"),
            site: "dc1".parse()?,
            site_file: context.site.digest,
        };
        let desire = Desire { resources: resources.to_vec(), ..Desire::default() };
        let observed = self.runtime.block_on(observe(&context, &desire.resources));
        Ok(plan(identity, &desire, &observed)?)
    }

    fn apply(&self, resources: &[Resource]) -> Result<Outcome> {
        let (plan, context) = (self.plan(resources)?, self.context()?);
        let (run, journal) = RunFolder::begin(&context.site.state_folder(), &plan, &[])?;
        self.runtime.block_on(apply(&context, &plan, &run, &journal, &Progress::default()))?;
        let progress = run.progress()?;
        let failures = plan.steps.iter().filter_map(|step| match &progress.steps.get(&step.id)?.state {
            StepState::Failed(failed) => Some((step.summary.clone(), failed.clone())),
            _ => None,
        });
        let failures = failures.collect();
        Ok(Outcome { plan, failures })
    }

    /// Takes back the run with this number. Gives what stays, and why.
    fn take_back(&self, number: &str) -> Result<Vec<String>> {
        let context = self.context()?;
        let run = RunFolder::find(&context.site.state_folder(), Some(number))?.context("it was run")?;
        let (plan, journal, progress) = (run.plan()?, run.journal()?, run.progress()?);
        self.runtime.block_on(rollback(&context, &plan, &run, &journal, &progress))?;
        let left = run.progress()?.steps.into_values().filter_map(|step| match step.state {
            StepState::Left(reason) => Some(reason),
            _ => None,
        });
        Ok(left.collect())
    }

    fn value(&self, secret: &str, key: &str) -> Result<Vec<u8>, Failed> {
        self.runtime.block_on(self.target().secret(&self.namespace, secret, key))
    }
}

fn all(action: Action) -> Vec<(Action, String)> {
    ["Namespace", "ConfigMap", "Secret", "Deployment", "Service"].map(|kind| (action, kind.to_owned())).into()
}

/// Makes everything, changes one thing, takes the change back. Leaves the namespace with its objects there.
fn make_and_change(ground: &Ground, writes: impl Fn() -> usize) -> Result<()> {
    let made = ground.apply(&ground.registry("log: {level: info}\n"))?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    ensure!(made.actions() == all(Action::Create), "{:?}", made.actions());
    ensure!(ground.value("secret", "tls.key")? == KEY.as_bytes());
    let line = String::from_utf8(ground.value("secret", "htpasswd")?)?;
    ensure!(line.starts_with("pusher:$2y$") && line.ends_with('\n'), "{line}");

    let before = writes();
    let again = ground.plan(&ground.registry("log: {level: info}\n"))?;
    ensure!(again.steps.is_empty() && writes() == before, "{:?}", again.steps);

    let changed = ground.apply(&ground.registry("log: {level: debug}\n"))?;
    ensure!(changed.failures.is_empty(), "{:?}", changed.failures);
    let expected = [(Action::Update, "ConfigMap".to_owned()), (Action::Restart, "Deployment".to_owned())];
    ensure!(changed.actions() == expected, "{:?}", changed.actions());
    let diff = changed.plan.steps[0].diff.as_deref().unwrap_or_default();
    let lines: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-'])).skip(2).collect();
    ensure!(lines.len() == 2 && lines[0].contains("info") && lines[1].contains("debug"), "{diff}");
    ensure!(ground.plan(&ground.registry("log: {level: debug}\n"))?.steps.is_empty());

    let left = ground.take_back("2")?;
    ensure!(left.is_empty(), "{left:?}");
    let back = ground.plan(&ground.registry("log: {level: info}\n"))?;
    ensure!(back.steps.is_empty(), "{:?}", back.steps);
    ensure!(ground.value("secret", "htpasswd")? == line.as_bytes(), "the hash was made anew");

    let written = ground.workspace.written()?;
    ensure!(written.contains("Secret") && !written.contains(PASSWORD), "the password was written down");
    ensure!(!written.contains("$2y$") && !written.contains("PRIVATE KEY"), "a secret was written down");
    Ok(())
}

/// What puts a pod on each node, as reviewers have seen it: the server takes it whole, and has nothing to add that would count.
fn put_pods_on_nodes(ground: &Ground) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installer/src/fleet/pods/golden.yaml");
    let text = fs::read_to_string(&file).context("the installer's tests keep it")?;
    let parts = text.split("---\n").filter(|part| !part.is_empty());
    let mut manifests = parts.map(serde_saphyr::from_str).collect::<Result<Vec<Value>, _>>()?;
    manifests[0]["metadata"]["name"] = json!(ground.namespace);
    manifests[1]["metadata"]["namespace"] = json!(ground.namespace);
    let mut resources: Vec<Resource> =
        manifests.into_iter().map(|manifest| ground.resource(manifest)).collect();
    let namespace = resources[0].id();
    resources[1].needs.push(namespace);
    let made = ground.apply(&resources)?;
    ensure!(made.failures.is_empty() && made.plan.steps.len() == 2, "{:?}", made.failures);
    let again = ground.plan(&resources)?;
    ensure!(again.steps.is_empty(), "{:?}", again.steps);
    Ok(())
}

#[test]
fn pods_are_put_on_nodes() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    put_pods_on_nodes(&ground)?;
    let left = ground.take_back("1")?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn objects_are_made_changed_and_taken_back() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    make_and_change(&ground, || cluster.writes().len())?;
    let left = ground.take_back("1")?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn secrets_are_taken_back_whatever_the_password_is_by_then() -> Result<()> {
    let is_gone = |cluster: &FakeCluster, ground: &Ground| {
        cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none()
    };
    for password in [Some("rotated-since"), None] {
        let (cluster, ground) = Ground::fake()?;
        let made = ground.apply(&[ground.namespace(), ground.secret().after([ground.namespace().id()])])?;
        ensure!(made.failures.is_empty(), "{:?}", made.failures);
        match password {
            Some(password) => drop(ground.workspace.write("password", password)?),
            None => {
                fs::remove_file(ground.workspace.path("password"))?;
                fs::remove_file(ground.workspace.path("tls.key"))?;
            }
        }
        let left = ground.take_back("1")?;
        ensure!(left.is_empty() && is_gone(&cluster, &ground), "{password:?}: {left:?}");
    }

    // What somebody else has put there is theirs, with the same password too.
    let (cluster, ground) = Ground::fake()?;
    ground.apply(&[ground.namespace(), ground.secret().after([ground.namespace().id()])])?;
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": ground.metadata("secret"),
            "data": {"tls.key": "dGhlaXJz"}}),
    )?;
    let left = ground.take_back("1")?;
    ensure!(left.iter().any(|reason| reason.contains("changed by somebody else")), "{left:?}");
    ensure!(ground.value("secret", "tls.key")? == b"theirs");
    Ok(())
}

#[test]
fn objects_are_made_and_changed_on_the_cluster_at_hand() -> Result<()> {
    let Some(kubeconfig) = std::env::var_os("FERRY_TEST_KUBECONFIG") else {
        println!("SKIPPED: FERRY_TEST_KUBECONFIG names no cluster");
        return Ok(());
    };
    let ground = Ground::new(|_| Ok(fs::canonicalize(kubeconfig)?))?;
    let outcome = make_and_change(&ground, || 0);
    // Where no controllers run, a namespace is never quite gone.
    let left = ground.take_back("1")?;
    ensure!(left.iter().all(|reason| reason.contains("is being removed")), "{left:?}");
    outcome
}

/// One server, with a namespace for each: starting it takes longer than the tests.
#[test]
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = |name: &str, kubeconfig: PathBuf| {
        Ground::new(|_| Ok(kubeconfig))
            .map(|ground| Ground { namespace: format!("ferry-test-{name}"), ..ground })
    };
    for (name, kubeconfig) in
        [("certificate", server.kubeconfig()?), ("token", server.kubeconfig_with_token()?)]
    {
        let ground = ground(name, kubeconfig)?;
        make_and_change(&ground, || 0)?;
        take_all_back(&server, &ground)?;
    }
    take_up_a_changed_configuration(&server, &ground("configuration", server.kubeconfig()?)?)?;
    leave_what_others_manage(&server, &ground("others", server.kubeconfig()?)?)?;
    wait_for_a_rollout(&server, &ground("rollout", server.kubeconfig()?)?)?;
    put_pods_on_nodes(&ground("node-pods", server.kubeconfig()?)?)?;

    start_with_what_is_there(&server)?;

    let nobody = ground("nobody", server.kubeconfig_of_nobody()?)?;
    let denied = nobody.value("secret", "tls.key").err().context("it must fail")?;
    ensure!(denied.class == Class::Denied && denied.message.contains("secrets"), "{denied:?}");
    ensure!(denied.message.contains("ferry-test-nobody") && denied.message.contains("get"), "{denied:?}");
    let refused = nobody.plan(&nobody.registry("a: b\n")).err().context("nobody may look")?;
    ensure!(refused.to_string().contains("namespaces"), "{refused:?}");
    say_which_right_is_missing(&server, &ground("few-rights", server.kubeconfig_of_nobody()?)?)
}

/// No controller is there: the test lets the namespace go when all in it is gone, as one would.
fn take_all_back(server: &ApiServer, ground: &Ground) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}", ground.namespace);
    let left = std::thread::scope(|scope| {
        let played = scope.spawn(|| -> Result<()> {
            let is_going = || matches!(server.object(&path), Ok(Some(live)) if live["metadata"]["deletionTimestamp"].is_string());
            wait_until(Duration::from_secs(60), "the namespace is not being removed", is_going)?;
            let mut live = server.object(&path)?.context("it waits for its finalizer")?;
            live["spec"]["finalizers"] = json!([]);
            server.replace(&format!("{path}/finalize"), &live)
        });
        let left = ground.take_back("1");
        played.join().map_err(|_| anyhow::anyhow!("the player gave up"))??;
        left
    })?;
    ensure!(left.is_empty(), "{left:?}");
    for object in ["configmaps/config", "secrets/secret", "services/registry"] {
        ensure!(server.object(&format!("{path}/{object}"))?.is_none(), "{object} is still there");
    }
    ensure!(server.object(&path)?.is_none(), "the namespace is still there");
    Ok(())
}

/// The site file that `init` writes knows the cluster and its nodes.
fn start_with_what_is_there(server: &ApiServer) -> Result<()> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}});
    server.apply_as("kubelet", &node)?;
    let mut live = server.object("/api/v1/nodes/node1")?.context("it was made")?;
    live["status"]["addresses"] =
        json!([{"type": "Hostname", "address": "node1"}, {"type": "InternalIP", "address": "10.77.0.11"}]);
    server.replace("/api/v1/nodes/node1/status", &live)?;

    let workspace = Workspace::new()?;
    for kubeconfig in [server.kubeconfig()?, server.kubeconfig_with_token()?] {
        let name = kubeconfig.file_name().and_then(|name| name.to_str()).context("it has a name")?;
        let to = workspace.path(&format!("{name}.yaml"));
        let arguments = [Path::new("init"), Path::new("--kubeconfig"), &kubeconfig, Path::new("-o"), &to];
        workspace.installer().args(arguments).succeed()?;
        let text = fs::read_to_string(&to)?;
        ensure!(text.contains(&format!("Kubernetes {}", ferry_tests::cluster::VERSION)), "{text}");
        let site = SiteFile::read(&to)?.site;
        let address = |host: &Node| host.address.as_ref().map(ToString::to_string);
        let hosts: Vec<_> =
            site.nodes.hosts.iter().map(|host| (host.name.to_string(), address(host))).collect();
        ensure!(hosts == [("node1".to_owned(), Some("10.77.0.11".to_owned()))], "{hosts:?}");
        let named = site.cluster.and_then(|cluster| cluster.kubeconfig);
        ensure!(named.as_ref() == Some(&kubeconfig), "{named:?}");
    }
    Ok(())
}

/// Somebody who may make some things and not others makes those, and is told of the others who may not do what, and where.
fn say_which_right_is_missing(server: &ApiServer, ground: &Ground) -> Result<()> {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let rules = [
        rule(&[""], &["namespaces", "configmaps"], &["get", "create", "patch"]),
        rule(&["", "apps"], &["secrets", "services", "deployments"], &["get"]),
    ];
    server.apply_as(
        "ops",
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "few-rights"}, "rules": rules}),
    )?;
    server.apply_as(
        "ops",
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "few-rights"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "few-rights"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}]}),
    )?;
    let may =
        || ground.runtime.block_on(async { ground.target().secret(&ground.namespace, "none", "a").await });
    wait_until(Duration::from_secs(20), "the rights do not arrive", || {
        may().is_err_and(|failed| failed.class == Class::NotFound)
    })?;

    let outcome = ground.apply(&ground.registry("a: b\n"))?;
    for kind in ["secrets", "services"] {
        let what = format!(
            "User \"nobody\" cannot patch resource \"{kind}\" in API group \"\" in the namespace \"{}\"",
            ground.namespace
        );
        let (_, failed) = outcome
            .failures
            .iter()
            .find(|(_, failed)| failed.message.contains(&what))
            .with_context(|| what.clone())?;
        ensure!(failed.class == Class::Denied, "{failed:?}");
        ensure!(failed.hints.iter().any(|hint| hint.contains("administrator")), "{failed:?}");
    }
    ensure!(outcome.failures.len() == 2, "{:?}", outcome.failures);
    let path = format!("/api/v1/namespaces/{}", ground.namespace);
    ensure!(server.object(&format!("{path}/configmaps/config"))?.is_some(), "what is allowed was not done");
    ensure!(server.object(&format!("{path}/secrets/secret"))?.is_none());
    Ok(())
}

/// No controller is there: the test says of the Deployment what one would.
fn wait_for_a_rollout(server: &ApiServer, ground: &Ground) -> Result<()> {
    let namespace = ground.namespace();
    let deployment = ground.deployment(600).after([namespace.id()]);
    let rollout = ground.rollout().after([deployment.id()]);
    let resources = [namespace, deployment, rollout];
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/registry", ground.namespace);
    let outcome = std::thread::scope(|scope| {
        let played = scope.spawn(|| -> Result<()> {
            wait_until(Duration::from_secs(60), "no Deployment", || {
                matches!(server.object(&path), Ok(Some(_)))
            })?;
            let mut live = server.object(&path)?.context("it is there")?;
            live["status"] = json!({"observedGeneration": live["metadata"]["generation"], "replicas": 1,
                "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
                "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]});
            server.replace(&format!("{path}/status"), &live)
        });
        let outcome = ground.apply(&resources);
        played.join().map_err(|_| anyhow::anyhow!("the player gave up"))??;
        outcome
    })?;
    ensure!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    ensure!(ground.plan(&resources)?.steps.is_empty(), "it has rolled out");
    Ok(())
}

#[test]
fn pods_take_up_a_changed_configuration() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    take_up_a_changed_configuration(&cluster, &ground)
}

fn take_up_a_changed_configuration(cluster: &impl Peer, ground: &Ground) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/registry", ground.namespace);
    let template =
        || Ok::<_, anyhow::Error>(cluster.object(&path)?.context("it is there")?["spec"]["template"].clone());
    ground.apply(&ground.registry("a: 1\n"))?;
    let first = template()?;
    ground.apply(&ground.registry("a: 2\n"))?;
    let second = template()?;
    ensure!(first != second, "its pods run on with the old configuration: {second}");
    ensure!(ground.take_back("2")?.is_empty() && template()? == first, "not as it was");
    Ok(())
}

#[test]
fn what_others_manage_is_left_to_them() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    leave_what_others_manage(&cluster, &ground)
}

fn leave_what_others_manage(cluster: &impl Peer, ground: &Ground) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}/configmaps/config", ground.namespace);
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.namespace}}),
    )?;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": ground.namespace}, "data": {"config.yml": "theirs", "more": "1"}});
    cluster.apply_as("argocd-controller", &theirs)?;
    let before = cluster.object(&path)?;

    let refused = ground.apply(&[ground.config_map("ours")])?;
    let (_, failed) = refused.failures.first().context("it must be refused")?;
    ensure!(failed.class == Class::Denied, "{failed}");
    ensure!(failed.message.contains("argocd-controller manages data.config.yml"), "{failed}");
    ensure!(cluster.object(&path)? == before, "it was changed");
    ensure!(ground.take_back("1")?.is_empty() && cluster.object(&path)? == before);

    // Handed over by its label, it is taken, and given back as it was.
    let mut handed_over = theirs.clone();
    handed_over["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "ferry"});
    cluster.apply_as("argocd-controller", &handed_over)?;
    let taken = ground.apply(&[ground.config_map("ours")])?;
    ensure!(taken.failures.is_empty(), "{:?}", taken.failures);
    let live = cluster.object(&path)?.context("it is there")?;
    ensure!(live["data"] == json!({"config.yml": "ours", "more": "1"}), "{live}");
    ensure!(ground.take_back("2")?.is_empty());
    let live = cluster.object(&path)?.context("it is there")?;
    ensure!(live["data"] == theirs["data"], "{live}");
    Ok(())
}

#[test]
fn what_others_made_is_not_removed() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let made = ground.apply(&ground.registry("a: b\n"))?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    let theirs = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "backup", "namespace": ground.namespace}});
    cluster.apply_as("kubectl", &theirs)?;
    let left = ground.take_back("1")?;
    ensure!(left.len() == 1 && left[0].contains("Job backup"), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_some());
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}/services/registry", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn claims_are_bound_and_removed_when_no_pod_uses_them() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let namespace = ground.namespace();
    let claim = ground
        .resource(
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": ground.metadata("images"),
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20480Mi"}}}}),
        )
        .after([namespace.id()]);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": ground.metadata("once"), "spec": {"a": 1}});
    let job = ground.resource(job).after([namespace.id()]);
    let resources = [namespace, claim, job];
    let made = ground.apply(&resources)?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    ensure!(made.plan.steps[1].undo.contains("all images"), "{}", made.plan.steps[1].undo);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims/images", ground.namespace);
    let live = cluster.object(&path).context("it is there")?;
    ensure!(live["status"]["phase"] == "Bound", "{live}");
    ensure!(ground.plan(&resources)?.steps.is_empty(), "what a controller adds is no difference");
    ensure!(ground.take_back("1")?.is_empty() && cluster.object(&path).is_none());
    Ok(())
}

#[test]
fn a_rollout_that_fails_is_explained_by_its_pods() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let namespace = ground.namespace();
    let deployment = ground.deployment(1).after([namespace.id()]);
    let rollout = ground.rollout().after([deployment.id()]);
    let resources = [namespace, deployment, rollout];
    for (number, (fate, expected)) in [
        (
            Fate::Waits("ImagePullBackOff".into(), "Back-off pulling image \"registry:2\"".into()),
            "ImagePullBackOff (Back-off pulling image \"registry:2\")",
        ),
        (
            Fate::Crashes("no such file: config.yml".into()),
            "it last ended with 1 Error: no such file: config.yml",
        ),
        (
            Fate::NoNode("0/3 nodes are available".into()),
            "has no node: Unschedulable (0/3 nodes are available)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.set_fate(fate);
        let outcome = ground.apply(&resources)?;
        let (summary, failed) = outcome.failures.first().context("it must fail")?;
        ensure!(summary.contains("are ready") && outcome.failures.len() == 1, "{:?}", outcome.failures);
        ensure!(failed.message.contains(expected), "{failed}");
        ensure!(
            failed.hints.iter().any(|hint| hint.contains("logs deployment/registry")),
            "{:?}",
            failed.hints
        );
        let left = ground.take_back(&format!("{}", number + 1))?;
        ensure!(left.is_empty(), "{left:?}");
    }
    cluster.set_fate(Fate::Ready);
    let outcome = ground.apply(&resources)?;
    ensure!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    ensure!(ground.plan(&resources)?.steps.is_empty());
    Ok(())
}

#[test]
fn a_cluster_says_what_it_is_like() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let service = |name: &str, port: u16| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "kube-system",
            "labels": {"app.kubernetes.io/instance": "ingress-nginx"}}, "spec": {"ports": [{"port": port}]}})
    };
    cluster.apply_as("helm", &service("a-webhook", 443))?;
    cluster.apply_as("helm", &service("controller", 80))?;
    let summary = ground.runtime.block_on(async { ground.target().connect().await?.summary().await })?;
    ensure!(summary.version == ferry_tests::cluster::VERSION, "{summary:?}");
    let node = summary.nodes.first().context("there is a node")?;
    ensure!(node.name == "node1" && node.addresses == ["10.77.0.11"] && node.roles == ["master"], "{node:?}");
    ensure!(node.runtime == "docker://19.3.15" && node.ready, "{node:?}");
    let controller = cluster.object("/api/v1/namespaces/kube-system/services/controller").context("there")?;
    ensure!(summary.ingress.as_deref() == controller["spec"]["clusterIP"].as_str(), "{summary:?}");
    Ok(())
}

#[test]
fn trouble_names_the_kubeconfig_and_what_to_do() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let missing = ground.value("none", "password").err().context("it must fail")?;
    ensure!(missing.class == Class::NotFound && missing.message.contains("/none"), "{missing}");
    let config = ground.kubeconfig.display().to_string();
    ensure!(
        missing.message.contains(&config) && missing.hints[0].contains("kubectl --kubeconfig"),
        "{missing:?}"
    );

    cluster.kubeconfig_with(&ground.workspace.path(""), "another")?;
    let denied = ground.value("none", "password").err().context("it must fail")?;
    ensure!(denied.class == Class::Denied && denied.message.contains(&config), "{denied:?}");
    ensure!(denied.hints.iter().any(|hint| hint.contains("token")), "{denied:?}");

    drop(cluster);
    let gone = ground.value("none", "password").err().context("it must fail")?;
    ensure!(gone.class == Class::Transient && gone.message.contains(&config), "{gone:?}");
    ensure!(gone.message.contains("refused"), "{gone:?}");
    Ok(())
}
