use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ferry_bundle::cli::TrustArgs;
use ferry_model::failure::ExitCode;

use super::{Global, block_on};
use crate::Error;
use crate::serve::{AccessLog, ServeOptions, Tls, serve};

/// Serve bundles where they lie: a read-only registry, helm repository and file server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer serve bundle.ferry.tar.zst --listen 0.0.0.0:5000\n  ferry-installer serve a.ferry.tar.zst b.ferry.tar.zst \\\n      --tls-generate registry.corp,10.0.0.5 --tls-directory /etc/ferry/tls\n\nA browser finds the contents at the root, with commands to copy."
)]
pub(super) struct Args {
    /// The bundles; where two have the same tag, the later one counts.
    #[arg(required = true)]
    bundles: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Where to listen: an address of this machine with a port, or a port for all of its addresses (`:5000`).
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000", env = "FERRY_LISTEN", value_parser = address)]
    listen: SocketAddr,
    /// Serve HTTPS with this certificate (PEM, with its chain).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate that Ferry makes for these names and addresses.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "tls_cert")]
    tls_generate: Vec<String>,
    /// Where generated authority, certificate and keys are kept.
    #[arg(long, value_name = "FOLDER", default_value = "ferry-tls")]
    tls_directory: PathBuf,
    /// Answer only users of this file, as `htpasswd -B` writes it (bcrypt); it is read again when it changes.
    #[arg(long, value_name = "FILE", env = "FERRY_HTPASSWD")]
    htpasswd: Option<PathBuf>,
    /// Large downloads at once; others wait for their turn.
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    max_streams: usize,
    /// Note each request, as web servers do: client, user, time, request, status, bytes.
    #[arg(long)]
    access_log: bool,
}

/// `10.0.0.5:5000`; `:5000` and `5000` mean all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse().ok();
    let all = port.map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let error = "it is no address with a port, such as `0.0.0.0:5000`, `[::]:5000` or `:5000`";
    all.or_else(|| text.parse().ok()).ok_or_else(|| error.to_owned())
}

impl Args {
    fn tls(&self) -> Tls {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Tls::Files { certificate: certificate.clone(), key: key.clone() }
            }
            _ if self.tls_generate.is_empty() => Tls::None,
            _ => Tls::Generated { names: self.tls_generate.clone(), directory: self.tls_directory.clone() },
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let open = |path: &PathBuf| args.trust.open(path, &global.output);
    let bundles = args.bundles.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut options = ServeOptions::new(args.listen);
    options.tls = args.tls();
    options.htpasswd.clone_from(&args.htpasswd);
    options.max_streams = args.max_streams;
    options.access_log = if args.access_log { AccessLog::On } else { AccessLog::Off };
    let (events, guard) = global.output.renderer();
    block_on(async { Ok(serve(bundles, options, &events, stopped()).await?) })?;
    drop(guard);
    Ok(ExitCode::Done)
}

/// Ends with the first SIGINT or SIGTERM that comes after this call.
fn stopped() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        let mut signal = signal(kind).ok();
        async move {
            match &mut signal {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        }
    };
    let (interrupt, terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    async {
        tokio::select! {
            _ = interrupt => {}
            _ = terminate => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_port_alone_is_of_all_addresses() {
        for (text, expected) in [
            ("10.0.0.5:5000", "10.0.0.5:5000"),
            ("[::]:5000", "[::]:5000"),
            (":5000", "0.0.0.0:5000"),
            ("5000", "0.0.0.0:5000"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for wrong in ["", ":", "nowhere", "10.0.0.5", ":70000", "http://10.0.0.5:5000"] {
            assert!(address(wrong).unwrap_err().contains("0.0.0.0:5000"), "{wrong}");
        }
    }
}
