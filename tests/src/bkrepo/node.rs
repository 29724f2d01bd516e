//! Nodes: detail, pages, folders, deletion, size. [BKREPO UserNodeController, NodeQueryHelper]

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Refusal, Stop};
use super::auth::Action;
use super::call::{Call, address};
use super::lock;
use super::path::{self, normalize};
use super::store::Node;

const DEFAULT_PAGE_SIZE: u64 = 20;

impl Call<'_> {
    pub(super) async fn node_api(&mut self, rest: &str) -> Result<Response<Body>, Stop> {
        let (verb, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if verb == "search" && self.is(&Method::POST) {
            let model = self.json().await?;
            return self.search(&model);
        }
        let Some((project, repository, raw)) = address(rest) else {
            return Ok(answer::gateway(StatusCode::NOT_FOUND));
        };
        let (name, path) = ((project.as_str(), repository.as_str()), normalize(&raw)?);
        let action = if self.is(&Method::GET) { Action::Read } else { Action::Write };
        let mut store = lock(&self.server.store);
        store.check(self.release(), &self.who, name, action)?;
        let repository = store.repository_mut(name.0, name.1)?;
        let data = match (&self.parts.method, verb) {
            (&Method::GET, "detail") if path == "/" => Node::root().detail(name, "/"),
            (&Method::GET, "detail") => {
                // 400, unlike the same of the generic service.
                repository.node(&path).ok_or_else(|| Refusal::no_node(&path))?.detail(name, &path)
            }
            (&Method::GET, "page") => self.list_page(name, repository, &path)?,
            (&Method::GET, "size") => size(repository, &path)?,
            (&Method::POST, "mkdir") => {
                repository.put_folder(&path, self.user())?;
                Value::Null
            }
            (&Method::DELETE, "delete") if path == "/" => {
                return Err(Refusal::method_not_allowed(self.release(), "Can't delete root node.").into());
            }
            (&Method::DELETE, "delete") => {
                let (count, size) = repository.remove(&path);
                json!({"deletedNumber": count, "deletedSize": size, "deletedTime": "2023-06-14T12:00:00.394"})
            }
            _ => return Err(Refusal::method_not_allowed(self.release(), verb).into()),
        };
        Ok(answer::success(&data))
    }

    fn numbered(&self, name: &str, otherwise: u64) -> Result<u64, Refusal> {
        let value = self.parameter(name).map_or(Ok(otherwise), str::parse);
        value.map_err(|_| Refusal::parameter(name))
    }

    fn yes(&self, name: &str, otherwise: bool) -> bool {
        self.parameter(name).map_or(otherwise, |value| value == "true")
    }

    /// What lies in a folder, or deep below it. A folder that is not there has nothing in it.
    fn list_page(
        &self,
        name: (&str, &str),
        repository: &super::store::Repository,
        path: &str,
    ) -> Result<Value, Refusal> {
        let size = self.numbered("pageSize", DEFAULT_PAGE_SIZE)?;
        let number = self.numbered("pageNumber", 1)?;
        if size == 0 || size > self.server.setup.page_limit {
            return Err(Refusal::parameter("pageSize"));
        }
        let (deep, with_folders) = (self.yes("deep", false), self.yes("includeFolder", true));
        let lies_here = |found: &str| deep || path::parent(found) == path;
        let mut found: Vec<(&String, &Node)> = repository
            .below(path)
            .filter(|(found, node)| lies_here(found) && (with_folders || !node.folder))
            .collect();
        if self.yes("sort", false) {
            found.sort_by_key(|(path, node)| (with_folders && !node.folder, *path));
        } else if !deep {
            // In no order of names: as they were made.
            found.sort_by_key(|(_, node)| node.made);
        }
        self.sort_by_properties(&mut found)?;
        let with_metadata = self.yes("includeMetadata", false);
        let rows = found.into_iter().map(|(path, node)| node.info(name, path, with_metadata));
        Ok(answer::page(rows.collect(), number, size))
    }

    fn sort_by_properties(&self, found: &mut [(&String, &Node)]) -> Result<(), Refusal> {
        let (properties, directions) = (self.parameters("sortProperty"), self.parameters("direction"));
        // The last is applied first, or it would outweigh the others.
        for (property, direction) in properties.iter().zip(&directions).rev() {
            match *property {
                "name" => found.sort_by_key(|(path, _)| path::name(path)),
                "fullPath" => found.sort_by_key(|(path, _)| *path),
                "size" => found.sort_by_key(|(_, node)| node.content.size),
                "createdDate" | "lastModifiedDate" => found.sort_by_key(|(_, node)| node.made),
                _ => return Err(Refusal::parameter("sortProperty")),
            }
            match *direction {
                "ASC" => {}
                "DESC" => found.reverse(),
                _ => return Err(Refusal::parameter("direction")),
            }
        }
        Ok(())
    }
}

fn size(repository: &super::store::Repository, path: &str) -> Result<Value, Refusal> {
    if !repository.is_folder(path) {
        let node = repository.node(path).ok_or_else(|| Refusal::no_node(path))?;
        return Ok(json!({"subNodeCount": 0, "size": node.content.size}));
    }
    let (count, size) =
        repository.below(path).fold((0, 0), |(count, size), (_, node)| (count + 1, size + node.content.size));
    Ok(json!({"subNodeCount": count, "size": size}))
}
