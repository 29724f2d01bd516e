//! Foreign text on its way into URLs, headers and HTML.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Percent-encodes a path, leaving its slashes, and the `+` of versions: helm names files after URLs.
pub(super) fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

/// Encodes a value for a query.
pub(super) fn encode_query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Escapes text for HTML, in elements and in quoted attributes.
pub(super) fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// `Content-Disposition` for saving under the last part of `path`, in a form for old clients and one for all
/// ([RFC 6266](https://www.rfc-editor.org/rfc/rfc6266)).
pub(super) fn attachment(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-+ ".contains(c) { c } else { '_' })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encode_path(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(encode_path("a+b c/中.md?#%"), "a+b%20c/%E4%B8%AD.md%3F%23%25");
        assert_eq!(encode_query("a+b c/中"), "a%2Bb+c%2F%E4%B8%AD");
        assert_eq!(escape_html("<a b=\"c\">&'"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
        assert_eq!(
            attachment("docs/说\"明.md"),
            "attachment; filename=\"___.md\"; filename*=UTF-8''%E8%AF%B4%22%E6%98%8E.md"
        );
    }
}
