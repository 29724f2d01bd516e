//! What the events so far add up to: the one place that knows totals, rates and estimates.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ferry_model::event::{Event, TaskId};
use ferry_model::size::ByteSize;

use crate::text::{duration, printable, rate};

/// How far back the rate looks: long enough to be steady, short enough to show a stall.
const RATE_WINDOW: Duration = Duration::from_secs(15);
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// A stage in which nothing was counted and that took less has no line at its end.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// The current stage and the tasks under way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stage: Option<Stage>,
    active: BTreeMap<TaskId, ActiveTask>,
}

/// A stage under way.
#[derive(Debug)]
pub(crate) struct Stage {
    name: &'static str,
    bytes: Option<u64>,
    tasks: Option<u64>,
    since: Instant,
    /// Where the work stands; a resumed task counts what it had, a restarted one loses it.
    done: u64,
    /// What has moved since the stage began; only grows. Rates come from this.
    moved: u64,
    finished: u64,
    failed: u64,
    retries: u64,
    skipped: u64,
    skipped_bytes: u64,
    samples: VecDeque<(Instant, u64)>,
}

/// A task under way.
#[derive(Debug)]
pub(crate) struct ActiveTask {
    pub(crate) name: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) done: u64,
    pub(crate) since: Instant,
    /// Set while it pauses before a retry.
    pub(crate) retrying: Option<String>,
}

impl Tally {
    /// Takes an event into account. Returns the summary of the stage that it ends.
    pub(crate) fn take(&mut self, event: &Event, now: Instant) -> Option<String> {
        match event {
            Event::Stage { name, bytes, tasks } => {
                let summary = self.end_stage(now);
                self.stage = Some(Stage::new(name, *bytes, *tasks, now));
                return summary;
            }
            Event::Started { task, name, bytes } => {
                let name = printable(name).into_owned();
                let active = ActiveTask { name, bytes: *bytes, done: 0, since: now, retrying: None };
                self.active.insert(*task, active);
            }
            Event::Advanced { task, bytes } => {
                if let Some(active) = self.active.get_mut(task) {
                    active.done = active.done.saturating_add(*bytes);
                    active.retrying = None;
                }
                if let Some(stage) = &mut self.stage {
                    stage.done = stage.done.saturating_add(*bytes);
                    stage.moved = stage.moved.saturating_add(*bytes);
                    stage.sample(now);
                }
            }
            Event::Reset { task, bytes } => {
                let active = self.active.get_mut(task)?;
                let before = std::mem::replace(&mut active.done, *bytes);
                if let Some(stage) = &mut self.stage {
                    stage.done = stage.done.saturating_sub(before).saturating_add(*bytes);
                }
            }
            Event::Retrying { task, attempt, cause, .. } => {
                if let Some(active) = self.active.get_mut(task) {
                    active.retrying = Some(format!("attempt {attempt}: {}", printable(cause)));
                }
                self.count(|stage| stage.retries += 1);
            }
            Event::Skipped { bytes, .. } => self.count(|stage| {
                stage.skipped += 1;
                stage.skipped_bytes = stage.skipped_bytes.saturating_add(*bytes);
            }),
            Event::Finished { task } => {
                self.active.remove(task);
                self.count(|stage| stage.finished += 1);
            }
            Event::Failed { task, .. } => {
                self.active.remove(task);
                self.count(|stage| stage.failed += 1);
            }
            _ => {}
        }
        None
    }

    fn count(&mut self, change: impl FnOnce(&mut Stage)) {
        if let Some(stage) = &mut self.stage {
            change(stage);
        }
    }

    /// Ends the stage, if there is one, and sums it up.
    pub(crate) fn end_stage(&mut self, now: Instant) -> Option<String> {
        let unfinished = self.active.len();
        self.stage
            .take()
            .filter(|stage| stage.has_news(unfinished, now))
            .map(|stage| stage.summary(unfinished, now))
    }

    pub(crate) fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// Records where the bytes stand, so that the rate of a stalled stage falls.
    pub(crate) fn sample(&mut self, now: Instant) {
        self.count(|stage| stage.sample(now));
    }

    pub(crate) fn task(&self, task: TaskId) -> Option<&ActiveTask> {
        self.active.get(&task)
    }

    /// The name of a task for a message.
    pub(crate) fn name(&self, task: TaskId) -> String {
        self.task(task).map_or_else(|| "a task".to_owned(), |active| active.name.clone())
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = (TaskId, &ActiveTask)> {
        self.active.iter().map(|(&task, active)| (task, active))
    }

    /// What to say when no byte has moved for a while; nothing when nothing is under way.
    pub(crate) fn waiting(&self, now: Instant) -> Option<String> {
        let longest = self.active.values().min_by_key(|active| active.since);
        let name = self.stage.as_ref().map_or("working", |stage| stage.name);
        let since = |instant: Instant| duration(now.saturating_duration_since(instant));
        match (longest, &self.stage) {
            (Some(task), _) => {
                let count = tasks(self.active.len() as u64);
                let (longest, name_of_task) = (since(task.since), &task.name);
                Some(format!("{name}: still waiting: {count}, longest {longest}: {name_of_task}"))
            }
            (None, Some(stage)) => Some(format!("{name}: still working, {}", since(stage.since))),
            (None, None) => None,
        }
    }
}

impl Stage {
    fn new(name: &'static str, bytes: Option<u64>, tasks: Option<u64>, now: Instant) -> Self {
        Self {
            name,
            bytes,
            tasks,
            since: now,
            done: 0,
            moved: 0,
            finished: 0,
            failed: 0,
            retries: 0,
            skipped: 0,
            skipped_bytes: 0,
            samples: VecDeque::from([(now, 0)]),
        }
    }

