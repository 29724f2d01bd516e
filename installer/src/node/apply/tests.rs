//! Applying and taking back on folders that play a node: what is written, what stays, and what a kill at any write leaves.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::super::testing::{node, put};
use super::super::undo::undo_with;
use super::*;

const DESIRED: &str = r#"{"names":[{"name":"plain.corp","addresses":["10.0.0.5"]}],"hostTrust":true,"registries":[
    {"address":"plain.corp:5000","security":{"as":"plain-http"},"mirrors":["docker.io"]},
    {"address":"tls.corp:5443","security":{"as":"https","authority":"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"}}]}"#;
const HOSTS: &str = "/etc/hosts";
const JSON: &str = "/etc/docker/daemon.json";
const FILES: [(&str, &str); 5] = [
    ("/usr/lib/systemd/system/docker.service", "[Service]\nExecStart=/usr/bin/dockerd\n"),
    ("/usr/sbin/update-ca-certificates", ""),
    ("/proc/sys/kernel/hostname", "n1\n"),
    (HOSTS, "127.0.0.1 localhost"),
    (JSON, "{\r\n\t\"debug\": true\r\n}"),
];

fn desired() -> NodeDesired {
    serde_json::from_str(DESIRED).unwrap()
}

/// Hands that die at some write, and services that come up or not.
#[derive(Debug, Default)]
struct Fake {
    /// Writes that are left to do; none at all without.
    left: Option<Cell<usize>>,
    /// What services were told.
    told: RefCell<Vec<String>>,
    /// How many times a service does not come back.
    broken: Cell<usize>,
}

impl Fake {
    fn dying_after(writes: usize) -> Self {
        Self { left: Some(Cell::new(writes)), ..Self::default() }
    }

