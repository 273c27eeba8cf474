//! `blast debug vectors`: what resolver, index client and installer make of given texts.
//!
//! Reads JSON objects from stdin, one a line, and answers each with one on stdout, in order,
//! until the input ends. A question has `id` and `op`; the answer repeats `id`. An operation that
//! is not known is answered with `"unsupported": true`; a text that is refused with `"ok": false`
//! and `why`. The operations are in [`super::answers`].

use std::io::{self, BufRead as _};

use serde_json::{Map, Value, json};

use super::answers;
use crate::cli::context::Context;
use crate::error::Error;
use crate::exit_code::Exit;

/// Answer questions about versions, requirements, markers, file names and locks
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// Runs the command.
pub(super) fn run(_: &Args, context: &Context) -> Result<Exit, Error> {
    for line in io::stdin().lock().lines() {
        let line =
            line.map_err(|error| Error::internal("stdin cannot be read").caused_by(&error))?;
        if !line.trim().is_empty() {
            context.printer.data(&format!("{}\n", answer(&line)))?;
        }
    }
    Ok(Exit::Ok)
}

/// Answers one line.
fn answer(line: &str) -> Value {
    let refused = |why: String| {
        let mut answer = Map::new();
        answer.insert("ok".to_owned(), json!(false));
        answer.insert("why".to_owned(), json!(why));
        answer
    };
    let (id, mut answer) = match serde_json::from_str::<Value>(line) {
        Ok(question) => {
            let answer = match answers::answer(&question) {
                Ok(Some(answer)) => answer,
                Ok(None) => Map::from_iter([("unsupported".to_owned(), json!(true))]),
                Err(why) => refused(why),
            };
            (question.get("id").cloned().unwrap_or_default(), answer)
        }
        Err(error) => (Value::Null, refused(error.to_string())),
    };
    answer.insert("id".to_owned(), id);
    Value::Object(answer)
}
