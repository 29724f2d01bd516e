//! What is left when a run is taken back: what it needs stays with it, the site is not locked, and it can be tried again or given up.

use std::fs;

use ferry_model::plan::{Content, Desired, File, Resource, ResourceId};
use ferry_model::report::{Outcome, Report, Signer};

use super::{Ground, identity};
use crate::apply::apply;
use crate::desire::Desire;
use crate::journal::{Progress, RunFolder, Stop, Undo};
use crate::observe::observe;
use crate::plan::plan;
use crate::report;
use crate::session::{leave_site, rollback_site, status};

impl Ground {
    /// The configuration of a service, and the service, which takes it up: two files.
    fn service(&self) -> Desire {
        let file = |name: &str| {
            let content = Content::Text { text: format!("{name} of the run\n") };
            Resource::new(Desired::File(File { path: self.path(name), mode: 0o644, content }), "it is needed")
        };
        let config = file("etc/config");
        let service = file("etc/service").following([config.id()]);
        Desire { resources: vec![config, service], ..Desire::default() }
    }

    /// Begins a run of the service.
    async fn apply_service(&self, stop: Option<Stop>) -> RunFolder {
        self.apply_this(&self.service(), stop).await
    }

    async fn apply_this(&self, desire: &Desire, stop: Option<Stop>) -> RunFolder {
        let context = self.context();
        let plan = plan(identity(&context), desire, &observe(&context, &desire.resources).await).unwrap();
        let (run, journal) = RunFolder::begin(&self.path("site.ferry"), &plan, &[]).unwrap();
        *journal.stop.lock().unwrap() = stop;
        let _ = apply(&context, &plan, &run, &journal, &Progress::default()).await;
        run
    }

    async fn take_all_back(&self) -> Report {
        rollback_site(&self.context(), Some("1")).await.unwrap().0
    }

    async fn state(&self) -> &'static str {
        status(&self.context()).await.unwrap().runs[0].state
    }

    /// Puts something in the way of whoever writes this file.
    fn block(&self, name: &str) {
        fs::create_dir_all(self.path(&format!("{name}.ferry-new/x"))).unwrap();
    }

    fn unblock(&self, name: &str) {
        fs::remove_dir_all(self.path(&format!("{name}.ferry-new"))).unwrap();
    }
}

fn left(report: &Report) -> Vec<(ResourceId, String)> {
    let told = report.with(Outcome::Left);
    told.map(|change| (change.resource.clone(), change.failure.clone().unwrap().message)).collect()
}

#[tokio::test]
async fn what_something_needs_that_stays_stays_with_it() {
    for was_there in [false, true] {
        let ground = Ground::new();
        if was_there {
            for name in ["etc/config", "etc/service"] {
                fs::write(ground.path(name), "the operator's\n").unwrap();
            }
        }
        let before = ground.picture(true);
        ground.apply_service(None).await;
        let after = ground.picture(true);

        // It cannot be looked at for a while.
        let (service, aside) = (ground.path("etc/service"), ground.path("aside"));
        fs::rename(&service, &aside).unwrap();
        fs::create_dir(&service).unwrap();
        let told = left(&ground.take_all_back().await);
        assert_eq!(told.len(), 2, "{told:?}");
        let why = format!("file {} needs it and stays", service.display());
        assert!(told.iter().any(|(id, told)| id.as_str().ends_with("etc/config") && told.contains(&why)));
        assert_eq!(ground.state().await, "undone in part");
        fs::remove_dir(&service).unwrap();
        fs::rename(&aside, &service).unwrap();
        assert_eq!(ground.picture(true), after, "it was there before: {was_there}");

        // Somebody makes it their own.
        let ours = fs::read(&service).unwrap();
        fs::write(&service, "mine\n").unwrap();
        assert_eq!(left(&ground.take_all_back().await).len(), 2);
        fs::write(&service, ours).unwrap();
        assert_eq!(ground.picture(true), after);

        assert_eq!(left(&ground.take_all_back().await), []);
        assert_eq!(ground.picture(true), before);
        assert_eq!(ground.state().await, "undone");
    }
}

#[tokio::test]
async fn what_needs_one_of_several_keeps_them_all() {
    let ground = Ground::new();
    let file = |name: &str| {
        let content = Content::Text { text: format!("{name} of the run\n") };
        Resource::new(Desired::File(File { path: ground.path(name), mode: 0o644, content }), "it is needed")
    };
    let images = [file("etc/image-1"), file("etc/image-2")];
    let service = file("etc/service").after_one_of(images.each_ref().map(Resource::id));
    let desire = Desire { resources: images.into_iter().chain([service]).collect(), ..Desire::default() };
    ground.apply_this(&desire, None).await;
    // It cannot be looked at, and may run.
    fs::remove_file(ground.path("etc/service")).unwrap();
    fs::create_dir(ground.path("etc/service")).unwrap();
    let told = left(&ground.take_all_back().await);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(ground.path("etc/image-1").exists() && ground.path("etc/image-2").exists());
}

