//! Files of a bundle in bkrepo: the whole program against the stand-in, in the manners of the releases that BlueKing 7.1 and 7.2
//! bring. What the server counts is what is believed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, Fault, Grant, Keeping, Release, RepositorySetup, Setup, User};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::corpus::Corpus;
use ferry_tests::http::request;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::random::Random;
use ferry_tests::registry::{Registry, Setup as RegistrySetup};
use ferry_tests::workspace::{Sample, Workspace};
use serde_json::json;

const PROJECT: &str = "bkpaas";
const ASSETS: &str = "bkpaas3-platform-assets";
const PASSWORD: &str = "correct-horse, 'battery'";
const LOGIN: &str = "login: {user: bkpaas3, password: {env: BKREPO_PASSWORD}}";
const RELEASES: [Release; 2] = [Release::V1_3_16, Release::V3_3];
const STDLIB: &str = "common/buildpack-stdlib/v7/stdlib.sh";
const NODE: &str = "runtimes/nodejs/node/release/linux-x64/node-v16.16.0-linux-x64.tar.gz";

/// A bundle with files, and a bkrepo that they go to.
struct Ground {
    workspace: Workspace,
    server: Bkrepo,
    /// The right content, by path.
    files: BTreeMap<String, (Digest, u64)>,
}

/// A bkrepo as PaaS leaves it, with our password.
fn after_paas(release: Release) -> Setup {
    let mut setup = Setup { release, ..Setup::after_paas() };
    setup.users.retain(|user| user.name != "bkpaas3");
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Project(PROJECT.into())]));
    setup
}

impl Ground {
    /// Builds a bundle of these files and writes a site file whose `bkrepo` has these settings.
    fn new(setup: Setup, files: &[(&str, Vec<u8>)], settings: &str) -> Result<Self> {
        let (workspace, server) = (Workspace::new()?, Bkrepo::start(setup)?);
        let mut known = BTreeMap::new();
        for (path, content) in files {
            workspace.write(&format!("files/{path}"), content)?;
            known.insert(format!("/{path}"), (Digest::of(content), content.len() as u64));
        }
        let mut folders: Vec<&str> = files.iter().filter_map(|(path, _)| path.split('/').next()).collect();
        folders.sort_unstable();
        folders.dedup();
        let entry = |folder: &&str| {
            format!("  - {{path: files/{folder}, to: {folder}/, repository: {PROJECT}/{ASSETS}}}\n")
        };
        workspace.spec(&format!("files:\n{}", folders.iter().map(entry).collect::<String>()))?;
        workspace.lock_and_build()?;
        let ground = Self { workspace, server, files: known };
        ground.site(settings)?;
        Ok(ground)
    }

    /// The usual one: PaaS has been installed, and a few runtimes are to be uploaded.
    fn usual(release: Release, settings: &str) -> Result<Self> {
        Self::new(after_paas(release), &runtimes(), settings)
    }

    fn site(&self, settings: &str) -> Result<()> {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nbkrepo:\n  url: {}\n  {LOGIN}\n{settings}",
            self.server.url()
        );
        self.workspace.write("site.yaml", text).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments).env("BKREPO_PASSWORD", PASSWORD)
    }

    fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }

    /// Everything is where it belongs, and nothing else.
    fn expect_all(&self) -> Result<()> {
        let there: BTreeMap<String, (String, u64)> = self
            .server
            .files(PROJECT, ASSETS)
            .into_iter()
            .filter(|(_, file)| !file.folder)
            .map(|(path, file)| (path, (file.sha256, file.size)))
            .collect();
        let right: BTreeMap<String, (String, u64)> =
            self.files.iter().map(|(path, (digest, size))| (path.clone(), (digest.hex(), *size))).collect();
        ensure!(there == right, "bkrepo has {there:#?}\nand should have {right:#?}");
        Ok(())
    }

    /// Bodies of whole files that the server took, by path.
    fn taken(&self) -> BTreeMap<String, usize> {
        let mut taken = BTreeMap::new();
        let prefix = format!("/generic/{PROJECT}/{ASSETS}");
        for asked in self.server.requests() {
            let is_file = asked.method == "PUT" && asked.status == 200;
            if let Some(path) = asked.path.strip_prefix(&prefix).filter(|_| is_file) {
                *taken.entry(path.to_owned()).or_default() += 1;
            }
        }
        taken
    }

    fn puts(&self) -> usize {
        self.server.count(&Method::PUT, "/generic/")
    }
}