    fn sample(&mut self, now: Instant) {
        if self.samples.back().is_some_and(|(last, _)| now.saturating_duration_since(*last) < SAMPLE_EVERY) {
            return;
        }
        self.samples.push_back((now, self.moved));
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= RATE_WINDOW)
        {
            self.samples.pop_front();
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes that need no more work, and all bytes. What was skipped counts as done: senders announce totals before
    /// they know what the other side has.
    pub(crate) fn position(&self) -> (u64, Option<u64>) {
        let done = self.done.saturating_add(self.skipped_bytes);
        (self.bytes.map_or(done, |all| done.min(all)), self.bytes)
    }

    /// Bytes per second over the last seconds.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        let (since, before) = self.samples.front().copied().unwrap_or((self.since, 0));
        per_second(self.moved - before, now.saturating_duration_since(since))
    }

    /// `fetch: 3.1 GiB, 30 tasks`.
    pub(crate) fn announcement(&self) -> String {
        let parts: Vec<String> = self
            .bytes
            .filter(|bytes| *bytes > 0)
            .map(|bytes| ByteSize(bytes).to_string())
            .into_iter()
            .chain(self.tasks.filter(|count| *count > 0).map(tasks))
            .collect();
        if parts.is_empty() { self.name.to_owned() } else { format!("{}: {}", self.name, parts.join(", ")) }
    }

    /// `1.2 GiB of 3.1 GiB (38 %), 12.3 MiB/s, about 2 min 40 s left, 14 of 30 tasks`.
    pub(crate) fn progress(&self, now: Instant) -> String {
        let (done, all) = self.position();
        let mut text = ByteSize(done).to_string();
        if let Some(all) = all {
            let percent = u128::from(done) * 100 / u128::from(all.max(1));
            let _ = write!(text, " of {} ({percent} %)", ByteSize(all));
        }
        let _ = write!(text, ", {}", rate(self.rate(now)));
        if let Some(left) = self.time_left(now) {
            let _ = write!(text, ", about {} left", duration(left));
        }
        let finished = self.finished + self.skipped;
        match self.tasks {
            Some(all) => _ = write!(text, ", {finished} of {}", tasks(all)),
            None => _ = write!(text, ", {} done", tasks(finished)),
        }
        text
    }

    /// The same for a line of 80 cells that has a bar too: `1.2 GiB/3.1 GiB  12.3 MiB/s  2 min 40 s left  14/30`.
    pub(crate) fn short_progress(&self, now: Instant) -> String {
        let (done, all) = self.position();
        let mut text = ByteSize(done).to_string();
        if let Some(all) = all {
            let _ = write!(text, "/{}", ByteSize(all));
        }
        let _ = write!(text, "  {}", rate(self.rate(now)));
        if let Some(left) = self.time_left(now) {
            let _ = write!(text, "  {} left", duration(left));
        }
        let _ = write!(text, "  {}", self.finished + self.skipped);
        if let Some(all) = self.tasks {
            let _ = write!(text, "/{all}");
        }
        text
    }

    /// An estimate, where the total is known and something moves.
    fn time_left(&self, now: Instant) -> Option<Duration> {
        let (done, all) = self.position();
        let seconds = (all? - done).checked_div(self.rate(now))?;
        Some(Duration::from_secs(seconds.max(1)))
    }

    /// Whether its end is worth a line: not where nothing was to be done, and nobody had to wait for it.
    fn has_news(&self, unfinished: usize, now: Instant) -> bool {
        let counts = [self.finished, self.moved, self.skipped, self.retries, self.failed, unfinished as u64];
        counts.iter().any(|count| *count > 0) || now.saturating_duration_since(self.since) >= WORTH_A_LINE
    }

    /// `fetch: 30 tasks, 3.1 GiB in 4 min 12 s, 12.6 MiB/s; 2 skipped (1.1 GiB); 1 retry`.
    fn summary(&self, unfinished: usize, now: Instant) -> String {
        let took = now.saturating_duration_since(self.since);
        // What a stage does not count is not worth a zero.
        let mut text = format!("{}: ", self.name);
        if self.finished > 0 {
            let _ = write!(text, "{}, ", tasks(self.finished));
        }
        let _ = match self.moved {
            0 => write!(text, "done in {}", duration(took)),
            moved => {
                let rate = rate(per_second(moved, took));
                write!(text, "{} in {}, {rate}", ByteSize(moved), duration(took))
            }
        };
        if self.skipped > 0 {
            let _ = write!(text, "; {} skipped ({})", self.skipped, ByteSize(self.skipped_bytes));
        }
        if self.retries > 0 {
            let _ =
                write!(text, "; {} {}", self.retries, if self.retries == 1 { "retry" } else { "retries" });
        }
        if self.failed > 0 {
            let _ = write!(text, "; {} failed", self.failed);
        }
        if unfinished > 0 {
            let _ = write!(text, "; {unfinished} unfinished");
        }
        text
    }
}

fn tasks(count: u64) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let milliseconds = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX)
}
