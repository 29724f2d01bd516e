use super::*;

const HEAD: &str = "apiVersion: ferry/v1\nkind: Bundle\nname: demo\nversion: 1.0.0\n";

#[test]
fn the_design_example_parses() {
    let spec = Spec::parse(
        r#"
apiVersion: ferry/v1
kind: Bundle
name: bkce
version: 7.1.3
platforms: [linux/amd64]
registries:
  registry.corp:5000: {plainHttp: true}
  harbor.corp: {caFile: ca.pem}
images:
  - hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27
  - image: docker.io/library/registry:2
    as: library/registry:2
  - {image: oci:images/app:v1, as: "team/app:v1"}
  - {image: "docker-archive:app.tar", as: "team/app:v2", required: false}
charts:
  - {repo: https://hub.bktencent.com/chartrepo/blueking, name: bkrepo, version: 1.3.16-beta.4}
  - {chart: oci://registry.corp:5000/charts/app, version: 1.2.0, values: [values.yaml]}
runtimes:
  - base: https://bkopen-1252002024.file.myqcloud.com/ce7/paas-runtimes/
    repository: bkpaas/bkpaas3-platform-assets
    items:
      - {url: "node-v{version}-linux-x64.tar.gz", to: "runtimes/nodejs/node/release/linux-x64/node-v{version}-linux-x64.tar.gz", versions: [14.16.1, 16.16.0]}
saas:
  - {name: bk_itsm, version: 2.6.6, url: "https://example.com/bk_itsm-V2.6.6.tar.gz"}
files:
  - {url: "https://example.com/tool.tgz", to: tools/tool.tgz, repository: blueking/tools}
  - {path: ./offline-docs, to: docs/}
"#,
    )
    .unwrap();
    assert_eq!(spec.images.len(), 4);
    assert_eq!(spec.images[1].site_name.as_ref().unwrap().repository(), "library/registry");
    assert_eq!(spec.images[2].site_name.as_ref().unwrap().tag(), Some("v1"));
    assert!(!spec.images[3].required);
    assert_eq!(spec.runtimes[0].items[0].versions, ["14.16.1", "16.16.0"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest() {
    use crate::failure::Failure;
    let error = Spec::parse(&format!("{HEAD}imags:\n  - busybox\n")).unwrap_err();
    assert_eq!(error.line, 5, "{error}");
    assert!(error.to_string().contains("imags"), "{error}");
    assert_eq!(error.hints(), ["did you mean `images`?"], "{error}");

    let error = Spec::parse(&format!("{HEAD}images:\n  - {{image: busybox, requird: false}}\n")).unwrap_err();
    assert_eq!(error.line, 6, "{error}");
    assert_eq!(error.hints(), ["did you mean `required`?"]);
}

#[test]
fn bad_values_name_their_line() {
    for (line, body, expect) in [
        (6, "images:\n  - Busybox:1\n", "lower case"),
        (6, "images:\n  - oci:images/app\n", "as: repository:tag"),
        (6, "images:\n  - https://a.b/c\n", "without a scheme"),
        (5, "platforms: []\n", "empty"),
        (5, "platforms: [linux]\n", "linux/amd64"),
        (6, "charts:\n  - {chart: app, version: 1}\n", "oci://"),
        (6, "charts:\n  - {repo: \"https://u:p@h/x\", name: a, version: \"1\"}\n", "credentials"),
        (6, "files:\n  - {url: \"https://h/x\", to: a, sha256: 12}\n", "64 hex"),
    ] {
        let error = Spec::parse(&format!("{HEAD}{body}")).unwrap_err();
        assert!(error.to_string().contains(expect), "{body}: {error}");
        assert!((line..=line + 1).contains(&error.line), "{body}: {error}");
    }
}

#[test]
fn versions_stay_text() {
    let spec = Spec::parse(&HEAD.replace("1.0.0", "1.10")).unwrap();
    assert_eq!(spec.version.as_str(), "1.10");
}