fn runtimes() -> Vec<(&'static str, Vec<u8>)> {
    let tar =
        |seed: u8| (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
    vec![
        (STDLIB, b"#!/bin/sh\necho stdlib\n".to_vec()),
        (NODE, tar(1)),
        ("buildpacks/bk-buildpack-python-v213.tar", tar(2)),
        ("runtimes/python/common/pip-20.2.3-py2.py3-none-any.whl", tar(3)),
        ("runtimes/蓝鲸/a b+c%20;.tgz", tar(4)),
        ("runtimes/empty", Vec::new()),
    ]
}

/// The password is in no file of the state folder, and in nothing that was said.
fn shows_no_secret(ground: &Ground, outcome: &Outcome) -> Result<()> {
    ensure!(!outcome.stdout.contains("battery") && !outcome.stderr.contains("battery"), "{outcome}");
    for path in ground.workspace.files_below("site.ferry")? {
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        ensure!(!text.contains("battery"), "the password is in {}", path.display());
    }
    Ok(())
}

#[test]
fn everything_goes_up_once_and_comes_back() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        ground.server.put_raw(PROJECT, ASSETS, "/operators/own.txt", b"mine")?;
        let planned = ground.run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(4)?;
        planned.prints("6 files to upload to bkrepo")?;
        let applied = ground.apply().succeed()?;
        shows_no_secret(&ground, &applied)?;
        let mut with_own = ground.files.clone();
        with_own.insert("/operators/own.txt".into(), (Digest::of(b"mine"), 4));
        let ground = Ground { files: with_own, ..ground };
        ground.expect_all()?;

        ground.server.forget_requests();
        ground.apply().succeed()?.prints("nothing to do")?;
        let requests = ground.server.requests();
        ensure!(requests.iter().all(|asked| asked.body == 0 && asked.method == "GET"), "{requests:#?}");
        ensure!(requests.len() <= 4, "a page tells of all: {requests:#?}");

        ground.run(&["rollback"]).succeed()?.prints("undone")?;
        let left: Vec<String> = ground
            .server
            .files(PROJECT, ASSETS)
            .into_iter()
            .filter(|(_, file)| !file.folder)
            .map(|(path, _)| path)
            .collect();
        ensure!(left == ["/operators/own.txt"], "{left:?}");
    }
    Ok(())
}

#[test]
fn projects_and_repositories_are_made_as_paas_makes_them() -> Result<()> {
    for release in RELEASES {
        let mut setup = Setup { release, ..Setup::default() };
        setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Everything]));
        let ground = Ground::new(setup, &runtimes(), "")?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        let repositories = ground.server.repositories();
        let made = repositories.get(&(PROJECT.to_owned(), ASSETS.to_owned()));
        ensure!(made == Some(&("GENERIC".to_owned(), true)), "{repositories:?}");

        let back = ground.run(&["rollback"]).run()?;
        back.prints("has no call that removes projects")?;
        ensure!(!ground.server.repositories().contains_key(&(PROJECT.to_owned(), ASSETS.to_owned())));
        ensure!(ground.server.projects().contains(&PROJECT.to_owned()));
    }
    Ok(())
}

/// PaaS comes up while the run is under way, and is faster.
#[test]
fn a_repository_that_paas_made_meanwhile_stays() -> Result<()> {
    let mut setup = Setup::default();
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Everything]));
    let ground = Ground::new(setup, &runtimes(), "")?;
    let (url, is_made) = (ground.server.url(), AtomicBool::new(false));
    ground.server.fail_next(Fault::Slow(Duration::from_millis(800)), move |method, path| {
        let is_it = method == Method::POST && path.contains("repo/create");
        if is_it && !is_made.swap(true, Ordering::Relaxed) {
            let url = format!("{url}/repository/api/repo/create");
            thread::spawn(move || {
                let authorization = format!("Basic {}", STANDARD.encode("admin:blueking"));
                let headers =
                    [("authorization", authorization.as_str()), ("content-type", "application/json")];
                let body = json!({"projectId": PROJECT, "name": ASSETS, "type": "GENERIC", "category": "LOCAL", "public": true});
                request(&Method::POST, &url, &headers, body.to_string())
            });
            return true;
        }
        false
    });
    ground.apply().succeed()?;
    ground.expect_all()?;
    let made = ground.server.requests();
    let asked: Vec<u16> =
        made.iter().filter(|asked| asked.path.contains("repo/create")).map(|asked| asked.status).collect();
    ensure!(asked.len() == 2 && asked.iter().filter(|status| **status == 200).count() == 1, "{asked:?}");
    let back = ground.run(&["rollback"]).run()?;
    back.prints("it is not known to be this run's")?;
    ensure!(ground.server.files(PROJECT, ASSETS).values().all(|file| file.folder), "its files are gone");
    ensure!(ground.server.repositories().contains_key(&(PROJECT.to_owned(), ASSETS.to_owned())));
    Ok(())
}

