//! Errors as data, for commands that take `--json`: a program that asked for JSON finds out from
//! it, too, why there is no answer.

use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use super::options::JsonOption;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;

#[derive(Debug, Serialize)]
struct Document<'a> {
    error: Body<'a>,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    kind: &'static str,
    message: &'a str,
    causes: &'a [String],
    hints: &'a [String],
    /// `steps` and `remedies`, where requirements are in conflict.
    #[serde(flatten)]
    conflict: Option<&'a Value>,
}

/// The result, an error among it printed as JSON too if that was asked for.
pub(super) fn shown(
    result: Result<Exit, Error>,
    json: JsonOption,
    context: &Context,
) -> Result<Exit, Error> {
    if let Err(error) = &result
        && json.json
        && error.kind != Kind::BrokenPipe
    {
        context.printer.json(&Document {
            error: Body {
                kind: kind(error),
                message: &error.message,
                causes: &error.causes,
                hints: &error.hints,
                conflict: error.conflict.as_deref(),
            },
        })?;
    }
    result
}

fn kind(error: &Error) -> &'static str {
    match error.kind {
        Kind::No if error.conflict.is_some() => "conflict",
        Kind::No => "no",
        Kind::Usage => "usage",
        Kind::Internal | Kind::CommandNotFound | Kind::CommandNotExecutable | Kind::BrokenPipe => {
            "internal"
        }
    }
}
