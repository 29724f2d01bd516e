//! Projects of Harbor, which takes pushes only into those that are there.

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Project, State};
use ferry_model::report::Failed;
use ferry_transfer::{Client, Login};
use http::Method;
use serde_json::{Value, json};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};

/// The most that Harbor lists at once.
const PAGE: usize = 100;
/// A project that still holds something.
const NOT_EMPTY: u16 = 412;

impl Manage for Project {
    fn wanted(&self) -> State {
        State::present([("exists", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        let access = if self.public { "public" } else { "private" };
        format!("make the {access} project {} in Harbor at {}", self.name, self.registry)
    }

    fn undo_summary(&self, _before: &State) -> String {
        "remove it, if nothing is left in it".into()
    }

    async fn observe(&self, context: &Context) -> State {
        let looked = async { self.find(&Harbor::of(context, Manner::Brief).await?).await };
        match looked.await {
            Ok(Some(_)) => State::present([("exists", "yes")]),
            Ok(None) => State::Absent,
            Err(failed) => unknown(failed),
        }
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let harbor = Harbor::of(context, Manner::Patient).await?;
        let public = if self.public { "true" } else { "false" };
        let body = json!({"project_name": self.name, "metadata": {"public": public}});
        // A conflict says that it is there, perhaps among those that we may not see.
        harbor.send(Method::POST, &self.url("projects"), Some(&body)).await.map(drop)
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        if matches!(before.state, State::Present { .. }) {
            return Ok(Undone::Restored);
        }
        let harbor = Harbor::of(context, Manner::Patient).await?;
        let Some(project) = self.find(&harbor).await? else { return Ok(Undone::Restored) };
        let left = self.remove_empty_repositories(&harbor).await?;
        if let Some(repository) = left {
            return Ok(Undone::Left(format!(
                "project {} stays in Harbor: others have pushed {repository} to it",
                self.name
            )));
        }
        let url = self.url(&format!("projects/{}", project["project_id"]));
        match harbor.client.json(Method::DELETE, &url, None, harbor.login.as_ref()).await {
            Ok(_) => Ok(Undone::Restored),
            Err(error) if error.status() == Some(NOT_EMPTY) => {
                Ok(Undone::Left(format!("project {} stays in Harbor: it is not empty", self.name)))
            }
            Err(error) => Err(Failed::new(&error)),
        }
    }
}

/// Harbor's own interface, beside that of its registry.
struct Harbor {
    client: Client,
    login: Option<Login>,
}

impl Harbor {
    async fn of(context: &Context, manner: Manner) -> Result<Self, Failed> {
        let login = context.site.site.registry.as_ref().and_then(|registry| registry.login.as_ref());
        let login = match login {
            Some(login) => {
                let password = context.secrets.get(&login.password).await?.reveal().to_owned();
                Some(Login { user: login.user.clone(), password })
            }
            None => None,
        };
        Ok(Self { client: context.client(manner).await?, login })
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<(u16, Value), Failed> {
        self.client.json(method, url, body, self.login.as_ref()).await.map_err(|error| {
            let failed = Failed::new(&error);
            match (failed.class, &self.login) {
                (Class::Denied, None) => {
                    failed.hint("say who may make projects: `login: {user: …, password: …}` of `registry`")
                }
                (Class::Denied, Some(login)) => failed.hint(format!(
                    "let {} make projects in Harbor, or make them there by hand and say `createProjects: false`",
                    login.user
                )),
                _ => failed,
            }
        })
    }
}

trait Asked {
    fn url(&self, path: &str) -> String;
    async fn find(&self, harbor: &Harbor) -> Result<Option<Value>, Failed>;
    async fn remove_empty_repositories(&self, harbor: &Harbor) -> Result<Option<String>, Failed>;
}

impl Asked for Project {
    fn url(&self, path: &str) -> String {
        format!("{}://{}/api/v2.0/{path}", self.scheme, self.registry)
    }

    /// Harbor finds all whose names have this one in them.
    async fn find(&self, harbor: &Harbor) -> Result<Option<Value>, Failed> {
        for page in 1.. {
            let query = format!("projects?name={}&page={page}&page_size={PAGE}", self.name);
            let (_, answer) = harbor.send(Method::GET, &self.url(&query), None).await?;
            let projects = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(project) = projects.iter().find(|project| project["name"] == self.name.as_str()) {
                return Ok(Some(project.clone()));
            }
            if projects.len() < PAGE {
                break;
            }
        }
        Ok(None)
    }

    /// Removes repositories that hold nothing any more, and names one that does.
    async fn remove_empty_repositories(&self, harbor: &Harbor) -> Result<Option<String>, Failed> {
        loop {
            let url = self.url(&format!("projects/{}/repositories?page_size={PAGE}", self.name));
            let (_, answer) = harbor.send(Method::GET, &url, None).await?;
            let repositories = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if repositories.is_empty() {
                return Ok(None);
            }
            for repository in repositories {
                let name = repository["name"].as_str().unwrap_or_default();
                if repository["artifact_count"].as_u64().unwrap_or(0) > 0 {
                    return Ok(Some(name.to_owned()));
                }
                // A slash in a name is encoded twice there.
                let inner = name.strip_prefix(&format!("{}/", self.name)).unwrap_or(name);
                let path = format!("projects/{}/repositories/{}", self.name, inner.replace('/', "%252F"));
                harbor.send(Method::DELETE, &self.url(&path), None).await?;
            }
        }
    }
}
