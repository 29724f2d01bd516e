//! Lists of tags and repositories, page by page.

use axum::http::header::LINK;
use axum::response::Response;
use serde_json::json;

use super::Query;
use super::refusal::{Code, Refusal};
use crate::serve::content::{json, set};
use crate::serve::library::{Library, Repository};
use crate::serve::text::{encode_path, encode_query};

pub(super) fn catalog(library: &Library, query: &Query) -> Result<Response, Refusal> {
    let page = Page::cut(library.listed_repositories(), query)?;
    let document = json!({"repositories": page.items});
    Ok(page.respond("/v2/_catalog", &document))
}

pub(super) fn tags(name: &str, repository: &Repository, query: &Query) -> Result<Response, Refusal> {
    let page = Page::cut(repository.tags.keys().map(String::as_str), query)?;
    let document = json!({"name": name, "tags": page.items});
    let mut path = format!("/v2/{}/tags/list", encode_path(name));
    if let Some(namespace) = &query.namespace {
        path = format!("{path}?ns={}", encode_query(namespace));
    }
    Ok(page.respond(&path, &document))
}

/// Some items of a sorted list.
#[derive(Debug, PartialEq, Eq)]
struct Page<'a> {
    items: Vec<&'a str>,
    /// How many the client asked for, when there are more behind these.
    next: Option<usize>,
}

impl<'a> Page<'a> {
    /// The items behind `last`, at most `n`.
    fn cut(sorted: impl Iterator<Item = &'a str>, query: &Query) -> Result<Self, Refusal> {
        let count = query.count.as_deref().map(str::parse::<usize>).transpose();
        let count = count.map_err(|_| Refusal::new(Code::PaginationNumberInvalid, "`n` is no number"))?;
        let last = query.last.as_deref();
        let mut rest = sorted.skip_while(|item| last.is_some_and(|last| *item <= last));
        let items: Vec<&str> = rest.by_ref().take(count.unwrap_or(usize::MAX)).collect();
        let more = !items.is_empty() && rest.next().is_some();
        Ok(Self { items, next: count.filter(|_| more) })
    }

    fn respond(&self, path: &str, document: &serde_json::Value) -> Response {
        let mut response = json("application/json", document);
        if let (Some(count), Some(last)) = (self.next, self.items.last()) {
            let joint = if path.contains('?') { '&' } else { '?' };
            let link = format!("<{path}{joint}n={count}&last={}>; rel=\"next\"", encode_query(last));
            set(response.headers_mut(), LINK, &link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let all = ["1.0", "1.1", "2.0", "latest"];
        for (count, last, items, next) in [
            (None, None, &all[..], None),
            (Some("2"), None, &all[..2], Some(2)),
            (Some("2"), Some("1.1"), &all[2..], None),
            (Some("4"), None, &all[..], None),
            (Some("1"), Some("1.05"), &all[1..2], Some(1)),
            (None, Some("latest"), &[], None),
            (Some("0"), None, &[], None),
            (Some("99999999999"), Some(""), &all[..], None),
        ] {
            let query =
                Query { count: count.map(str::to_owned), last: last.map(str::to_owned), ..Query::default() };
            let page = Page::cut(all.into_iter(), &query).unwrap();
            assert_eq!(page, Page { items: items.to_vec(), next }, "{count:?} {last:?}");
        }
        for bad in ["", "-1", "x", "1.5", "99999999999999999999999"] {
            let query = Query { count: Some(bad.to_owned()), ..Query::default() };
            assert!(Page::cut(all.into_iter(), &query).is_err(), "{bad}");
        }
    }
}
