//! Credentials for a request: those in its URL, else those of the index on the same origin, else
//! those of a netrc file, else, where that is wanted, those of a keyring: at once for a user
//! without a password, otherwise once the server has refused a request. They are looked up per
//! hop, so that a redirect to another host never carries the credentials of the first.

use std::collections::HashMap;
use std::fmt;

use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;
use url::{Origin, Url};

use crate::sources::Sources;
use keyring::Keyring;
use netrc::Netrc;

mod keyring;
mod netrc;

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

/// Answers of a keyring, by origin and user.
type Told = HashMap<(Origin, Option<String>), Option<Login>>;

/// Everything known about logins.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    by_origin: HashMap<Origin, Login>,
    netrc: Netrc,
    /// What a keyring calls the indexes: their whole URLs.
    services: HashMap<Origin, Url>,
    keyring: Option<Keyring>,
    /// What the keyring said; it is slow, so it is asked once.
    told: Mutex<Told>,
}

impl Credentials {
    /// Reads the logins that `sources` hold or name. A netrc file that cannot be read counts as
    /// absent, as it does for pip: it is optional, and a private index says 401 in any case.
    pub(crate) fn of(sources: &Sources) -> Self {
        let mut by_origin = HashMap::new();
        let mut services = HashMap::new();
        let links = sources
            .find_links
            .iter()
            .filter_map(|link| Url::parse(link).ok());
        for url in sources
            .indexes
            .iter()
            .map(|index| index.url.as_url().clone())
            .chain(links)
            .chain(sources.logins.iter().map(|url| url.as_url().clone()))
        {
            if let Some(login) = login_in(&url) {
                by_origin.entry(url.origin()).or_insert(login);
            }
            services.entry(url.origin()).or_insert(url);
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
            services,
            keyring: sources.keyring.clone().map(Keyring),
            told: Mutex::default(),
        }
    }

    /// The login for a request to `url`, if any is known.
    pub(crate) async fn login(&self, url: &Url) -> Option<Login> {
        let known = self.known(url);
        match &known {
            Some(login) if login.password.is_none() => {
                let user = Some(login.user.clone());
                self.of_keyring(url, user).await.or(known)
            }
            // What a keyring told after an earlier refusal saves the next one.
            None => self.told.lock().await.get(&(url.origin(), None)).cloned()?,
            _ => known,
        }
    }

    /// Another login for `url`, once the server has refused a request without any.
    pub(crate) async fn after_refusal(&self, url: &Url) -> Option<Login> {
        match self.known(url) {
            Some(_) => None,
            None => self.of_keyring(url, None).await,
        }
    }

    fn known(&self, url: &Url) -> Option<Login> {
        login_in(url)
            .or_else(|| self.by_origin.get(&url.origin()).cloned())
            .or_else(|| self.netrc.login(url.host_str()?))
    }

    async fn of_keyring(&self, url: &Url, user: Option<String>) -> Option<Login> {
        let keyring = self.keyring.as_ref()?;
        // Held while the program runs: all who want the same wait for one run of it.
        let mut told = self.told.lock().await;
        let key = (url.origin(), user.clone());
        if let Some(told) = told.get(&key) {
            return told.clone();
        }
        let service = self.services.get(&url.origin()).unwrap_or(url);
        let login = keyring.login(service, user.as_deref()).await;
        told.insert(key, login.clone());
        login
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
    fn url_beats_index_beats_nothing_and_other_hosts_get_nothing() {
        let index = "https://a%40b:s%3Acret@index.example/simple/"
            .parse()
            .expect("valid");
        let known = Credentials::of(&Sources::of_index(index));
        let ask = |url: &str| known.known(&Url::parse(url).expect("valid"));
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
