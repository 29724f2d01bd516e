//! Paths in a repository, by bkrepo's own rules (`PathUtils.kt`).

/// The deepest path that bkrepo takes.
const MOST_SEGMENTS: usize = 64;
/// The longest name that bkrepo takes.
const LONGEST_NAME: usize = 1024;

/// The path as bkrepo keeps it: with `/` in front, without empty segments and `.`. What bkrepo would silently make into
/// another path is refused: a file must lie where its bundle says.
pub(super) fn normalize(path: &str) -> Result<String, &'static str> {
    let mut normal = String::with_capacity(path.len() + 1);
    let mut segments = 0;
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if segment == ".." {
            return Err("`..` has no place in it");
        }
        if segment.contains('\\') || segment.chars().any(char::is_control) {
            return Err("it holds a backslash or a control character");
        }
        if segment.trim() != segment {
            return Err("a name in it begins or ends with a space");
        }
        if segment.chars().count() > LONGEST_NAME {
            return Err("a name in it is longer than 1024 letters");
        }
        segments += 1;
        normal.push('/');
        normal.push_str(segment);
    }
    if segments > MOST_SEGMENTS {
        return Err("it is deeper than 64 folders");
    }
    Ok(if normal.is_empty() { "/".to_owned() } else { normal })
}

/// A name as it stands in a URL: all but RFC 3986's unreserved letters in `%XX`. Servers on the way read `;`, `+` and
/// others in their own ways.
pub(crate) fn encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/a/b", Ok("/a/b")),
            ("a//b/", Ok("/a/b")),
            ("./a/./b", Ok("/a/b")),
            ("", Ok("/")),
            ("/a b/蓝鲸.tgz", Ok("/a b/蓝鲸.tgz")),
            ("/a/../b", Err("`..` has no place in it")),
            ("/a\\b", Err("it holds a backslash or a control character")),
            ("/a\n", Err("it holds a backslash or a control character")),
            ("/a /b", Err("a name in it begins or ends with a space")),
        ] {
            assert_eq!(normalize(path), expected.map(str::to_owned), "{path}");
        }
        assert!(normalize(&"a/".repeat(64)).is_ok());
        assert!(normalize(&"a/".repeat(65)).is_err());
        assert!(normalize(&"a".repeat(1025)).is_err());
        assert_eq!(encode("a+b;c%蓝"), "a%2Bb%3Bc%25%E8%93%9D");
    }
}
