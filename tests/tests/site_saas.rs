//! SaaS, Redis entries and agent plug-ins through BlueKing's PaaS: the whole program against a cluster whose pods run PaaS's commands.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use ferry_tests::cluster::{FakeCluster, NAMESPACE, PaasFault, REDIS_PASSWORD};
use ferry_tests::corpus::{Mark, gzip, smart_package_of};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::{Workspace, plain_http};
use rustix::process::Signal;
use serde_json::{Value, json};

const IMAGE: Mark = Some("slug-layers");
const SOPS: [&str; 3] = ["api", "callback", "pipeline"];
const RECORD: &str = "/api/v1/namespaces/blueking/configmaps/ferry-installer";

/// BlueKing, and a bundle with bk_itsm (one module), bk_sops (four) and agent plug-ins.
struct Ground {
    workspace: Workspace,
    cluster: FakeCluster,
    files: Files,
}

impl Ground {
    fn new() -> Result<Self> {
        let (workspace, cluster) = (Workspace::new()?, FakeCluster::start());
        cluster.kubeconfig(&workspace.path(""))?;
        cluster.install_blueking();
        let ground = Self { workspace, cluster, files: Files::start(FilesSetup::default()) };
        ground.build("3.28.13", IMAGE)?;
        ground.site("  redisPool: {}\n  plugins: true\n  saas: [{app: bk_itsm}, {app: bk_sops}]\n")?;
        Ok(ground)
    }

    /// Builds the bundle with this version of bk_sops.
    fn build(&self, sops: &str, mark: Mark) -> Result<()> {
        self.build_of(sops, mark, 2_000_000)
    }

    /// Builds it of a package of bk_sops with this much content.
    fn build_of(&self, sops: &str, mark: Mark, size: usize) -> Result<()> {
        // Larger than what is kept of outputs and sent in one message.
        let form = mark.unwrap_or("source");
        let (itsm, name) = (format!("itsm-{form}.tgz"), format!("sops-{sops}-{size}-{form}.tgz"));
        self.files.add(&itsm, smart_package_of("bk_itsm", "2.6.6", mark, &[], 300_000));
        self.files.add(&name, smart_package_of("bk_sops", sops, mark, &SOPS, size));
        for plugin in ["bkmonitorbeat.tgz", "gse_plugins_freq.tgz"] {
            self.workspace.write(&format!("plugins/{plugin}"), gzip(plugin.as_bytes()))?;
        }
        let url = format!("http://{}", self.files.host());
        self.workspace.spec(&format!(
            "{}saas:\n  - {{name: bk_itsm, version: 2.6.6, url: \"{url}/{itsm}\"}}\n  - {{name: bk_sops, version: {sops}, url: \"{url}/{name}\"}}\n\
             files: [{{path: plugins, to: gse2/plugins/}}]\n",
            plain_http(&[&self.files.host()])
        ))?;
        let _ = fs::remove_file(self.workspace.path("bundle"));
        self.workspace.lock_and_build().map(drop)
    }

    fn site(&self, blueking: &str) -> Result<()> {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: kubeconfig}}\nblueking:\n  domain: bkce7.example.com\n{blueking}"
        );
        self.workspace.write("site.yaml", text).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments)
    }

    fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }

    /// What runs as a module.
    fn image(&self, app: &str, module: &str) -> Option<String> {
        let middle = if module == "default" { String::new() } else { format!("-m-{module}") };
        let namespace = format!("bkapp-{app}{middle}-prod").replace('_', "0us0");
        let deployment =
            self.cluster.object(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"))?;
        deployment.pointer("/spec/template/spec/containers/0/image")?.as_str().map(str::to_owned)
    }

    fn record(&self) -> Value {
        self.cluster.object(RECORD).map(|record| record["data"].clone()).unwrap_or_default()
    }

    /// Everything is there, once.
    fn is_whole(&self, sops: &str) -> Result<()> {
        let paas = self.cluster.paas();
        for module in ["default", "api", "callback", "pipeline"] {
            let image = self.image("bk_sops", module).unwrap_or_default();
            ensure!(image.ends_with(&format!("/bk_sops/{module}:{sops}")), "{module}: {image}");
        }
        let itsm = self.image("bk_itsm", "default").unwrap_or_default();
        ensure!(itsm.ends_with("/bk_itsm/default:2.6.6"), "{itsm}");
        ensure!(paas.redis().len() == 10, "{} Redis entries", paas.redis().len());
        // Node management may be given the same twice.
        let plugins: BTreeSet<String> = paas.plugins().into_iter().collect();
        ensure!(plugins.iter().eq(["bkmonitorbeat.tgz", "gse_plugins_freq.tgz"]), "plug-ins {plugins:?}");
        ensure!(paas.files().is_empty(), "left in pods: {:?}", paas.files());
        Ok(())
    }

    /// Starts `apply`, and kills it once PaaS was told to do this.
    fn kill_at(&self, command: &str) -> Result<()> {
        let running = self.apply().start()?;
        let limit = Instant::now() + Duration::from_secs(60);
        while self.cluster.paas().count(command) == 0 {
            ensure!(Instant::now() < limit, "{command} was never run: {:?}", self.cluster.paas().commands());
            std::thread::sleep(Duration::from_millis(10));
        }
        running.signal(Signal::KILL)?;
        let outcome = running.finish(Duration::from_secs(10))?;
        ensure!(outcome.code.is_none(), "{outcome}");
        Ok(())
    }
}

