//! Has an interpreter compile sources that come with blast, for bytecode that needs no sources.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;

use super::run::{RunError, run};

/// The program.
const COMPILER: &str = include_str!("compile.py");

/// How long it may take; a cold interpreter on a slow disk needs a second.
const LIMIT: Duration = Duration::from_secs(10);

/// The bytecode of sources, each a name for tracebacks and a text. Blocks for as long as a Python
/// takes to start.
pub(crate) fn compile(python: &Path, sources: &[(&str, &str)]) -> io::Result<Vec<Vec<u8>>> {
    let asked = serde_json::to_string(sources)?;
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-B", "-c", COMPILER, &asked]);
    let output = run(&mut command, LIMIT).map_err(|error| match error {
        RunError::Io(error) => error,
        RunError::TimedOut => io::ErrorKind::TimedOut.into(),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.trim().to_owned()));
    }
    let answer: Vec<String> = serde_json::from_slice(&output.stdout)?;
    let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text);
    let files: Result<Vec<_>, _> = answer.iter().map(decode).collect();
    files
        .ok()
        .filter(|files| files.len() == sources.len())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