#[test]
fn repositories_with_others_files_stay() -> Result<()> {
    let mut setup = Setup::default();
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Everything]));
    let ground = Ground::new(setup, &runtimes(), "")?;
    ground.apply().succeed()?;
    ground.server.put_raw(PROJECT, ASSETS, "/operators/own.txt", b"mine")?;
    ground.run(&["rollback"]).run()?.prints("something is in it that this run did not bring")?;
    ensure!(ground.server.content(PROJECT, ASSETS, "/operators/own.txt").as_deref() == Some(&b"mine"[..]));
    Ok(())
}

#[test]
fn paas_is_waited_for() -> Result<()> {
    let mut setup = Setup::default();
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Project(PROJECT.into())]));
    let ground = Ground::new(setup, &runtimes(), "  create: false\n  patience: 20\n")?;
    let plan = ground.run(&["plan", "bundle"]).succeed()?;
    plan.prints("wait until PaaS has made the repository")?;
    let url = ground.server.url();
    let paas = thread::spawn(move || -> Result<()> {
        thread::sleep(Duration::from_millis(1500));
        let authorization = format!("Basic {}", STANDARD.encode("admin:blueking"));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let project = json!({"name": PROJECT, "displayName": PROJECT, "description": ""});
        let repository = json!({"projectId": PROJECT, "name": ASSETS, "type": "GENERIC", "category": "LOCAL", "public": true});
        for (path, body) in [("project/create", project), ("repo/create", repository)] {
            let reply =
                request(&Method::POST, &format!("{url}/repository/api/{path}"), &headers, body.to_string())?;
            ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
            thread::sleep(Duration::from_millis(800));
        }
        Ok(())
    });
    let applied = ground.apply().succeed();
    paas.join().expect("it does not panic")?;
    applied?;
    ground.expect_all()?;
    // What PaaS made is not ours to remove.
    ground.run(&["rollback"]).succeed()?;
    ensure!(ground.server.repositories().contains_key(&(PROJECT.to_owned(), ASSETS.to_owned())));

    let nowhere = Ground::new(
        Setup { users: vec![User::new("bkpaas3", PASSWORD, &[Grant::Everything])], ..Setup::default() },
        &runtimes(),
        "  create: false\n  patience: 1\n",
    )?;
    let failed = nowhere.apply().fail_with(1)?;
    failed.prints("PaaS has not made the project bkpaas in 1 s")?.prints("create: true")?;
    Ok(())
}

#[test]
fn other_content_is_replaced_only_when_told() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        let path = format!("/{STDLIB}");
        ground.server.put_raw(PROJECT, ASSETS, &path, b"another")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("a file with other content is there")?;
        ground.apply().fail_with(1)?.prints("overwrite: true")?;
        ensure!(ground.server.content(PROJECT, ASSETS, &path).as_deref() == Some(&b"another"[..]));
        ensure!(!ground.taken().contains_key(&path), "it was sent in vain");
        // The others are there all the same.
        ensure!(ground.taken().len() == ground.files.len() - 1);

        ground.site("  overwrite: true\n")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("what it replaces is not kept")?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.run(&["rollback"]).run()?.prints("what it replaced is not kept")?;
        ground.expect_all()?;
    }
    Ok(())
}

