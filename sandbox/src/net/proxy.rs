//! The proxy for programs that know one: HTTP (`CONNECT`, RFC 9110 9.3.6, and plain requests in absolute
//! form, RFC 9112 3.2.2) and SOCKS 5 (RFC 1928), told apart by the first byte.
//!
//! Here the name that a program asks for is judged itself, and what is denied is said in its own protocol.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::filter::{Opened, Refused, Shared};
use super::relay::relay;
use crate::policy::target::{Named, canonical_name};

/// The largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// The most fields of a head.
const FIELDS: usize = 128;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

const SOCKS5: u8 = 5;

/// Serves for ever.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Some((stream, place)) = shared.accept(&listener).await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // What was decided is in the log; a client that is gone needs no answer.
            drop(converse(&shared, stream).await);
            drop(place);
        });
    }
}

async fn converse(shared: &Arc<Shared>, mut stream: TcpStream) -> io::Result<()> {
    let first = tokio::time::timeout(PATIENCE, stream.read_u8()).await??;
    if first == SOCKS5 {
        return socks(shared, stream).await;
    }
    http(shared, stream, first).await
}

async fn socks(shared: &Arc<Shared>, mut stream: TcpStream) -> io::Result<()> {
    const NO_AUTHENTICATION: u8 = 0;
    const CONNECT: u8 = 1;
    const SUCCEEDED: u8 = 0;
    const NOT_ALLOWED: u8 = 2;
    const UNREACHABLE: u8 = 4;
    const NO_SUCH_COMMAND: u8 = 7;
    const NO_SUCH_ADDRESS: u8 = 8;
    let asked = async {
        let methods = stream.read_u8().await?;
        let mut offered = vec![0; methods.into()];
        stream.read_exact(&mut offered).await?;
        if !offered.contains(&NO_AUTHENTICATION) {
            stream.write_all(&[SOCKS5, 0xff]).await?;
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        stream.write_all(&[SOCKS5, NO_AUTHENTICATION]).await?;
        let mut request = [0; 4];
        stream.read_exact(&mut request).await?;
        let [_, command, _, kind] = request;
        let host = match kind {
            1 => Some(Named::Address(
                Ipv4Addr::from(stream.read_u32().await?).into(),
            )),
            4 => {
                let address = IpAddr::from(Ipv6Addr::from(stream.read_u128().await?));
                Some(Named::Address(address.to_canonical()))
            }
            3 => {
                let length = stream.read_u8().await?;
                let mut name = vec![0; length.into()];
                stream.read_exact(&mut name).await?;
                std::str::from_utf8(&name).ok().and_then(canonical_name)
            }
            _ => None,
        };
        let port = stream.read_u16().await?;
        Ok((command, host, port))
    };
    let (command, host, port) = tokio::time::timeout(PATIENCE, asked).await??;
    let answer = |code: u8| [SOCKS5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    let refuse = match host.filter(|_| command == CONNECT) {
        None if command != CONNECT => NO_SUCH_COMMAND,
        None => NO_SUCH_ADDRESS,
        Some(host) => match shared.open(&host, port).await {
            Ok(opened) => {
                stream.write_all(&answer(SUCCEEDED)).await?;
                return carry(shared, stream, opened).await;
            }
            Err(Refused::Denied { .. }) => NOT_ALLOWED,
            Err(Refused::Failed(_)) => UNREACHABLE,
        },
    };
    stream.write_all(&answer(refuse)).await
}

/// A request as it concerns a proxy.
struct Head {
    host: Named,
    port: u16,
    /// What to send on before all else; nothing for a tunnel.
    forward: Option<Vec<u8>>,
}

async fn http(shared: &Arc<Shared>, mut stream: TcpStream, first: u8) -> io::Result<()> {
    let mut received = vec![first];
    let head = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(end) = head_length(&received)? {
                return io::Result::Ok(end);
            }
            if received.len() > HEAD_BYTES || stream.read_buf(&mut received).await? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    });
    let Ok(end) = head.await? else {
        return refuse(
            &mut stream,
            "400 Bad Request",
            "blast: this is no request for a proxy",
        )
        .await;
    };
    let rest = received.split_off(end);
    let Some(head) = parse(&received) else {
        let text = "blast: a proxy takes CONNECT HOST:PORT and requests for http://HOST/";
        return refuse(&mut stream, "400 Bad Request", text).await;
    };
    match shared.open(&head.host, head.port).await {
        Ok(mut opened) => {
            match head.forward {
                Some(request) => {
                    opened.stream.write_all(&request).await?;
                }
                None => {
                    stream
                        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        .await?;
                }
            }
            opened.stream.write_all(&rest).await?;
            carry(shared, stream, opened).await
        }
        Err(Refused::Denied { message }) => refuse(&mut stream, "403 Forbidden", &message).await,
        Err(Refused::Failed(error)) => {
            let text = format!("blast: the connection cannot be made: {error}");
            refuse(&mut stream, "502 Bad Gateway", &text).await
        }
    }
}

