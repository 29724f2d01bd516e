//! A cable from this host into a network namespace that has no other way out.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::daemon::Watchdog;
use super::tool;

/// Names that are tried before giving up; some may be taken by tests of another process.
const ATTEMPTS: u32 = 64;

/// A cable; the namespace goes when it is dropped, and both ends of the cable with it.
#[derive(Debug)]
pub(super) struct Cable {
    /// The namespace's name.
    pub(super) namespace: String,
    /// This host's address on it.
    pub(super) host: Ipv4Addr,
    /// Another address of this host.
    pub(super) second_host: Ipv4Addr,
    /// The address of the namespace.
    pub(super) far: Ipv4Addr,
    _watchdog: Watchdog,
}

impl Cable {
    /// Lays one to a new namespace.
    pub(super) fn lay() -> Result<Self> {
        let (link, namespace) = claim()?;
        let (host_end, far_end) = (format!("ferryh{link}"), format!("ferryn{link}"));
        let watchdog =
            Watchdog::new(&format!("ip link del {host_end}; sleep 0.1; ip netns del {namespace}"))?;
        // 198.18.0.0/15 is set aside for tests of networks (RFC 2544); dockerd trusts only 127.0.0.0/8 by itself.
        let network = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + link * 8;
        let [host, second_host, far] = [1, 3, 2].map(|number| Ipv4Addr::from(network + number));
        let ip = |arguments: &[&str]| tool("ip", arguments);
        ip(&["link", "add", &host_end, "type", "veth", "peer", "name", &far_end, "netns", &namespace])?;
        for host in [host, second_host] {
            ip(&["addr", "add", &format!("{host}/29"), "dev", &host_end])?;
        }
        ip(&["link", "set", &host_end, "up"])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        ip(&["-n", &namespace, "addr", "add", &format!("{far}/29"), "dev", &far_end])?;
        ip(&["-n", &namespace, "link", "set", &far_end, "up"])?;
        Ok(Self { namespace, host, second_host, far, _watchdog: watchdog })
    }
}

/// Makes a namespace whose number nobody else has.
fn claim() -> Result<(u32, String)> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let mut attempt = 0;
    loop {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let link = (std::process::id() * 8 + number) % (1 << 14);
        let namespace = format!("ferry-{link}");
        match tool("ip", &["netns", "add", &namespace]) {
            Ok(()) => return Ok((link, namespace)),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}
