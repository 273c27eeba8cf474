//! What differs from run to run or from host to host, replaced by a word in brackets.

use std::path::Path;

use regex::Regex;

/// Replacements in their order: what is specific first.
#[derive(Debug, Clone, Default)]
pub struct Redactions {
    texts: Vec<(String, String)>,
    patterns: Vec<(Regex, &'static str)>,
}

/// Patterns for every sandbox.
const PATTERNS: &[(&str, &str)] = &[
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
    (
        r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?",
        "[DATE]",
    ),
    (r"\b([0-9a-f]{64}|[0-9a-f]{12,40})\b", "[ID]"),
    (r"\b\d+(\.\d+)?\s?(ns|µs|ms|s|min|h)\b", "[TIME]"),
    (r"\b\d+ (second|minute)s? ago\b|\bjust now\b", "[AGO]"),
    (
        r"\b\d+(\.\d+)? ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|bytes?)\b",
        "[SIZE]",
    ),
    (r"\b(pid|process) \d+\b", "$1 [PID]"),
    // A column that follows a replaced word would keep the width of what was replaced.
    (r"\]  +", "]  "),
    (r"(?m)[ \t]+$", ""),
];

impl Redactions {
    /// The patterns that hold everywhere.
    pub(crate) fn new() -> Self {
        let patterns = PATTERNS
            .iter()
            .map(|(pattern, word)| (Regex::new(pattern).expect("a valid pattern"), *word))
            .collect();
        Self {
            texts: Vec::new(),
            patterns,
        }
    }

    /// Adds a text to replace; longer texts win over their parts.
    pub(crate) fn text(&mut self, text: &str, word: &str) {
        self.texts.push((text.to_owned(), word.to_owned()));
        self.texts
            .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// Adds a path to replace.
    pub(crate) fn path(&mut self, path: &Path, word: &str) {
        self.text(&path.to_string_lossy(), word);
    }

    /// The text with everything replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.texts {
            text = text.replace(from, to);
        }
        for (pattern, word) in &self.patterns {
            text = pattern.replace_all(&text, *word).into_owned();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced() {
        let mut redactions = Redactions::new();
        redactions.path(Path::new("/tmp/x"), "[ROOT]");
        redactions.path(Path::new("/tmp/x/home"), "[HOME]");
        let text = "/tmp/x/home/a /tmp/x/b http://127.0.0.1:4711/ in 12.5 ms, 3 MiB, process 12 \n\
                    2026-11-21 10:00:01 deadbeefdeadbeef    1 package";
        assert_eq!(
            redactions.apply(text),
            "[HOME]/a [ROOT]/b http://127.0.0.1:[PORT]/ in [TIME], [SIZE], process [PID]\n\
             [DATE] [ID]  1 package"
        );
    }

    #[test]
    fn versions_names_and_counts_stay() {
        let text = "demo 1.0 -> 2.0, operation 12, 3 packages, 5 errors";
        assert_eq!(Redactions::new().apply(text), text);
    }
}
