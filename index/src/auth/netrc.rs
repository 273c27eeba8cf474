//! Netrc files. The reader is ours: the format's crate knows neither comments nor quoted values.

use std::collections::HashMap;

use super::Login;

/// Logins by host, as `machine` entries of a netrc file name them.
#[derive(Debug, Default)]
pub(super) struct Netrc {
    machines: HashMap<String, Login>,
    default: Option<Login>,
}

impl Netrc {
    /// Reads what it understands and skips the rest.
    pub(super) fn parse(text: &str) -> Self {
        let mut netrc = Self::default();
        let mut words = words(text).into_iter().peekable();
        while let Some(word) = words.next() {
            let host = match word.as_str() {
                "machine" => match words.next() {
                    Some(host) => Some(host),
                    None => break,
                },
                "default" => None,
                _ => continue,
            };
            let (mut user, mut password) = (None, None);
            while let Some(key) = words.peek() {
                if key == "machine" || key == "default" {
                    break;
                }
                let key = words.next();
                match key.as_deref() {
                    Some("login" | "user") => user = words.next(),
                    Some("password") => password = words.next(),
                    Some("account") => drop(words.next()),
                    _ => {}
                }
            }
            let login = Login {
                user: user.unwrap_or_default(),
                password,
            };
            match host {
                Some(host) => drop(netrc.machines.entry(host).or_insert(login)),
                None => netrc.default = Some(login),
            }
        }
        netrc
    }

    pub(super) fn login(&self, host: &str) -> Option<Login> {
        self.machines.get(host).or(self.default.as_ref()).cloned()
    }
}

/// Words of a netrc file without comments and macro bodies; quotes and backslashes taken off.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (word, after) = word(rest);
            if word == "macdef" {
                in_macro = true;
                break;
            }
            found.push(word);
            rest = after.trim_start();
        }
    }
    found
}

fn word(text: &str) -> (String, &str) {
    let quoted = text.starts_with('"');
    let mut word = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
            '"' if quoted => return (word, &text[at + 1..]),
            c if c.is_whitespace() && !quoted => return (word, &text[at..]),
            c => word.push(c),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.to_owned(),
            password: Some(password.to_owned()),
        }
    }

    #[test]
    fn netrc_with_comments_quotes_and_macros() {
        let netrc = Netrc::parse(
            "# top\nmachine a.example login me password \"two words\"\n\
             macdef init\n machine evil login x password y\n\n\
             machine b.example\n  login you # not me\n  password p\\ q\n default login any password one\n",
        );
        assert_eq!(netrc.login("a.example"), Some(login("me", "two words")));
        assert_eq!(netrc.login("b.example"), Some(login("you", "p q")));
        assert_eq!(netrc.login("evil"), Some(login("any", "one")));
        assert!(Netrc::parse("machine").login("x").is_none());
    }
}
