//! Images: an environment in one file, and an environment made of one.
//!
//! The store writes and reads the container and everything that has a name by content
//! (`blast_store::Image`); here is what only the engine knows: [`description`], what the image says
//! of the environment, [`fits`], whether an interpreter can run it, [`lock`], the `pylock.toml` inside.
//!
//! What belongs to one machine stays behind: the place of the environment, its variables (they may
//! hold secrets), its interpreter, its bytecode (a poisoned one must not travel), and its generated
//! layer, which [`mod@load`] makes anew. Editable packages are refused by name: they lead to a folder.
//!
//! Loading ends in an ordinary operation. What an image says that wheels became is remembered under
//! a name made from what it says (`scheme_of`), and used only where the package came from the
//! image: else one that lies about a wheel would reach every environment that installs it.
//!
//! Packs are taken into the store as they are; [`settle`] has them unpacked after the load returned.

mod build;
mod description;
mod error;
mod fits;
mod inspect;
mod load;
mod lock;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use build::build;
pub(crate) use error::ImageTrouble;
pub(crate) use inspect::{inspect, verify};
pub(crate) use load::load;
