//! Uploads to a registry that misbehaves: fall-back to pieces, resumption, odd locations, mounts.

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::{Class, Failure};
use ferry_transfer::{BlobSource, ChunkReader, Error, Repository, SourceError};
use support::{Answer, Blob, End, Follower, Request, Server, client, content};

const SIZE: usize = 3_000_000;

/// A registry that keeps one upload, with a hook to fail first. Of a body whose request fails it keeps half; one larger
/// than `largest` it refuses unread, as nginx does.
async fn registry(
    largest: usize,
    fault: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let held: Arc<Mutex<Vec<u8>>> = Arc::default();
    let state = Arc::clone(&held);
    let too_large = move |request: &Request| {
        request.header("content-length").parse::<usize>().is_ok_and(|length| length > largest)
    };
    let script = move |request: &Request, number| {
        if too_large(request) {
            return Answer::status(413);
        }
        let mut held = state.lock().expect("not poisoned");
        if let Some(answer) = fault(request, number) {
            held.extend_from_slice(&request.body[..request.body.len() / 2]);
            return answer;
        }
        held.extend_from_slice(&request.body);
        let answer = |status| {
            let location = format!("/v2/a/b/blobs/uploads/1?state={}", held.len());
            Answer::status(status)
                .header("location", location)
                .header("range", format!("0-{}", held.len().saturating_sub(1)))
        };
        match request.method.as_str() {
            "POST" => {
                held.clear();
                Answer::status(202).header("location", "/v2/a/b/blobs/uploads/1?state=0")
            }
            "GET" => answer(204),
            "PATCH" => answer(202),
            "PUT" => answer(201),
            "HEAD" => Answer::status(404),
            _ => Answer::status(200),
        }
    };
    (Server::start_hasty(move |request, _| too_large(request), script).await, held)
}

fn repository(server: &Server) -> Repository {
    client(server).repository(&server.host, "a/b")
}

async fn upload(server: &Server, bytes: &[u8]) -> Result<usize, Error> {
    let (follower, task) = Follower::task();
    let source = Arc::new(Blob(Bytes::copy_from_slice(bytes)));
    repository(server).upload_blob(&Digest::of(bytes), bytes.len() as u64, source, &task).await?;
    assert_eq!(follower.done(), bytes.len() as u64);
    Ok(follower.retries())
}

#[tokio::test]
async fn one_request_where_all_is_well() {
    let (server, held) = registry(usize::MAX, |_, _| None).await;
    for size in [SIZE, 1, 0] {
        let bytes = content(size);
        upload(&server, &bytes).await.unwrap();
        assert!(*held.lock().unwrap() == bytes);
    }
    let lines = server.lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0], "POST /v2/a/b/blobs/uploads/");
    let digest = Digest::of(&content(SIZE));
    assert_eq!(lines[1], format!("PUT /v2/a/b/blobs/uploads/1?state=0&digest={digest}"));
    assert_eq!(server.requests()[1].header("content-length"), SIZE.to_string());
    assert_eq!(server.requests()[1].header("transfer-encoding"), "");
}

