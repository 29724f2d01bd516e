//! The stand-in bkrepo, held against what is known of the real one. Every oddity has one check, and beside it the place in bkrepo's
//! source (`TencentBlueKing/bk-repo`) that it was read from.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, Release, Setup};
use ferry_tests::http::{Reply, request};
use serde_json::Value;

const ASSETS: &str = "/generic/bkpaas/bkpaas3-platform-assets";

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Sends as PaaS's own user.
fn send(
    server: &Bkrepo,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Reply> {
    let authorization = basic("bkpaas3", "blueking");
    let mut all = vec![("authorization", authorization.as_str())];
    all.extend(headers);
    request(method, &format!("{}{path}", server.url()), &all, body.to_vec())
}

/// The status and the envelope's code.
fn verdict(reply: &Reply) -> (u16, u64) {
    let code = reply.json().ok().and_then(|body| body["code"].as_u64());
    (reply.status, code.unwrap_or(u64::MAX))
}

fn data(reply: &Reply) -> Result<Value> {
    ensure!(verdict(reply) == (200, 0), "{} {}", reply.status, reply.text());
    Ok(reply.json()?["data"].clone())
}

fn after_paas() -> Result<Bkrepo> {
    Bkrepo::start(Setup::after_paas())
}

#[test]
fn a_file_goes_up_and_comes_down() -> Result<()> {
    let server = after_paas()?;
    let path = format!("{ASSETS}//common/./buildpack-stdlib/x/../v7//stdlib.sh");
    let hex = Digest::of(b"echo hello\n").hex();
    let upper = hex.to_uppercase();
    let headers = [("X-BKREPO-SHA256", upper.as_str()), ("X-BKREPO-OVERWRITE", "True")];
    let reply = send(&server, &Method::PUT, &path, &headers, b"echo hello\n")?;
    // GenericLocalRepository.onUpload: the node's detail, and its digests as headers.
    ensure!(data(&reply)?["fullPath"] == "/common/buildpack-stdlib/v7/stdlib.sh", "{}", reply.text());
    ensure!(reply.header("x-checksum-sha256") == hex);
    ensure!(reply.header("x-checksum-md5") == "664d0430ee33458602e580520841a2d4");
    let path = format!("{ASSETS}/common/buildpack-stdlib/v7/stdlib.sh");
    let reply = request(&Method::GET, &format!("{}{path}", server.url()), &[], "")?;
    ensure!(
        reply.status == 200 && reply.body.as_ref() == b"echo hello\n",
        "a public repository is for everybody"
    );
    ensure!(reply.header("etag") == hex, "DefaultArtifactResourceWriter.resolveETag: no quotes");
    let reply = send(&server, &Method::GET, &path, &[("range", "bytes=5-")], b"")?;
    ensure!(reply.status == 206 && reply.body.as_ref() == b"hello\n");
    let reply = send(&server, &Method::HEAD, &path, &[], b"")?;
    ensure!(reply.status == 200 && reply.header("content-length") == "11");
    let files: BTreeMap<_, _> = server.files("bkpaas", "bkpaas3-platform-assets");
    ensure!(files["/common"].folder && files["/common/buildpack-stdlib/v7/stdlib.sh"].sha256 == hex);
    Ok(())
}

#[test]
fn numbers_of_refusals_moved_between_releases() -> Result<()> {
    for (release, denied, unauthenticated) in
        [(Release::V1_3_16, 250_111, 250_112), (Release::V3_3, 250_113, 250_114)]
    {
        let server = Bkrepo::start(Setup { release, ..Setup::after_paas() })?;
        let url = format!("{}/repository/api/node/detail/blueking/none/a", server.url());
        ensure!(verdict(&request(&Method::GET, &url, &[], "")?) == (404, 251_006));
        let url = format!("{}{ASSETS}/a", server.url());
        let reply = request(&Method::PUT, &url, &[("authorization", &basic("admin", "wrong"))], "a")?;
        // CommonMessageCode: two entries came before these.
        ensure!(verdict(&reply) == (401, unauthenticated), "{}", reply.text());
        // SecurityExceptionHandler
        ensure!(reply.header("www-authenticate") == "Basic realm=\"Authentication Required\"");
        let url = format!("{}/repository/api/repo/create", server.url());
        let headers = [("authorization", &*basic("bkpaas3", "blueking"))];
        let body = r#"{"projectId":"blueking","name":"aa","type":"GENERIC"}"#;
        ensure!(verdict(&request(&Method::POST, &url, &headers, body)?) == (403, denied));
    }
    Ok(())
}
