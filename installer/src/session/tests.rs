//! The engine over real files: cut off at every line of the journal, gone on with, taken back.

mod doubt;
mod images;
mod one_of;
mod owned;
mod undo;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::event::Events;
use ferry_model::plan::{
    Certificates, Content, Desired, File, Folder, Htpasswd, Identity, Keep, Plan, Resource,
};
use ferry_model::report::Outcome;
use ferry_model::site::{Login, SecretSource};
use ferry_transfer::Options;

use crate::Error;
use crate::apply::apply;
use crate::context::Context;
use crate::desire::Desire;
use crate::journal::{Progress, RunFolder, Stop, Undo};
use crate::observe::observe;
use crate::plan::plan;
use crate::replace::Attributes;
use crate::replace::testing::{self, ACCESS_LIST};
use crate::report;
use crate::rollback::rollback;
use crate::session::{rollback_site, status};
use crate::site::SiteFile;

/// A machine's folder, with what an operator has there.
struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { folder: testing::folder() };
        let site = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
        fs::write(ground.path("site.yaml"), site).unwrap();
        fs::write(ground.path("password"), "s3cret-of-the-test\n").unwrap();
        fs::create_dir(ground.path("etc")).unwrap();
        let operators = ground.path("etc/daemon.json");
        fs::write(&operators, "{\n  \"debug\": true\n}\n").unwrap();
        testing::set(&operators, "user.note", b"ask the operator first").unwrap();
        testing::set(&operators, ACCESS_LIST, &testing::access_list(1234, 6)).unwrap();
        fs::set_permissions(&operators, fs::Permissions::from_mode(0o604)).unwrap();
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn context(&self) -> Context {
        let site = SiteFile::read(&self.path("site.yaml")).unwrap();
        Context::new(site, None, Options::default(), Events::none())
    }

    /// Folders, an operator's file, a new file, a password file and certificates, in each other's way as a registry's are.
    fn desire(&self) -> Desire {
        let folder = |name: &str| {
            Resource::new(
                Desired::Folder(Folder { path: self.path(name), mode: Some(0o750), keep: Keep::Everything }),
                "it holds the rest",
            )
        };
        let file = |name: &str, text: &str| {
            let content = Content::Text { text: text.to_owned() };
            Resource::new(Desired::File(File { path: self.path(name), mode: 0o640, content }), "it is needed")
        };
        let (etc, ferry) = (folder("etc/ferry"), folder("etc/ferry/tls"));
        let login = Login { user: "admin".into(), password: SecretSource::File("password".into()) };
        let htpasswd = Htpasswd { path: self.path("etc/ferry/htpasswd"), login };
        let certificates =
            Certificates { folder: self.path("etc/ferry/tls"), names: vec!["registry.corp".into()] };
        let needs = [etc.id()];
        let resources = vec![
            file("etc/daemon.json", "{\n  \"debug\": true,\n  \"insecure-registries\": []\n}\n"),
            ferry.clone().after(needs.clone()),
            file("etc/ferry/config.yml", "version: 0.1\n").after(needs.clone()),
            Resource::new(Desired::Htpasswd(htpasswd), "who may pull").after(needs),
            Resource::new(Desired::Certificates(certificates), "clients ask for it").after([ferry.id()]),
        ];
        Desire { resources: [vec![etc], resources].concat(), ..Desire::default() }
    }

    async fn plan(&self) -> Plan {
        let (context, desire) = (self.context(), self.desire());
        let observed = observe(&context, &desire.resources).await;
        plan(identity(&context), &desire, &observed).unwrap()
    }

    /// Every path below `etc`, with its mode, attributes and content. What is random by nature counts by its name alone.
    fn picture(&self, keep_random: bool) -> BTreeMap<PathBuf, (u32, Attributes, Vec<u8>)> {
        let mut picture = BTreeMap::new();
        let mut folders = vec![self.path("etc")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                let is_random = path.starts_with(self.path("etc/ferry/tls")) || path.ends_with("htpasswd");
                let content = if path.is_dir() || (is_random && !keep_random) {
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                if path.is_dir() {
                    folders.push(path.clone());
                }
                let name = path.strip_prefix(self.folder.path()).unwrap().to_owned();
                picture.insert(name, (mode, testing::of(&path), content));
            }
        }
        picture
    }

    fn run(&self) -> Option<RunFolder> {
        RunFolder::find(&self.path("site.ferry"), None).unwrap()
    }

    /// Whether the run has begun the step of this file.
    fn has_begun(&self, name: &str) -> bool {
        let (run, file) = (self.run().unwrap(), format!("file {}", self.path(name).display()));
        let (plan, progress) = (run.plan().unwrap(), run.progress().unwrap());
        let step = plan.steps.iter().find(|step| step.resource.id().as_str() == file).unwrap();
        progress.steps.get(&step.id).is_some_and(|known| known.before.is_some())
    }

    /// Applies, cut off where `stop` says. `Ok` if it came to its end.
    async fn apply(&self, stop: Option<Stop>) -> Result<(), Error> {
        let plan = self.plan().await;
        let (run, journal) = RunFolder::begin(&self.path("site.ferry"), &plan, &[])?;
        *journal.stop.lock().unwrap() = stop;
        apply(&self.context(), &plan, &run, &journal, &Progress::default()).await
    }

    async fn go_on(&self) {
        let context = self.context();
        let observed = observe(&context, &self.desire().resources).await;
        super::go_on(&context, &self.run().unwrap(), &observed).await.unwrap();
    }

    async fn take_back(&self, stop: Option<Stop>) -> Result<(), Error> {
        let run = self.run().unwrap();
        let journal = run.journal().unwrap();
        *journal.stop.lock().unwrap() = stop;
        let (context, plan, progress) = (self.context(), run.plan().unwrap(), run.progress().unwrap());
        Box::pin(rollback(&context, &plan, &run, &journal, &progress)).await
    }
}

