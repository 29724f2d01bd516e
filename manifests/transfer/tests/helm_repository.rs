//! Helm repositories: the paths of each interface, the form on the wire, and what is not sent twice.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::plan::HelmApi;
use ferry_transfer::{
    ChartArchive, Error, HelmRepository, HelmRepositoryProblem, Login, Overwrite, Uploaded,
};
use support::{Answer, Blob, End, Follower, Request, Server, client, content};

fn archive<'a>(bytes: &[u8], provenance: Option<&str>, overwrite: Overwrite) -> ChartArchive<'a> {
    ChartArchive {
        name: "demo",
        version: "1.2.0",
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        source: Arc::new(Blob(Bytes::copy_from_slice(bytes))),
        provenance: provenance.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        overwrite,
    }
}

fn repository(server: &Server, path: &str, api: HelmApi) -> HelmRepository {
    let login = Login { user: "admin".into(), password: "blueking".into() };
    client(server).helm_repository(&server.url(path), api, Some(&login)).expect("a client")
}

/// A repository that takes forms apart, with a hook to fail first.
async fn museum(
    context: &'static str,
    fault: impl Fn(usize) -> Option<(Answer, bool)> + Send + Sync + 'static,
) -> Server {
    let state: Mutex<(usize, Option<Digest>)> = Mutex::default();
    Server::start(move |request: &Request, _| {
        let (posts, held) = &mut *state.lock().expect("not poisoned");
        match request.method.as_str() {
            "POST" => {
                *posts += 1;
                let answer = fault(*posts - 1);
                if answer.as_ref().is_none_or(|(_, keeps)| *keeps) {
                    *held = Some(Digest::of(&fields(request)[0].2));
                }
                answer.map_or_else(
                    || Answer { status: 201, ..Answer::ok(br#"{"saved":true}"#) },
                    |(answer, _)| answer,
                )
            }
            "DELETE" => {
                held.take().map_or_else(|| Answer::status(404), |_| Answer::ok(br#"{"deleted":true}"#))
            }
            _ if request.path.ends_with("/index.yaml") => {
                let index =
                    format!("apiVersion: v1\nentries: {{}}\nserverInfo: {{contextPath: '{context}'}}\n");
                Answer::ok(index.as_bytes())
            }
            _ => match held {
                Some(digest) => {
                    Answer::ok(format!(r#"{{"name":"demo","digest":"{}"}}"#, digest.hex()).as_bytes())
                }
                None => Answer { status: 404, ..Answer::ok(br#"{"error":"improper constraint"}"#) },
            },
        }
    })
    .await
}

/// Name, file and content of each field.
fn fields(request: &Request) -> Vec<(String, String, Vec<u8>)> {
    let boundary =
        request.header("content-type").strip_prefix("multipart/form-data; boundary=").expect("a form");
    let mut rest = request.body.as_slice();
    let mut fields = Vec::new();
    rest = rest.strip_prefix(format!("--{boundary}\r\n").as_bytes()).expect("a boundary");
    loop {
        let head = find(rest, b"\r\n\r\n");
        let text = std::str::from_utf8(&rest[..head]).expect("text");
        let quoted: Vec<&str> = text.split('"').collect();
        rest = &rest[head + 4..];
        let end = find(rest, format!("\r\n--{boundary}").as_bytes());
        fields.push((quoted[1].to_owned(), quoted[3].to_owned(), rest[..end].to_vec()));
        rest = &rest[end + boundary.len() + 4..];
        if rest == b"--\r\n" {
            return fields;
        }
        rest = rest.strip_prefix(b"\r\n").expect("another field");
    }
}

fn find(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).position(|window| window == part).expect("it is there")
}

#[tokio::test]
async fn each_interface_has_its_paths() {
    let bytes = content(200_000);
    for (base, context, api, post, version) in [
        ("/", "", HelmApi::ChartMuseum, "/api/charts", "/api/charts/demo/1.2.0"),
        ("/org/team", "", HelmApi::ChartMuseum, "/api/org/team/charts", "/api/org/team/charts/demo/1.2.0"),
        (
            "/helm/v1/org/",
            "/helm/v1",
            HelmApi::ChartMuseum,
            "/helm/v1/api/org/charts",
            "/helm/v1/api/org/charts/demo/1.2.0",
        ),
        ("/v10", "/v1", HelmApi::ChartMuseum, "/api/v10/charts", "/api/v10/charts/demo/1.2.0"),
        (
            "/chartrepo/library",
            "",
            HelmApi::ChartMuseum,
            "/api/chartrepo/library/charts",
            "/api/chartrepo/library/charts/demo/1.2.0",
        ),
        (
            "/blueking/charts",
            "",
            HelmApi::Bkrepo,
            "/api/blueking/charts/charts",
            "/blueking/charts/api/charts/demo/1.2.0",
        ),
        (
            "/helm/blueking/charts",
            "",
            HelmApi::Bkrepo,
            "/helm/api/blueking/charts/charts",
            "/helm/blueking/charts/api/charts/demo/1.2.0",
        ),
    ] {
        let server = museum(context, |_| None).await;
        let repository = repository(&server, base, api);
        let (follower, task) = Follower::task();
        let chart = archive(&bytes, Some("-----BEGIN PGP"), Overwrite::No);
        assert_eq!(repository.upload_chart(&chart, &task).await.unwrap(), Uploaded::Sent);
        assert_eq!(follower.done(), bytes.len() as u64);
        assert_eq!(repository.chart("demo", "1.2.0").await.unwrap(), Some(Digest::of(&bytes)));
        assert!(repository.delete_chart("demo", "1.2.0").await.unwrap());
        assert!(!repository.delete_chart("demo", "1.2.0").await.unwrap());
        assert_eq!(repository.chart("demo", "1.2.0").await.unwrap(), None);

        let requests = server.requests();
        let posted = requests.iter().find(|request| request.method == "POST").unwrap();
        assert_eq!(posted.path, post, "{base}");
        assert_eq!(posted.header("authorization"), "Basic YWRtaW46Ymx1ZWtpbmc=");
        assert_eq!(posted.header("content-length"), posted.body.len().to_string());
        assert_eq!(posted.header("transfer-encoding"), "");
        let fields = fields(posted);
        assert!(fields[0] == ("chart".into(), "demo-1.2.0.tgz".into(), bytes.clone()));
        assert!(fields[1] == ("prov".into(), "demo-1.2.0.tgz.prov".into(), b"-----BEGIN PGP".to_vec()));
        assert_eq!(fields.len(), 2);
        let asked = requests.iter().filter(|request| matches!(request.method.as_str(), "GET" | "DELETE"));
        let asked: Vec<_> =
            asked.map(|request| request.path.as_str()).filter(|path| !path.ends_with(".yaml")).collect();
        assert!(asked.iter().all(|path| *path == version), "{asked:?}");
    }
}

#[tokio::test]
async fn after_a_failure_a_look_comes_before_the_next_body() {
    let bytes = content(100_000);
    for (keeps, posts) in [(true, 1), (false, 2)] {
        for answer in [Answer::none(End::Reset), Answer::status(502)] {
            let server = museum("", move |number| (number == 0).then(|| (answer.clone(), keeps))).await;
            let repository = repository(&server, "/", HelmApi::ChartMuseum);
            let (_, task) = Follower::task();
            repository.upload_chart(&archive(&bytes, None, Overwrite::No), &task).await.unwrap();
            assert_eq!(server.lines().iter().filter(|line| line.starts_with("POST")).count(), posts);
        }
    }
}

#[tokio::test]
async fn versions_that_are_there() {
    let bytes = content(1000);
    let conflict = || Answer { status: 409, ..Answer::ok(br#"{"error":"demo-1.2.0.tgz already exists"}"#) };
    // The same one, from an attempt whose answer was lost.
    let server = museum("", move |_| Some((conflict(), true))).await;
    let (_, task) = Follower::task();
    let museum_of = |server| repository(server, "/", HelmApi::ChartMuseum);
    let uploaded =
        museum_of(&server).upload_chart(&archive(&bytes, None, Overwrite::No), &task).await.unwrap();
    assert_eq!(uploaded, Uploaded::WasThere);

    let server = museum("", move |_| Some((conflict(), false))).await;
    let error =
        museum_of(&server).upload_chart(&archive(&bytes, None, Overwrite::No), &task).await.unwrap_err();
    let Error::HelmRepository(refusal) = &error else { panic!("{error}") };
    assert_eq!(refusal.problem, HelmRepositoryProblem::Exists);
    assert!(
        error.to_string().contains("demo 1.2.0") && error.to_string().contains("already exists"),
        "{error}"
    );
    assert!(error.hints()[0].contains("ALLOW_OVERWRITE"));

    let server = museum("", |_| None).await;
    museum_of(&server).upload_chart(&archive(&bytes, None, Overwrite::Yes), &task).await.unwrap();
    assert!(server.lines().contains(&"POST /api/charts?force=true".to_owned()));
}

#[tokio::test]
async fn what_is_no_helm_repository() {
    for (answer, class, hint) in [
        (Answer::ok(b"<html>hello</html>"), Class::Protocol, "helm repo add"),
        (Answer::status(404), Class::Protocol, "index.yaml"),
        (Answer::status(401), Class::Denied, "login"),
        (Answer::status(403), Class::Denied, "right to write"),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let error = repository(&server, "/", HelmApi::ChartMuseum).charts().await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.hints()[0].contains(hint), "{:?}", error.hints());
    }
}
