//! Plain lines, for logs and pipes; with [`Verbosity::Quiet`], only what went wrong.

use std::io::Write;
use std::time::{Duration, Instant};

use ferry_model::event::Event;

use crate::choose::Verbosity;
use crate::message::message;
use crate::tally::{Stage, Tally};
use crate::ticker::Renderer;

/// Silence never lasts longer than this while something is under way.
const INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct Plain<W> {
    out: W,
    verbosity: Verbosity,
    tally: Tally,
    last_progress: Instant,
    /// What had moved when the last progress line was printed.
    moved: u64,
}

impl<W: Write + Send> Plain<W> {
    pub(crate) fn new(out: W, verbosity: Verbosity, now: Instant) -> Self {
        Self { out, verbosity, tally: Tally::default(), last_progress: now, moved: 0 }
    }

    /// A lost line of progress is no reason to stop: standard error may be closed.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn stage_line(&mut self, text: Option<String>, now: Instant) {
        if let (Some(text), true) = (text, self.verbosity != Verbosity::Quiet) {
            self.line(&text);
            self.last_progress = now;
            self.moved = 0;
        }
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn take(&mut self, event: Event, now: Instant) {
        if let Some(text) = message(&event, &self.tally, self.verbosity) {
            self.line(&text);
        }
        let idle = self.tally.stage().is_none() && self.tally.active().next().is_none();
        let summary = self.tally.take(&event, now);
        self.stage_line(summary, now);
        if let Event::Stage { .. } = event {
            let announcement = self.tally.stage().map(Stage::announcement);
            self.stage_line(announcement, now);
        } else if idle {
            self.last_progress = now;
        }
    }

    fn tick(&mut self, now: Instant) {
        self.tally.sample(now);
        if self.verbosity == Verbosity::Quiet || now.saturating_duration_since(self.last_progress) < INTERVAL
        {
            return;
        }
        let text = match self.tally.stage() {
            Some(stage) if stage.moved() != self.moved => {
                self.moved = stage.moved();
                Some(format!("{}: {}", stage.name(), stage.progress(now)))
            }
            _ => self.tally.waiting(now),
        };
        if let Some(text) = text {
            self.line(&text);
            self.last_progress = now;
        }
    }

    fn finish(&mut self, now: Instant) {
        let summary = self.tally.end_stage(now);
        self.stage_line(summary, now);
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::event::TaskId;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// Feeds a script of (seconds, event), ticking every half second, and returns what was printed.
    fn play(verbosity: Verbosity, script: Vec<(u64, Event)>, end: u64) -> String {
        let start = Instant::now();
        let mut plain = Plain::new(Vec::new(), verbosity, start);
        let mut half_seconds = 0;
        for (second, event) in script {
            while half_seconds < second * 2 {
                half_seconds += 1;
                plain.tick(start + Duration::from_millis(500 * half_seconds));
            }
            plain.take(event, start + Duration::from_secs(second));
        }
        while half_seconds < end * 2 {
            half_seconds += 1;
            plain.tick(start + Duration::from_millis(500 * half_seconds));
        }
        plain.finish(start + Duration::from_secs(end));
        String::from_utf8(plain.out).unwrap()
    }

    fn fetch(a: TaskId, b: TaskId) -> Vec<(u64, Event)> {
        vec![
            (0, Event::Stage { name: "fetch", bytes: Some(2 * GIB), tasks: Some(3) }),
            (0, Event::Started { task: a, name: "app layer 3f2a".into(), bytes: Some(GIB) }),
            (0, Event::Skipped { name: "base layer".into(), reason: "it is there".into(), bytes: GIB / 2 }),
            (4, Event::Advanced { task: a, bytes: GIB / 2 }),
            (7, Event::Retrying { task: a, attempt: 2, delay_ms: 2_000, cause: "reset\x07 by peer".into() }),
            (7, Event::Reset { task: a, bytes: GIB / 4 }),
            (13, Event::Warned { message: "pulls left: 3".into() }),
            (14, Event::Advanced { task: a, bytes: GIB * 3 / 4 }),
            (14, Event::Finished { task: a }),
            (14, Event::Started { task: b, name: "manifest".into(), bytes: None }),
            (14, Event::Failed { task: b, cause: "404".into() }),
            (16, Event::Stage { name: "sign", bytes: None, tasks: None }),
        ]
    }

    #[test]
    fn a_run_in_lines() {
        assert_eq!(
            play(Verbosity::Normal, fetch(TaskId::next(), TaskId::next()), 22),
            "fetch: 2.0 GiB, 3 tasks\n\
             fetch: 1.0 GiB of 2.0 GiB (50 %), 102.4 MiB/s, about 10 s left, 1 of 3 tasks\n\
             retrying app layer 3f2a in 2.0 s (attempt 2): reset� by peer\n\
             fetch: still waiting: 1 task, longest 10 s: app layer 3f2a\n\
             warning: pulls left: 3\n\
             failed: manifest: 404\n\
             fetch: 1.5 GiB of 2.0 GiB (75 %), 85.3 MiB/s, about 6.0 s left, 2 of 3 tasks\n\
             fetch: 1 task, 1.2 GiB in 16 s, 80.0 MiB/s; 1 skipped (512.0 MiB); 1 retry; 1 failed\n\
             sign\n\
             sign: still working, 5.0 s\n\
             sign: done in 6.0 s\n"
        );
    }

    #[test]
    fn a_stage_with_nothing_to_do_has_one_line() {
        let stage = |name| Event::Stage { name, bytes: None, tasks: None };
        let script = vec![(0, stage("push")), (0, stage("prove")), (2, stage("sign"))];
        assert_eq!(play(Verbosity::Normal, script, 2), "push\nprove\nprove: done in 2.0 s\nsign\n");
    }

    #[test]
    fn quiet_says_what_went_wrong_and_nothing_else() {
        assert_eq!(
            play(Verbosity::Quiet, fetch(TaskId::next(), TaskId::next()), 22),
            "warning: pulls left: 3\nfailed: manifest: 404\n"
        );
    }

    #[test]
    fn verbose_names_every_task() {
        let text = play(Verbosity::Verbose, fetch(TaskId::next(), TaskId::next()), 16);
        for line in [
            "started app layer 3f2a (1.0 GiB)\n",
            "skipped base layer: it is there\n",
            "finished app layer 3f2a\n",
            "started manifest\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn idle_programs_stay_silent() {
        assert_eq!(
            play(Verbosity::Normal, vec![(9, Event::Noted { message: "listening".into() })], 60),
            "listening\n"
        );
    }
}
