//! What every look at the site and every change to it shares.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::event::Events;
use ferry_model::report::Failed;
use ferry_transfer::{Client, Login, Options, RetryPolicy};

use crate::cluster;
use crate::site::{Secrets, SiteFile};

/// What every look at the site and every change to it shares.
#[derive(Debug)]
pub struct Context {
    /// The bundle; absent for `rollback` and `status`, which need none.
    pub bundle: Option<Bundle>,
    /// The site.
    pub site: SiteFile,
    /// Fetches passwords.
    pub secrets: Secrets,
    /// Connections to the cluster.
    pub clusters: cluster::Clusters,
    /// The site's bkrepo.
    pub(crate) bkrepos: crate::bkrepo::Connections,
    /// Helm repositories that charts go to.
    pub(crate) helm: crate::helm::Connections,
    /// Told what happens.
    pub events: Events,
    /// Commands on nodes.
    pub(crate) fleet: crate::fleet::Fleet,
    /// What runs before this one asked of nodes.
    pub(crate) previous: crate::resources::Previous,
    pub(crate) options: Options,
    clients: Mutex<Vec<(Manner, Option<Digest>, Client)>>,
}

/// How patiently a registry is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As transfers are: with all retries.
    Patient,
    /// For a look: an answer within seconds, or none.
    Brief,
}

impl Context {
    /// For a site; `options` are the command line's.
    pub fn new(site: SiteFile, bundle: Option<Bundle>, options: Options, events: Events) -> Self {
        let cluster = cluster::Target::of(&site);
        let secrets = Secrets::new(site.folder(), cluster);
        let fleet = crate::fleet::Fleet::new(&site.state_folder());
        Self {
            bundle,
            site,
            secrets,
            clusters: cluster::Clusters::default(),
            bkrepos: crate::bkrepo::Connections::default(),
            helm: crate::helm::Connections::default(),
            events,
            fleet,
            previous: crate::resources::Previous::default(),
            options,
            clients: Mutex::default(),
        }
    }

    /// The bundle, for resources that come out of one.
    pub fn bundle(&self) -> Result<&Bundle, Failed> {
        self.bundle.as_ref().ok_or_else(|| {
            Failed::because(ferry_model::failure::Class::Usage, "this needs the bundle")
                .hint("name it on the command line")
        })
    }

    /// A path of the site file, absolute.
    pub fn absolute(&self, path: impl Into<PathBuf>) -> PathBuf {
        self.site.absolute(&path.into())
    }

    /// A client for the site's registry, which trusts its authority as that is now.
    pub async fn client(&self, manner: Manner) -> Result<Client, Failed> {
        let authority = self.authority();
        let known = self.lock().iter().find(|known| (known.0, known.1) == (manner, authority)).cloned();
        if let Some((_, _, client)) = known {
            return Ok(client);
        }
        let mut options = self.site.network(self.options.clone());
        if let Some(registry) = &self.site.site.registry
            && let Some(login) = &registry.login
        {
            let (user, password) = (login.user.clone(), self.secrets.get(&login.password).await?);
            let login = Login { user, password: password.reveal().to_owned() };
            options.logins.insert(registry.address.to_string(), login);
        }
        if let Some(transfers) = self.site.site.limits.transfers {
            options.connections_per_host = transfers.max(1);
        }
        if manner == Manner::Brief {
            options.connect_timeout = Duration::from_secs(3);
            options.stall_timeout = Duration::from_secs(5);
            options.retry = RetryPolicy { retries: 0, ..RetryPolicy::default() };
        }
        let client = Client::new(options).map_err(|error| Failed::new(&error))?;
        self.lock().push((manner, authority, client.clone()));
        Ok(client)
    }

    /// The authority of the site's registry, as it is now.
    pub(crate) fn authority(&self) -> Option<Digest> {
        self.site.authority().and_then(|path| std::fs::read(path).ok()).map(|text| Digest::of(&text))
    }

    /// Transfers at once.
    pub fn transfers(&self) -> usize {
        self.site.site.limits.transfers.unwrap_or(self.options.connections_per_host).max(1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Manner, Option<Digest>, Client)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
