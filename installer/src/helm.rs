//! Helm repositories that charts go to: each is opened once for as long as the program runs, because opening a plain ChartMuseum reads
//! its whole index; and one that cannot be opened is not tried again for each of hundreds of charts.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_model::plan::{ChartUpload, HelmApi};
use ferry_model::report::Failed;
use ferry_model::site::{HelmPlace, HelmRepository as Place};
use ferry_transfer::{HelmRepository, Login};
use tokio::sync::Mutex;

use crate::context::{Context, Manner};

/// How long one that could not be opened is taken to be as it was.
const HOLDS: Duration = Duration::from_secs(30);

/// How one is talked to, the authority that is trusted, and its URL.
type Key = (Manner, Option<Digest>, String);

/// The helm repositories that were opened, or could not be.
#[derive(Debug, Default)]
pub(crate) struct Connections(std::sync::Mutex<Vec<(Key, Arc<Mutex<Known>>)>>);

#[derive(Debug, Default)]
struct Known {
    open: Option<HelmRepository>,
    /// Since when it cannot be opened, and why.
    shut: Option<(Instant, Failed)>,
}

impl Connections {
    fn get(&self, key: Key) -> Arc<Mutex<Known>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = all.iter().find(|(known, _)| *known == key) {
            return Arc::clone(known);
        }
        let known = Arc::<Mutex<Known>>::default();
        all.push((key, Arc::clone(&known)));
        known
    }
}

impl Context {
    /// Where a chart goes.
    pub(crate) async fn helm_repository(
        &self,
        chart: &ChartUpload,
        manner: Manner,
    ) -> Result<HelmRepository, Failed> {
        let known = self.helm.get((manner, self.authority(), chart.repository.clone()));
        let mut known = known.lock().await;
        if let Some(repository) = &known.open {
            return Ok(repository.clone());
        }
        if let Some((_, failed)) = known.shut.as_ref().filter(|(since, _)| since.elapsed() < HOLDS) {
            return Err(failed.clone());
        }
        match open(self, chart, manner).await {
            Ok(repository) => {
                known.open = Some(repository.clone());
                Ok(repository)
            }
            Err(failed) => {
                known.shut = Some((Instant::now(), failed.clone()));
                Err(failed)
            }
        }
    }
}

async fn open(context: &Context, chart: &ChartUpload, manner: Manner) -> Result<HelmRepository, Failed> {
    let repository = match chart.api {
        HelmApi::Bkrepo => of_bkrepo(context, &chart.repository, manner).await?,
        HelmApi::ChartMuseum => museum(context, &chart.repository, manner).await?,
    };
    repository.open().await.map_err(|error| Failed::new(&error))?;
    Ok(repository)
}

async fn of_bkrepo(context: &Context, url: &str, manner: Manner) -> Result<HelmRepository, Failed> {
    let name = context.site.site.charts.repositories.iter().find_map(|place: &Place| match &place.place {
        HelmPlace::Bkrepo(name) if url.ends_with(&format!("/{name}")) => Some(name),
        HelmPlace::Bkrepo(_) | HelmPlace::ChartMuseum { .. } => None,
    });
    let name = name.ok_or_else(|| gone(url))?;
    context.bkrepo(manner).await?.helm_repository(name).map_err(|error| Failed::new(&error))
}

async fn museum(context: &Context, url: &str, manner: Manner) -> Result<HelmRepository, Failed> {
    let login = context.site.site.charts.repositories.iter().find_map(|place: &Place| match &place.place {
        HelmPlace::ChartMuseum { url: known, login } if known == url => Some(login),
        HelmPlace::ChartMuseum { .. } | HelmPlace::Bkrepo(_) => None,
    });
    let login = match login.ok_or_else(|| gone(url))? {
        Some(login) => {
            let password = context.secrets.get(&login.password).await?;
            Some(Login { user: login.user.clone(), password: password.reveal().to_owned() })
        }
        None => None,
    };
    let client = context.client(manner).await?;
    client.helm_repository(url, HelmApi::ChartMuseum, login.as_ref()).map_err(|error| Failed::new(&error))
}

fn gone(repository: &str) -> Failed {
    Failed::because(
        Class::Input,
        format!("the site file no longer names {repository} under `charts.repositories`"),
    )
    .hint("put it back: who logs in there is said nowhere else")
}
