//! The helm service. [BKREPO HelmArtifactInfo, ChartManipulationController, HelmLocalRepository, HelmExceptionHandler]
//!
//! A chart is a node `/NAME-VERSION.tgz` of its repository, and so is what signs it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Stop, json_answer};
use super::auth::Action;
use super::call::Call;
use super::{charts, content, lock};

/// What the index says of a chart.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) metadata: Value,
    pub(super) sha256: String,
}

/// The charts of a repository, which its index knows some time after they were uploaded.
#[derive(Debug, Default)]
pub(super) struct Index {
    listed: BTreeMap<(String, String), Listed>,
    /// Uploaded, or taken away, and not in the index yet; with how often it is still given without.
    coming: Vec<(usize, (String, String), Option<Listed>)>,
}

impl Index {
    fn change(&mut self, lag: usize, chart: (String, String), listed: Option<Listed>) {
        self.coming.push((lag, chart, listed));
    }

    fn look(&mut self) -> &BTreeMap<(String, String), Listed> {
        for (left, chart, listed) in std::mem::take(&mut self.coming) {
            match (left, listed) {
                (1.., listed) => self.coming.push((left - 1, chart, listed)),
                (0, Some(listed)) => drop(self.listed.insert(chart, listed)),
                (0, None) => drop(self.listed.remove(&chart)),
            }
        }
        &self.listed
    }
}

/// A refusal in helm's own form.
fn error(status: StatusCode, message: &str) -> Stop {
    Stop::Error(status, message.to_owned())
}

fn no_artifact(what: &str) -> Stop {
    error(StatusCode::NOT_FOUND, &format!("Artifact [{what}] not found"))
}

