//! `/etc/hosts` as it is found on nodes. `FERRY_UPDATE_GOLDEN=1 cargo test -p ferry-installer golden` writes the answers anew.

use proptest::prelude::*;

use super::super::testing::{golden, node, says};
use super::*;

const TWO: &str = r#"{"names":[{"name":"r.corp","addresses":["10.0.0.5"]},{"name":"bkrepo.corp","addresses":["10.0.0.6","fd00::6"]}]}"#;
const DNS: &str = r#"{"resolver":"dns","names":[{"name":"r.corp","addresses":["10.0.0.5"]}]}"#;
const ADDRESS: &str = r#"{"names":[{"name":"10.0.0.5","addresses":["10.0.0.5"]}]}"#;
const OLD: &str = "127.0.0.1 localhost\n# BEGIN ferry: x\n10.0.0.1\tr.corp\n# END ferry\n10.1.1.1 after\n";

/// Its name, what the node shall be like, its files.
type Case = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

fn desired(text: &str) -> NodeDesired {
    serde_json::from_str(text).unwrap()
}

#[test]
fn golden_files() {
    let hosts = |text| vec![(PATH, text)];
    let cases: Vec<Case> = vec![
        ("no file", TWO, vec![]),
        ("an empty file", TWO, hosts("")),
        ("a usual file", TWO, hosts("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")),
        ("no line end at the end", TWO, hosts("127.0.0.1 localhost")),
        ("returns", TWO, hosts("127.0.0.1 localhost\r\n10.1.1.1 a\r\n")),
        ("one return among many lines", TWO, hosts("127.0.0.1 localhost\n10.1.1.1 a\r\n10.1.1.2 b\n")),
        ("tabs, comments, empty lines", TWO, hosts("# mine\n\n\t127.0.0.1\tlocalhost # r.corp\n")),
        ("the same address by the operator", TWO, hosts("10.0.0.5 x R.CORP # ours\n")),
        ("another address by the operator", TWO, hosts("127.0.0.1 localhost\n10.0.0.99 r.corp\n")),
        ("both addresses by the operator", TWO, hosts("10.0.0.5 r.corp\n10.0.0.99 r.corp\n")),
        ("another address in a comment", TWO, hosts("#10.0.0.99 r.corp\n")),
        ("a part of the name", TWO, hosts("10.0.0.99 xr.corp r.corp.old\n")),
        (
            "another address behind the block",
            TWO,
            hosts("# BEGIN ferry\n# END ferry\n\n10.0.0.99 bkrepo.corp\n"),
        ),
        ("an old block", TWO, hosts(OLD)),
        ("an old block and DNS", DNS, hosts(OLD)),
        ("DNS", DNS, hosts("127.0.0.1 localhost\n")),
        ("names that are addresses", ADDRESS, hosts("127.0.0.1 localhost\n")),
        ("a block without end", TWO, hosts("127.0.0.1 localhost\n# BEGIN ferry\n10.0.0.1 r.corp\n")),
        ("an end alone", TWO, hosts("# END ferry\n")),
        ("two blocks", TWO, hosts("# BEGIN ferry\n# END ferry\n# BEGIN ferry\n# END ferry\n")),
        (
            "what may be in the way",
            TWO,
            vec![
                (PATH, "127.0.0.1 localhost\n"),
                ("/etc/nsswitch.conf", "passwd: files\nhosts: dns\n"),
                ("/etc/cloud/cloud.cfg", "manage_etc_hosts: localhost\n"),
                ("/etc/cloud/cloud.cfg.d/9.cfg", "manage_etc_hosts: True\n"),
            ],
        ),
    ];
    let mut text = String::new();
    for (name, wanted, files) in cases {
        text.push_str(&format!("== {name}\n{}\n", says(edits, &files, &desired(wanted))));
    }
    golden("hosts/tests/golden.txt", &text);
}

proptest! {
    #[test]
    fn lines_of_others_stay_byte_for_byte(bytes in prop::collection::vec(
        prop::sample::select(b"1.# \tar\r\n\n\xff".to_vec()), 0..60,
    )) {
        let (folder, root) = node(&[]);
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(root.path(PATH), &bytes).unwrap();
        let after = edits(&root, &desired(TWO)).unwrap().files.remove(0).after.unwrap();
        prop_assert!(after.starts_with(&bytes));
        std::fs::write(root.path(PATH), &after).unwrap();
        prop_assert_eq!(&edits(&root, &desired(TWO)).unwrap().files, &[]);
        // Without names the block goes, and leaves the line end that the last line did not have.
        let gone = edits(&root, &desired("{}")).unwrap().files.remove(0).after.unwrap();
        prop_assert!(gone.starts_with(&bytes) && gone.len() <= bytes.len() + 2);
    }
}
