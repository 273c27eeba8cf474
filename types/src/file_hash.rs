//! Hashes by which others vouch for a file: those of locks, requirement files and index pages.
//!
//! Known are the algorithms that `hashlib` guarantees (PEP 751), without those that collide (MD5,
//! SHA-1), are short (SHA-224), or have no length of their own (SHAKE).

use std::fmt;
use std::str::FromStr;

use sha2::digest::DynDigest;

use crate::Sha256;

/// Takes the bytes of a file; the other half of [`FileHash`].
pub type Hasher = Box<dyn DynDigest + Send>;

/// An algorithm that is trusted to tell files apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, which everything else here is named by.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
    /// `BLAKE2b` with 64 bytes.
    Blake2b,
    /// `BLAKE2s` with 32 bytes.
    Blake2s,
}

impl HashAlgorithm {
    /// The most wanted first: what the store knows files by, then what is long.
    pub const ALL: [Self; 8] = [
        Self::Sha256,
        Self::Sha512,
        Self::Sha384,
        Self::Sha3_512,
        Self::Sha3_384,
        Self::Blake2b,
        Self::Sha3_256,
        Self::Blake2s,
    ];

    /// The name that `hashlib` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_256 => "sha3_256",
            Self::Sha3_384 => "sha3_384",
            Self::Sha3_512 => "sha3_512",
            Self::Blake2b => "blake2b",
            Self::Blake2s => "blake2s",
        }
    }

    /// One that has seen nothing yet.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Box::<sha2::Sha256>::default(),
            Self::Sha384 => Box::<sha2::Sha384>::default(),
            Self::Sha512 => Box::<sha2::Sha512>::default(),
            Self::Sha3_256 => Box::<sha3::Sha3_256>::default(),
            Self::Sha3_384 => Box::<sha3::Sha3_384>::default(),
            Self::Sha3_512 => Box::<sha3::Sha3_512>::default(),
            Self::Blake2b => Box::<blake2::Blake2b512>::default(),
            Self::Blake2s => Box::<blake2::Blake2s256>::default(),
        }
    }
}

/// Why a text is no hash that could vouch for a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileHashError {
    /// MD5, SHA-1, or nothing that is known.
    #[error("`{0}` is no algorithm that is trusted to vouch for a file: {known} are", known = known())]
    Algorithm(String),
    /// Too short, too long, or not hexadecimal.
    #[error("`{digest}` is no {algorithm} digest", algorithm = algorithm.name())]
    Digest {
        /// What it should be of.
        algorithm: HashAlgorithm,
        /// As written.
        digest: String,
    },
    /// There is no algorithm in it.
    #[error("`{0}` is no hash: write it as `sha256:DIGEST`")]
    Form(String),
}

fn known() -> String {
    HashAlgorithm::ALL.map(HashAlgorithm::name).join(", ")
}

/// A digest and what it is of. Text form: `sha512:` and hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileHash {
    algorithm: HashAlgorithm,
    digest: Box<[u8]>,
}

impl FileHash {
    /// A hash as tables and URLs have it, the algorithm apart from the digits.
    ///
    /// # Errors
    /// The algorithm is not trusted or not known, or the digits are not those of a digest of it.
    pub fn new(algorithm: &str, digits: &str) -> Result<Self, FileHashError> {
        let algorithm = HashAlgorithm::ALL
            .into_iter()
            .find(|known| known.name() == algorithm)
            .ok_or_else(|| FileHashError::Algorithm(algorithm.to_owned()))?;
        let digest = hex::decode(digits).ok();
        let digest = digest.filter(|digest| digest.len() == algorithm.hasher().output_size());
        match digest {
            Some(digest) => Ok(Self {
                algorithm,
                digest: digest.into(),
            }),
            None => Err(FileHashError::Digest {
                algorithm,
                digest: digits.to_owned(),
            }),
        }
    }

    /// What a hasher came to.
    pub fn of(algorithm: HashAlgorithm, hasher: Hasher) -> Self {
        Self {
            algorithm,
            digest: hasher.finalize(),
        }
    }

