//! Content names. Objects of the store are named by BLAKE3-256; artifacts of an index by the
//! SHA-256 that the index states. Each kind has a type of its own, so that none is taken for
//! another. Text form: 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A string that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest of 64 hexadecimal digits")]
pub struct DigestParseError(pub String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The digest with these 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// All 64 digits.
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }

            /// The first 12 digits, for people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = DigestParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| DigestParseError(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_hex())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest! {
    /// Names a blob: the BLAKE3-256 of a file's bytes.
    BlobId
}
digest! {
    /// Names a layer: the BLAKE3-256 of its canonical encoding.
    LayerId
}
digest! {
    /// Names a generation: the BLAKE3-256 of its canonical encoding.
    GenerationId
}
digest! {
    /// Names a pack of an image that lies in a store: the BLAKE3-256 of its bytes.
    PackId
}
digest! {
    /// The SHA-256 of an artifact, as package indexes and RECORD files state it.
    Sha256
}

impl BlobId {
    /// The name of a file with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl Sha256 {
    /// The SHA-256 of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let id = BlobId::of(b"hello");
        assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
        assert_eq!(id.short(), id.to_hex()[..12]);
        let json = serde_json::to_string(&id).expect("a digest is a string");
        assert_eq!(
            serde_json::from_str::<BlobId>(&json).expect("round trip"),
            id
        );
    }

    #[test]
    fn short_or_foreign_text_is_refused() {
        assert!("abc".parse::<LayerId>().is_err());
        assert!("g".repeat(64).parse::<Sha256>().is_err());
    }
}