/// The password is in no file of the state folder, and was not said.
fn is_secret(ground: &Ground, outcomes: &[&Outcome]) -> Result<()> {
    let secret = REDIS_PASSWORD.trim_end_matches("pa55");
    let escaped = secret.replace('"', "\\\"");
    let mut texts: Vec<String> =
        outcomes.iter().map(|outcome| format!("{}{}", outcome.stdout, outcome.stderr)).collect();
    for path in ground.workspace.files_below("site.ferry")? {
        texts.push(fs::read_to_string(path)?);
    }
    texts.push(ground.record().to_string());
    ensure!(texts.len() > 3, "hardly anything was looked at");
    for text in texts {
        ensure!(!text.contains(secret) && !text.contains(&escaped) && !text.contains("pa55"), "{text}");
    }
    Ok(())
}

#[test]
fn saas_is_installed_once_and_in_order() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    let plan = ground.run(&["plan", "bundle"]).succeed()?;
    ensure!(paas.packages().is_empty() && ground.record() == Value::Null, "planning changed something");
    let applied = ground.apply().succeed()?;
    ground.is_whole("3.28.13")?;
    is_secret(&ground, &[&plan, &applied])?;

    let credentials = &paas.redis()[9]["credentials"];
    let host = "bk-redis-master.blueking.svc.cluster.local";
    ensure!(*credentials == json!({"host": host, "port": 6379, "password": REDIS_PASSWORD}), "{credentials}");
    ensure!(paas.count("init_official_plugins") == 1 && paas.count("smart_tool -f ") == 2);
    let commands = paas.commands();
    let place =
        |words: &str| commands.iter().position(|command| command.contains(words)).unwrap_or(usize::MAX);
    ensure!(place("import_pre_created_instance") < place("smart_tool"), "{commands:?}");
    let default =
        place("deploy_bkapp --app-code bk_sops --module default --env prod --revision image:3.28.13");
    for module in SOPS {
        let other = place(&format!(
            "deploy_bkapp --app-code bk_sops --module {module} --env prod --revision image:3.28.13"
        ));
        ensure!(default < other && other < usize::MAX, "{commands:?}");
    }

    // The second time, PaaS is only asked how many Redis entries it has.
    paas.forget_commands();
    let writes = ground.cluster.writes().len();
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(paas.commands() == ["shell"] && ground.cluster.writes().len() == writes, "{:?}", paas.commands());
    ground.run(&["plan", "bundle", "--detailed-exitcode"]).succeed()?;
    Ok(())
}

