//! A question to a DNS server, over UDP, and its answer. The system's resolver cannot be used: it asks the servers that it is
//! configured with, and remembers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Sent as often; a datagram may get lost.
const TRIES: u32 = 2;
/// A name has at most as many labels.
const LABELS: usize = 128;
const INTERNET: u16 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl Kind {
    /// Whether an answer of this kind can be that address.
    pub(crate) fn fits(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::A)
    }

    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

/// The addresses that `server` has for `name`; none, if it says that there are none or that it cannot tell.
pub(crate) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: Kind,
    limit: Duration,
) -> io::Result<Vec<IpAddr>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let mut number = [0; 2];
    SystemRandom::new().fill(&mut number).map_err(|_| io::Error::other("no random numbers"))?;
    let question = question(number, name, kind);
    let mut buffer = [0; 4096];
    for _ in 0..TRIES {
        socket.send(&question).await?;
        if let Ok(length) = timeout(limit, socket.recv(&mut buffer)).await {
            if let Some(addresses) = answer(&buffer[..length?], number, kind) {
                return Ok(addresses);
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as DNS does"));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn question(number: [u8; 2], name: &str, kind: Kind) -> Vec<u8> {
    // Recursion is asked for, of one question.
    let mut message = vec![number[0], number[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.number().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    message
}

/// The addresses of an answer; `None` if it is none, or another's.
fn answer(message: &[u8], number: [u8; 2], kind: Kind) -> Option<Vec<IpAddr>> {
    let short = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let is_answer = message.get(..2)? == number && message.get(2)? & 0x80 != 0;
    if !is_answer {
        return None;
    }
    let code = message.get(3)? & 0x0f;
    if code != 0 {
        // No such name, or it cannot tell: there is no address either way.
        return Some(Vec::new());
    }
    let (questions, answers) = (short(4)?, short(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = behind_name(message, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        at = behind_name(message, at)?;
        let (found, length) = (short(at)?, usize::from(short(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        // Others are aliases on the way there.
        if found == kind.number() {
            addresses.push(match kind {
                Kind::A => IpAddr::from(<[u8; 4]>::try_from(data).ok()?),
                Kind::Aaaa => IpAddr::from(<[u8; 16]>::try_from(data).ok()?),
            });
        }
        at += 10 + length;
    }
    Some(addresses)
}

/// Where what follows a name begins.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..LABELS {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let asked = question([1, 2], "r.corp", Kind::A);
        assert_eq!(
            asked,
            [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'r', 4][..], b"corp", &[0, 0, 1, 0, 1]].concat()
        );
        // An alias first, then the address, both with a pointer for their names.
        let mut said = asked.clone();
        said[2..4].copy_from_slice(&[0x81, 0x80]);
        said[7] = 2;
        said.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 30, 0, 4, 1, b'x', 0xc0, 14]);
        said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 0, 0, 5]);
        assert_eq!(answer(&said, [1, 2], Kind::A), Some(vec!["10.0.0.5".parse().unwrap()]));
        assert_eq!(answer(&said, [1, 3], Kind::A), None);
        assert_eq!(answer(&asked, [1, 2], Kind::A), None);
        for length in 0..said.len() {
            assert_eq!(answer(&said[..length], [1, 2], Kind::A), None, "{length}");
        }
        let mut unknown = asked;
        unknown[2..4].copy_from_slice(&[0x81, 0x83]);
        assert_eq!(answer(&unknown, [1, 2], Kind::Aaaa), Some(Vec::new()));
    }

    #[tokio::test]
    async fn a_server_is_asked_again_and_may_be_silent() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let limit = Duration::from_millis(100);
        assert_eq!(ask(address, "a.corp", Kind::A, limit).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut buffer = [0; 512];
        for _ in 0..TRIES {
            server.recv_from(&mut buffer).await.unwrap();
        }
        let answered = tokio::spawn(async move {
            // The first is lost.
            server.recv_from(&mut buffer).await.unwrap();
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            buffer[2] |= 0x80;
            buffer[7] = 1;
            let data = [0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 30, 0, 16];
            let address = "fd00::5".parse::<Ipv6Addr>().unwrap().octets();
            server.send_to(&[&buffer[..length], &data, &address].concat(), from).await.unwrap();
        });
        let found = ask(address, "a.corp", Kind::Aaaa, limit).await.unwrap();
        assert_eq!(found, ["fd00::5".parse::<IpAddr>().unwrap()]);
        answered.await.unwrap();
    }
}
