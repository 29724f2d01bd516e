//! What needs one of several things is made when one of them is, and after all have been tried.

use super::*;

/// Two files and one that needs either; those whose folder is not there cannot be made.
fn desire_in(ground: &Ground, folders: [&str; 2]) -> Desire {
    let file = |name: &str| {
        let content = Content::Text { text: "x\n".into() };
        Resource::new(Desired::File(File { path: ground.path(name), mode: 0o640, content }), "it is needed")
    };
    let either = folders.map(|folder| file(&format!("{folder}/either-{}", folder.len())));
    let then = file("etc/then").after_one_of(either.each_ref().map(Resource::id));
    Desire { resources: either.into_iter().chain([then]).collect(), ..Desire::default() }
}

async fn apply_all(ground: &Ground, desire: &Desire) -> Vec<(String, Outcome)> {
    let context = ground.context();
    let observed = observe(&context, &desire.resources).await;
    let plan = plan(identity(&context), desire, &observed).unwrap();
    let (run, journal) = RunFolder::begin(&ground.path("site.ferry"), &plan, &[]).unwrap();
    apply(&context, &plan, &run, &journal, &Progress::default()).await.unwrap();
    let report = report::read(&run).unwrap();
    let name = |id: &str| id.rsplit('/').next().unwrap_or_default().to_owned();
    report.changes.iter().map(|change| (name(change.resource.as_str()), change.outcome)).collect()
}

#[tokio::test]
async fn one_is_enough_and_none_is_not() {
    use Outcome::{Done, Failed, NotTried};
    for (folders, expected) in [
        (["etc", "nowhere"], [Done, Failed, Done]),
        (["nowhere", "etc"], [Failed, Done, Done]),
        (["nowhere", "no"], [Failed, Failed, NotTried]),
    ] {
        let ground = Ground::new();
        let outcomes = apply_all(&ground, &desire_in(&ground, folders)).await;
        let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcomes, expected, "{folders:?}");
        assert_eq!(ground.path("etc/then").exists(), expected[2] == Done);
    }
}

#[tokio::test]
async fn one_that_is_there_already_is_enough() {
    let ground = Ground::new();
    fs::write(ground.path("etc/either-3"), "x\n").unwrap();
    fs::set_permissions(ground.path("etc/either-3"), fs::Permissions::from_mode(0o640)).unwrap();
    let outcomes = apply_all(&ground, &desire_in(&ground, ["etc", "nowhere"])).await;
    let expected = [("either-7".to_owned(), Outcome::Failed), ("then".to_owned(), Outcome::Done)];
    assert_eq!(outcomes, expected);
}