#[test]
fn a_run_that_was_killed_goes_on() -> Result<()> {
    for command in [
        "import_pre_created_instance",
        "smart_tool",
        "deploy_bkapp --app-code bk_sops --module api",
        "init_official_plugins",
    ] {
        let ground = Ground::new()?;
        ground.cluster.paas().slow_down(Duration::from_millis(700));
        ground.kill_at(command)?;
        ground.apply().succeed()?;
        ground.is_whole("3.28.13").map_err(|error| error.context(format!("killed at {command}")))?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

#[test]
fn what_paas_does_not_take_is_told_with_its_cause() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    let missing = "moby_distribution.registry.exceptions.ResourceNotFound: bkpaas/docker/slug-pilot:heroku-18-v1.6.1 MANIFEST_UNKNOWN\nusing password=hunter2";
    paas.fault(PaasFault::SmartTool(missing.into()));
    let failed = ground.apply().fail_with(1)?;
    failed
        .says("PaaS did not take bk_sops 3.28.13")?
        .says("MANIFEST_UNKNOWN")?
        .prints("bkpaas3-apiserver-init-data")?;
    ensure!(!failed.stderr.contains("hunter2"), "{failed}");
    ensure!(paas.files().is_empty(), "left in pods: {:?}", paas.files());
    ensure!(ground.record().get("saas.bk_sops").is_none() && paas.count("deploy_bkapp") == 0);

    paas.heal();
    paas.fault(PaasFault::Deploy("资源不足, 配置资源实例失败.".into()));
    ground
        .apply()
        .fail_with(1)?
        .says("PaaS could not deploy module default of bk_sops (image:3.28.13)")?
        .prints("redisPool")?;
    ensure!(paas.count("deploy_bkapp --app-code bk_sops --module api") == 0, "before its default module");
    paas.heal();
    paas.fault(PaasFault::DeployApiError);
    ground.apply().fail_with(1)?.says("频道不存在")?;
    paas.heal();
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")
}

#[test]
fn a_newer_paas_is_asked_in_its_way() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    paas.fault(PaasFault::AppExists);
    paas.fault(PaasFault::NoRegions);
    // What is there is not replaced unasked.
    ground.apply().fail_with(1)?.says("PaaS did not take bk_sops 3.28.13")?.prints("overwrite: true")?;
    ensure!(paas.count("smart_tool --overwrite") == 0 && paas.packages().is_empty());
    ground.site("  redisPool: {}\n  plugins: true\n  saas: [{app: bk_itsm, overwrite: true}, {app: bk_sops, overwrite: true}]\n")?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")?;
    ensure!(
        paas.commands().iter().filter(|command| command.starts_with("smart_tool --overwrite -f ")).count()
            == 2
    );

    // It has these bytes already, and nobody has noted that.
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"saas.bk_itsm": "{}", "saas.bk_sops": "{}"}});
    ground.cluster.apply_as("somebody", &record)?;
    ground.cluster.deploy(
        "bk_itsm",
        "default",
        "docker.bkce7.example.com/bkpaas/docker/bk_itsm/default:2.6.5",
    );
    paas.heal();
    paas.fault(PaasFault::SkipsKnown);
    ground.apply().succeed()?;
    ensure!(paas.packages().len() == 2, "{:?}", paas.packages());
    ground.is_whole("3.28.13")
}

#[test]
fn redis_entries_are_never_doubled() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.fault(PaasFault::RedisDies(4));
    let failed = ground.apply().fail_with(1)?;
    failed.says("PaaS did not take the Redis entries")?;
    is_secret(&ground, &[&failed])?;
    ensure!(paas.redis().len() == 4);
    paas.heal();
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    ground.site("  redisPool: {entries: 12}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 12, "{}", paas.redis().len());
    // More than are asked for are enough.
    ground.site("  redisPool: {}\n")?;
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).run()?.prints("pre-created-instances/manage")?;
    Ok(())
}

#[test]
fn redis_entries_that_cannot_be_counted_are_left_to_the_operator() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    say_redis(&ground, 0)?;
    paas.fault(PaasFault::NoShell);
    paas.fault(PaasFault::RedisDies(4));
    ground.apply().fail_with(1)?;
    paas.heal();
    paas.fault(PaasFault::NoShell);
    for _ in 0..2 {
        let refused = ground.apply().fail_with(1)?;
        refused
            .says("an earlier run was cut off while it added Redis entries")?
            .prints("patch configmap ferry-installer")?;
    }
    ensure!(paas.redis().len() == 4, "{}", paas.redis().len());
    // He adds the rest by hand, and says so as he was told to.
    say_redis(&ground, 10)?;
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

/// What the operator records as he is told.
fn say_redis(ground: &Ground, entries: u32) -> Result<()> {
    let text = json!({"entries": entries, "server": "bk-redis-master.blueking.svc.cluster.local:6379", "stage": "done"});
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"redis-entries.0shared": text.to_string()}});
    ground.cluster.apply_as("kubectl", &record).map(drop).map_err(|error| anyhow!("{error:?}"))
}

