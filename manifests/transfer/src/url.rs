//! URLs: with secrets left out when shown, and put together the way registries need it.

use std::fmt;

use url::Url;

use crate::Error;

/// A URL fit for logs and errors: without user, password and query, which can hold signatures and tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeUrl(Box<str>);

impl SafeUrl {
    /// The host, with its port where the URL has one.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// Whether it is not protected by TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }
}

impl From<&Url> for SafeUrl {
    fn from(url: &Url) -> Self {
        let host = host_and_port(url);
        let query = if url.query().is_some() { "?…" } else { "" };
        Self(format!("{}://{host}{}{query}", url.scheme(), url.path()).into())
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `host` or `host:port`, as users write it.
pub(crate) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Scheme, host and port are the same: credentials for one may go to the other.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Parses what a user or a document gives as a URL.
pub(crate) fn parse(text: &str) -> Result<Url, Error> {
    let error = |reason: &str| Error::Url {
        // What precedes an `@` can be a password.
        url: text
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .split('?')
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|source| error(&source.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(error("only http:// and https:// can be"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(error("it has no host"));
    }
    Ok(url)
}

/// Where an upload goes on: a `Location` header, seen from the request that it answers.
///
/// Registries behind proxies name themselves wrongly: without the port (bkrepo), or as `http` where TLS ends at the
/// proxy. A location on our own host is therefore taken by its path and query alone. One on another host (object
/// storage) is kept.
pub(crate) fn follow_location(request: &Url, location: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::Protocol { url: request.into(), reason };
    let target =
        request.join(location).map_err(|source| bad(format!("its Location header is no URL: {source}")))?;
    if !matches!(target.scheme(), "http" | "https") {
        return Err(bad("its Location header has a scheme other than http and https".into()));
    }
    let portless = target.port().is_none() || target.port() == request.port();
    if target.host_str() == request.host_str() && portless {
        let mut rebased = request.clone();
        rebased.set_path(target.path());
        rebased.set_query(target.query());
        return Ok(rebased);
    }
    if request.scheme() == "https" && target.scheme() == "http" {
        return Err(Error::Insecure { from: request.into(), to: (&target).into() });
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        for (request, location, expected) in [
            (
                "https://r:5000/v2/a/blobs/uploads/",
                "/v2/a/blobs/uploads/1?x=2",
                "https://r:5000/v2/a/blobs/uploads/1?x=2",
            ),
            ("https://r:5000/v2/a/blobs/uploads/", "2", "https://r:5000/v2/a/blobs/uploads/2"),
            ("http://r:5000/v2/a/", "http://r:5000/v2/b?s=%2F", "http://r:5000/v2/b?s=%2F"),
            ("http://r:5000/v2/a/", "http://r/v2/b", "http://r:5000/v2/b"),
            ("https://r/v2/a/", "http://r/v2/b", "https://r/v2/b"),
            ("https://r:8443/v2/a/", "http://r/v2/b?q", "https://r:8443/v2/b?q"),
            ("https://r/v2/a/", "https://s3.example/bucket?sig=1", "https://s3.example/bucket?sig=1"),
            ("https://r/v2/a/", "https://r:9000/bucket", "https://r:9000/bucket"),
        ] {
            let followed = follow_location(&Url::parse(request).unwrap(), location).unwrap();
            assert_eq!(followed.as_str(), expected, "{request} {location}");
        }
        let request = Url::parse("https://r/v2/a/").unwrap();
        assert!(matches!(follow_location(&request, "http://other/v2/b"), Err(Error::Insecure { .. })));
        assert!(matches!(follow_location(&request, "ftp://other/v2/b"), Err(Error::Protocol { .. })));
        assert!(matches!(follow_location(&request, "http://["), Err(Error::Protocol { .. })));
    }

    #[test]
    fn secrets_stay_out() {
        let url = Url::parse("https://user:secret@host:1/path/x?X-Amz-Signature=secret").unwrap();
        assert_eq!(SafeUrl::from(&url).to_string(), "https://host:1/path/x?…");
        assert_eq!(SafeUrl::from(&url).host(), "host:1");
        for text in
            ["ftp://user:secret@host/x", "user:secret@host", "https://user:secret@", "https://[?token=secret"]
        {
            assert!(!parse(text).unwrap_err().to_string().contains("secret"), "{text}");
        }
    }
}
