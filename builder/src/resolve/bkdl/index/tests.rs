use super::*;

const INDEX: &str = "\u{feff}# a comment\r\n\r\nbase\tall that is needed\tbkhelmfile tools,helm_cmd\r\ntools\tgroup\tjq_cmd  yq_cmd\nbkhelmfile\tscripts\t\t7.1.3\t./\tuntar\tce7/files/bkhelmfile-%s.tgz\nhelm_cmd\thelm\t\t3.7.2\tbin/\tuntar --strip-components=1 linux-amd64/helm\thttps://get.helm.sh/helm-v%s.tar.gz\njq_cmd\tjq\t\t1.6\tbin/jq\tcopy\tce7/tools/jq\nyq_cmd\tyq\tjq_cmd\t4.30.6\tbin/yq\tungz\tce7/tools/100%%25/yq-%s.gz\nbroken\ttoo few\nwants_broken\tgroup\tbroken\nwants_nothing\tgroup\tghost jq_cmd\na\tcircle\tb\nb\tcircle\tc jq_cmd\nc\tcircle\ta\nbad_url\tx\t\t1\td/\tcopy\tx-%s-%s.tgz\nbad_percent\tx\t\t1\td/\tcopy\tx-%d.tgz\nno_version\tx\tjq_cmd\t\td/\tcopy\tx\n";

fn select(item: &str) -> Result<Selection, Unusable> {
    Release::parse(INDEX).select(&item.parse().unwrap())
}

fn urls(item: &str) -> Vec<String> {
    select(item).unwrap().packages.into_iter().map(|package| package.url).collect()
}

#[test]
fn groups_and_needs_expand_each_once() {
    assert_eq!(
        urls("base"),
        [
            "ce7/files/bkhelmfile-7.1.3.tgz",
            "ce7/tools/jq",
            "ce7/tools/100%25/yq-4.30.6.gz",
            "https://get.helm.sh/helm-v3.7.2.tar.gz"
        ]
    );
    assert_eq!(urls("yq_cmd=4.1"), ["ce7/tools/jq", "ce7/tools/100%25/yq-4.1.gz"]);
    assert_eq!(urls("no_version"), ["ce7/tools/jq"], "a line without a version is a group, as in the script");
    let helm = select("helm_cmd").unwrap().packages.remove(0);
    assert_eq!((helm.processor.as_str(), helm.folder.as_str(), helm.line), ("untar", "bin/", 6));
    assert_eq!(helm.arguments, ["--strip-components=1", "linux-amd64/helm"]);
}

#[test]
fn a_later_line_replaces_an_earlier_one() {
    let text = "x\told\ty\t1\td/\tcopy\told-%s\ny\tg\tz\nz\tg\t\nx\tnew\tz\t2\td/\tcopy\tnew-%s\n";
    let selection = Release::parse(text).select(&"x".parse().unwrap()).unwrap();
    assert_eq!(selection.packages.iter().map(|package| package.url.as_str()).collect::<Vec<_>>(), ["new-2"]);
}

#[test]
fn what_cannot_be_says_which_line_and_what_to_do() {
    for (item, line, problem, remedy) in [
        ("helm_cm", 0, "no `helm_cm`", "helm_cmd"),
        ("yqcmd", 0, "no `yqcmd`", "yq_cmd"),
        ("base=1", 3, "is a group", "write `base` alone"),
        ("jq_cmd=1.7", 7, "no place for a version", "1.6"),
        ("broken", 9, "2 columns, not 3 or 7", "another release"),
        ("wants_broken", 9, "2 columns", "another release"),
        ("bad_url", 15, "2 places", "another release"),
        ("bad_percent", 16, "`%d`", "another release"),
    ] {
        let error = select(item).unwrap_err();
        assert_eq!(error.line, line, "{item}: {error:?}");
        assert!(error.problem.contains(problem) && error.remedy.contains(remedy), "{item}: {error:?}");
    }
    assert!(
        select("nothing_like_it").unwrap_err().remedy.contains("base"),
        "all are listed when none is near"
    );
    assert_eq!(Release::parse(INDEX).oddities().count(), 3);
}

#[test]
fn what_the_script_forgives_is_told_and_forgiven() {
    let circle = select("a").unwrap();
    assert_eq!(circle.packages.len(), 1);
    assert_eq!(circle.warnings, ["these need each other in a circle: a → b → c → a"]);
    let ghost = select("wants_nothing").unwrap();
    assert_eq!(ghost.packages.len(), 1);
    assert!(ghost.warnings[0].contains("`ghost`"), "{:?}", ghost.warnings);
    assert_eq!(urls("jq_cmd=1.6"), ["ce7/tools/jq"]);
}

#[test]
fn endless_needs_are_refused() {
    let chain: String = (0..200).map(|number| format!("n{number}\tg\tn{}\n", number + 1)).collect();
    let error = Release::parse(&chain).select(&"n0".parse().unwrap()).unwrap_err();
    assert!(error.problem.contains("100"), "{error:?}");
}

#[test]
fn lists() {
    assert_eq!(parse_list("7.1.0\r\n7.1.1\n\n# old\n7.1.3 \n\n"), ["7.1.0", "7.1.1", "7.1.3"]);
    assert!(parse_list("\n").is_empty());
}

mod properties {
    use ferry_model::spec::BkdlItem;
    use proptest::prelude::*;

    use super::super::Release;

    proptest! {
        /// Whatever a server sends, every name in it comes to a selection or a reason, and in the end.
        #[test]
        fn any_text_is_read(text in "([a-e#]{0,3}[\t \r\n,%s=0-9]{0,4}){0,60}") {
            let release = Release::parse(&text);
            for name in ["a", "b", "c", "aa", "ab"] {
                let item: BkdlItem = name.parse().unwrap();
                if let Ok(selection) = release.select(&item) {
                    prop_assert!(!release.is_empty());
                    let mut names: Vec<_> = selection.packages.iter().map(|package| &package.name).collect();
                    names.sort();
                    names.dedup();
                    prop_assert_eq!(names.len(), selection.packages.len(), "each package once");
                }
            }
        }

        /// Line ends, blank lines and comments change nothing.
        #[test]
        fn decoration_changes_nothing(needs in prop::collection::vec(prop::collection::vec(0_usize..8, 0..4), 8)) {
            let line = |(number, needs): (usize, &Vec<usize>)| {
                let needs = needs.iter().map(|need| format!("n{need}")).collect::<Vec<_>>().join(",");
                format!("n{number}\tx\t{needs}\t{number}\td/\tcopy\tu-%s\n")
            };
            let plain: String = needs.iter().enumerate().map(line).collect();
            let decorated = format!("# head\r\n{}\r\n\r\n", plain.replace('\n', "\r\n#\r\n\r\n"));
            for number in 0..8 {
                let item: BkdlItem = format!("n{number}").parse().unwrap();
                let names = |text: &str| -> Vec<String> {
                    let selection = Release::parse(text).select(&item).unwrap();
                    selection.packages.into_iter().map(|package| package.url).collect()
                };
                let found = names(&plain);
                prop_assert_eq!(&found, &names(&decorated));
                // What can be reached, found by another way.
                let mut reached = std::collections::BTreeSet::from([number]);
                loop {
                    let more: std::collections::BTreeSet<usize> = reached.iter().flat_map(|at| needs[*at].clone()).collect();
                    let before = reached.len();
                    reached.extend(more);
                    if reached.len() == before { break; }
                }
                let found: std::collections::BTreeSet<String> = found.into_iter().collect();
                prop_assert_eq!(found, reached.iter().map(|at| format!("u-{at}")).collect());
            }
        }
    }
}
