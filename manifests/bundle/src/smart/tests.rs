use std::io::Write as _;

use super::*;

const SECOND: &str = "spec_version: 2\napp_version: 2.10\napp:\n  region: default\n  bk_app_code: bk_sops\n  bk_app_name: 标准运维\nmodules:\n  default: {is_default: true, source_dir: ./src/default, language: Python, services: [{name: mysql}]}\n  api: {source_dir: src/api, language: python}\n";
const THIRD: &str = "specVersion: 3\nappVersion: \"1.5.12-beta.1\"\napp: {bkAppCode: bk_notice, bkAppName: notice}\nmodules:\n  - {name: default, isDefault: true, language: NodeJS, sourceDir: src, spec: {processes: []}}\n";

fn tar(members: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_package_of_layers_in_form_two() {
    let layers = [
        (".Version", "slug-layers\n"),
        ("bk_sops/app_desc.yaml", SECOND),
        ("bk_sops/src/default/layer.tar.gz", "x"),
        ("bk_sops/src/default/default.Procfile.tar.gz", "x"),
    ];
    for bytes in [tar(&layers), gzip(&tar(&layers))] {
        let package = read(&bytes[..]).unwrap();
        assert_eq!((package.app_code.as_str(), package.version.as_str()), ("bk_sops", "2.10"));
        assert_eq!((package.spec_version, package.kind), (2, PackageKind::SlugImage));
        assert_eq!((package.revision_kind(), package.base_image()), ("image", Some(BaseImage::SlugApp)));
        let module = |name: &str, source_dir: &str| Module {
            name: name.into(),
            source_dir: source_dir.into(),
            language: Some("python".into()),
        };
        assert_eq!(package.modules, [module("api", "src/api"), module("default", "src/default")]);
    }
}

#[test]
fn what_the_mark_says_decides_the_kind() {
    for (mark, kind) in [
        (None, PackageKind::Source),
        (Some((".Version", "source")), PackageKind::Source),
        (Some((".Version", "cnb-image-layers")), PackageKind::CnbImage),
        (Some(("bk_notice/.Version", "cnb-image-layers\n")), PackageKind::CnbImage),
        (Some(("./.Version", "")), PackageKind::SlugImage),
        (Some(("./.Version", "something new")), PackageKind::SlugImage),
        (Some(("bk_notice/pkgs/.Version", "cnb-image-layers")), PackageKind::Source),
        (Some(("elsewhere/.Version", "cnb-image-layers")), PackageKind::Source),
    ] {
        let mut members = vec![("bk_notice/app_desc.yaml", THIRD), ("bk_notice/logo.png", "png")];
        members.extend(mark);
        let package = read(&gzip(&tar(&members))[..]).unwrap();
        assert_eq!(package.kind, kind, "{mark:?}");
        assert_eq!((package.spec_version, package.modules.len()), (3, 1));
        assert_eq!(package.modules[0].language.as_deref(), Some("nodejs"));
    }
}

#[test]
fn the_first_description_by_name_counts() {
    let other = SECOND.replace("bk_sops", "other");
    let members =
        [("b/app_desc.yaml", other.as_str()), ("a/app_desc.yaml", SECOND), ("c/app_desc.yml", &other)];
    assert_eq!(read(&tar(&members)[..]).unwrap().app_code, "bk_sops");
}

#[test]
fn form_one_and_a_single_module_are_read() {
    let first = "app_code: old_app\nversion: \"1.0\"\nlanguage: python\n";
    let package = read(&tar(&[("old_app/app_desc.yaml", first)])[..]).unwrap();
    assert_eq!((package.spec_version, package.app_code.as_str()), (1, "old_app"));
    let single = "spec_version: 2\napp_version: \"1\"\napp: {bk_app_code: app}\nmodule: {language: go}\n";
    let package = read(&tar(&[("app_desc.yaml", single)])[..]).unwrap();
    let only = Module { name: "default".into(), source_dir: String::new(), language: Some("go".into()) };
    assert_eq!(package.modules, [only]);
}

#[test]
fn base_images_are_told_by_their_repository() {
    for repository in ["blueking/slug-app", "bkpaas/docker/slug-pilot", "slug-app"] {
        assert!(BaseImage::SlugApp.is(repository));
    }
    for repository in ["blueking/run-heroku-bionic", "blueking/run-heroku-noble"] {
        assert!(BaseImage::HerokuRunner.is(repository) && !BaseImage::SlugApp.is(repository));
    }
    assert!(!BaseImage::SlugApp.is("blueking/slug-apps"));
}

#[test]
fn what_is_no_package_is_refused() {
    let description = |text: &str| tar(&[("a/app_desc.yaml", text)]);
    let huge = format!("# {}", "x".repeat(2 << 20));
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    for (bytes, expect) in [
        (b"<html>404</html>".to_vec(), "tar archive"),
        (vec![1; 5000], "tar archive"),
        (tar(&[("a/readme", "x")]), "no app_desc.yaml"),
        (description("nothing: here\n"), "neither spec_version"),
        (description("spec_version: 9\n"), "not known"),
        (description(": : :"), "app_desc.yaml"),
        (description(&SECOND.replace("app_version: 2.10\n", "")), "version"),
        (description(&SECOND.replace("2.10", "../../x")), "no version"),
        (description(&SECOND.replace("bk_sops", "a/b")), "no application code"),
        (description(&SECOND.replace("bk_sops", "b")), "no application code"),
        (description(&SECOND.replace("bk_sops", "bk_sops-")), "no application code"),
        (description(&SECOND.replace("bk_sops", "3_sops")), "no application code"),
        (description(&SECOND.replace("bk_sops", "bk_sops_that_is_too_long")), "no application code"),
        (description(&SECOND.replace("  api:", "  ../../kube-system/pods:")), "no name of a module"),
        (description(&SECOND.replace("  api:", "  Api:")), "no name of a module"),
        (description(&SECOND.replace("  api:", "  a234567890123456z:")), "no name of a module"),
        (description(&SECOND.replace("  api:", "  \"\":")), "no name of a module"),
        (description(&THIRD.replace("name: default", "name: a?b")), "no name of a module"),
        (description(&huge), "over the limit"),
        (description(&format!("{laughs}{SECOND}")), "app_desc.yaml"),
        (tar(&[("a/app_desc.yaml", SECOND), (".Version", &"x".repeat(5000))]), "over the limit"),
    ] {
        let error = read(&bytes[..]).unwrap_err();
        let mut text = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            text.push_str(&cause.to_string());
        }
        assert!(text.contains(expect), "{text}");
        assert_eq!(error.class(), Class::Verification);
    }
}

