//! BlueKing's artifact repository: projects, repositories and the files of generic repositories.
//!
//! One gateway serves all: `/repository/api` knows what is there, `/generic` takes and gives content. A missing thing
//! looks different from each: a node's detail answers 400 with the code 251010, a missing repository 404 with 251006.
//! So every answer is read by status and code together ([`error`]); who may do what is read by the status alone, since
//! those codes moved between releases.
//!
//! Uploads ([`upload`]) go in one request, large ones in blocks ([`blocks`]).

mod answer;
mod blocks;
mod error;
mod path;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::site::RepositoryName;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::auth::{Access, basic_header, secret_header};
use crate::client::web_access;
use crate::exchange::{Call, Identity, Payload};
use crate::{Client, Error, HelmRepository};

use answer::Subject;

pub use blocks::Blocks;
pub use error::{BkrepoError, BkrepoProblem};
pub(crate) use path::encode as encode_segment;
pub use upload::{FileUpload, OnUploadId, Overwrite, Uploaded};

/// On whose behalf a platform account acts.
const USER: HeaderName = HeaderName::from_static("x-bkrepo-uid");
/// Rows of a listing asked for at once: some 300 KiB.
const PAGE: u64 = 1000;

/// Who we are to bkrepo. Secrets are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum BkrepoLogin {
    /// Nobody in particular: enough to read what is public.
    #[default]
    Anonymous,
    /// A user.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A platform account.
    Platform {
        /// Its access key.
        access_key: String,
        /// Its secret key.
        secret_key: String,
        /// The user on whose behalf it acts.
        user: String,
    },
}

impl std::fmt::Debug for BkrepoLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { user, .. } => write!(f, "Basic({user})"),
            Self::Platform { user, .. } => write!(f, "Platform({user})"),
        }
    }
}

/// A bkrepo. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Bkrepo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// What all paths are below, without `/` at its end.
    base: Url,
    access: Access,
    identity: Identity,
    user: Option<HeaderValue>,
    blocks: Blocks,
}

/// A repository as bkrepo describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RepositoryInfo {
    /// What it keeps: `GENERIC`, `HELM`, `DOCKER`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `LOCAL`, `REMOTE`, `VIRTUAL` or `COMPOSITE`. Only the first and the last take uploads.
    pub category: String,
    /// Whether all may read it.
    #[serde(default)]
    pub public: bool,
}

/// A repository to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRepository<'a> {
    /// Its project and name.
    pub repository: &'a RepositoryName,
    /// What it keeps: `GENERIC`, `HELM`, `DOCKER`, …
    pub kind: &'a str,
    /// Whether all may read it.
    pub public: bool,
    /// What it is for.
    pub description: &'a str,
}

/// What became of something that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    Made,
    /// It had been there.
    Existed,
}

/// A file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its path, with `/` in front.
    pub path: String,
    /// Its bytes; of no meaning for a folder.
    pub size: u64,
    /// A file's digest.
    pub digest: Option<Digest>,
    /// A file's MD5, in hex.
    pub md5: Option<String>,
    /// Whether it is a folder.
    pub folder: bool,
}

impl Node {
    /// Whether it is a file with this content.
    pub fn is_file(&self, digest: &Digest, size: u64) -> bool {
        !self.folder && self.size == size && self.digest.as_ref() == Some(digest)
    }
}

/// A listing under way: one page at a time, so that its memory is bounded.
#[derive(Debug)]
pub struct Listing {
    bkrepo: Bkrepo,
    repository: RepositoryName,
    under: String,
    next: Option<u64>,
    seen: u64,
}

impl Client {
    /// A bkrepo, by the URL that its services are below: `http://bkrepo.bkce7.example.com`, `http://10.0.0.1:30025`. A
    /// path is kept. `…/generic`, as the deployment guide's tool wants it, means the same. Asks nothing yet.
    pub fn bkrepo(&self, url: &str, login: BkrepoLogin) -> Result<Bkrepo, Error> {
        let (mut base, access) = web_access(url)?;
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/generic").unwrap_or(path).to_owned();
        base.set_path(&path);
        let reason = "the user that the platform account acts for cannot be a user's name";
        let (header, user) = show(login)
            .ok_or_else(|| Subject::of(&base).error(0, None, BkrepoProblem::Unauthenticated, reason))?;
        let (client, blocks) = (self.clone(), Blocks::default());
        Ok(Bkrepo(Arc::new(Inner { client, base, access, identity: Identity::Given(header), user, blocks })))
    }
}

