//! A position in a text, and the tokens that requirements and markers are made of.

/// A text and how far it was read.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Spaces and tabs, the only white space of the grammar. Tells whether there was any.
    pub(super) fn spaces(&mut self) -> bool {
        !self.take_while(|c| matches!(c, ' ' | '\t')).is_empty()
    }

    /// A sign of punctuation.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    pub(super) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A whole word, such as `and`; not the beginning of a longer one.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.starts_word()
            && self
                .rest()
                .strip_prefix(word)
                .is_some_and(|behind| !behind.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    /// Whether a word can begin here: the character before belongs to none.
    fn starts_word(&self) -> bool {
        !self.text[..self.at].ends_with(is_word)
    }

    /// A name of a project or extra: ASCII letters, digits, `.`, `_` and `-`, first a letter or
    /// digit, and no `.` or `-` at the end.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        if !self.peek()?.is_ascii_alphanumeric() || !self.starts_word() {
            return None;
        }
        let rest = self.rest();
        let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches(['.', '-']);
        self.at += name.len();
        Some(name)
    }
}
