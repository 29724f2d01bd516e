//! Files by their paths.

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::Digest;
use ferry_tests::bkrepo::{Bkrepo, FolderListing, Setup};

use crate::{ASSETS, PROJECT, after_paas, anonymously, data, generic, node, paths, put, send, verdict};

#[test]
fn a_file_goes_up_and_comes_down() -> Result<()> {
    let server = after_paas()?;
    let hex = Digest::of(b"echo hello\n").hex();
    // [GenericLocalRepository.onUploadBefore] digests are compared whatever the case; [HeaderUtils.getBooleanHeader] `True` is true.
    let headers = [("x-bkrepo-sha256", &*hex.to_uppercase()), ("X-BKREPO-OVERWRITE", "True")];
    let reply = put(&server, "common/v7/stdlib.sh", &headers, "echo hello\n")?;
    // [GenericLocalRepository.onUpload] the node's detail, and digests as headers.
    let detail = data(&reply)?;
    ensure!(detail["fullPath"] == "/common/v7/stdlib.sh" && detail["nodeInfo"]["size"] == 11, "{detail}");
    ensure!(reply.header("x-checksum-sha256") == hex);
    ensure!(reply.header("x-checksum-md5") == "664d0430ee33458602e580520841a2d4");
    // [PermissionManager.isReadPublicRepo]
    let reply = anonymously(&server, &Method::GET, &generic("common/v7/stdlib.sh"))?;
    ensure!(reply.status == 200 && reply.body.as_ref() == b"echo hello\n");
    // [DefaultArtifactResourceWriter.resolveETag] without quotes.
    ensure!(reply.header("etag") == hex);
    // [DefaultArtifactResourceWriter.writeSingleArtifact] a range is named although the file is whole.
    ensure!(reply.header("content-range") == "bytes 0-10/11");
    let range = [("range", "bytes=5-9")];
    let reply = send(&server, &Method::GET, &generic("common/v7/stdlib.sh"), &range, "")?;
    ensure!(reply.status == 206 && reply.body.as_ref() == b"hello");
    let reply = send(&server, &Method::HEAD, &generic("common/v7/stdlib.sh"), &[], "")?;
    ensure!(reply.status == 200 && reply.header("content-length") == "11" && reply.header("etag") == hex);
    ensure!(reply.header("last-modified").ends_with("GMT"));
    Ok(())
}

#[test]
fn paths_are_put_in_order() -> Result<()> {
    let server = after_paas()?;
    // [PathUtils.normalizeFullPath] and the official script's own double slashes.
    for (sent, stored) in [
        ("/a//b///one", "/a/b/one"),
        ("a/./x/../b/two", "/a/b/two"),
        ("a%5Cb%5Cthree", "/a/b/three"),
        ("a/%20b%20/four%20", "/a/b/four"),
        ("../../a/b/five", "/a/b/five"),
        ("a/b/%E5%8C%85+1.tgz", "/a/b/包+1.tgz"),
    ] {
        let reply = put(&server, sent, &[], "x")?;
        ensure!(data(&reply)?["fullPath"] == stored, "{sent}: {}", reply.text());
    }
    // [PathUtils] 64 names deep, 1024 characters a name.
    ensure!(verdict(&put(&server, &"d/".repeat(64), &[], "x")?) == (200, 0));
    ensure!(verdict(&put(&server, &"e/".repeat(65), &[], "x")?) == (400, 251_011));
    ensure!(verdict(&put(&server, &"n".repeat(1025), &[], "x")?) == (400, 251_011));
    Ok(())
}

#[test]
fn what_is_there_is_replaced_only_when_told() -> Result<()> {
    let server = after_paas()?;
    data(&put(&server, "a/file", &[], "one")?)?;
    // [GenericLocalRepository.checkNodeExist] the body is received before that is looked at: it costs the whole transfer.
    server.forget_requests();
    ensure!(verdict(&put(&server, "a/file", &[], "two!")?) == (400, 251_012));
    ensure!(server.bodies().values().sum::<u64>() == 4 && server.requests()[0].status == 400);
    // [GenericLocalRepository.onUploadBefore] existence comes before digests.
    let wrong = [("X-BKREPO-SHA256", "00")];
    ensure!(verdict(&put(&server, "a/file", &wrong, "two")?) == (400, 251_012));
    for wrong in ["X-BKREPO-SHA256", "X-BKREPO-MD5"] {
        let headers = [(wrong, "00"), ("X-BKREPO-OVERWRITE", "true")];
        ensure!(verdict(&put(&server, "a/file", &headers, "two")?) == (400, 251_003), "{wrong}");
    }
    ensure!(server.content(PROJECT, ASSETS, "/a/file").as_deref() == Some(&b"one"[..]));
    data(&put(&server, "a/file", &[("X-BKREPO-OVERWRITE", "true")], "two")?)?;
    ensure!(server.content(PROJECT, ASSETS, "/a/file").as_deref() == Some(&b"two"[..]));
    // [NodeBaseService.checkConflictAndQuota] a folder is never replaced, [mkdirs] nor is a file by a folder.
    ensure!(verdict(&put(&server, "a", &[], "x")?) == (400, 251_012));
    ensure!(verdict(&put(&server, "a", &[("X-BKREPO-OVERWRITE", "true")], "x")?) == (400, 251_013));
    let headers = [("X-BKREPO-OVERWRITE", "true")];
    ensure!(verdict(&put(&server, "a/file/below", &headers, "x")?) == (400, 251_013));
    Ok(())
}

