//! References among other words: in scripts, commands, configurations of any kind and lines of `NAME=value`.

use std::ops::Range;

use crate::How;
use crate::keys;
use crate::mapped::Mapped;
use crate::parts::Parts;
use crate::plausible;

/// Tells every reference in `text`: what follows a name or an option that ends in `image`, and what can be nothing
/// else. Lines that begin with a comment's sign are passed over.
pub(crate) fn find(text: &Mapped<'_>, tell: &mut dyn FnMut(Parts, Option<&str>)) {
    for (at, line) in crate::lines::of(&text.text) {
        let begin = line.trim_start();
        if begin.starts_with('#') || begin.starts_with("//") || begin.starts_with(';') {
            continue;
        }
        let may_name = line.contains('/') && line.contains([':', '@']);
        if may_name || contains_image(line) {
            in_line(text, at..at + line.len(), tell);
        }
    }
}

fn contains_image(line: &str) -> bool {
    line.as_bytes().windows(5).any(|word| word.eq_ignore_ascii_case(b"image"))
}

fn in_line(text: &Mapped<'_>, line: Range<usize>, tell: &mut dyn FnMut(Parts, Option<&str>)) {
    let mut name: Option<&str> = None;
    for word in Words::new(&text.text[line.clone()]) {
        let range = line.start + word.start..line.start + word.end;
        let said = &text.text[range.clone()];
        let part = text.part(range.clone());
        let found = match name {
            Some(name) if keys::is_image(name) => plausible::named_so(&part),
            Some(_) => plausible::among_values(&part),
            None => plausible::by_itself(&part),
        };
        match found {
            Some(parts) => {
                tell(parts, name.take());
            }
            None => {
                name = Some(said.trim_start_matches('-'))
                    .filter(|_| is_assigned(&text.text[range.end..line.end], said));
            }
        }
    }
}

/// Whether what follows a word is its value: `NAME=…`, `name: …`, `name = …`, `--name …`.
fn is_assigned(rest: &str, word: &str) -> bool {
    let rest = rest.trim_start_matches(['"', '\'', ' ']);
    rest.starts_with('=') || rest.starts_with(':') || (word.starts_with("--") && keys::is_image(word))
}

/// The words of a line, without quotes and what separates them. An action of a template and a variable are one word
/// with what is around them.
struct Words<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    fn new(line: &'t str) -> Self {
        Self { line, at: 0 }
    }

    /// The length of an action or a variable in braces.
    fn whole(&self, at: usize) -> Option<usize> {
        let rest = crate::holes::beginning(&self.line[at..]);
        if rest.starts_with("{{") {
            return crate::holes::action_end(rest);
        }
        if rest.starts_with("${") {
            return rest.find('}').map(|end| end + 1);
        }
        if rest.starts_with("$(") { rest.find(')').map(|end| end + 1) } else { None }
    }
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let bytes = self.line.as_bytes();
        while self.at < bytes.len() && is_separator(bytes[self.at]) && self.whole(self.at).is_none() {
            self.at += 1;
        }
        let start = self.at;
        while self.at < bytes.len() {
            if let Some(length) = matches!(bytes[self.at], b'{' | b'$').then(|| self.whole(self.at)).flatten()
            {
                self.at += length;
            } else if is_separator(bytes[self.at]) {
                break;
            } else {
                self.at += 1;
            }
        }
        // A colon ends a name where a space follows it.
        let end = if self.line[start..self.at].ends_with(':') { self.at - 1 } else { self.at };
        (start < self.at).then(|| start..end.max(start))
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'"'
            | b'\''
            | b'='
            | b','
            | b';'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'<'
            | b'>'
            | b'|'
            | b'`'
            | b'&'
    )
}

/// An environment's file: lines of `NAME=value`.
pub(crate) fn environment(text: &str, report: &mut crate::report::Report<'_>) {
    find(&Mapped::new(text, 0), &mut |parts, name| {
        report.push(parts, How::Environment, None, name.unwrap_or_default().to_owned());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        find(&Mapped::new(text, 0), &mut |parts, name| {
            assert_eq!(&text[parts.spans.repository.clone()], parts.named.repository);
            found.push(format!("{}={}", name.unwrap_or_default(), parts.named));
        });
        found
    }

    #[test]
    fn among_words() {
        for (text, expected) in [
            (
                "PAAS_APP_IMAGE=hub.bktencent.com/blueking/slug-app:v1",
                "PAAS_APP_IMAGE=hub.bktencent.com/blueking/slug-app:v1",
            ),
            ("export A_IMAGE='redis'\n# B_IMAGE=x\nC=redis\n", "A_IMAGE=redis"),
            ("sandbox_image = \"registry.k8s.io/pause:3.9\"", "sandbox_image=registry.k8s.io/pause:3.9"),
            ("--sidecar-image=x/y:z --image busybox -v a.b/c:ro", "sidecar-image=x/y:z image=busybox"),
            ("--reloader=quay.io/a/b:v1", "reloader=quay.io/a/b:v1"),
            ("docker pull \"quay.io/a/b:v1\" && curl http://a.example.com/b:1", "=quay.io/a/b:v1"),
            ("image: redis:7, name: x", "image=redis:7"),
            ("A=bitnami/redis:7.0\nB=svc/web:80", "A=bitnami/redis:7.0"),
            ("A_IMAGE=${REGISTRY:-docker.io}/a/b:1", "A_IMAGE=docker.io/a/b:1"),
            ("A_IMAGE=true\nUSE_IMAGE=\nB=c", ""),
        ] {
            assert_eq!(found(text).join(" "), expected, "{text}");
        }
    }
}