#[test]
fn a_folder_in_a_files_place_goes_only_when_told() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "  overwrite: true\n")?;
        ground.server.put_raw(PROJECT, ASSETS, &format!("/{STDLIB}/stdlib.sh"), b"wrong")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("a folder lies where the file belongs")?;
        ground.apply().fail_with(1)?.prints("repair: true")?;
        ensure!(ground.server.files(PROJECT, ASSETS).contains_key(&format!("/{STDLIB}/stdlib.sh")));
        ground.site("  repair: true\n")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("remove the folder")?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

/// The loop of the deployment guide, as its text has it.
fn misplaced(path: &str) -> String {
    let (_, rest) = path.split_once('/').expect("it lies in a folder");
    format!("/{rest}/{}", rest.rsplit('/').next().expect("it has a name"))
}

#[test]
fn the_layout_that_the_guides_loop_leaves_is_known_and_mended() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        let all = runtimes();
        for (path, content) in &all {
            ground.server.put_raw(PROJECT, ASSETS, &misplaced(path), content)?;
        }
        // Beside one of them lies something else.
        let beside = "/buildpack-stdlib/v7/stdlib.sh/README";
        ground.server.put_raw(PROJECT, ASSETS, beside, b"mine")?;
        let plan = ground.run(&["plan", "bundle"]).succeed()?;
        plan.prints("6 files have copies at wrong paths")?.prints("repair: true")?;
        plan.prints("/bk-buildpack-python-v213.tar/bk-buildpack-python-v213.tar for /buildpacks/")?;
        ground.apply().succeed()?;
        let there = ground.server.files(PROJECT, ASSETS);
        ensure!(
            all.iter()
                .all(|(path, _)| there.contains_key(&format!("/{path}"))
                    && there.contains_key(&misplaced(path)))
        );
        let again = ground.apply().succeed()?;
        again.prints("nothing to do")?.prints("copies at wrong paths")?;

        ground.site("  repair: true\n")?;
        ground.server.forget_requests();
        ground.run(&["plan", "bundle"]).succeed()?.prints("remove its copy at")?;
        ground.apply().succeed()?;
        ensure!(ground.puts() == 0, "nothing had to be sent");
        let there = ground.server.files(PROJECT, ASSETS);
        ensure!(there.contains_key(beside), "what others put there stays");
        for (path, _) in &all {
            let wrong = misplaced(path);
            ensure!(there.contains_key(&format!("/{path}")) && !there.contains_key(&wrong), "{wrong}");
            let (folder, _) = wrong.rsplit_once('/').expect("it has one");
            let is_needed = beside.starts_with(&format!("{folder}/"));
            ensure!(there.contains_key(folder) == is_needed, "{folder}: {:?}", there.keys());
        }
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

