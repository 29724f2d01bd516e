//! Which answers mean that a login is wrong, where one that was refused is not shown again.

mod support;

use ferry_transfer::{Client, Login, Options, RefusedLogins};
use support::{Answer, Request, Server, options};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `me:right`.
const RIGHT: &str = "Basic bWU6cmlnaHQ=";

fn client(server: &Server, password: &str) -> Client {
    let login = Login { user: "me".into(), password: password.into() };
    let logins = [(server.host.clone(), login)].into();
    Client::new(Options { refused_logins: RefusedLogins::Final, logins, ..options(&[server]) })
        .expect("nothing is read")
}

fn challenge(text: impl Into<String>) -> Answer {
    Answer::status(401).header("www-authenticate", text)
}

fn token_challenge(request: &Request) -> Answer {
    challenge(format!(r#"Bearer realm="http://{}/token""#, request.header("host")))
}

/// A registry that wants tokens, behind the address of a web server that wants passwords.
fn registry_with_tokens(request: &Request) -> Answer {
    match (request.path.split('/').nth(1).unwrap_or_default(), request.header("authorization")) {
        (path, RIGHT) if path.starts_with("token") => Answer::ok(br#"{"token":"t"}"#),
        ("v2", "Bearer t") => Answer::ok(b"{}").header("content-type", MANIFEST),
        ("v2", _) => token_challenge(request),
        (_, RIGHT) => Answer::ok(b"a chart"),
        _ => challenge(r#"Basic realm="charts""#),
    }
}

/// How many requests showed a password, and which.
fn shown(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let shown = requests.iter().filter(|request| request.header("authorization").starts_with("Basic"));
    shown.map(|request| request.path.clone()).collect()
}

#[tokio::test]
async fn charts_with_passwords_and_images_with_tokens_share_a_host() {
    let server = Server::start(|request, _| registry_with_tokens(request)).await;
    let client = client(&server, "right");
    for name in ["a", "b"] {
        client.get_small(&server.url("/charts/index.yaml"), 100).await.unwrap();
        client.repository(&server.host, name).manifest("1").await.unwrap();
    }
}

#[tokio::test]
async fn a_stray_challenge_of_a_proxy_makes_no_password_wrong() {
    let server = Server::start(|request, number| match number {
        0 => challenge(r#"Basic realm="proxy""#),
        _ => registry_with_tokens(request),
    })
    .await;
    let client = client(&server, "right");
    for name in ["a", "b"] {
        client.repository(&server.host, name).manifest("1").await.unwrap();
    }
}

#[tokio::test]
async fn a_registry_may_refuse_one_repository() {
    // A registry without tokens that says 401 for "not you, here".
    let server = Server::start(|request, _| {
        match (request.header("authorization"), request.path.contains("/secret/")) {
            (RIGHT, false) => Answer::ok(b"{}").header("content-type", MANIFEST),
            _ => challenge(r#"Basic realm="r""#),
        }
    })
    .await;
    let right = client(&server, "right");
    let error = right.repository(&server.host, "secret").manifest("1").await.unwrap_err().to_string();
    assert!(error.contains("/v2/secret/manifests/1 is denied (401)"), "{error}");
    right.repository(&server.host, "open").manifest("1").await.unwrap();

    let before = shown(&server).len();
    let wrong = client(&server, "wrong");
    for name in ["secret", "open"] {
        let error = wrong.repository(&server.host, name).manifest("1").await.unwrap_err().to_string();
        assert_eq!(error, format!("{} refused the password of user `me`", server.host));
    }
    assert_eq!(shown(&server)[before..], ["/v2/"]);
}

#[tokio::test]
async fn each_realm_of_a_web_server_has_its_own_users() {
    let server = Server::start(|request, _| {
        let is_secret = request.path.starts_with("/secret/");
        match (request.header("authorization"), is_secret) {
            (RIGHT, false) => Answer::ok(b"a file"),
            (_, true) => challenge(r#"Basic realm="secret""#),
            (_, false) => challenge(r#"Basic realm="open""#),
        }
    })
    .await;
    let client = client(&server, "right");
    let get = async |path: &str| client.get_small(&server.url(path), 100).await;
    let refused = get("/secret/1").await.unwrap_err().to_string();
    let right = format!("or the right to {}", server.url("/secret/1"));
    assert!(refused.contains("refused the password of user `me`") && refused.contains(&right), "{refused}");
    // Once for the realm that refuses it; what else it holds is told the same.
    assert_eq!(get("/secret/2").await.unwrap_err().to_string(), refused);
    get("/open/1").await.unwrap();
    assert_eq!(shown(&server), ["/secret/1", "/open/1"]);
}
