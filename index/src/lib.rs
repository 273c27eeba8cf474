//! Package indexes: verified metadata and verified files out of untrusted servers and archives.
//!
//! - [`config`] computes [`Sources`] (which indexes, how to reach them) from pip's and our own
//!   settings; pure but for reading pip's files.
//! - [`Shared`] lives as long as the daemon: connections, memory caches and the cache directory.
//!   [`Shared::index`] gives the [`Index`] of one command.
//! - [`Index`] answers [`Index::project`], [`Index::metadata`] and [`Index::download`].
//! - [`wheel`] opens an archive only after everything in it was checked, and reads its members
//!   from any number of threads.
//!
//! Layout of the cache directory (all of it can be deleted at any time):
//!
//! ```text
//! CACHEDIR.TAG
//! simple-v1/<index key>/<project>    HTTP answer of a project page, see `cache`
//! simple-v1/pages/<key>              HTTP answer of a link page
//! metadata-v1/ab/<key>               core metadata headers of a file whose hash is known
//! wheels-v1/                         archives on their way into the store
//! ```
//!
//! Nothing here trusts a name, a size, a hash or an encoding that came over the network.
//! Concurrency: every public type is `Send + Sync`; requests in flight are bounded, and equal
//! requests wait for one another instead of being made twice.

mod auth;
mod cache;
mod client;
pub mod config;
mod download;
mod error;
mod find_links;
mod freshness;
mod index;
mod locations;
mod memory;
pub mod metadata;
mod position;
mod project;
mod ranges;
mod refresh;
mod remote_metadata;
pub mod sdist;
pub mod simple;
mod sources;
mod transport;
mod url;
pub mod wheel;

pub use download::Destination;
pub use error::{ConnectFailure, IndexError};
pub use find_links::file_at;
pub use index::{Counters, Index, Shared};
pub use refresh::Refreshed;
pub use sources::{IndexSource, IndexStrategy, Proxies, Refresh, Sources};
pub use url::{RedactedUrl, UrlError, bare, take_logins};
