//! Requests. A [`Fetcher`] is one command's use of a [`Transport`]: credentials, offline switch,
//! counters. It repeats what may pass, and follows redirects itself, because each hop may need
//! another client and other credentials.
//!
//! Requests in flight are bounded by a semaphore whose permit lives in the [`Reply`], until the
//! body is read or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use crate::auth::Credentials;
use crate::error::{ConnectFailure, IndexError};
use crate::freshness::{http_date_ms, now_ms};
use crate::transport::Transport;
use crate::url::{RedactedUrl, without_credentials};

const MAX_REDIRECTS: usize = 10;
/// First pause before a repetition; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, also where a server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What one command did on the network.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) confirmed: AtomicU64,
}

/// One command's way to the network.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) transport: Arc<Transport>,
    pub(crate) credentials: Credentials,
    pub(crate) offline: bool,
    pub(crate) tally: Tally,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Where the answer came from in the end.
    pub(crate) url: Url,
    response: reqwest::Response,
    _slot: OwnedSemaphorePermit,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, IndexError> {
        self.response
            .chunk()
            .await
            .map_err(|source| IndexError::Body {
                url: self.url.clone().into(),
                source: source.without_url(),
            })
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.response.content_length()
    }
}

impl Page {
    pub(crate) fn text(&self, name: reqwest::header::HeaderName) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }
}

/// The error that a status stands for.
pub(crate) fn status_error(status: StatusCode, url: &Url) -> IndexError {
    let (url, status) = (RedactedUrl::from(url.clone()), status.as_u16());
    match status {
        401 | 403 | 407 => IndexError::Refused { url, status },
        _ => IndexError::Status { url, status },
    }
}

impl Fetcher {
    /// A whole answer of at most `limit` bytes, repeated where the body breaks off.
    pub(crate) async fn page(
        &self,
        url: &Url,
        headers: &HeaderMap,
        limit: u64,
    ) -> Result<Page, IndexError> {
        let mut attempt = 0;
        loop {
            let reply = self.send(Method::GET, url, headers).await?;
            match self.collect(reply, limit).await {
                Err(error @ IndexError::Body { .. }) if attempt < self.transport.reach.retries => {
                    tracing::debug!(url = %RedactedUrl::from(url.clone()), %error, "again");
                    self.pause(attempt, None).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn collect(&self, mut reply: Reply, limit: u64) -> Result<Page, IndexError> {
        let expected = reply.content_length().unwrap_or(0);
        let too_large = |url: &Url| IndexError::TooLarge {
            url: RedactedUrl::from(url.clone()),
            limit,
        };
        if expected > limit {
            return Err(too_large(&reply.url));
        }
        // The length is only a promise: reserve no more than a page usually has.
        let mut body = BytesMut::with_capacity(expected.min(4 << 20) as usize);
        while let Some(chunk) = reply.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large(&reply.url));
            }
            body.extend_from_slice(&chunk);
        }
        self.tally
            .bytes
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        let Reply {
            status,
            headers,
            url,
            ..
        } = reply;
        Ok(Page {
            status,
            headers,
            url,
            body: body.freeze(),
        })
    }

    /// Sends a request, repeating it while that may help, and follows redirects.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Reply, IndexError> {
        if self.offline {
            return Err(IndexError::Offline {
                url: url.clone().into(),
            });
        }
        let slot = Arc::clone(&self.transport.slots)
            .acquire_owned()
            .await
            .map_err(|_| IndexError::Interrupted)?;
        let mut hop = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.attempt(method.clone(), &hop, headers).await?;
            let status = response.status();
            let redirects = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
            let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
                let headers = response.headers().clone();
                return Ok(Reply {
                    status,
                    headers,
                    url: hop,
                    response,
                    _slot: slot,
                });
            };
            hop = next_hop(&hop, location)?;
        }
        Err(IndexError::Redirect {
            url: url.clone().into(),
            reason: "too often",
        })
    }

    async fn attempt(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<reqwest::Response, IndexError> {
        let client = self.transport.client(url).await?;
        let mut login = self.credentials.login(url).await;
        let mut attempt = 0;
        loop {
            self.tally.requests.fetch_add(1, Ordering::Relaxed);
            let mut request = client
                .request(method.clone(), without_credentials(url))
                .headers(headers.clone());
            if let Some(login) = &login {
                request = request.basic_auth(&login.user, login.password.as_deref());
            }
            let more = attempt < self.transport.reach.retries;
            match request.send().await {
                Ok(response) if more && is_transient(response.status()) => {
                    let wait = retry_after(response.headers());
                    tracing::debug!(status = %response.status(), "again");
                    drop(response);
                    self.pause(attempt, wait).await;
                }
                Ok(response)
                    if response.status() == StatusCode::UNAUTHORIZED && login.is_none() =>
                {
                    login = self.credentials.after_refusal(url).await;
                    if login.is_none() {
                        return Ok(response);
                    }
                    continue;
                }
                Ok(response) => return Ok(response),
                Err(error) => {
                    let failure = ConnectFailure::of(&error);
                    if !more || failure == ConnectFailure::Tls {
                        let source = error.without_url();
                        return Err(IndexError::Connect {
                            url: url.clone().into(),
                            failure,
                            source,
                        });
                    }
                    self.pause(attempt, None).await;
                }
            }
            attempt += 1;
        }
    }

    /// Waits before a repetition, a little longer than asked for so that many clients spread out.
    pub(crate) async fn pause(&self, attempt: u32, asked: Option<Duration>) {
        self.tally.repeated.fetch_add(1, Ordering::Relaxed);
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt));
        let wait = asked.unwrap_or(doubled).min(LONGEST_PAUSE);
        tokio::time::sleep(wait + jitter(FIRST_PAUSE)).await;
    }

    /// How often a broken transfer may be taken up again.
    pub(crate) fn retries(&self) -> u32 {
        self.transport.reach.retries
    }
}

