//! Looks at a server, and uploads that are only begun to see whether they may be.

mod support;

use std::time::{Duration, UNIX_EPOCH};

use ferry_transfer::{Error, PushProbe};
use support::{Answer, End, Server, client};

#[tokio::test]
async fn a_look_takes_any_answer_and_follows_nowhere() {
    let server = Server::start(|_, number| match number {
        0 => Answer { body: b"{\"errors\":[]}".to_vec(), ..Answer::status(401) }
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("docker-distribution-api-version", "registry/2.0"),
        1 => Answer::status(301).header("location", "/elsewhere"),
        2 => Answer { body: vec![b'x'; 100_000], ..Answer::status(503) },
        _ => Answer::none(End::Reset),
    })
    .await;
    let client = client(&server);
    let url = server.url("/v2/");
    let look = client.look(&url).await.unwrap();
    assert_eq!((look.status, &look.body[..]), (401, &b"{\"errors\":[]}"[..]));
    assert_eq!(look.header("Docker-Distribution-API-Version"), Some("registry/2.0"));
    let (theirs, ours) = look.clocks.unwrap();
    assert_eq!(theirs, UNIX_EPOCH + Duration::from_secs(784_111_777));
    assert!(ours.elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(client.look(&url).await.unwrap().status, 301);
    let look = client.look(&url).await.unwrap();
    assert_eq!((look.status, look.body.len(), look.clocks), (503, 16 << 10, None));
    assert!(matches!(client.look(&url).await, Err(Error::Interrupted { .. })));
    assert_eq!(server.requests().len(), 4, "{:?}", server.lines());
}

#[tokio::test]
async fn a_probe_leaves_nothing_behind() {
    let server = Server::start(|request, number| match (request.method.as_str(), number) {
        ("POST", 0 | 2) => Answer::status(202).header("location", "/v2/a/b/blobs/uploads/7?x=1"),
        ("DELETE", 1) => Answer::status(204),
        ("DELETE", _) => Answer::status(405),
        _ => Answer::status(403),
    })
    .await;
    let repository = client(&server).repository(&server.host, "a/b");
    assert_eq!(repository.probe_push().await.unwrap(), PushProbe::Removed);
    assert_eq!(repository.probe_push().await.unwrap(), PushProbe::Left);
    assert!(matches!(repository.probe_push().await, Err(Error::Denied { status: 403, .. })));
    let (begin, delete) = ("POST /v2/a/b/blobs/uploads/", "DELETE /v2/a/b/blobs/uploads/7?x=1");
    assert_eq!(server.lines(), [begin, delete, begin, delete, begin]);
}

#[tokio::test]
async fn a_request_of_some_size_is_sent_and_taken_back() {
    let server = Server::start(|request, number| match (request.method.as_str(), number) {
        ("POST", _) => Answer::status(202).header("location", "/v2/a/b/blobs/uploads/7?x=1"),
        ("PATCH", 1) => Answer::status(202).header("location", "/v2/a/b/blobs/uploads/7?x=2"),
        ("PATCH", _) => Answer::status(413),
        _ => Answer::status(204),
    })
    .await;
    let repository = client(&server).repository(&server.host, "a/b");
    repository.probe_request(1000).await.unwrap();
    assert_eq!(repository.probe_request(1000).await.unwrap_err().status(), Some(413));
    let (begin, session) = ("POST /v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads/7?x=");
    let expected = [
        begin.to_owned(),
        format!("PATCH {session}1"),
        format!("DELETE {session}2"),
        begin.to_owned(),
        format!("PATCH {session}1"),
        format!("DELETE {session}1"),
    ];
    assert_eq!(server.lines(), expected);
    assert_eq!(server.requests()[1].body.len(), 1000);
}
