//! Requests and answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::kinds::{Kind, Route, groups, resources, route};
use super::store::{Refusal, Store};
use super::{Inner, TOKEN, VERSION, exec, json_patch, logs, meddling, rights};

/// What a request is about.
struct Asked {
    method: Method,
    query: BTreeMap<String, String>,
    content: String,
    body: Value,
}

pub(super) async fn answer(inner: Option<Arc<Inner>>, request: Request<Body>) -> Response<Body> {
    let Some(inner) = inner else {
        return refuse(&Refusal::new(503, "ServiceUnavailable", "shutting down"));
    };
    if exec::asked(request.uri().path()).is_some() {
        let login = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if login == Some(&format!("Bearer {TOKEN}")) {
            return exec::upgrade(&inner, request);
        }
    }
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    if header("authorization") != format!("Bearer {TOKEN}") {
        return refuse(&Refusal::new(401, "Unauthorized", "Unauthorized"));
    }
    if parts.method != Method::GET && !rights::is_review(parts.uri.path()) {
        if inner.meddling.is_held() {
            // Nobody waits for what is never answered but whoever asked.
            drop(inner);
            return std::future::pending().await;
        }
        inner.writes().push(format!("{} {}", parts.method, parts.uri.path()));
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(&Refusal::new(400, "BadRequest", error.to_string())),
    };
    let body = match serde_json::from_slice(if body.is_empty() { b"null" } else { &body }) {
        Ok(body) => body,
        Err(error) => return refuse(&Refusal::new(400, "BadRequest", error.to_string())),
    };
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect();
    let asked = Asked { method: parts.method, query, content: header("content-type"), body };
    if rights::is_review(parts.uri.path()) {
        return json_answer(201, &rights::review(&inner.forbidden(), asked.body));
    }
    if let Some((namespace, pod)) = logs::asked(parts.uri.path()) {
        return log(&inner, namespace, pod, &asked);
    }
    if asked.method == Method::PUT && inner.meddling.interferes() {
        meddling::change(&mut inner.store(), parts.uri.path());
    }
    let found = match route(parts.uri.path()) {
        Some(route) => rights::check(&inner.forbidden(), &asked.method, &route)
            .and_then(|()| carry_out(&mut inner.store(), &route, asked)),
        None => Err(Refusal::new(404, "NotFound", "the server could not find the requested resource")),
    };
    match found {
        Ok((status, body)) => json_answer(status, &body),
        Err(refusal) => refuse(&refusal),
    }
}

fn log(inner: &Inner, namespace: &str, name: &str, asked: &Asked) -> Response<Body> {
    let Some(pod) = inner.store().at_path(&format!("/api/v1/namespaces/{namespace}/pods/{name}")) else {
        return refuse(&Refusal::new(404, "NotFound", format!("pods \"{name}\" not found")));
    };
    let container = asked.query.get("container").map_or("", String::as_str);
    let timestamps = asked.query.get("timestamps").is_some_and(|wanted| wanted == "true");
    match inner.logs.of(&pod, container, timestamps) {
        Some(text) => Response::new(Body::from(text)),
        None => {
            let problem = format!("container {container} is not valid for pod {name}");
            refuse(&Refusal::new(400, "BadRequest", problem))
        }
    }
}