#[test]
fn a_pool_that_somebody_else_filled_is_not_filled_again() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.add_redis(10);
    paas.fault(PaasFault::NoShell);
    for _ in 0..2 {
        let refused = ground.apply().fail_with(1)?;
        refused
            .says("PaaS does not say how many Redis entries of plan 0shared there are")?
            .prints("patch configmap ferry-installer")?;
        ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    }
    // That nobody could ask is no answer either.
    paas.heal();
    paas.fault(PaasFault::ShellBreaksOff);
    let failed = ground.apply().run()?;
    failed.says("broke off")?;
    ensure!(failed.code != Some(0) && paas.redis().len() == 10, "{failed}");
    paas.heal();
    paas.fault(PaasFault::NoShell);
    say_redis(&ground, 10)?;
    ground.apply().succeed()?.prints("nothing to do")?;
    // More are wanted: those that are missing are added.
    ground.site("  redisPool: {entries: 20}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 20, "{}", paas.redis().len());
    paas.heal();
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

#[test]
fn redis_entries_that_were_plainly_refused_leave_no_doubt() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.fault(PaasFault::NoRedis);
    ground.apply().fail_with(1)?.says("PaaS did not take the Redis entries")?;
    ensure!(ground.record().get("redis-entries.0shared").is_none(), "{}", ground.record());
    // A password that nobody has is no reason for doubt.
    paas.heal();
    ground.site("  redisPool: {password: {env: FERRY_NO_SUCH_PASSWORD}}\n")?;
    ground.apply().fail_with(1)?;
    ensure!(ground.record().get("redis-entries.0shared").is_none(), "{}", ground.record());
    ground.site("  redisPool: {}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    Ok(())
}

#[test]
fn other_content_of_the_same_version_is_deployed() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops}]\n")?;
    ground.apply().succeed()?;
    ground.build_of("3.28.13", IMAGE, 1_900_000)?;
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("give PaaS the SaaS bk_sops (3.28.13) again, with other content")?;
    let paas = ground.cluster.paas();
    paas.forget_commands();
    paas.slow_down(Duration::from_millis(700));
    // Killed between the package and its modules, it still knows.
    ground.kill_at("deploy_bkapp --app-code bk_sops --module default")?;
    paas.slow_down(Duration::ZERO);
    paas.forget_commands();
    ground.apply().succeed()?;
    for module in ["default", "api", "callback", "pipeline"] {
        let count = paas.count(&format!("deploy_bkapp --app-code bk_sops --module {module} "));
        ensure!(count >= 1, "{module}: {:?}", paas.commands());
    }
    ensure!(paas.count("smart_tool") == 0, "{:?}", paas.commands());
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

#[test]
fn a_newer_version_stays_unless_it_is_to_be_replaced() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops}]\n")?;
    ground.apply().succeed()?;
    let image = |version: &str| format!("docker.bkce7.example.com/bkpaas/docker/bk_sops/default:{version}");
    // Somebody has it upgraded in the Developer Center.
    ground.cluster.deploy("bk_sops", "default", &image("3.29.0"));
    let newer = "bk_sops 3.29.0 is there, which is newer than the bundle's";
    ground.run(&["plan", "bundle"]).succeed()?.prints(newer)?;
    let paas = ground.cluster.paas();
    paas.forget_commands();
    ground.apply().fail_with(1)?.says(newer)?.prints("overwrite: true")?;
    ensure!(paas.count("deploy_bkapp") == 0 && paas.count("smart_tool") == 0, "{:?}", paas.commands());
    // An older package is not even given to PaaS: its description would take the newer one's place.
    ground.build("3.28.14", IMAGE)?;
    ground.apply().fail_with(1)?.says(newer)?;
    ensure!(paas.count("smart_tool") == 0, "{:?}", paas.commands());
    ground.build("3.28.13", IMAGE)?;
    ground.site("  saas: [{app: bk_sops, overwrite: true}]\n")?;
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("deploy module default of bk_sops anew (image:3.29.0 → image:3.28.13 in prod)")?;
    ground.apply().succeed()?;
    ensure!(ground.image("bk_sops", "default") == Some(image("3.28.13")));
    Ok(())
}

