//! Reads a Corefile as CoreDNS's parser does, and notes where each word stands.

use std::ops::Range;

use super::CorefileError;
use super::zone::{USUAL_PORT, Zone};

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, without quotes.
    pub(super) text: String,
    /// Its bytes, quotes included.
    pub(super) span: Range<usize>,
    /// The line that it begins on, from 1.
    pub(super) line: usize,
}

/// A plugin with its arguments, and what stands in its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// All words, braces included.
    pub(super) words: Vec<Word>,
    /// The place of the brace that opens, and of the one that closes.
    pub(super) braces: Option<(usize, usize)>,
}

/// A server block or a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What it answers for; a snippet's name in parentheses.
    pub(super) keys: Vec<String>,
    /// The bytes between its braces; to the end of the file where it has none.
    pub(super) body: Range<usize>,
    pub(super) statements: Vec<Statement>,
}

impl Statement {
    /// The plugin.
    pub(super) fn name(&self) -> &str {
        &self.words[0].text
    }

    /// Its arguments, without what stands in braces.
    pub(super) fn arguments(&self) -> &[Word] {
        let end = self.braces.map_or(self.words.len(), |(open, _)| open);
        &self.words[1..end]
    }

    /// The words in its braces, line by line.
    pub(super) fn inner_lines(&self) -> Vec<&[Word]> {
        let Some((open, close)) = self.braces else { return Vec::new() };
        self.words[open + 1..close].chunk_by(|one, other| one.line == other.line).collect()
    }

    /// Its bytes.
    pub(super) fn span(&self) -> Range<usize> {
        self.words[0].span.start..self.words[self.words.len() - 1].span.end
    }
}

impl Block {
    /// Its name, if it is a snippet.
    pub(super) fn snippet(&self) -> Option<&str> {
        match self.keys.as_slice() {
            [key] => key.strip_prefix('(')?.strip_suffix(')'),
            _ => None,
        }
    }

    /// What it answers for over plain DNS.
    pub(super) fn zones(&self) -> impl Iterator<Item = Zone> {
        let keys = if self.snippet().is_some() { &[] } else { self.keys.as_slice() };
        keys.iter().filter_map(|key| Zone::parse(key))
    }

    /// Whether it answers for every name.
    pub(super) fn serves_all(&self) -> bool {
        self.zones().any(|zone| zone.is_root())
    }

    /// The ports at which it answers for every name.
    pub(super) fn ports(&self) -> Vec<u16> {
        let ports: Vec<u16> = self.zones().filter(Zone::is_root).map(|zone| zone.port).collect();
        if ports.is_empty() { vec![USUAL_PORT] } else { ports }
    }
}

/// Reads server blocks and snippets.
pub(super) fn parse(text: &str) -> Result<Vec<Block>, CorefileError> {
    let mut reader = Reader { words: words(text)?, at: 0, end: text.len() };
    let mut blocks = Vec::new();
    while reader.peek().is_some() {
        if reader.is_import() {
            reader.skip_line();
        } else {
            blocks.push(reader.block()?);
        }
    }
    Ok(blocks)
}

struct Reader {
    words: Vec<Word>,
    at: usize,
    end: usize,
}

impl Reader {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    fn is(&self, text: &str) -> bool {
        self.peek().is_some_and(|word| word.text == text)
    }

    /// Whether the word begins a line.
    fn is_first_of_line(&self) -> bool {
        let line = |at: usize| self.words.get(at).map(|word| word.line);
        self.at == 0 || line(self.at) != line(self.at - 1)
    }

    fn is_import(&self) -> bool {
        self.is("import") && self.is_first_of_line()
    }

    fn skip_line(&mut self) {
        self.at += 1;
        while self.peek().is_some() && !self.is_first_of_line() {
            self.at += 1;
        }
    }

    fn broken(&self, problem: &'static str) -> CorefileError {
        let line = self.peek().or(self.words.last()).map_or(1, |word| word.line);
        CorefileError::Broken { line, problem }
    }

