//! Credentials out of the program `keyring`, run as pip and uv run it: `keyring get SERVICE USER`,
//! and `keyring get SERVICE --mode creds` (keyring 25) where no user is known, which prints user
//! and password on a line each. The service is the index's URL, then its host.
//!
//! What the program prints is a secret and never logged. It gets no input, so it cannot wait for
//! an answer, and must be done within [`PATIENCE`].

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use url::Url;

use super::Login;
use crate::url::without_credentials;

/// How long the program may take: a locked keyring may ask the user in a window.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program.
#[derive(Debug)]
pub(super) struct Keyring(pub(super) PathBuf);

impl Keyring {
    /// The login for an index, of this user where one is named.
    pub(super) async fn login(&self, index: &Url, user: Option<&str>) -> Option<Login> {
        let host = match (index.host_str()?, index.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        for service in [without_credentials(index).to_string(), host] {
            let found = match user {
                Some(user) => self.run(&["get", &service, user]).await.map(|out| Login {
                    user: user.to_owned(),
                    password: Some(first_line(&out).to_owned()),
                }),
                None => self
                    .run(&["get", &service, "--mode", "creds"])
                    .await
                    .and_then(|out| pair(&out)),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    async fn run(&self, arguments: &[&str]) -> Option<String> {
        let run = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                tracing::warn!(program = %self.0.display(), %error, "cannot run the keyring");
                return None;
            }
            Err(_) => {
                tracing::warn!(program = %self.0.display(), "the keyring does not answer");
                return None;
            }
        };
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !first_line(&text).is_empty()).then_some(text)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn pair(text: &str) -> Option<Login> {
    let mut lines = text.lines();
    Some(Login {
        user: lines.next()?.to_owned(),
        password: Some(lines.next()?.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_url_is_asked_for_before_the_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("keyring");
        let script = "#!/bin/sh\ncase \"$*\" in\n\
            'get https://a.example/simple/ me') echo by-url;;\n\
            'get b.example:8443 me') echo by-host;;\n\
            'get c.example --mode creds') printf 'you\\ntheirs\\n';;\n\
            *) exit 1;;\nesac\n";
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
        let keyring = Keyring(program);
        let ask = async |url: &str, user| {
            let url = Url::parse(url).expect("valid");
            let found = keyring.login(&url, user).await;
            found.map(|login| (login.user, login.password.expect("one")))
        };
        let is = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(
            ask("https://me@a.example/simple/", Some("me")).await,
            is("me", "by-url")
        );
        assert_eq!(
            ask("https://b.example:8443/x", Some("me")).await,
            is("me", "by-host")
        );
        assert_eq!(ask("https://c.example/x", None).await, is("you", "theirs"));
        assert_eq!(ask("https://c.example/x", Some("me")).await, None);
    }
}
