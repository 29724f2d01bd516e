//! Bars on a terminal: one for the stage, and one for each of the largest tasks under way.
//!
//! Events only change the tally; the ticker paints. So an event costs the same however many bars there are, and a
//! task that is over in a moment never flickers up.

use std::time::{Duration, Instant};

use ferry_model::event::{Event, TaskId};
use ferry_model::size::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::choose::Verbosity;
use crate::message::message;
use crate::tally::{ActiveTask, Tally};
use crate::text::duration;
use crate::ticker::Renderer;

/// How many tasks have a bar.
const TASK_BARS: usize = 6;
/// A task shorter than this has none.
const SHOW_AFTER: Duration = Duration::from_millis(300);
/// A task's age is shown from here on.
const SLOW: Duration = Duration::from_secs(10);

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    On,
    Off,
}

pub(crate) struct Bars {
    multi: MultiProgress,
    verbosity: Verbosity,
    colour: Colour,
    tally: Tally,
    stage: Option<ProgressBar>,
    tasks: Vec<(TaskId, ProgressBar)>,
}

impl Bars {
    pub(crate) fn new(target: ProgressDrawTarget, verbosity: Verbosity, colour: Colour) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        Self { multi, verbosity, colour, tally: Tally::default(), stage: None, tasks: Vec::new() }
    }

    /// Prints above the bars.
    fn line(&self, text: &str) {
        let text = match (self.colour, text.split_once(':')) {
            (Colour::On, Some(("warning", rest))) => format!("\x1b[33mwarning\x1b[0m:{rest}"),
            (Colour::On, Some(("failed", rest))) => format!("\x1b[31mfailed\x1b[0m:{rest}"),
            _ => text.to_owned(),
        };
        let _ = self.multi.println(text);
    }

    fn style(colour: Colour, template: &str) -> ProgressStyle {
        let template = match colour {
            Colour::On => template.replace("BAR", "20.cyan/dim"),
            Colour::Off => template.replace("BAR", "20"),
        };
        ProgressStyle::with_template(&template)
            .expect("the templates below are well-formed")
            .progress_chars("━╸─")
    }

    fn clear(&mut self) {
        for bar in self.tasks.drain(..).map(|(_, bar)| bar).chain(self.stage.take()) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    fn paint_stage(&mut self, now: Instant) {
        let Some(stage) = self.tally.stage() else { return };
        let (done, all) = stage.position();
        let template = match all {
            Some(_) => "{prefix} {bar:BAR} {wide_msg}",
            None => "{prefix} {spinner} {wide_msg}",
        };
        let bar = self.stage.get_or_insert_with(|| {
            let bar = self.multi.insert(0, ProgressBar::no_length());
            bar.set_style(Self::style(self.colour, template));
            bar.set_prefix(stage.name());
            bar
        });
        if let Some(all) = all {
            bar.set_length(all.max(1));
            bar.set_position(done);
        } else {
            bar.tick();
        }
        bar.set_message(stage.short_progress(now));
    }

    fn paint_tasks(&mut self, now: Instant) {
        let tally = &self.tally;
        self.tasks.retain(|(task, bar)| {
            let keep = tally.task(*task).is_some();
            if !keep {
                bar.finish_and_clear();
                self.multi.remove(bar);
            }
            keep
        });
        let mut candidates: Vec<(TaskId, &ActiveTask)> = tally
            .active()
            .filter(|(task, active)| {
                now.saturating_duration_since(active.since) >= SHOW_AFTER
                    && !self.tasks.iter().any(|(shown, _)| shown == task)
            })
            .collect();
        candidates.sort_by_key(|(_, active)| std::cmp::Reverse(active.bytes));
        candidates.truncate(TASK_BARS.saturating_sub(self.tasks.len()));
        let ids: Vec<TaskId> = candidates.into_iter().map(|(task, _)| task).collect();
        for task in ids {
            let bar = self.multi.add(ProgressBar::no_length());
            bar.set_style(Self::style(self.colour, "  {bar:BAR} {wide_msg}"));
            self.tasks.push((task, bar));
        }
        for (task, bar) in &self.tasks {
            let Some(active) = self.tally.task(*task) else { continue };
            bar.set_length(active.bytes.unwrap_or(0).max(1));
            bar.set_position(active.bytes.map_or(0, |all| active.done.min(all)));
            bar.set_message(describe(active, now));
        }
    }
}

