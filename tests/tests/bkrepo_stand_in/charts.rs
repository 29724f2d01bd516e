//! Charts and images, here and at ChartMuseum.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Result, ensure};
use axum::http::Method;
use ferry_tests::bkrepo::{Bkrepo, Release, RepositorySetup, Setup};
use ferry_tests::chartmuseum::{self, ChartMuseum};
use ferry_tests::corpus::Chart;
use ferry_tests::http::request;
use serde_json::json;

use crate::{ASSETS, anonymously, basic, of_release, send, verdict};

const BOUNDARY: &str = "a1b2c3";

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in fields {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"any\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn provenance(chart: &Chart) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\napiVersion: v2\nname: {}\nversion: {}\n\n...\nfiles:\n  {}: {}\n-----BEGIN PGP SIGNATURE-----\n",
        chart.name,
        chart.version,
        chart.file_name(),
        chart.digest()
    )
}

fn multipart() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

#[test]
fn charts_go_up_as_forms() -> Result<()> {
    let mut setup = Setup::after_paas();
    setup.repositories.push(RepositorySetup::new("bkpaas", "charts", "HELM", false));
    setup.helm_index_lag = 1;
    setup.helm_domain = Some("http://helm.example.com".into());
    let server = Bkrepo::start(setup)?;
    let chart = Chart::new("demo", "1.0.0");
    let (signed, content_type) = (provenance(&chart), multipart());
    let both = form(&[("chart", &chart.archive), ("prov", signed.as_bytes())]);
    let headers = [("content-type", content_type.as_str())];
    let push = |path: &str, body: &[u8]| send(&server, &Method::POST, path, &headers, body);
    // [ChartManipulationController] 201
    let reply = push("/helm/api/bkpaas/charts/charts", &both)?;
    ensure!(reply.status == 201 && reply.json()? == json!({"saved": true}), "{}", reply.text());
    // [HelmUtils.getChartFileFullPath, getProvFileFullPath] nodes of the repository's root.
    let files = server.files("bkpaas", "charts");
    ensure!(
        files["/demo-1.0.0.tgz"].sha256 == chart.digest().hex() && files.contains_key("/demo-1.0.0.tgz.prov")
    );
    // [HelmExceptionHandler] 409, in words of its own; [HelmLocalRepository] `force` needs no value.
    let reply = push("/helm/bkpaas/charts/charts", &both)?;
    ensure!(reply.status == 409 && reply.json()?["error"].is_string(), "{}", reply.text());
    ensure!(push("/helm/bkpaas/charts/charts?force", &both)?.status == 201);
    ensure!(push("/helm/api/bkpaas/charts/prov?force", &form(&[("prov", signed.as_bytes())]))?.status == 201);
    ensure!(push("/helm/api/bkpaas/charts/charts", &form(&[("chart", b"none")]))?.status == 400);
    // [ChartParserUtil.parseProvInputStream]
    ensure!(push("/helm/api/bkpaas/charts/prov", &form(&[("prov", b"unsigned")]))?.status == 500);
    // [AbstractChartService.checkRepositoryExistAndCategory] 400 for what is 404 elsewhere, and of another kind is as good as none.
    for name in ["none", ASSETS] {
        let reply = push(&format!("/helm/api/bkpaas/{name}/charts"), &both)?;
        ensure!(reply.status == 400 && reply.json()?["code"].is_null(), "{}", reply.text());
    }
    ensure!(anonymously(&server, &Method::GET, "/helm/bkpaas/none/index.yaml")?.status == 404);
    // [HelmExceptionHandler.handlerClientAuthException]
    let reply = anonymously(&server, &Method::GET, "/helm/bkpaas/charts/index.yaml")?;
    ensure!(reply.status == 401 && reply.json()? == json!({"error": "Unauthorized"}));
    ensure!(reply.header("www-authenticate").starts_with("Basic "));

    let get = |path: &str| send(&server, &Method::GET, path, &[], "");
    // [ChartUploadEvent] the index follows later.
    ensure!(!get("/helm/bkpaas/charts/index.yaml")?.text().contains("demo"));
    let index = get("/helm/bkpaas/charts/index.yaml")?.text();
    // [ChartRepositoryServiceImpl] URLs of the service's own domain.
    ensure!(index.contains("http://helm.example.com/bkpaas/charts/charts/demo-1.0.0.tgz"), "{index}");
    ensure!(index.contains(&chart.digest().hex()));
    ensure!(get("/helm/bkpaas/charts/charts/demo-1.0.0.tgz")?.body == chart.archive);
    ensure!(get("/helm/bkpaas/charts/charts/demo-1.0.0.tgz.prov")?.text() == signed);
    ensure!(get("/helm/bkpaas/charts/charts/none-1.0.0.tgz")?.status == 404);
    // [HelmArtifactInfo.CHARTS_LIST] `api` comes after the repository here.
    ensure!(get("/helm/bkpaas/charts/api/charts")?.json()?["demo"][0]["version"] == "1.0.0");
    ensure!(get("/helm/bkpaas/charts/api/charts/demo/1.0.0")?.json()?["digest"] == chart.digest().hex());
    ensure!(get("/helm/bkpaas/charts/api/charts/demo/2.0.0")?.status == 404);
    // [support-files/templates/gateway#vhosts#bkrepo.helm.server.conf] the service's own host name has no service in its paths.
    let mut stream = TcpStream::connect(server.host())?;
    let path = "/bkpaas/charts/charts/demo-1.0.0.tgz";
    write!(
        stream,
        "HEAD {path} HTTP/1.1\r\nHost: helm.example.com\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        basic("bkpaas3", "blueking")
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let delete = || send(&server, &Method::DELETE, "/helm/bkpaas/charts/api/charts/demo/1.0.0", &[], "");
    ensure!(delete()?.json()? == json!({"deleted": true}));
    ensure!(verdict(&delete()?) == (404, 251_019) && server.files("bkpaas", "charts").is_empty());
    ensure!(verdict(&send(&server, &Method::POST, "/helm/bkpaas/charts/regenerate", &[], "")?) == (200, 0));
    ensure!(!get("/helm/bkpaas/charts/index.yaml")?.text().contains("demo"));
    Ok(())
}

#[test]
fn images_go_up_with_tokens_of_another_host() -> Result<()> {
    let mut setup = Setup { token_host: Some("localhost".into()), ..Setup::after_paas() };
    setup.repositories.push(RepositorySetup::new("bkpaas", "private", "DOCKER", false));
    let server = Bkrepo::start(setup)?;
    let port = server.host().rsplit(':').next().unwrap_or_default().to_owned();
    let reply = anonymously(&server, &Method::GET, "/v2/")?;
    // [OciLoginAuthHandler, OciExceptionHandler] the same scope on every 401.
    let challenge = format!(
        "Bearer realm=\"http://localhost:{port}/docker/v2/auth\",service=\"bkrepo\",scope=\"repository:*/*/tb:push,pull\""
    );
    ensure!(reply.status == 401 && reply.header("www-authenticate") == challenge, "{reply:?}");
    ensure!(reply.json()?["errors"][0]["code"] == "UNAUTHORIZED");
    // That scope is of no use to the anonymous; a public repository's own is.
    let token = |scope: &str| {
        anonymously(&server, &Method::GET, &format!("/docker/v2/auth?service=bkrepo&scope={scope}"))
    };
    ensure!(token("repository:*/*/tb:push,pull")?.status == 401);
    ensure!(token("repository:bkpaas/private/app:pull")?.status == 401);
    let anonymous =
        token("repository:bkpaas/docker/app:pull")?.json()?["token"].as_str().unwrap_or_default().to_owned();
    let reply = send(&server, &Method::GET, "/docker/v2/auth?service=bkrepo", &[], "")?.json()?;
    ensure!(reply["issued_at"].is_string() && reply["access_token"] == reply["token"]);
    let known = format!("Bearer {}", reply["token"].as_str().unwrap_or_default());
    let call = |method: &Method, path: &str, authorization: &str, body: &str| {
        let headers =
            [("authorization", authorization), ("content-type", "application/vnd.oci.image.index.v1+json")];
        request(method, &format!("{}{path}", server.url()), &headers, body.to_owned())
    };
    let reply = call(&Method::POST, "/v2/bkpaas/docker/app/blobs/uploads/", &known, "")?;
    // [OciResponseUtils] no port.
    ensure!(reply.status == 202 && reply.header("location").starts_with("http://127.0.0.1/v2/"), "{reply:?}");
    let anonymous = format!("Bearer {anonymous}");
    ensure!(call(&Method::POST, "/v2/bkpaas/docker/app/blobs/uploads/", &anonymous, "")?.status == 401);
    ensure!(call(&Method::GET, "/v2/bkpaas/docker/app/manifests/1", &anonymous, "")?.status == 404);
    ensure!(call(&Method::GET, "/v2/bkpaas/none/app/manifests/1", &known, "")?.status == 400);
    // [OciManifest…] 1.3.16 knows no index.
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let reply = call(&Method::PUT, "/v2/bkpaas/docker/app/manifests/1", &known, index)?;
    ensure!(reply.status == 400 && reply.json()?["errors"][0]["code"] == "MANIFEST_INVALID", "{reply:?}");
    let newer = of_release(Release::V3_3)?;
    let authorization = basic("bkpaas3", "blueking");
    let headers =
        [("authorization", &*authorization), ("content-type", "application/vnd.oci.image.index.v1+json")];
    let url = format!("{}/v2/bkpaas/docker/app/manifests/1", newer.url());
    ensure!(request(&Method::PUT, &url, &headers, index)?.status == 201);
    ensure!(newer.registry().tag("bkpaas/docker/app", "1").is_some());
    Ok(())
}

#[test]
fn chartmuseum_keeps_charts() -> Result<()> {
    let server = ChartMuseum::start(chartmuseum::Setup {
        basic: Some(("u".into(), "p".into())),
        anonymous_get: true,
        depth: 2,
        ..chartmuseum::Setup::default()
    });
    let chart = Chart::new("demo", "1.0.0");
    let (known, content_type) = (basic("u", "p"), multipart());
    let post = |path: &str, kind: &str, body: &[u8]| {
        let headers = [("authorization", known.as_str()), ("content-type", kind)];
        request(&Method::POST, &format!("{}{path}", server.url()), &headers, body.to_vec())
    };
    let url = format!("{}/api/org/repo/charts", server.url());
    let reply = request(&Method::POST, &url, &[], chart.archive.clone())?;
    ensure!(reply.status == 401 && reply.header("www-authenticate") == "Basic realm=\"ChartMuseum\"");
    // The body alone is the chart, or a form has it.
    let binary = "application/octet-stream";
    let reply = post("/api/org/repo/charts", binary, &chart.archive)?;
    ensure!(reply.status == 201 && reply.json()? == json!({"saved": true}), "{}", reply.text());
    let both = form(&[("chart", &chart.archive), ("prov", provenance(&chart).as_bytes())]);
    let reply = post("/api/org/repo/charts", &content_type, &both)?;
    ensure!(reply.status == 409 && reply.json()? == json!({"error": "demo-1.0.0.tgz already exists"}));
    ensure!(post("/api/org/repo/charts?force", &content_type, &both)?.status == 201);
    ensure!(post("/api/org/other/prov", binary, provenance(&chart).as_bytes())?.status == 201);
    ensure!(post("/api/org/repo/charts", &content_type, &form(&[("other", b"")]))?.status == 400);
    ensure!(post("/api/charts", binary, &chart.archive)?.status == 404, "of the wrong depth");
    ensure!(
        server.files("org/repo")["demo-1.0.0.tgz"] == chart.digest() && server.files("org/other").len() == 1
    );
    let get = |path: &str| request(&Method::GET, &format!("{}{path}", server.url()), &[], "");
    let index = get("/org/repo/index.yaml")?.text();
    ensure!(index.contains("charts/demo-1.0.0.tgz") && index.contains(&chart.digest().hex()), "{index}");
    ensure!(get("/org/repo/charts/demo-1.0.0.tgz")?.body == chart.archive);
    ensure!(get("/api/org/repo/charts")?.json()?["demo"][0]["name"] == "demo");
    ensure!(get("/api/org/repo/charts/demo/1.0.0")?.json()?["digest"] == chart.digest().hex());
    ensure!(get("/api/org/repo/charts/demo/2.0.0")?.status == 404);
    ensure!(get("/health")?.json()? == json!({"healthy": true}));
    let url = format!("{}/api/org/repo/charts/demo/1.0.0", server.url());
    let delete = || request(&Method::DELETE, &url, &[("authorization", known.as_str())], "");
    ensure!(delete()?.json()? == json!({"deleted": true}) && delete()?.status == 404);
    ensure!(server.files("org/repo").is_empty());

    let chart = |setup: chartmuseum::Setup, query: &str| -> Result<u16> {
        let server = ChartMuseum::start(setup);
        server.put_raw("", "demo-1.0.0.tgz", "other");
        let url = format!("{}/api/charts{query}", server.url());
        Ok(request(&Method::POST, &url, &[], Chart::new("demo", "1.0.0").archive)?.status)
    };
    let allowing = || chartmuseum::Setup { allow_overwrite: true, ..chartmuseum::Setup::default() };
    ensure!(chart(allowing(), "")? == 201);
    let strict = chartmuseum::Setup { disable_force_overwrite: true, ..chartmuseum::Setup::default() };
    ensure!(chart(strict, "?force")? == 409);
    Ok(())
}
