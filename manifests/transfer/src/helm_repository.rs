//! Helm repositories that take uploads: ChartMuseum's interface, which Harbor (`…/chartrepo/PROJECT`) has too, and
//! bkrepo's, which differs in its paths alone.
//!
//! What is there is read from `index.yaml`, once for all charts: it is what helm goes by. One chart is asked for at the
//! interface, which knows it before the index does. Where that interface is, a plain ChartMuseum says in its index: it is read once for
//! as long as there are clones of one [`HelmRepository`].

mod error;
mod form;
mod index;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::plan::HelmApi;
use http::{HeaderName, HeaderValue, Method, header};
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::{Access, basic_header};
use crate::bridge::Part;
use crate::client::web_access;
use crate::exchange::{Call, Identity, Payload};
use crate::{BlobSource, Client, Error, Login, Overwrite, Uploaded};

use form::Form;

pub use error::{HelmRepositoryError, HelmRepositoryProblem};
pub use index::Charts;

/// On whose behalf a platform account of bkrepo acts.
const USER: HeaderName = HeaderName::from_static("x-bkrepo-uid");
/// The pauses before each look at what became of an upload.
const CONFIRM: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// What charts are found by.
const INDEX: &str = "index.yaml";
/// The most that an index may take: large ones have tens of megabytes.
const MOST_INDEX: u64 = 64 << 20;
/// The most that any other answer may take.
const MOST: u64 = 4 << 20;

/// A helm repository. A clone is the same one.
#[derive(Clone, Debug)]
pub struct HelmRepository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// As helm knows it, without `/` at its end.
    base: Url,
    api: HelmApi,
    access: Access,
    identity: Identity,
    user: Option<HeaderValue>,
    /// What precedes ChartMuseum's own paths, as its index says.
    context: OnceCell<String>,
}

/// A chart to be uploaded.
pub struct ChartArchive<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The archive's digest.
    pub digest: Digest,
    /// The archive's bytes.
    pub size: u64,
    /// The archive.
    pub source: Arc<dyn BlobSource>,
    /// The provenance file.
    pub provenance: Option<Bytes>,
    /// What happens to that version with other content.
    pub overwrite: Overwrite,
}

impl std::fmt::Debug for ChartArchive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChartArchive({} {} {} {:?})", self.name, self.version, self.digest, self.overwrite)
    }
}

impl Client {
    /// A helm repository, by the URL that `helm repo add` takes. Asks nothing yet.
    pub fn helm_repository(
        &self,
        url: &str,
        api: HelmApi,
        login: Option<&Login>,
    ) -> Result<HelmRepository, Error> {
        let (base, access) = web_access(url)?;
        let identity = Identity::Given(login.map(|login| basic_header(&login.user, &login.password)));
        Ok(HelmRepository::new(self, base, api, access, identity, None))
    }
}

impl HelmRepository {
    /// One of a bkrepo, below its `/helm`.
    pub(crate) fn of_bkrepo(
        client: &Client,
        base: &Url,
        identity: Identity,
        user: Option<HeaderValue>,
    ) -> Result<Self, Error> {
        let (base, access) = web_access(base.as_str())?;
        Ok(Self::new(client, base, HelmApi::Bkrepo, access, identity, user))
    }

    fn new(
        client: &Client,
        mut base: Url,
        api: HelmApi,
        access: Access,
        identity: Identity,
        user: Option<HeaderValue>,
    ) -> Self {
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        let client = client.clone();
        Self(Arc::new(Inner { client, base, api, access, identity, user, context: OnceCell::new() }))
    }

    /// All charts that helm would find, from `index.yaml`.
    pub async fn charts(&self) -> Result<Charts, Error> {
        let (charts, context) = self.read_index(index::parse).await?;
        let _ = self.0.context.set(context);
        Ok(charts)
    }

    /// Finds out where its interface is, for all that is asked through this one and its clones.
    pub async fn open(&self) -> Result<(), Error> {
        self.upload_url().await.map(drop)
    }

