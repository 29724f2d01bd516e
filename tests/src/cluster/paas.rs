//! BlueKing's PaaS and node management as far as an installer sees them: the commands of their pods, with the ways of the real ones.
//! `smart_tool` ends with 0 whatever happens; importing Redis entries twice doubles them; files that are no plug-ins are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferry_bundle::smart;
use ferry_model::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::exec::{BROKEN_OFF, Ended};
use super::{FakeCluster, Inner};

/// BlueKing's namespace.
pub const NAMESPACE: &str = "blueking";
/// The password of BlueKing's Redis.
pub const REDIS_PASSWORD: &str = "redis-\"quoted\"-pa55";

/// How PaaS fails, or is another release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaasFault {
    /// `smart_tool` writes this to standard error, and ends with 0.
    SmartTool(String),
    /// `smart_tool` says that the application is there already, unless it is told `--overwrite`.
    AppExists,
    /// `smart_tool` knows the bytes of every package it has taken, and skips them.
    SkipsKnown,
    /// Deployments fail with this.
    Deploy(String),
    /// Deployments fail with an error of the API: it is written, and the command ends with 0.
    DeployApiError,
    /// Django's shell fails: entries cannot be counted.
    NoShell,
    /// The connection breaks while Django's shell runs.
    ShellBreaksOff,
    /// There is no service of Redis entries, whatever it is called.
    NoRedis,
    /// The service of Redis entries has no region in front of its name.
    NoRegions,
    /// So many entries are added, and then the command dies.
    RedisDies(usize),
    /// Variables are refused; the error shows them.
    Variables,
}

/// What PaaS and node management have.
#[derive(Debug, Default)]
pub struct Paas(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    roots: BTreeMap<String, TempDir>,
    commands: Vec<String>,
    faults: BTreeSet<PaasFault>,
    pause: Duration,
    packages: Vec<(String, String)>,
    digests: BTreeSet<Digest>,
    under_way: BTreeSet<String>,
    redis: Vec<Value>,
    variables: BTreeMap<String, String>,
    plugins: Vec<String>,
    leftovers: Vec<String>,
}

impl Paas {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commands of `manage.py` that were run, without scripts: `smart_tool -f …`.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    /// How often a command was run.
    pub fn count(&self, command: &str) -> usize {
        self.state().commands.iter().filter(|known| known.starts_with(command)).count()
    }

    /// Forgets the commands.
    pub fn forget_commands(&self) {
        self.state().commands.clear();
    }

    /// Fails like this from now on.
    pub fn fault(&self, fault: PaasFault) {
        self.state().faults.insert(fault);
    }

    /// Works as it should.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Lets uploads and deployments take this long.
    pub fn slow_down(&self, pause: Duration) {
        self.state().pause = pause;
    }

    /// The packages that were taken: application and version.
    pub fn packages(&self) -> Vec<(String, String)> {
        self.state().packages.clone()
    }

    /// Loses an application, as when somebody deletes it in the Developer Center.
    pub fn lose(&self, app: &str) {
        self.state().packages.retain(|(known, _)| known != app);
    }

    /// The credentials of all Redis entries.
    pub fn redis(&self) -> Vec<Value> {
        self.state().redis.clone()
    }

    /// The variables that were imported for a module: `bk_sops/default`.
    pub fn variables(&self, module: &str) -> Option<String> {
        self.state().variables.get(module).cloned()
    }

    /// Adds Redis entries as BlueKing's own script would, without Ferry.
    pub fn add_redis(&self, count: usize) {
        let credentials = json!({"host": "bk-redis-master.blueking.svc.cluster.local", "port": 6379, "password": REDIS_PASSWORD});
        let entry = json!({"plan": "0shared", "config": {"recyclable": true}, "credentials": credentials});
        self.state().redis.extend(vec![entry; count]);
    }

    /// Leaves a plug-in package in node management's folder, as the script does when it is interrupted.
    pub fn leave_plugin(&self, name: &str) {
        self.state().leftovers.push(name.to_owned());
    }

