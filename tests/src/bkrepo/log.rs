//! What was asked, and the generic service's access log.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use axum::http::{Method, StatusCode};

use super::lock;

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The query, or "".
    pub query: String,
    /// The user that it named, known or not.
    pub user: Option<String>,
    /// The status of the answer; 0 where there was none, or not yet.
    pub status: u16,
    /// How many bytes of its body were received.
    pub body: u64,
}

impl Asked {
    /// Whether it had this method, and this text in its path.
    pub fn is(&self, method: &Method, path: &str) -> bool {
        self.method == method.as_str() && self.path.contains(path)
    }
}

/// A request while it is served.
#[derive(Debug)]
pub(super) struct Record {
    asked: Asked,
    pub(super) body: AtomicU64,
    status: AtomicU16,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    records: Mutex<Vec<Arc<Record>>>,
    lines: Mutex<Vec<String>>,
}

impl Log {
    pub(super) fn begin(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        user: Option<String>,
    ) -> Arc<Record> {
        let asked = Asked {
            method: method.to_string(),
            path: path.to_owned(),
            query: query.to_owned(),
            user,
            status: 0,
            body: 0,
        };
        let record = Arc::new(Record { asked, body: AtomicU64::new(0), status: AtomicU16::new(0) });
        lock(&self.records).push(Arc::clone(&record));
        record
    }

    pub(super) fn end(&self, record: &Record, status: Option<StatusCode>) {
        let Some(status) = status else { return };
        record.status.store(status.as_u16(), Ordering::Relaxed);
        let asked = &record.asked;
        // The gateway takes the service's name off before it hands the request on.
        if let Some(path) = asked.path.strip_prefix("/generic/") {
            let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
            let user = asked.user.as_deref().unwrap_or("-");
            let mut lines = lock(&self.lines);
            let second = lines.len();
            lines.push(format!(
                "10.244.0.9 - {user} [14/Jun/2023:{:02}:{:02}:{:02} +0800] \"{} /{path}{query} HTTP/1.1\" {} 182",
                10 + second / 3600 % 14,
                second / 60 % 60,
                second % 60,
                asked.method,
                status.as_u16()
            ));
        }
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        let records = lock(&self.records);
        let asked = records.iter().map(|record| Asked {
            status: record.status.load(Ordering::Relaxed),
            body: record.body.load(Ordering::Relaxed),
            ..record.asked.clone()
        });
        asked.collect()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    pub(super) fn clear(&self) {
        lock(&self.records).clear();
        lock(&self.lines).clear();
    }
}
