//! One table for a fleet: a row for each node and a column for each check; nodes that are alike share a row.

use ferry_display::{Align, Table};
use ferry_model::report::{Check, Finding};

use super::super::report::word;
use super::super::{CHECKS, Kind, blocking};
use super::NodeChecks;

/// Names that a row shows before it counts.
const NAMES: usize = 3;

/// The table; below it what did not pass, why it matters and what to do.
pub(in super::super) fn fleet_table(nodes: &[NodeChecks]) -> String {
    let kinds: Vec<&Kind> =
        CHECKS.iter().filter(|kind| nodes.iter().any(|node| find(node, kind).is_some())).collect();
    let mut rows: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for node in nodes {
        let cells: Vec<&str> = kinds.iter().map(|kind| find(node, kind).map_or("-", cell)).collect();
        match rows.iter_mut().find(|(known, _)| *known == cells) {
            Some((_, names)) => names.push(&node.node),
            None => rows.push((cells, vec![&node.node])),
        }
    }
    let mut table = Table::new(vec![Align::Left; kinds.len() + 1]);
    table.row(std::iter::once("nodes").chain(kinds.iter().map(|kind| short(kind))));
    for (cells, names) in &rows {
        table.row(std::iter::once(listed(names)).chain(cells.iter().map(|cell| (*cell).to_owned())));
    }
    format!("{table}{}{}\n", problems(nodes, &kinds), summary(nodes))
}

/// What did not pass, said once for all nodes of which the same is to be said.
fn problems(nodes: &[NodeChecks], kinds: &[&Kind]) -> String {
    let groups: Vec<(&Check, Vec<&str>)> = kinds.iter().flat_map(|kind| groups(nodes, kind)).collect();
    let mut table = Table::new([Align::Left; 3]);
    for (check, names) in &groups {
        table.row([word(check), &check.name, &format!("{}: {}", listed(names), check.found)]);
    }
    let mut text = String::new();
    for (number, line) in table.to_string().lines().enumerate() {
        text.push_str(&format!("{line}\n"));
        let advice = |group: &(&Check, Vec<&str>)| (group.0.reason.clone(), group.0.remedy.clone());
        let (here, next) = (groups.get(number).map(advice), groups.get(number + 1).map(advice));
        // Said once behind all to which it applies.
        if let Some((reason, remedy)) = here.filter(|here| next.as_ref() != Some(here)) {
            text.push_str(&format!("         why: {reason}\n         try: {remedy}\n"));
        }
    }
    text
}

/// What of a kind did not pass, and where.
fn groups<'a>(nodes: &'a [NodeChecks], kind: &Kind) -> Vec<(&'a Check, Vec<&'a str>)> {
    let mut groups: Vec<(&Check, Vec<&str>)> = Vec::new();
    for node in nodes {
        let Some(check) = find(node, kind).filter(|check| check.finding != Finding::Passed) else { continue };
        let is_same = |known: &Check| {
            (known.finding, &known.found, &known.remedy) == (check.finding, &check.found, &check.remedy)
        };
        match groups.iter_mut().find(|(known, _)| is_same(known)) {
            Some((_, names)) => names.push(&node.node),
            None => groups.push((check, vec![&node.node])),
        }
    }
    groups
}

fn summary(nodes: &[NodeChecks]) -> String {
    let is_unknown = |node: &&NodeChecks| {
        let mut blocking = blocking(&node.checks).into_iter().peekable();
        blocking.peek().is_some() && blocking.all(|check| check.finding == Finding::Unknown)
    };
    let unknown = nodes.iter().filter(is_unknown).count();
    let good = nodes.iter().filter(|node| blocking(&node.checks).is_empty()).count();
    let failed = nodes.len() - good - unknown;
    format!("{} nodes: {good} passed, {failed} failed, {unknown} could not be checked", nodes.len())
}

fn find<'a>(node: &'a NodeChecks, kind: &Kind) -> Option<&'a Check> {
    node.checks.iter().find(|check| check.name == kind.name)
}

fn cell(check: &Check) -> &'static str {
    match word(check) {
        "PASS" => "ok",
        "UNKNOWN" => "?",
        other => other,
    }
}

fn short(kind: &Kind) -> &'static str {
    kind.name.trim_start_matches("host-").trim_start_matches("node-")
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        // One more name is no longer than its count.
        count if count <= NAMES + 1 => names.join(", "),
        count => format!("{} and {} more", names[..NAMES].join(", "), count - NAMES),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue as kinds;
    use super::*;

    #[test]
    fn nodes_that_are_alike_share_a_row() {
        let good = |name: &str| NodeChecks {
            node: name.into(),
            checks: vec![
                kinds::NODE_REACH.passed(name, "10.0.0.1"),
                kinds::HOST_SWAP.passed(name, "off"),
                kinds::HOST_ZONE.passed(name, "CST-8"),
            ],
        };
        let mut nodes: Vec<NodeChecks> = (0..7).map(|number| good(&format!("n{number}"))).collect();
        for number in [1, 5] {
            nodes[number].checks[1] = kinds::HOST_SWAP.failed("x", "/dev/dm-1");
        }
        nodes[2].checks[1] = kinds::HOST_SWAP.failed("x", "/swap");
        nodes[3].checks[2] = kinds::HOST_ZONE.failed("x", "UTC0");
        nodes[6] = NodeChecks::unknown("n6", "node n6: Connection refused");
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/preflight/nodes/golden.txt");
        let mut more = nodes.clone();
        more.extend((7..40).map(|number| good(&format!("n{number}"))));
        let text = format!("{}\n{}", fleet_table(&nodes), fleet_table(&more));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(file).unwrap_or_default());
        assert!(text.contains("7 nodes: 3 passed, 3 failed, 1 could not be checked"), "{text}");
    }
}
