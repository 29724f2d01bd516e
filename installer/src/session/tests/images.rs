//! Images that are taken back while their registry comes and goes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Endpoint, Image, ResourceId, State};

use super::*;
use crate::journal::StepState;
use crate::observe::Observed;
use crate::resources::Manage as _;

/// What the images are.
fn digest() -> Digest {
    Digest::of(b"an image")
}

/// Answers as a registry whose every tag names the image, or none does.
fn answer(listener: TcpListener, has_it: bool) {
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let length = client.read(&mut asked).unwrap_or(0);
            let is_root = String::from_utf8_lossy(&asked[..length]).contains(" /v2/ ");
            let found = match (is_root, has_it) {
                (true, _) => "200 OK\r\ncontent-length: 0".to_owned(),
                (false, true) => {
                    let kind = "application/vnd.oci.image.manifest.v1+json";
                    let named = digest();
                    format!(
                        "200 OK\r\ncontent-length: 8\r\ncontent-type: {kind}\r\ndocker-content-digest: {named}"
                    )
                }
                (false, false) => "404 Not Found\r\ncontent-length: 0".to_owned(),
            };
            let version = "docker-distribution-api-version: registry/2.0\r\nconnection: close";
            let _ = write!(client, "HTTP/1.1 {found}\r\n{version}\r\n\r\n");
        }
    });
}

/// An address where nobody listens yet.
fn address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn image(registry: SocketAddr, tag: &str) -> Resource {
    let image = Image {
        registry: registry.to_string().parse().unwrap(),
        repository: "team/app".into(),
        tag: Some(tag.into()),
        digest: digest(),
        source: format!("team/app:{tag}"),
        size: 8,
    };
    Resource::new(Desired::Image(image), "it was asked for")
}

impl Ground {
    fn note(&self, name: &str) -> Resource {
        let content = Content::Text { text: "x\n".into() };
        Resource::new(Desired::File(File { path: self.path(name), mode: 0o640, content }), "it is needed")
    }

    fn with_registry(&self, registry: SocketAddr) {
        let site = fs::read_to_string(self.path("site.yaml")).unwrap();
        let registry = format!("registry: {{address: \"{registry}\", existing: {{}}, plainHttp: true}}\n");
        fs::write(self.path("site.yaml"), site + &registry).unwrap();
    }

    /// A run that has brought all of these. What is not told was not there before.
    async fn brought(&self, resources: Vec<Resource>, there: &[(ResourceId, State)]) -> RunFolder {
        let context = self.context();
        let mut observed: Observed =
            resources.iter().map(|resource| (resource.id(), State::Absent)).collect();
        observed.extend(there.iter().cloned());
        let desire = Desire { resources, ..Desire::default() };
        let plan = plan(identity(&context), &desire, &observed).unwrap();
        let (run, journal) = RunFolder::begin(&self.path("site.ferry"), &plan, &[]).unwrap();
        for step in &plan.steps {
            let desired = &step.resource.desired;
            match desired {
                Desired::File(file) => {
                    fs::write(&file.path, "x\n").unwrap();
                    fs::set_permissions(&file.path, fs::Permissions::from_mode(file.mode)).unwrap();
                }
                Desired::Folder(folder) => fs::create_dir(&folder.path).unwrap(),
                _ => {}
            }
            let after = match desired {
                Desired::File(_) | Desired::Folder(_) => Box::pin(desired.observe(&context)).await,
                _ => desired.wanted(),
            };
            let before = Before { state: step.before.clone(), kept: BTreeMap::new() };
            let done = JournalEvent::Done { step: step.id, after };
            journal.append([JournalEvent::Started { step: step.id, before }, done]).unwrap();
        }
        journal.append([JournalEvent::Ended]).unwrap();
        run
    }

    /// Puts something in the place of a file that cannot be looked at.
    fn hide(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        fs::create_dir(self.path(name)).unwrap();
    }
}

/// How the step of this resource came out.
fn state(run: &RunFolder, id: &ResourceId) -> StepState {
    let (plan, progress) = (run.plan().unwrap(), run.progress().unwrap());
    let step = plan.steps.iter().find(|step| step.resource.id() == *id).unwrap();
    progress.state(step.id).unwrap().clone()
}

/// As an own registry that had crashed does, once its service is as it was before.
#[tokio::test]
async fn a_registry_that_taking_back_brings_up_is_asked_again() {
    let (ground, registry) = (Ground::new(), address());
    ground.with_registry(registry);
    let image = image(registry, "1");
    let run = ground.brought(vec![ground.note("etc/service"), image.clone()], &[]).await;
    let service = ground.path("etc/service");
    thread::spawn(move || {
        while service.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(500));
        answer(TcpListener::bind(registry).unwrap(), false);
    });
    ground.take_back(None).await.unwrap();
    assert_eq!(state(&run, &image.id()), StepState::Undone);
}

#[tokio::test]
async fn images_go_with_their_storage_whoever_needs_them() {
    let ground = Ground::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = listener.local_addr().unwrap();
    ground.with_registry(registry);
    answer(listener, true);
    let storage = Folder { path: ground.path("etc/storage"), mode: None, keep: Keep::ForeignImages };
    let storage = Resource::new(Desired::Folder(storage), "the registry keeps its images there");
    let address = registry.to_string().parse().unwrap();
    let answers = Endpoint { registry: address, scheme: "http".into(), patience: 0 };
    let answers = Resource::new(Desired::Endpoint(answers), "images go there").after([storage.id()]);
    let image = image(registry, "1").after([answers.id()]);
    let node = ground.note("etc/node").after([image.id()]);
    let (gone, stays) = (image.id(), node.id());
    let run = ground.brought(vec![storage, answers, image, node], &[]).await;
    ground.hide("etc/node");
    ground.take_back(None).await.unwrap();
    assert!(!ground.path("etc/storage").exists());
    assert!(matches!(state(&run, &stays), StepState::Left(_)));
    assert_eq!(state(&run, &gone), StepState::Undone);
}

#[tokio::test]
async fn a_tag_that_was_moved_stays_with_what_needs_it() {
    let ground = Ground::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = listener.local_addr().unwrap();
    ground.with_registry(registry);
    answer(listener, true);
    let image = image(registry, "1");
    let moved = image.id();
    let service = ground.note("etc/service").after([moved.clone()]);
    let theirs = State::present([("digest", Digest::of(b"theirs").to_string())]);
    let run = ground.brought(vec![image, service], &[(moved.clone(), theirs)]).await;
    ground.hide("etc/service");
    ground.take_back(None).await.unwrap();
    let told = state(&run, &moved);
    assert!(matches!(&told, StepState::Left(why) if why.contains("needs it and stays")), "{told:?}");
}

#[tokio::test]
async fn a_damaged_file_of_the_run_leaves_nothing_half_undone() {
    let ground = Ground::new();
    let run = ground.brought(vec![image(address(), "1")], &[]).await;
    run.write("registry.json", b"{").unwrap();
    let refused = ground.take_back(None).await.unwrap_err();
    assert!(refused.to_string().contains("registry.json"), "{refused}");
    assert_eq!(run.progress().unwrap().undo, Undo::No);
}
