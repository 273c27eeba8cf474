//! Command lines in words: as they could be typed again.

/// A command as it would be typed: the program by its name alone, and quotes where a shell needs
/// them.
pub(crate) fn command_line(words: &[String]) -> String {
    let mut shown = Vec::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        let word = match word.rsplit_once('/') {
            Some((_, name)) if place == 0 && !name.is_empty() => name,
            _ => word,
        };
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,~[]{}".contains(c);
        if !word.is_empty() && word.chars().all(plain) && !word.starts_with('~') {
            shown.push(word.to_owned());
        } else {
            shown.push(format!("'{}'", word.replace('\'', r"'\''")));
        }
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_could_be_typed_again() {
        for (words, line) in [
            (&["/x/blast", "revert", "@{-1}"][..], "blast revert @{-1}"),
            (
                &["blast", "install", "a>1; b", ""],
                "blast install 'a>1; b' ''",
            ),
            (&["blast", "it's", "~/x"], r"blast 'it'\''s' '~/x'"),
        ] {
            let words: Vec<_> = words.iter().map(ToString::to_string).collect();
            assert_eq!(command_line(&words), line);
        }
    }
}
