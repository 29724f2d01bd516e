//! Accepting connections, and ending them: nobody holds one for ever.

mod stalling;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{Request, StatusCode};
use ferry_bundle::Bundle;
use ferry_model::event::Events;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::error::ServeError;
use super::library::Library;
use super::login::{self, Door};
use super::options::{AccessLog, ServeOptions, Tls};
use super::router::{Shared, router};
use super::tls;
use stalling::Stalling;

/// A client may keep its connection open without a request for this long.
const IDLE: Duration = Duration::from_secs(75);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long downloads may go on after a shutdown was asked for.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `bundles` until `shutdown` is done.
pub async fn serve(
    bundles: Vec<Bundle>,
    options: ServeOptions,
    events: &Events,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Server::bind(bundles, options, events).await?.run(shutdown).await;
    Ok(())
}

/// A server that listens, and answers once it [runs](Server::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    options: ServeOptions,
    events: Events,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Merges the bundles, prepares TLS, and listens.
    pub async fn bind(
        bundles: Vec<Bundle>,
        options: ServeOptions,
        events: &Events,
    ) -> Result<Self, ServeError> {
        if bundles.is_empty() {
            return Err(ServeError::NoBundle);
        }
        for bundle in &bundles {
            let (catalog, path) = (bundle.catalog(), bundle.path().display());
            if !catalog.is_complete() {
                let missing = match catalog.missing.len() {
                    1 => "1 of its entries is".to_owned(),
                    more => format!("{more} of its entries are"),
                };
                events.warn(format!("{path} is incomplete: {missing} missing"));
            }
        }
        let (library, conflicts) = Library::new(bundles);
        for conflict in conflicts {
            events.warn(conflict);
        }
        let tls = prepare_tls(&options, events)?;
        let door = options.htpasswd.as_deref().map(|path| Door::open(path, events)).transpose()?;
        if door.is_some() && tls.is_none() && !options.listen.ip().is_loopback() {
            events.warn("passwords travel readable for all on the way: serve with TLS too");
        }
        let error = |source| ServeError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let count = library.bundles().len();
        let what = if count == 1 { "1 bundle".to_owned() } else { format!("{count} bundles") };
        events.note(format!("serving {what} at {scheme}://{address}"));
        let router = router(Shared::new(library, &options, events), door);
        Ok(Self { listener, address, router, tls, options, events: events.clone() })
    }

    /// The address that it listens on, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` is done, then lets downloads go on for some seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let connections = Arc::new(Semaphore::new(self.options.max_connections.max(1)));
        let (stop, stopping) = watch::channel(());
        let mut shutdown = std::pin::pin!(shutdown);
        let server = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = server.accept(&connections) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let (server, stopping) = (Arc::clone(&server), stopping.clone());
                    tokio::spawn(async move {
                        server.connection(stream, peer, stopping).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of files or memory: accepting again at once would only burn the processor.
                    server.events.warn(format!("accepting a connection failed: {error}"));
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        drop(stopping);
        // No connection may be open to hear it.
        let _ = stop.send(());
        let _ = timeout(GRACE, stop.closed()).await;
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(connections).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, peer, permit))
    }

    /// Serves one connection to its end. What a client does wrong ends its connection and nothing else.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, mut stopping: watch::Receiver<()>) {
        // Heads and small bodies should not wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let stream = Stalling::new(stream);
        match &self.tls {
            None => self.http(stream, peer, &mut stopping).await,
            Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, peer, &mut stopping).await,
                Ok(Err(error)) => self.log(peer, None, || format!("TLS: {error}")),
                Err(_) => self.log(peer, None, || "TLS: no handshake in time".to_owned()),
            },
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        stopping: &mut watch::Receiver<()>,
    ) {
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let asked = (self.options.access_log == AccessLog::On).then(|| {
                (request.method().clone(), request.uri().clone(), request.version(), self.user(&request))
            });
            let answer = router.call(request);
            async move {
                let answer = answer.await;
                if let (Some((method, uri, version, user)), Ok(response)) = (asked, &answer) {
                    let (status, size) = (response.status().as_u16(), response.body().size_hint().exact());
                    let size = response
                        .headers()
                        .get("content-length")
                        .and_then(|size| size.to_str().ok())
                        .map_or_else(
                            || size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                            str::to_owned,
                        );
                    // Who was not let in is nobody.
                    let user = user.filter(|_| response.status() != StatusCode::UNAUTHORIZED);
                    self.log(peer, user, || format!("\"{method} {uri} {version:?}\" {status} {size}"));
                }
                answer
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(64 << 10);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            self.log(peer, None, || format!("connection ended: {error}"));
        }
    }

    /// As whom a request comes, where anybody is asked.
    fn user(&self, request: &Request<Incoming>) -> Option<String> {
        self.options.htpasswd.as_ref().and_then(|_| login::user(request.headers()))
    }

    /// Notes it as web servers do (the common log format), so that what reads their logs reads this one.
    fn log(&self, peer: SocketAddr, user: Option<String>, what: impl FnOnce() -> String) {
        if self.options.access_log == AccessLog::On {
            let user = user.map_or_else(|| "-".to_owned(), |user| user.replace([' ', '"'], "_"));
            self.events.note(format!("{} - {user} [{}] {}", peer.ip(), log_time(SystemTime::now()), what()));
        }
    }
}

/// `21/Nov/2026:18:43:39 +0000`.
fn log_time(now: SystemTime) -> String {
    let text = httpdate::fmt_http_date(now);
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => text,
    }
}

fn prepare_tls(options: &ServeOptions, events: &Events) -> Result<Option<TlsAcceptor>, ServeError> {
    match &options.tls {
        Tls::None => Ok(None),
        Tls::Files { certificate, key } => tls::acceptor(certificate, key).map(Some),
        Tls::Generated { names, directory } => {
            let mut names = names.clone();
            if !options.listen.ip().is_unspecified() {
                names.push(options.listen.ip().to_string());
            }
            let files = tls::generate(directory, &names, SystemTime::now())?;
            let authority = files.authority.display();
            events.note(format!(
                "clients must trust {authority}: docker: /etc/docker/certs.d/HOST:PORT/ca.crt; containerd: `ca` in \
                 /etc/containerd/certs.d/HOST:PORT/hosts.toml; curl: --cacert; helm: --ca-file"
            ));
            tls::acceptor(&files.certificate, &files.key).map(Some)
        }
    }
}

#[cfg(test)]
mod tests;
