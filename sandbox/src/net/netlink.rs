//! Netlink messages, as far as an empty network namespace needs them: written, sent, acknowledged
//! (netlink(7), RFC 3549).
//!
//! Numbers are in the order of the machine; what netfilter means for packets is in network order, and
//! whoever asks for it writes it so.

use std::io;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

const HEADER: usize = 16;
const ALIGNMENT: usize = 4;

/// The answer is an error number, 0 for success.
const NLMSG_ERROR: u16 = 2;

/// It is a request.
const NLM_F_REQUEST: u16 = 1;
/// The kernel shall answer even where all went well.
const NLM_F_ACK: u16 = 4;
/// What is there already is an error.
const NLM_F_EXCL: u16 = 0x200;
/// What is not there is made.
const NLM_F_CREATE: u16 = 0x400;
/// It goes behind what is there.
const NLM_F_APPEND: u16 = 0x800;

/// An attribute holds attributes.
const NLA_F_NESTED: u16 = 0x8000;

/// What a message does to the thing that it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Changes it.
    Change,
    /// Makes it; one that is there is an error.
    Make,
    /// Puts it behind others of its kind.
    Append,
    /// Marks the beginning or end of a batch: no answer.
    Mark,
}

impl Effect {
    fn flags(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Self::Change => NLM_F_ACK,
                Self::Make => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                Self::Append => NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND,
                Self::Mark => 0,
            }
    }
}

/// Attributes, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// Bytes as they are.
    pub(super) fn with(mut self, kind: u16, data: &[u8]) -> Self {
        // Nothing here is near the 64 KiB that a length can say.
        let length = u16::try_from(data.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        self
    }

    /// A text, which ends with a zero byte.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// A number in network order.
    pub(super) fn number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
    }

    /// Attributes within one.
    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NLA_F_NESTED, &inner.0)
    }
}

/// What is sent at once.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    count: u32,
    answers: usize,
}

impl Messages {
    /// Adds a message: its fixed part, then its attributes.
    pub(super) fn push(
        &mut self,
        kind: u16,
        effect: Effect,
        fixed: &[u8],
        attributes: &Attributes,
    ) {
        let mut body = fixed.to_vec();
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        body.extend(&attributes.0);
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        self.count += 1;
        self.answers += usize::from(effect != Effect::Mark);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(effect.flags().to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(body);
    }

    /// Sends all and waits for the answers; the first refusal is the error.
    pub(super) fn carry_out(&self, protocol: Option<Protocol>) -> io::Result<()> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        send(&socket, &self.bytes, SendFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        let mut answered = 0;
        while answered < self.answers {
            // The kernel has answered before `send` returns: nothing here waits.
            let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
            for code in answers(buffer.get(..length).unwrap_or_default()) {
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(-code));
                }
                answered += 1;
            }
        }
        Ok(())
    }
}

/// The codes of the answers in a packet.
fn answers(mut packet: &[u8]) -> Vec<i32> {
    let mut codes = Vec::new();
    while let Some(header) = packet.first_chunk::<HEADER>() {
        // struct nlmsghdr: length, type, flags, sequence, port.
        let length = header
            .first_chunk()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes)) as usize;
        let is_answer = header[4..6] == NLMSG_ERROR.to_ne_bytes();
        let code = packet.get(HEADER..).and_then(<[u8]>::first_chunk::<4>);
        if let Some(code) = code.filter(|_| is_answer) {
            codes.push(i32::from_ne_bytes(*code));
        }
        let next = length.next_multiple_of(ALIGNMENT).max(HEADER);
        packet = packet.get(next..).unwrap_or_default();
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_say_their_length() {
        let inner = Attributes::default().text(1, "out").number(2, 0x0102_0304);
        let [low, high] = (1 | NLA_F_NESTED).to_ne_bytes();
        let outer = Attributes::default().nested(1, &inner);
        assert_eq!(outer.0.len(), 4 + 8 + 8);
        assert_eq!(outer.0[..4], [20, 0, low, high]);
        assert_eq!(outer.0[4..12], [8, 0, 1, 0, b'o', b'u', b't', 0]);
        assert_eq!(outer.0[12..], [8, 0, 2, 0, 1, 2, 3, 4]);
        let odd = Attributes::default().with(7, &[9]);
        assert_eq!(odd.0, [5, 0, 7, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn answers_are_found_one_behind_the_other() {
        let answer = |code: i32| {
            let mut bytes = 36_u32.to_ne_bytes().to_vec();
            bytes.extend(NLMSG_ERROR.to_ne_bytes());
            bytes.resize(HEADER, 0);
            bytes.extend(code.to_ne_bytes());
            bytes.resize(36, 0);
            bytes
        };
        let packet = [answer(0), answer(-17)].concat();
        assert_eq!(answers(&packet), [0, -17]);
        assert_eq!(answers(&packet[..20]), [0]);
        assert_eq!(answers(&[0; 16]), [0; 0]);
    }
}
