//! Projects, repositories and users. [BKREPO UserProjectController, UserRepositoryController, UserController]

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{
    self, PROJECT_EXISTED, PROJECT_NOT_FOUND, REPOSITORY_EXISTED, REPOSITORY_NOT_EMPTY, Refusal, Stop,
};
use super::auth::{Action, Grant, User, Who};
use super::call::{Call, address};
use super::lock;
use super::store::{Project, Repository, Store};

const KINDS: [&str; 12] =
    ["NONE", "GENERIC", "DOCKER", "MAVEN", "PYPI", "NPM", "HELM", "RDS", "COMPOSER", "RPM", "NUGET", "GIT"];

impl Call<'_> {
    pub(super) async fn repository_service(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        let rest = rest.strip_prefix("api/").unwrap_or_default();
        let (what, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match (what, &self.parts.method, rest) {
            ("node", ..) => self.node_api(rest).await,
            ("project", &Method::POST, "create") => self.create_project().await,
            ("project", &Method::GET, "list") => self.list_projects(),
            ("project", &Method::GET, _) => match rest.strip_prefix("exist/") {
                Some(name) => self.project_exists(name),
                None => Ok(answer::gateway(StatusCode::NOT_FOUND)),
            },
            ("repo", &Method::POST, "create") => self.create_repository().await,
            ("repo", ..) => self.repository_api(rest),
            _ => Ok(answer::gateway(StatusCode::NOT_FOUND)),
        }
    }

    async fn create_project(&mut self) -> Result<Response<Body>, Stop> {
        let request = self.json().await?;
        let mut store = lock(&self.server.store);
        store.grants(self.release(), &self.who)?;
        let name = request["name"].as_str().filter(|name| is_name(name, "-_", 32));
        let name = name.ok_or_else(|| Refusal::parameter("name"))?;
        let display_name =
            request["displayName"].as_str().filter(|name| (2..=32).contains(&name.chars().count()));
        let display_name = display_name.ok_or_else(|| Refusal::parameter("displayName"))?;
        if store.projects.contains_key(name) {
            return Err(Refusal::bad(PROJECT_EXISTED, format!("Project [{name}] existed")).into());
        }
        let description = request["description"].as_str().unwrap_or_default().to_owned();
        let project = Project { display_name: display_name.to_owned(), description };
        store.projects.insert(name.to_owned(), project);
        // Who makes a project runs it.
        if let Who::User(user) = &self.who
            && let Some(user) = store.users.get_mut(user)
        {
            user.grants.insert(Grant::Project(name.to_owned()));
        }
        Ok(answer::success(&Value::Null))
    }

    fn list_projects(&self) -> Result<Response<Body>, Stop> {
        let store = lock(&self.server.store);
        store.grants(self.release(), &self.who)?;
        let seen = store.projects.iter().filter(|(name, _)| self.sees(&store, name));
        let rows = seen.map(|(name, project)| {
            json!({
                "name": name, "displayName": project.display_name, "description": project.description,
                "createdBy": "admin", "createdDate": "2023-06-14T10:00:00.394",
                "lastModifiedBy": "admin", "lastModifiedDate": "2023-06-14T10:00:00.394",
            })
        });
        Ok(answer::success(&rows.collect()))
    }

    fn sees(&self, store: &Store, project: &str) -> bool {
        let grants = store.grants(self.release(), &self.who).unwrap_or_default();
        grants.iter().any(|grant| match grant {
            Grant::Everything => true,
            Grant::Project(its) | Grant::Repository(its, _) | Grant::Reading(its) => its == project,
        })
    }

    fn project_exists(&self, name: &str) -> Result<Response<Body>, Stop> {
        let store = lock(&self.server.store);
        store.grants(self.release(), &self.who)?;
        if !self.sees(&store, name) {
            return Err(Refusal::denied(self.release(), name).into());
        }
        Ok(answer::success(&Value::from(store.projects.contains_key(name))))
    }

    async fn create_repository(&mut self) -> Result<Response<Body>, Stop> {
        let request = self.json().await?;
        let text = |field: &str| request[field].as_str().map(str::to_owned);
        let (project, name) = (text("projectId").unwrap_or_default(), text("name").unwrap_or_default());
        let mut store = lock(&self.server.store);
        store.check_project(self.release(), &self.who, &project)?;
        if !is_name(&name, "-_.", 64) {
            return Err(Refusal::parameter("name").into());
        }
        let kind = text("type").filter(|kind| KINDS.contains(&kind.as_str()));
        let kind = kind.ok_or_else(|| Refusal::parameter("type"))?;
        if !store.projects.contains_key(&project) {
            return Err(Refusal::bad(PROJECT_NOT_FOUND, format!("Project [{project}] not found")).into());
        }
        if store.repository(&project, &name).is_ok() {
            return Err(Refusal::bad(REPOSITORY_EXISTED, format!("Repository [{name}] existed")).into());
        }
        let category = text("category").unwrap_or_else(|| "COMPOSITE".into());
        let mut repository = Repository::new(&kind, &category, request["public"] == true);
        repository.description = text("description").unwrap_or_default();
        if request["configuration"].is_object() {
            repository.configuration = request["configuration"].clone();
        }
        store.repositories.insert((project, name), repository);
        Ok(answer::success(&Value::Null))
    }

    /// `exist`, `info`, `list` and `delete`.
    fn repository_api(&self, rest: &str) -> Result<Response<Body>, Stop> {
        let (verb, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let mut store = lock(&self.server.store);
        if (&self.parts.method, verb) == (&Method::GET, "list") {
            store.grants(self.release(), &self.who)?;
            let own = store.repositories.iter().filter(|((project, name), _)| {
                project == rest
                    && store.check(self.release(), &self.who, (project, name), Action::Read).is_ok()
            });
            let rows = own.map(|((project, name), repository)| repository.info(project, name));
            return Ok(answer::success(&rows.collect()));
        }
        let Some((project, name, _)) = address(rest) else {
            return Ok(answer::gateway(StatusCode::NOT_FOUND));
        };
        match (&self.parts.method, verb) {
            // Asks nobody who they are.
            (&Method::GET, "exist") => {
                Ok(answer::success(&Value::from(store.repository(&project, &name).is_ok())))
            }
            (&Method::GET, "info") => {
                store.check(self.release(), &self.who, (&project, &name), Action::Read)?;
                Ok(answer::success(&store.repository(&project, &name)?.info(&project, &name)))
            }
            (&Method::DELETE, "delete") => {
                store.check(self.release(), &self.who, (&project, &name), Action::Write)?;
                let is_full = store.repository(&project, &name)?.has_files_below("/");
                if is_full && self.parameter("forced") != Some("true") {
                    return Err(Refusal::bad(REPOSITORY_NOT_EMPTY, "Repository is not empty").into());
                }
                store.repositories.remove(&(project, name));
                Ok(answer::success(&Value::Null))
            }
            _ => Err(Refusal::method_not_allowed(self.release(), verb).into()),
        }
    }

    pub(super) async fn auth_service(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        let Some(rest) = rest.strip_prefix("api/user/").map(str::to_owned) else {
            return Ok(answer::gateway(StatusCode::NOT_FOUND));
        };
        match (&self.parts.method, rest.as_str()) {
            (&Method::POST, "create" | "create/project" | "create/repo") => {
                let request = self.json().await?;
                self.create_user(&rest, &request)
            }
            (&Method::PUT, name) => {
                let (name, request) = (name.to_owned(), self.json().await?);
                let mut store = lock(&self.server.store);
                store.grants(self.release(), &self.who)?;
                let user = store.users.get_mut(&name).ok_or_else(|| no_user(&name))?;
                if let Some(password) = request["pwd"].as_str() {
                    password.clone_into(&mut user.password);
                }
                Ok(answer::success(&Value::Bool(true)))
            }
            (&Method::DELETE, name) => {
                let mut store = lock(&self.server.store);
                store.grants(self.release(), &self.who)?;
                store.users.remove(name).ok_or_else(|| no_user(name))?;
                Ok(answer::success(&Value::Bool(true)))
            }
            _ => Ok(answer::gateway(StatusCode::NOT_FOUND)),
        }
    }

    /// One that is there already keeps its password, and that is no error; the rights are added.
    fn create_user(&self, which: &str, request: &Value) -> Result<Response<Body>, Stop> {
        let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
        let (name, project, repository) = (text("userId"), text("projectId"), text("repoName"));
        let mut store = lock(&self.server.store);
        let grant = match which {
            "create" => {
                store.grants(self.release(), &self.who)?;
                None
            }
            "create/project" => Some(Grant::Project(project.clone())),
            _ => Some(Grant::Repository(project.clone(), repository)),
        };
        if grant.is_some() {
            store.check_project(self.release(), &self.who, &project)?;
        }
        if name.is_empty() {
            return Err(Refusal::parameter("userId").into());
        }
        let user = store.users.entry(name.clone()).or_insert_with(|| User::new(&name, &text("pwd"), &[]));
        user.grants.extend(grant);
        Ok(answer::success(&Value::Bool(true)))
    }
}

fn no_user(name: &str) -> Refusal {
    Refusal::bad(250_202, format!("User [{name}] not exist"))
}

/// A letter or `_`, then letters, digits and these others; two characters at least.
fn is_name(name: &str, others: &str, longest: usize) -> bool {
    let mut characters = name.chars();
    let starts = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let goes_on = characters.all(|one| one.is_ascii_alphanumeric() || others.contains(one));
    starts && goes_on && (2..=longest).contains(&name.len())
}

impl Repository {
    fn info(&self, project: &str, name: &str) -> Value {
        json!({
            "projectId": project, "name": name, "type": self.kind, "category": self.category,
            "public": self.public, "description": self.description, "configuration": self.configuration,
            "storageCredentialsKey": null, "quota": null, "used": 0, "display": true,
            "createdBy": "admin", "createdDate": "2023-06-14T10:00:00.394",
            "lastModifiedBy": "admin", "lastModifiedDate": "2023-06-14T10:00:00.394",
        })
    }
}