impl Call<'_> {
    pub(super) async fn helm(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        let parts: Vec<String> =
            rest.split('/').filter(|part| !part.is_empty()).map(super::path::percent_decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let answer = match (&self.parts.method, &parts[..]) {
            (&Method::POST, &["api", project, name, what @ ("charts" | "prov")]) => {
                self.publish((project, name), what == "prov").await
            }
            (&Method::POST, &[project, name, "charts"]) => self.publish((project, name), false).await,
            (&Method::POST, &[project, name, "regenerate" | "refresh"]) => self.regenerate((project, name)),
            (&Method::GET | &Method::HEAD, &[project, name, "index.yaml"]) => self.index((project, name)),
            (&Method::GET | &Method::HEAD, &[project, name, "charts", file]) => {
                self.chart_file((project, name), file)
            }
            (&Method::GET | &Method::HEAD, &[project, name, "api", "charts", ref rest @ ..]) => {
                self.describe((project, name), &rest.join("/"))
            }
            (&Method::DELETE, &[project, name, "api", "charts", chart, version]) => {
                self.withdraw((project, name), chart, version)
            }
            _ => return Ok(answer::gateway(StatusCode::NOT_FOUND)),
        };
        match answer {
            // 401 has an envelope of helm's own.
            Err(Stop::Refused(refusal)) if refusal.is_unauthenticated() => {
                Err(error(StatusCode::UNAUTHORIZED, "Unauthorized"))
            }
            answer => answer,
        }
    }

    /// Takes a form's `chart` and then its `prov`, after it has come whole.
    async fn publish(&mut self, name: (&str, &str), only_provenance: bool) -> Result<Response<Body>, Stop> {
        let content_type = self.header("content-type").unwrap_or_default().to_owned();
        let body = self.bytes().await?;
        let fields = charts::form(&content_type, &body).unwrap_or_default();
        {
            let store = lock(&self.server.store);
            // 400 here, where all else says 404.
            if !store.repository(name.0, name.1).is_ok_and(|repository| repository.kind == "HELM") {
                let message = format!("Helm repository [{}|{}] not found", name.0, name.1);
                return Err(error(StatusCode::BAD_REQUEST, &message));
            }
            store.check(self.release(), &self.who, name, Action::Write)?;
        }
        let wanted = if only_provenance { &["prov"][..] } else { &["chart", "prov"] };
        let files: Vec<_> = wanted.iter().filter_map(|field| Some((*field, fields.get(*field)?))).collect();
        if files.is_empty() {
            return Err(error(StatusCode::NOT_FOUND, "Artifact [chart|provenance] not found"));
        }
        for (field, bytes) in files {
            match field {
                "chart" => self.store_chart(name, bytes)?,
                _ => self.store_provenance(name, bytes)?,
            }
        }
        Ok(json_answer(StatusCode::CREATED, &json!({"saved": true})))
    }

    fn store_chart(&self, name: (&str, &str), bytes: &Bytes) -> Result<(), Stop> {
        let metadata = charts::metadata(bytes)
            .ok_or_else(|| error(StatusCode::BAD_REQUEST, "The Artifact that you uploaded is broken!"))?;
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let chart = (text("name"), text("version"));
        let sha256 = self.store_file(name, &format!("/{}-{}.tgz", chart.0, chart.1), bytes)?;
        let mut store = lock(&self.server.store);
        let index = &mut store.repository_mut(name.0, name.1)?.index;
        index.change(self.server.setup.helm_index_lag, chart, Some(Listed { metadata, sha256 }));
        Ok(())
    }

    fn store_provenance(&self, name: (&str, &str), bytes: &Bytes) -> Result<(), Stop> {
        let (chart, version) = charts::provenance(bytes)
            .ok_or_else(|| error(StatusCode::INTERNAL_SERVER_ERROR, "Invalid provenance file"))?;
        self.store_file(name, &format!("/{chart}-{version}.tgz.prov"), bytes).map(drop)
    }

    /// Gives the sha256 of what was stored.
    fn store_file(&self, name: (&str, &str), path: &str, bytes: &Bytes) -> Result<String, Stop> {
        let setup = &self.server.setup;
        let content = content::keep(bytes, setup.keeping, self.server.folder.path())
            .map_err(|error| Refusal::system(error.to_string()))?;
        let mut store = lock(&self.server.store);
        let repository = store.repository_mut(name.0, name.1)?;
        let force = self.parameter("force").is_some();
        if !force && repository.node(path).is_some() {
            let message = format!("The Artifact [{}] already exists!", path.trim_start_matches('/'));
            return Err(error(StatusCode::CONFLICT, &message));
        }
        let node = repository.put_file(path, content, force, self.user())?;
        if self.stores_wrong() {
            node.content.sha256 = super::generic::wrong(&node.content.sha256);
        }
        Ok(node.content.sha256.clone())
    }

    fn charts(&self, name: (&str, &str)) -> Result<BTreeMap<String, Vec<Value>>, Stop> {
        let host = self.header("host").unwrap_or_default();
        let domain = self.server.setup.helm_domain.clone();
        let domain = domain.unwrap_or_else(|| format!("http://{host}/helm"));
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, Action::Read)?;
        let listed = store.repository_mut(name.0, name.1)?.index.look();
        let all = listed.values().map(|listed| (&listed.metadata, listed.sha256.as_str()));
        let url = |chart: &str, version: &str| {
            format!("{domain}/{}/{}/charts/{chart}-{version}.tgz", name.0, name.1)
        };
        Ok(charts::entries(all, url))
    }

    fn index(&self, name: (&str, &str)) -> Result<Response<Body>, Stop> {
        let index = charts::index(&self.charts(name)?);
        let answer = Response::builder().header("content-type", "application/x-yaml");
        Ok(answer.body(Body::from(index)).expect("a plain header"))
    }

    fn describe(&self, name: (&str, &str), rest: &str) -> Result<Response<Body>, Stop> {
        let found = charts::chosen(&self.charts(name)?, rest);
        let found = found.ok_or_else(|| no_artifact(rest))?;
        Ok(json_answer(StatusCode::OK, &found))
    }

    fn chart_file(&self, name: (&str, &str), file: &str) -> Result<Response<Body>, Stop> {
        let path = format!("/{file}");
        let node = {
            let store = lock(&self.server.store);
            store.check(self.release(), &self.who, name, Action::Read)?;
            store.repository(name.0, name.1)?.node(&path).cloned()
        };
        self.send(&node.ok_or_else(|| no_artifact(file))?, &path)
    }

    fn withdraw(&self, name: (&str, &str), chart: &str, version: &str) -> Result<Response<Body>, Stop> {
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, Action::Write)?;
        let repository = store.repository_mut(name.0, name.1)?;
        let path = format!("/{chart}-{version}.tgz");
        if repository.node(&path).is_none() {
            let refusal = Refusal::bad(251_019, format!("Version [{version}] not found"));
            return Err(refusal.with_status(StatusCode::NOT_FOUND).into());
        }
        repository.remove(&path);
        repository.remove(&format!("{path}.prov"));
        let lag = self.server.setup.helm_index_lag;
        repository.index.change(lag, (chart.to_owned(), version.to_owned()), None);
        Ok(json_answer(StatusCode::OK, &json!({"deleted": true})))
    }

    fn regenerate(&self, name: (&str, &str)) -> Result<Response<Body>, Stop> {
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, Action::Write)?;
        let index = &mut store.repository_mut(name.0, name.1)?.index;
        index.coming.iter_mut().for_each(|(left, ..)| *left = 0);
        Ok(answer::success(&Value::Null))
    }
}
