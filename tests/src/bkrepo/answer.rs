//! The envelope `{code, message, data, traceId}`, and refusals with their status and number.

use std::fmt;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Release;

/// The connection ends without an answer.
#[derive(Debug)]
pub(super) struct Cut;

/// Why there is no good answer.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    /// Refused by the helm service, which says only `{"error": …}`.
    Error(StatusCode, String),
    Cut,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An answer that says no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: u32,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.status.as_u16(), self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

// 25 * 10000 + module * 100 + ordinal + 1: common is module 1, auth 2, artifact 10, storage 11, generic 12. [BKREPO MessageCode]
pub(super) const SYSTEM_ERROR: u32 = 250_102;
pub(super) const PARAMETER_INVALID: u32 = 250_105;
pub(super) const CONTENT_INVALID: u32 = 250_106;
pub(super) const RESOURCE_NOT_FOUND: u32 = 250_108;
pub(super) const DIGEST_CHECK_FAILED: u32 = 251_003;
pub(super) const PROJECT_NOT_FOUND: u32 = 251_004;
pub(super) const PROJECT_EXISTED: u32 = 251_005;
pub(super) const REPOSITORY_NOT_FOUND: u32 = 251_006;
pub(super) const REPOSITORY_EXISTED: u32 = 251_007;
pub(super) const REPOSITORY_NOT_EMPTY: u32 = 251_008;
pub(super) const FOLDER_NOT_EMPTY: u32 = 251_009;
pub(super) const NODE_NOT_FOUND: u32 = 251_010;
pub(super) const NODE_PATH_INVALID: u32 = 251_011;
pub(super) const NODE_EXISTED: u32 = 251_012;
pub(super) const NODE_CONFLICT: u32 = 251_013;
pub(super) const BLOCK_EMPTY: u32 = 251_106;
pub(super) const BLOCK_MISSING: u32 = 251_107;
pub(super) const UPLOAD_ID_NOT_FOUND: u32 = 251_201;
pub(super) const LIST_DIR_NOT_ALLOWED: u32 = 251_202;
pub(super) const CHUNKED_ARTIFACT_BROKEN: u32 = 251_212;

/// The number of a code that moved when others were put before it.
fn moved(release: Release, in_1_3_16: u32) -> u32 {
    match release {
        Release::V1_3_16 => in_1_3_16,
        Release::V3_3 => in_1_3_16 + 2,
    }
}

impl Refusal {
    /// 400, the status of every refusal that says nothing else.
    pub(super) fn bad(code: u32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn no_repository(name: &str) -> Self {
        Self::bad(REPOSITORY_NOT_FOUND, format!("Repository [{name}] not found"))
            .with_status(StatusCode::NOT_FOUND)
    }

    pub(super) fn no_node(path: &str) -> Self {
        Self::bad(NODE_NOT_FOUND, format!("Node [{path}] not found"))
    }

    pub(super) fn existed(path: &str) -> Self {
        Self::bad(NODE_EXISTED, format!("Node [{path}] existed"))
    }

    pub(super) fn conflict(path: &str) -> Self {
        Self::bad(NODE_CONFLICT, format!("Node [{path}] conflict"))
    }

    pub(super) fn digest(which: &str) -> Self {
        Self::bad(DIGEST_CHECK_FAILED, format!("Failed to check artifact {which} digest"))
    }

    pub(super) fn no_upload(id: &str) -> Self {
        Self::bad(UPLOAD_ID_NOT_FOUND, format!("Upload id[{id}] not found"))
    }

    pub(super) fn parameter(name: &str) -> Self {
        Self::bad(PARAMETER_INVALID, format!("Parameter [{name}] is invalid"))
    }

    pub(super) fn system(message: impl Into<String>) -> Self {
        Self::bad(SYSTEM_ERROR, message).with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn unauthenticated(release: Release, reason: &str) -> Self {
        let code = moved(release, 250_112);
        Self::bad(code, format!("Failed to authenticate: {reason}")).with_status(StatusCode::UNAUTHORIZED)
    }

    pub(super) fn denied(release: Release, reason: &str) -> Self {
        Self::bad(moved(release, 250_111), format!("Access denied: {reason}"))
            .with_status(StatusCode::FORBIDDEN)
    }

    pub(super) fn method_not_allowed(release: Release, reason: &str) -> Self {
        Self::bad(moved(release, 250_110), format!("Method not allowed: {reason}"))
    }

    pub(super) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let body = json!({"code": self.code, "message": self.message, "data": null, "traceId": ""});
        json_answer(self.status, &body)
    }
}

/// Adds to a 401 what makes browsers ask. [BKREPO SecurityExceptionHandler]
pub(super) fn challenged(mut answer: Response<Body>) -> Response<Body> {
    if answer.status() == StatusCode::UNAUTHORIZED {
        let challenge =
            "Basic realm=\"Authentication Required\"".parse().expect("plain ASCII is a header value");
        answer.headers_mut().entry("www-authenticate").or_insert(challenge);
    }
    answer
}

pub(super) fn success(data: &Value) -> Response<Body> {
    json_answer(StatusCode::OK, &json!({"code": 0, "message": null, "data": data, "traceId": ""}))
}

/// What the gateway says itself, without asking a service.
pub(super) fn gateway(status: StatusCode) -> Response<Body> {
    json_answer(status, &json!({"code": status.as_u16(), "message": status.canonical_reason(), "data": null}))
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Body::from(body.to_string())).expect("a status and a plain header")
}

/// One page of rows, as all paged lists are given.
pub(super) fn page(rows: Vec<Value>, number: u64, size: u64) -> Value {
    let total = rows.len() as u64;
    let number = number.max(1);
    let skipped = usize::try_from((number - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let taken = usize::try_from(size).unwrap_or(usize::MAX);
    let records: Vec<Value> = rows.into_iter().skip(skipped).take(taken).collect();
    json!({
        "pageNumber": number,
        "pageSize": size,
        "totalRecords": total,
        "totalPages": total.div_ceil(size),
        "records": records,
        "count": total,
        "page": number,
    })
}
