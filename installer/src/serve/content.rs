//! The head of an answer that is a blob: conditions, ranges, and what names the content.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::library::Content;
use super::range::{Selection, select};
use super::router::Shared;

/// How long an answer stays right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The URL names the digest.
    Forever,
    /// The URL is a name, which may come to mean something else.
    UntilAsked,
}

/// Answers a request for `content`. `HEAD` gets the same head; its body is never opened.
pub(super) fn respond(
    shared: &Shared,
    content: Content,
    request: &HeaderMap,
    media_type: &str,
    lifetime: Lifetime,
) -> Response {
    let tag = format!("\"{}\"", content.digest);
    let mut response = Response::new(Body::empty());
    let head = response.headers_mut();
    set(head, ETAG, &tag);
    set(head, ACCEPT_RANGES, "bytes");
    set(
        head,
        CACHE_CONTROL,
        match lifetime {
            Lifetime::Forever => "public, max-age=31536000, immutable",
            Lifetime::UntilAsked => "no-cache",
        },
    );
    if request.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let wanted_still = request.get(IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes());
    let range = request.get(RANGE).filter(|_| wanted_still).and_then(|range| range.to_str().ok());
    let selection = select(range, content.size);
    let length = match selection {
        Selection::Whole => content.size,
        Selection::Part { start, length } => {
            let last = start + length - 1;
            set(head, CONTENT_RANGE, &format!("bytes {start}-{last}/{}", content.size));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            length
        }
        Selection::Unsatisfiable => {
            set(head, CONTENT_RANGE, &format!("bytes */{}", content.size));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
    };
    let head = response.headers_mut();
    set(head, CONTENT_TYPE, media_type);
    set(head, CONTENT_LENGTH, &length.to_string());
    *response.body_mut() = shared.streams.body(content, selection);
    response
}

/// Whether an `If-None-Match` header names the tag.
fn names(header: &HeaderValue, tag: &str) -> bool {
    let Ok(header) = header.to_str() else { return false };
    header.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// A document that is made for this answer.
pub(super) fn json(media_type: &str, document: &impl serde::Serialize) -> Response {
    let text = serde_json::to_vec(document).expect("documents have only strings as keys");
    let mut response = Response::new(Body::from(text));
    set(response.headers_mut(), CONTENT_TYPE, media_type);
    response
}

/// Sets a header. Foreign text that cannot stand in one (a media type out of a catalog) is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
