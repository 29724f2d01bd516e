use ferry_model::Digest;
use ferry_model::plan::State;
use serde_json::{Value, json};

use super::*;
use crate::resources::Manage as _;

fn file(kind: &str, repository: Option<&str>, path: &str, content: &str) -> Value {
    let mut file = json!({"kind": kind, "path": path, "source": format!("https://files.example.com/{path}"),
        "digest": Digest::of(content.as_bytes()), "size": content.len(), "name": "bk_sops"});
    if let Some(repository) = repository {
        file["repository"] = repository.into();
    }
    file
}

fn catalog(files: &[Value]) -> Catalog {
    let catalog = json!({"formatVersion": "1.0", "name": "demo", "version": "1.0.0", "lock": Digest::of(b"lock"),
        "images": [], "charts": [], "blobs": [], "files": files});
    serde_json::from_value(catalog).unwrap()
}

fn site(sections: &str) -> Site {
    Site::parse(&format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\n{sections}")).unwrap()
}

fn desired(files: &[Value], sections: &str) -> Result<Desire, Error> {
    let mut desire = Desire::default();
    desire_artifacts(&mut desire, &catalog(files), &site(sections))?;
    Ok(desire)
}

fn names(desire: &Desire) -> Vec<String> {
    desire.resources.iter().map(|resource| resource.id().to_string()).collect()
}

const ASSETS: Option<&str> = Some("bkpaas/bkpaas3-platform-assets");

#[test]
fn files_go_where_bundle_and_site_say() {
    let files = [
        file("runtime", ASSETS, "common/buildpack-stdlib/v7/stdlib.sh", "a"),
        file("file", None, "gse2/plugins/bkmonitorbeat.tgz", "b"),
        file("file", None, "gse2/agent.tgz", "c"),
        file("file", None, "gse2x/agent.tgz", "d"),
        file("file", None, "one/file.tgz", "e"),
    ];
    let sections = "bkrepo:\n  url: http://bkrepo.corp/\n  files:\n    - {from: gse2/, repository: blueking/bknodeman, to: /data/bkee/}\n    - {from: gse2/plugins, repository: blueking/plugins}\n    - {from: one/file.tgz, repository: blueking/tools, to: x}\n";
    let desire = desired(&files, sections).unwrap();
    let base = "http://bkrepo.corp";
    let expected = [
        format!("bkrepo-project {base}/bkpaas"),
        format!("bkrepo-repository {base}/bkpaas/bkpaas3-platform-assets"),
        format!("upload {base}/bkpaas/bkpaas3-platform-assets/common/buildpack-stdlib/v7/stdlib.sh"),
        format!("bkrepo-project {base}/blueking"),
        format!("bkrepo-repository {base}/blueking/bknodeman"),
        format!("upload {base}/blueking/bknodeman/data/bkee/agent.tgz"),
        format!("bkrepo-repository {base}/blueking/plugins"),
        format!("upload {base}/blueking/plugins/bkmonitorbeat.tgz"),
        format!("bkrepo-repository {base}/blueking/tools"),
        format!("upload {base}/blueking/tools/x/file.tgz"),
    ];
    assert_eq!(names(&desire), expected);
    let [note] = &desire.by_hand[..] else { panic!("{:?}", desire.by_hand) };
    assert!(note.contains("1 file ") && note.contains("from: gse2x/"), "{note}");
    for (at, resource) in desire.resources.iter().enumerate() {
        assert!(
            resource.needs.iter().all(|need| names(&desire)[..at].contains(&need.to_string())),
            "{resource:?}"
        );
    }
    let public = |desired: &Desired| match desired {
        Desired::BkrepoRepository(repository) => {
            Some((repository.repository.name.clone(), repository.public))
        }
        _ => None,
    };
    let public: BTreeMap<String, bool> =
        desire.resources.iter().filter_map(|resource| public(&resource.desired)).collect();
    assert!(public["bkpaas3-platform-assets"] && !public["bknodeman"], "{public:?}");
}

#[test]
fn an_entry_without_from_takes_the_rest() {
    let files = [file("file", None, "a/b.tgz", "a"), file("saas", Some("odd"), "c.tgz", "b")];
    let sections = "bkrepo: {url: \"http://b\", files: [{repository: blueking/files}]}";
    let desire = desired(&files, sections).unwrap();
    assert!(desire.by_hand.is_empty(), "{:?}", desire.by_hand);
    assert_eq!(
        names(&desire)[2..],
        ["upload http://b/blueking/files/a/b.tgz", "upload http://b/blueking/files/odd/c.tgz"]
    );
}

#[test]
fn two_files_at_one_place_are_refused() {
    let sections =
        "bkrepo: {url: \"http://b\", files: [{from: x, repository: p/r}, {from: y, repository: p/r}]}";
    let clash =
        desired(&[file("file", None, "x/f", "1"), file("file", None, "y/f", "2")], sections).unwrap_err();
    let text = clash.to_string();
    assert!(["x/f", "y/f", "p/r/f"].iter().all(|part| text.contains(part)), "{text}");
    // The same content is one file.
    let desire =
        desired(&[file("file", None, "x/f", "1"), file("file", None, "y/f", "1")], sections).unwrap();
    assert_eq!(desire.resources.len(), 3);
    let clash =
        desired(&[file("file", None, "x/f", "1"), file("file", None, "y/f/g", "2")], sections).unwrap_err();
    assert!(clash.to_string().contains("p/r/f"), "{clash}");
    let wrong = "bkrepo: {url: \"http://b\", files: [{repository: p/r, to: a/../b}]}";
    assert!(matches!(desired(&[file("file", None, "f", "1")], wrong), Err(Error::Place { .. })));
}

#[test]
fn where_the_guides_loop_puts_files() {
    let uploads = |paths: &[&str]| {
        let files: Vec<Value> = paths.iter().map(|path| file("runtime", ASSETS, path, "same")).collect();
        let desire = desired(&files, "bkrepo: {url: \"http://b\"}").unwrap();
        let misplaced = |resource: &Resource| match &resource.desired {
            Desired::Upload(upload) => Some(upload.misplaced.clone()),
            _ => None,
        };
        desire.resources.iter().filter_map(misplaced).collect::<Vec<_>>()
    };
    assert_eq!(
        uploads(&["common/buildpack-stdlib/v7/stdlib.sh"]),
        [Some("/buildpack-stdlib/v7/stdlib.sh/stdlib.sh".to_owned())]
    );
    assert_eq!(uploads(&["buildpacks/x.tar"]), [Some("/x.tar/x.tar".to_owned())]);
    assert_eq!(uploads(&["x.tar"]), [None]);
    assert_eq!(uploads(&["a/x", "x/x"]), [None, None], "/x/x is where another file belongs");
    let own = Some("/y/x/x".to_owned());
    assert_eq!(uploads(&["a/x", "x"]), [None, None], "/x is where another file belongs");
    assert_eq!(uploads(&["a/y/x", "y/x"]), [None, Some("/x/x".to_owned())], "so is /y/x");
    assert_eq!(
        uploads(&["a/y/x", "y/x/z/f"]),
        [None, Some("/x/z/f/f".to_owned())],
        "/y/x is a folder of another's"
    );
    assert_eq!(uploads(&["a/y/x", "y/x.d", "y/w"])[0], own, "these only begin alike");
}

#[test]
fn what_paas_installs_is_not_left() {
    let files = [file("saas", None, "bk_sops.tgz", "a"), file("file", None, "gse2/plugins/p.tgz", "b")];
    let taken = "blueking: {domain: b.corp, saas: [{app: bk_sops}], plugins: true}";
    assert!(desired(&files, taken).unwrap().by_hand.is_empty());
    let left = desired(&files, "bkrepo: {url: \"http://b\"}\nblueking: {domain: b.corp}").unwrap();
    assert!(left.by_hand[0].starts_with("2 files not uploaded anywhere"), "{:?}", left.by_hand);
    let none = desired(&files, "").unwrap();
    assert!(none.by_hand[0].contains("no `bkrepo`"), "{:?}", none.by_hand);
}

#[test]
fn what_stands_in_a_files_place_is_refused_or_removed() {
    let upload = |overwrite: bool, repair: bool| {
        let sections = format!("bkrepo: {{url: \"http://b\", overwrite: {overwrite}, repair: {repair}}}");
        let desire = desired(&[file("runtime", ASSETS, "a/b/f", "right")], &sections).unwrap();
        desire.resources.last().unwrap().desired.clone()
    };
    let other = State::present([("sha256", "00"), ("size", "1"), ("misplaced", "none")]);
    let folder = State::present([("folder", "true"), ("misplaced", "none")]);
    let right = |misplaced: &str| {
        State::present([
            ("sha256", Digest::of(b"right").hex()),
            ("size", "5".into()),
            ("misplaced", misplaced.into()),
        ])
    };
    for (overwrite, repair, state, key) in [
        (false, true, &other, Some("overwrite: true")),
        (true, false, &other, None),
        (true, false, &folder, Some("repair: true")),
        (false, true, &folder, None),
        (false, false, &State::Absent, None),
    ] {
        let refusal = upload(overwrite, repair).refusal(state);
        let hints = refusal.as_ref().map(|refusal| refusal.hints.join(" "));
        assert_eq!(hints.is_some(), key.is_some(), "{overwrite} {repair} {state}: {hints:?}");
        assert!(key.is_none_or(|key| hints.unwrap().contains(key)), "{overwrite} {repair} {state}");
        assert!(!state.meets(&upload(overwrite, repair).wanted()));
    }
    assert!(right("none").meets(&upload(false, true).wanted()));
    assert!(right("/b/f/f").meets(&upload(false, false).wanted()), "a wrong copy is nobody's trouble");
    assert!(!right("/b/f/f").meets(&upload(false, true).wanted()), "but where it is to be removed");
}