/// `12.0 MiB of 80.0 MiB  slug-app layer 3f2a`.
fn describe(active: &ActiveTask, now: Instant) -> String {
    let mut text = match active.bytes {
        Some(all) => format!("{} of {}  {}", ByteSize(active.done), ByteSize(all), active.name),
        None if active.done > 0 => format!("{}  {}", ByteSize(active.done), active.name),
        None => active.name.clone(),
    };
    let age = now.saturating_duration_since(active.since);
    if let Some(retrying) = &active.retrying {
        text = format!("{text}  ({retrying})");
    } else if age >= SLOW {
        text = format!("{text}  ({})", duration(age));
    }
    text
}

impl Renderer for Bars {
    fn take(&mut self, event: Event, now: Instant) {
        if let Some(text) = message(&event, &self.tally, self.verbosity) {
            self.line(&text);
        }
        if let Some(summary) = self.tally.take(&event, now) {
            self.clear();
            self.line(&summary);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.tally.sample(now);
        self.paint_stage(now);
        self.paint_tasks(now);
    }

    fn finish(&mut self, now: Instant) {
        self.clear();
        if let Some(summary) = self.tally.end_stage(now) {
            self.line(&summary);
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    fn bars(colour: Colour) -> (Bars, InMemoryTerm) {
        let terminal = InMemoryTerm::new(12, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (Bars::new(target, Verbosity::Normal, colour), terminal)
    }

    #[test]
    fn a_run_in_bars() {
        let (mut bars, terminal) = bars(Colour::Off);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (a, b) = (TaskId::next(), TaskId::next());
        bars.take(Event::Stage { name: "push", bytes: Some(200 << 20), tasks: Some(2) }, start);
        bars.take(Event::Started { task: a, name: "应用 layer".into(), bytes: Some(150 << 20) }, start);
        bars.take(Event::Started { task: b, name: "small".into(), bytes: None }, start);
        bars.take(Event::Advanced { task: a, bytes: 100 << 20 }, at(10));
        bars.take(Event::Warned { message: "slow registry".into() }, at(10));
        bars.tick(at(10));
        assert_eq!(
            terminal.contents(),
            "warning: slow registry\n\
             push ━━━━━━━━━━╸───────── 100.0 MiB/200.0 MiB  10.0 MiB/s  10 s left  0/2\n  \
               ━━━━━━━━━━━━━╸────── 100.0 MiB of 150.0 MiB  应用 layer  (10 s)\n  \
               ──────────────────── small  (10 s)"
        );
        bars.take(Event::Finished { task: b }, at(10));
        bars.take(Event::Reset { task: a, bytes: 0 }, at(10));
        let retry = Event::Retrying { task: a, attempt: 2, delay_ms: 1000, cause: "reset by peer".into() };
        bars.take(retry, at(10));
        std::thread::sleep(Duration::from_millis(120)); // Past the terminal's own limit on redrawing.
        bars.tick(at(10));
        let text = terminal.contents();
        assert!(text.contains("0 B of 150.0 MiB  应用 layer  (attempt 2: reset by peer)"), "{text}");
        assert!(!text.contains("small"), "{text}");
        bars.finish(at(11));
        assert_eq!(
            terminal.contents(),
            "warning: slow registry\n\
             retrying 应用 layer in 1.0 s (attempt 2): reset by peer\n\
             push: 1 task, 100.0 MiB in 11 s, 9.1 MiB/s; 1 retry; 1 unfinished"
        );
    }

    #[test]
    fn few_bars_for_many_tasks() {
        let (mut bars, terminal) = bars(Colour::On);
        let start = Instant::now();
        for size in 0..50 {
            let name = format!("layer-{size}");
            bars.take(Event::Started { task: TaskId::next(), name, bytes: Some(size) }, start);
        }
        bars.tick(start);
        assert_eq!(terminal.contents(), "");
        bars.tick(start + SHOW_AFTER);
        let text = terminal.contents();
        assert_eq!(text.lines().count(), TASK_BARS, "{text}");
        assert!(text.contains("layer-49") && text.contains("layer-44"), "{text}");
    }
}
