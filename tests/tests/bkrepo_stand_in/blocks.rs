//! Files in parts.

use anyhow::{Result, ensure};
use axum::http::Method;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, Keeping, Release, Setup};
use ferry_tests::http::Reply;
use serde_json::{Value, json};

use crate::{ASSETS, PROJECT, RELEASES, data, of_release, put, send, verdict};

fn block(path: &str) -> String {
    format!("/generic/block/{PROJECT}/{ASSETS}/{path}")
}

fn start_upload(server: &Bkrepo, path: &str, headers: &[(&str, &str)]) -> Result<String> {
    let started = data(&send(server, &Method::POST, &block(path), headers, "")?)?;
    // [UploadService.TRANSACTION_EXPIRES]
    ensure!(started["expireSeconds"] == 43_200, "{started}");
    Ok(started["uploadId"].as_str().unwrap_or_default().to_owned())
}

fn put_part(
    server: &Bkrepo,
    path: &str,
    id: &str,
    sequence: u64,
    extra: &[(&str, &str)],
    body: &str,
) -> Result<Reply> {
    let sequence = sequence.to_string();
    let mut headers = vec![("X-BKREPO-UPLOAD-ID", id), ("X-BKREPO-SEQUENCE", &sequence)];
    headers.extend(extra);
    put(server, path, &headers, body)
}

#[test]
fn large_files_come_in_parts() -> Result<()> {
    for keeping in [Keeping::OnDisk, Keeping::DigestsOnly] {
        let server = Bkrepo::start(Setup { keeping, ..Setup::after_paas() })?;
        let id = start_upload(&server, "go.tar.gz", &[])?;
        let upload = [("X-BKREPO-UPLOAD-ID", id.as_str())];
        let hex = Digest::of(b"world").hex();
        ensure!(
            verdict(&put_part(&server, "go.tar.gz", &id, 2, &[("X-BKREPO-SHA256", &hex)], "world")?)
                == (200, 0)
        );
        // [GenericLocalRepository.onUploadBefore] each part's digest is checked.
        ensure!(
            verdict(&put_part(&server, "go.tar.gz", &id, 1, &[("X-BKREPO-SHA256", &hex)], "hello ")?)
                == (400, 251_003)
        );
        // [FileBlockSupport.mergeBlock] StorageErrorException
        ensure!(verdict(&send(&server, &Method::PUT, &block("go.tar.gz"), &upload, "")?) == (500, 251_107));
        put_part(&server, "go.tar.gz", &id, 1, &[], "hello ")?;
        // [FileSystemClient.store] a part that is there stays, and that is said to have gone well.
        ensure!(verdict(&put_part(&server, "go.tar.gz", &id, 1, &[], "HELLO ")?) == (200, 0));
        let rows = data(&send(&server, &Method::GET, &block("go.tar.gz"), &upload, "")?)?;
        ensure!(rows[1] == json!({"size": 5, "sequence": 2, "sha256": hex}), "{rows}");
        ensure!(data(&send(&server, &Method::PUT, &block("go.tar.gz"), &upload, "")?)? == Value::Null);
        ensure!(server.files(PROJECT, ASSETS)["/go.tar.gz"].sha256 == Digest::of(b"hello world").hex());
        // [FileBlockSupport.mergeBlock] the id is gone with it.
        ensure!(verdict(&send(&server, &Method::PUT, &block("go.tar.gz"), &upload, "")?) == (400, 251_201));
        ensure!(verdict(&put_part(&server, "go.tar.gz", &id, 3, &[], "x")?) == (400, 251_201));
    }
    Ok(())
}

#[test]
fn oddities_of_uploads_in_parts() -> Result<()> {
    for release in RELEASES {
        let is_old = release == Release::V1_3_16;
        let server = of_release(release)?;
        let id = start_upload(&server, "a", &[])?;
        put_part(&server, "a", &id, 2, &[], "two")?;
        let upload = [("X-BKREPO-UPLOAD-ID", id.as_str())];
        // [UploadService.listBlock] 1.3.16 numbers what is there anew.
        let rows = data(&send(&server, &Method::GET, &block("a"), &upload, "")?)?;
        ensure!(rows[0]["sequence"] == if is_old { 1 } else { 2 }, "{rows}");
        put_part(&server, "a", &id, 1, &[], "one ")?;
        // Meanwhile somebody else puts a file there.
        data(&put(&server, "a", &[], "other")?)?;
        // [UploadService.startBlockUpload] overwriting is looked at when it begins,
        let reply = send(&server, &Method::POST, &block("a"), &[], "")?;
        ensure!(verdict(&reply) == (400, 251_012));
        // [UploadService.completeBlockUpload] in 1.3.16 only then; and no digest at the end in either.
        let end = [("X-BKREPO-UPLOAD-ID", id.as_str()), ("X-BKREPO-SHA256", "00")];
        let reply = send(&server, &Method::PUT, &block("a"), &end, "")?;
        ensure!(verdict(&reply) == if is_old { (200, 0) } else { (400, 251_012) }, "{}", reply.text());
        let stored: &[u8] = if is_old { b"one two" } else { b"other" };
        ensure!(server.content(PROJECT, ASSETS, "/a").as_deref() == Some(stored));
        // [FileBlockSupport.mergeBlock] the parts are gone in any case.
        ensure!(server.open_uploads() == 0);
        let id = start_upload(&server, "b", &[])?;
        let upload = [("X-BKREPO-UPLOAD-ID", id.as_str())];
        ensure!(verdict(&send(&server, &Method::DELETE, &block("b"), &upload, "")?) == (200, 0));
        ensure!(verdict(&send(&server, &Method::GET, &block("b"), &upload, "")?) == (400, 251_201));
    }
    Ok(())
}
