//! A DNS server on this machine that answers for names out of a table, over UDP.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What it answers: addresses by lower-case names.
pub(crate) type Table = BTreeMap<String, Vec<IpAddr>>;

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// A server on a free port of the loopback. `table` is asked for each question.
    pub fn start(table: impl Fn() -> Table + Send + 'static) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&buffer[..length], &table()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { address, asked, stop, thread: Some(thread) })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Questions until now.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The names of the `hosts` blocks of a Corefile: each line of an address and names, wherever it stands.
pub fn table_of(corefile: &str) -> Table {
    let mut table = Table::new();
    for line in corefile.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            table.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    table
}

fn answer(question: &[u8], table: &Table) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = question.get(at..at + 2)?;
    let known = table.get(&labels.join("."));
    let data = |address: &IpAddr| match (address, kind) {
        (IpAddr::V4(address), [0, 1]) => Some(address.octets().to_vec()),
        (IpAddr::V6(address), [0, 28]) => Some(address.octets().to_vec()),
        _ => None,
    };
    let found: Vec<Vec<u8>> = known.into_iter().flatten().filter_map(data).collect();
    let mut answer = question.get(..at + 4)?.to_vec();
    answer[2] = 0x85;
    answer[3] = if known.is_some() { 0x80 } else { 0x83 };
    answer[7] = u8::try_from(found.len()).context("few").ok()?;
    for data in found {
        answer.extend([0xc0, 12]);
        answer.extend(kind);
        answer.extend([0, 1, 0, 0, 0, 30, 0]);
        answer.push(u8::try_from(data.len()).ok()?);
        answer.extend(data);
    }
    Some(answer)
}
