//! The room that a plan takes, for each file system.

use super::*;

#[test]
fn folders_on_one_file_system_are_summed() {
    let desire = desired("systemd");
    let mut plan = planned("systemd", &desire, &bare(&desire)).unwrap();
    let lines = |plan: &Plan| {
        let text = plan_text(plan);
        text.lines().filter(|line| line.starts_with("needs up to")).map(str::to_owned).collect::<Vec<_>>()
    };
    let apart = lines(&plan);
    assert!(apart.len() == 2 && apart.iter().all(|line| !line.contains(" on ")), "{apart:?}");
    for (space, bytes) in plan.space.iter_mut().zip([3 << 20, 1 << 20]) {
        (space.bytes, space.mount) = (bytes, Some("/data".into()));
    }
    let (one, other) = (plan.space[0].folder.display(), plan.space[1].folder.display());
    assert_eq!(lines(&plan), [format!("needs up to 4.0 MiB on /data: 3.0 MiB in {one}, 1.0 MiB in {other}")]);
    plan.space[1].mount = Some("/".into());
    assert_eq!(lines(&plan).len(), 2);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!((&json["space"][0]["mount"], &json["space"][1]["mount"]), (&"/data".into(), &"/".into()));
}

#[test]
fn room_that_cannot_be_looked_at_from_here_is_told() {
    let by_hand = |storage: &str| {
        let text = fs::read_to_string(folder().join("kubernetes.yaml")).unwrap();
        let text = text.replace("{hostPath: /data/registry}", storage);
        let site = Site::parse(&text).unwrap();
        let site = SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) };
        desire(&catalog(), &site, &facts()).unwrap().by_hand.join("\n")
    };
    let told = by_hand("{hostPath: /data/registry}");
    assert!(told.contains("see that /data/registry of the node"), "{told}");
    let told = by_hand("{size: 1MiB}");
    assert!(told.contains("ask for more room: the images take") && told.contains("says 1.0 MiB"), "{told}");
    assert!(!by_hand("{size: 1GiB}").contains("room"));
    assert!(desired("marathon").by_hand.join("\n").contains("has room for"));
}
