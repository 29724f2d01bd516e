//! Responses in the distribution spec's form.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::json;

pub(super) fn status(status: StatusCode) -> Response<Body> {
    respond(status, &[], Body::empty())
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(status, &json!({"errors": [{"code": code, "message": message}]}))
}

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    respond(status, &[("content-type", "application/json")], Body::from(value.to_string()))
}

pub(super) fn respond(status: StatusCode, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).expect("headers are made here, of plain ASCII")
}
