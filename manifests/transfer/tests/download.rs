//! Downloads from a server that misbehaves: what is tried again, from where, and what is final.

mod support;

use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::failure::{Class, Failure as _};
use ferry_transfer::{Client, Error, Expected, Resume};
use support::{Answer, End, Follower, Memory, Request, Server, client, content, options};

const SIZE: usize = 300_000;

fn expected(bytes: &[u8]) -> Expected {
    Expected { digest: Some(Digest::of(bytes)), size: Some(bytes.len() as u64) }
}

/// Downloads and checks that what came, what is returned and what was reported agree.
async fn fetch(server: &Server, bytes: &[u8], expected: Expected) -> (Memory, usize) {
    let (mut sink, (follower, task)) = (Memory::default(), Follower::task());
    let done =
        client(server).fetch_url(&server.url("/f"), expected, Resume::default(), &mut sink, &task).await;
    assert_eq!(done.expect("it is mended"), (Digest::of(bytes), bytes.len() as u64));
    assert!(sink.bytes == bytes);
    assert_eq!(follower.done(), bytes.len() as u64);
    (sink, follower.retries())
}

async fn fetch_error(server: &Server, expected: Expected) -> Error {
    let (mut sink, (_, task)) = (Memory::default(), Follower::task());
    let done =
        client(server).fetch_url(&server.url("/f"), expected, Resume::default(), &mut sink, &task).await;
    done.expect_err("it cannot be had")
}

/// The rest of the content, or all of it.
fn serve(content: &[u8], request: &Request) -> Answer {
    match request.range_start() {
        Some(start) => Answer::part(content, start),
        None => Answer::ok(content),
    }
}

#[tokio::test]
async fn goes_on_after_each_kind_of_break() {
    let bytes = content(SIZE);
    let copy = bytes.clone();
    let server = Server::start(move |request, number| {
        let answer = serve(&copy, request);
        match number {
            0 => answer.cut(100_000, End::Reset),
            1 => answer.cut(50_000, End::Stall),
            2 => answer.cut(50_000, End::Close),
            3 => Answer::status(503).header("retry-after", "0"),
            4 => Answer::status(500),
            5 => Answer::status(429),
            _ => answer,
        }
    })
    .await;
    let (sink, retries) = fetch(&server, &bytes, expected(&bytes)).await;
    assert_eq!((sink.restarts, retries), (0, 6));
    let mut starts = server.requests().iter().map(Request::range_start).collect::<Vec<_>>();
    assert_eq!(starts.remove(0), None);
    assert!(starts.is_sorted() && starts[2] == Some(200_000), "{starts:?}");
}

#[tokio::test]
async fn reads_over_what_it_has_where_ranges_are_ignored() {
    let bytes = content(SIZE);
    let copy = bytes.clone();
    let server = Server::start(move |_, number| {
        let answer = Answer::ok(&copy);
        if number == 0 { answer.cut(100_000, End::Close) } else { answer }
    })
    .await;
    let (sink, _) = fetch(&server, &bytes, expected(&bytes)).await;
    assert_eq!(sink.restarts, 0);
    // Without a digest there is no proof that it is the same content still.
    let (sink, _) = fetch(
        &Server::start({
            let bytes = bytes.clone();
            move |_, number| {
                if number == 0 { Answer::ok(&bytes).cut(9, End::Close) } else { Answer::ok(&bytes) }
            }
        })
        .await,
        &bytes,
        Expected::default(),
    )
    .await;
    assert_eq!(sink.restarts, 1);
}

#[tokio::test]
async fn starts_over_once_when_parts_do_not_join() {
    let (old, new) = (content(SIZE), content(SIZE + 4)[4..].to_vec());
    let wanted = new.clone();
    let server = Server::start(move |request, number| match number {
        0 => Answer::ok(&old).cut(150_000, End::Close),
        _ => serve(&new, request),
    })
    .await;
    let (sink, _) = fetch(&server, &wanted, expected(&wanted)).await;
    assert_eq!(sink.restarts, 1);

    // The same with a range that cannot be copy any more.
    let bytes = content(1000);
    let copy = bytes.clone();
    let server =
        Server::start(
            move |request, _| {
                if request.range_start().is_some() { Answer::status(416) } else { Answer::ok(&copy) }
            },
        )
        .await;
    let (mut sink, (_, task)) = (Memory::default(), Follower::task());
    let resume = Resume { position: 500, hasher: Hasher::default() };
    client(&server).fetch_url(&server.url("/f"), expected(&bytes), resume, &mut sink, &task).await.unwrap();
    assert_eq!((sink.restarts, sink.bytes == bytes), (1, true));
}

