//! Whose work something is does not hang on today's password, nor on the day.

use super::*;

/// The files that say when certificates end.
const RECORD: &str = "etc/ferry/tls/certificates.json";

/// Lets the server's certificate end tomorrow.
fn near_the_end(ground: &Ground) {
    let mut record: serde_json::Value =
        serde_json::from_slice(&fs::read(ground.path(RECORD)).unwrap()).unwrap();
    record["serverEnds"] = (crate::journal::now() / 1000 + 24 * 60 * 60).into();
    fs::write(ground.path(RECORD), record.to_string()).unwrap();
}

#[tokio::test]
async fn a_password_that_was_rotated_or_is_gone_is_in_nobodys_way() {
    for password in [Some("an0ther-of-the-test\n"), None] {
        let ground = Ground::new();
        let before = ground.picture(true);
        ground.apply(None).await.unwrap();
        match password {
            Some(password) => fs::write(ground.path("password"), password).unwrap(),
            None => fs::remove_file(ground.path("password")).unwrap(),
        }
        ground.take_back(None).await.unwrap();
        assert_eq!(ground.picture(true), before, "{password:?}");
        assert_eq!(ground.run().unwrap().progress().unwrap().undo, Undo::Ended);
    }
}

#[tokio::test]
async fn runs_that_rotated_it_are_taken_back_one_after_the_other() {
    let ground = Ground::new();
    let first = ground.picture(true);
    ground.apply(None).await.unwrap();
    let second = ground.picture(true);
    fs::write(ground.path("password"), "an0ther-of-the-test\n").unwrap();
    ground.apply(None).await.unwrap();
    fs::write(ground.path("password"), "a-th1rd-of-the-test\n").unwrap();
    for expected in [second, first] {
        Box::pin(rollback_site(&ground.context(), None)).await.unwrap();
        assert_eq!(ground.picture(true), expected);
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_left_whatever_the_password_is() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    let file = ground.path("etc/ferry/htpasswd");
    let text = fs::read_to_string(&file).unwrap() + "puller:$2y$10$theirs\n";
    fs::write(&file, &text).unwrap();
    fs::remove_file(ground.path("password")).unwrap();
    ground.take_back(None).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let report = report::write(&ground.run().unwrap()).unwrap();
    let left: Vec<_> = report.with(Outcome::Left).map(|change| change.resource.to_string()).collect();
    assert!(left.contains(&format!("file {}", file.display())), "{left:?}");
}

#[tokio::test]
async fn certificates_near_their_end_are_still_the_runs() {
    let ground = Ground::new();
    let before = ground.picture(true);
    ground.apply(None).await.unwrap();
    assert!(status(&ground.context()).await.unwrap().is_good());
    near_the_end(&ground);
    let told = status(&ground.context()).await.unwrap();
    let tls = ground.path("etc/ferry/tls");
    let expected = format!("the certificate in {} ends on ", tls.display());
    assert!(told.ending.len() == 1 && told.ending[0].starts_with(&expected), "{told:?}");
    assert!(told.ending[0].ends_with("; `apply` renews it") && told.changed_since.is_empty(), "{told:?}");
    assert!(!told.is_good() && told.text().contains("near its end: the certificate"), "{}", told.text());
    ground.take_back(None).await.unwrap();
    assert_eq!(ground.picture(true), before);

    // Others' certificates are theirs on any day.
    ground.apply(None).await.unwrap();
    near_the_end(&ground);
    let theirs = ground.path("etc/ferry/tls/server.crt");
    fs::write(&theirs, "another").unwrap();
    ground.take_back(None).await.unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "another");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_put_right_and_taken_back() {
    let ground = Ground::new();
    ground.apply(None).await.unwrap();
    let (key, mode) = (ground.path("etc/ferry/tls/ca.key"), |path: &Path| {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    });
    let bytes = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let before = ground.picture(true);
    let plan = ground.plan().await;
    let summaries: Vec<&str> = plan.steps.iter().map(|step| step.summary.as_str()).collect();
    assert!(matches!(summaries[..], [only] if only.contains("ca.key, which has mode 0644")), "{summaries:?}");
    ground.apply(None).await.unwrap();
    assert_eq!((mode(&key), fs::read(&key).unwrap()), (0o600, bytes), "the same key, for its owner alone");
    assert!(ground.plan().await.steps.is_empty());
    ground.take_back(None).await.unwrap();
    assert_eq!(ground.picture(true), before);
}
