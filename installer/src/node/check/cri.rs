//! Images of a runtime through its CRI (gRPC on a socket): the way that kubelet pulls, so that what it says is what pods will see.

use std::path::Path;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The second one is all that containerd before 1.6 and CRI-O before 1.20 have.
const VERSIONS: [&str; 2] = ["v1", "v1alpha2"];
const UNIMPLEMENTED: &str = "12";
const CONNECT: Duration = Duration::from_secs(10);
const PULL: Duration = Duration::from_secs(600);

/// A runtime that serves CRI.
#[derive(Debug)]
pub struct Images {
    sender: SendRequest<Bytes>,
    version: &'static str,
}

/// An image, as far as it matters who has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// How many names it has: tags and digests.
    pub names: usize,
}

impl Images {
    /// Connects; `None` where nobody listens, or a containerd without that plug-in.
    pub async fn at(socket: &Path) -> Option<Self> {
        let connected = async {
            let stream = UnixStream::connect(socket).await.ok()?;
            let (sender, connection) = h2::client::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            for version in VERSIONS {
                let images = Self { sender: sender.clone(), version };
                match images.call("ImageStatus", "ferry.invalid/probe:none").await {
                    Err(Refusal { code, .. }) if code == UNIMPLEMENTED => {}
                    _ => return Some(images),
                }
            }
            None
        };
        timeout(CONNECT, connected).await.ok().flatten()
    }

    /// Looks for an image by one of its names.
    pub async fn find(&self, name: &str) -> Result<Option<Image>, Failed> {
        let answer = self.call("ImageStatus", name).await.map_err(Refusal::explain)?;
        let image = fields(&answer).find(|(number, _)| *number == 1).map(|(_, bytes)| bytes);
        // Image: repo_tags = 2, repo_digests = 3
        let names = |image| fields(image).filter(|(number, _)| [2, 3].contains(number)).count();
        Ok(image.map(|image| Image { names: names(image) }))
    }

    /// Pulls an image as a pod's would be, without a login.
    pub async fn pull(&self, name: &str) -> Result<(), Failed> {
        match timeout(PULL, self.call("PullImage", name)).await {
            Ok(answer) => answer.map(drop).map_err(Refusal::explain),
            Err(_) => {
                let message = format!("it took more than {} s", PULL.as_secs());
                Err(Failed::because(Class::Transient, message))
            }
        }
    }

    /// Removes an image with all of its names.
    pub async fn remove(&self, name: &str) -> Result<(), Failed> {
        self.call("RemoveImage", name).await.map(drop).map_err(Refusal::explain)
    }

    /// Each of these calls takes a message whose first field is an `ImageSpec`, whose first field is the name.
    async fn call(&self, method: &str, name: &str) -> Result<Bytes, Refusal> {
        let path = format!("http://localhost/runtime.{}.ImageService/{method}", self.version);
        let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.body(()).expect("these are headers");
        let message = field(&field(name.as_bytes()));
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).expect("a name is short"));
        frame.put_slice(&message);

        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut stream) = sender.send_request(request, false)?;
        stream.send_data(frame.freeze(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await?;
        Refusal::of(trailers.as_ref().unwrap_or(&head.headers))?;
        // One flag and the length stand before the message.
        let head = bytes.len().min(5);
        Ok(bytes.freeze().slice(head..))
    }
}

/// Why a call failed.
#[derive(Debug)]
struct Refusal {
    /// gRPC's; empty where the connection broke.
    code: String,
    message: String,
}

impl Refusal {
    fn of(headers: &HeaderMap) -> Result<(), Self> {
        let get = |name: &str| {
            let value = headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
            percent_decoded(&value)
        };
        match get("grpc-status") {
            good if good == "0" => Ok(()),
            code => Err(Self { code, message: get("grpc-message") }),
        }
    }

    fn explain(self) -> Failed {
        let message: String = self.message.chars().filter(|c| !c.is_control()).take(600).collect();
        Failed::because(Class::Protocol, message)
    }
}

impl From<h2::Error> for Refusal {
    fn from(error: h2::Error) -> Self {
        Self { code: String::new(), message: format!("the connection to the runtime broke: {error}") }
    }
}

fn percent_decoded(bytes: &[u8]) -> String {
    let (mut decoded, mut rest) = (Vec::new(), bytes);
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|code| u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                decoded.push(code);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The first field of a message, of bytes.
fn field(bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![0x0a];
    let mut length = bytes.len();
    while length > 0x7f {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
    message
}

/// The fields of a message that are bytes, with their numbers, up to the first that makes no sense.
fn fields(message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let tag = number(&mut rest)?;
            let bytes = match tag & 7 {
                0 => {
                    number(&mut rest)?;
                    continue;
                }
                1 => take(&mut rest, 8).map(|_| None)?,
                2 => {
                    let length = usize::try_from(number(&mut rest)?).ok()?;
                    Some(take(&mut rest, length)?)
                }
                5 => take(&mut rest, 4).map(|_| None)?,
                _ => return None,
            };
            if let Some(bytes) = bytes {
                return Some((tag >> 3, bytes));
            }
        }
    })
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let long = "x".repeat(300);
        assert_eq!(field(b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(fields(&field(long.as_bytes())).collect::<Vec<_>>(), [(1, long.as_bytes())]);
        // A number, eight bytes and four bytes are passed over.
        let mixed = [&[0x20, 0x96, 0x01, 0x29], &[0; 8][..], &[0x35, 0, 0, 0, 0], &[0x12, 1, b't']].concat();
        assert_eq!(fields(&mixed).collect::<Vec<_>>(), [(2, &b"t"[..])]);
        for cut in 0..mixed.len() {
            assert!(fields(&mixed[..cut]).count() == 0, "{cut}");
        }
        assert_eq!(fields(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).count(), 0);
    }

    #[test]
    fn refusals() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |&(name, value): &(&'static str, &'static str)| {
                (name.parse().unwrap(), value.parse().unwrap())
            };
            pairs.iter().map(pair).collect()
        };
        Refusal::of(&headers(&[("grpc-status", "0")])).unwrap();
        let refusal =
            Refusal::of(&headers(&[("grpc-status", "5"), ("grpc-message", "no %22x%22: 100%")])).unwrap_err();
        assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("5", "no \"x\": 100%"));
        assert!(Refusal::of(&headers(&[])).is_err(), "an answer without a status is none");
    }

    #[tokio::test]
    async fn where_nobody_listens_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Images::at(&folder.path().join("socket")).await.is_none());
    }
}
