//! Projects and repositories: made, waited for, left where others use them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::bkrepo::{Fault, Grant, Release, RepositorySetup, Setup, User};
use ferry_tests::http::request;
use serde_json::json;

use super::ground::{ASSETS, Ground, PASSWORD, PROJECT, RELEASES, after_paas, runtimes};

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
