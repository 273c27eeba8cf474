//! When bytecode is compiled: flags, and `bytecode` in `[tool.blast]`.

use blast_types::EnvName;
use serde::Deserialize;

use super::context::Context;
use crate::error::Error;
use crate::ipc::protocol::{Reply, Request};
use crate::ui::units;

/// When bytecode is compiled.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Bytecode options")]
pub(super) struct BytecodeOptions {
    /// Wait until all bytecode is compiled (default: it is compiled in the background)
    #[arg(long, conflicts_with = "no_bytecode")]
    compile_bytecode: bool,
    /// Compile no bytecode but of what programs import
    #[arg(long)]
    no_bytecode: bool,
}

/// Values of `bytecode` in `[tool.blast]`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bytecode {
    /// After the command returned; what programs import comes first.
    #[default]
    Background,
    /// Before the command returns.
    Wait,
    /// Only what programs import.
    Off,
}

/// What `[tool.blast]` says of bytecode.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Settings {
    bytecode: Option<Bytecode>,
}

impl BytecodeOptions {
    /// What the flags say, else the project here, else the default.
    pub(super) fn choose(&self, context: &Context) -> Result<Bytecode, Error> {
        if self.compile_bytecode {
            return Ok(Bytecode::Wait);
        }
        if self.no_bytecode {
            return Ok(Bytecode::Off);
        }
        let project = context.project()?;
        let settings = project.map(|project| project.settings_as::<Settings>());
        Ok(settings
            .transpose()?
            .and_then(|settings| settings.bytecode)
            .unwrap_or_default())
    }
}

impl Bytecode {
    /// Waits for the bytecode of an environment, if that was wished for.
    pub(super) fn await_for(self, env: EnvName, context: &Context) -> Result<(), Error> {
        if self != Self::Wait {
            return Ok(());
        }
        let Reply::Compiled { modules } = context.ask(Request::Compile { env })? else {
            return Err(Error::unexpected_reply());
        };
        // In the background it may have been faster than this request.
        let modules = match modules {
            0 => "all modules".to_owned(),
            some => units::count(some as usize, "module"),
        };
        context
            .printer
            .say(format!("bytecode of {modules} is compiled"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_says_when_by_one_of_three_words() {
        let read = |text: &str| toml::from_str::<Settings>(text).map(|found| found.bytecode);
        assert_eq!(
            read("bytecode = 'wait'").expect("valid"),
            Some(Bytecode::Wait)
        );
        assert_eq!(
            read("bytecode = 'off'").expect("valid"),
            Some(Bytecode::Off)
        );
        let background = read("bytecode = 'background'").expect("valid");
        assert_eq!(background, Some(Bytecode::default()));
        assert_eq!(read("").expect("valid"), None);
        assert!(read("bytecode = 'later'").is_err());
    }
}
