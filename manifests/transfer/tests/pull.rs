//! The pull half against a registry that misbehaves: tokens, redirects, manifests that lie, referrers without an API.

mod support;

use ferry_model::Digest;
use ferry_model::failure::{Class, Failure as _};
use ferry_transfer::{Client, Error, Login, Options, RefusedLogins, Resume, referrers_tag};
use support::{Answer, Follower, Memory, Server, client, options};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn token_challenge(host: &str) -> Answer {
    Answer::status(401).header(
        "www-authenticate",
        format!(r#"Bearer realm="http://{host}/token",service="s",scope="repository:*/*/tb:push,pull""#),
    )
}

#[tokio::test]
async fn tokens_are_asked_for_with_our_scope_and_renewed() {
    let server = Server::start(|request, number| {
        if request.path.starts_with("/token") {
            return Answer::ok(format!(r#"{{"token":"t{number}"}}"#).as_bytes());
        }
        match (number, request.header("authorization")) {
            // The first token is withdrawn after one use.
            (_, "") | (4.., "Bearer t1") => token_challenge(request.header("host")),
            _ => Answer::ok(b"{}").header("content-type", MANIFEST),
        }
    })
    .await;
    let repository = client(&server).repository(&server.host, "team/app");
    for _ in 0..3 {
        repository.manifest("1.0").await.unwrap();
    }
    let lines = server.lines();
    let token = "GET /token?service=s&scope=repository%3Ateam%2Fapp%3Apull";
    let manifest = "GET /v2/team/app/manifests/1.0";
    assert_eq!(lines, [manifest, token, manifest, manifest, manifest, token, manifest]);
}

#[tokio::test]
async fn a_no_is_final_and_says_what_to_try() {
    let server = Server::start(|request, _| {
        if request.path.starts_with("/token") {
            Answer::ok(br#"{"token":"t"}"#)
        } else {
            token_challenge(request.header("host"))
        }
    })
    .await;
    let error = client(&server).repository(&server.host, "a").manifest("1").await.unwrap_err();
    assert_eq!((error.class(), server.lines().len()), (Class::Denied, 3));
    assert!(error.hints().iter().any(|hint| hint.contains("docker login")), "{:?}", error.hints());
}

#[tokio::test]
async fn a_refused_password_is_shown_once_to_a_host() {
    let server =
        Server::start(|_, _| Answer::status(401).header("www-authenticate", r#"Basic realm="r""#)).await;
    let shown =
        || server.requests().iter().filter(|request| !request.header("authorization").is_empty()).count();
    let client = |refused_logins| {
        let login = Login { user: "me".into(), password: "wrong".into() };
        let logins = [(server.host.clone(), login)].into();
        Client::new(Options { refused_logins, logins, ..options(&[&server]) }).unwrap()
    };
    let all = async |client: Client| {
        let manifests = ["a", "b", "c"].map(|name| {
            let repository = client.repository(&server.host, name);
            async move { repository.manifest("1").await.unwrap_err().to_string() }
        });
        futures_util::future::join_all(manifests).await
    };
    let expected = format!("{} refused the password of user `me`", server.host);
    assert_eq!(all(client(RefusedLogins::Final)).await, [&*expected; 3]);
    assert_eq!(shown(), 1);
    // Elsewhere each asks for itself, and once.
    assert!(
        all(client(RefusedLogins::ShownAgain)).await.iter().all(|error| error.contains("is denied (401)"))
    );
    assert_eq!(shown(), 1 + 3);
}

#[tokio::test]
async fn a_stray_challenge_harms_one_request_alone() {
    // A proxy on the way that wants a login once, in front of a registry that wants none.
    let server = Server::start(|request, number| match (number, request.path.starts_with("/token")) {
        (_, true) => Answer::status(404),
        (0, _) => token_challenge(request.header("host")),
        _ => Answer::ok(b"{}").header("content-type", MANIFEST),
    })
    .await;
    let repository = client(&server).repository(&server.host, "a");
    assert_eq!(repository.manifest("1").await.unwrap_err().class(), Class::NotFound);
    repository.manifest("1").await.unwrap();
}

#[tokio::test]
async fn redirects_do_not_carry_who_we_are() {
    let blob = b"content of a blob";
    let storage = Server::start(move |request, _| {
        assert_eq!(request.header("authorization"), "", "credentials must not leave their host");
        Answer::ok(blob)
    })
    .await;
    let target = storage.url("/bucket/blob?signature=x");
    let server = Server::start(move |request, _| match request.header("authorization") {
        "Basic dTpw" => Answer::status(307).header("location", target.clone()),
        _ => Answer::status(401).header("www-authenticate", "Basic realm=\"r\""),
    })
    .await;
    let auth = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(auth.path(), format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, server.host)).unwrap();
    let mut options = options(&[&server]);
    options.auth_file = Some(auth.path().to_owned());
    let repository = Client::new(options).unwrap().repository(&server.host, "a");
    let (mut sink, (_, task)) = (Memory::default(), Follower::task());
    let size = Some(blob.len() as u64);
    repository.fetch_blob(&Digest::of(blob), size, Resume::default(), &mut sink, &task).await.unwrap();
    assert_eq!(sink.bytes, blob);
    assert_eq!(storage.lines(), ["GET /bucket/blob?signature=x"]);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|_, _| Answer::status(302).header("location", "/again")).await;
    let error = client(&server).get_small(&server.url("/"), 1).await.unwrap_err();
    assert_eq!((error.class(), server.lines().len()), (Class::Protocol, 11));
}

#[tokio::test]
async fn manifests_are_checked() {
    let server = Server::start(|request, _| {
        let name = request.path.rsplit('/').next().unwrap();
        let answer = if request.method == "HEAD" { Answer::status(200) } else { Answer::ok(b"{}") };
        match name {
            "v1" => {
                answer.header("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            }
            "lie" => answer
                .header("content-type", MANIFEST)
                .header("docker-content-digest", Digest::of(b"x").to_string()),
            "none" => Answer::status(404),
            _ => answer.header("content-type", MANIFEST),
        }
    })
    .await;
    let repository = client(&server).repository(&server.host, "a");
    let (good, wrong) = (Digest::of(b"{}"), Digest::of(b"x"));
    assert_eq!(repository.manifest("1").await.unwrap().digest, good);
    assert_eq!(repository.manifest(&good.to_string()).await.unwrap().media_type, MANIFEST);
    assert_eq!(repository.manifest(&wrong.to_string()).await.unwrap_err().class(), Class::Verification);
    assert_eq!(repository.manifest("lie").await.unwrap_err().class(), Class::Verification);
    let error = repository.manifest("v1").await.unwrap_err();
    assert!(matches!(&error, Error::Schema1 { reference } if reference.ends_with("/a:v1")), "{error}");
    assert_eq!(repository.head("none").await.unwrap(), None);
    // No digest in the answer to HEAD: the manifest itself tells.
    let head = repository.head("1").await.unwrap().unwrap();
    assert_eq!((head.digest, head.size), (good, 2));
}

#[tokio::test]
async fn referrers_without_an_api() {
    let subject = Digest::of(b"subject");
    let entry = format!(
        r#"{{"mediaType":"{MANIFEST}","digest":"{subject}","size":7,"artifactType":"application/x"}}"#
    );
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{entry}]}}"#
    );
    let tag = referrers_tag(&subject);
    let server = Server::start(move |request, _| {
        if request.path.ends_with(&tag) {
            Answer::ok(index.as_bytes()).header("content-type", "application/vnd.oci.image.index.v1+json")
        } else {
            Answer::status(404)
        }
    })
    .await;
    let repository = client(&server).repository(&server.host, "a");
    let referrers = repository.referrers(&subject).await.unwrap();
    assert_eq!(referrers[0].artifact_type.as_deref(), Some("application/x"));
    assert!(repository.referrers(&Digest::of(b"other")).await.unwrap().is_empty());
}

#[tokio::test]
async fn tags_come_in_pages() {
    let server = Server::start(|request, _| {
        if request.path.contains("last=b") {
            Answer::ok(br#"{"name":"a","tags":["c"]}"#)
        } else {
            Answer::ok(br#"{"name":"a","tags":["a","b"]}"#)
                .header("link", r#"</v2/a/tags/list?last=b>; rel="next""#)
        }
    })
    .await;
    assert_eq!(client(&server).repository(&server.host, "a").tags().await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn plain_http_only_where_spelled_out() {
    let server = Server::start(|_, _| Answer::ok(b"{}")).await;
    let client = Client::new(options(&[])).unwrap();
    let error = client.repository(&server.host, "a").manifest("1").await.unwrap_err();
    assert_eq!(error.class(), Class::Protocol, "{error}");
    assert!(error.hints()[0].contains(&format!("--plain-http {}", server.host)), "{:?}", error.hints());
    let gone = { Server::start(|_, _| Answer::status(200)).await.host.clone() };
    let error = client.repository(&gone, "a").manifest("1").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}
