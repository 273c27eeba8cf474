//! Answers about names (RFC 1035): addresses of names that the policy allows, "no such name" for all others.
//!
//! Only addresses are answered. Other questions about an allowed name have an empty answer, so that programs go on
//! to ask for addresses. Nothing is asked of anybody about a name that is not allowed: questions carry data out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{DNSClass, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::filter::Shared;
use crate::policy::target::{Named, canonical_name};

/// How long answers live, in seconds: the host's own resolver has the true time and is asked again.
const LIFE: u32 = 30;

/// The most bytes of a question over UDP.
const QUESTION_BYTES: usize = 4096;

/// How long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Answers datagrams for ever.
pub(super) async fn serve_udp(shared: Arc<Shared>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; QUESTION_BYTES];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // An error of a packet that was sent before; the socket itself stays good.
            tokio::task::yield_now().await;
            continue;
        };
        let Some(place) = shared.enter() else {
            continue;
        };
        let question = buffer.get(..length).unwrap_or_default().to_vec();
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(answer) = answer(&shared, &question).await {
                // Who asked may be gone.
                drop(socket.send_to(&answer, from).await);
            }
            drop(place);
        });
    }
}

/// Answers connections for ever.
pub(super) async fn serve_tcp(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Some((stream, place)) = shared.accept(&listener).await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Who asked may be gone.
            drop(converse(&shared, stream).await);
            drop(place);
        });
    }
}

async fn converse(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(SILENCE, stream.read_u16()).await??;
        let mut question = vec![0; length.into()];
        tokio::time::timeout(SILENCE, stream.read_exact(&mut question)).await??;
        let Some(answer) = answer(shared, &question).await else {
            return Ok(());
        };
        stream
            .write_u16(u16::try_from(answer.len()).map_err(io::Error::other)?)
            .await?;
        stream.write_all(&answer).await?;
    }
}

/// The answer to a question; none to what is no question.
async fn answer(shared: &Shared, question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    if asked.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    let query = asked.queries.first().cloned();
    match query.filter(|_| asked.metadata.op_code == OpCode::Query) {
        Some(query) => {
            match records(shared, &query).await {
                Ok(records) => {
                    reply.add_answers(records);
                }
                Err(code) => reply.metadata.response_code = code,
            }
            reply.add_query(query);
        }
        None => reply.metadata.response_code = ResponseCode::NotImp,
    }
    reply.to_vec().ok()
}

async fn records(shared: &Shared, query: &Query) -> Result<Vec<Record>, ResponseCode> {
    let asked = query.name().to_ascii();
    let Some(Named::Name(name)) = canonical_name(&asked) else {
        return Err(ResponseCode::NXDomain);
    };
    if query.query_class() != DNSClass::IN {
        return Err(ResponseCode::NotImp);
    }
    let addresses = addresses(shared, &name).await?;
    let records = addresses.into_iter().filter_map(|address| {
        let data = match (query.query_type(), address) {
            (RecordType::A, IpAddr::V4(address)) => RData::A(A(address)),
            (RecordType::AAAA, IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
            _ => return None,
        };
        Some(Record::from_rdata(query.name().clone(), LIFE, data))
    });
    Ok(records.collect())
}

/// The addresses of a name that may be connected to, which are remembered.
async fn addresses(shared: &Shared, name: &str) -> Result<Vec<IpAddr>, ResponseCode> {
    // This name means the one who asks (RFC 6761 6.3).
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let verdict = shared.rules().name(name);
    if !verdict.is_allowed() {
        shared.deny_name(name, verdict);
        return Err(ResponseCode::NXDomain);
    }
    let found = shared
        .resolve(name)
        .await
        .map_err(|_| ResponseCode::ServFail)?;
    let own = shared.own();
    let names = [name.to_owned()];
    let mut reachable = Vec::new();
    for address in &found {
        let verdict = shared.rules().address(&names, *address, &own);
        if verdict.is_allowed() {
            shared.remember(name, *address);
            reachable.push(*address);
        } else if found.len() == 1 {
            shared.deny_name(name, verdict);
        }
    }
    if reachable.is_empty() {
        return Err(ResponseCode::NXDomain);
    }
    Ok(reachable)
}