    /// The plug-in packages that were taken.
    pub fn plugins(&self) -> Vec<String> {
        self.state().plugins.clone()
    }

    /// The files that lie in pods.
    pub fn files(&self) -> Vec<String> {
        let mut folders: Vec<PathBuf> =
            self.state().roots.values().map(|root| root.path().to_owned()).collect();
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push(entry.path().display().to_string());
                }
            }
        }
        files
    }

    pub(super) fn root(&self, pod: &str) -> PathBuf {
        let mut state = self.state();
        let root = state.roots.entry(pod.to_owned());
        root.or_insert_with(|| tempfile::tempdir().expect("a folder can be made")).path().to_owned()
    }

    fn note(&self, arguments: &[String]) {
        let is_script = arguments.first().is_some_and(|command| command == "shell");
        let text = if is_script { "shell".to_owned() } else { arguments.join(" ") };
        self.state().commands.push(text);
    }

    fn has(&self, fault: &PaasFault) -> bool {
        self.state().faults.contains(fault)
    }

    /// What `pick` finds among the faults.
    fn find<T>(&self, pick: impl FnMut(&PaasFault) -> Option<T>) -> Option<T> {
        self.state().faults.iter().find_map(pick)
    }
}

impl FakeCluster {
    /// Installs BlueKing: PaaS's worker, node management, Redis's secret.
    pub fn install_blueking(&self) {
        let deployment = |name: &str| {
            let labels = json!({"app.kubernetes.io/component": name});
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                    "spec": {"containers": [{"name": name, "image": "hub/blueking/it:1"}, {"name": "log", "image": "hub/log:1"}]}}}})
        };
        let password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, REDIS_PASSWORD);
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            deployment("bkpaas3-apiserver-worker"),
            deployment("bk-nodeman-backend-api"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bk-redis", "namespace": NAMESPACE},
                "data": {"redis-password": password}}),
        ];
        for object in objects {
            self.apply_as("helm", &object).expect("the object is good");
        }
    }

    /// What PaaS and node management have.
    pub fn paas(&self) -> &Paas {
        &self.inner.paas
    }

    /// Deploys a module as BlueKing's own script would, without Ferry.
    pub fn deploy(&self, app: &str, module: &str, image: &str) {
        deploy(&self.inner, app, module, "prod", image);
    }
}

fn said(code: i32, stdout: impl Into<String>, stderr: impl Into<String>) -> Ended {
    Ended { code, stdout: stdout.into(), stderr: stderr.into() }
}

/// `python manage.py …`.
pub(super) async fn manage(inner: &Inner, pod: &str, arguments: &[String]) -> Ended {
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let pause = inner.paas.state().pause;
    let file = option("-f").map(PathBuf::from).unwrap_or_default();
    inner.paas.note(arguments);
    let module =
        format!("{}/{}", option("--app-code").unwrap_or_default(), option("--module").unwrap_or_default());
    match arguments.first().map_or("", String::as_str) {
        "smart_tool" if arguments.iter().any(|argument| argument == "--help") => {
            said(0, "usage: manage.py smart_tool [-h] -f FILE_PATH [-u OPERATOR] [--overwrite]\n", "")
        }
        "smart_tool" => {
            tokio::time::sleep(pause).await;
            let is_told = arguments.iter().any(|argument| argument == "--overwrite");
            smart_tool(&inner.paas, &file, is_told)
        }
        "deploy_bkapp" => {
            if !inner.paas.state().under_way.insert(module.clone()) {
                return said(1, "", "CommandError: 部署失败，已有部署任务进行中，请刷新查看❌\n");
            }
            tokio::time::sleep(pause).await;
            let (environment, revision) =
                (option("--env").unwrap_or_default(), option("--revision").unwrap_or_default());
            let ended = deploy_bkapp(inner, &module, environment, revision);
            inner.paas.state().under_way.remove(&module);
            ended
        }
        "import_pre_created_instance" => {
            import_redis(&inner.paas, &file, option("--service").unwrap_or_default())
        }
        "import_configvars" => import_variables(&inner.paas, &file, module),
        "shell" => shell(&inner.paas, option("-c").unwrap_or_default()),
        "init_official_plugins" => init_plugins(&inner.paas, &inner.paas.root(pod).join("official_plugin")),
        other => said(1, "", format!("Unknown command: '{other}'\n")),
    }
}

