//! The flags about talking to other hosts, the same on both of Ferry's programs.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::{CaFile, Options};

/// How to talk to other hosts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Talk plain HTTP to this host, as `host` or `host:port`. May be given several times.
    #[arg(long, global = true, value_name = "HOST", env = "FERRY_PLAIN_HTTP", value_delimiter = ',')]
    pub plain_http: Vec<String>,
    /// Trust this PEM file's certificate authorities too, everywhere or, as `HOST=FILE`, for one host.
    #[arg(long, global = true, value_name = "FILE", env = "FERRY_CA_FILE", value_delimiter = ',')]
    pub ca_file: Vec<String>,
    /// Read credentials from this file instead of docker's and podman's own.
    #[arg(long, global = true, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    pub authfile: Option<PathBuf>,
    /// Transfers at once.
    #[arg(long, short, global = true, value_name = "N", default_value_t = 8, env = "FERRY_JOBS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256))]
    pub jobs: usize,
    /// Give up on a connection that is silent for this many seconds, and try again.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 30.0,
        env = "FERRY_STALL_TIMEOUT",
        hide = true
    )]
    pub stall_timeout: f64,
    /// Give up on an answer to an upload's last byte after this many seconds, and try again.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 300.0,
        env = "FERRY_COMMIT_TIMEOUT",
        hide = true
    )]
    pub commit_timeout: f64,
    /// The first pause before trying again, in milliseconds.
    #[arg(
        long,
        global = true,
        value_name = "MS",
        default_value_t = 500,
        env = "FERRY_RETRY_BASE_MS",
        hide = true
    )]
    pub retry_base: u64,
}

impl NetworkArgs {
    /// These flags as the client takes them.
    pub fn options(&self) -> Options {
        let ca_file = |text: &String| match text.split_once('=') {
            Some((host, path)) => CaFile { host: Some(host.to_owned()), path: path.into() },
            None => CaFile { host: None, path: text.into() },
        };
        let seconds = |number: f64| {
            let number = if number.is_nan() { 0.0 } else { number };
            Duration::from_secs_f64(number.clamp(0.01, 86_400.0))
        };
        let mut options = Options {
            plain_http: self.plain_http.clone(),
            ca_files: self.ca_file.iter().map(ca_file).collect(),
            auth_file: self.authfile.clone(),
            connections_per_host: self.jobs,
            stall_timeout: seconds(self.stall_timeout),
            commit_timeout: seconds(self.commit_timeout),
            ..Options::default()
        };
        options.retry.base = Duration::from_millis(self.retry_base);
        options
    }
}
