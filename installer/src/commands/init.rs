use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use ferry_bundle::Bundle;
use ferry_bundle::cli::TrustArgs;
use ferry_model::event::Events;
use ferry_model::failure::ExitCode;

use super::{Global, block_on};
use crate::Error;
use crate::cluster::{Node, Target};
use crate::starter::{Known, starter};

/// Print a commented site file to start from, filled in from the bundle and the cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer init bundle.ferry.tar.zst -o site.yaml\n  KUBECONFIG=/root/.kube/config ferry-installer init bundle.ferry.tar.zst"
)]
pub(super) struct Args {
    /// The bundle that the site file is for.
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Look at this cluster. Default: `KUBECONFIG`, then `~/.kube/config`, where there is one.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Write it to this file, which must not be there yet.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = match &args.bundle {
        Some(path) => Some(args.trust.open(path, &global.output)?),
        None => None,
    };
    let (events, guard) = global.output.renderer();
    let found = block_on(look(args, &events))?;
    drop(guard);
    let (cluster, nodes) = found.unwrap_or_default();
    let known = Known {
        catalog: bundle.as_ref().map(Bundle::catalog),
        address: own_address().map(|address| address.to_string()),
        cluster: (!cluster.1.is_empty()).then_some(cluster),
        nodes,
    };
    let text = starter(&known);
    match &args.to {
        Some(path) => {
            create(path, &text)?;
            let bundle = args.bundle.as_deref().unwrap_or(Path::new("BUNDLE")).display();
            let path = path.display();
            global.output.print(&serde_json::json!({"siteFile": path.to_string()}), || {
                format!("{path} written; edit it, then: ferry-installer plan {bundle} --site {path}")
            });
        }
        None => global.output.print(&serde_json::json!({"text": text}), || text.clone()),
    }
    Ok(ExitCode::Done)
}

/// Nobody's site file is written over.
fn create(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = fs::File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::State {
            problem: format!("{} is there already, and is not written over", path.display()),
            hint: "name another file by -o, or move that one away".into(),
        },
        _ => Error::io("creating", path)(error),
    })?;
    file.write_all(text.as_bytes()).map_err(Error::io("writing", path))
}

/// A cluster's kubeconfig and version, and its nodes.
type Found = ((String, String), Vec<(String, Option<String>)>);

/// Looks at the cluster where there is a kubeconfig. One that does not answer is only worth a warning, unless it was named.
async fn look(args: &Args, events: &Events) -> Result<Option<Found>, Error> {
    let default = || {
        let named = std::env::var_os("KUBECONFIG").map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
    };
    let Some(path) =
        args.kubeconfig.clone().or_else(default).filter(|path| args.kubeconfig.is_some() || path.exists())
    else {
        return Ok(None);
    };
    let target = Target { kubeconfig: Some(path.clone()), context: None };
    let seen = async { target.connect().await?.summary().await }.await;
    match seen {
        Ok(summary) => {
            let address = |node: &Node| (node.name.clone(), node.addresses.first().cloned());
            let nodes = summary.nodes.iter().map(address).collect();
            Ok(Some(((path.display().to_string(), summary.version), nodes)))
        }
        Err(failed) if args.kubeconfig.is_some() => Err(failed.into()),
        Err(failed) => {
            events.warn(format!("the cluster of {} is left out: {failed}", path.display()));
            Ok(None)
        }
    }
}

/// The address that this machine has towards others. Nothing is sent: a datagram socket only looks up its route.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}