/// Some time below `most`; the standard library's hash seeds are random enough for that.
fn jitter(most: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0);
    most * (random % 1000) as u32 / 1000
}

/// Where a redirect leads. Credentials in it are kept: they are the redirecting server's to give.
fn next_hop(from: &Url, location: &HeaderValue) -> Result<Url, IndexError> {
    let refuse = |reason| IndexError::Redirect {
        url: from.clone().into(),
        reason,
    };
    let text = location
        .to_str()
        .map_err(|_| refuse("to something that is no URL"))?;
    let to = without_credentials(from)
        .join(text)
        .map_err(|_| refuse("to something that is no URL"))?;
    match (from.scheme(), to.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(to),
        ("https", "http") => Err(refuse("from a secure to an open connection")),
        _ => Err(refuse("to a URL that is not HTTP")),
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        408 | 429 | 500 | 502 | 503 | 504 | 520 | 524 | 527
    )
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::from_millis(
        http_date_ms(text)?.saturating_sub(now_ms()),
    ))
}

/// Headers of a request for bytes as they are, without a transfer coding.
pub(crate) fn raw_bytes(range: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
        headers.insert(RANGE, range);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_secure_connections_and_drop_credentials() {
        let from = Url::parse("https://u:p@a.example/simple/x").expect("valid");
        let to = |text: &'static str| next_hop(&from, &HeaderValue::from_static(text));
        assert_eq!(
            to("/y/").expect("relative").as_str(),
            "https://a.example/y/"
        );
        assert!(matches!(
            to("http://a.example/"),
            Err(IndexError::Redirect { .. })
        ));
        assert!(matches!(
            to("file:///etc/passwd"),
            Err(IndexError::Redirect { .. })
        ));
    }

    #[test]
    fn servers_may_say_when_to_come_back() {
        let of = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(
                RETRY_AFTER,
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }
}
