//! How command line and daemon speak: where they meet ([`paths`]), what they say ([`protocol`],
//! [`packages`], [`images`]), the client's half of the conversation ([`client`]), starting the daemon
//! ([`launch`]), and being the only one ([`instance`]).

pub(crate) mod client;
pub(crate) mod images;
pub(crate) mod instance;
pub(crate) mod launch;
pub(crate) mod packages;
pub(crate) mod packets;
pub(crate) mod paths;
pub(crate) mod protocol;
pub(crate) mod redaction;