fn smart_tool(paas: &Paas, file: &std::path::Path, is_told: bool) -> Ended {
    let Ok(bytes) = fs::read(file) else {
        return said(0, "", "command error\nFileNotFoundError: [Errno 2] No such file or directory\n");
    };
    let message = |fault: &PaasFault| match fault {
        PaasFault::SmartTool(message) => Some(message.clone()),
        _ => None,
    };
    if let Some(message) = paas.find(message) {
        return said(0, "", format!("command error\nTraceback (most recent call last):\n{message}\n"));
    }
    if paas.has(&PaasFault::AppExists) && !is_told {
        return said(0, "", "<class 'blue_krill.web.std_error.APIError'>: 应用ID: bk_sops 的应用已存在\n");
    }
    let package = match File::open(file).map(smart::read) {
        Ok(Ok(package)) => package,
        other => return said(0, "", format!("<class 'DescriptionValidationError'>: {other:?}\n")),
    };
    let skips = paas.has(&PaasFault::SkipsKnown);
    let mut state = paas.state();
    if !state.digests.insert(Digest::of(&bytes)) && skips {
        return said(0, "", "S-Mart package already uploaded, skip！\n");
    }
    state.packages.push((package.app_code, package.version));
    said(0, "\u{1b}[0;33m上传镜像层\u{1b}[0m\nFinish！\n", "")
}

fn deploy_bkapp(inner: &Inner, module: &str, environment: &str, revision: &str) -> Ended {
    let (app, module) = module.split_once('/').unwrap_or_default();
    let (kind, version) = revision.split_once(':').unwrap_or_default();
    let packages = inner.paas.packages();
    if !packages.iter().any(|(known, _)| known == app) {
        return said(1, "", "CommandError: Application matching query does not exist.\n");
    }
    if !packages.contains(&(app.to_owned(), version.to_owned())) {
        return said(1, "", format!("CommandError: 部署失败, 版本 {version} 不存在❌\n"));
    }
    if inner.paas.has(&PaasFault::DeployApiError) {
        return said(0, "", "<class 'blue_krill.web.std_error.APIError'>: 频道不存在\n");
    }
    let message = |fault: &PaasFault| match fault {
        PaasFault::Deploy(message) => Some(message.clone()),
        _ => None,
    };
    let begin = "---------------------------------\n- 正在部署⌛\n---------------------------------\n";
    if let Some(message) = inner.paas.find(message) {
        return said(1, begin, format!("CommandError: 部署失败, {message}❌\n"));
    }
    let image = match kind {
        "image" => format!("docker.bkce7.example.com/bkpaas/docker/{app}/{module}:{version}"),
        _ => "hub/blueking/slug-app:v1.1.0".to_owned(),
    };
    deploy(inner, app, module, environment, &image);
    said(0, format!("{begin}- 部署成功✅\n"), "")
}

fn deploy(inner: &Inner, app: &str, module: &str, environment: &str, image: &str) {
    let middle = if module == "default" { String::new() } else { format!("-m-{module}") };
    let namespace = format!("bkapp-{app}{middle}-{environment}").replace('_', "0us0");
    let labels = json!({"app": format!("{app}-{module}")});
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": image}]}}}}),
    ];
    for object in objects {
        inner.store().apply_by("paas", &object).expect("the object is good");
    }
}

