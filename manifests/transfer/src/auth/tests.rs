use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn challenge(headers: &[&'static str]) -> Result<Challenge, Error> {
    let headers: Vec<HeaderValue> = headers.iter().map(|&text| HeaderValue::from_static(text)).collect();
    read_challenge(headers.iter(), &Url::parse("https://r.example/v2/").unwrap())
}

fn access(scopes: &[&str]) -> Access {
    Access {
        origin: Url::parse("https://r.example/").unwrap(),
        registry: "r.example".into(),
        repository: "team/app".into(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        given: Some(Credential::Password { user: "me".into(), password: "pass:word".into() }),
    }
}

#[test]
fn challenges() {
    let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
        realm: Url::parse(realm).unwrap(),
        service: service.map(str::to_owned),
    };
    let basic = |realm: &str| Challenge::Basic { realm: realm.to_owned() };
    for (headers, expected) in [
        (
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#,
            ][..],
            bearer("https://auth.docker.io/token", Some("registry.docker.io")),
        ),
        (
            &[
                r#"Bearer realm="http://bkrepo.example/docker/v2/auth",service="bkrepo",scope="repository:*/*/tb:push,pull""#,
            ],
            bearer("http://bkrepo.example/docker/v2/auth", Some("bkrepo")),
        ),
        (&[r#"bearer REALM="https://a.example/t""#], bearer("https://a.example/t", None)),
        (&[r#"Bearer realm="/token""#], bearer("https://r.example/token", None)),
        (&[r#"Basic realm="Registry Realm""#], basic("Registry Realm")),
        (&["Basic"], basic("")),
        (&[r#"Basic realm="a", Bearer realm="https://a.example/t""#], bearer("https://a.example/t", None)),
        (&["Negotiate", r#"Basic realm="Nexus""#], basic("Nexus")),
    ] {
        assert_eq!(challenge(headers).unwrap(), expected, "{headers:?}");
    }
    for (headers, reason) in [
        (&[][..], "without saying how"),
        (&["Negotiate"], "it wants Negotiate"),
        (&["Bearer service=\"x\""], "no realm"),
        (&["Bearer realm=\"ftp://a/b\""], "no URL"),
        (&["Bearer realm=\"open"], "malformed"),
    ] {
        let error = challenge(headers).unwrap_err().to_string();
        assert!(error.contains(reason), "{headers:?}: {error}");
    }
}

#[test]
fn token_requests() {
    let realm = Url::parse("https://a.example/t?x=1").unwrap();
    let asked = access(&["repository:team/app:pull,push", "repository:base:pull"]);
    let request = token_request(&asked, &realm, Some("the service"), asked.given.as_ref());
    assert_eq!(
        request.url.as_str(),
        "https://a.example/t?x=1&service=the+service&scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope=repository%3Abase%3Apull&account=me"
    );
    assert_eq!(request.authorization.unwrap(), "Basic bWU6cGFzczp3b3Jk");

    let identity = Credential::IdentityToken("a&b".into());
    let request = token_request(&asked, &realm, None, Some(&identity));
    assert_eq!(
        request.form.unwrap(),
        "grant_type=refresh_token&client_id=ferry&scope=repository%3Ateam%2Fapp%3Apull%2Cpush+repository%3Abase%3Apull&refresh_token=a%26b"
    );
    assert!(request.authorization.is_none());
}

/// Counts the tokens that it gives out.
#[derive(Default)]
struct Counter(AtomicUsize);

impl TokenService for Counter {
    async fn ask(&self, _: TokenRequest) -> Result<bytes::Bytes, Error> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(format!(r#"{{"access_token":"t{number}","expires_in":300}}"#).into())
    }
}

fn authenticator() -> Authenticator {
    let nothing = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(nothing.path(), "{}").unwrap();
    Authenticator::new(Keyring::new(Some(nothing.path())).unwrap(), Vec::new(), RefusedLogins::Final)
}

#[tokio::test]
async fn one_token_for_many_and_a_new_one_for_a_rejected_one() {
    let (authenticator, service) = (authenticator(), Counter::default());
    let realm = Url::parse("https://a.example/t").unwrap();
    let challenge = Challenge::Bearer { realm, service: None };
    let access = access(&["repository:team/app:pull"]);
    assert!(authenticator.grant(&access, &service).await.unwrap().is_none(), "nobody asked yet");

    let many = (0..10).map(|_| authenticator.answer(&access, challenge.clone(), None, &service));
    let grants = futures_util::future::try_join_all(many).await.unwrap();
    assert_eq!(service.0.load(Ordering::Relaxed), 1);
    assert!(grants.iter().all(|grant| grant.header == "Bearer t0"));

    let many =
        grants.iter().map(|grant| authenticator.answer(&access, challenge.clone(), Some(grant), &service));
    let renewed = futures_util::future::try_join_all(many).await.unwrap();
    assert_eq!(service.0.load(Ordering::Relaxed), 2);
    assert!(renewed.iter().all(|grant| grant.header == "Bearer t1"));

    let other = super::tests::access(&["repository:other:pull"]);
    assert_eq!(authenticator.grant(&other, &service).await.unwrap().unwrap().header, "Bearer t2");
}

#[tokio::test]
async fn no_password_in_the_clear() {
    let (authenticator, service) = (authenticator(), Counter::default());
    let realm = Url::parse("http://a.example/t").unwrap();
    let challenge = Challenge::Bearer { realm, service: None };
    let error = authenticator.answer(&access(&[]), challenge, None, &service).await.unwrap_err();
    assert!(matches!(error, Error::Insecure { .. }));
    assert_eq!(service.0.load(Ordering::Relaxed), 0);
}

#[test]
fn tokens() {
    let realm = Url::parse("https://a.example/t").unwrap();
    assert_eq!(read_token(br#"{"token":"a","access_token":"b"}"#, &realm).unwrap().0, "Bearer a");
    assert!(read_token(br#"{"token":"a"}"#, &realm).unwrap().1.unwrap() > Instant::now());
    for bad in [&b"{}"[..], b"", br#"{"token":""}"#, br#"{"token":"a\nb"}"#, b"<html>"] {
        assert!(read_token(bad, &realm).is_err());
    }
}

/// Knows nobody, and counts who asks.
#[derive(Default)]
struct Stranger(AtomicUsize);

impl TokenService for Stranger {
    async fn ask(&self, request: TokenRequest) -> Result<bytes::Bytes, Error> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.0.fetch_add(1, Ordering::Relaxed);
        let message = "no such user".to_owned();
        Err(Error::Denied { url: (&request.url).into(), status: 401, message, help: Vec::new() })
    }
}

#[tokio::test]
async fn a_refused_login_is_shown_once_to_each_host() {
    let (authenticator, service) = (authenticator(), Stranger::default());
    let challenge = |host: &str| {
        let realm = Url::parse(&format!("https://{host}/t")).unwrap();
        Challenge::Bearer { realm, service: None }
    };
    let scopes = ["repository:a:pull", "repository:b:pull", "repository:c:pull"];
    let accesses = scopes.map(|scope| access(&[scope]));
    let many =
        accesses.iter().map(|access| authenticator.answer(access, challenge("a.example"), None, &service));
    let told: Vec<String> = futures_util::future::join_all(many)
        .await
        .into_iter()
        .map(|answer| answer.unwrap_err().to_string())
        .collect();
    assert_eq!(told, ["r.example refused the password of user `me`: no such user"; 3]);
    assert_eq!(service.0.load(Ordering::Relaxed), 1);
    // Another host, and another password, are another matter.
    authenticator.answer(&accesses[0], challenge("b.example"), None, &service).await.unwrap_err();
    let given = Some(Credential::Password { user: "me".into(), password: "other".into() });
    let access = Access { given, ..access(&["repository:d:pull"]) };
    authenticator.answer(&access, challenge("a.example"), None, &service).await.unwrap_err();
    assert_eq!(service.0.load(Ordering::Relaxed), 3);
}
