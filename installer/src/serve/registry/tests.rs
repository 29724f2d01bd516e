use axum::http::Method;
use serde_json::json;

use super::*;
use crate::serve::testing::{MANIFEST, Sample, Site, noise};

#[tokio::test]
async fn base_answers() {
    let site = Site::new();
    for path in ["/v2", "/v2/"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
}

#[tokio::test]
async fn manifests_by_every_name() {
    let site = Site::new();
    let digest = site.image_digest();
    for path in [
        "/v2/library/registry/manifests/2".to_owned(),
        "/v2/docker.io/library/registry/manifests/2".to_owned(),
        "/v2/library/registry/manifests/2?ns=docker.io".to_owned(),
        "/v2/library/registry/manifests/2?ns=index.docker.io".to_owned(),
        "/v2/library/registry/manifests/2?ns=registry.corp:5000".to_owned(),
        "/v2/team/renamed/app/manifests/v1-site".to_owned(),
        "/v2/team/app/manifests/v1?ns=quay.io".to_owned(),
        "/v2/quay.io/team/app/manifests/v1".to_owned(),
        format!("/v2/library/registry/manifests/{digest}"),
        format!("/v2/library/registry/manifests/{}", digest.to_string().replace(':', "%3A")),
        format!("/v2/library%2Fregistry/manifests/{digest}"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = site.request(method.clone(), &path, &[]).await;
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(answer.header("content-type"), MANIFEST);
            assert_eq!(answer.header("content-length"), site.content("manifest").len().to_string());
            let body = if method == Method::GET { site.content("manifest") } else { vec![] };
            assert_eq!(answer.body, body, "{method} {path}");
        }
    }
    let chart = site.get("/v2/charts/app/manifests/1.2.0_build").await;
    assert_eq!(chart.body, site.content("chart-manifest"));
}

#[tokio::test]
async fn blobs_whole_in_part_and_not_again() {
    let site = Site::new();
    let (layer, digest) = (site.content("layer"), site.digest("layer"));
    let path = format!("/v2/library/registry/blobs/{digest}");
    let whole = site.get(&path).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
    assert_eq!(whole.header("etag"), format!("\"{digest}\""));
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());
    assert!(whole.body == layer && !whole.broken);

    let length = layer.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=131071-131072", 131_071, 131_073),
        ("bytes=1500000-", 1_500_000, length),
        ("bytes=-10", length - 10, length),
        ("bytes=0-", 0, length),
    ] {
        let part = site.request(Method::GET, &path, &[("range", range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{length}", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
        assert!(part.body == layer[from..to], "{range}");
    }
    let beyond = site.request(Method::GET, &path, &[("range", &format!("bytes={length}-"))]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, format!("bytes */{length}").as_str()));

    let tag = format!("\"{digest}\"");
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = site.request(Method::GET, &path, &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
    }
    let stale = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
    assert_eq!(site.request(Method::GET, &path, &stale).await.status, 200);
    let fresh = [("range", "bytes=0-0"), ("if-range", tag.as_str())];
    assert_eq!(site.request(Method::GET, &path, &fresh).await.status, 206);
}

#[tokio::test]
async fn lists_in_pages() {
    let site = Site::new();
    let all = site.get("/v2/_catalog").await;
    assert_eq!(all.json(), json!({"repositories": ["charts/app", "library/registry", "team/renamed/app"]}));
    let first = site.get("/v2/_catalog?n=2").await;
    assert_eq!(first.json(), json!({"repositories": ["charts/app", "library/registry"]}));
    assert_eq!(first.header("link"), "</v2/_catalog?n=2&last=library%2Fregistry>; rel=\"next\"");
    let second = site.get("/v2/_catalog?n=2&last=library%2Fregistry").await;
    assert_eq!(second.json(), json!({"repositories": ["team/renamed/app"]}));
    assert_eq!(second.header("link"), "");
    let tags = site.get("/v2/quay.io/team/app/tags/list").await;
    assert_eq!(tags.json(), json!({"name": "quay.io/team/app", "tags": ["v1"]}));
    assert_eq!(site.get("/v2/_catalog?n=many").await.code(), "PAGINATION_NUMBER_INVALID");
}

#[tokio::test]
async fn referrers_with_filter() {
    let site = Site::new();
    let path = format!("/v2/library/registry/referrers/{}", site.image_digest());
    let all = site.get(&path).await;
    let sbom = json!({
        "mediaType": MANIFEST,
        "digest": site.digest("sbom"),
        "size": site.content("sbom").len(),
        "artifactType": "application/x.sbom",
        "annotations": {"by": "test"},
    });
    assert_eq!(all.header("content-type"), "application/vnd.oci.image.index.v1+json");
    assert_eq!(all.json()["manifests"], json!([sbom]));
    assert_eq!(all.header("oci-filters-applied"), "");
    let found = site.get(&format!("{path}?artifactType=application/x.sbom")).await;
    assert_eq!(found.json()["manifests"], json!([sbom]));
    assert_eq!(found.header("oci-filters-applied"), "artifactType");
    let other = site.get(&format!("{path}?artifactType=application%2Fx.other")).await;
    assert_eq!(other.json()["manifests"], json!([]));
    let nobody = site.get(&format!("/v2/library/registry/referrers/{}", site.digest("layer"))).await;
    assert_eq!((nobody.status, &nobody.json()["manifests"]), (200, &json!([])));
}

#[tokio::test]
async fn refusals() {
    let site = Site::new();
    let (absent, layer) = (Digest::of(b"absent"), site.digest("layer"));
    for (path, status, code) in [
        ("/v2/no/such/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/no/such/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        (format!("/v2/no/such/blobs/{layer}"), 404, "NAME_UNKNOWN"),
        (format!("/v2/no/such/referrers/{layer}"), 404, "NAME_UNKNOWN"),
        ("/v2/library/registry/manifests/2?ns=quay.io".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/library/registry/manifests/3".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/library/registry/manifests/{absent}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/library/registry/manifests/{layer}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/library/registry/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        ("/v2/library/registry/blobs/sha256:12".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/library/registry/blobs/sha512:12".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/library/registry/manifests/sha256:XY".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/../../etc/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("/v2/a//b/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("/v2/a%00b/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("/v2/a%20b/tags/list".to_owned(), 400, "NAME_INVALID"),
        (format!("/v2/{}/manifests/1", "a/".repeat(300)), 400, "NAME_INVALID"),
        ("/v2/library".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/library/registry/other/1".to_owned(), 404, "UNSUPPORTED"),
    ] {
        let answer = site.get(&path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(answer.header("content-type"), "application/json");
        let head = site.request(Method::HEAD, &path, &[]).await;
        assert_eq!((head.status, head.body.len()), (status, 0), "HEAD {path}");
    }
}

#[tokio::test]
async fn nothing_can_be_written() {
    let site = Site::new();
    for (method, path) in [
        (Method::POST, "/v2/library/registry/blobs/uploads/"),
        (Method::PATCH, "/v2/library/registry/blobs/uploads/1"),
        (Method::PUT, "/v2/library/registry/manifests/2"),
        (Method::DELETE, "/v2/library/registry/manifests/2"),
        (Method::POST, "/v2/"),
    ] {
        let answer = site.request(method.clone(), path, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "UNSUPPORTED"), "{method} {path}");
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn the_later_bundle_wins_and_the_first_one_is_named() {
    let first = Sample::new();
    let mut second = first.clone();
    let config = second.add("config", b"{\"os\":\"other\"}".to_vec(), ferry_model::catalog::Encoding::Zstd);
    let content = json!({"config": {"digest": config}}).to_string().into_bytes();
    let digest = second.add("manifest", content, ferry_model::catalog::Encoding::Zstd);
    second.catalog.images.truncate(1);
    let image = &mut second.catalog.images[0];
    image.digest = digest;
    image.attachments.clear();
    image.manifests[0] = ferry_model::catalog::Manifest {
        digest,
        size: second.blobs["manifest"].0.len() as u64,
        blobs: vec![config],
        ..image.manifests[0].clone()
    };
    second.blobs.remove("sbom");
    second.blobs.remove("layer");

    let site = Site::with(&[first.clone(), second]);
    assert_eq!(site.get("/v2/library/registry/manifests/2").await.body, site.content("manifest"));
    let said = site.said.text();
    assert!(said.contains("tag library/registry:2") && said.contains(&digest.to_string()), "{said}");
    assert_eq!(said.matches("Warned").count(), 1, "{said}");
    for name in ["manifest", "layer"] {
        let digest = Digest::of(&first.blobs[name].0);
        let path = format!("/v2/library/registry/blobs/{digest}");
        assert!(site.get(&path).await.body == first.blobs[name].0, "digests of all bundles are found");
    }
}

#[tokio::test]
async fn damage_cuts_the_connection_before_the_end() {
    use std::io::{Seek, SeekFrom, Write};
    let site = Site::new();
    let path = site.folder.path().join("0.ferry.tar.zst");
    let bytes = std::fs::read(&path).unwrap();
    let layer = noise(3_000_000);
    let at = bytes.windows(32).position(|window| window == &layer[2_900_000..2_900_032]).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[layer[2_900_000] ^ 1]).unwrap();

    let path = format!("/v2/library/registry/blobs/{}", site.digest("layer"));
    for range in ["bytes=0-", "bytes=5-9"] {
        let answer = site.request(Method::GET, &path, &[("range", range)]).await;
        assert!(answer.broken, "{range}");
    }
    let said = site.said.text();
    assert_eq!(said.matches("Failed").count(), 2, "{said}");
    assert!(said.contains("is damaged"), "{said}");
}