async fn refuse(stream: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let length = text.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn carry(shared: &Shared, stream: TcpStream, opened: Opened) -> io::Result<()> {
    relay(
        stream,
        opened.stream,
        shared.gauge(),
        opened.record.counted(),
    )
    .await
}

/// How long the head is, once it is whole.
fn head_length(received: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    match httparse::Request::new(&mut fields).parse(received) {
        Ok(httparse::Status::Complete(length)) => Ok(Some(length)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

fn parse(head: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head).ok()?;
    let (method, target) = (request.method?, request.path?);
    if method == "CONNECT" {
        let (host, port) = target.rsplit_once(':')?;
        return Some(Head {
            host: canonical_name(host)?,
            port: port.parse().ok().filter(|port| *port > 0)?,
            forward: None,
        });
    }
    let url = Url::parse(target)
        .ok()
        .filter(|url| url.scheme() == "http")?;
    let host = canonical_name(url.host_str()?)?;
    let port = url.port_or_known_default()?;
    let mut forward = format!("{method} {}", url.path());
    if let Some(query) = url.query() {
        forward.push('?');
        forward.push_str(query);
    }
    // The name that was judged is the name that the server hears (RFC 9112 3.2.2).
    let port_of_url = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let authority = format!("{}{port_of_url}", url.host_str()?);
    for part in [
        " HTTP/1.1\r\nHost: ",
        &authority,
        "\r\nConnection: close\r\n",
    ] {
        forward.push_str(part);
    }
    let mut forward = forward.into_bytes();
    for field in request.headers.iter() {
        let ours = [
            "host",
            "connection",
            "proxy-connection",
            "proxy-authorization",
            "keep-alive",
        ];
        if !ours
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name))
        {
            forward.extend(field.name.as_bytes());
            forward.extend(b": ");
            forward.extend(field.value);
            forward.extend(b"\r\n");
        }
    }
    forward.extend(b"\r\n");
    Some(Head {
        host,
        port,
        forward: Some(forward),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_names_host_and_port() {
        let head = parse(b"CONNECT Index.test:443 HTTP/1.1\r\nHost: x\r\n\r\n").expect("a tunnel");
        assert_eq!(
            (head.host, head.port),
            (Named::Name("index.test".into()), 443)
        );
        assert!(head.forward.is_none());
        let head = parse(b"CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1\r\n\r\n").expect("an address");
        assert_eq!(head.host, Named::Address(Ipv4Addr::LOCALHOST.into()));
        for bad in [
            "index.test",
            "index.test:0",
            "index.test:x",
            ":443",
            "a@b:443",
        ] {
            let text = format!("CONNECT {bad} HTTP/1.1\r\n\r\n");
            assert!(parse(text.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_plain_request_goes_on_in_the_form_for_servers() {
        let head = parse(
            b"GET http://example.org:8080/a?b=c HTTP/1.1\r\nHost: other.org\r\n\
              Proxy-Authorization: Basic x\r\nConnection: keep-alive\r\n\r\n",
        )
        .expect("a request");
        assert_eq!(
            (head.host, head.port),
            (Named::Name("example.org".into()), 8080)
        );
        let text = String::from_utf8(head.forward.expect("a request")).expect("ASCII");
        assert_eq!(
            text,
            "GET /a?b=c HTTP/1.1\r\nHost: example.org:8080\r\nConnection: close\r\n\r\n"
        );
        for bad in ["/path", "https://example.org/", "ftp://example.org/", "*"] {
            let text = format!("GET {bad} HTTP/1.1\r\n\r\n");
            assert!(parse(text.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line_and_what_is_none_is_refused() {
        let whole = b"CONNECT a:1 HTTP/1.1\r\n\r\nrest";
        assert_eq!(head_length(whole).expect("a head"), Some(whole.len() - 4));
        for length in 0..whole.len() - 5 {
            assert_eq!(head_length(&whole[..length]).expect("not yet"), None);
        }
        assert!(head_length(b"\x16\x03\x01\x02\x00").is_err());
    }
}