#[tokio::test]
async fn pieces_after_413_and_remembered() {
    let (server, held) = registry(1_000_000, |_, _| None).await;
    let bytes = content(SIZE);
    let (client, (_, task)) = (client(&server), Follower::task());
    let repository = client.repository(&server.host, "a/b");
    for round in 0..2 {
        let before = server.lines().iter().filter(|line| line.starts_with("PUT")).count();
        let source = Arc::new(Blob(Bytes::from(bytes.clone())));
        repository.upload_blob(&Digest::of(&bytes), SIZE as u64, source, &task).await.unwrap();
        assert!(*held.lock().unwrap() == bytes);
        let puts = server.lines().iter().filter(|line| line.starts_with("PUT")).count() - before;
        assert_eq!(puts, if round == 0 { 2 } else { 1 }, "the limit is remembered");
    }
    for request in server.requests().iter().filter(|request| request.method == "PATCH") {
        let (start, end) = request.header("content-range").split_once('-').unwrap();
        let length = end.parse::<usize>().unwrap() + 1 - start.parse::<usize>().unwrap();
        assert_eq!(length.to_string(), request.header("content-length"));
    }

    let (server, _) = registry(100, |_, _| None).await;
    let error = upload(&server, &bytes).await.unwrap_err();
    assert!(matches!(error, Error::UploadTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn goes_on_where_the_registry_stopped() {
    for fault in [Answer::status(500), Answer::none(End::Reset), Answer::none(End::Stall)] {
        let (server, held) =
            registry(usize::MAX, move |_, number| (number == 1).then(|| fault.clone())).await;
        let bytes = content(SIZE);
        assert_eq!(upload(&server, &bytes).await.unwrap(), 1);
        assert!(*held.lock().unwrap() == bytes);
        let requests = server.requests();
        let methods: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(methods, ["POST", "PUT", "HEAD", "GET", "PATCH", "PUT"]);
        let rest = format!("{}-{}", SIZE / 2, SIZE - 1);
        assert_eq!(requests[4].header("content-range"), rest, "only what is missing goes again");
    }
}

#[tokio::test]
async fn begins_anew_when_the_registry_lost_the_upload() {
    let (server, held) = registry(usize::MAX, |request, number| match number {
        1 => Some(Answer::status(502)),
        _ if request.method == "GET" => Some(Answer::status(404)),
        _ => None,
    })
    .await;
    let bytes = content(SIZE);
    upload(&server, &bytes).await.unwrap();
    assert!(*held.lock().unwrap() == bytes);
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("POST")).count(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_no_lost_blob() {
    let (server, _) = registry(usize::MAX, |request, _| match request.method.as_str() {
        "PUT" => Some(Answer::status(504)),
        "HEAD" => Some(Answer::status(200)),
        _ => None,
    })
    .await;
    assert_eq!(upload(&server, &content(SIZE)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_token_that_runs_out_before_the_body() {
    let (server, _) = registry(usize::MAX, |request, _| {
        if request.path.starts_with("/token") {
            return Some(Answer::ok(br#"{"token":"t"}"#));
        }
        let challenge = format!("Bearer realm=\"http://{}/token\"", request.header("host"));
        (request.method == "PUT" && request.header("authorization").is_empty())
            .then(|| Answer::status(401).header("www-authenticate", challenge))
    })
    .await;
    let bytes = content(SIZE);
    // What is done is counted once, though the body went out twice.
    assert_eq!(upload(&server, &bytes).await.unwrap(), 0);
    let methods: Vec<_> = server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "PUT", "GET", "PUT"]);
}

#[tokio::test]
async fn refusals_are_final() {
    for (status, class) in [(403, Class::Denied), (400, Class::Protocol), (507, Class::Protocol)] {
        let (server, _) =
            registry(usize::MAX, move |request, _| (request.method == "PUT").then(|| Answer::status(status)))
                .await;
        assert_eq!(upload(&server, &content(10)).await.unwrap_err().class(), class);
        assert_eq!(server.lines().len(), 2);
    }
}

/// A source whose content turns out damaged after its first chunk.
struct Damaged;

#[derive(Debug, thiserror::Error)]
#[error("blob is damaged")]
struct Damage;

impl Failure for Damage {
    fn class(&self) -> Class {
        Class::Verification
    }
}

impl BlobSource for Damaged {
    fn open(&self, _: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        struct Reader(bool);
        impl ChunkReader for Reader {
            fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(SourceError::new(Damage));
                }
                Ok(Some(Bytes::from(vec![0; 1000])))
            }
        }
        Ok(Box::new(Reader(false)))
    }
}

#[tokio::test]
async fn a_damaged_source_is_named_as_such() {
    let (server, held) = registry(usize::MAX, |_, _| None).await;
    let (_, task) = Follower::task();
    let error =
        repository(&server).upload_blob(&Digest::of(b""), 2000, Arc::new(Damaged), &task).await.unwrap_err();
    assert!(matches!(&error, Error::Source { .. }), "{error}");
    assert_eq!(error.class(), Class::Verification);
    assert!(server.lines().len() <= 2, "it is not tried again");
    assert!(held.lock().unwrap().is_empty());
}

#[tokio::test]
async fn mounts() {
    let (server, _) = registry(usize::MAX, |request, _| {
        (request.method == "POST" && request.path.contains("from=a%2Fc") || request.path.contains("from=a/c"))
            .then(|| Answer::status(201))
    })
    .await;
    let digest = Digest::of(b"");
    assert!(repository(&server).mount(&digest, "a/c").await.unwrap());
    assert!(!repository(&server).mount(&digest, "a/d").await.unwrap());
    let lines = server.lines();
    assert_eq!(
        lines.last().unwrap(),
        "DELETE /v2/a/b/blobs/uploads/1?state=0",
        "the upload begun instead is given up"
    );
    let (server, _) = registry(usize::MAX, |_, _| Some(Answer::status(405))).await;
    assert!(!repository(&server).mount(&digest, "a/c").await.unwrap());
}

#[tokio::test]
async fn manifests() {
    let bytes = Bytes::from_static(b"{}");
    let digest = Digest::of(&bytes);
    let server = Server::start(move |request, _| match request.path.rsplit('/').next() {
        Some("lie") => Answer::status(201).header("docker-content-digest", Digest::of(b"other").to_string()),
        Some("subject") => Answer::status(201).header("oci-subject", digest.to_string()),
        _ => Answer::status(201).header("docker-content-digest", digest.to_string()),
    })
    .await;
    let put = async |reference| {
        repository(&server).put_manifest(reference, "application/vnd.x+json", bytes.clone()).await
    };
    assert!(!put("1.0").await.unwrap().lists_referrers);
    assert!(put("subject").await.unwrap().lists_referrers);
    assert!(matches!(put("lie").await, Err(Error::WrongDigest { .. })));
    let lies = server.lines().iter().filter(|line| line.ends_with("lie")).count();
    assert_eq!(lies, 2, "a tag that names the wrong thing is worth a second try");
    let request = &server.requests()[0];
    assert_eq!(
        (request.header("content-type"), request.body.as_slice()),
        ("application/vnd.x+json", &b"{}"[..])
    );
}
