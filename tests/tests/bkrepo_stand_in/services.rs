//! Nodes, repositories and who may do what.

use anyhow::{Result, ensure};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::bkrepo::{Bkrepo, Grant, Release, Setup, User};
use ferry_tests::http::request;
use serde_json::{Value, json};

use crate::{
    ASSETS, PROJECT, RELEASES, after_paas, anonymously, basic, data, generic, node, of_release, send, verdict,
};

#[test]
fn absence_looks_different_from_one_service_to_the_next() -> Result<()> {
    for release in RELEASES {
        let server = of_release(release)?;
        // [DownloadService.download] NodeNotFoundException
        ensure!(verdict(&send(&server, &Method::GET, &generic("none"), &[], "")?) == (404, 251_010));
        let reply = send(&server, &Method::HEAD, &generic("none"), &[], "")?;
        ensure!(reply.status == 404 && reply.body.is_empty());
        // [UserNodeController.getNodeDetail] ErrorCodeException, which is 400 if it says nothing else.
        ensure!(verdict(&send(&server, &Method::GET, &node("detail", "none"), &[], "")?) == (400, 251_010));
        // [PermissionManager.queryRepositoryInfo] comes before rights: anybody is told.
        for path in [
            "/generic/bkpaas/none/a",
            "/generic/none/none/a",
            "/repository/api/node/detail/bkpaas/none/a",
            "/repository/api/repo/info/bkpaas/none",
        ] {
            ensure!(verdict(&anonymously(&server, &Method::GET, path)?) == (404, 251_006), "{path}");
        }
        // [NodeQueryHelper.nodeListQuery] a folder that is not there has nothing in it.
        let page = data(&send(&server, &Method::GET, &node("page", "none"), &[], "")?)?;
        ensure!(page["totalRecords"] == 0 && page["records"] == json!([]));
        ensure!(verdict(&send(&server, &Method::GET, &node("size", "none"), &[], "")?) == (400, 251_010));
    }
    Ok(())
}

#[test]
fn numbers_of_refusals_moved_between_releases() -> Result<()> {
    // [CommonMessageCode] two entries came before these.
    for (release, denied, unauthenticated) in
        [(Release::V1_3_16, 250_111, 250_112), (Release::V3_3, 250_113, 250_114)]
    {
        let server = of_release(release)?;
        let url = format!("{}{}", server.url(), generic("a"));
        let reply = request(&Method::PUT, &url, &[("authorization", &basic("admin", "wrong"))], "a")?;
        ensure!(verdict(&reply) == (401, unauthenticated), "{}", reply.text());
        // [SecurityExceptionHandler]
        ensure!(reply.header("www-authenticate") == "Basic realm=\"Authentication Required\"");
        // [PermissionManager.checkAnonymous] public is for reading only.
        ensure!(verdict(&anonymously(&server, &Method::PUT, &generic("a"))?) == (401, unauthenticated));
        let body = r#"{"projectId":"blueking","name":"theirs","type":"GENERIC"}"#;
        let reply = send(&server, &Method::POST, "/repository/api/repo/create", &[], body)?;
        ensure!(verdict(&reply) == (403, denied), "{}", reply.text());
    }
    Ok(())
}

#[test]
fn platforms_act_for_users() -> Result<()> {
    let mut setup = Setup::after_paas();
    setup.platforms.push(("access".into(), "secret".into()));
    setup.users.push(User::new("reader", "r", &[Grant::Reading(PROJECT.into())]));
    let server = Bkrepo::start(setup)?;
    let platform = |pair: &str, user: &str, method: &Method| {
        let authorization = format!("Platform {}", STANDARD.encode(pair));
        let headers = [("authorization", authorization.as_str()), ("X-BKREPO-UID", user)];
        request(method, &format!("{}{}", server.url(), generic(user)), &headers, "x")
    };
    // [PlatformAuthHandler.onAuthenticate]
    ensure!(verdict(&platform("access:secret", "bkpaas3", &Method::PUT)?) == (200, 0));
    ensure!(verdict(&platform("access:wrong", "bkpaas3", &Method::PUT)?) == (401, 250_112));
    ensure!(verdict(&platform("access:secret", "reader", &Method::PUT)?) == (403, 250_111));
    // [PlatformAuthHandler.checkUserId] who is not known is made, and may do nothing.
    ensure!(verdict(&platform("access:secret", "stranger", &Method::PUT)?) == (403, 250_111));
    ensure!(verdict(&platform("access:secret", "", &Method::PUT)?) == (403, 250_111));
    Ok(())
}

