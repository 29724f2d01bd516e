use std::collections::BTreeSet;

use ferry_model::failure::Class;
use ferry_model::plan::{ResourceId, State};
use ferry_model::report::{Content, Failed, Finding, Outcome, Report, Severity, Signer};

use super::report_html;
use super::summary::judge;

#[path = "../../examples/sample/mod.rs"]
mod sample;

/// What a reader of well-formed markup sees: elements with their attributes, and the text between them.
#[derive(Debug, PartialEq)]
enum Node<'a> {
    Begin(&'a str, Vec<(&'a str, &'a str)>),
    End(&'a str),
    Text(&'a str),
}

/// Reads what [`report_html`] writes, strictly. Panics at the first thing that is not well formed.
fn read(html: &str) -> Vec<Node<'_>> {
    let mut rest = html.strip_prefix("<!DOCTYPE html>\n").expect("a document type");
    let (mut nodes, mut open) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            nodes.push(Node::Text(checked(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        let end = tag.find('>').expect("each tag ends");
        let inside = &tag[..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "tags are nested");
            nodes.push(Node::End(name));
            continue;
        }
        let is_empty = inside.ends_with('/');
        let (name, attributes) = attributes(inside.trim_end_matches('/'));
        nodes.push(Node::Begin(name, attributes));
        if is_empty {
            nodes.push(Node::End(name));
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} is never closed");
    nodes
}

fn attributes(inside: &str) -> (&str, Vec<(&str, &str)>) {
    let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{name:?} is no name");
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let (attribute, behind) = rest.split_once("=\"").expect("each attribute has a value");
        let (value, behind) = behind.split_once('"').expect("each value ends");
        assert!(attribute.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{attribute:?} is no name");
        attributes.push((attribute, checked(value)));
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    let names: BTreeSet<_> = attributes.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), attributes.len(), "{inside}: an attribute twice");
    (name, attributes)
}

/// A text without bare ampersands and control characters.
fn checked(text: &str) -> &str {
    for (at, _) in text.match_indices('&') {
        let entity = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|it| text[at..].starts_with(it));
        assert!(entity, "a bare & in {text:?}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
    text
}

/// All text in this language, and what is in none.
fn text_in(nodes: &[Node<'_>], hidden: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    for node in nodes {
        match node {
            // The file as a whole is said to be English, for want of a better word.
            Node::Begin("html", _) => {}
            Node::Begin(_, attributes) if depth > 0 || attributes.contains(&("lang", hidden)) => depth += 1,
            Node::End(_) if depth > 0 => depth -= 1,
            Node::Text(piece) if depth == 0 => text.push_str(piece),
            Node::Begin(..) | Node::End(_) | Node::Text(_) => {}
        }
    }
    text
}

/// The sections' headings in one language.
fn headings(nodes: &[Node<'_>], hidden: &str) -> Vec<String> {
    let begins = |node: &Node<'_>| matches!(node, Node::Begin("h2", _));
    let heading = |part: &[Node<'_>]| {
        let end = part.iter().position(|node| *node == Node::End("h2")).expect("it ends");
        text_in(&part[..end], hidden)
    };
    nodes.split(begins).skip(1).map(heading).collect()
}

/// A report in which every text of others is this one.
fn filled_with(text: &str) -> Report {
    let mut report = sample::report();
    let owned = || text.to_owned();
    report.run = owned();
    report.program = owned();
    report.signer = Signer::Verified { key: owned(), comment: owned() };
    report.contents.push(Content { kind: owned(), name: owned(), digest: owned(), size: 9 << 30 });
    report.missing = vec![owned()];
    report.by_hand = vec![owned()];
    report.waiting = vec![owned()];
    for check in &mut report.checks {
        for field in
            [&mut check.name, &mut check.subject, &mut check.found, &mut check.reason, &mut check.remedy]
        {
            *field = owned();
        }
    }
    for change in &mut report.changes {
        change.resource = ResourceId::new(text, text);
        (change.summary, change.reason, change.diff) =
            (owned(), owned(), Some(format!("+{text}\n-{text}\n")));
        change.before = State::Unknown { reason: owned() };
        change.after = Some(State::present([(text, text)]));
        change.failure = Some(Failed::because(Class::Internal, text).hint(text));
    }
    report.changes[0].outcome = Outcome::Failed;
    report.changes[1].before = State::present([(text, "other")]);
    report
}

#[test]
fn hostile_text_stays_text() {
    const TAGS: &[&str] = &[
        "html", "head", "meta", "title", "style", "body", "input", "div", "span", "label", "main", "header",
        "p", "h1", "h2", "h3", "ul", "li", "a", "b", "table", "thead", "tbody", "tfoot", "tr", "th", "td",
        "code", "section", "details", "summary", "pre", "ins", "del", "figure", "svg", "desc", "g", "rect",
        "line", "text", "tspan", "footer",
    ];
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onload='alert(1)",
        "</style></title></pre><script src=//evil.example/x.js>",
        "]]><!-- <![CDATA[ &lt;script&gt; &#x3c;",
        "a\u{0}b\u{1b}[31m\u{202e}\u{feff}\u{ffff}",
    ] {
        let html = report_html(&filled_with(hostile));
        for node in read(&html) {
            let Node::Begin(tag, attributes) = node else { continue };
            assert!(TAGS.contains(&tag), "<{tag}> comes from {hostile:?}");
            for (name, value) in attributes {
                assert!(!name.starts_with("on") && name != "src" && name != "style", "{name}");
                assert!(name != "href" || value.starts_with('#'), "{value} leads out of the file");
            }
        }
    }
    let html = report_html(&filled_with("<script>alert(1)</script>"));
    let shown = html.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count();
    assert!(shown > 100, "it is not left out but shown: {shown}");
}

#[test]
fn the_file_asks_for_nothing() {
    let html = report_html(&sample::report());
    assert!(html.contains("content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;"));
    // Name spaces are names, not addresses.
    let without = html.replace("http://www.w3.org/1999/xhtml", "").replace("http://www.w3.org/2000/svg", "");
    for asking in ["<script", "<link", "<img", "url(", "@import", "http://", "https://"] {
        assert!(!without.contains(asking), "{asking}");
    }
    let style = include_str!("style.css");
    assert!(!style.contains(['<', '&']), "the style sheet would not be well-formed XML");
    read(&html);
}

#[test]
fn both_languages_have_every_section() {
    let html = report_html(&sample::report());
    let nodes = read(&html);
    let expected = [
        ("What failed", "失败项"),
        ("Left to do by hand", "待人工处理"),
        ("What was in the bundle", "包内容"),
        ("What was checked", "检查结果"),
        ("What was changed", "变更明细"),
        ("Where the time went", "耗时"),
        ("Sign-off", "签署"),
    ];
    let (english, chinese): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
    assert_eq!(headings(&nodes, "zh-CN"), english);
    assert_eq!(headings(&nodes, "en"), chinese);
    let count = |language| {
        let is =
            |node: &&Node<'_>| matches!(node, Node::Begin(_, with) if with.contains(&("lang", language)));
        nodes.iter().filter(is).count()
    };
    assert_eq!(count("en"), count("zh-CN") + 1, "all but <html> itself");
    // What is of others is told once, for both.
    assert_eq!(html.matches(">host-zone<").count(), 1);
    assert!(["en", "zh-CN"].iter().all(|hidden| text_in(&nodes, hidden).contains("host-zone")));
}

#[test]
fn the_outcome_is_one_clear_sentence() {
    use Outcome::{Done, Left, NotTried, Undone};
    let with = |outcomes: &[Outcome]| {
        let mut report = sample::report();
        report.changes.truncate(outcomes.len());
        for (change, outcome) in report.changes.iter_mut().zip(outcomes) {
            change.outcome = *outcome;
        }
        report.checks.retain(|check| check.severity == Severity::Advised);
        report
    };
    let said = |report: &Report| {
        let sentences: Vec<_> = judge(report).1.into_iter().map(|words| words.english).collect();
        sentences.join(" ")
    };
    for (outcomes, sentence) in [
        (&[][..], "Nothing to do: everything was as it should be."),
        (&[Done, Done], "All 2 steps are done."),
        (&[Done, Outcome::Failed, NotTried], "Of 3 steps: 1 failed, 1 done, 1 not tried."),
        (&[Undone, Undone], "All 2 steps were undone."),
        (&[Undone, Left], "Of 2 steps: 1 not undone, 1 undone."),
    ] {
        assert_eq!(said(&with(outcomes)), sentence);
    }
    let mut cut = with(&[Done, NotTried]);
    cut.ended = None;
    assert_eq!(said(&cut), "The run was cut off. Of 2 steps: 1 done, 1 not tried.");
    let mut blocked = with(&[NotTried, NotTried]);
    (blocked.checks[0].severity, blocked.checks[0].finding) = (Severity::Required, Finding::Unknown);
    assert_eq!(said(&blocked), "Nothing was changed: 1 required check did not pass.");
}

#[test]
fn failures_come_first_and_only_there() {
    let html = report_html(&sample::report());
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text:?}"));
    assert!(at("id=\"failed\"") < at("413 Request Entity Too Large"));
    assert!(at("413 Request Entity Too Large") < at("id=\"by-hand\""));
    assert!(at("id=\"by-hand\"") < at("id=\"changes\""));
    assert_eq!(html.matches("413 Request Entity Too Large").count(), 1);
    let mut good = sample::report();
    good.changes.retain(|change| change.outcome == Outcome::Done);
    assert!(!report_html(&good).contains("id=\"failed\""));
}

#[test]
fn a_change_shows_before_and_after() {
    let html = report_html(&sample::report());
    let nodes = read(&html);
    let english = text_in(&nodes, "zh-CN");
    assert!(english.contains("active no → yes"), "what changed, both sides");
    assert!(english.contains("mode 0644") && !english.contains("0644 → 0644"), "what stayed, once");
    assert!(html.contains("<ins>+    &quot;docker.sz.bank.example&quot;\n</ins>"));
    assert!(html.contains("<del>-  &quot;insecure-registries&quot;: [&quot;10.0.4.7:5000&quot;],\n</del>"));
    assert!(html.contains("<b>--- /etc/docker/daemon.json\n</b>"), "a header is no removed line");
}

/// The tiles of the picture: x, y, width, height.
fn tiles(nodes: &[Node<'_>]) -> Vec<[f64; 4]> {
    let number = |attributes: &[(&str, &str)], wanted: &str| {
        let (_, value) = attributes.iter().find(|(name, _)| *name == wanted).expect("a rectangle has it");
        value.parse::<f64>().expect("a number")
    };
    let tile = |node: &Node<'_>| match node {
        Node::Begin("rect", with)
            if with.iter().any(|(name, value)| {
                *name == "class" && value.starts_with("tile") && !value.starts_with("tile-")
            }) =>
        {
            Some(["x", "y", "width", "height"].map(|name| number(with, name)))
        }
        _ => None,
    };
    nodes.iter().filter_map(tile).collect()
}

#[test]
fn the_picture_is_filled_by_sizes() {
    let report = sample::report();
    let html = report_html(&report);
    let tiles = tiles(&read(&html));
    assert_eq!(tiles.len(), report.contents.len());
    let area: f64 = tiles.iter().map(|[_, _, width, height]| width * height).sum();
    assert!((area / (960.0 * 400.0) - 1.0).abs() < 0.01, "{area}");
    for [x, y, width, height] in &tiles {
        assert!(*x >= 0.0 && *y >= 0.0 && x + width <= 960.05 && y + height <= 400.05);
    }
    let largest = tiles.iter().map(|[_, _, width, height]| width * height).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "shares")]
    let share = {
        let sum: u64 = report.contents.iter().map(|content| content.size).sum();
        report.contents[0].size as f64 / sum as f64
    };
    assert!((largest / (960.0 * 400.0) - share).abs() < 0.001, "{largest}");
}

