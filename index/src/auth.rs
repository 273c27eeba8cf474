//! Credentials for a request: those in its URL, else those of the index on the same origin, else
//! those of a netrc file. They are looked up per hop, so that a redirect to another host never
//! carries the credentials of the first.
//!
//! The netrc reader is ours: the format's crate knows neither comments nor quoted values.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Origin, Url};

use crate::sources::Sources;

/// User name and password of HTTP basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Everything known about logins.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    by_origin: HashMap<Origin, Login>,
    netrc: Netrc,
}

impl Credentials {
    /// Reads the logins that `sources` hold or name. A netrc file that cannot be read counts as
    /// absent, as it does for pip: it is optional, and a private index says 401 in any case.
    pub(crate) fn of(sources: &Sources) -> Self {
        let mut by_origin = HashMap::new();
        let links = sources
            .find_links
            .iter()
            .filter_map(|link| Url::parse(link).ok());
        for url in sources
            .indexes
            .iter()
            .map(|index| index.url.as_url().clone())
            .chain(links)
        {
            if let Some(login) = login_in(&url) {
                by_origin.entry(url.origin()).or_insert(login);
            }
        }
        let netrc = sources
            .netrc
            .as_ref()
            .and_then(|path| match std::fs::read_to_string(path) {
                Ok(text) => Some(Netrc::parse(&text)),
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "no netrc");
                    None
                }
            });
        Self {
            by_origin,
            netrc: netrc.unwrap_or_default(),
        }
    }

    /// The login for a request to `url`, if any is known.
    pub(crate) fn login(&self, url: &Url) -> Option<Login> {
        login_in(url)
            .or_else(|| self.by_origin.get(&url.origin()).cloned())
            .or_else(|| self.netrc.login(url.host_str()?))
    }
}

fn login_in(url: &Url) -> Option<Login> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(Login {
        user: decode(url.username()),
        password: url.password().map(decode),
    })
}

/// Logins by host, as `machine` entries of a netrc file name them.
#[derive(Debug, Default)]
struct Netrc {
    machines: HashMap<String, Login>,
    default: Option<Login>,
}

impl Netrc {
    /// Reads what it understands and skips the rest.
    fn parse(text: &str) -> Self {
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

    fn login(&self, host: &str) -> Option<Login> {
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

    #[test]
    fn url_beats_index_beats_nothing_and_other_hosts_get_nothing() {
        let index = "https://a%40b:s%3Acret@index.example/simple/"
            .parse()
            .expect("valid");
        let known = Credentials::of(&Sources::of_index(index));
        let ask = |url: &str| known.login(&Url::parse(url).expect("valid"));
        assert_eq!(
            ask("https://index.example/f.whl"),
            Some(login("a@b", "s:cret"))
        );
        assert_eq!(
            ask("https://x:y@index.example/f.whl"),
            Some(login("x", "y"))
        );
        assert_eq!(ask("https://other.example/f.whl"), None);
        assert_eq!(
            ask("http://index.example/f.whl"),
            None,
            "not over an open connection"
        );
    }
}