#[tokio::test]
async fn a_changed_version_is_not_joined() {
    let (old, new) = (content(SIZE), content(SIZE + 4)[4..].to_vec());
    let wanted = new.clone();
    let server = Server::start(move |request, number| match number {
        0 => Answer::ok(&old).header("etag", "\"old\"").cut(150_000, End::Close),
        // As RFC 9110 has it: the whole, since the version that `If-Range` names is gone.
        1 => {
            assert_eq!(request.header("if-range"), "\"old\"");
            Answer::ok(&new).header("etag", "\"new\"")
        }
        _ => Answer::ok(&new).header("etag", "\"new\""),
    })
    .await;
    let (sink, _) = fetch(&server, &wanted, Expected { digest: None, size: None }).await;
    assert_eq!(sink.restarts, 1);
}

#[tokio::test]
async fn goes_on_from_an_earlier_process() {
    let bytes = content(SIZE);
    let copy = bytes.clone();
    let server = Server::start(move |request, _| serve(&copy, request)).await;
    let mut hasher = Hasher::default();
    hasher.update(&bytes[..1234]);
    let (mut sink, (follower, task)) =
        (Memory { bytes: bytes[..1234].to_vec(), restarts: 0 }, Follower::task());
    let resume = Resume { position: 1234, hasher: hasher.clone() };
    client(&server).fetch_url(&server.url("/f"), expected(&bytes), resume, &mut sink, &task).await.unwrap();
    assert!(sink.bytes == bytes && sink.restarts == 0);
    assert_eq!(follower.done(), SIZE as u64);
    assert_eq!(server.requests()[0].range_start(), Some(1234));

    // All is there already: nothing is asked.
    hasher.update(&bytes[1234..]);
    let resume = Resume { position: SIZE as u64, hasher };
    client(&server).fetch_url(&server.url("/f"), expected(&bytes), resume, &mut sink, &task).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn lies_are_final() {
    let (bytes, other) = (content(SIZE), content(SIZE + 4)[4..].to_vec());
    let wanted = expected(&bytes);

    let server = Server::start(move |_, _| Answer::ok(&other)).await;
    let error = fetch_error(&server, wanted).await;
    assert!(matches!(&error, Error::WrongDigest { .. }), "{error}");
    assert!(error.to_string().contains(&Digest::of(&bytes).to_string()));
    assert_eq!((error.class(), server.requests().len()), (Class::Verification, 1));

    for size in [SIZE - 1, SIZE + 1] {
        let server = Server::start(move |_, _| Answer::ok(&content(size))).await;
        let error = fetch_error(&server, wanted).await;
        assert!(matches!(&error, Error::WrongSize { .. }), "{error}");
        assert_eq!((error.class(), server.requests().len()), (Class::Verification, 1));
    }

    let server = Server::start(|_, _| Answer::status(404)).await;
    assert_eq!((fetch_error(&server, wanted).await.class(), server.requests().len()), (Class::NotFound, 1));

    let server = Server::start(|_, _| Answer::part(&content(SIZE), 5)).await;
    assert_eq!(fetch_error(&server, wanted).await.class(), Class::Protocol);
}

#[tokio::test]
async fn gives_up_in_the_end() {
    let server = Server::start(|_, _| Answer::status(502)).await;
    assert_eq!(fetch_error(&server, Expected::default()).await.class(), Class::Transient);
    assert_eq!(server.requests().len(), 7);

    // A byte each time is no progress.
    let copy = content(SIZE);
    let server = Server::start(move |request, _| serve(&copy, request).cut(1, End::Reset)).await;
    assert_eq!(fetch_error(&server, Expected::default()).await.class(), Class::Transient);
    assert!(server.requests().len() <= 7 + 2, "{}", server.requests().len());

    let server = Server::start(|_, _| Answer::none(End::Stall)).await;
    let mut options = options(&[&server]);
    options.retry.retries = 1;
    let error = Client::new(options).unwrap().get_small(&server.url("/f"), 10).await.unwrap_err();
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_full_disk_is_final() {
    struct Full;
    impl ferry_transfer::Sink for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        }
        fn restart(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start(|_, _| Answer::ok(b"content")).await;
    let (_, task) = Follower::task();
    let (client, url) = (client(&server), server.url("/f"));
    let done = client.fetch_url(&url, Expected::default(), Resume::default(), &mut Full, &task).await;
    assert_eq!(done.unwrap_err().class(), Class::Local);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn small_files_and_probes() {
    let server = Server::start(|request, _| match (request.method.as_str(), request.path.as_str()) {
        ("HEAD", "/signed") => Answer::status(403),
        ("GET", "/signed") => {
            Answer { body: b"x".to_vec(), ..Answer::status(206) }.header("content-range", "bytes 0-0/77")
        }
        ("HEAD", _) => Answer::status(200).header("accept-ranges", "bytes"),
        _ => Answer::ok(&[7; 100]),
    })
    .await;
    let client = client(&server);
    assert_eq!(client.get_small(&server.url("/f"), 100).await.unwrap().len(), 100);
    assert!(matches!(client.get_small(&server.url("/f"), 99).await, Err(Error::TooLarge { limit: 99, .. })));
    let probe = client.probe(&server.url("/signed")).await.unwrap();
    assert_eq!((probe.size, probe.ranges), (Some(77), true));
    assert!(client.probe(&server.url("/f")).await.unwrap().ranges);
}