fn import_redis(paas: &Paas, file: &std::path::Path, service: &str) -> Ended {
    let name = match () {
        () if paas.has(&PaasFault::NoRedis) => "default:mysql",
        () if paas.has(&PaasFault::NoRegions) => "redis",
        () => "default:redis",
    };
    if service != name {
        return said(
            2,
            "",
            format!("error: argument --service: invalid choice: '{service}' (choose from '{name}')\n"),
        );
    }
    let text = fs::read_to_string(file).unwrap_or_default();
    let dies = paas.find(|fault| match fault {
        PaasFault::RedisDies(count) => Some(*count),
        _ => None,
    });
    for (number, document) in text.split("---\n").enumerate() {
        if dies == Some(number) {
            return said(
                1,
                "",
                format!("django.db.utils.OperationalError: lost connection while inserting {document}\n"),
            );
        }
        let Ok(entry) = serde_saphyr::from_str::<BTreeMap<String, String>>(document) else {
            return said(1, "", format!("yaml.scanner.ScannerError: {document}\n"));
        };
        let json = |key: &str| entry.get(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let (Some(config), Some(credentials), Some(plan)) =
            (json("config"), json("credentials"), entry.get("plan"))
        else {
            return said(1, "", "rest_framework.exceptions.ValidationError\n");
        };
        paas.state().redis.push(json!({"plan": plan, "config": config, "credentials": credentials}));
    }
    said(0, "", "")
}

fn import_variables(paas: &Paas, file: &std::path::Path, module: String) -> Ended {
    let text = fs::read_to_string(file).unwrap_or_default();
    if paas.has(&PaasFault::Variables) {
        return said(1, "", format!("ValidationError: invalid file: {text}\n"));
    }
    paas.state().variables.insert(module, text);
    said(0, "Successfully created 1 environment variables and overwrote 0 environment variables\n", "")
}

/// Counts entries, for the one script that is known.
fn shell(paas: &Paas, script: &str) -> Ended {
    if paas.has(&PaasFault::ShellBreaksOff) {
        return said(BROKEN_OFF, "", "");
    }
    if paas.has(&PaasFault::NoShell) || !script.contains("PreCreatedInstance") {
        return said(1, "", "Traceback (most recent call last):\nStopIteration\n");
    }
    // plan__name="0shared", and at the end count(("host", "6379")).
    let first = |text: &str| {
        let mut literals = serde_json::Deserializer::from_str(text).into_iter::<String>();
        literals.next().and_then(Result::ok).unwrap_or_default()
    };
    let behind = |word: &str| script.split_once(word).map_or("", |(_, rest)| rest);
    let plan = first(behind("plan__name="));
    let (host, port) = behind("servers.count((").split_once(", ").unwrap_or_default();
    let (host, port) = (first(host), first(port));
    let is_it = |entry: &&Value| {
        let credentials = &entry["credentials"];
        entry["plan"] == plan
            && credentials["host"] == host
            && credentials["port"].as_u64() == port.parse().ok()
    };
    let count = paas.state().redis.iter().filter(is_it).count();
    said(0, format!("some warning of Django's\nferry counted {count}\n"), "")
}

/// Takes all archives in the folder and below it, and says so of each.
fn init_plugins(paas: &Paas, folder: &std::path::Path) -> Ended {
    let mut text = String::new();
    let mut taken = paas.state().leftovers.clone();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_archive = fs::read(entry.path()).is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]));
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if is_archive {
                taken.push(entry.path().display().to_string());
            }
        }
    }
    for path in &taken {
        let name = path.rsplit('/').next().unwrap_or(path);
        paas.state().plugins.push(name.to_owned());
        // A deployment's log is JSON.
        text.push_str(&format!("{{\"message\": \"apps/init.py | file->[{path}] import success for packages->[['{name}->1.0->x86_64->linux']]\"}}\n"));
    }
    let (path, count) = (folder.display(), taken.len());
    text.push_str(&format!(
        "{{\"message\": \"all package under path->[{path}] is import success, file_count->[{count}] package_count->[{count}]\"}}\n"
    ));
    said(0, text, "")
}