/// The headers that say who we are. `None` where they cannot be made.
fn show(login: BkrepoLogin) -> Option<(Option<HeaderValue>, Option<HeaderValue>)> {
    use base64::Engine as _;
    Some(match login {
        BkrepoLogin::Anonymous => (None, None),
        BkrepoLogin::Basic { user, password } => (Some(basic_header(&user, &password)), None),
        BkrepoLogin::Platform { access_key, secret_key, user } => {
            let keys = base64::engine::general_purpose::STANDARD.encode(format!("{access_key}:{secret_key}"));
            (secret_header(&format!("Platform {keys}")), Some(HeaderValue::from_bytes(user.as_bytes()).ok()?))
        }
    })
}

impl Bkrepo {
    /// The same one, with another rule about what goes up in blocks.
    #[must_use]
    pub fn with_blocks(&self, blocks: Blocks) -> Self {
        let Inner { client, base, access, identity, user, .. } = &*self.0;
        let (client, base, access) = (client.clone(), base.clone(), access.clone());
        let (identity, user) = (identity.clone(), user.clone());
        Self(Arc::new(Inner { client, base, access, identity, user, blocks }))
    }

    /// The helm repository of that name, with the same login.
    pub fn helm_repository(&self, repository: &RepositoryName) -> Result<HelmRepository, Error> {
        let base = self.url(&["helm", &repository.project, &repository.name], "");
        HelmRepository::of_bkrepo(&self.0.client, &base, self.0.identity.clone(), self.0.user.clone())
    }

    /// The projects that we may see, by name. The cheapest question: its answer tells whether a bkrepo is there and
    /// takes our login.
    pub async fn projects(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Project {
            name: String,
        }
        let url = self.url(&["repository", "api", "project", "list"], "");
        let projects: Option<Vec<Project>> = self.ask(Method::GET, url, None, &self.subject()).await?;
        Ok(projects.unwrap_or_default().into_iter().map(|project| project.name).collect())
    }

