//! What goes wrong when told to, what is counted, and what the server itself costs.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::http::Method;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, Fault, Keeping, Setup};
use ferry_tests::http::request;

use crate::{ASSETS, PROJECT, after_paas, anonymously, basic, generic, node, paths, put, send, verdict};

#[test]
fn it_fails_as_told() -> Result<()> {
    let server = after_paas()?;
    let uploads = |method: &Method, path: &str| method == Method::PUT && path.ends_with("/a");
    for (fault, expected) in [
        (Fault::Unauthorized, (401, 250_112)),
        (Fault::Forbidden, (403, 250_111)),
        (Fault::NodeExisted, (400, 251_012)),
        (Fault::NodeConflict, (400, 251_013)),
        (Fault::DigestMismatch, (400, 251_003)),
        (Fault::NodeNotFound, (404, 251_010)),
        (Fault::UploadExpired, (400, 251_201)),
        // The gateway's own, in its own numbers.
        (Fault::Gateway(503), (503, 503)),
    ] {
        server.fail_next(fault, uploads);
        ensure!(
            verdict(&put(&server, "b", &[("X-BKREPO-OVERWRITE", "true")], "x")?).0 == 200,
            "does not fit"
        );
        ensure!(verdict(&put(&server, "a", &[], "x")?) == expected, "{fault:?}");
    }
    ensure!(!paths(&server).contains(&"/a".to_owned()));
    // Large enough not to lie in a buffer on its way.
    let large = "x".repeat(8 << 20);
    server.forget_requests();
    server.fail_next(Fault::CutAfter(100_000), uploads);
    ensure!(put(&server, "a", &[], &large).is_err());
    let asked = &server.requests()[0];
    ensure!(asked.status == 0 && (100_000..1 << 20).contains(&asked.body), "{asked:?}");
    server.fail_next(Fault::LoseAnswer, uploads);
    ensure!(put(&server, "a", &[], "x").is_err() && paths(&server).contains(&"/a".to_owned()));
    server.put_raw(PROJECT, ASSETS, "/large", large.as_bytes())?;
    server.fail_next(Fault::CutAnswerAfter(1000), |method, _| method == Method::GET);
    ensure!(send(&server, &Method::GET, &generic("large"), &[], "").is_err());
    server.fail_next(Fault::StoreWrong, uploads);
    let reply = put(&server, "a", &[("X-BKREPO-OVERWRITE", "true")], "right")?;
    let right = Digest::of(b"right").hex();
    ensure!(
        reply.header("x-checksum-sha256") == right && server.files(PROJECT, ASSETS)["/a"].sha256 != right
    );
    server.fail_next(Fault::Slow(Duration::from_millis(200)), |_, _| true);
    let begun = Instant::now();
    send(&server, &Method::HEAD, &generic("a"), &[], "")?;
    ensure!(begun.elapsed() >= Duration::from_millis(200));
    Ok(())
}

#[test]
fn seeded_faults_are_the_same_each_time() -> Result<()> {
    let statuses = || -> Result<Vec<u16>> {
        let server = after_paas()?;
        server.fail_seeded(7, 50, &[Fault::Gateway(502), Fault::Unauthorized], |_, _| true);
        let all: Vec<u16> = (0..40)
            .map(|_| Ok(send(&server, &Method::HEAD, &generic("a"), &[], "")?.status))
            .collect::<Result<_>>()?;
        server.heal();
        ensure!(send(&server, &Method::HEAD, &generic("a"), &[], "")?.status == 404);
        Ok(all)
    };
    let all = statuses()?;
    ensure!([404, 502, 401].iter().all(|status| all.contains(status)), "{all:?}");
    ensure!(all == statuses()?);
    Ok(())
}

#[test]
fn an_early_refusal_reaches_who_is_still_sending() -> Result<()> {
    let server = after_paas()?;
    let large = "x".repeat(8 << 20);
    let url = format!("{}{}", server.url(), generic("a"));
    // [HttpAuthInterceptor.preHandle] wrong credentials are refused before the body.
    let reply = request(&Method::PUT, &url, &[("authorization", &basic("admin", "wrong"))], large)?;
    ensure!(reply.status == 401);
    Ok(())
}

#[test]
fn missing_files_are_in_the_access_log() -> Result<()> {
    let server = after_paas()?;
    server.put_raw(PROJECT, ASSETS, "/there", b"x")?;
    let missing = "runtimes/python/heroku-18/runtimes/python-3.11.1.tar.gz";
    anonymously(&server, &Method::HEAD, &generic(missing))?;
    anonymously(&server, &Method::GET, &generic("there"))?;
    send(&server, &Method::GET, &node("detail", "none"), &[], "")?;
    let log = server.access_log();
    ensure!(log.len() == 2, "only the generic service's: {log:?}");
    // The official page finds them by `/\/bkpaas\/.*HTTP\/[0-9.]+" 404/`. The gateway has taken `/generic` away.
    ensure!(log[0].contains(&format!("\"HEAD /bkpaas/{ASSETS}/{missing} HTTP/1.1\" 404")), "{}", log[0]);
    ensure!(log[1].contains(&format!("\"GET /bkpaas/{ASSETS}/there HTTP/1.1\" 200")), "{}", log[1]);
    Ok(())
}

/// Many files at once, one of them large, and the process grows by little.
#[test]
fn its_memory_does_not_grow_with_what_it_holds() -> Result<()> {
    const FILES: usize = 64;
    const SIZE: usize = 4 << 20;
    let server = Bkrepo::start(Setup { keeping: Keeping::DigestsOnly, ..Setup::after_paas() })?;
    let body = bytes::Bytes::from(vec![b'x'; SIZE]);
    let authorization = basic("bkpaas3", "blueking");
    let before = resident()?;
    thread::scope(|scope| {
        for worker in 0..4 {
            let (server, body, authorization) = (&server, &body, &authorization);
            scope.spawn(move || {
                for number in (worker..FILES).step_by(4) {
                    let url = format!("{}{}", server.url(), generic(&format!("f/{number}")));
                    let headers = [("authorization", authorization.as_str())];
                    let reply = request(&Method::PUT, &url, &headers, body.clone());
                    assert_eq!(reply.map(|reply| reply.status).ok(), Some(200));
                }
            });
        }
    });
    let files = server.files(PROJECT, ASSETS);
    let hex = Digest::of(&body).hex();
    ensure!(files.values().filter(|file| file.sha256 == hex && file.size == SIZE as u64).count() == FILES);
    ensure!(server.bodies().values().sum::<u64>() == (FILES * SIZE) as u64);
    let grown = resident()?.saturating_sub(before);
    ensure!(grown < 64 << 20, "{grown} bytes for {} received", FILES * SIZE);
    Ok(())
}

fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = status.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}

#[test]
fn it_ends_with_its_handle() -> Result<()> {
    let server = after_paas()?;
    let host = server.host();
    let other = server.clone();
    drop(server);
    ensure!(TcpStream::connect(&host).is_ok());
    drop(other);
    ferry_tests::parts::wait_until(Duration::from_secs(5), "it still listens", || {
        TcpStream::connect(&host).is_err()
    })
}