/// The wrong place of one file is a folder in the right place of another.
#[test]
fn mending_one_file_does_not_remove_another() -> Result<()> {
    for release in RELEASES {
        let (outer, inner) = (b"outer".to_vec(), b"inner".to_vec());
        let files = [("common/v7/stdlib.sh", outer.clone()), ("v7/stdlib.sh", inner)];
        let ground = Ground::new(after_paas(release), &files, "  repair: true\n")?;
        ground.server.put_raw(PROJECT, ASSETS, "/v7/stdlib.sh/stdlib.sh", &outer)?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

#[test]
fn what_passes_is_survived() -> Result<()> {
    let faults = [
        Fault::DigestMismatch,
        Fault::Gateway(500),
        Fault::Gateway(502),
        Fault::Gateway(503),
        Fault::CutAfter(1_000),
        Fault::CutAnswerAfter(10),
        Fault::LoseAnswer,
        Fault::Slow(Duration::from_millis(300)),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let ground = Ground::usual(RELEASES[number % 2], "")?;
        let shown = format!("{fault:?}");
        ground.server.fail_next(fault, |method, path| method == Method::PUT && path.contains("node-v16"));
        let applied = ground.apply().run()?;
        ensure!(applied.code == Some(0), "{shown}: {applied}");
        ground.expect_all()?;
        let taken = ground.taken();
        ensure!(taken.values().all(|&times| times == 1) || shown.contains("Answer"), "{shown}: {taken:?}");
    }
    let ground = Ground::usual(Release::V1_3_16, "")?;
    let passing = [Fault::Gateway(503), Fault::CutAfter(500), Fault::LoseAnswer];
    ground.server.fail_seeded(7, 20, &passing, |_, _| true);
    ground.apply().run()?;
    ground.server.heal();
    ground.apply().succeed()?;
    ground.expect_all()
}

#[test]
fn what_does_not_pass_is_told_and_stops_nobody_else() -> Result<()> {
    for (fault, says) in [
        (Fault::Unauthorized, "does not know the user"),
        (Fault::NodeConflict, "repair: true"),
        (Fault::Gateway(413), "client_max_body_size"),
    ] {
        let ground = Ground::usual(Release::V1_3_16, "")?;
        let shown = format!("{fault:?}");
        ground
            .server
            .fail_times(50, fault, |method, path| method == Method::PUT && path.contains("stdlib.sh"));
        let failed = ground.apply().run()?;
        ensure!(failed.code == Some(1), "{shown}: {failed}");
        failed.prints(says)?;
        ensure!(ground.server.files(PROJECT, ASSETS).contains_key(&format!("/{NODE}")), "{shown}: {failed}");
        ground.server.heal();
        ground.server.forget_requests();
        ground.apply().succeed()?;
        ensure!(ground.taken().len() == 1, "only what was missing: {:?}", ground.taken());
        ground.expect_all()?;
    }
    Ok(())
}

/// Somebody is faster, with the same content: that is as good as ours.
#[test]
fn the_same_file_from_somebody_else_is_taken_as_it_is() -> Result<()> {
    let ground = Ground::usual(Release::V3_3, "")?;
    let server = ground.server.clone();
    let (path, content) = (format!("/{STDLIB}"), runtimes()[0].1.clone());
    ground.server.fail_next(Fault::NodeExisted, move |method, asked| {
        let is_it = method == Method::PUT && asked.contains("stdlib.sh");
        if is_it {
            let (server, path, content) = (server.clone(), path.clone(), content.clone());
            thread::spawn(move || server.put_raw(PROJECT, ASSETS, &path, &content));
            thread::sleep(Duration::from_millis(50));
        }
        is_it
    });
    ground.apply().succeed()?;
    ground.expect_all()
}

#[test]
fn trouble_of_all_is_met_once() -> Result<()> {
    let many: Vec<(String, Vec<u8>)> =
        (0..200).map(|number| (format!("many/{number:03}.bin"), vec![number; 1000])).collect();
    let many: Vec<(&str, Vec<u8>)> =
        many.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    // A user who may only read.
    let mut setup = after_paas(Release::V1_3_16);
    setup.users.retain(|user| user.name != "bkpaas3");
    setup.users.push(User::new("bkpaas3", PASSWORD, &[Grant::Reading(PROJECT.into())]));
    let ground = Ground::new(setup, &many, "")?;
    let refused = ground.apply().fail_with(1)?;
    refused.says("bkrepo-write")?;
    ensure!(ground.puts() == 0, "nothing is sent in vain");
    ground
        .run(&["apply", "bundle", "--skip-check", "bkrepo-write"])
        .fail_with(1)?
        .prints("may not do this")?;
    ensure!(ground.puts() <= 16, "{} bodies for one answer", ground.puts());

    // Another password than bkrepo's.
    let wrong = ground.apply().env("BKREPO_PASSWORD", "wrong").fail_with(1)?;
    wrong.says("does not know the user")?.says("bkpaas3-apiserver-bkrepo-envs")?;
    shows_no_secret(&ground, &wrong)?;

    // It is gone in the middle of a run, and stays away.
    let ground = Ground::new(after_paas(Release::V1_3_16), &many, "")?;
    let server = ground.server.clone();
    let started = std::sync::atomic::AtomicUsize::new(0);
    server.fail_times(1_000_000, Fault::Gateway(503), move |method, _| {
        let count = |order| started.fetch_add(usize::from(method == Method::PUT), order);
        count(std::sync::atomic::Ordering::Relaxed) >= 20
    });
    let failed = ground.apply().fail_with(1)?;
    ensure!(failed.elapsed < Duration::from_secs(60), "{failed}");
    let puts = ground.puts();
    ensure!(puts < 20 + 8 * 8 + 8, "{puts} uploads were tried");
    server.heal();
    ground.apply().succeed()?;
    ground.expect_all()?;

    // Nothing listens there at all.
    let text = fs::read_to_string(ground.workspace.path("site.yaml"))?;
    ground.workspace.write("site.yaml", text.replace(&ground.server.url(), "http://127.0.0.1:1"))?;
    let down = ground.run(&["plan", "bundle"]).fail_with(1)?;
    down.says("cannot connect")?.says("201 more")?;
    ensure!(down.elapsed < Duration::from_secs(10), "{down}");
    Ok(())
}

/// One site file, and BlueKing comes after its registry: until then nothing answers for bkrepo but a gateway.
#[test]
fn a_bkrepo_that_is_not_up_yet_does_not_hold_back_the_registry() -> Result<()> {
    let sample = Sample::built(Corpus::small(17, 2000))?;
    let (registry, server) =
        (Registry::start(RegistrySetup::default()), Bkrepo::start(after_paas(RELEASES[0]))?);
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
    let target = format!("registry: {{address: \"{}\", existing: {{}}, plainHttp: true}}\n", registry.host());
    let bkrepo = format!(
        "bkrepo:\n  url: {}\n  {LOGIN}\n  files: [{{repository: {PROJECT}/{ASSETS}}}]\n",
        server.url()
    );
    let workspace = &sample.workspace;
    workspace.write("site.yaml", format!("{head}{target}{bkrepo}"))?;
    let run = |arguments: &[&str]| workspace.installer().args(arguments).env("BKREPO_PASSWORD", PASSWORD);
    server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);

    let waiting = format!("for bkrepo at {}: ", server.url());
    let plan = run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(4)?;
    plan.prints("not planned: 1 project, 2 repositories, 3 files ")?
        .prints(&waiting)?
        .prints("run `apply` again")?;
    let plan = run(&["--output", "json", "plan", "bundle"]).succeed()?;
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout)?;
    ensure!(plan["waiting"][0]["service"] == format!("bkrepo at {}", server.url()), "{}", plan["waiting"]);
    let first = run(&["apply", "bundle"]).fail_with(1)?;
    first.prints("0 failed")?.prints("not planned: ")?.prints(&waiting)?;
    for image in &sample.corpus.images {
        ensure!(registry.tag(&image.repository, &image.tag).is_some(), "{} is there", image.name());
    }
    run(&["status"]).fail_with(1)?.prints(": waiting, ")?.prints(&waiting)?.prints("next: `apply` again")?;

    // It is no other site for having been asked again.
    let again = run(&["apply", "bundle"]).fail_with(1)?;
    again.prints("nothing to do yet")?.prints(&waiting)?;
    run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(1)?;
    ensure!(!workspace.path("site.ferry/runs/0002").exists(), "nothing was done, and nothing is new");

    server.heal();
    run(&["apply", "bundle"]).succeed()?;
    ensure!(!server.files(PROJECT, ASSETS).is_empty());
    run(&["status"]).succeed()?;

    // With nothing else to bring there is nothing to plan.
    server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);
    workspace.write("site.yaml", format!("{head}{bkrepo}"))?;
    run(&["plan", "bundle"]).fail_with(1)?.says("the site cannot be planned for")?;
    Ok(())
}

