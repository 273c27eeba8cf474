//! Wheels (PEP 427): archives that are checked as a whole before a byte of them is released.
//!
//! - [`archive`] opens a wheel (the checks are in `opening`) and reads its members;
//! - [`layout`] decides which names are safe and where a member is installed;
//! - [`record`] and [`entry_points`] parse the files of those names.

pub mod archive;
pub mod entry_points;
mod error;
pub mod layout;
mod opening;
pub mod record;

pub use archive::{Limits, Member, WheelArchive};
pub use entry_points::EntryPoint;
pub use error::{WheelError, WheelProblem};
pub use layout::{InstallPath, InstallRoot};
pub use record::{RecordError, RecordHash, RecordRow};

pub(crate) use layout::is_dist_info_of;
