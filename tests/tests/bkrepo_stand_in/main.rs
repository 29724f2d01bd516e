//! The stand-in bkrepo, held against what is known of the real one. Every oddity has one check, and in brackets the place in bkrepo's
//! source (`TencentBlueKing/bk-repo`, branches `release-1.3.16` and `release-3.3.0`) that it was read from.

mod blocks;
mod charts;
mod faults;
mod files;
mod services;

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::bkrepo::{Bkrepo, Release, Setup};
use ferry_tests::http::{Reply, request};
use serde_json::Value;

const PROJECT: &str = "bkpaas";
const ASSETS: &str = "bkpaas3-platform-assets";
const RELEASES: [Release; 2] = [Release::V1_3_16, Release::V3_3];

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Sends as PaaS's own user.
fn send(
    server: &Bkrepo,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Result<Reply> {
    let authorization = basic("bkpaas3", "blueking");
    let mut all = vec![("authorization", authorization.as_str())];
    all.extend(headers);
    request(method, &format!("{}{path}", server.url()), &all, body.as_ref().to_vec())
}

fn anonymously(server: &Bkrepo, method: &Method, path: &str) -> Result<Reply> {
    request(method, &format!("{}{path}", server.url()), &[], "")
}

fn put(server: &Bkrepo, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply> {
    send(server, &Method::PUT, &generic(path), headers, body)
}

fn generic(path: &str) -> String {
    format!("/generic/{PROJECT}/{ASSETS}/{path}")
}

fn node(verb: &str, path: &str) -> String {
    format!("/repository/api/node/{verb}/{PROJECT}/{ASSETS}/{path}")
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

fn of_release(release: Release) -> Result<Bkrepo> {
    Bkrepo::start(Setup { release, ..Setup::after_paas() })
}

fn paths(server: &Bkrepo) -> Vec<String> {
    server.files(PROJECT, ASSETS).into_keys().collect()
}
