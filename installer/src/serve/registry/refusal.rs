//! Errors in the envelope that registry clients read.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::serve::content::set;

/// The error codes of the distribution specification that a read-only registry needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    NotFound,
    PaginationNumberInvalid,
    Unauthorized,
    Unreadable,
    Unsupported,
}

impl Code {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::DigestInvalid => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Self::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Self::NameInvalid => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            Self::NotFound => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::PaginationNumberInvalid => (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
            Self::Unsupported => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }
}

/// An answer that says no, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    message: String,
    detail: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Map::new() }
    }

    /// Adds what the refusal is about.
    pub(super) fn about(mut self, key: &str, value: &str) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.code.parts();
        let body = json!({"errors": [{"code": code, "message": self.message, "detail": self.detail}]});
        let mut response = (status, body.to_string()).into_response();
        set(response.headers_mut(), CONTENT_TYPE, "application/json");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            set(response.headers_mut(), ALLOW, "GET, HEAD");
        }
        response
    }
}