#[test]
fn the_wrong_layout_can_be_planted_and_taken_away() -> Result<()> {
    let server = after_paas()?;
    server.put_raw(PROJECT, ASSETS, "/common/v7/stdlib.sh/stdlib.sh", b"echo")?;
    ensure!(server.files(PROJECT, ASSETS)["/common/v7/stdlib.sh"].folder);
    let overwrite = [("X-BKREPO-OVERWRITE", "true")];
    ensure!(verdict(&put(&server, "common/v7/stdlib.sh", &overwrite, "echo")?) == (400, 251_013));
    // [GenericLocalRepository.remove] the generic service takes no folder that holds files.
    let path = generic("common/v7/stdlib.sh");
    ensure!(verdict(&send(&server, &Method::DELETE, &path, &[], "")?) == (400, 251_009));
    // [NodeDeleteSupport.deleteByPath] but this does, and finds nothing wrong with what is gone already.
    for count in [2, 0] {
        let reply = send(&server, &Method::DELETE, &node("delete", "common/v7/stdlib.sh"), &[], "")?;
        ensure!(data(&reply)?["deletedNumber"] == count, "{}", reply.text());
    }
    ensure!(paths(&server) == ["/common", "/common/v7"]);
    ensure!(verdict(&send(&server, &Method::DELETE, &generic("common"), &[], "")?) == (200, 0));
    ensure!(verdict(&send(&server, &Method::DELETE, &generic("common"), &[], "")?) == (404, 251_010));
    // [NodeDeleteSupport.deleteNode] not the root.
    let reply = send(&server, &Method::DELETE, &node("delete", ""), &[], "")?;
    ensure!(verdict(&reply) == (400, 250_110), "{}", reply.text());
    Ok(())
}

#[test]
fn folders_answer_with_pages() -> Result<()> {
    for (folder_listing, status, code) in [
        // [ViewModelService.trailingSlash]
        (FolderListing::Redirected, 302, u64::MAX),
        (FolderListing::Shown, 200, u64::MAX),
        // [DownloadService.download] AutoIndexRepositorySettings
        (FolderListing::Off, 403, 251_202),
    ] {
        let server = Bkrepo::start(Setup { folder_listing, ..Setup::after_paas() })?;
        server.put_raw(PROJECT, ASSETS, "/a/file", b"x")?;
        ensure!(verdict(&send(&server, &Method::GET, &generic("a"), &[], "")?) == (status, code));
        let reply = send(&server, &Method::HEAD, &generic("a"), &[], "")?;
        ensure!(reply.status == status && reply.header("etag").is_empty(), "no sign of a file");
        let reply = send(&server, &Method::HEAD, &generic("a/"), &[], "")?;
        ensure!(reply.status == 403 || reply.header("content-type").starts_with("text/html"));
    }
    Ok(())
}

#[test]
fn headers_say_how_a_file_is_kept() -> Result<()> {
    let server = after_paas()?;
    let encoded = STANDARD.encode("Team=a%26b&Empty=&x=1");
    let headers =
        [("X-BKREPO-META-Version", "1%2B2"), ("X-BKREPO-META", encoded.as_str()), ("X-BKREPO-EXPIRES", "30")];
    let detail = data(&put(&server, "a", &headers, "x")?)?;
    ensure!(detail["sha256"].is_string());
    let file = &server.files(PROJECT, ASSETS)["/a"];
    ensure!(file.expires == 30);
    // [GenericLocalRepository.resolveMetadata] keys of headers in lower case and values decoded; those of base64 as they are.
    let expected = [("version", "1+2"), ("Team", "a&b"), ("x", "1")];
    ensure!(file.metadata == expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    Ok(())
}