fn identity(context: &Context) -> Identity {
    Identity {
        bundle: "demo".parse().unwrap(),
        version: "1".parse().unwrap(),
        catalog: Digest::of(b"catalog"),
        site: "dc1".parse().unwrap(),
        site_file: context.site.digest,
    }
}

/// Cuts after so many appends, with and without the next line on disk.
fn stops() -> impl Iterator<Item = (usize, bool)> {
    (0..).flat_map(|after| [(after, false), (after, true)])
}

#[tokio::test]
async fn cut_off_anywhere_it_goes_on_to_the_same_end_and_can_be_taken_back() {
    let undisturbed = Ground::new();
    undisturbed.apply(None).await.unwrap();
    let end = undisturbed.picture(false);
    assert!(end.len() > 8, "{end:?}");
    let mut cuts = 0;
    for (after, written) in stops() {
        let ground = Ground::new();
        let before = ground.picture(true);
        let ended = ground.apply(Some(Stop { after, written })).await.is_ok();
        ground.go_on().await;
        assert_eq!(ground.picture(false), end, "cut after {after} lines");
        assert!(ground.plan().await.steps.is_empty(), "a second run has nothing to do");
        ground.take_back(None).await.unwrap();
        assert_eq!(ground.picture(true), before, "taken back after a cut after {after} lines");
        if ended {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20, "only {cuts} cuts");
}

#[tokio::test]
async fn any_part_of_a_run_can_be_taken_back_byte_for_byte() {
    for (after, written) in stops() {
        let ground = Ground::new();
        let before = ground.picture(true);
        let ended = ground.apply(Some(Stop { after, written })).await.is_ok();
        // Taking back is cut off as well, at every place in turn.
        let _ = ground.take_back(Some(Stop { after: after % 7, written })).await;
        ground.take_back(None).await.unwrap();
        assert_eq!(ground.picture(true), before, "cut after {after} lines");
        assert_eq!(ground.run().unwrap().progress().unwrap().undo, Undo::Ended);
        if ended {
            break;
        }
    }
}

#[tokio::test]
async fn what_others_have_changed_since_is_left_and_said() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    fs::write(ground.path("etc/daemon.json"), "{\"mine\": true}").unwrap();
    fs::write(ground.path("etc/ferry/notes.txt"), "the operator's").unwrap();
    ground.take_back(None).await.unwrap();
    assert_eq!(fs::read_to_string(ground.path("etc/daemon.json")).unwrap(), "{\"mine\": true}");
    assert!(ground.path("etc/ferry/notes.txt").exists() && !ground.path("etc/ferry/config.yml").exists());
    let report = report::write(&ground.run().unwrap()).unwrap();
    let left: Vec<String> = report.with(Outcome::Left).map(|change| change.resource.to_string()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let kept = report.by_hand.iter().find(|sentence| sentence.contains("is kept in")).unwrap();
    let file = Path::new(kept.rsplit("kept in ").next().unwrap());
    assert_eq!(fs::read_to_string(file).unwrap(), "{\n  \"debug\": true\n}\n");
}

#[tokio::test]
async fn one_failure_holds_back_only_what_needs_it() {
    let ground = Ground::new();
    // Where the folder for certificates should be, somebody made a file after the plan was made.
    let plan = ground.plan().await;
    fs::create_dir(ground.path("etc/ferry")).unwrap();
    fs::write(ground.path("etc/ferry/tls"), "in the way").unwrap();
    let (run, journal) = RunFolder::begin(&ground.path("site.ferry"), &plan, &[]).unwrap();
    apply(&ground.context(), &plan, &run, &journal, &Progress::default()).await.unwrap();
    let report = report::read(&run).unwrap();
    let names = |outcome| report.with(outcome).map(|change| change.resource.to_string()).collect::<Vec<_>>();
    assert_eq!(names(Outcome::Failed), [format!("folder {}", ground.path("etc/ferry/tls").display())]);
    assert_eq!(
        names(Outcome::NotTried),
        [format!("certificates {}", ground.path("etc/ferry/tls").display())]
    );
    assert_eq!(names(Outcome::Done).len(), 4);
}

#[tokio::test]
async fn secrets_stay_out_of_what_is_kept() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    let run = ground.run().unwrap();
    report::write(&run).unwrap();
    let mut looked_at = 0;
    for entry in fs::read_dir(run.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains("s3cret") && !text.contains("$2y$") && !text.contains("PRIVATE KEY"),
                "{}",
                path.display()
            );
            looked_at += 1;
        }
    }
    assert!(looked_at >= 4);
}