#[test]
fn only_so_much_is_read() {
    let bytes = gzip(&tar(&[("a/app_desc.yaml", SECOND), ("a/zero", &"0".repeat(8 << 20))]));
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = read_within(&bytes[..], limits).unwrap_err();
    assert!(matches!(error, SmartError::Archive(TarballError::Limit { what: "bytes", .. })), "{error}");
}

proptest::proptest! {
    /// Whatever is cut off or changed in a package, reading it ends, and gives a package or a reason.
    #[test]
    fn damage_never_panics(at in 0_usize..4000, value: u8, cut in 0_usize..6000) {
        let mut bytes = tar(&[(".Version", "slug-layers"), ("a/app_desc.yaml", SECOND), ("a/b", "content")]);
        let position = at % bytes.len();
        bytes[position] = value;
        bytes.truncate(cut.max(1));
        drop(read(&bytes[..]));
    }

    /// The same of the description alone.
    #[test]
    fn any_text_is_a_description_or_not(text in "(?s).{0,200}", at in 0_usize..200) {
        let mut mixed = SECOND.to_owned();
        let position = (0..=at.min(mixed.len())).rev().find(|at| mixed.is_char_boundary(*at)).unwrap();
        mixed.insert_str(position, &text);
        drop(description::parse(&mixed));
        drop(description::parse(&text));
    }
}
