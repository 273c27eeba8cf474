//! Images: the layers and blobs of an environment in one file that can be carried elsewhere.
//!
//! # Layout
//! A tar file that is an OCI image layout: `oci-layout`, `index.json`, and below `blobs/sha256/` a
//! manifest, a lock (the manifest's config), a description of the environment, and one *pack* for
//! each layer. What the description says is for the engine; here it is bytes. [`mod@format`] draws a pack.
//!
//! # Invariants
//! Equal content gives equal bytes: no times, no owners, no order that depends on anything else
//! ([`plan`]). A blob is in one pack only, the first that needs it. What differs from a base leaves
//! out the base's layers and blobs.
//!
//! # Trust
//! Nothing in a file is believed. Sizes are limited before memory is taken for them, every document and
//! pack must have the SHA-256 by which it is named, every layer its BLAKE3 and the structure that
//! [`Layer::verify`](crate::Layer::verify) demands, every blob its BLAKE3 and the size that its layer
//! states. What breaks a rule is refused with the name of file and part, and nothing of it stays.

mod error;
mod format;
mod load;
mod pack;
mod plan;
mod read;
#[cfg(test)]
pub(crate) mod tests;
mod write;

pub use error::ImageError;
pub use format::IMAGE_VERSION;
pub(crate) use load::ToStaging;
pub use load::{Bring, ImageContent};
pub(crate) use pack::{Check, OpenPack, PackFile, Sink, Unpacker};
pub use read::{Image, ImagePack};
pub use write::{ImageSpec, PackSource, WrittenImage};
