//! Runs that are killed at each line that they write to their journal.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::parts::Machine;
use crate::process::Program;

/// A site that runs change.
pub trait Ground {
    /// `ferry-installer` with these arguments, for this site.
    fn installer(&self, arguments: &[&str]) -> Program;

    /// All that a run may change, as text.
    fn listing(&self) -> Result<String>;

    /// Has the last line of the newest run's journal never reached the disk.
    fn forget_a_line(&self) -> Result<()>;

    /// What else there is to say where something went wrong.
    fn log(&self) -> String {
        String::new()
    }
}

/// How a run was cut off, and what came then.
#[derive(Clone, Copy, Debug)]
struct Cut {
    line: usize,
    is_written: bool,
    goes_on: bool,
}

/// Kills `apply` at each line that it writes to its journal, in turn with that line on the disk and without, and either lets it go on,
/// which must do the rest, or not; `rollback` must bring back what was there before. Gives how many lines there are. Needs strace.
pub fn at_every_line(ground: &impl Ground, bundle: &str) -> Result<usize> {
    let before = ground.listing()?;
    for line in 1.. {
        let cut = Cut { line, is_written: line % 2 == 0, goes_on: line / 2 % 2 == 0 };
        // At the sync of a line it is written, and nothing that comes after it is done.
        let outcome = ground.installer(&["apply", bundle]).killed_at("fdatasync", line).run()?;
        if outcome.code == Some(0) {
            let undone = ground.installer(&["rollback"]).succeed()?;
            expect_same(&before, &ground.listing()?).with_context(|| format!("uncut: {undone}"))?;
            return Ok(line - 1);
        }
        ensure!(outcome.code.is_none(), "{outcome}");
        there_and_back(ground, bundle, cut, &before).with_context(|| format!("{cut:?} {}", ground.log()))?;
    }
    Ok(0)
}

fn there_and_back(ground: &impl Ground, bundle: &str, cut: Cut, before: &str) -> Result<()> {
    if !cut.is_written {
        ground.forget_a_line()?;
    }
    if cut.goes_on {
        ground.installer(&["apply", bundle]).succeed()?;
        ground.installer(&["apply", bundle]).succeed()?.prints("nothing to do")?;
    }
    let undone = ground.installer(&["rollback"]).run()?;
    expect_same(before, &ground.listing()?).with_context(|| undone.to_string())?;
    // Without its first line, a run has not begun.
    let has_begun = cut.goes_on || cut.line > 1 || cut.is_written;
    ensure!(undone.code == Some(0) || !has_begun, "{undone}");
    Ok(())
}

/// As [`Ground::forget_a_line`], for a site whose state lies in this folder of this host.
pub fn forget_a_line(state: &Path) -> Result<()> {
    let runs =
        fs::read_dir(state.join("runs"))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let journal = runs.iter().max().context("there are runs")?.join("journal.jsonl");
    let text = fs::read_to_string(&journal)?;
    let keep = text.trim_end().rfind('\n').map_or(0, |end| end + 1);
    fs::write(&journal, &text[..keep])?;
    Ok(())
}

/// As [`Ground::forget_a_line`], for a site whose state lies in this folder of a machine.
pub fn forget_a_line_of(machine: &Machine, state: &str) -> Result<()> {
    let script = format!("sed -i '$d' \"$(ls -d {state}/runs/*/ | tail -n 1)journal.jsonl\"");
    machine.shell(&script).succeed().map(drop)
}

/// Fails with the lines that differ.
pub fn expect_same(before: &str, after: &str) -> Result<()> {
    let missing = |text: &str, other: &str, sign: char| -> Vec<String> {
        let known: std::collections::BTreeSet<&str> = other.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let differences = [missing(before, after, '-'), missing(after, before, '+')].concat();
    ensure!(before == after, "{}", differences.join("\n"));
    Ok(())
}