    fn block(&mut self) -> Result<Block, CorefileError> {
        let keys = self.keys()?;
        let has_braces = self.is("{");
        let mut body = self.peek().map_or(self.end, |word| word.span.start)..self.end;
        if has_braces {
            body.start = self.words[self.at].span.end;
            self.at += 1;
        }
        let mut statements = Vec::new();
        while let Some(word) = self.peek() {
            if word.text == "}" {
                if !has_braces {
                    return Err(self.broken("`}` without `{`"));
                }
                body.end = word.span.start;
                self.at += 1;
                return Ok(Block { keys, body, statements });
            }
            statements.push(self.statement()?);
        }
        if has_braces {
            return Err(self.broken("a server block does not end"));
        }
        Ok(Block { keys, body, statements })
    }

    /// Several, with commas or without; a comma at the end of a line says that more follow.
    fn keys(&mut self) -> Result<Vec<String>, CorefileError> {
        let mut keys = Vec::new();
        let mut expects_more = false;
        while let Some(word) = self.peek() {
            if word.text == "{" || (!keys.is_empty() && !expects_more && self.is_first_of_line()) {
                break;
            }
            if word.text == "}" {
                return Err(self.broken("`}` without `{`"));
            }
            expects_more = word.text.ends_with(',');
            keys.push(word.text.trim_end_matches(',').to_owned());
            self.at += 1;
        }
        if expects_more || keys.is_empty() {
            return Err(self.broken("the name of a server block is missing"));
        }
        Ok(keys)
    }

    fn statement(&mut self) -> Result<Statement, CorefileError> {
        let mut statement = Statement { words: vec![self.words[self.at].clone()], braces: None };
        let (mut depth, mut open) = (0_usize, None);
        self.at += 1;
        while let Some(word) = self.peek() {
            match word.text.as_str() {
                "{" => {
                    depth += 1;
                    open = open.or(Some(statement.words.len()));
                }
                _ if depth == 0 && self.is_first_of_line() => break,
                "}" if depth == 0 => return Err(self.broken("`}` must stand on a line of its own")),
                "}" => {
                    depth -= 1;
                    if let (0, Some(open)) = (depth, open) {
                        statement.braces.get_or_insert((open, statement.words.len()));
                    }
                }
                _ => {}
            }
            statement.words.push(self.words[self.at].clone());
            self.at += 1;
        }
        if depth > 0 {
            return Err(self.broken("a `{` is not closed"));
        }
        Ok(statement)
    }
}

/// Words are parted by white space; quotes hold some together; what follows `#` on a line is a comment.
fn words(text: &str) -> Result<Vec<Word>, CorefileError> {
    let mut words: Vec<Word> = Vec::new();
    let mut line = 1;
    let mut current: Option<Word> = None;
    let mut characters = text.char_indices().peekable();
    let mut finish = |current: &mut Option<Word>, end: usize| {
        if let Some(mut word) = current.take() {
            word.span.end = end;
            words.push(word);
        }
    };
    while let Some((at, character)) = characters.next() {
        match character {
            '\n' => {
                finish(&mut current, at);
                line += 1;
            }
            '\r' => finish(&mut current, at),
            _ if character.is_whitespace() => finish(&mut current, at),
            '#' => {
                finish(&mut current, at);
                while characters.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            '"' if current.is_none() => {
                let mut word = Word { text: String::new(), span: at..at, line };
                loop {
                    match characters.next() {
                        Some((end, '"')) => {
                            word.span.end = end + 1;
                            break;
                        }
                        Some((_, '\\')) if characters.next_if(|(_, next)| *next == '"').is_some() => {
                            word.text.push('"');
                        }
                        Some((_, inner)) => {
                            line += usize::from(inner == '\n');
                            word.text.push(inner);
                        }
                        None => {
                            return Err(CorefileError::Broken {
                                line: word.line,
                                problem: "a quote does not end",
                            });
                        }
                    }
                }
                let end = word.span.end;
                finish(&mut Some(word), end);
            }
            _ => {
                let word = current.get_or_insert_with(|| Word { text: String::new(), span: at..at, line });
                word.text.push(character);
            }
        }
    }
    finish(&mut current, text.len());
    Ok(words)
}
