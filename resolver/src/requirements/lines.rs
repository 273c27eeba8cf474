//! From text to logical lines and words: continuation, comments, environment variables, quotes.

use super::Problem;

/// A logical line: no comment, no continuation, not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The number of its first line, from 1.
    pub(super) number: usize,
    /// Its text, trimmed.
    pub(super) text: String,
}

/// The logical lines of a file.
///
/// A backslash at the end continues a line, except that of a comment; `#` begins a comment at the
/// start of a line or after white space; `${NAME}` is replaced if the variable is set.
pub(super) fn logical(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    let mut begun: Option<Line> = None;
    let mut finish = |line: Line| {
        let text = expand(without_comment(&line.text).trim(), variable);
        if !text.is_empty() {
            lines.push(Line {
                number: line.number,
                text,
            });
        }
    };
    for (position, line) in text.lines().enumerate() {
        let comment = line.trim_start().starts_with('#');
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) if !comment => (part, true),
            _ => (line, false),
        };
        let mut whole = begun.take().unwrap_or(Line {
            number: position + 1,
            text: String::new(),
        });
        if comment {
            // The space lets the comment end what was continued.
            whole.text.push(' ');
        }
        whole.text.push_str(part);
        if goes_on {
            begun = Some(whole);
        } else {
            finish(whole);
        }
    }
    if let Some(line) = begun {
        finish(line);
    }
    lines
}

fn without_comment(line: &str) -> &str {
    let mut after_space = true;
    for (position, c) in line.char_indices() {
        if c == '#' && after_space {
            return &line[..position];
        }
        after_space = c.is_whitespace();
    }
    line
}

fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name = inner.find('}').map(|end| &inner[..end]);
        let Some(name) = name.filter(|name| !name.is_empty() && name.chars().all(plain)) else {
            out.push_str("${");
            rest = inner;
            continue;
        };
        match variable(name) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[start..start + name.len() + 3]),
        }
        rest = &inner[name.len() + 1..];
    }
    out.push_str(rest);
    out
}

/// The words of a line, quotes removed.
pub(super) fn split(line: &str) -> Result<Vec<String>, Problem> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => {
                let next = chars.next();
                word.get_or_insert_default().extend(next);
            }
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (Some(_) | None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Problem::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

/// `--name=value` or `-rvalue` in two.
pub(super) fn option(word: &str) -> (&str, Option<String>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
    }
    match word.char_indices().nth(2) {
        Some((end, _)) => {
            let value = word[end..].strip_prefix('=').unwrap_or(&word[end..]);
            (&word[..end], Some(value.to_owned()))
        }
        None => (word, None),
    }
}

/// Whether an option of a requirements file takes a value.
pub(super) fn takes_value(option: &str) -> Result<bool, Problem> {
    match option {
        "-r" | "--requirement" | "-c" | "--constraint" | "-e" | "--editable" | "-i"
        | "--index-url" | "--pypi-url" | "--extra-index-url" | "-f" | "--find-links"
        | "--trusted-host" | "--no-binary" | "--only-binary" => Ok(true),
        "--no-index" | "--pre" | "--require-hashes" | "--prefer-binary" => Ok(false),
        "--use-feature" | "--config-settings" | "--config-setting" | "--global-option"
        | "--all-releases" | "--only-final" => Err(Problem::UnsupportedOption(option.to_owned())),
        _ => Err(Problem::UnknownOption(option.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        let variable = |name: &str| (name == "TOKEN").then(|| "s3cret".to_owned());
        logical(text, &variable)
            .into_iter()
            .map(|line| (line.number, line.text))
            .collect()
    }

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        let text = "a \\\n  >=1\n# note \\\nb # why\n\nc#d\ne \\";
        let expected = [(1, "a   >=1"), (4, "b"), (6, "c#d"), (7, "e")];
        assert_eq!(
            texts(text),
            expected.map(|(number, text)| (number, text.to_owned()))
        );
    }

    #[test]
    fn variables_are_replaced_if_set() {
        assert_eq!(
            texts("${TOKEN} ${OTHER} ${low} ${ $")[0].1,
            "s3cret ${OTHER} ${low} ${ $"
        );
    }

    #[test]
    fn words_lose_their_quotes() {
        assert_eq!(
            split("-e 'a b' c\\ d \"\" x\"y\"").expect("closed"),
            ["-e", "a b", "c d", "", "xy"]
        );
        assert_eq!(split("'a"), Err(Problem::OpenQuote));
    }

    #[test]
    fn options_split_from_their_values() {
        assert_eq!(option("--pre"), ("--pre", None));
        assert_eq!(
            option("--index-url=x=y"),
            ("--index-url", Some("x=y".to_owned()))
        );
        assert_eq!(option("-rbase.txt"), ("-r", Some("base.txt".to_owned())));
        assert_eq!(option("-é"), ("-é", None));
    }
}