#[test]
fn what_somebody_else_deployed_since_is_not_taken_back() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops, modules: [default, api]}]\n")?;
    ground.apply().succeed()?;
    ground.build("3.28.14", IMAGE)?;
    let paas = ground.cluster.paas();
    paas.slow_down(Duration::from_millis(700));
    paas.forget_commands();
    ground.kill_at("deploy_bkapp --app-code bk_sops --module api")?;
    // PaaS goes on, and comes to its end.
    let limit = Instant::now() + Duration::from_secs(20);
    while !ground.image("bk_sops", "api").is_some_and(|image| image.ends_with(":3.28.14")) {
        ensure!(Instant::now() < limit, "it was never deployed");
        std::thread::sleep(Duration::from_millis(20));
    }
    paas.slow_down(Duration::ZERO);
    let newer = "docker.bkce7.example.com/bkpaas/docker/bk_sops/api:3.28.15";
    ground.cluster.deploy("bk_sops", "api", newer);
    let taken_back = ground.run(&["rollback"]).run()?;
    taken_back.prints("module api of bk_sops is image:3.28.15 in prod by now")?;
    ensure!(ground.image("bk_sops", "api").as_deref() == Some(newer));
    let default = ground.image("bk_sops", "default").unwrap_or_default();
    ensure!(default.ends_with(":3.28.13"), "{default}");
    Ok(())
}

#[test]
fn packages_are_read_once() -> Result<()> {
    let ground = Ground::new()?;
    ground.run(&["plan", "bundle"]).succeed()?;
    let kept = ground.workspace.path("site.ferry/packages.json");
    let text = fs::read_to_string(&kept)?;
    // What is kept counts, so nothing was read.
    fs::write(&kept, text.replace("3.28.13", "3.28.99"))?;
    let refused = ground.run(&["plan", "bundle"]).run()?;
    refused.says("bk_sops 3.28.99 by its own description")?;
    for broken in [
        &text[..text.len() / 2],
        "",
        &text.replace("\"rules\":1", "\"rules\":0").replace("3.28.13", "3.28.99"),
    ] {
        fs::write(&kept, broken)?;
        ground.run(&["plan", "bundle"]).succeed()?;
        ensure!(fs::read_to_string(&kept)? == text);
    }
    Ok(())
}

#[test]
fn a_new_version_takes_the_place_of_the_old_and_back() -> Result<()> {
    let ground = Ground::new()?;
    ground.apply().succeed()?;
    ground.build("3.28.14", IMAGE)?;
    ground.cluster.paas().forget_commands();
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("give PaaS another version of the SaaS bk_sops (3.28.13 → 3.28.14)")?
        .prints("deploy module api of bk_sops anew (image:3.28.13 → image:3.28.14 in prod)")?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.14")?;
    let commands = ground.cluster.paas().commands();
    ensure!(!commands.iter().any(|command| command.contains("bk_itsm")), "{commands:?}");

    let taken_back = ground.run(&["rollback"]).run()?;
    taken_back.prints("PaaS keeps bk_sops 3.28.14 beside 3.28.13")?;
    ground.is_whole("3.28.13")?;

    // What was taken back is in nobody's way.
    ground.build("3.28.13", IMAGE)?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")
}

#[test]
fn what_the_official_script_installed_is_there() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_itsm}, {app: bk_sops, modules: [api, default]}]\n")?;
    for (app, module, version) in [("bk_itsm", "default", "2.6.6"), ("bk_sops", "default", "3.28.12")] {
        let image = format!("docker.bkce7.example.com/bkpaas/docker/{app}/{module}:{version}");
        ground.cluster.deploy(app, module, &image);
    }
    ground.apply().succeed()?;
    let paas = ground.cluster.paas();
    ensure!(paas.packages() == [("bk_sops".to_owned(), "3.28.13".to_owned())], "{:?}", paas.packages());
    ensure!(ground.image("bk_sops", "api").is_some() && ground.image("bk_sops", "pipeline").is_none());
    Ok(())
}

