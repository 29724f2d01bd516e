//! JSON lines: every event as it is, one object a line, without times, in the form that `ferry_model::event`
//! serialises to. Only `advanced` events are joined.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use ferry_model::event::{Event, TaskId};

use crate::ticker::Renderer;

/// Five `advanced` events a second for each task.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) struct JsonLines<W> {
    out: W,
    /// When a task's bytes were last told, and those since.
    pending: HashMap<TaskId, (Instant, u64)>,
}

impl<W: Write + Send> JsonLines<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, pending: HashMap::new() }
    }

    fn line(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("events hold only text and numbers");
        line.push(b'\n');
        // One call for each line: another program may write to the same standard error.
        let _ = self.out.write_all(&line);
    }

    /// Tells the bytes that a task has moved since the last time.
    fn flush(&mut self, task: TaskId, now: Instant) {
        let Some((at, bytes)) = self.pending.get_mut(&task).filter(|(_, bytes)| *bytes > 0) else { return };
        *at = now;
        let bytes = std::mem::take(bytes);
        self.line(&Event::Advanced { task, bytes });
    }
}

impl<W: Write + Send> Renderer for JsonLines<W> {
    fn take(&mut self, event: Event, now: Instant) {
        match &event {
            Event::Advanced { task, bytes } => {
                let (at, pending) = self.pending.entry(*task).or_insert((now, 0));
                *pending = pending.saturating_add(*bytes);
                if now.saturating_duration_since(*at) >= INTERVAL {
                    self.flush(*task, now);
                }
                return;
            }
            Event::Reset { task, .. } | Event::Retrying { task, .. } => self.flush(*task, now),
            Event::Finished { task } | Event::Failed { task, .. } => {
                self.flush(*task, now);
                self.pending.remove(task);
            }
            _ => {}
        }
        self.line(&event);
    }

    fn tick(&mut self, now: Instant) {
        let due = |(at, bytes): &(Instant, u64)| *bytes > 0 && now.saturating_duration_since(*at) >= INTERVAL;
        let mut tasks: Vec<TaskId> =
            self.pending.iter().filter(|(_, state)| due(state)).map(|(&task, _)| task).collect();
        tasks.sort_unstable();
        for task in tasks {
            self.flush(task, now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let mut tasks: Vec<TaskId> = self.pending.keys().copied().collect();
        tasks.sort_unstable();
        for task in tasks {
            self.flush(task, now);
        }
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lines(out: &[u8]) -> Vec<Value> {
        out.split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn bytes_come_before_what_ends_them() {
        let (task, now) = (TaskId::next(), Instant::now());
        let id = json!(task);
        let mut renderer = JsonLines::new(Vec::new());
        for event in [
            Event::Stage { name: "push", bytes: Some(9), tasks: None },
            Event::Started { task, name: "a\nb".into(), bytes: Some(9) },
            Event::Advanced { task, bytes: 4 },
            Event::Retrying { task, attempt: 2, delay_ms: 100, cause: "reset".into() },
            Event::Reset { task, bytes: 0 },
            Event::Advanced { task, bytes: 5 },
            Event::Advanced { task, bytes: 4 },
            Event::Finished { task },
        ] {
            renderer.take(event, now);
        }
        renderer.finish(now);
        assert_eq!(
            lines(&renderer.out),
            [
                json!({"event": "stage", "name": "push", "bytes": 9, "tasks": null}),
                json!({"event": "started", "task": id, "name": "a\nb", "bytes": 9}),
                json!({"event": "advanced", "task": id, "bytes": 4}),
                json!({"event": "retrying", "task": id, "attempt": 2, "delay_ms": 100, "cause": "reset"}),
                json!({"event": "reset", "task": id, "bytes": 0}),
                json!({"event": "advanced", "task": id, "bytes": 9}),
                json!({"event": "finished", "task": id}),
            ]
        );
    }

    #[test]
    fn a_hundred_thousand_advances_become_few_lines_and_lose_no_byte() {
        let (a, b, start) = (TaskId::next(), TaskId::next(), Instant::now());
        let mut renderer = JsonLines::new(Vec::new());
        for step in 0..100_000_u32 {
            let task = if step % 2 == 0 { a } else { b };
            // 10 seconds in all.
            renderer.take(Event::Advanced { task, bytes: 3 }, start + Duration::from_micros(100) * step);
        }
        renderer.finish(start + Duration::from_secs(10));
        let lines = lines(&renderer.out);
        assert!(lines.len() <= 2 * (10 * 5 + 1), "{} lines", lines.len());
        for task in [a, b] {
            let told = lines.iter().filter(|line| line["task"] == json!(task));
            assert_eq!(told.map(|line| line["bytes"].as_u64().unwrap()).sum::<u64>(), 150_000);
        }
    }

    #[test]
    fn a_stalled_task_shows_where_it_stands() {
        let (task, now) = (TaskId::next(), Instant::now());
        let mut renderer = JsonLines::new(Vec::new());
        renderer.take(Event::Advanced { task, bytes: 7 }, now);
        renderer.tick(now);
        assert!(renderer.out.is_empty());
        renderer.tick(now + INTERVAL);
        assert_eq!(lines(&renderer.out), [json!({"event": "advanced", "task": task, "bytes": 7})]);
    }
}
