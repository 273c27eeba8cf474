//! Meanings that have a colour. The colour is never the only sign of the meaning.

use owo_colors::{OwoColorize as _, Style};

/// Something new, or in order.
pub(crate) fn good(text: &str) -> String {
    paint(text, Style::new().green())
}

/// Something gone, or wrong.
pub(crate) fn bad(text: &str) -> String {
    paint(text, Style::new().red())
}

/// Something changed, or doubtful.
pub(crate) fn careful(text: &str) -> String {
    paint(text, Style::new().yellow())
}

/// What a line is about.
pub(crate) fn strong(text: &str) -> String {
    paint(text, Style::new().bold())
}

/// What can be skipped in reading.
pub(crate) fn faint(text: &str) -> String {
    paint(text, Style::new().dimmed())
}

/// The word that begins an error.
pub(crate) fn error(text: &str) -> String {
    paint(text, Style::new().red().bold())
}

/// The word that begins a hint.
pub(crate) fn hint(text: &str) -> String {
    paint(text, Style::new().cyan().bold())
}

fn paint(text: &str, style: Style) -> String {
    text.style(style).to_string()
}