#[tokio::test]
async fn what_is_gone_needs_nothing() {
    let ground = Ground::new();
    for name in ["etc/config", "etc/service"] {
        fs::write(ground.path(name), "the operator's\n").unwrap();
    }
    ground.apply_service(None).await;
    fs::remove_file(ground.path("etc/service")).unwrap();
    let told = left(&ground.take_all_back().await);
    assert!(told.len() == 1 && told[0].0.as_str().ends_with("etc/service"), "{told:?}");
    assert_eq!(fs::read_to_string(ground.path("etc/config")).unwrap(), "the operator's\n");
}

#[tokio::test]
async fn a_step_that_was_done_and_could_not_be_done_again_is_taken_back() {
    let ground = Ground::new();
    let before = ground.picture(true);
    // All is done, but for the line that says so.
    let run = ground.apply_service(Some(Stop { after: 4, written: false })).await;
    assert!(ground.path("etc/service").exists() && run.progress().unwrap().ended.is_none());
    fs::remove_file(ground.path("etc/config")).unwrap();
    ground.block("etc/config");
    let context = ground.context();
    let observed = observe(&context, &ground.service().resources).await;
    super::super::go_on(&context, &run, &observed).await.unwrap();
    let report = report::read(&run).unwrap();
    let count = |outcome| report.with(outcome).count();
    assert_eq!((count(Outcome::Failed), count(Outcome::NotTried)), (1, 1), "{report:?}");
    ground.unblock("etc/config");
    assert_eq!(left(&ground.take_all_back().await), []);
    assert_eq!(ground.picture(true), before);
}

#[tokio::test]
async fn a_run_that_is_half_taken_back_goes_on_or_is_given_up() {
    for gives_up in [false, true] {
        let ground = Ground::new();
        let before = ground.picture(true);
        ground.apply(None).await.unwrap();
        let refused = leave_site(&ground.context(), None).unwrap_err();
        assert!(refused.to_string().contains("run 0001 stands"), "{refused}");
        ground.block("etc/daemon.json");
        let (report, run) = rollback_site(&ground.context(), None).await.unwrap();
        assert_eq!(left(&report).len(), 1, "{report:?}");
        assert!(report::text(&report, &run).contains("`rollback 0001 --leave`"));
        let told = status(&ground.context()).await.unwrap();
        assert!(told.runs[0].state == "half undone" && told.text().contains("`rollback 0001 --leave`"));

        // Out of sight, it is half undone still.
        let (file, aside) = (ground.path("etc/daemon.json"), ground.path("aside"));
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
        rollback_site(&ground.context(), None).await.unwrap();
        assert_eq!(ground.state().await, "half undone");
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();

        if gives_up {
            let stands = ground.picture(true);
            let (report, run) = leave_site(&ground.context(), Some("1")).unwrap();
            assert_eq!(run.progress().unwrap().undo, Undo::Ended);
            let told = left(&report);
            assert!(told.len() == 1 && told[0].1.contains("left as it is, half taken back"), "{told:?}");
            assert!(told[0].1.contains("is kept in") && report.by_hand == [told[0].1.clone()], "{report:?}");
            assert_eq!(ground.picture(true), stands, "giving up changes nothing");
            assert_eq!(ground.state().await, "undone in part");
            let lines = run.entries().unwrap();
            leave_site(&ground.context(), Some("1")).unwrap();
            assert_eq!(run.entries().unwrap(), lines, "it is over");
        }
        ground.unblock("etc/daemon.json");
        assert_eq!(left(&ground.take_all_back().await), []);
        assert_eq!(ground.picture(true), before, "given up: {gives_up}");
    }
}

#[tokio::test]
async fn a_run_that_is_half_taken_back_shows_behind_one_that_is_gone() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    ground.apply_service(None).await;
    rollback_site(&ground.context(), None).await.unwrap();
    assert!(status(&ground.context()).await.unwrap().is_good());
    ground.block("etc/daemon.json");
    rollback_site(&ground.context(), None).await.unwrap();
    let told = status(&ground.context()).await.unwrap();
    let states: Vec<&str> = told.runs.iter().map(|run| run.state).collect();
    assert_eq!(states, ["half undone", "undone"]);
    assert!(!told.is_good() && told.text().contains("next: ") && told.text().contains("rollback 0001"));
}

#[tokio::test]
async fn what_was_not_come_to_when_a_run_is_given_up_is_told() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    let steps = ground.run().unwrap().plan().unwrap().steps.len();
    ground.take_back(Some(Stop { after: 4, written: true })).await.unwrap_err();
    let (report, _) = leave_site(&ground.context(), None).unwrap();
    let told = left(&report);
    let undone = report.with(Outcome::Undone).count();
    assert!(undone > 0 && told.len() > 1 && undone + told.len() == steps, "{report:?}");
    assert!(told.iter().any(|(_, why)| why.contains("is left as it is, not taken back")), "{told:?}");
}

#[tokio::test]
async fn of_a_bundle_that_is_not_on_record_nothing_is_claimed() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    assert_eq!(report::read(&ground.run().unwrap()).unwrap().signer, Signer::Unknown);
}