/// PaaS's login is not there before PaaS is; with a registry beside it that is no obstacle.
#[test]
fn a_login_that_paas_will_bring_does_not_hold_back_the_registry() -> Result<()> {
    let sample = Sample::built(Corpus::small(18, 2000))?;
    let (registry, cluster) = (Registry::start(RegistrySetup::default()), FakeCluster::start());
    let kubeconfig = cluster.kubeconfig(&sample.workspace.path(""))?;
    let site = format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nregistry: {{address: \"{}\", existing: {{}}, plainHttp: true}}\nbkrepo: {{url: \"http://bkrepo.invalid\", paasSecret: {{}}}}\n",
        kubeconfig.display(),
        registry.host()
    );
    sample.workspace.write("site.yaml", site)?;
    let applied = sample.workspace.installer().args(["apply", "bundle"]).fail_with(1)?;
    applied.prints("not planned: ")?.prints("bkpaas3-apiserver-bkrepo-envs")?;
    ensure!(sample.corpus.images.iter().all(|image| registry.tag(&image.repository, &image.tag).is_some()));
    Ok(())
}

/// The large file compresses well, so that the bundle stays small; it goes up in parts.
fn with_large(count: usize, large: usize) -> Vec<(String, Vec<u8>)> {
    let size = |number: usize| 1000 + (number * 7919) % 30_000;
    let small = (0..count).map(|number| {
        let content = format!("{} ", number % 7).into_bytes();
        (format!("many/{:02}/{number:04}.txt", number % 40), content.repeat(size(number % 5)))
    });
    small.chain([("large/zeros.img".to_owned(), vec![0; large])]).collect()
}

#[test]
fn killed_anywhere_it_goes_on_with_what_is_there() -> Result<()> {
    let files = with_large(40, 100 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let usual = ground.apply().succeed()?.elapsed;
    ground.expect_all()?;
    ground.run(&["rollback"]).succeed()?;
    let mut random = Random::new(409);
    let mut parts_sent = 0;
    for _ in 0..5 {
        fs::remove_dir_all(ground.workspace.path("site.ferry"))?;
        ground.server.forget_requests();
        for _ in 0..3 {
            ground.apply().kill_after(usual * u32::try_from(random.below(1000))? / 1000)?;
        }
        ground.apply().succeed()?;
        ground.expect_all()?;
        let mut taken = ground.taken();
        // Parts of the large one: what was sent twice was cut, or not yet noted when the process died.
        parts_sent += taken.remove("/large/zeros.img").unwrap_or(0);
        ensure!(taken.values().all(|&times| times == 1), "a finished file was sent again: {taken:?}");
        ensure!(ground.server.open_uploads() <= 3, "uploads were begun again and again");
        ground.server.forget_requests();
        ground.apply().succeed()?.prints("nothing to do")?;
        ensure!(ground.server.bodies().is_empty(), "{:?}", ground.server.bodies());
        ground.run(&["rollback"]).run()?;
        for (path, _) in &files {
            let url = format!("{}/generic/{PROJECT}/{ASSETS}/{path}", ground.server.url());
            let authorization = format!("Basic {}", STANDARD.encode("admin:blueking"));
            request(&Method::DELETE, &url, &[("authorization", &authorization)], "")?;
        }
    }
    ensure!(parts_sent > 0, "the large file never went up in parts");
    Ok(())
}

/// A run that was cut off is not given up because bkrepo happens to be out when it is gone on with.
#[test]
fn an_outage_between_kill_and_resume_does_not_end_the_run() -> Result<()> {
    let files = with_large(40, 100 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let running = ground.apply().start()?;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while ground.taken().is_empty() {
        ensure!(std::time::Instant::now() < deadline, "no file came");
        thread::sleep(Duration::from_millis(2));
    }
    drop(running);
    ground.server.fail_times(1_000_000, Fault::Gateway(503), |_, _| true);
    let out = ground.apply().fail_with(1)?;
    out.says("run 0001 was cut off, and cannot be gone on with now")?.says("goes on where it stopped")?;
    ground.run(&["status"]).fail_with(1)?.prints(": cut off, ")?;
    ground.server.heal();
    ground.apply().succeed()?.says("going on with run 0001")?;
    ground.expect_all()?;
    ensure!(!ground.workspace.path("site.ferry/runs/0002").exists(), "it was one run");
    ground.run(&["rollback"]).succeed()?;
    ensure!(ground.server.files(PROJECT, ASSETS).values().all(|file| file.folder), "all of it was one run's");
    Ok(())
}

/// A killed run's parts are not sent again.
#[test]
fn parts_that_bkrepo_has_are_not_sent_again() -> Result<()> {
    let files = with_large(0, 160 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "")?;
    let part = |ground: &Ground| ground.taken().get("/large/zeros.img").copied().unwrap_or(0);
    let running = ground.apply().start()?;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while part(&ground) < 2 {
        ensure!(std::time::Instant::now() < deadline, "no part came");
        thread::sleep(Duration::from_millis(2));
    }
    drop(running);
    let before = part(&ground);
    ensure!(before < 5, "all was sent before it was killed");
    ground.apply().succeed()?;
    ground.expect_all()?;
    let parts = part(&ground);
    ensure!(parts == 5, "{parts} parts of 32 MiB for 160 MiB, {before} of them before the kill");
    // Twelve hours later bkrepo has forgotten them.
    ground.run(&["rollback"]).succeed()?;
    ensure!(ground.server.open_uploads() == 0);
    Ok(())
}

#[test]
fn two_thousand_files_need_little_memory() -> Result<()> {
    let files = with_large(1999, 300 << 20);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let setup = Setup { keeping: Keeping::DigestsOnly, ..after_paas(Release::V1_3_16) };
    let ground = Ground::new(setup, &files, "  repair: true\n")?;
    drop(files);
    let planned = ground.run(&["plan", "bundle"]).succeed()?.peak_memory;
    let applied = ground.apply().succeed()?.peak_memory;
    // A program for tests holds some 35 MiB of its own code; what moving content takes is what is asked here: eight uploads at once,
    // with three chunks of a mebibyte and a frame of four each.
    ensure!(planned < 64 << 10, "{planned} KiB to plan");
    ensure!(applied.saturating_sub(planned) < 40 << 10, "{applied} KiB, and {planned} KiB to plan");
    ground.expect_all()?;
    ground.server.forget_requests();
    let again = ground.apply().succeed()?;
    again.prints("nothing to do")?;
    ensure!(again.peak_memory < 64 << 10, "{} KiB", again.peak_memory);
    let requests = ground.server.requests();
    ensure!(requests.iter().all(|asked| asked.body == 0) && requests.len() <= 6, "{requests:#?}");
    Ok(())
}

#[test]
fn whom_paas_uploads_as_is_read_from_the_cluster() -> Result<()> {
    let ground = Ground::usual(Release::V1_3_16, "")?;
    let cluster = FakeCluster::start();
    let kubeconfig = cluster.kubeconfig(&ground.workspace.path(""))?;
    let text = |access: &str| {
        format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nbkrepo: {{url: \"{}\", {access}}}\n",
            kubeconfig.display(),
            ground.server.url()
        )
    };
    ground.workspace.write("site.yaml", text("paasSecret: {}"))?;
    let missing = ground.run(&["plan", "bundle"]).fail_with(1)?;
    missing.says("no Secret blueking/bkpaas3-apiserver-bkrepo-envs")?;

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}});
    cluster.apply_as("helm", &namespace)?;
    let table = format!(
        "{{PROJECT='bkpaas', ENDPOINT='{}', USERNAME='bkpaas3', PASSWORD=\"{PASSWORD}\"}}",
        ground.server.url()
    );
    let secret = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "bkpaas3-apiserver-bkrepo-envs", "namespace": "blueking"},
            "data": {"BLOBSTORE_BKREPO_CONFIG": STANDARD.encode(value)}})
    };
    cluster.apply_as("helm", &secret("{USERNAME='bkpaas3'}"))?;
    ground.run(&["plan", "bundle"]).fail_with(1)?.says("it has no PASSWORD")?;
    cluster.apply_as("helm", &secret(&table))?;
    let applied = ground.apply().succeed()?;
    shows_no_secret(&ground, &applied)?;
    ground.expect_all()?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    ensure!(ground.server.requests().iter().any(|asked| asked.user.as_deref() == Some("bkpaas3")));

    // Nobody in particular may not upload.
    ground.workspace.write("site.yaml", text("create: true"))?;
    ground.run(&["plan", "bundle"]).fail_with(1)?.says("paasSecret: {}")?;
    Ok(())
}

