use axum::http::Method;

use super::*;
use crate::htpasswd::entry;
use crate::serve::testing::{Sample, Site};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

fn site(folder: &Path, text: &str) -> Site {
    let file = folder.join("users");
    fs::write(&file, text).unwrap();
    Site::guarded(&[Sample::new()], Some(&file))
}

async fn status(site: &Site, path: &str, authorization: &str) -> u16 {
    site.request(Method::GET, path, &[("authorization", authorization)]).await.status
}

#[tokio::test]
async fn everything_asks_who_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), &entry("me", "pass:word").unwrap());
    for path in ["/", "/healthz", "/bundles.json", "/charts/index.yaml", "/files/", "/none"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, CHALLENGE), "{path}");
    }
    for path in ["/v2", "/v2/", "/v2/library/registry/manifests/2", "/v2/none"] {
        for method in [Method::GET, Method::PUT] {
            let answer = site.request(method, path, &[]).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{path}");
            assert_eq!(answer.header("www-authenticate"), CHALLENGE);
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        }
    }
    let good = basic("me", "pass:word");
    for (path, expected) in
        [("/", 200), ("/v2/", 200), ("/v2/library/registry/manifests/2", 200), ("/none", 404)]
    {
        assert_eq!(status(&site, path, &good).await, expected, "{path}");
        assert_eq!(status(&site, path, &good.replacen("Basic", "bASIC", 1)).await, expected, "{path}");
    }
    for bad in [
        basic("me", "pass"),
        basic("you", "pass:word"),
        "Basic".into(),
        "Basic %%".into(),
        good.replacen("Basic", "Bearer", 1),
    ] {
        assert_eq!(status(&site, "/v2/", &bad).await, 401, "{bad}");
    }
    assert!(!site.said.text().contains("pass"), "{}", site.said.text());
}

#[tokio::test]
async fn a_pair_is_hashed_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    fs::write(&path, entry("me", "right").unwrap()).unwrap();
    let door = Arc::new(Door::open(&path, &Events::none()).unwrap());
    let headers = |password: &str| {
        let mut headers = HeaderMap::new();
        set(&mut headers, AUTHORIZATION, &basic("me", password));
        headers
    };
    assert!(door.admits(&headers("right")).await);
    // With no permit left nothing more can be hashed, so what is still admitted is remembered.
    let _all = door.hashing.acquire_many(door.hashing.available_permits() as u32).await.unwrap();
    assert!(door.admits(&headers("right")).await);
    let wrong = headers("wrong");
    let wrong = tokio::time::timeout(Duration::from_millis(50), door.admits(&wrong));
    assert!(wrong.await.is_err(), "what was not seen before must be hashed");
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let site = site(folder.path(), &entry("me", "old").unwrap());
    assert_eq!(status(&site, "/v2/", &basic("me", "old")).await, 200);

    let next = folder.path().join("next");
    fs::write(&next, entry("me", "new").unwrap()).unwrap();
    fs::rename(&next, &file).unwrap();
    std::thread::sleep(LOOK_EVERY);
    assert_eq!(status(&site, "/v2/", &basic("me", "new")).await, 200);
    assert_eq!(status(&site, "/v2/", &basic("me", "old")).await, 401);

    fs::write(&file, "me:plain\n").unwrap();
    std::thread::sleep(LOOK_EVERY);
    assert_eq!(status(&site, "/v2/", &basic("me", "new")).await, 200);
    fs::remove_file(&file).unwrap();
    std::thread::sleep(LOOK_EVERY);
    assert_eq!(status(&site, "/v2/", &basic("me", "new")).await, 200);
    let said = site.said.text();
    assert_eq!(said.matches("Warned").count(), 2, "{said}");
    assert!(said.contains("not hashed with bcrypt") && said.contains("still admitted"), "{said}");
}

#[tokio::test]
async fn lines_that_cannot_be_used_let_nobody_in_and_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let others = "old:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nplain:secret\nnothing\n";
    let site = site(folder.path(), &format!("{others}{}\n", entry("me", "right").unwrap()));
    assert_eq!(status(&site, "/v2/", &basic("me", "right")).await, 200);
    for (user, password) in [("old", "password"), ("old", ""), ("plain", "secret"), ("nothing", "")] {
        assert_eq!(status(&site, "/v2/", &basic(user, password)).await, 401, "{user}");
    }
    let said = site.said.text();
    for expected in [
        "users:1: the password of `old` is not",
        "users:2: the password of `plain`",
        "users:3: there is no `:`",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("{SHA}") && !said.contains("secret"), "{said}");

    // Read again, it is told again, and who can be let in now is.
    let file = folder.path().join("users");
    fs::write(&file, format!("{others}{}\n", entry("you", "new").unwrap())).unwrap();
    std::thread::sleep(LOOK_EVERY);
    assert_eq!(status(&site, "/v2/", &basic("you", "new")).await, 200);
    assert_eq!(status(&site, "/v2/", &basic("me", "right")).await, 401);
    assert_eq!(site.said.text().matches("it lets nobody in").count(), 6);
}

#[test]
fn files_that_cannot_be_used() {
    use ferry_model::failure::{Class, Failure as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let absent = Door::open(&path, &Events::none()).unwrap_err();
    assert_eq!(absent.class(), Class::Local);
    fs::write(&path, "# users\nme:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    let error = Door::open(&path, &Events::none()).unwrap_err();
    assert_eq!((error.class(), error.hints().len()), (Class::Input, 1));
    assert!(error.to_string().ends_with("users:2"), "{error}");
}
