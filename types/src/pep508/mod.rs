//! Requirements and markers (PEP 508, with the extensions of PEP 685 and 751), read the way
//! `packaging` reads them.
//!
//! Every requirement and marker from a file, an index or an archive goes through [`fn@requirement`]
//! and [`fn@marker`]. The grammar is read here; what a comparison means is decided in `comparison`,
//! and only comparisons that the marker library understands are handed to it. Left to itself it
//! passes over what it cannot make sense of (`os_name ~= 'x'`), which turns "no" into "always",
//! puts environment variables into URLs, and follows nested brackets as deep as they go.
//!
//! Nothing here panics or takes long, whatever the text: depth, number of comparisons and what they
//! grow into are bounded.

mod comparison;
mod marker;
mod requirement;
mod scanner;
mod size;

pub use marker::marker;
pub use requirement::requirement;
