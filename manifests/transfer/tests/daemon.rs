//! Images out of a docker daemon: a fake one on a socket.

mod support;

use ferry_model::failure::{Class, Failure as _};
use ferry_transfer::{Daemon, Options};
use support::{Follower, Memory};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// Answers each request by its path; connections are not used again.
fn serve(listener: UnixListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a whole head"));
            }
            let head = String::from_utf8(head).expect("text");
            let (status, body) = match head.split(' ').nth(1) {
                Some("/images/busybox:1/json") => (200, r#"{"Id":"sha256:abc","RepoTags":["busybox:1"]}"#),
                Some("/version") => (200, r#"{"Version":"19.03.15","ApiVersion":"1.40"}"#),
                Some("/images/busybox:1/get") => (200, "a tar archive"),
                _ => (404, r#"{"message":"No such image"}"#),
            };
            // As dockerd sends an archive: without saying how long it is.
            let answer = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("the client is there");
        }
    });
}

#[tokio::test]
async fn images_come_out_of_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    serve(UnixListener::bind(&socket).unwrap());
    let daemon = Daemon::at(&format!("unix://{}", socket.display()), &Options::default()).unwrap();
    assert_eq!(daemon.version().await.unwrap(), "19.03.15");
    assert_eq!(daemon.image_id("busybox:1").await.unwrap().as_deref(), Some("sha256:abc"));
    assert_eq!(daemon.image_id("busybox:2").await.unwrap(), None);
    let (mut sink, (follower, task)) = (Memory::default(), Follower::task());
    assert_eq!(daemon.save("busybox:1", &mut sink, &task).await.unwrap(), 13);
    assert_eq!((sink.bytes.as_slice(), follower.done()), (&b"a tar archive"[..], 13));
    assert_eq!(daemon.save("busybox:2", &mut sink, &task).await.unwrap_err().class(), Class::NotFound);
}

#[test]
fn where_there_is_none() {
    for host in ["tcp://10.0.0.1:2375", "unix:///nonexistent/docker.sock"] {
        let error = Daemon::at(host, &Options::default()).unwrap_err();
        assert_eq!(error.class(), Class::Local);
        assert!(error.to_string().contains(host), "{error}");
    }
}
