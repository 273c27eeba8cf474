//! How command line and daemon speak: where they meet ([`paths`]), what they say ([`protocol`]),
//! and the client's half of the conversation ([`client`]).

pub(crate) mod client;
pub(crate) mod paths;
pub(crate) mod protocol;