#[tokio::test]
async fn taking_back_twice_leaves_what_the_first_time_left() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    fs::write(ground.path("etc/daemon.json"), "{\"mine\": true}").unwrap();
    for _ in 0..3 {
        ground.take_back(None).await.unwrap();
        assert_eq!(fs::read_to_string(ground.path("etc/daemon.json")).unwrap(), "{\"mine\": true}");
    }
}

#[tokio::test]
async fn what_was_left_is_said_and_can_be_tried_again() {
    let ground = Ground::new();
    let before = ground.picture(true);
    ground.apply(None).await.unwrap();
    let ours = fs::read(ground.path("etc/daemon.json")).unwrap();
    fs::write(ground.path("etc/daemon.json"), "{\"mine\": true}").unwrap();
    rollback_site(&ground.context(), None).await.unwrap();
    let told = status(&ground.context()).await.unwrap();
    assert_eq!((told.runs[0].state, told.runs[0].left.len()), ("undone in part", 1), "{told:?}");
    assert!(told.runs[0].left[0].contains("daemon.json") && !told.is_good(), "{told:?}");
    assert!(
        told.text().contains("  left: file ") && told.text().contains("rollback 0001"),
        "{}",
        told.text()
    );

    // It is not taken for a run that stands, and only its number brings it up again.
    let refused = rollback_site(&ground.context(), None).await.unwrap_err();
    assert!(refused.to_string().contains("no run to take back"), "{refused}");
    let (report, run) = rollback_site(&ground.context(), Some("0001")).await.unwrap();
    assert_eq!(report.with(Outcome::Left).count(), 1, "still changed");
    assert!(report::text(&report, &run).contains("left: file "), "{}", report::text(&report, &run));

    fs::write(ground.path("etc/daemon.json"), ours).unwrap();
    // Cut off, it is half undone and goes on.
    let stopped = ground.take_back(Some(Stop { after: 1, written: true })).await;
    stopped.unwrap_err();
    assert_eq!(status(&ground.context()).await.unwrap().runs[0].state, "half undone");
    let (report, _) = rollback_site(&ground.context(), Some("1")).await.unwrap();
    assert_eq!(report.with(Outcome::Left).count(), 0);
    assert_eq!(ground.picture(true), before);
    let told = status(&ground.context()).await.unwrap();
    assert_eq!(told.runs[0].state, "undone");
    assert!(told.is_good() && told.runs[0].left.is_empty(), "{told:?}");

    // Nothing is left to be tried: the journal stays as it is.
    let lines = || ground.run().unwrap().entries().unwrap().len();
    let known = lines();
    rollback_site(&ground.context(), Some("1")).await.unwrap();
    assert_eq!(lines(), known);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_taken_back_blindly_and_can_be_later() {
    let ground = Ground::new();
    let before = ground.picture(true);
    ground.apply(None).await.unwrap();
    // What is no file may be anybody's.
    let file = ground.path("etc/ferry/htpasswd");
    fs::rename(&file, ground.path("elsewhere")).unwrap();
    fs::create_dir(&file).unwrap();
    ground.take_back(None).await.unwrap();
    assert!(file.exists());
    // It does not hold up the site; naming the run tries again.
    assert_eq!(ground.run().unwrap().progress().unwrap().undo, Undo::Ended);
    let told = status(&ground.context()).await.unwrap();
    assert_eq!((told.runs[0].state, told.runs[0].left.len()), ("undone in part", 2), "{told:?}");
    fs::remove_dir(&file).unwrap();
    fs::rename(ground.path("elsewhere"), &file).unwrap();
    ground.take_back(None).await.unwrap();
    assert_eq!(ground.picture(true), before);
    assert_eq!(ground.run().unwrap().progress().unwrap().undo, Undo::Ended);
}

#[tokio::test]
async fn a_file_that_failed_and_was_mended_by_hand_is_left() {
    let ground = Ground::new();
    let plan = ground.plan().await;
    // In the way of the file, so that its step fails.
    fs::create_dir_all(ground.path("etc/ferry/config.yml.ferry-new/x")).unwrap();
    fs::set_permissions(ground.path("etc/ferry"), fs::Permissions::from_mode(0o750)).unwrap();
    let (run, journal) = RunFolder::begin(&ground.path("site.ferry"), &plan, &[]).unwrap();
    apply(&ground.context(), &plan, &run, &journal, &Progress::default()).await.unwrap();
    let failed: Vec<_> =
        report::read(&run).unwrap().with(Outcome::Failed).map(|change| change.resource.to_string()).collect();
    assert_eq!(failed, [format!("file {}", ground.path("etc/ferry/config.yml").display())]);
    fs::write(ground.path("etc/ferry/config.yml"), "the operator's own").unwrap();
    ground.take_back(None).await.unwrap();
    assert_eq!(fs::read_to_string(ground.path("etc/ferry/config.yml")).unwrap(), "the operator's own");
}

#[tokio::test]
async fn copies_of_runs_and_cut_off_beginnings_are_no_runs() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    let runs = ground.path("site.ferry/runs");
    fs::create_dir(runs.join("0001.bak")).unwrap();
    fs::copy(runs.join("0001/journal.jsonl"), runs.join("0001.bak/journal.jsonl")).unwrap();
    fs::create_dir(runs.join("0002")).unwrap();
    fs::write(runs.join("0002/journal.jsonl"), "{\"at\": 1, \"ev").unwrap();
    assert_eq!(ground.run().unwrap().name(), "0001");
    ground.take_back(None).await.unwrap();
    ground.apply(None).await.unwrap();
    assert_eq!(ground.run().unwrap().name(), "0002");

    // A line that was torn within a character is no reason to give up.
    let journal = runs.join("0002/journal.jsonl");
    let mut text = fs::read(&journal).unwrap();
    text.extend_from_slice(&"{\"at\": 2, \"摆".as_bytes()[..13]);
    fs::write(&journal, text).unwrap();
    ground.take_back(None).await.unwrap();
}