#[test]
fn lists_come_in_pages() -> Result<()> {
    let server = Bkrepo::start(Setup { page_limit: 50, ..Setup::after_paas() })?;
    for path in ["/z", "/a/2", "/a/1", "/a/deep/x", "/b/y"] {
        server.put_raw(PROJECT, ASSETS, path, path.as_bytes())?;
    }
    let list = |path: &str, query: &str| -> Result<(u64, u64, Vec<String>)> {
        let page = data(&send(&server, &Method::GET, &node("page", &format!("{path}?{query}")), &[], "")?)?;
        let names =
            page["records"].as_array().into_iter().flatten().filter_map(|row| row["fullPath"].as_str());
        let counts = (page["totalRecords"].as_u64().unwrap_or(99), page["totalPages"].as_u64().unwrap_or(99));
        Ok((counts.0, counts.1, names.map(str::to_owned).collect()))
    };
    // [NodeListOption] folders, not deep, twenty; [NodeQueryHelper] and in no order of names.
    ensure!(list("", "")? == (3, 1, vec!["/z".into(), "/a".into(), "/b".into()]));
    ensure!(list("", "sort=true")?.2 == ["/a", "/b", "/z"], "folders come first");
    ensure!(list("a", "deep=true&includeFolder=false&sort=true")?.2 == ["/a/1", "/a/2", "/a/deep/x"]);
    let deep = "deep=true&includeFolder=false&sort=true&pageSize=2&pageNumber=";
    let pages: Vec<_> = (1..=4).map(|number| list("", &format!("{deep}{number}"))).collect::<Result<_>>()?;
    ensure!(pages.iter().all(|page| (page.0, page.1) == (5, 3)));
    ensure!(pages[2].2 == ["/z"] && pages[3].2.is_empty());
    // [Pages.ofRequest] page 0 is the first.
    ensure!(list("", &format!("{deep}0"))?.2 == pages[0].2);
    ensure!(list("", "sortProperty=name&direction=DESC")?.2 == ["/z", "/b", "/a"]);
    // [NodeBaseService.listNodePage] repository.listCountLimit
    let reply = send(&server, &Method::GET, &node("page", "?pageSize=51"), &[], "")?;
    ensure!(verdict(&reply) == (400, 250_105), "{}", reply.text());
    // [NodeStatsSupport.computeSize]
    let size = data(&send(&server, &Method::GET, &node("size", "a"), &[], "")?)?;
    ensure!(size == json!({"subNodeCount": 4, "size": 17}), "{size}");
    // [UserNodeController.mkdir] what is there already is refused.
    ensure!(verdict(&send(&server, &Method::POST, &node("mkdir", "new/below"), &[], "")?) == (200, 0));
    ensure!(verdict(&send(&server, &Method::POST, &node("mkdir", "new"), &[], "")?) == (400, 251_012));
    Ok(())
}

#[test]
fn nodes_are_found_by_rules() -> Result<()> {
    let server = after_paas()?;
    for path in ["/runtimes/python-3.10.5.tar.gz", "/runtimes/go1.19.1.tar.gz", "/stdlib.sh"] {
        server.put_raw(PROJECT, ASSETS, path, path.as_bytes())?;
    }
    server.put_raw(PROJECT, "bkpaas3-apps-tmpls", "/secret.tar.gz", b"s")?;
    let rule = |field: &str, operation: &str, value: Value| json!({"field": field, "operation": operation, "value": value});
    let search = |user: (&str, &str), rules: Vec<Value>| -> Result<Value> {
        let body = json!({
            "select": ["name", "repoName"], "page": {"pageNumber": 1, "pageSize": 10},
            "sort": {"properties": ["name"], "direction": "ASC"},
            "rule": {"rules": rules, "relation": "AND"},
        });
        let headers = [("authorization", &*basic(user.0, user.1))];
        let url = format!("{}/repository/api/node/search", server.url());
        request(&Method::POST, &url, &headers, body.to_string())?.json()
    };
    let paas = ("bkpaas3", "blueking");
    // [docs/apidoc/node/node.md] its own example gives `folder` as text.
    let project = rule("projectId", "EQ", json!(PROJECT));
    let rules =
        vec![project.clone(), rule("name", "SUFFIX", json!(".gz")), rule("folder", "EQ", json!("false"))];
    let found = search(paas, rules)?;
    let names = found["data"]["records"].as_array().into_iter().flatten().map(|row| row["name"].clone());
    ensure!(
        names.collect::<Vec<_>>() == ["go1.19.1.tar.gz", "python-3.10.5.tar.gz", "secret.tar.gz"],
        "{found}"
    );
    let rules = vec![
        project,
        rule("repoName", "IN", json!([ASSETS, "other"])),
        json!({"relation": "OR", "rules": [rule("name", "MATCH", json!("*3.10*")), rule("fullPath", "PREFIX", json!("/std"))]}),
    ];
    ensure!(search(paas, rules.clone())?["data"]["totalRecords"] == 2);
    // [docs/apidoc/node/node.md] the outermost rule must name the project.
    ensure!(search(paas, rules[1..].to_vec())?["code"] == 250_105);
    Ok(())
}