    /// The most wanted among hashes of one file; those that are no good are passed over.
    pub fn best<'a>(hashes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        hashes
            .into_iter()
            .filter_map(|(algorithm, digits)| Self::new(algorithm, digits).ok())
            .min_by_key(|hash| {
                HashAlgorithm::ALL
                    .iter()
                    .position(|known| *known == hash.algorithm)
            })
    }

    /// What it is of.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// It as a SHA-256, where it is one.
    pub fn sha256(&self) -> Option<Sha256> {
        let bytes = <[u8; 32]>::try_from(&*self.digest).ok()?;
        (self.algorithm == HashAlgorithm::Sha256).then(|| Sha256::from_bytes(bytes))
    }

    /// Whether a file of these bytes has it.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.algorithm.hasher();
        hasher.update(bytes);
        Self::of(self.algorithm, hasher) == *self
    }

    /// The digest in hexadecimal digits.
    pub fn digits(&self) -> String {
        hex::encode(&self.digest)
    }
}

impl From<Sha256> for FileHash {
    fn from(sha256: Sha256) -> Self {
        Self {
            algorithm: HashAlgorithm::Sha256,
            digest: Box::from(*sha256.as_bytes()),
        }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.digits())
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHash({self})")
    }
}

impl FromStr for FileHash {
    type Err = FileHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, digits) = text
            .split_once(':')
            .ok_or_else(|| FileHashError::Form(text.to_owned()))?;
        Self::new(algorithm, digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `hashlib` says of `b"blast"`.
    const OF_BLAST: [&str; 8] = [
        "sha256:982d3cec0c8e060d5b7175d368c2eb3171c291a20c97f83e29b386275174f4dc",
        "sha384:b84c149158900c74937f40c120368206b888385d6f7e6cd0898a297ac41fb5eb91d98ad5c\
         cd9b82499a4db00fbe3a7de",
        "sha512:42bb826d3015aee86f78251f716c77b5c9aadcbb029b811082ba4f77314d0c4d7466a1617\
         dc4b5769e62b5efc4982f51d63902e589dd848dc5271e22bcf4c9d8",
        "sha3_256:adff850b55144cac63a69314e093c33cb35ed0512f78a36a0f9a9bc5839f3a2f",
        "sha3_384:dbe196c305d9fe7c1df19e752559bb052f942c59303d7c069a12f550e98e4ce80ff2eee\
         540833873fe78caea94844dfb",
        "sha3_512:09a700ad0c86319f57e19b436bf2df73e63a6fe9ff694aeef61d646f555a4758a63cff9\
         5a8b1bec6c4f3bbf5dd8e94dac4686a3ae1600074c0dc5698b9fbacf3",
        "blake2b:5560ca1c0e03d06f0736d06aed99340cfb0af93bdda1b407184d7d9e682641fe4d6abb2a\
         c18fc46fbc5f24acdd13426376c712221d73f3033ca3bcc23a772ad6",
        "blake2s:09ac84516121dadcaf1a423a90cba787a6fb379872d7605039cc23416610d7a5",
    ];

    #[test]
    fn digests_are_those_of_hashlib() {
        for text in OF_BLAST {
            let stated: FileHash = text.parse().expect("valid");
            assert!(stated.is_of(b"blast") && !stated.is_of(b"blasT"));
            assert_eq!(stated.to_string(), text);
            let sha256 = stated.algorithm() == HashAlgorithm::Sha256;
            assert_eq!(stated.sha256().is_some(), sha256, "{text}");
        }
    }

    #[test]
    fn what_collides_or_is_no_digest_is_refused() {
        let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
        let error = md5.parse::<FileHash>().expect_err("MD5").to_string();
        assert!(
            error.contains("`md5`") && error.contains("sha256"),
            "{error}"
        );
        for text in [
            "sha1:00",
            "sha512:00",
            "sha256:zz",
            "sha256",
            "",
            ":",
            "SHA256:00",
        ] {
            assert!(text.parse::<FileHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_best_of_several_is_taken() {
        let split = |text: &'static str| text.split_once(':').expect("has an algorithm");
        let best = FileHash::best(OF_BLAST.map(split)).expect("there are some");
        assert_eq!(best.algorithm(), HashAlgorithm::Sha256);
        let weak = [("md5", "d41d8cd98f00b204e9800998ecf8427e"), ("sha1", "00")];
        assert_eq!(FileHash::best(weak), None);
    }
}
