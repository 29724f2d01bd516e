//! Proof that the cluster's DNS answers: each of its servers is asked for each name, over DNS itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ferry_model::failure::Class;
use ferry_model::plan::ClusterNames;
use ferry_model::report::Failed;
use serde_json::Value;
use tokio::time::sleep;

use super::source::LABEL;
use crate::cluster::{Cluster, Kind, SYSTEM};
use crate::context::Context;
use crate::dns::{self, Kind as Record};

/// How long it may take: a node's copy of a ConfigMap is up to a minute old, CoreDNS looks at it each 30 seconds, with some more by
/// chance, and what it answered before is kept by others for 30 seconds.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);
/// How long a server may take for an answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What a server says.
enum Said {
    Right,
    /// The name, and what it says of it.
    Wrong(String),
    /// It cannot be reached from here.
    Nothing,
}

/// Asks until all servers that can be reached answer for all names. Those that cannot are told.
pub(super) async fn prove(context: &Context, cluster: &Cluster, names: &ClusterNames) -> Result<(), Failed> {
    let namespace = names.config_map.as_ref().map_or(SYSTEM, |name| name.namespace());
    let servers = servers(cluster, namespace).await?;
    if servers.is_empty() {
        context.events.warn("not proven that the cluster's DNS answers: it has no server that is ready");
        return Ok(());
    }
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        let (mut wrong, mut silent, mut right) = (None, 0, 0);
        for server in &servers {
            match ask(*server, names).await {
                Said::Right => right += 1,
                Said::Wrong(how) => wrong = Some(how),
                Said::Nothing => silent += 1,
            }
        }
        let (is_late, count) = (begun.elapsed() >= PATIENCE, servers.len());
        match wrong {
            Some(how) if is_late => {
                let message = format!(
                    "the cluster's DNS does not answer as it shall, {} s after its Corefile was changed: {how}",
                    PATIENCE.as_secs()
                );
                return Err(Failed::because(Class::Verification, message).hint(format!(
                    "`{} -n {namespace} logs -l {LABEL}` says whether CoreDNS took the Corefile",
                    cluster.kubectl()
                )));
            }
            None if right > 0 => {
                if silent > 0 {
                    context.events.warn(format!("{silent} of {count} DNS servers of the cluster cannot be asked from here; the others answer for all names"));
                }
                return Ok(());
            }
            None if is_late => return Ok(()),
            None if !is_told => {
                is_told = true;
                context.events.warn(format!(
                    "not proven that the cluster's DNS answers: none of its {count} servers can be asked from here; it is given {} s to take the names up",
                    PATIENCE.as_secs()
                ));
            }
            _ => {}
        }
        sleep(PAUSE).await;
    }
}

async fn ask(server: SocketAddr, names: &ClusterNames) -> Said {
    for (name, wanted) in names.names.iter().filter(|(name, _)| name.ip().is_none()) {
        for kind in [Record::A, Record::Aaaa] {
            let wanted: BTreeSet<IpAddr> =
                wanted.iter().copied().filter(|address| kind.fits(*address)).collect();
            if wanted.is_empty() {
                continue;
            }
            match dns::ask(server, name.as_str(), kind, ANSWER).await {
                Ok(found) if found.iter().copied().collect::<BTreeSet<_>>() == wanted => {}
                Ok(found) => {
                    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                    let found = if found.is_empty() { "no address".to_owned() } else { found.join(" and ") };
                    return Said::Wrong(format!("{server} says that {name} is {found}"));
                }
                Err(_) => return Said::Nothing,
            }
        }
    }
    Said::Right
}

/// The addresses that the DNS servers' Service leads to.
async fn servers(cluster: &Cluster, namespace: &str) -> Result<Vec<SocketAddr>, Failed> {
    let kind = Kind::known("v1", "Endpoints").expect("endpoints are a known kind");
    let all = match cluster.list(&kind, namespace, LABEL).await {
        Ok(all) => all,
        // It is only for the proof.
        Err(failed) if matches!(failed.class, Class::NotFound | Class::Denied) => Vec::new(),
        Err(failed) => return Err(failed),
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut servers = BTreeSet::new();
    for subset in all.iter().flat_map(|endpoints| list(&endpoints["subsets"])) {
        let is_dns = |port: &Value| port["protocol"] == "UDP";
        let port = list(&subset["ports"])
            .into_iter()
            .find(is_dns)
            .and_then(|port| u16::try_from(port["port"].as_u64()?).ok());
        let addresses = list(&subset["addresses"]);
        let addresses = addresses.iter().filter_map(|address| address["ip"].as_str()?.parse::<IpAddr>().ok());
        servers.extend(addresses.map(|address| SocketAddr::new(address, port.unwrap_or(53))));
    }
    Ok(servers.into_iter().collect())
}
