//! Carries one request and its answer, and the fault that was drawn for them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Fault, Shared};
use crate::random::Random;

const LARGEST_HEAD: usize = 64 << 10;
/// A stalled connection is let go after this; every client should have given up long before.
const STALL: Duration = Duration::from_secs(60);

/// Where in a message its fault strikes.
#[derive(Clone, Copy)]
struct Strike {
    fault: Fault,
    /// Bytes of the body that come through unharmed.
    after: u64,
}

/// How a direction ended.
#[derive(PartialEq)]
enum End {
    Whole,
    Struck(Fault),
}

pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) {
    // What goes wrong here is what the client is there to notice.
    let _ = relay(client, &shared).await;
}

async fn relay(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(request) = Head::read(&mut client).await? else { return Ok(()) };
    let (fault, mut random, pace) = shared.draw();
    if let Some(Fault::Status(status)) = fault {
        return refuse(client, status, request.header("host").unwrap_or_default()).await;
    }
    let hits_request = request.body_length() > 0 && random.chance(50);
    let strikes_before_answer =
        !hits_request && fault.is_some_and(|fault| fault != Fault::Corrupt) && random.chance(30);
    if strikes_before_answer || (fault.is_some() && request.is_head()) {
        return end(client, fault.unwrap_or(Fault::Reset)).await;
    }
    let upstream = TcpStream::connect(&shared.upstream).await?;
    upstream.set_nodelay(true)?;
    let (mut from_server, mut to_server) = upstream.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let request_strike = fault
        .filter(|_| hits_request)
        .map(|fault| Strike { fault, after: random.below(request.body_length()) });
    let up = async {
        to_server.write_all(&request.closing()).await?;
        copy(&mut from_client, &mut to_server, &request.rest, request_strike, pace).await
    };
    let down = answer(&mut from_server, &mut to_client, fault.filter(|_| !hits_request), &mut random, pace);
    // The answer decides: a server may answer, and close, before it has read a whole upload.
    let ended = tokio::select! {
        biased;
        ended = down => ended?,
        ended = async { match up.await { Ok(End::Whole) | Err(_) => std::future::pending().await, struck => struck } } => ended?,
    };
    match ended {
        End::Whole => to_client.shutdown().await,
        End::Struck(fault) => {
            let client = from_client.reunite(to_client).map_err(io::Error::other)?;
            end(client, fault).await
        }
    }
}

/// Carries the answer, its head first.
async fn answer(
    server: &mut OwnedReadHalf,
    client: &mut OwnedWriteHalf,
    fault: Option<Fault>,
    random: &mut Random,
    pace: Duration,
) -> io::Result<End> {
    loop {
        let Some(head) = Head::read(server).await? else { return Ok(End::Whole) };
        if head.text.starts_with("HTTP/1.1 1") {
            client.write_all(head.text.as_bytes()).await?;
            continue;
        }
        client.write_all(&head.closing()).await?;
        let strike = fault.map(|fault| Strike { fault, after: random.below(head.body_length().max(1)) });
        return copy(server, client, &head.rest, strike, pace).await;
    }
}

async fn copy(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    first: &[u8],
    strike: Option<Strike>,
    pace: Duration,
) -> io::Result<End> {
    let mut buffer = first.to_vec();
    buffer.resize(first.len().max(16 << 10), 0);
    let mut done = 0;
    let mut pending = first.len();
    loop {
        if pending == 0 {
            pending = from.read(&mut buffer).await?;
            if pending == 0 {
                return Ok(End::Whole);
            }
        }
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        let chunk = &mut buffer[..pending];
        if let Some(strike) = strike.filter(|strike| (done..done + pending as u64).contains(&strike.after)) {
            let unharmed = (strike.after - done) as usize;
            if strike.fault != Fault::Corrupt {
                to.write_all(&chunk[..unharmed]).await?;
                to.flush().await?;
                return Ok(End::Struck(strike.fault));
            }
            chunk[unharmed] ^= 0x20;
        }
        to.write_all(chunk).await?;
        done += pending as u64;
        pending = 0;
    }
}

/// Ends the client's connection as the fault has it.
async fn end(mut client: TcpStream, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Stall => {
            // Reads on, or the client's own writes would fail and it would notice nothing of a stall.
            let _ = tokio::time::timeout(STALL, drain(&mut client)).await;
            Ok(())
        }
        Fault::Truncate => client.shutdown().await,
        Fault::Reset | Fault::Corrupt | Fault::Status(_) => {
            client.set_zero_linger()?;
            Ok(())
        }
    }
}

/// Answers in place of the server.
async fn refuse(mut client: TcpStream, status: u16, host: &str) -> io::Result<()> {
    let extra = match status {
        429 => "Retry-After: 0\r\n".to_owned(),
        401 => format!(
            "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"fake\",error=\"invalid_token\"\r\n"
        ),
        _ => String::new(),
    };
    let answer = format!(
        "HTTP/1.1 {status} Injected\r\n{extra}Content-Length: 9\r\nConnection: close\r\n\r\ninjected\n"
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    // Reading what the client still sends keeps the kernel from resetting the answer away.
    let _ = tokio::time::timeout(Duration::from_secs(2), drain(&mut client)).await;
    Ok(())
}

async fn drain(client: &mut TcpStream) -> io::Result<u64> {
    tokio::io::copy(client, &mut tokio::io::sink()).await
}

/// The head of a message, and what was read behind it.
struct Head {
    text: String,
    rest: Vec<u8>,
}

impl Head {
    async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                let text = String::from_utf8(bytes).map_err(io::Error::other)?;
                return Ok(Some(Self { text, rest }));
            }
            if bytes.len() > LARGEST_HEAD || stream.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The head's bytes, with `Connection: close` in place of what it said.
    fn closing(&self) -> Vec<u8> {
        let lines = self.text.trim_end().split("\r\n");
        let kept: Vec<_> =
            lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
        format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).into_bytes()
    }

    fn is_head(&self) -> bool {
        self.text.starts_with("HEAD ")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.text.split("\r\n").find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn body_length(&self) -> u64 {
        match self.header("content-length") {
            Some(length) => length.parse().unwrap_or(0),
            // Unknown: a fault shall strike soon.
            None if self.header("transfer-encoding").is_some() => 1000,
            None => 0,
        }
    }
}
