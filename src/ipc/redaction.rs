//! Hiding credentials in command lines before they are kept in a history.

/// What stands in place of user name and password.
const HIDDEN: &str = "****";

/// The word with the credentials of every URL in it hidden: `http://me:secret@host/` becomes
/// `http://****@host/`. A lone user name is hidden too: tokens are often sent as one.
pub(crate) fn hide_credentials(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority_ends = after
            .find(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace())
            .unwrap_or(after.len());
        rest = match after[..authority_ends].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_credentials_are_hidden() {
        for (word, shown) in [
            ("flask==1.0", "flask==1.0"),
            ("http://127.0.0.1/simple/", "http://127.0.0.1/simple/"),
            (
                "--index-url=http://me:p@ss@127.0.0.1:8/x@y",
                "--index-url=http://****@127.0.0.1:8/x@y",
            ),
            ("http://token@h", "http://****@h"),
            (
                "a @ https://u:p@h/a.whl b @ https://v@h/b",
                "a @ https://****@h/a.whl b @ https://****@h/b",
            ),
            ("://@", "://****@"),
        ] {
            assert_eq!(hide_credentials(word), shown);
        }
    }
}