#[tokio::test]
async fn what_was_noted_on_files_stays_with_them_and_comes_back() {
    let ground = Ground::new();
    let note = |name: &str| testing::of(&ground.path(name)).access_list().map(<[u8]>::len);
    let listed = note("etc/daemon.json");
    assert!(listed.is_some());
    ground.apply(None).await.unwrap();
    assert_eq!(note("etc/daemon.json"), listed, "whom it lists is still listed after it was replaced");
    for name in ["server.key", "ca.crt", "certificates.json"] {
        let path = ground.path("etc/ferry/tls").join(name);
        testing::set(&path, "user.note", name.as_bytes()).unwrap();
        testing::set(&path, ACCESS_LIST, &testing::access_list(4321, 4)).unwrap();
    }
    testing::set(&ground.path("etc/ferry/htpasswd"), "user.note", b"mine").unwrap();
    fs::write(ground.path("password"), "an0ther-of-the-test\n").unwrap();
    fs::remove_file(ground.path("etc/ferry/tls/server.crt")).unwrap();
    let before = ground.picture(true);
    ground.apply(None).await.unwrap();
    let after = ground.picture(true);
    for name in ["etc/ferry/htpasswd", "etc/ferry/tls/server.key"] {
        let (was, is) = (&before[Path::new(name)], &after[Path::new(name)]);
        assert!(was.2 != is.2 && !is.1.is_empty(), "{name}");
    }
    ground.take_back(None).await.unwrap();
    assert_eq!(ground.picture(true), before);
}

