use super::*;

const LOG: &str = r#"2024-05-13 10:00:00.1  10.0.0.7 - "GET /bkpaas/bkpaas3-platform-assets/runtimes/nodejs/node/release/linux-x64/node-v14.16.1-linux-x64.tar.gz HTTP/1.1" 404 121
2024-05-13 10:00:05.1  10.0.0.7 - "GET /bkpaas/bkpaas3-platform-assets/runtimes/python/heroku-18/runtimes/python-3.10.5.tar.gz HTTP/1.1" 200 121
2024-05-13 10:00:09.1  10.0.0.7 - "HEAD /bkpaas/bkpaas3-platform-assets/runtimes/nodejs/node/release/linux-x64/node-v14.16.1-linux-x64.tar.gz HTTP/1.1" 404 0
2024-05-13 09:00:00.1  10.0.0.8 - "GET /bkpaas/bkpaas3-platform-assets/runtimes/nodejs/node/release/linux-x64/node-v14.x-linux-x64.tar.gz HTTP/1.1" 404 121
2024-05-13 09:00:01.1  10.0.0.8 - "GET /bkpaas/bkpaas3-platform-assets/odd/%22%20x%0A.bin HTTP/1.1" 404 121
2024-05-13 09:00:02.1  10.0.0.8 - "GET /bkpaas/generic/else HTTP/1.1" 404 121
2024-05-13 09:00:03.1  10.0.0.8 - "GET /blueking/bkpaas3-platform-assets/else HTTP/1.1" 404 121
"#;

fn missing(repository: Option<&str>) -> Missing {
    let mut tally = Tally::new("bkpaas", repository.map(str::to_owned));
    LOG.lines().for_each(|line| tally.line(line));
    tally.missing(None)
}

#[test]
fn counts_and_dates() {
    let missing = missing(Some("bkpaas3-platform-assets"));
    assert_eq!((missing.lines, missing.files.len()), (7, 3));
    let first = &missing.files[0];
    assert_eq!(first.runtime.as_ref().map(Runtime::item).as_deref(), Some("node=14.16.1"));
    assert_eq!((first.requests, first.last.as_deref()), (2, Some("2024-05-13 10:00:09")));
    assert!(missing.text().contains("which is no version but a range"), "{}", missing.text());
}

#[test]
fn all_repositories_of_the_project() {
    let files = missing(None).files;
    assert_eq!(files.len(), 4);
    assert!(files.iter().any(|file| file.repository == "bkpaas/generic" && file.path == "/else"));
}

#[test]
fn the_spec_is_one() {
    let text = missing(None).spec("paas3-1.5");
    assert!(text.contains("      - node=14.16.1\n") && text.contains("    release: paas3-1.5\n"), "{text}");
    assert!(!text.contains("14.x\n") && text.contains(r#"to: "odd/\" x\n.bin""#), "{text}");
    ferry_model::spec::Spec::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
}

#[test]
fn what_a_log_says_reaches_no_terminal_as_it_is() {
    let mut tally = Tally::new("bkpaas", None);
    tally.line("\"GET /bkpaas/a/%1b]0;x%07%0aforged HTTP/1.1\" 404");
    let text = tally.missing(None).text();
    assert!(!text.contains(['\u{1b}', '\u{7}']) && !text.contains("\nforged"), "{text:?}");
}

#[test]
fn a_scanner_fills_no_memory() {
    let mut tally = Tally::new("bkpaas", None);
    for number in 0..MOST_PATHS + 5 {
        tally.line(&format!("\"GET /bkpaas/a/{number} HTTP/1.1\" 404"));
    }
    tally.line("\"GET /bkpaas/a/0 HTTP/1.1\" 404");
    let missing = tally.missing(None);
    assert_eq!((missing.files.len(), missing.uncounted), (MOST_PATHS, 5));
    assert!(missing.files.iter().any(|file| file.requests == 2));
}

#[test]
fn nothing_missing_is_said() {
    let missing = Tally::new("bkpaas", None).missing(None);
    assert!(missing.text().starts_with("no request"));
    assert_eq!(missing.spec("paas3-1.1"), "");
}