    fn lives(&self) -> io::Result<()> {
        match &self.left {
            Some(left) if left.get() == 0 => Err(io::Error::other("killed")),
            Some(left) => {
                left.set(left.get() - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Hands for Fake {
    fn write(&self, path: &Path, bytes: &[u8], guise: &Guise) -> io::Result<()> {
        self.lives()?;
        Here::Files.write(path, bytes, guise)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        Here::Files.remove(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        Here::Files.make_folder(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        Here::Files.remove_folder(path)
    }

    fn take_up(&self, service: &ServiceChange) -> Result<Option<String>, Failed> {
        self.lives().map_err(|error| Failed::because(Class::Local, error.to_string()))?;
        self.told.borrow_mut().push(format!("{:?} {}", service.how, service.unit));
        if self.broken.get() > 0 {
            self.broken.set(self.broken.get() - 1);
            return Err(Failed::because(Class::Local, format!("{} does not answer", service.unit)));
        }
        Ok(None)
    }

    fn run(&self, command: &[String]) -> Result<(), Failed> {
        self.lives().map_err(|error| Failed::because(Class::Local, error.to_string()))?;
        self.told.borrow_mut().push(command.join(" "));
        Ok(())
    }
}

/// All files, folders and links, with what they have and are.
fn all(root: &Root) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    fn add(folder: &Path, all: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = if metadata.is_dir() {
                add(&path, all);
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            all.insert(path, (metadata.mode(), bytes));
        }
    }
    let mut found = BTreeMap::new();
    add(&root.path("/"), &mut found);
    found
}

fn text(root: &Root, path: &str) -> String {
    fs::read_to_string(root.path(path)).unwrap()
}

/// A folder that playing root's state can be made in, apart from what is compared.
fn fresh() -> (tempfile::TempDir, Root) {
    let (folder, root) = node(&FILES);
    fs::create_dir_all(root.path("/var/lib/ferry")).unwrap();
    fs::create_dir_all(root.path("/var/lib/ferry/other")).unwrap();
    fs::set_permissions(root.path(JSON), fs::Permissions::from_mode(0o640)).unwrap();
    (folder, root)
}

#[test]
fn all_is_written_once_taken_up_once_and_taken_back() {
    let (_folder, root) = fresh();
    let before = all(&root);
    let hands = Fake::default();
    let report = apply_with(&root, &desired(), &hands);
    assert_eq!((report.node.as_str(), report.failures.as_slice()), ("n1", &[][..]));
    assert_eq!(report.changes.len(), 4, "{:?}", report.changes);
    assert_eq!(*hands.told.borrow(), ["update-ca-certificates --fresh", "Reload docker.service"]);
    assert!(text(&root, HOSTS).contains("10.0.0.5\tplain.corp"));
    assert!(text(&root, JSON).starts_with("{\r\n\t\"debug\": true,\r\n\t\"insecure-registries\""));
    assert_eq!(fs::metadata(root.path(JSON)).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(root.path("/var/lib/ferry/node")).unwrap().mode() & 0o777, 0o700);

    let after = all(&root);
    let again = Fake::dying_after(0);
    let report = apply_with(&root, &desired(), &again);
    assert!(
        report.changes.is_empty() && report.services.is_empty() && report.failures.is_empty(),
        "{report:?}"
    );
    assert_eq!(all(&root), after);

    let hands = Fake::default();
    let report = undo_with(&root, &hands);
    assert_eq!(report.failures, []);
    assert_eq!(
        *hands.told.borrow(),
        ["Reload docker.service", "update-ca-certificates --fresh", "Reload docker.service"]
    );
    assert_eq!(all(&root), before);
    let report = undo_with(&root, &Fake::dying_after(0));
    assert!(report.failures.is_empty() && report.changes.is_empty(), "{report:?}");
}

#[test]
fn a_kill_at_any_write_leaves_files_that_a_runtime_starts_with_and_a_second_run_finishes() {
    let (_folder, root) = fresh();
    apply_with(&root, &desired(), &Fake::default());
    let paths: Vec<&str> = vec![HOSTS, JSON, "/etc/docker/certs.d/tls.corp:5443/ca.crt"];
    let whole: Vec<String> = paths.iter().map(|path| text(&root, path)).collect();
    let mut writes = 0;
    loop {
        let (_folder, root) = fresh();
        let before = all(&root);
        let hands = Fake::dying_after(writes);
        let cut = apply_with(&root, &desired(), &hands);
        let json: serde_json::Value = serde_json::from_str(&text(&root, JSON)).unwrap();
        // Whoever is told to rely on a certificate has it.
        if json.get("insecure-registries").is_some() {
            assert!(root.exists(paths[2]), "after {writes} writes");
        }
        let (_other_folder, other) = fresh();
        apply_with(&other, &desired(), &Fake::dying_after(writes));

        let hands = Fake::default();
        let report = apply_with(&root, &desired(), &hands);
        assert_eq!(report.failures, [], "after {writes} writes");
        let now: Vec<String> = paths.iter().map(|path| text(&root, path)).collect();
        assert_eq!(now, whole, "after {writes} writes");
        let is_done = cut.failures.is_empty();
        if !is_done {
            let told = hands.told.borrow().contains(&"Reload docker.service".to_owned());
            let was_told = text_of_journal_is_settled(&root);
            assert!(told || was_told, "nobody took it up after {writes} writes");
        }
        assert_eq!(undo_with(&root, &Fake::default()).failures, []);
        assert_eq!(all(&root), before, "after {writes} writes");

        // Taken back straight away, and that cut off as well.
        let expected = all(&fresh().1).into_values().collect::<Vec<_>>();
        undo_with(&other, &Fake::dying_after(writes / 2));
        assert_eq!(undo_with(&other, &Fake::default()).failures, []);
        assert_eq!(all(&other).into_values().collect::<Vec<_>>(), expected, "after {writes} writes");
        if is_done {
            break;
        }
        writes += 1;
    }
    assert!(writes > 10, "{writes}");
}

const CONFIG: &str = "/etc/containerd/config.toml";
/// containerd as the documents of 2020 had it: beside this, `config_path` keeps its plug-in from starting.
const CONTAINERD: [(&str, &str); 6] = [
    ("/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n"),
    ("/usr/bin/containerd", "io.containerd.grpc.v1 toml:\"config_path\""),
    ("/usr/sbin/update-ca-certificates", ""),
    ("/proc/sys/kernel/hostname", "n1\n"),
    (HOSTS, "127.0.0.1 localhost"),
    (
        CONFIG,
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://cache.corp\"]\n\
         [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"cache.corp\".tls]\n  insecure_skip_verify = true\n",
    ),
];

/// Whatever a runtime reads at this moment is whole, and it starts with it.
fn expect_runtimes_start(root: &Root, moment: &str) {
    if root.exists(JSON) {
        let json: serde_json::Value = serde_json::from_str(&text(root, JSON)).expect(moment);
        // Whoever is told to rely on a certificate has it.
        let relies = json.get("insecure-registries").is_some();
        assert!(!relies || root.exists("/etc/docker/certs.d/tls.corp:5443/ca.crt"), "{moment}");
    }
    if root.exists(CONFIG) {
        let config: toml_edit::DocumentMut = text(root, CONFIG).parse().expect(moment);
        let registry = &config["plugins"]["io.containerd.grpc.v1.cri"]["registry"];
        let has = |key: &str| registry.get(key).is_some();
        assert!(!(has("config_path") && (has("mirrors") || has("configs"))), "{moment}: {config}");
        assert!(has("config_path") || has("mirrors"), "{moment}: {config}");
        // What the tables said is in files before the tables go.
        let hosts = "/etc/containerd/certs.d/docker.io/hosts.toml";
        assert!(!has("config_path") || text(root, hosts).contains("cache.corp"), "{moment}");
    }
    for (path, (_, bytes)) in all(root) {
        if path.file_name().is_some_and(|name| name == "hosts.toml") {
            String::from_utf8(bytes).expect(moment).parse::<toml_edit::DocumentMut>().expect(moment);
        }
    }
}

/// Kills one way at each of its writes, then goes that way again and, from there, the other one. Gives how many writes it has.
fn cut_everywhere(files: &[(&str, &str)], is_way_back: bool) -> usize {
    let go = |root: &Root, is_back: bool, hands: &Fake| {
        if is_back { undo_with(root, hands) } else { apply_with(root, &desired(), hands) }
    };
    let start = || {
        let (folder, root) = node(files);
        fs::create_dir_all(root.path("/var/lib/ferry/other")).unwrap();
        let bare = all(&root);
        if is_way_back {
            assert_eq!(apply_with(&root, &desired(), &Fake::default()).failures, []);
        }
        (folder, root, bare)
    };
    for writes in 0.. {
        let moment = format!("back: {is_way_back}, after {writes} writes");
        let (_folder, root, bare) = start();
        let applied = all(&root);
        let hands = Fake::dying_after(writes);
        let is_whole = go(&root, is_way_back, &hands).failures.is_empty();
        expect_runtimes_start(&root, &moment);
        let told: Vec<String> = hands.told.take();

        // Whoever looks sees that something is left.
        let plan = plan_node(&root, &desired());
        let is_right = plan.changes.is_empty() && plan.unfinished.is_empty();
        assert!(is_whole || is_way_back || !is_right || told.len() == 2, "{moment}: {plan:?}");

        let hands = Fake::default();
        assert_eq!(go(&root, is_way_back, &hands).failures, [], "{moment}");
        expect_runtimes_start(&root, &moment);
        assert!(text_of_journal_is_settled(&root), "{moment}");
        assert!(is_whole || [told, hands.told.take()].concat().len() >= 2, "nobody was told, {moment}");
        if is_way_back {
            assert_eq!(all(&root), bare, "{moment}");
            assert_eq!(go(&root, false, &Fake::default()).failures, [], "{moment}");
            assert_eq!(all(&root).len(), applied.len(), "{moment}");
        } else {
            assert!(plan_node(&root, &desired()).changes.is_empty(), "{moment}");
            assert_eq!(go(&root, true, &Fake::default()).failures, [], "{moment}");
            assert_eq!(all(&root), bare, "{moment}");
        }
        if is_whole {
            return writes;
        }
    }
    unreachable!("some run ends")
}

#[test]
fn a_kill_at_any_write_there_or_back_leaves_runtimes_that_start() {
    for files in [&FILES[..], &CONTAINERD[..]] {
        for is_way_back in [false, true] {
            let writes = cut_everywhere(files, is_way_back);
            assert!(writes > 10, "back: {is_way_back}, {writes} writes");
        }
    }
}

fn text_of_journal_is_settled(root: &Root) -> bool {
    !State::of(root).journal().unwrap().has_more_to_do()
}

#[test]
fn a_runtime_that_does_not_come_back_gets_its_previous_files_again() {
    let (_folder, root) = fresh();
    let hands = Fake { broken: Cell::new(1), ..Fake::default() };
    let report = apply_with(&root, &desired(), &hands);
    let [failed] = report.failures.as_slice() else { panic!("{report:?}") };
    assert!(failed.message.contains("docker.service does not answer"));
    assert!(failed.hints.iter().any(|hint| hint.contains("previous files are back")), "{failed:?}");
    assert_eq!(text(&root, JSON), FILES[4].1);
    assert!(!root.exists("/etc/docker/certs.d/tls.corp:5443/ca.crt") || text(&root, HOSTS).contains("ferry"));
    assert_eq!(hands.told.borrow().last().unwrap(), "Restart docker.service");
    // What others use stays.
    assert!(text(&root, HOSTS).contains("plain.corp"));
    // Nothing is left to be told, and all can be tried again.
    assert!(text_of_journal_is_settled(&root));
    assert_eq!(apply_with(&root, &desired(), &Fake::default()).failures, []);
    assert!(text(&root, JSON).contains("plain.corp"));
}

#[test]
fn what_others_changed_since_is_theirs() {
    let (_folder, root) = fresh();
    apply_with(&root, &desired(), &Fake::default());
    put(&root, Path::new(HOSTS), format!("{}10.1.1.1 theirs\n", text(&root, HOSTS)).as_bytes());
    put(&root, Path::new(JSON), b"{\"insecure-registries\": [\"theirs:1\"]}");
    let report = undo_with(&root, &Fake::default());
    assert_eq!(text(&root, HOSTS), "127.0.0.1 localhost\n10.1.1.1 theirs\n");
    assert_eq!(text(&root, JSON), "{\"insecure-registries\": [\"theirs:1\"]}");
    let [failed] = report.failures.as_slice() else { panic!("{report:?}") };
    assert!(failed.message.contains(JSON) && failed.message.contains("left"), "{failed}");
    // Once it is as it was, that is known.
    put(&root, Path::new(JSON), FILES[4].1.as_bytes());
    assert_eq!(undo_with(&root, &Fake::default()).failures, []);
    assert!(!root.exists("/var/lib/ferry/node"));
}

#[test]
fn changes_between_two_runs_outlive_the_way_back() {
    let (_folder, root) = fresh();
    apply_with(&root, &desired(), &Fake::default());
    put(&root, Path::new(HOSTS), format!("10.1.1.1 theirs\n{}", text(&root, HOSTS)).as_bytes());
    let mut more = desired();
    more.names[0].addresses = vec!["10.0.0.6".parse().unwrap()];
    assert_eq!(apply_with(&root, &more, &Fake::default()).failures, []);
    assert!(text(&root, HOSTS).contains("10.0.0.6\tplain.corp") && !text(&root, HOSTS).contains("10.0.0.5"));
    assert_eq!(undo_with(&root, &Fake::default()).failures, []);
    assert_eq!(text(&root, HOSTS), "10.1.1.1 theirs\n127.0.0.1 localhost");
}

#[test]
fn links_stay_links_and_a_link_to_nowhere_is_said() {
    let (_folder, root) = fresh();
    fs::rename(root.path(JSON), root.path("/etc/real.json")).unwrap();
    symlink("../real.json", root.path(JSON)).unwrap();
    let before = all(&root);
    assert_eq!(apply_with(&root, &desired(), &Fake::default()).failures, []);
    assert!(fs::symlink_metadata(root.path(JSON)).unwrap().is_symlink());
    assert!(text(&root, "/etc/real.json").contains("plain.corp"));
    assert_eq!(undo_with(&root, &Fake::default()).failures, []);
    assert_eq!(all(&root), before);

    fs::remove_file(root.path("/etc/real.json")).unwrap();
    let report = apply_with(&root, &desired(), &Fake::default());
    let [failed] = report.failures.as_slice() else { panic!("{report:?}") };
    assert!(failed.message.contains("link to ../real.json"), "{failed}");
    assert!(fs::symlink_metadata(root.path(JSON)).unwrap().is_symlink());
}

#[test]
fn a_broken_file_stays_and_the_others_are_written() {
    let (_folder, root) = fresh();
    put(&root, Path::new(JSON), b"{ broken");
    let report = apply_with(&root, &desired(), &Fake::default());
    let [failed] = report.failures.as_slice() else { panic!("{report:?}") };
    assert!(failed.message.starts_with("/etc/docker/daemon.json, line 1"), "{failed}");
    assert_eq!(text(&root, JSON), "{ broken");
    assert!(text(&root, HOSTS).contains("plain.corp"));
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let (_folder, root) = fresh();
    let _lock = State::of(&root).lock().unwrap();
    let report = apply_with(&root, &desired(), &Fake::default());
    assert!(report.failures[0].message.contains("another run is changing this node"), "{report:?}");
    assert_eq!(text(&root, HOSTS), FILES[3].1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_way_back_is_the_way_that_came(
        hosts in prop::option::of("([0-9a-z .#\t]{0,12}\r?\n){0,4}[a-z#]{0,4}"),
        debug in prop::option::of(any::<bool>()),
        mode in prop::sample::select(vec![0o600, 0o640, 0o644, 0o664]),
        is_pretty in any::<bool>(),
    ) {
        let (_folder, root) = fresh();
        match &hosts {
            Some(hosts) => put(&root, Path::new(HOSTS), hosts.as_bytes()),
            None => fs::remove_file(root.path(HOSTS)).unwrap(),
        }
        let value = serde_json::json!({"debug": debug, "insecure-registries": ["a:1"]});
        let json = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        put(&root, Path::new(JSON), json.unwrap().as_bytes());
        fs::set_permissions(root.path(JSON), fs::Permissions::from_mode(mode)).unwrap();
        let before = all(&root);
        prop_assert_eq!(&apply_with(&root, &desired(), &Fake::default()).failures, &[]);
        let after = all(&root);
        prop_assert_ne!(&before, &after);
        prop_assert!(apply_with(&root, &desired(), &Fake::default()).changes.is_empty());
        prop_assert_eq!(&after, &all(&root));
        prop_assert_eq!(&undo_with(&root, &Fake::default()).failures, &[]);
        prop_assert_eq!(before, all(&root));
    }
}
