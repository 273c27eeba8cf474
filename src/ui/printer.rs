//! The way to stdout and stderr.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::ColorChoice;
use serde::Serialize;

use super::style;
use crate::error::{Error, Kind};

/// Schema of all `--json` output; raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// How much talk is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Errors only.
    Quiet,
    /// What was done, and warnings.
    Normal,
    /// Progress as lines too.
    Verbose,
    /// All that can be said, such as times.
    Debug,
}

/// Prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    level: Level,
    bars: bool,
}

/// A JSON document with its schema number.
#[derive(Debug, Serialize)]
struct Document<'a, T> {
    schema: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl Printer {
    /// A printer; `color` overrides what the environment says.
    pub(crate) fn new(level: Level, color: Option<ColorChoice>) -> Self {
        if let Some(choice) = color {
            choice.write_global();
        }
        Self { level, bars: true }
    }

    /// One that draws no bars, wherever it prints.
    pub(crate) fn without_bars(self) -> Self {
        Self {
            bars: false,
            ..self
        }
    }

    /// How much talk is wanted.
    pub(crate) fn level(self) -> Level {
        self.level
    }

    /// Whether bars make sense.
    pub(crate) fn can_draw(self) -> bool {
        self.bars
            && self.level >= Level::Normal
            && io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether a person reads stdout.
    pub(crate) fn stdout_is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Data: text as it is, whatever the level.
    #[expect(clippy::unused_self, reason = "printing goes through the printer")]
    pub(crate) fn data(self, text: &str) -> Result<(), Error> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| stdout(&error))
    }

    /// Data as JSON: an object that begins with its schema number.
    #[expect(clippy::unused_self, reason = "printing goes through the printer")]
    pub(crate) fn json<T: Serialize>(self, body: &T) -> Result<(), Error> {
        let document = Document {
            schema: SCHEMA,
            body,
        };
        let mut text = serde_json::to_vec_pretty(&document)
            .map_err(|error| Error::internal("cannot write JSON").caused_by(&error))?;
        text.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&text)
            .and_then(|()| out.flush())
            .map_err(|error| stdout(&error))
    }

    /// Talk: one line on stderr, unless quiet.
    pub(crate) fn say(self, line: impl AsRef<str>) {
        self.talk(Level::Normal, line.as_ref());
    }

    /// Talk that only `-v` shows.
    pub(crate) fn detail(self, line: impl AsRef<str>) {
        self.talk(Level::Verbose, line.as_ref());
    }

    /// Talk that only `-vv` shows.
    pub(crate) fn debug(self, line: impl AsRef<str>) {
        self.talk(Level::Debug, line.as_ref());
    }

    /// A warning.
    pub(crate) fn warn(self, message: impl AsRef<str>) {
        self.talk(
            Level::Normal,
            &format!("{} {}", style::careful("warning:"), message.as_ref()),
        );
    }

    /// An error, whatever the level. One that only says that nobody reads us is not shown.
    pub(crate) fn error(self, error: &Error) {
        if error.kind != Kind::BrokenPipe {
            self.talk(Level::Quiet, &render_error(error));
        }
    }

    fn talk(self, least: Level, line: &str) {
        if self.level >= least {
            let mut err = anstream::stderr().lock();
            // Nobody is left to tell when stderr is gone.
            writeln!(err, "{line}").unwrap_or_default();
        }
    }
}

fn stdout(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Error::new(Kind::BrokenPipe, "nobody reads the output")
    } else {
        Error::internal("cannot write to the standard output").caused_by(error)
    }
}

/// `error: …`, `caused by: …`, `hint: …`; further lines of a part are indented.
pub(super) fn render_error(error: &Error) -> String {
    let mut lines = vec![format!(
        "{} {}",
        style::error("error:"),
        indented(&error.message)
    )];
    for cause in &error.causes {
        lines.push(format!(
            "  {} {}",
            style::strong("caused by:"),
            indented(cause)
        ));
    }
    for hint in &error.hints {
        lines.push(format!("{} {}", style::hint("hint:"), indented(hint)));
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn an_error_shows_causes_and_hints_each_on_its_line() {
        let error = Error {
            kind: Kind::No,
            message: "no solution for your requirements\nflask 1 needs werkzeug 2".into(),
            causes: vec!["werkzeug 2 is not on the index".into()],
            hints: vec!["run `blast update`".into()],
            conflict: None,
        };
        let shown = strip_str(&render_error(&error)).to_string();
        insta::assert_snapshot!(shown, @r"
        error: no solution for your requirements
          flask 1 needs werkzeug 2
          caused by: werkzeug 2 is not on the index
        hint: run `blast update`
        ");
    }

    #[test]
    fn a_json_document_begins_with_its_schema_number() {
        #[derive(Serialize)]
        struct Body {
            packages: Vec<u8>,
        }
        let document = Document {
            schema: SCHEMA,
            body: &Body { packages: vec![1] },
        };
        let text = serde_json::to_string(&document).expect("plain data");
        assert_eq!(text, r#"{"schema":1,"packages":[1]}"#);
    }
}
