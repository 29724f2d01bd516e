use super::*;
use crate::failure::Failure as _;

const HEAD: &str = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";

fn registry(body: &str) -> Registry {
    Site::parse(&format!("{HEAD}registry:\n{body}")).unwrap().registry.unwrap()
}

#[test]
fn the_shortest_registry_is_served_with_a_certificate_of_ours() {
    let registry = registry("  address: registry.corp:5000\n");
    assert_eq!(registry.mode, Mode::Serve(Serve::default()));
    assert_eq!((registry.tls, registry.paths), (Tls::Generated, Paths::Keep));
}

#[test]
fn every_mode_parses() {
    for (mode, body) in [
        ("existing", "existing: {product: harbor, publicProjects: true}"),
        ("existing", "existing: {}"),
        ("serve", "serve: {listen: 10.0.0.5}"),
        ("docker", "docker: {storage: /data/registry}"),
        ("systemd", "systemd: {}"),
        ("kubernetes", "kubernetes: {storage: {size: 500GiB, class: local}, preload: [node1]}"),
        ("kubernetes", "kubernetes: {storage: {hostPath: /data}, ingress: {issuer: acme}}"),
        (
            "kubernetes",
            "kubernetes: {replicas: 3, storage: {s3: {endpoint: 'http://minio:9000', bucket: b, login: {user: u, password: {env: S3_KEY}}}}}",
        ),
        ("marathon", "marathon: {agent: 192.168.1.80, vip: '192.168.0.1:443'}"),
        ("proxy", "proxy: {remote: 'https://hub.bktencent.com'}"),
    ] {
        let registry = registry(&format!("  address: r.corp\n  {body}\n"));
        assert_eq!(registry.mode.name(), mode);
    }
}

#[test]
fn trust_is_spelled_out() {
    let tls = |body: &str| registry(&format!("  address: r.corp\n{body}")).tls;
    assert_eq!(tls("  existing: {}\n"), Tls::System);
    assert_eq!(tls("  existing: {}\n  plainHttp: true\n"), Tls::PlainHttp);
    let given = Tls::Given { authority: Some("ca.pem".into()), certificate: None };
    assert_eq!(tls("  existing: {}\n  authority: ca.pem\n"), given);
    let given = Tls::Given { authority: None, certificate: Some(("c.pem".into(), "k.pem".into())) };
    assert_eq!(tls("  certificate: c.pem\n  key: k.pem\n"), given);
}

#[test]
fn repositories_get_their_names() {
    let named =
        |body: &str| registry(&format!("  address: r.corp\n{body}")).paths.repository("blueking/slug-app");
    assert_eq!(named(""), "blueking/slug-app");
    assert_eq!(named("  prefix: mirror/\n"), "mirror/blueking/slug-app");
    assert_eq!(named("  flatten: true\n"), "slug-app");
    assert_eq!(named("  flatten: true\n  prefix: a/b\n"), "a/b/slug-app");
    let registry = registry("  address: r.corp\n  names: {'registry:2': 'base/registry:two'}\n");
    let (image, name) = registry.names.first_key_value().unwrap();
    assert_eq!(
        (image.to_string().as_str(), name.to_string().as_str()),
        ("docker.io/library/registry:2", "r.corp/base/registry:two")
    );
}

#[test]
fn secrets_are_only_named() {
    for (source, shown) in [
        ("{env: PW}", "environment variable PW"),
        ("{file: pw.txt}", "file pw.txt"),
        ("{secret: a/b/c}", "key c of secret a/b"),
    ] {
        let login = registry(&format!("  address: r.corp\n  login: {{user: admin, password: {source}}}\n"))
            .login
            .unwrap();
        assert_eq!(login.password.to_string(), shown);
        let text = serde_json::to_string(&login).unwrap();
        assert_eq!(serde_json::from_str::<Login>(&text).unwrap(), login);
    }
}