    async fn read_index<T>(&self, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, Error> {
        let url = self.url(&self.path("/index.yaml"));
        let explain = |status, body: &[u8]| self.explain(INDEX, status, body);
        let call = self.call(Method::GET, url, &explain);
        let (_, text) = self.0.client.request_bytes(&call, MOST_INDEX).await?;
        parse(&text).map_err(|reason| self.error(INDEX, 200, HelmRepositoryProblem::NotARepository, reason))
    }

    /// The digest of one chart's version, if it is there.
    pub async fn chart(&self, name: &str, version: &str) -> Result<Option<Digest>, Error> {
        let Some(answer) = self.ask(Method::GET, name, version).await? else { return Ok(None) };
        if let Some(digest) = index::read_version(&answer) {
            return Ok(Some(digest));
        }
        let subject = format!("{name} {version}");
        match self.charts().await?.find(name, version) {
            Some(Some(digest)) => Ok(Some(digest)),
            Some(None) => {
                let reason = "it does not say the archive's digest";
                Err(self.error(&subject, 200, HelmRepositoryProblem::NotARepository, reason.to_owned()))
            }
            None => Ok(None),
        }
    }

    /// Deletes one version of a chart. `false` where there was none.
    pub async fn delete_chart(&self, name: &str, version: &str) -> Result<bool, Error> {
        Ok(self.ask(Method::DELETE, name, version).await?.is_some())
    }

    /// Uploads a chart, and its provenance with it. Whether it is there already is the caller's question to ask:
    /// [`Self::charts`] answers it for all at once.
    pub async fn upload_chart(&self, chart: &ChartArchive<'_>, task: &Task) -> Result<Uploaded, Error> {
        let mut attempts = self.0.client.attempts();
        loop {
            let Err(error) = self.post(chart, task).await else {
                task.reset(chart.size);
                self.confirm(chart).await?;
                return Ok(Uploaded::Sent);
            };
            let exists = matches!(&error, Error::HelmRepository(error) if error.problem == HelmRepositoryProblem::Exists);
            let error =
                if exists { Some(error) } else { attempts.pause(error, Some(task)).await.map(|()| None)? };
            // What failed may have been the answer alone.
            let found = self.chart(chart.name, chart.version).await?;
            if found == Some(chart.digest) {
                task.reset(chart.size);
                return Ok(Uploaded::WasThere);
            }
            if let Some(error) = error {
                return Err(error);
            }
            task.reset(0);
        }
    }

    /// Whether it shows what was sent. Repositories make their indexes behind our back, so a moment is left to them.
    async fn confirm(&self, chart: &ChartArchive<'_>) -> Result<(), Error> {
        let mut found = None;
        for pause in CONFIRM {
            tokio::time::sleep(pause).await;
            found = self.chart(chart.name, chart.version).await?;
            if found == Some(chart.digest) {
                return Ok(());
            }
        }
        let url = (&self.upload_url().await?).into();
        Err(match found {
            Some(actual) => Error::WrongDigest { url, expected: chart.digest, actual },
            None => Error::Protocol { url, reason: "it took the chart and does not show it".to_owned() },
        })
    }

    async fn post(&self, chart: &ChartArchive<'_>, task: &Task) -> Result<(), Error> {
        let mut url = self.upload_url().await?;
        if chart.overwrite == Overwrite::Yes {
            url.set_query(Some("force=true"));
        }
        let file = format!("{}-{}.tgz", chart.name, chart.version);
        let subject = format!("{} {}", chart.name, chart.version);
        let form = Form::new(&file, chart);
        let (content_type, length) = (form.content_type(), form.length());
        let source: Arc<dyn BlobSource> = Arc::new(form);
        let part = Part { source: &source, start: 0, length, task, sent: 0.into() };
        let open = || part.send();
        let explain = |status, body: &[u8]| self.explain(&subject, status, body);
        let call = self
            .call(Method::POST, url, &explain)
            .header(header::CONTENT_TYPE, content_type)
            .patience(self.0.client.commit_time(length))
            .body(Payload::Stream(&open));
        self.0.client.send(&call).await?.bytes(MOST, &self.0.client).await.map(drop)
    }

    /// Asks about one version, or has it deleted. `None` where it is not there.
    async fn ask(&self, method: Method, name: &str, version: &str) -> Result<Option<Bytes>, Error> {
        let segment = crate::bkrepo::encode_segment;
        let charts = match self.0.api {
            HelmApi::ChartMuseum => self.upload_url().await?.path().to_owned(),
            // bkrepo takes charts below `/api/PROJECT/REPOSITORY`, and knows them below `/PROJECT/REPOSITORY/api`.
            HelmApi::Bkrepo => self.path("/api/charts"),
        };
        let url = self.url(&format!("{charts}/{}/{}", segment(name), segment(version)));
        let subject = format!("{name} {version}");
        let explain = |status, body: &[u8]| match status {
            404 | 410 => None,
            _ => self.explain(&subject, status, body),
        };
        let call = self.call(method, url, &explain);
        match self.0.client.request_bytes(&call, MOST).await {
            Ok((_, body)) => Ok(Some(body)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where charts are posted.
    async fn upload_url(&self) -> Result<Url, Error> {
        let path = self.0.base.path();
        let path = match self.0.api {
            HelmApi::Bkrepo => {
                let mut segments = path.rsplitn(3, '/');
                let (name, project) =
                    (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
                format!("{}/api/{project}/{name}/charts", segments.next().unwrap_or_default())
            }
            HelmApi::ChartMuseum => match path.split_once("/chartrepo/") {
                Some((before, project)) => format!("{before}/api/chartrepo/{project}/charts"),
                None => {
                    let context = self.0.context.get_or_try_init(|| self.read_index(index::parse_context));
                    let context = context.await?;
                    let below = path
                        .strip_prefix(context.as_str())
                        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
                    let (context, rest) = below.map_or(("", path), |rest| (context.as_str(), rest));
                    format!("{context}/api{}/charts", rest.trim_end_matches('/'))
                }
            },
        };
        Ok(self.url(&path))
    }

    fn path(&self, behind: &str) -> String {
        format!("{}{behind}", self.0.base.path().trim_end_matches('/'))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.0.base.clone();
        url.set_path(path);
        url
    }

    fn call<'a>(&'a self, method: Method, url: Url, explain: crate::exchange::Explain<'a>) -> Call<'a> {
        let call = Call::new(method, url, &self.0.access).identity(self.0.identity.clone()).explain(explain);
        match &self.0.user {
            Some(user) => call.header(USER, user.clone()),
            None => call,
        }
    }

    /// Reads an answer that says no. `None` where the status says it all.
    fn explain(&self, subject: &str, status: u16, body: &[u8]) -> Option<Error> {
        let message = error::message(body);
        let problem = HelmRepositoryProblem::of(status, &message)?;
        Some(self.error(subject, status, problem, message))
    }

    fn error(&self, subject: &str, status: u16, problem: HelmRepositoryProblem, message: String) -> Error {
        let (repository, subject, api) = ((&self.0.base).into(), subject.to_owned(), self.0.api);
        Error::HelmRepository(Box::new(HelmRepositoryError {
            repository,
            subject,
            api,
            problem,
            status,
            message,
        }))
    }
}
