//! What all fakes share: one runtime for the process, and a listener that ends with its handle.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The runtime that fakes run on. Tests themselves are synchronous.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime needs only threads and a poller")
    })
}

/// A server under way on a port of its own; it stops when dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Binds a free port of 127.0.0.1 and runs what `serve` makes of it.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl FnOnce(TcpListener) -> F,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), serve).expect("a free port can be had on loopback")
    }

    fn start_at<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        serve: impl FnOnce(TcpListener) -> F,
    ) -> Result<Self> {
        let listener = runtime().block_on(TcpListener::bind(address)).with_context(|| address.to_string())?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: runtime().spawn(serve(listener)) })
    }

    /// Runs an axum router.
    pub(crate) fn router(router: axum::Router) -> Self {
        Self::start(|listener| serve_router(listener, router))
    }

    /// Runs an axum router at this address.
    pub(crate) fn router_at(address: SocketAddr, router: axum::Router) -> Result<Self> {
        Self::start_at(address, |listener| serve_router(listener, router))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve_router(listener: TcpListener, router: axum::Router) {
    axum::serve(listener, router).await.expect("axum's serve does not return errors");
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
