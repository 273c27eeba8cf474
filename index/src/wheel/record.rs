//! `RECORD` files (PEP 376, 427, 627): one CSV row per file with hash and size.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::URL_SAFE_NO_PAD};
use blast_types::Sha256;
use sha2::Digest as _;

/// Decodes with or without padding: the specification wants none, some tools write it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a `RECORD` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The CSV is damaged, or not UTF-8.
    #[error("row {row} is no CSV")]
    Csv {
        /// Counted from 1.
        row: usize,
    },
    /// Not three columns.
    #[error("row {row} has {columns} columns instead of 3")]
    Columns {
        /// Counted from 1.
        row: usize,
        /// How many there are.
        columns: usize,
    },
    /// A hash or size that cannot be parsed.
    #[error("row {row} has the {column} `{value}`")]
    Value {
        /// Counted from 1.
        row: usize,
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Path, `/`-separated; relative to the folder that holds `.dist-info`.
    pub path: String,
    /// Hash, where one is given.
    pub hash: Option<RecordHash>,
    /// Size in bytes, where it is given.
    pub size: Option<u64>,
}

/// A hash of a known and strong algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordHash {
    /// `sha256=`.
    Sha256(Sha256),
    /// `sha384=`.
    Sha384(Box<[u8; 48]>),
    /// `sha512=`.
    Sha512(Box<[u8; 64]>),
    /// Anything else, which proves nothing (PEP 427 forbids MD5, SHA-1 and SHA-224).
    Weak,
}

/// The texts of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowText {
    /// Counted from 1.
    pub row: usize,
    /// Path, `/`-separated.
    pub path: String,
    /// Hash with its algorithm, or empty.
    pub hash: String,
    /// Size, or empty.
    pub size: String,
}

/// Reads all rows. Rows without a path are left out.
pub fn parse(bytes: &[u8]) -> Result<Vec<RecordRow>, RecordError> {
    let read = |text: RowText| {
        Ok(RecordRow {
            hash: hash(&text.hash, text.row)?,
            size: size(&text.size, text.row)?,
            path: text.path,
        })
    };
    rows(bytes)?.into_iter().map(read).collect()
}

/// Reads all rows as texts. Rows without a path are left out; a path that was written with
/// backslashes, on Windows, gets slashes.
pub fn rows(bytes: &[u8]) -> Result<Vec<RowText>, RecordError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut rows = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let row = at + 1;
        let record = record.map_err(|_| RecordError::Csv { row })?;
        // Trailing columns were written by some old tools; a row of a path alone by others.
        // The reader takes one mark of byte order off the first row; what begins with another would
        // not survive being written and read again.
        let path = record.get(0).unwrap_or_default();
        let path = path.trim_start_matches('\u{feff}');
        if path.is_empty() {
            continue;
        }
        if record.len() > 3 && record.iter().skip(3).any(|extra| !extra.is_empty()) {
            return Err(RecordError::Columns {
                row,
                columns: record.len(),
            });
        }
        rows.push(RowText {
            row,
            path: path.replace('\\', "/"),
            hash: record.get(1).unwrap_or_default().to_owned(),
            size: record.get(2).unwrap_or_default().to_owned(),
        });
    }
    Ok(rows)
}

/// Writes rows as the specification says: quotes only where they must be.
pub fn write(rows: &[RecordRow]) -> String {
    let mut text = String::with_capacity(rows.len() * 100);
    for row in rows {
        push_row(&mut text, row);
    }
    text
}

fn push_row(text: &mut String, row: &RecordRow) {
    if row.path.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(&row.path.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(&row.path);
    }
    text.push(',');
    if let Some(hash) = &row.hash {
        text.push_str(&hash.to_string());
    }
    text.push(',');
    if let Some(size) = row.size {
        text.push_str(&size.to_string());
    }
    text.push('\n');
}

impl std::fmt::Display for RecordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, bytes): (_, &[u8]) = match self {
            Self::Sha256(hash) => ("sha256", hash.as_bytes()),
            Self::Sha384(hash) => ("sha384", &hash[..]),
            Self::Sha512(hash) => ("sha512", &hash[..]),
            Self::Weak => return Ok(()),
        };
        write!(f, "{name}={}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

fn hash(text: &str, row: usize) -> Result<Option<RecordHash>, RecordError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || RecordError::Value {
        row,
        column: "hash",
        value: text.to_owned(),
    };
    let (name, value) = text.split_once('=').ok_or_else(bad)?;
    let decode = || LENIENT.decode(value).map_err(|_| bad());
    let hash = match name {
        "sha256" => {
            let bytes: [u8; 32] = decode()?.try_into().map_err(|_| bad())?;
            RecordHash::Sha256(Sha256::from_bytes(bytes))
        }
        "sha384" => RecordHash::Sha384(decode()?.try_into().map_err(|_| bad())?),
        "sha512" => RecordHash::Sha512(decode()?.try_into().map_err(|_| bad())?),
        _ => RecordHash::Weak,
    };
    Ok(Some(hash))
}

fn size(text: &str, row: usize) -> Result<Option<u64>, RecordError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || RecordError::Value {
        row,
        column: "size",
        value: text.to_owned(),
    };
    text.parse().map(Some).map_err(|_| bad())
}

/// Computes the hash that a [`RecordHash`] is to be compared with.
#[derive(Debug, Clone)]
pub(crate) enum Hasher {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    None,
}

impl Hasher {
    pub(crate) fn like(hash: Option<&RecordHash>) -> Self {
        match hash {
            Some(RecordHash::Sha256(_)) => Self::Sha256(sha2::Sha256::new()),
            Some(RecordHash::Sha384(_)) => Self::Sha384(sha2::Sha384::new()),
            Some(RecordHash::Sha512(_)) => Self::Sha512(sha2::Sha512::new()),
            Some(RecordHash::Weak) | None => Self::None,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::None => {}
        }
    }

    pub(crate) fn finish(self) -> Option<RecordHash> {
        Some(match self {
            Self::Sha256(hasher) => {
                RecordHash::Sha256(Sha256::from_bytes(hasher.finalize().into()))
            }
            Self::Sha384(hasher) => RecordHash::Sha384(Box::new(hasher.finalize().into())),
            Self::Sha512(hasher) => RecordHash::Sha512(Box::new(hasher.finalize().into())),
            Self::None => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip() {
        let text = "a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
            \"odd, \"\"name\"\".py\",sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
            a-1.dist-info/RECORD,,\n";
        let rows = parse(text.as_bytes()).expect("valid");
        assert_eq!(rows[1].path, "odd, \"name\".py");
        assert_eq!(rows[0].hash, Some(RecordHash::Sha256(Sha256::of(b""))));
        assert_eq!((rows[2].hash.clone(), rows[2].size), (None, None));
        assert_eq!(write(&rows), text);
    }

    #[test]
    fn what_old_tools_wrote_is_read() {
        let rows = parse(
            b"a,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=,0,\r\nb\r\n\r\nc,md5=x,\r\n",
        )
        .expect("valid");
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2].hash, Some(RecordHash::Weak));
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_row() {
        for (text, row) in [
            ("a,sha256=AAAA,1", 1),
            ("a,,\nb,nohash,1", 2),
            ("a,,minus", 1),
            ("a,,18446744073709551616", 1),
            ("a,,,d", 1),
        ] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with(&format!("row {row} ")), "{error}");
        }
        assert!(parse(b"\xff\xfe,,").is_err());
    }
}