#[test]
fn projects_repositories_and_users_are_made_once() -> Result<()> {
    let server = Bkrepo::start(Setup::default())?;
    let admin = basic("admin", "blueking");
    let post = |path: &str, body: Value| {
        let headers = [("authorization", admin.as_str())];
        request(&Method::POST, &format!("{}{path}", server.url()), &headers, body.to_string())
    };
    let project = json!({"name": "bkpaas", "displayName": "bkpaas", "description": ""});
    let create = "/repository/api/project/create";
    ensure!(verdict(&post(create, project.clone())?) == (200, 0));
    ensure!(verdict(&post(create, project)?) == (400, 251_005));
    // [ProjectServiceImpl.validateParameter]
    for (name, display) in [("0bad", "good"), ("x", "good"), (&*"n".repeat(33), "good"), ("good", "g")] {
        let reply = post(create, json!({"name": name, "displayName": display}))?;
        ensure!(verdict(&reply) == (400, 250_105), "{name}");
    }
    let repository = json!({"projectId": "bkpaas", "name": ASSETS, "type": "GENERIC", "category": "LOCAL", "public": true});
    let create = "/repository/api/repo/create";
    let exists = format!("/repository/api/repo/exist/bkpaas/{ASSETS}");
    // [UserRepositoryController.checkExist] asks nobody who they are.
    ensure!(data(&anonymously(&server, &Method::GET, &exists)?)? == false);
    ensure!(verdict(&post(create, repository.clone())?) == (200, 0));
    ensure!(verdict(&post(create, repository)?) == (400, 251_007));
    ensure!(data(&anonymously(&server, &Method::GET, &exists)?)? == true);
    let reply = post(create, json!({"projectId": "none", "name": "any", "type": "GENERIC"}))?;
    ensure!(verdict(&reply) == (400, 251_004), "{}", reply.text());
    // [UserRepoCreateRequest] what is not said.
    ensure!(
        verdict(&post(create, json!({"projectId": "bkpaas", "name": "plain", "type": "GENERIC"}))?).0 == 200
    );
    let get = |path: &str| {
        let headers = [("authorization", admin.as_str())];
        data(&request(&Method::GET, &format!("{}{path}", server.url()), &headers, "")?)
    };
    let info = get("/repository/api/repo/info/bkpaas/plain")?;
    ensure!(info["category"] == "COMPOSITE" && info["public"] == false, "{info}");
    ensure!(get("/repository/api/repo/list/bkpaas")?.as_array().map(Vec::len) == Some(2));
    ensure!(get("/repository/api/project/list")?.as_array().map(Vec::len) == Some(2));

    // [UserServiceImpl.createUser] one that is there keeps the password, and nothing is said.
    for password in ["first", "second"] {
        let user = json!({"userId": "bkpaas3", "name": "bkpaas3", "pwd": password, "projectId": "bkpaas"});
        ensure!(verdict(&post("/auth/api/user/create/project", user)?) == (200, 0));
    }
    let url = format!("{}/generic/bkpaas/plain/a", server.url());
    let upload =
        |password: &str| request(&Method::PUT, &url, &[("authorization", &basic("bkpaas3", password))], "x");
    ensure!(upload("first")?.status == 200 && upload("second")?.status == 401);

    // [RepositoryServiceImpl.deleteRepo]
    let delete = |query: &str| {
        let url = format!("{}/repository/api/repo/delete/bkpaas/plain{query}", server.url());
        request(&Method::DELETE, &url, &[("authorization", admin.as_str())], "")
    };
    ensure!(verdict(&delete("")?) == (400, 251_008));
    ensure!(verdict(&delete("?forced=true")?) == (200, 0));
    ensure!(server.repositories().len() == 1);
    Ok(())
}
