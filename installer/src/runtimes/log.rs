//! Lines of an access log. bkrepo's generic service writes `TIME … "GET /PROJECT/REPOSITORY/PATH HTTP/1.1" 404 …` (as the
//! awk call of BlueKing's guide "upload PaaS runtimes" expects); its gateway, nginx, the same with `/generic` in front and
//! the time in brackets. Nothing else of a line counts.

use std::borrow::Cow;

/// A request that ended in 404.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unmet<'a> {
    /// What was asked for, as bkrepo takes it: decoded, without query, without repeated slashes.
    pub(super) path: String,
    /// When, as the line says it.
    pub(super) time: Option<&'a str>,
}

/// The request of a line, if it asked for content and ended in 404.
pub(super) fn unmet(line: &str) -> Option<Unmet<'_>> {
    let (asked, version) = line.rsplit_once(" HTTP/")?;
    let status = version.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let status = status.strip_prefix('"').unwrap_or(status).trim_start();
    let ends = |rest: &str| rest.chars().next().is_none_or(|next| !next.is_ascii_digit());
    if !status.strip_prefix("404").is_some_and(ends) {
        return None;
    }
    let (before, target) = ["GET /", "HEAD /"]
        .iter()
        .filter_map(|method| asked.rfind(method).map(|at| (at, at + method.len() - 1)))
        .max()
        .map(|(at, path)| (&asked[..at], &asked[path..]))?;
    Some(Unmet { path: normal(target), time: time(before) })
}

/// As bkrepo takes paths (bk-repo, PathUtils.kt), of what a request line can hold.
fn normal(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded: Cow<'_, str> =
        percent_encoding::percent_decode_str(path).decode_utf8().unwrap_or(Cow::Borrowed(path));
    let parts: Vec<&str> = decoded.split('/').map(str::trim).filter(|part| !part.is_empty()).collect();
    let parts = match parts.split_first() {
        Some((&"generic", rest)) => rest,
        _ => &parts[..],
    };
    format!("/{}", parts.join("/"))
}

/// The first thing that looks like a time: `2024-05-13T10:00:00.123Z`, `2024-05-13 10:00:00.123`, `[13/May/2024:10:00:00 +0800]`.
fn time(text: &str) -> Option<&str> {
    let is_shape = |part: &[u8], shape: &[u8]| {
        part.len() == shape.len()
            && part.iter().zip(shape).all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                b'A' => byte.is_ascii_alphabetic(),
                b'T' => matches!(byte, b'T' | b' '),
                other => byte == other,
            })
    };
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        for shape in [&b"0000-00-00T00:00:00"[..], b"00/AAA/0000:00:00:00"] {
            if bytes.get(at..at + shape.len()).is_some_and(|part| is_shape(part, shape)) {
                return text.get(at..at + shape.len());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_not_there() {
        let of = |line| unmet(line).map(|unmet| (unmet.path, unmet.time));
        let path = "/bkpaas/bkpaas3-platform-assets/runtimes/nodejs/node/release/linux-x64/node-v14.16.1-linux-x64.tar.gz";
        let lines = [
            (
                format!("2024-05-13 10:00:00.123  10.0.0.7 - \"GET {path} HTTP/1.1\" 404 121 3"),
                Some("2024-05-13 10:00:00"),
            ),
            (
                format!("2024-05-13T02:00:00.1Z {{x}}  \"HEAD /generic/{path}?a=b HTTP/1.1\" 404"),
                Some("2024-05-13T02:00:00"),
            ),
            (
                format!(
                    "10.0.0.7 - - [13/May/2024:10:00:00 +0800] \"GET /generic{path} HTTP/2.0\" 404 9 \"-\""
                ),
                Some("13/May/2024:10:00:00"),
            ),
            (format!("GET {path} HTTP/1.1\" 404"), None),
            (format!("GET {} HTTP/1.1\" 404", path.replace("/node/", "//node/").replace("-v", "%2Dv")), None),
        ];
        for (line, time) in &lines {
            assert_eq!(of(line), Some((path.to_owned(), *time)), "{line}");
        }
    }

    #[test]
    fn leaves_everything_else_alone() {
        for line in [
            "",
            "\"GET /bkpaas/a/b HTTP/1.1\" 200 404",
            "\"GET /bkpaas/a/b HTTP/1.1\" 4040",
            "\"PUT /bkpaas/a/b HTTP/1.1\" 404",
            "java.lang.Exception: 404 HTTP/",
            "GET /bkpaas/é HTTP/1.1",
            "蓝鲸 HTTP/1.1\" 404",
        ] {
            assert_eq!(unmet(line), None, "{line}");
        }
    }
}
