//! Actions of Go's templates among the lines: `{{- if … }}`, `{{ include … | nindent 8 }}`.

use super::Scanner;

/// Actions that write nothing themselves.
const CONTROL: [&str; 10] =
    ["if", "else", "end", "range", "with", "define", "block", "break", "continue", "/*"];

impl Scanner<'_> {
    /// Behind the action that begins at `at`, if one does.
    pub(super) fn action(&self, at: usize) -> Option<usize> {
        if self.byte(at + 1) != b'{' || self.byte(at) != b'{' {
            return None;
        }
        crate::holes::action_end(crate::holes::beginning(&self.text[at..])).map(|length| at + length)
    }

    fn is_control(&self, at: usize, end: usize) -> bool {
        let inner = self.text[at + 2..end - 2].trim_start_matches('-').trim_start();
        let word = inner
            .split(|c: char| c.is_whitespace() || matches!(c, '-' | '}' | '('))
            .next()
            .unwrap_or_default();
        CONTROL.contains(&word) || inner.starts_with("/*") || (inner.starts_with('$') && inner.contains('='))
    }

    /// A line that begins with an action.
    pub(super) fn template_line(&mut self, begin: usize, column: isize) {
        let mut at = begin;
        let mut is_output = false;
        while let Some(end) = self.action(at) {
            let is_control = self.is_control(at, end);
            if !is_control && !is_output {
                // What is put in may be the beginning of a key or of a value.
                is_output = true;
                if !self.is_only_actions(end) {
                    self.entry(at, column);
                    return;
                }
            }
            at = self.skip_spaces(end);
            if !is_control && !self.ends_line(at) {
                break;
            }
        }
        if at > begin && !self.ends_line(at) && !self.bytes[at..].starts_with(b"{{") {
            self.entry(at, column);
        } else {
            self.at = self.next_line(at);
        }
    }

    pub(super) fn is_only_actions(&self, mut at: usize) -> bool {
        loop {
            at = self.skip_spaces(at);
            if self.ends_line(at) {
                return true;
            }
            match self.action(at) {
                Some(end) => at = end,
                None => return false,
            }
        }
    }

    /// The end of a plain scalar without the `{{ end }}` behind it.
    pub(super) fn without_control(&self, start: usize, end: usize) -> usize {
        let text = &self.text[start..end];
        if !text.ends_with("}}") {
            return end;
        }
        match text.rfind("{{") {
            Some(last) if self.action(start + last) == Some(end) && self.is_control(start + last, end) => {
                self.without_control(start, start + text[..last].trim_end().len())
            }
            _ => end,
        }
    }
}