#[test]
fn ten_thousand_images_are_a_usable_page() {
    let report = sample::large(10_000);
    let html = report_html(&report);
    let nodes = read(&html);
    assert!(tiles(&nodes).len() <= 301, "{}", tiles(&nodes).len());
    assert!(html.len() < 16 << 20, "{} bytes", html.len());
    let english = text_in(&nodes, "zh-CN");
    assert!(english.contains("All 10,041 in full") && english.contains("9,706 further steps, in brief"));
    // Each of them is there with its digest, if folded away.
    let texts: BTreeSet<_> = nodes
        .iter()
        .filter_map(|node| if let Node::Text(text) = node { Some(*text) } else { None })
        .collect();
    assert!(report.contents.iter().all(|content| texts.contains(content.digest.as_str())));
    assert_eq!(html, report_html(&report), "same report, same bytes");
}

#[test]
fn what_is_cut_is_said() {
    let mut report = sample::large(25_000);
    report.missing = (0..300).map(|n| format!("image {n}")).collect();
    report.by_hand = (0..1_500).map(|n| format!("thing {n}")).collect();
    let lines: String = (0..450).map(|n| format!("+line {n}\n")).collect();
    report.changes[0].diff = Some(lines);
    let html = report_html(&report);
    let english = text_in(&read(&html), "zh-CN");
    for said in [
        "5,041 more left out",
        "4,706 more left out",
        "100 more left out",
        "500 more left out",
        "50 more lines left out",
    ] {
        assert!(english.contains(said), "{said}");
    }
}