#[test]
fn platform_accounts_upload() -> Result<()> {
    let setup = Setup { platforms: vec![("access".into(), PASSWORD.into())], ..after_paas(Release::V3_3) };
    let ground = Ground::new(setup, &runtimes(), "")?;
    let text = fs::read_to_string(ground.workspace.path("site.yaml"))?;
    ground.workspace.write("access-key", "access\n")?;
    let platform =
        "platform: {accessKey: {file: access-key}, secretKey: {env: BKREPO_PASSWORD}, user: bkpaas3}";
    ground.workspace.write("site.yaml", text.replace(LOGIN, platform))?;
    ground.apply().succeed()?;
    ground.expect_all()
}

#[test]
fn repositories_of_another_kind_are_refused() -> Result<()> {
    let mut setup = after_paas(Release::V1_3_16);
    setup.repositories.retain(|repository| repository.name != ASSETS);
    setup.repositories.push(RepositorySetup::new(PROJECT, ASSETS, "DOCKER", true));
    let ground = Ground::new(setup, &runtimes(), "")?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("is a DOCKER repository")?;
    ground
        .run(&["apply", "bundle", "--skip-check", "bkrepo-write"])
        .fail_with(1)?
        .prints("is a DOCKER repository")?;
    ensure!(ground.puts() == 0);
    Ok(())
}