fn without_attributes(
    picture: BTreeMap<PathBuf, (u32, Attributes, Vec<u8>)>,
) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    picture.into_iter().map(|(path, (mode, _, content))| (path, (mode, content))).collect()
}

#[tokio::test]
async fn what_was_done_and_is_gone_when_a_run_goes_on_is_done_again() {
    let undisturbed = Ground::new();
    undisturbed.apply(None).await.unwrap();
    let end = without_attributes(undisturbed.picture(false));
    for name in ["etc/daemon.json", "etc/ferry/htpasswd", "etc/ferry/tls/server.crt", "etc/ferry"] {
        let mut found = 0;
        for after in 3.. {
            let ground = Ground::new();
            let before = ground.picture(true);
            let ended = ground.apply(Some(Stop { after, written: after % 2 == 0 })).await.is_ok();
            let path = ground.path(name);
            // What the run has not begun and somebody has changed is no run to go on with.
            let is_begun = path.exists() && (name != "etc/daemon.json" || ground.has_begun(name));
            if is_begun {
                found += 1;
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                ground.go_on().await;
                // Attributes that went with a file come back when the run is taken back, not before.
                assert_eq!(without_attributes(ground.picture(false)), end, "{name} gone after {after} lines");
                let _ = ground.take_back(Some(Stop { after: after % 5, written: true })).await;
                ground.take_back(None).await.unwrap();
                assert_eq!(ground.picture(true), before, "{name} gone after {after} lines");
            }
            if ended {
                break;
            }
        }
        assert!(found > 1, "{name} was never there");
    }
}

#[tokio::test]
async fn doing_again_that_is_cut_off_is_taken_back_as_well() {
    for again in (0..12).step_by(2) {
        let ground = Ground::new();
        let before = ground.picture(true);
        ground.apply(Some(Stop { after: 11, written: true })).await.unwrap_err();
        fs::remove_dir_all(ground.path("etc/ferry")).unwrap();
        let (context, run) = (ground.context(), ground.run().unwrap());
        let observed = observe(&context, &ground.desire().resources).await;
        let (plan, journal) = (run.plan().unwrap(), run.journal().unwrap());
        let begun = super::again::begin_again(&plan, &run.progress().unwrap(), &observed);
        assert!(begun.len() > 2, "{begun:?}");
        journal.append(begun).unwrap();
        *journal.stop.lock().unwrap() = Some(Stop { after: again, written: again % 4 == 0 });
        let _ = apply(&context, &plan, &run, &journal, &run.progress().unwrap()).await;
        ground.take_back(None).await.unwrap();
        assert_eq!(ground.picture(true), before, "cut off again after {again} lines");
    }
}

#[tokio::test]
async fn what_somebody_put_in_the_place_of_what_was_done_is_not_lost() {
    let ground = Ground::new();
    ground.apply(Some(Stop { after: 11, written: true })).await.unwrap_err();
    let run = ground.run().unwrap();
    let replaced = async || {
        let observed = observe(&ground.context(), &ground.desire().resources).await;
        super::again::replaced(&run.plan().unwrap(), &run.progress().unwrap(), &observed)
    };
    assert_eq!(replaced().await, [""; 0]);
    let path = ground.path("etc/daemon.json");
    fs::remove_file(&path).unwrap();
    assert_eq!(replaced().await, [""; 0], "what is gone is nobody's");
    fs::write(&path, "{\"mine\": true}").unwrap();
    let found = replaced().await;
    assert!(found.len() == 1 && found[0].contains("daemon.json"), "{found:?}");
}