#[test]
fn a_site_of_which_a_part_waits_is_not_finished() {
    let mut report = sample::report();
    for change in &mut report.changes {
        (change.outcome, change.failure) = (Outcome::Done, None);
    }
    assert!(report_html(&report).contains("verdict good"));
    report.waiting = vec!["not planned: 9 files for bkrepo at http://b: it is down".to_owned()];
    let html = report_html(&report);
    assert!(html.contains("verdict bad") && !html.contains("verdict good"));
    let english = text_in(&read(&html), "zh-CN");
    for said in ["The site is not finished: 1 service", "not planned: 9 files for bkrepo"] {
        assert!(english.contains(said), "{said}");
    }
}

#[test]
fn what_is_not_on_record_is_not_known_rather_than_missing() {
    let mut report = sample::report();
    report.contents.clear();
    report.missing.clear();
    (report.signer, report.bundle_size) = (Signer::Unknown, 0);
    let html = report_html(&report);
    let nodes = read(&html);
    for (hidden, said, claims) in [
        ("zh-CN", "Not known", ["Not signed", "Nothing is missing", "bundle is empty", "0 B"]),
        ("en", "不详", ["未签名", "内容完整", "没有内容", "0 B"]),
    ] {
        let text = text_in(&nodes, hidden);
        assert_eq!(text.matches(said).count(), 4, "warned of, signature, completeness, contents: {text}");
        for claim in claims {
            assert!(!text.contains(claim), "{claim}");
        }
    }
}

#[test]
fn an_empty_report_is_whole_too() {
    let mut report = sample::report();
    report.contents.clear();
    report.checks.clear();
    report.changes.clear();
    report.by_hand.clear();
    (report.ended, report.signer) = (None, Signer::Unsigned);
    let html = report_html(&report);
    let nodes = read(&html);
    let english = text_in(&nodes, "zh-CN");
    for said in [
        "The run was cut off.",
        "Not signed.",
        "The bundle is empty.",
        "No checks are on record",
        "Nothing was changed.",
    ] {
        assert!(english.contains(said), "{said}");
    }
    assert!(tiles(&nodes).is_empty() && !html.contains("NaN"));
    report.contents.push(Content {
        kind: "file".into(),
        name: "empty".into(),
        digest: String::new(),
        size: 0,
    });
    assert!(tiles(&read(&report_html(&report))).is_empty());
}
