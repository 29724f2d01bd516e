//! A server that answers by a script, down to where it breaks the connection; and small sinks and sources.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ferry_model::event::{Event, EventSink, Events, Task};
use ferry_transfer::{BlobSource, ChunkReader, Client, Options, RetryPolicy, Sink, SourceError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Where a range request begins.
    pub fn range_start(&self) -> Option<usize> {
        self.header("range").strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What the server does with a request. Connections are not used again.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The length that it announces, where that is not the body's.
    pub announced: Option<usize>,
    pub end: End,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
    /// Says nothing more and keeps the connection open.
    Stall,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), announced: None, end: End::Close }
    }

    /// No answer at all.
    pub fn none(end: End) -> Self {
        Self { end, ..Self::status(0) }
    }

    pub fn ok(body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::status(200) }
    }

    pub fn part(content: &[u8], start: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        Self { body: content[start..].to_vec(), ..Self::status(206) }.header("content-range", range)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends `length` bytes of the body only, and ends so.
    pub fn cut(mut self, length: usize, end: End) -> Self {
        self.announced = Some(self.body.len());
        self.body.truncate(length);
        self.end = end;
        self
    }
}

type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;
type Haste = dyn Fn(&Request, usize) -> bool + Send + Sync;

/// A server that answers by a function of the request and of how many came before.
#[derive(Debug)]
pub struct Server {
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_hasty(|_, _| false, script).await
    }

    /// One that answers some requests without having read their bodies.
    pub async fn start_hasty(
        haste: impl Fn(&Request, usize) -> bool + Send + Sync + 'static,
        script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, script, haste): (_, Arc<Script>, Arc<Haste>) =
            (Arc::clone(&requests), Arc::new(script), Arc::new(haste));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&script), Arc::clone(&haste)));
            }
        });
        Self { host, requests, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// All requests so far, as `METHOD /path`.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    script: Arc<Script>,
    haste: Arc<Haste>,
) -> Option<()> {
    let mut request = read_head(&mut stream).await?;
    let number = {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(request.clone());
        seen.len() - 1
    };
    let length = request.header("content-length").parse::<usize>().unwrap_or(0);
    if !haste(&request, number) {
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body).await.ok()?;
        seen.lock().expect("not poisoned")[number] = request.clone();
    }
    let answer = script(&request, number);
    let length = answer.announced.unwrap_or(answer.body.len());
    let headers: String =
        answer.headers.iter().flat_map(|(name, value)| [name, ": ", value.as_str(), "\r\n"]).collect();
    let status = answer.status;
    let head =
        format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    if status != 0 {
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&answer.body).await.ok()?;
    }
    match answer.end {
        End::Close => hang_up(&mut stream).await,
        End::Reset => {
            stream.set_zero_linger().ok()?;
        }
        End::Stall => tokio::time::sleep(Duration::from_secs(60)).await,
    }
    Some(())
}

/// What the client still sends must be read, or the system resets the connection.
async fn hang_up(stream: &mut TcpStream) {
    let mut rest = vec![0; 1 << 16];
    let _ = stream.shutdown().await;
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

async fn read_head(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
        if head[0] == 0x16 {
            // A TLS handshake, which HTTP servers answer so.
            stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.ok()?;
            hang_up(stream).await;
            return None;
        }
    }
    let text = String::from_utf8(head).ok()?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Request { method, path, headers, body: Vec::new() })
}

/// Impatient, so that tests are quick.
pub fn options(plain_http: &[&Server]) -> Options {
    Options {
        plain_http: plain_http.iter().map(|server| server.host.clone()).collect(),
        stall_timeout: Duration::from_millis(300),
        commit_timeout: Duration::from_secs(1),
        retry: RetryPolicy {
            base: Duration::from_millis(5),
            cap: Duration::from_millis(20),
            ..RetryPolicy::default()
        },
        ..Options::default()
    }
}

pub fn client(server: &Server) -> Client {
    Client::new(options(&[server])).expect("a client")
}

/// `length` bytes, no two stretches alike.
pub fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).take(length).collect()
}

/// Keeps what it is given, and counts restarts.
#[derive(Debug, Default)]
pub struct Memory {
    pub bytes: Vec<u8>,
    pub restarts: usize,
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.bytes.clear();
        self.restarts += 1;
        Ok(())
    }
}

/// A blob in memory.
#[derive(Debug)]
pub struct Blob(pub Bytes);

struct Reader(Bytes);

impl BlobSource for Blob {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        Ok(Box::new(Reader(self.0.slice(usize::try_from(from).expect("small")..))))
    }
}

impl ChunkReader for Reader {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        let chunk = self.0.split_to(self.0.len().min(1 << 20));
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// Follows a task as a renderer would: how many bytes are done, and how often it was tried again.
#[derive(Debug, Default)]
pub struct Follower(Mutex<(u64, usize)>);

impl EventSink for Follower {
    fn emit(&self, event: Event) {
        let mut state = self.0.lock().expect("not poisoned");
        match event {
            Event::Advanced { bytes, .. } => state.0 += bytes,
            Event::Reset { bytes, .. } => state.0 = bytes,
            Event::Retrying { .. } => state.1 += 1,
            _ => {}
        }
    }
}

impl Follower {
    pub fn task() -> (Arc<Self>, Task) {
        let follower = Arc::new(Self::default());
        let task = Events::new(Arc::clone(&follower) as _).start("test", None);
        (follower, task)
    }

    pub fn done(&self) -> u64 {
        self.0.lock().expect("not poisoned").0
    }

    pub fn retries(&self) -> usize {
        self.0.lock().expect("not poisoned").1
    }
}
