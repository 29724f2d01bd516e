//! What is left when a run is taken back: what it needs stays with it and it can be tried again.

use std::fs;

use ferry_model::plan::{Content, Desired, File, Resource, ResourceId};
use ferry_model::report::{Outcome, Report};

use super::{Ground, identity};
use crate::apply::apply;
use crate::desire::Desire;
use crate::journal::{Progress, RunFolder, Stop};
use crate::observe::observe;
use crate::plan::plan;
use crate::report;
use crate::session::{rollback_site, status};

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
        let (context, desire) = (self.context(), self.service());
        let plan = plan(identity(&context), &desire, &observe(&context, &desire.resources).await).unwrap();
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
