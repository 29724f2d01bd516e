//! BlueKing's artifact repository: who uploads there, what lies there, and how its trouble is told once and not for each of
//! thousands of files.

mod access;
mod listing;
mod secret;
mod trouble;

use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::{self, RepositoryName};
use ferry_transfer::{Bkrepo, BkrepoProblem, Client, Error, Options, RetryPolicy};
use tokio::sync::Mutex;

pub(crate) use access::login;
pub(crate) use listing::{Found, find, look};
pub(crate) use trouble::Trouble;

use crate::cluster::Target;
use crate::context::{Context, Manner};

/// The site's bkrepo, as this process knows it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Clients by manner. The login behind them is fetched once.
    clients: Mutex<Vec<(Manner, Bkrepo)>>,
    pub(crate) trouble: Trouble,
}

impl Context {
    /// The site's bkrepo, with the login that the site file names.
    pub(crate) async fn bkrepo(&self, manner: Manner) -> Result<Bkrepo, Failed> {
        let Some(section) = &self.site.site.bkrepo else {
            return Err(Failed::because(Class::Input, "the site file has no `bkrepo`")
                .hint("`bkrepo: {url: …, login: {user: …, password: …}}` says which one it is"));
        };
        let mut clients = self.bkrepos.clients.lock().await;
        if let Some((_, known)) = clients.iter().find(|(known, _)| *known == manner) {
            return Ok(known.clone());
        }
        let target = Target::of(&self.site);
        let login = login(section, &self.secrets, &self.clusters, &target).await?;
        let made =
            Client::new(self.bkrepo_options(manner)).and_then(|client| client.bkrepo(&section.url, login));
        let made = made.map_err(|error| Failed::new(&error))?;
        clients.push((manner, made.clone()));
        Ok(made)
    }

    /// The same, for what a plan says of the bkrepo at `url`.
    pub(crate) async fn bkrepo_at(&self, url: &str, manner: Manner) -> Result<Bkrepo, Failed> {
        match &self.site.site.bkrepo {
            Some(section) if section.url == url => self.bkrepo(manner).await,
            _ => {
                let message = format!("bkrepo at {url} is no longer that of the site file");
                Err(Failed::because(Class::Input, message)
                    .hint(format!("say `bkrepo: {{url: \"{url}\"}}` again")))
            }
        }
    }

    fn bkrepo_options(&self, manner: Manner) -> Options {
        let mut options = self.options.clone();
        options.connections_per_host = self.transfers();
        if manner == Manner::Brief {
            options.connect_timeout = options.connect_timeout.min(Duration::from_secs(3));
            options.stall_timeout = options.stall_timeout.min(Duration::from_secs(10));
            options.retry = RetryPolicy { retries: 0, ..options.retry };
        }
        options
    }
}

/// Why something failed, with what to try.
pub(crate) fn explained(error: &Error, access: Option<&site::Access>) -> Failed {
    let failed = Failed::new(error);
    match (problem(error), access) {
        (Some(BkrepoProblem::Unauthenticated | BkrepoProblem::Denied), Some(site::Access::Anonymous)) => Failed {
            hints: vec![
                "say in the site file who uploads: `bkrepo: {login: {user: …, password: …}}`, or `paasSecret: {}` for PaaS's own login".into(),
            ],
            ..failed
        },
        _ => failed,
    }
}

/// What bkrepo's refusal means, where it is one.
pub(crate) fn problem(error: &Error) -> Option<BkrepoProblem> {
    match error {
        Error::Bkrepo(error) => Some(error.problem),
        _ => None,
    }
}

/// Why something cannot be seen, with the first thing to try: plans show no more.
pub(crate) fn reason(failed: &Failed) -> String {
    match failed.hints.first() {
        Some(hint) => format!("{}; {hint}", failed.message),
        None => failed.message.clone(),
    }
}

/// A place in bkrepo, for people.
pub(crate) fn place(repository: &RepositoryName, path: &str) -> String {
    format!("{repository}{path}")
}
