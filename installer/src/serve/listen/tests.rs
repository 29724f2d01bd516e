use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};

use super::*;
use crate::serve::testing::{Said, Sample};

struct Running {
    folder: tempfile::TempDir,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    said: Arc<Said>,
}

async fn start(change: impl FnOnce(&mut ServeOptions, &Path)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Sample::new().build(&folder.path().join("a.ferry.tar.zst"));
    let mut options = ServeOptions::new("127.0.0.1:0".parse().unwrap());
    options.access_log = AccessLog::On;
    change(&mut options, folder.path());
    let said = Arc::new(Said::default());
    let events = Events::new(said.clone());
    let server = Server::bind(vec![bundle], options, &events).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async { drop(stopped.await) }));
    Running { folder, address, stop, ended, said }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn answers_logs_and_stops() {
    let running = start(|_, _| {}).await;
    let answer = ask(TcpStream::connect(running.address).await.unwrap(), "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    // An idle connection does not keep the server up.
    let idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), running.ended).await.unwrap().unwrap();
    drop(idle);
    assert!(TcpStream::connect(running.address).await.is_err());
    let said = running.said.text();
    assert!(said.contains(&format!("serving 1 bundle at http://{}", running.address)), "{said}");
    assert!(
        said.contains("127.0.0.1 - - [") && said.contains(r#" +0000] \"GET /healthz HTTP/1.1\" 200 3"#),
        "{said}"
    );
}

#[tokio::test]
async fn the_log_names_who_was_let_in_and_nobody_else() {
    let running = start(|options, folder| {
        let path = folder.join("users");
        std::fs::write(&path, crate::htpasswd::entry("adm in", "right").unwrap()).unwrap();
        options.htpasswd = Some(path);
    })
    .await;
    for (login, expected) in [("adm in:right", "127.0.0.1 - adm_in ["), ("adm in:wrong", "127.0.0.1 - - [")] {
        let encoded = BASE64.encode(login);
        let path = format!("/healthz HTTP/1.1\r\nauthorization: Basic {encoded}\r\nx: y");
        ask(TcpStream::connect(running.address).await.unwrap(), &path).await;
        let said = running.said.text();
        assert!(said.contains(expected) && !said.contains("right") && !said.contains("wrong"), "{said}");
    }
}

#[test]
fn the_time_of_a_line_is_as_web_servers_write_it() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(971_211_336);
    assert_eq!(log_time(time), "10/Oct/2000:20:55:36 +0000");
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own() {
    let running = start(|options, folder| {
        let names = vec!["registry.corp".to_owned()];
        options.tls = Tls::Generated { names, directory: folder.join("tls") };
    })
    .await;
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(running.folder.path().join("tls/ca.crt")).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for (name, good) in [("registry.corp", true), ("127.0.0.1", true), ("other.corp", false)] {
        let name = ServerName::try_from(name).unwrap();
        let connected = connector.connect(name, TcpStream::connect(running.address).await.unwrap()).await;
        assert_eq!(connected.is_ok(), good);
        if let Ok(stream) = connected {
            let answer = ask(stream, "/").await;
            assert!(answer.contains("data-scheme=\"https\""), "{answer}");
        }
    }
    assert!(running.said.text().contains("clients must trust"));
}

#[tokio::test]
async fn many_slow_clients_do_not_stop_the_small_answers() {
    let running = start(|options, _| options.max_streams = 2).await;
    let layer = ferry_model::Digest::of(&Sample::new().blobs["layer"].0);
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let request = format!("GET /v2/library/registry/blobs/{layer} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    sleep(Duration::from_millis(200)).await;
    let manifest =
        ask(TcpStream::connect(running.address).await.unwrap(), "/v2/library/registry/manifests/2");
    let manifest = timeout(Duration::from_secs(5), manifest).await.unwrap();
    assert!(manifest.starts_with("HTTP/1.1 200"), "{manifest}");
    // Each gets its turn as those before it read on.
    let read = slow.into_iter().map(async |mut stream| {
        let mut body = vec![0; Sample::new().blobs["layer"].0.len()];
        stream.read_exact(&mut body).await
    });
    let all = timeout(Duration::from_secs(20), futures_util::future::join_all(read)).await.unwrap();
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_taken_port_is_told_with_a_hint() {
    use ferry_model::failure::{Class, Failure};
    let running = start(|_, _| {}).await;
    let bundle = Sample::new().build(&running.folder.path().join("b.ferry.tar.zst"));
    let error =
        Server::bind(vec![bundle], ServeOptions::new(running.address), &Events::none()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listening on {}", running.address));
    assert_eq!(error.class(), Class::Local);
    assert!(error.hints()[0].contains("another program listens there"), "{:?}", error.hints());
    let none = Server::bind(vec![], ServeOptions::new(running.address), &Events::none()).await.unwrap_err();
    assert_eq!(none.class(), Class::Usage);
}
