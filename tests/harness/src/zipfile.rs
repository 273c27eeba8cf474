//! A writer of zip archives that writes what it is told, lies included.
//!
//! The `zip` crate refuses to make the archives that the hostile tests need (duplicate or
//! absolute names, wrong sizes), so the format's three records are written by hand here. No
//! zip64: members stay below 4 GiB.

use std::io::Write as _;

use flate2::Compression;
use flate2::Crc;
use flate2::write::DeflateEncoder;

/// The date of every member: 2020-01-01 00:00:00 in MS-DOS form, so that equal content gives
/// equal archives.
const DOS_DATE: u16 = (40 << 9) | (1 << 5) | 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// One member of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, as raw as a hostile archive can hold it.
    pub name: Vec<u8>,
    /// Its content.
    pub body: Vec<u8>,
    /// Unix mode with file type, such as `0o100644`.
    pub mode: u32,
    /// Whether the content is compressed.
    pub deflate: bool,
    /// The uncompressed size to claim, where it is not that of the content.
    pub claimed_size: Option<u32>,
}

impl Member {
    /// A plain file.
    pub fn new(name: impl AsRef<[u8]>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            body: body.into(),
            mode: 0o100_644,
            deflate: false,
            claimed_size: None,
        }
    }

    /// The same with another mode.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The same, compressed.
    #[must_use]
    pub fn deflated(mut self) -> Self {
        self.deflate = true;
        self
    }

    /// The name as text, for looking members up.
    pub fn name_text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// An archive in the making: its members in order.
#[derive(Debug, Clone, Default)]
pub struct ZipFile {
    /// The members.
    pub members: Vec<Member>,
}

struct Encoded {
    method: u16,
    crc: u32,
    stored: Vec<u8>,
    size: u32,
    offset: u32,
}

impl ZipFile {
    /// The member of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members
            .iter_mut()
            .find(|member| member.name == name.as_bytes())
            .unwrap_or_else(|| panic!("the archive has a member {name}"))
    }

    /// The archive as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoded = Vec::new();
        for member in &self.members {
            let one = encode(member, size_u32(out.len()));
            local_header(&mut out, member, &one);
            out.extend_from_slice(&one.stored);
            encoded.push(one);
        }
        let directory = size_u32(out.len());
        for (member, one) in self.members.iter().zip(&encoded) {
            central_header(&mut out, member, one);
        }
        let directory_size = size_u32(out.len()) - directory;
        end_record(&mut out, self.members.len(), directory, directory_size);
        out
    }
}

fn encode(member: &Member, offset: u32) -> Encoded {
    let mut crc = Crc::new();
    crc.update(&member.body);
    let stored = if member.deflate {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&member.body).expect("writing to memory");
        encoder.finish().expect("writing to memory")
    } else {
        member.body.clone()
    };
    Encoded {
        method: if member.deflate { DEFLATED } else { STORED },
        crc: crc.sum(),
        stored,
        size: member
            .claimed_size
            .unwrap_or_else(|| size_u32(member.body.len())),
        offset,
    }
}

/// What both headers share: flags (names are UTF-8) to the length of the extra field.
fn common(out: &mut Vec<u8>, member: &Member, one: &Encoded) {
    for word in [1 << 11, one.method, 0, DOS_DATE] {
        put16(out, word);
    }
    for word in [one.crc, size_u32(one.stored.len()), one.size] {
        put32(out, word);
    }
    put16(
        out,
        u16::try_from(member.name.len()).expect("a name fits 64 KiB"),
    );
    put16(out, 0);
}

fn local_header(out: &mut Vec<u8>, member: &Member, one: &Encoded) {
    put32(out, 0x0403_4b50);
    put16(out, 20);
    common(out, member, one);
    out.extend_from_slice(&member.name);
}

fn central_header(out: &mut Vec<u8>, member: &Member, one: &Encoded) {
    put32(out, 0x0201_4b50);
    put16(out, 0x0314); // made on Unix by version 2.0: the mode below counts
    put16(out, 20);
    common(out, member, one);
    for word in [0, 0, 0] {
        put16(out, word);
    }
    put32(out, member.mode << 16);
    put32(out, one.offset);
    out.extend_from_slice(&member.name);
}

fn end_record(out: &mut Vec<u8>, members: usize, directory: u32, directory_size: u32) {
    let members = u16::try_from(members).expect("fewer than 65536 members");
    put32(out, 0x0605_4b50);
    for word in [0, 0, members, members] {
        put16(out, word);
    }
    put32(out, directory_size);
    put32(out, directory);
    put16(out, 0);
}

fn size_u32(size: usize) -> u32 {
    u32::try_from(size).expect("archives of the tests stay below 4 GiB")
}

fn put16(out: &mut Vec<u8>, word: u16) {
    out.extend_from_slice(&word.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_le_bytes());
}
