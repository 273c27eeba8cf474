//! Source distributions: unpacked safely, and read for what they say without being run.
//!
//! An archive of sources is as hostile as a wheel, and code out of it is run afterwards; so it
//! should at least not write elsewhere before somebody decided to run it. [`unpack()`] follows the
//! rules of PEP 706 (the `data` filter of Python's `tarfile`), and is stricter where no honest
//! sdist needs more. [`SourceTree`] reads an unpacked tree: [`SourceTree::metadata`] by the rules of
//! PEP 643 and 621, [`SourceTree::build_system`] by PEP 518.

mod error;
mod pyproject;
mod unpack;

pub use error::SdistError;
pub use pyproject::{BuildSystem, SourceTree};
pub use unpack::{Limits, unpack};
