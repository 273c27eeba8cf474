//! How command line and daemon speak: where they meet ([`paths`]), what they say ([`protocol`],
//! [`packages`]),
//! the client's half of the conversation ([`client`]), and starting the daemon ([`launch`]).

pub(crate) mod client;
mod launch;
pub(crate) mod packages;
pub(crate) mod paths;
pub(crate) mod protocol;
mod redaction;
