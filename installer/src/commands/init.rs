use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

use ferry_bundle::Bundle;
use ferry_bundle::cli::TrustArgs;
use ferry_model::failure::ExitCode;

use crate::Error;
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
    /// Write it to this file, which must not be there yet.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let bundle = match &args.bundle {
        Some(path) => Some(Bundle::open(path, &args.trust.trust()?)?),
        None => None,
    };
    let known = Known {
        catalog: bundle.as_ref().map(Bundle::catalog),
        address: own_address().map(|address| address.to_string()),
        ..Known::default()
    };
    let text = starter(&known);
    match &args.to {
        Some(path) => {
            let mut file = fs::File::create_new(path).map_err(Error::io("creating", path))?;
            file.write_all(text.as_bytes()).map_err(Error::io("writing", path))?;
        }
        None => {
            std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("writing", "standard output"))?
        }
    }
    Ok(ExitCode::Done)
}

/// The address that this machine has towards others. Nothing is sent: a datagram socket only looks up its route.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}