    /// Whether we may see a project of that name. One that is there and not ours to see counts as absent;
    /// [`Self::create_project`] then tells.
    pub async fn project_exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.projects().await?.iter().any(|project| project == name))
    }

    /// Makes a project.
    pub async fn create_project(&self, name: &str, description: &str) -> Result<Created, Error> {
        let url = self.url(&["repository", "api", "project", "create"], "");
        let body = json!({"name": name, "displayName": name, "description": description});
        let subject = Subject { project: name.to_owned(), making: true, ..self.subject() };
        created(self.ask::<Value>(Method::POST, url, Some(&body), &subject).await)
    }

    /// A repository, if it is there.
    pub async fn repository(&self, repository: &RepositoryName) -> Result<Option<RepositoryInfo>, Error> {
        let url = self.url(&["repository", "api", "repo", "info", &repository.project, &repository.name], "");
        match self.ask(Method::GET, url, None, &self.subject_in(repository, "")).await {
            Err(error)
                if matches!(
                    problem(&error),
                    Some(BkrepoProblem::NoProject | BkrepoProblem::NoRepository)
                ) =>
            {
                Ok(None)
            }
            answer => answer,
        }
    }

    /// Makes a repository in bkrepo's own storage (category `LOCAL`), as PaaS makes its own.
    pub async fn create_repository(&self, new: &NewRepository<'_>) -> Result<Created, Error> {
        let url = self.url(&["repository", "api", "repo", "create"], "");
        let body = json!({
            "projectId": new.repository.project, "name": new.repository.name, "type": new.kind, "category": "LOCAL",
            "public": new.public, "description": new.description,
        });
        let subject = Subject { making: true, ..self.subject_in(new.repository, "") };
        created(self.ask::<Value>(Method::POST, url, Some(&body), &subject).await)
    }

    /// Lists what lies below a folder (`/` for all), at any depth, folders too. A folder that is not there is an empty
    /// one.
    pub fn list(&self, repository: &RepositoryName, under: &str) -> Result<Listing, Error> {
        let under = path::normalize(under).map_err(|reason| self.bad_path(repository, under, reason))?;
        Ok(Listing { bkrepo: self.clone(), repository: repository.clone(), under, next: Some(1), seen: 0 })
    }

    /// The node at a path, if there is one.
    pub async fn node(&self, repository: &RepositoryName, path: &str) -> Result<Option<Node>, Error> {
        let path = path::normalize(path).map_err(|reason| self.bad_path(repository, path, reason))?;
        let url =
            self.url(&["repository", "api", "node", "detail", &repository.project, &repository.name], &path);
        match self.ask::<answer::Row>(Method::GET, url, None, &self.subject_in(repository, &path)).await {
            Ok(row) => Ok(row.map(Node::from)),
            Err(error) if problem(&error) == Some(BkrepoProblem::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether we may upload into a repository: begins an upload in blocks, and has it forgotten. Nothing shows of it.
    pub async fn probe_upload(&self, repository: &RepositoryName) -> Result<(), Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Begun {
            upload_id: String,
        }
        let path = "/.ferry-preflight";
        let url = self.url(&["generic", "block", &repository.project, &repository.name], path);
        let subject = self.subject_in(repository, "");
        let begun: Option<Begun> = self.ask(Method::POST, url.clone(), None, &subject).await?;
        let id = begun.and_then(|begun| HeaderValue::from_str(&begun.upload_id).ok());
        if let Some(id) = id {
            let explain = |status, body: &[u8]| subject.explain(status, body);
            let call = self.call(Method::DELETE, url, &explain).header(blocks::UPLOAD_ID, id);
            // It would be forgotten by itself.
            let _ = self.0.client.request_bytes(&call, answer::MOST).await;
        }
        Ok(())
    }

    /// Removes a repository in which no files are ([`BkrepoProblem::NotEmpty`] otherwise). `false` where there was none.
    pub async fn delete_repository(&self, repository: &RepositoryName) -> Result<bool, Error> {
        let mut url =
            self.url(&["repository", "api", "repo", "delete", &repository.project, &repository.name], "");
        url.set_query(Some("forced=false"));
        self.remove(url, &self.subject_in(repository, "")).await
    }

    /// Deletes a file, or a folder in which no files are ([`BkrepoProblem::NotEmpty`] otherwise). `false` where there was
    /// nothing.
    pub async fn delete(&self, repository: &RepositoryName, path: &str) -> Result<bool, Error> {
        self.delete_through(&["generic"], repository, path).await
    }

    /// Deletes a folder with all that is in it. `false` where bkrepo says that there was nothing; most releases do not.
    pub async fn delete_folder(&self, repository: &RepositoryName, path: &str) -> Result<bool, Error> {
        self.delete_through(&["repository", "api", "node", "delete"], repository, path).await
    }

    async fn delete_through(
        &self,
        service: &[&str],
        repository: &RepositoryName,
        path: &str,
    ) -> Result<bool, Error> {
        let path = path::normalize(path).map_err(|reason| self.bad_path(repository, path, reason))?;
        if path == "/" {
            return Err(self.bad_path(repository, &path, "the whole repository is never deleted"));
        }
        let url = self.url(&[service, &[&repository.project, &repository.name]].concat(), &path);
        self.remove(url, &self.subject_in(repository, &path)).await
    }

    async fn remove(&self, url: Url, subject: &Subject) -> Result<bool, Error> {
        let is_gone = |problem| {
            use BkrepoProblem::{NoNode, NoProject, NoRepository};
            matches!(problem, Some(NoNode | NoProject | NoRepository))
        };
        match self.ask::<Value>(Method::DELETE, url, None, subject).await {
            Ok(_) => Ok(true),
            Err(error) if is_gone(problem(&error)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A URL below the base.
    fn url(&self, service: &[&str], path: &str) -> Url {
        let mut url = self.0.base.clone();
        let mut text = url.path().trim_end_matches('/').to_owned();
        for segment in service.iter().copied().chain(path.split('/').filter(|segment| !segment.is_empty())) {
            text.push('/');
            text.push_str(&path::encode(segment));
        }
        url.set_path(&text);
        url
    }

    fn subject(&self) -> Subject {
        Subject::of(&self.0.base)
    }

    fn subject_in(&self, repository: &RepositoryName, path: &str) -> Subject {
        let (project, name) = (repository.project.clone(), repository.name.clone());
        Subject { project, repository: name, path: path.to_owned(), ..self.subject() }
    }

    fn bad_path(&self, repository: &RepositoryName, path: &str, reason: &str) -> Error {
        let path = path.chars().take(200).collect::<String>();
        self.subject_in(repository, &path).error(0, None, BkrepoProblem::BadPath, reason)
    }

    fn call<'a>(&'a self, method: Method, url: Url, explain: crate::exchange::Explain<'a>) -> Call<'a> {
        let call = Call::new(method, url, &self.0.access).identity(self.0.identity.clone()).explain(explain);
        match &self.0.user {
            Some(user) => call.header(USER, user.clone()),
            None => call,
        }
    }

    /// Sends a request and reads the `data` of its answer; tries again by the policy. All that are sent so can be sent
    /// twice: questions, and what tolerates that it has been done already.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        subject: &Subject,
    ) -> Result<Option<T>, Error> {
        let explain = |status, body: &[u8]| subject.explain(status, body);
        let mut call = self.call(method, url, &explain);
        if let Some(body) = body {
            call = call
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(Payload::Bytes(Bytes::from(body.to_string())));
        }
        let (_, answer) = self.0.client.request_bytes(&call, answer::MOST).await?;
        subject.read(&answer)
    }
}

impl Listing {
    /// The next page; `None` after the last. A repository that is not there is an error
    /// ([`BkrepoProblem::NoRepository`]).
    pub async fn next_page(&mut self) -> Result<Option<Vec<Node>>, Error> {
        let Some(number) = self.next else { return Ok(None) };
        let Self { bkrepo, repository, under, .. } = &*self;
        let mut url =
            bkrepo.url(&["repository", "api", "node", "page", &repository.project, &repository.name], under);
        // Sorted: otherwise a page may lack what an upload in between moved to the one before.
        url.set_query(Some(&format!(
            "pageNumber={number}&pageSize={PAGE}&includeFolder=true&deep=true&sort=true"
        )));
        let page =
            bkrepo.ask::<answer::Page>(Method::GET, url, None, &bkrepo.subject_in(repository, under)).await?;
        let page = page.unwrap_or_default();
        self.seen += page.records.len() as u64;
        // The number of pages is not relied upon: releases count it differently.
        let more = page.total_records.map_or(page.records.len() as u64 >= PAGE, |total| self.seen < total);
        self.next = (more && !page.records.is_empty()).then_some(number + 1);
        Ok(Some(page.records.into_iter().map(Node::from).collect()))
    }

    /// All pages at once: some 200 bytes a node.
    pub async fn all(mut self) -> Result<Vec<Node>, Error> {
        let mut nodes = Vec::new();
        while let Some(page) = self.next_page().await? {
            nodes.extend(page);
        }
        Ok(nodes)
    }
}

/// What bkrepo's refusal means, where it is one.
fn problem(error: &Error) -> Option<BkrepoProblem> {
    match error {
        Error::Bkrepo(error) => Some(error.problem),
        _ => None,
    }
}

fn created<T>(answer: Result<T, Error>) -> Result<Created, Error> {
    match answer {
        Ok(_) => Ok(Created::Made),
        Err(error) if problem(&error) == Some(BkrepoProblem::Exists) => Ok(Created::Existed),
        Err(error) => Err(error),
    }
}
