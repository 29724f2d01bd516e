//! What was measured, and what was aimed at.

use std::fmt;

/// What one run of a program took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// The most that it held, in KiB.
    pub(super) memory: u64,
    /// Bytes.
    pub(super) written: u64,
}

/// Rows of Ferry's own that are to take less than this, in seconds.
const LIMITS: [(&str, f64); 4] =
    [("open, inspect", 0.05), ("second push", 0.3), ("second apply", 1.0), ("rewrite 100 MB", 1.0)];
/// KiB that every row of Ferry's is to stay below.
const MEMORY: u64 = 64 * 1024;
const FERRY: &str = "ferry";

/// One line of the table.
struct Row {
    what: &'static str,
    tool: String,
    cost: Cost,
    /// Ferry's time as a share of this one's, and the share aimed at.
    against: Option<(f64, f64)>,
}

impl Row {
    /// What is aimed at and not reached.
    fn missed(&self) -> Option<String> {
        if let Some((ratio, aim)) = self.against {
            return (ratio > aim).then(|| format!("{}: {ratio:.2} of {}, aim {aim}", self.what, self.tool));
        }
        if self.tool != FERRY {
            return None;
        }
        let limit = LIMITS.iter().find(|(what, _)| *what == self.what).map(|(_, limit)| *limit);
        if let Some(limit) = limit.filter(|limit| self.cost.seconds > *limit) {
            return Some(format!("{}: {:.3} s, aim {limit} s", self.what, self.cost.seconds));
        }
        (self.cost.memory > MEMORY)
            .then(|| format!("{}: {} KiB of memory, aim {MEMORY} KiB", self.what, self.cost.memory))
    }
}

/// All that was measured.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn ours(&mut self, what: &'static str, cost: Cost) {
        self.other(what, FERRY, cost);
    }

    /// A row that nothing is compared with.
    pub(super) fn other(&mut self, what: &'static str, tool: &str, cost: Cost) {
        self.0.push(Row { what, tool: tool.to_owned(), cost, against: None });
    }

    /// Ferry's row, and one for each other tool with the ratio of ours to theirs.
    pub(super) fn compare(&mut self, what: &'static str, ours: Cost, others: Vec<(String, Cost)>, aim: f64) {
        self.ours(what, ours);
        for (tool, cost) in others {
            let ratio = ours.seconds / cost.seconds;
            self.0.push(Row { what, tool, cost, against: Some((ratio, aim)) });
        }
    }

    /// Every aim that was not reached.
    pub(super) fn missed(&self) -> Vec<String> {
        self.0.iter().filter_map(Row::missed).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<17}{:<28}{:>9}{:>12}{:>14}", "", "", "time", "memory", "written")?;
        for row in &self.0 {
            let Cost { seconds, memory, written } = row.cost;
            let ratio = row
                .against
                .map_or(String::new(), |(ratio, aim)| format!("   ferry takes {ratio:.2} of it (aim {aim})"));
            // Others run several processes one after the other, whose memory nobody adds up.
            let memory = match row.tool.as_str() {
                FERRY => format!("{:.1} MiB", memory as f64 / 1024.0),
                _ => String::new(),
            };
            writeln!(
                f,
                "{:<17}{:<28}{seconds:>7.3} s{memory:>12}{:>11.1} MB{ratio}",
                row.what,
                row.tool,
                written as f64 / 1e6
            )?;
        }
        let limits: Vec<_> = LIMITS.iter().map(|(what, limit)| format!("{what} under {limit} s")).collect();
        let memory = MEMORY / 1024;
        write!(f, "\nAims: {}, memory under {memory} MiB for every row of ferry.", limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(seconds: f64, memory: u64) -> Cost {
        Cost { seconds, memory, written: 0 }
    }

    #[test]
    fn tells_every_aim_that_was_missed() {
        let mut table = Table::default();
        table.ours("second push", cost(0.29, 1000));
        table.other("copy the bundle", "cp", cost(9.0, 1_000_000));
        table.compare("push", cost(0.7, 65 * 1024), vec![("slow".into(), cost(1.0, 0))], 0.8);
        assert_eq!(table.missed(), ["push: 66560 KiB of memory, aim 65536 KiB"]);
        table.ours("second apply", cost(1.1, 1000));
        table.compare("build", cost(1.5, 1000), vec![("fast".into(), cost(1.0, 0))], 1.0);
        let missed = table.missed();
        assert_eq!(missed[1..], ["second apply: 1.100 s, aim 1 s", "build: 1.50 of fast, aim 1"]);
    }
}
