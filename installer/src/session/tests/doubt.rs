//! What was begun when the run was cut off, and somebody has been at since.

use std::fs;

use ferry_model::plan::{Space, State};

use super::{Ground, stops};
use crate::journal::{StepState, Stop};
use crate::observe::observe;
use crate::session::again::replaced;
use crate::session::drift::is_plan;

impl Ground {
    /// Whether nobody can tell how far the step of this file came.
    fn is_in_doubt(&self, name: &str) -> bool {
        let (run, path) = (self.run().unwrap(), self.path(name).display().to_string());
        let (plan, progress) = (run.plan().unwrap(), run.progress().unwrap());
        let step = plan.steps.iter().find(|step| step.resource.id().as_str().ends_with(&path)).unwrap();
        progress.state(step.id) == Some(&StepState::Started)
    }

    /// What somebody has replaced, as a run that goes on sees it.
    async fn replaced(&self) -> Vec<String> {
        let (context, run) = (self.context(), self.run().unwrap());
        let observed = observe(&context, &self.desire().resources).await;
        replaced(&run.plan().unwrap(), &run.progress().unwrap(), &observed)
    }
}

#[tokio::test]
async fn what_somebody_put_where_the_run_had_only_begun_is_not_lost() {
    for (name, theirs) in [("etc/daemon.json", "{\"mine\": true}"), ("etc/ferry/htpasswd", "mine:$2y$05$x\n")]
    {
        let mut found = 0;
        for (after, written) in stops() {
            let ground = Ground::new();
            let ended = ground.apply(Some(Stop { after, written })).await.is_ok();
            if ground.is_in_doubt(name) {
                found += 1;
                assert_eq!(ground.replaced().await, [""; 0], "as before or as wanted: it is the run's");
                let path = ground.path(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, theirs).unwrap();
                let told = ground.replaced().await;
                assert!(told.len() == 1 && told[0].contains(name), "{told:?}");
                ground.take_back(None).await.unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), theirs, "cut after {after} lines");
            }
            if ended {
                break;
            }
        }
        assert!(found > 0, "{name} was never in doubt");
    }
}

/// A plan that was reviewed is gone on with, whatever is mounted where by then.
#[tokio::test]
async fn what_only_people_read_makes_no_other_plan() {
    let mut plan = Ground::new().plan().await;
    plan.space.push(Space::new("/srv/images", 7));
    let id = plan.steps[0].resource.id();
    plan.observed.insert(id.clone(), State::Unknown { reason: "it hangs".into() });
    let mut reviewed = plan.clone();
    reviewed.space[0].mount = Some("/srv".into());
    reviewed.observed.insert(id.clone(), State::Unknown { reason: "it hangs still".into() });
    assert!(is_plan(&reviewed, &plan));
    reviewed.space[0].bytes = 8;
    assert!(!is_plan(&reviewed, &plan));
    reviewed.space[0].bytes = 7;
    reviewed.observed.insert(id, State::Absent);
    assert!(!is_plan(&reviewed, &plan));
}
