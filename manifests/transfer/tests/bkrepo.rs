//! bkrepo's client against scripted answers: what each means, what goes over the wire, what is not sent twice.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::site::RepositoryName;
use ferry_transfer::{Bkrepo, BkrepoLogin, BkrepoProblem, Error, FileUpload, Overwrite, Uploaded};
use support::{Answer, Blob, End, Follower, Request, Server, client, content};

fn login() -> BkrepoLogin {
    BkrepoLogin::Basic { user: "admin".into(), password: "blueking".into() }
}

fn bkrepo(server: &Server) -> Bkrepo {
    client(server).bkrepo(&server.url("/"), login()).expect("a client")
}

fn assets() -> RepositoryName {
    "bkpaas/assets".parse().expect("a name")
}

fn envelope(status: u16, code: i64, data: &str) -> Answer {
    let body = format!(r#"{{"code":{code},"message":"said {code}","data":{data},"traceId":""}}"#);
    Answer { status, ..Answer::ok(body.as_bytes()) }
}

fn detail(bytes: &[u8]) -> String {
    format!(
        r#"{{"fullPath":"/a/b.tar","folder":false,"size":{},"sha256":"{}","md5":"0"}}"#,
        bytes.len(),
        Digest::of(bytes).hex()
    )
}

fn problem(error: &Error) -> BkrepoProblem {
    match error {
        Error::Bkrepo(error) => error.problem,
        other => panic!("{other}"),
    }
}

async fn upload(
    bkrepo: &Bkrepo,
    bytes: &[u8],
    overwrite: Overwrite,
) -> Result<(Uploaded, u64, usize), Error> {
    let (follower, task) = Follower::task();
    let (repository, digest) = (assets(), Digest::of(bytes));
    let source = Arc::new(Blob(Bytes::copy_from_slice(bytes)));
    let file = FileUpload {
        overwrite,
        ..FileUpload::new(&repository, "a//b.tar", digest, bytes.len() as u64, source)
    };
    let uploaded = bkrepo.upload(&file, &task).await?;
    Ok((uploaded, follower.done(), follower.retries()))
}

#[tokio::test]
async fn one_request_with_digest_and_login() {
    let bytes = content(3_000_000);
    let answer = envelope(200, 0, &detail(&bytes));
    let server = Server::start(move |_, _| answer.clone()).await;
    for (login, authorization, user) in [
        (login(), "Basic YWRtaW46Ymx1ZWtpbmc=", ""),
        (
            BkrepoLogin::Platform { access_key: "ak".into(), secret_key: "sk".into(), user: "me".into() },
            "Platform YWs6c2s=",
            "me",
        ),
        (BkrepoLogin::Anonymous, "", ""),
    ] {
        let before = server.requests().len();
        // A path of the gateway is kept; the guide's `/generic` is understood.
        let bkrepo = client(&server).bkrepo(&server.url("/gateway/generic/"), login).unwrap();
        let done = upload(&bkrepo, &bytes, Overwrite::Yes).await.unwrap();
        assert_eq!(done, (Uploaded::Sent, bytes.len() as u64, 0));
        let requests = &server.requests()[before..];
        let [request] = requests else { panic!("{} requests", requests.len()) };
        assert_eq!(request.path, "/gateway/generic/bkpaas/assets/a/b.tar");
        assert_eq!(request.header("authorization"), authorization);
        assert_eq!(request.header("x-bkrepo-uid"), user);
        assert_eq!(request.header("x-bkrepo-sha256"), Digest::of(&bytes).hex());
        assert_eq!(request.header("x-bkrepo-overwrite"), "true");
        assert_eq!(request.header("content-length"), bytes.len().to_string());
        assert!(request.body == bytes);
    }
}

#[test]
fn secrets_are_never_shown() {
    let platform = BkrepoLogin::Platform {
        access_key: "hidden1".into(),
        secret_key: "hidden2".into(),
        user: "me".into(),
    };
    for login in [platform, BkrepoLogin::Basic { user: "me".into(), password: "hidden".into() }] {
        let client = ferry_transfer::Client::new(ferry_transfer::Options::default()).unwrap();
        let bkrepo = client.bkrepo("http://b.example", login.clone()).unwrap();
        let shown = format!("{login:?} {bkrepo:?}");
        assert!(shown.contains("me") && !shown.contains("hidden") && !shown.contains("aGlkZGVu"), "{shown}");
    }
}

/// A refusal costs the whole body, so what will be refused again is not sent again.
#[tokio::test]
async fn what_refusals_mean() {
    let bytes = content(100_000);
    for (answer, expected, class, hint) in [
        (envelope(400, 251_013, "null"), BkrepoProblem::InTheWay, Class::Protocol, "repair: true"),
        (envelope(400, 251_025, "null"), BkrepoProblem::QuotaExceeded, Class::Protocol, "quota"),
        (envelope(400, 251_027, "null"), BkrepoProblem::TooLarge, Class::Protocol, "proxy-body-size"),
        (envelope(404, 251_006, "null"), BkrepoProblem::NoRepository, Class::NotFound, "create: true"),
        (envelope(404, 251_004, "null"), BkrepoProblem::NoProject, Class::NotFound, "create: true"),
        // The same number is "denied" in one release and "unauthenticated" in another.
        (envelope(401, 250_112, "null"), BkrepoProblem::Unauthenticated, Class::Denied, "login"),
        (envelope(403, 250_112, "null"), BkrepoProblem::Denied, Class::Denied, "write access"),
        (envelope(200, 250_107, "null"), BkrepoProblem::Exists, Class::Protocol, "overwrite: true"),
        (envelope(413, 413, "null"), BkrepoProblem::TooLarge, Class::Protocol, "client_max_body_size"),
        (
            Answer { status: 404, ..Answer::ok(b"<html>default backend - 404</html>") },
            BkrepoProblem::NotBkrepo,
            Class::Protocol,
            "gateway",
        ),
        (Answer::ok(b"<html>welcome</html>"), BkrepoProblem::NotBkrepo, Class::Protocol, "gateway"),
        (envelope(400, 250_105, "null"), BkrepoProblem::Other, Class::Protocol, ""),
    ] {
        let told = answer.clone();
        let server = Server::start(move |request, _| {
            if request.method == "PUT" { answer.clone() } else { envelope(400, 251_010, "null") }
        })
        .await;
        let error = upload(&bkrepo(&server), &bytes, Overwrite::No).await.unwrap_err();
        assert_eq!(problem(&error), expected, "{told:?}");
        assert_eq!(error.class(), class, "{error}");
        let text = format!("{error} {}", error.hints().join(" "));
        assert!(text.contains(hint) && text.contains("bkpaas/assets/a/b.tar at http://127.0.0.1"), "{text}");
        let bodies = server.requests().iter().filter(|request| !request.body.is_empty()).count();
        assert_eq!(bodies, 1, "{error}");
    }
}

#[tokio::test]
async fn clocks_that_differ_are_named() {
    let body = br#"{"code":250115,"message":"Service unauthenticated, Expired token","data":null}"#;
    let server = Server::start(|_, _| Answer { status: 401, ..Answer::ok(body) }).await;
    let error = bkrepo(&server).projects().await.unwrap_err();
    assert_eq!(problem(&error), BkrepoProblem::ClockSkew);
    assert!(error.hints()[0].contains("60 s"));
}

/// A bkrepo with one file's place, whose uploads fail by a script first: `fault` says what becomes of the n-th body.
async fn place(fault: impl Fn(usize) -> Option<(Answer, bool)> + Send + Sync + 'static) -> Server {
    let (held, bodies): (Mutex<Option<Vec<u8>>>, Mutex<usize>) = Default::default();
    Server::start(move |request: &Request, _| {
        let mut held = held.lock().expect("not poisoned");
        if request.method != "PUT" {
            return match &*held {
                Some(bytes) => envelope(200, 0, &detail(bytes)),
                None => envelope(400, 251_010, "null"),
            };
        }
        let mut bodies = bodies.lock().expect("not poisoned");
        *bodies += 1;
        if let Some((answer, keeps)) = fault(*bodies - 1) {
            if keeps {
                *held = Some(request.body.clone());
            }
            return answer;
        }
        *held = Some(request.body.clone());
        envelope(200, 0, &detail(&request.body))
    })
    .await
}

#[tokio::test]
async fn after_a_failure_a_look_comes_before_the_next_body() {
    let bytes = content(500_000);
    for (keeps, puts) in [(true, 1), (false, 2)] {
        for answer in [
            Answer::none(End::Reset),
            Answer::none(End::Stall),
            Answer::status(502),
            envelope(500, 250_102, "null"),
            Answer::ok(b"{\"code\":0,").cut(3, End::Reset),
        ] {
            let told = answer.clone();
            let server = place(move |number| (number == 0).then(|| (answer.clone(), keeps))).await;
            let (_, done, retries) = upload(&bkrepo(&server), &bytes, Overwrite::Yes).await.unwrap();
            assert_eq!((done, retries), (bytes.len() as u64, 1), "{told:?}");
            let lines = server.lines();
            assert_eq!(lines[1], "GET /repository/api/node/detail/bkpaas/assets/a/b.tar", "{told:?}");
            assert_eq!(lines.iter().filter(|line| line.starts_with("PUT")).count(), puts, "{told:?}");
        }
    }
}

#[tokio::test]
async fn as_long_a_pause_as_bkrepo_asks_for() {
    let server =
        place(|number| (number == 0).then(|| (Answer::status(503).header("retry-after", "1"), false))).await;
    let begun = Instant::now();
    upload(&bkrepo(&server), &content(1000), Overwrite::No).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn damaged_on_the_way_is_sent_once_more() {
    for (failures, is_done) in [(1, true), (2, false)] {
        let server =
            place(move |number| (number < failures).then(|| (envelope(400, 251_003, "null"), false))).await;
        let answer = upload(&bkrepo(&server), &content(1000), Overwrite::No).await;
        assert_eq!(answer.is_ok(), is_done);
        if let Err(error) = answer {
            assert_eq!((problem(&error), error.class()), (BkrepoProblem::WrongDigest, Class::Verification));
        }
        assert_eq!(server.lines().iter().filter(|line| line.starts_with("PUT")).count(), 2);
    }
}

#[tokio::test]
async fn somebody_was_faster() {
    let bytes = content(1000);
    for (theirs, is_same) in [(bytes.clone(), true), (content(900), false)] {
        let theirs = detail(&theirs);
        let server = Server::start(move |request, _| {
            if request.method == "PUT" { envelope(400, 251_012, "null") } else { envelope(200, 0, &theirs) }
        })
        .await;
        match upload(&bkrepo(&server), &bytes, Overwrite::No).await {
            Ok((uploaded, ..)) => assert!(is_same && uploaded == Uploaded::WasThere),
            Err(error) => {
                assert!(!is_same && problem(&error) == BkrepoProblem::Exists);
                assert!(error.to_string().contains("900 bytes"), "{error}");
            }
        }
        assert_eq!(server.lines().len(), 2);
    }
}

#[tokio::test]
async fn what_bkrepo_stored_is_compared() {
    let bytes = content(1000);
    let other = detail(&content(1001));
    let server = Server::start(move |_, _| envelope(200, 0, &other)).await;
    let error = upload(&bkrepo(&server), &bytes, Overwrite::Yes).await.unwrap_err();
    assert!(matches!(error, Error::WrongSize { expected: 1000, actual: 1001, .. }), "{error}");
    let mut changed = bytes.clone();
    changed[0] ^= 1;
    let changed = detail(&changed);
    let server = Server::start(move |_, _| envelope(200, 0, &changed)).await;
    let error = upload(&bkrepo(&server), &bytes, Overwrite::Yes).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_login_that_is_refused_costs_one_body_and_goes_nowhere_else() {
    let server = Server::start(|_, _| {
        envelope(401, 250_114, "null").header("www-authenticate", "Basic realm=\"Authentication Required\"")
    })
    .await;
    upload(&bkrepo(&server), &content(1000), Overwrite::No).await.unwrap_err();
    assert_eq!(server.lines().len(), 1);

    let other = Server::start(|_, _| envelope(200, 0, "[]")).await;
    let target = other.url("/elsewhere");
    let server = Server::start(move |_, _| Answer::status(302).header("location", target.clone())).await;
    bkrepo(&server).projects().await.unwrap();
    assert_eq!(server.requests()[0].header("authorization"), "Basic YWRtaW46Ymx1ZWtpbmc=");
    assert_eq!(other.requests()[0].header("authorization"), "");
}

/// Part uploads of a file whose gateway takes no bodies above a limit.
#[tokio::test]
async fn smaller_parts_where_bodies_are_limited() {
    const LIMIT: usize = 600_000;
    let bytes = content(3_000_000);
    let expected = bytes.clone();
    let parts: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let too_large = |request: &Request| {
        request.header("content-length").parse::<usize>().is_ok_and(|length| length > LIMIT)
    };
    let server = Server::start_hasty(
        move |request, _| too_large(request),
        move |request, _| {
            let mut parts = parts.lock().unwrap();
            match (request.method.as_str(), request.path.starts_with("/generic/block")) {
                _ if too_large(request) => Answer { status: 413, ..Answer::ok(b"<html>413</html>") },
                ("POST", true) => envelope(200, 0, r#"{"uploadId":"u1","expireSeconds":43200}"#),
                ("PUT", false) => {
                    assert_eq!(request.header("x-bkrepo-upload-id"), "u1");
                    assert_eq!(request.header("x-bkrepo-sequence"), (parts.len() + 1).to_string());
                    parts.push(request.body.clone());
                    envelope(200, 0, "null")
                }
                ("GET", true) => {
                    let rows: Vec<_> = (1..)
                        .zip(parts.iter())
                        .map(|(rank, part): (usize, _)| {
                            let (size, sha256) = (part.len(), Digest::of(part).hex());
                            format!(r#"{{"size":{size},"sequence":{rank},"sha256":"{sha256}"}}"#)
                        })
                        .collect();
                    envelope(200, 0, &format!("[{}]", rows.join(",")))
                }
                ("PUT", true) => {
                    assert!(parts.concat() == expected);
                    envelope(200, 0, "null")
                }
                _ if !parts.is_empty() && parts.concat() == expected => envelope(200, 0, &detail(&expected)),
                _ => envelope(400, 251_010, "null"),
            }
        },
    )
    .await;
    let bkrepo = bkrepo(&server);
    let (uploaded, done, retries) = upload(&bkrepo, &bytes, Overwrite::No).await.unwrap();
    assert_eq!((uploaded, done, retries), (Uploaded::Sent, bytes.len() as u64, 0));
    let sizes: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| request.method == "PUT" && request.body.len() > 1)
        .map(|request| request.body.len())
        .collect();
    assert!(sizes.iter().all(|&size| size <= LIMIT) && sizes.len() >= 5, "{sizes:?}");
}

#[tokio::test]
async fn listings_end_by_what_came() {
    let row = |number: usize| {
        format!(
            r#"{{"fullPath":"/a/{number}","folder":false,"size":1,"sha256":"{}"}}"#,
            Digest::of(b"x").hex()
        )
    };
    // 2,500 nodes, with a number of pages that lies, as in bkrepo's own documentation.
    let server = Server::start(move |request, _| {
        let page: usize =
            request.path.split("pageNumber=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
        let rows: Vec<_> = ((page - 1) * 1000..(page * 1000).min(2500)).map(row).collect();
        let records = rows.join(",");
        envelope(200, 0, &format!(r#"{{"totalRecords":2500,"totalPages":2500,"records":[{records}]}}"#))
    })
    .await;
    let nodes = bkrepo(&server).list(&assets(), "/a b").unwrap().all().await.unwrap();
    assert_eq!(nodes.len(), 2500);
    assert!(nodes[2499].is_file(&Digest::of(b"x"), 1) && nodes[2499].path == "/a/2499");
    let lines = server.lines();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("GET /repository/api/node/page/bkpaas/assets/a%20b?pageNumber=1&pageSize=1000&")
    );

    let server = Server::start(|_, _| envelope(404, 251_006, "null")).await;
    let error = bkrepo(&server).list(&assets(), "/").unwrap().next_page().await.unwrap_err();
    assert_eq!(problem(&error), BkrepoProblem::NoRepository);
}