fn carry_out(store: &mut Store, route: &Route, asked: Asked) -> Result<(u16, Value), Refusal> {
    let manager = asked.query.get("fieldManager").map_or("unknown", String::as_str);
    let text = |name: &str| asked.query.get(name).map_or("", String::as_str);
    let answer = match (asked.method.as_str(), route) {
        ("GET", Route::Version) => json!({"major": "1", "minor": "20", "gitVersion": VERSION}),
        ("GET", Route::Core) => json!({"kind": "APIVersions", "versions": ["v1"]}),
        ("GET", Route::Groups) => groups(),
        ("GET", Route::Resources(version)) => resources(version),
        ("GET", Route::List(kind, namespace)) => {
            selected(store.list(kind, namespace, text("labelSelector")), text("fieldSelector"))
        }
        ("GET", Route::Object(kind, namespace, name)) => store.get(kind, namespace, name)?,
        ("POST", Route::List(kind, namespace)) => {
            return Ok((201, store.create(kind, namespace, asked.body, manager)?));
        }
        ("PUT", Route::Object(kind, namespace, name)) => {
            store.replace(kind, namespace, name, asked.body.clone(), manager)?
        }
        ("PATCH", Route::Object(kind, namespace, name)) => patch(store, kind, namespace, name, &asked)?,
        ("DELETE", Route::Object(kind, namespace, name)) => {
            let policy = asked.body.get("propagationPolicy").and_then(Value::as_str);
            if policy.is_some_and(|policy| policy != "Background") {
                return Err(Refusal::new(422, "Invalid", "only propagationPolicy Background is there"));
            }
            store.delete(kind, namespace, name)?
        }
        _ => return Err(Refusal::new(405, "MethodNotAllowed", "the server does not allow this method")),
    };
    Ok((200, answer))
}

/// Of a list, the objects whose fields are so: `type=Warning`.
fn selected(mut list: Value, fields: &str) -> Value {
    let wanted: Vec<(String, &str)> = fields
        .split(',')
        .filter_map(|field| field.split_once('='))
        .map(|(field, value)| (format!("/{}", field.replace('.', "/")), value))
        .collect();
    let fits = |object: &Value| {
        wanted.iter().all(|(field, value)| object.pointer(field).and_then(Value::as_str) == Some(value))
    };
    if let Some(items) = list["items"].as_array_mut() {
        items.retain(fits);
    }
    list
}

fn patch(
    store: &mut Store,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    asked: &Asked,
) -> Result<Value, Refusal> {
    let manager = asked.query.get("fieldManager");
    match asked.content.as_str() {
        "application/apply-patch+yaml" => {
            let manager = manager
                .ok_or_else(|| Refusal::new(400, "BadRequest", "fieldManager is required for apply patch"))?;
            if asked.body["apiVersion"] != kind.version || asked.body["kind"] != kind.name {
                return Err(Refusal::new(400, "BadRequest", "the object is of another kind than the path"));
            }
            if asked.body["metadata"].get("managedFields").is_some() {
                return Err(Refusal::new(400, "BadRequest", "metadata.managedFields must be nil"));
            }
            without_protocol(&asked.body)?;
            let force = asked.query.get("force").is_some_and(|force| force == "true");
            store.apply(kind, namespace, name, &asked.body, manager, force)
        }
        "application/merge-patch+json" => {
            store.merge(kind, namespace, name, &asked.body, manager.map_or("unknown", String::as_str))
        }
        "application/json-patch+json" => {
            let live = store.get(kind, namespace, name)?;
            let patched = json_patch::apply(&live, &asked.body)?;
            store.replace(kind, namespace, name, patched, manager.map_or("unknown", String::as_str))
        }
        other => Err(Refusal::new(415, "UnsupportedMediaType", format!("{other} is not supported"))),
    }
}

/// Kubernetes 1.20 merges a Service's ports by port and protocol, and knows no default for the latter.
fn without_protocol(object: &Value) -> Result<(), Refusal> {
    let ports = object["spec"]["ports"].as_array().filter(|_| object["kind"] == "Service");
    match ports.and_then(|ports| ports.iter().position(|port| port.get("protocol").is_none())) {
        Some(index) => Err(Refusal::new(
            500,
            "InternalError",
            format!(
                "failed to create typed patch object: .spec.ports: element {index}: associative list with keys has an element that omits key field \"protocol\" (and doesn't have default value)"
            ),
        )),
        None => Ok(()),
    }
}

pub(super) fn refuse(refusal: &Refusal) -> Response<Body> {
    let reason = if refusal.reason == "Conflict" { "FieldManagerConflict" } else { "FieldValueInvalid" };
    let causes: Vec<Value> = refusal
        .causes
        .iter()
        .map(|(field, message)| json!({"reason": reason, "field": field, "message": message}))
        .collect();
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": refusal.message, "reason": refusal.reason, "details": {"causes": causes}, "code": refusal.code});
    json_answer(refusal.code, &body)
}

fn json_answer(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, json);
    response
}

/// Percent escapes of a query.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