#[test]
fn source_packages_are_deployed_as_such() -> Result<()> {
    let ground = Ground::new()?;
    ground.build("3.28.13", None)?;
    ground.site("  saas: [{app: bk_itsm, environment: stag}]\n")?;
    ground.apply().succeed()?;
    let paas = ground.cluster.paas();
    ensure!(
        paas.count("deploy_bkapp --app-code bk_itsm --module default --env stag --revision package:2.6.6")
            == 1
    );
    ground.apply().succeed()?.prints("nothing to do")?;

    // Somebody deletes it, in the Developer Center and here.
    paas.lose("bk_itsm");
    let namespace = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "bkapp-bk0us0itsm-stag"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "bk_itsm-default"}}, "template": {"metadata": {"labels": {"app": "bk_itsm-default"}},
            "spec": {"containers": [{"name": "web", "image": "docker.bkce7.example.com/bkpaas/docker/bk_itsm/default:1.0"}]}}}});
    ground.cluster.apply_as("paas", &namespace)?;
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"saas-module.bk_itsm.default.stag": "gone"}});
    ground.cluster.apply_as("kubectl", &record)?;
    ground.apply().fail_with(1)?.prints("apply again gives it anew")?;
    ground.apply().succeed()?;
    ensure!(paas.packages().len() == 1);
    Ok(())
}

#[test]
fn variables_are_imported_before_and_stay_secret() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops, modules: [default], variables: sops.yaml}]\n")?;
    let text = |value: &str| {
        format!(
            "env_variables:\n- key: NPM\n  value: {value}\n  environment_name: _global_\n  description: npm\n"
        )
    };
    ground.workspace.write("sops.yaml", text("hunter2secret"))?;
    let paas = ground.cluster.paas();
    paas.fault(PaasFault::Variables);
    let refused = ground.apply().fail_with(1)?;
    refused.says("PaaS did not take the variables for module default of bk_sops")?;
    ensure!(!refused.stderr.contains("hunter2secret"), "{refused}");
    paas.heal();
    let key = "env_variables:\n- key: KEY\n  value: |\n    -----BEGIN KEY-----\n    bGluZSBvbmU\n  environment_name: _global_\n";
    ground.workspace.write("sops.yaml", key)?;
    paas.fault(PaasFault::Variables);
    let refused = ground.apply().fail_with(1)?;
    ensure!(!refused.stderr.contains("bGluZSBvbmU") && !refused.stdout.contains("bGluZSBvbmU"), "{refused}");
    ground.workspace.write("sops.yaml", text("hunter2secret"))?;
    // A build may print them.
    paas.heal();
    paas.fault(PaasFault::Deploy("npm login --_auth hunter2secret".into()));
    let failed = ground.apply().fail_with(1)?;
    failed.says("npm login --_auth …")?;
    ensure!(!failed.stderr.contains("hunter2secret") && !failed.stdout.contains("hunter2secret"), "{failed}");
    paas.heal();
    ground.apply().succeed()?;
    ensure!(paas.variables("bk_sops/default") == Some(text("hunter2secret")));
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.workspace.write("sops.yaml", text("another"))?;
    ground.apply().succeed()?;
    ensure!(paas.variables("bk_sops/default") == Some(text("another")) && paas.packages().len() == 1);
    Ok(())
}

#[test]
fn before_blueking_is_there_the_rest_is_done() -> Result<()> {
    let (mut ground, cluster) = (Ground::new()?, FakeCluster::start());
    cluster.kubeconfig(&ground.workspace.path(""))?;
    ground.cluster = cluster;
    ground.site("  settings: settings\n  saas: [{app: bk_itsm}]\n")?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("give PaaS the SaaS bk_itsm")?;
    ground
        .apply()
        .fail_with(1)?
        .says("bkpaas3-apiserver-worker")?
        .prints("must be installed and running first")?;
    ensure!(ground.workspace.path("settings/blueking.env").exists());
    ground.cluster.install_blueking();
    let limit = Instant::now() + Duration::from_secs(20);
    while ground.apply().run()?.code != Some(0) {
        ensure!(Instant::now() < limit, "it never worked");
    }
    ensure!(ground.image("bk_itsm", "default").is_some());
    Ok(())
}

#[test]
fn plugins_that_are_none_are_told() -> Result<()> {
    let ground = Ground::new()?;
    ground.workspace.write("plugins/zzz.tgz", "an error page")?;
    let _ = fs::remove_file(ground.workspace.path("bundle"));
    ground.workspace.lock_and_build()?;
    ground.site("  plugins: true\n")?;
    // What others have left there is taken, too, and is not ours.
    ground.cluster.paas().leave_plugin("/app/official_plugin/other.tgz");
    ground.cluster.paas().leave_plugin("/app/official_plugin/zzz.tgz");
    let failed = ground.apply().fail_with(3)?;
    failed.prints("node management did not take zzz.tgz")?;
    ensure!(ground.cluster.paas().files().is_empty() && ground.record() == Value::Null);
    Ok(())
}