#[test]
fn a_password_that_was_written_down_is_shown_nowhere() {
    for body in [
        "  login: {user: admin, password: hunter2}\n",
        "  login:\n    user: admin\n    password: \"hunter2\"\n",
        "  login:\n    user: admin\n    password:\n      secret: hunter2\n",
        "  login: {user: admin, password: {secret: hunter2}}\n",
    ] {
        let error = Site::parse(&format!("{HEAD}registry:\n  address: r.corp\n{body}")).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.hints());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn mistakes_name_their_line() {
    for (line, body, expect) in [
        (5, "registry:\n  adress: r.corp\n", "adress"),
        (5, "registry:\n  address: registry\n", "HOST"),
        (5, "registry:\n  address: r.corp\n  serve: {}\n  docker: {}\n", "exclude each other"),
        (5, "registry:\n  address: r.corp\n  plainHttp: true\n  authority: a.pem\n", "plainHttp"),
        (5, "registry:\n  address: r.corp\n  authority: a.pem\n", "certificate"),
        (5, "registry:\n  address: r.corp\n  login: {user: a, password: secret}\n", "`{env: NAME}`"),
        (5, "registry:\n  address: r.corp\n  login: {user: a, password: 20171}\n", "`{env: NAME}`"),
        (5, "registry:\n  address: https://r.corp\n", "is not a registry's address"),
        (5, "registry:\n  address: r.corp\n  prefix: Upper\n", "lower case"),
        (5, "registry:\n  address: r.corp\n  kubernetes: {storage: {}}\n", "hostPath"),
        (5, "nodes:\n  hosts: [{name: 'a b'}]\n", "host name"),
    ] {
        let error = Site::parse(&format!("{HEAD}{body}")).unwrap_err();
        assert!(error.to_string().contains(expect), "{body}: {error}");
        assert!((line..=line + 3).contains(&error.line), "{body}: {error}");
    }
    let error = Site::parse(&format!("{HEAD}registry:\n  address: r.corp\n  dokcer: {{}}\n")).unwrap_err();
    assert_eq!(error.hints(), ["did you mean `docker`?"]);
}

#[test]
fn what_may_be_a_password_is_never_shown() {
    for body in [
        "  login: {user: me, password: hunter2}",
        "  login: {user: me, password: {secret: hunter2}}",
        "  login: {user: me, password: {hunter2}}",
        "  login: {user: me, password: {value: hunter2}}",
        "  login: {user: me, passwort: hunter2}",
        "  login: {user: me, password: {env: '', secret: hunter2}}",
        "  login: {user: me, password: hunter2",
        "  login: {user: me, password: [hunter2]}",
        "  login: me:hunter2",
        "  login:\n    user: me\n    password:\n      hunter2",
        "  login:\n    user: me\n    password:\n      secret: hunter2",
        "  login:\n    user: me\n    Password: hunter2",
        "  login:\n    user: me\n    password: hunter2\n  serve: {lisen: 10.0.0.5}",
        "  login:\n    user: me\n    password: \"hunter2\n  serve: {}",
        "  login:\n    user: me\n    password: |\n      hunter2\n  serve: {}",
        "  proxy: {remote: 'https://me:hunter2@hub.corp'}",
        "  proxy: {remote: 'https://me:hunter2@hub corp'}",
        "  proxy: {remote: 'ftp://me:hunter2@hub.corp'}",
        "  marathon: {agent: 10.0.0.5, endpoint: 'http://hunter2@10.0.0.1:8080'}",
        "  kubernetes: {storage: {s3: {endpoint: 'http://me:hunter2@minio', bucket: b, login: {user: u, password: {env: K}}}}}",
    ] {
        let text = format!("{HEAD}registry:\n  address: registry.corp:5000\n{body}\n");
        let error = Site::parse(&text).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.hints());
        assert!(!shown.contains("hunter2"), "{body}: {shown}");
        assert!(error.line > 0 && !error.message.is_empty(), "{body}: {error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_explained() {
    let text =
        format!("{HEAD}registry:\n  address: r:5000\n  login: {{user: me, password: {{secret: hunter2}}}}\n");
    let error = Site::parse(&text).unwrap_err();
    assert!(error.message.contains("namespace/name/key"), "{error}");
    let text = format!("{HEAD}registry:\n  address: r:5000\n  proxy: {{remote: 'https://me@hub.corp'}}\n");
    let error = Site::parse(&text).unwrap_err();
    assert!(error.message.contains("the URL has credentials"), "{error}");
}
