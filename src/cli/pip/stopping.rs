//! What pip says and exits with where its command line ends in help or in a mistake.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Error;
use crate::exit_code::Exit;
use crate::ui::{Level, Printer};

/// Commands that have commands of their own, with what pip says where none of those is named.
const ACTIONS: [(&str, &str); 3] = [
    ("cache", "dir, info, list, purge, remove"),
    ("config", "debug, edit, get, list, set, unset"),
    ("index", "versions"),
];

/// Help is a success; an unknown option is told in pip's words; a command that lacks what it works on is an error like
/// any other.
pub(super) fn exit(stopped: &clap::Error, command: Option<&str>) -> Result<Exit, Error> {
    let printer = Printer::new(Level::Normal, None);
    let given = |kind| stopped.get(kind).map(ToString::to_string);
    let whole = || stopped.render().ansi().to_string();
    let actions = ACTIONS.iter().find(|(name, _)| Some(*name) == command);
    let is_without_action = matches!(
        stopped.kind(),
        ErrorKind::InvalidSubcommand
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if let (true, Some((_, actions))) = (is_without_action, actions) {
        printer.say(format!("ERROR: Need an action ({actions}) to perform."));
        return Ok(Exit::No);
    }
    match stopped.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            printer.data(&whole())?;
            Ok(Exit::Ok)
        }
        ErrorKind::UnknownArgument => {
            let option = given(ContextKind::InvalidArg).unwrap_or_default();
            printer.say(format!(
                "\nno such option: {option}\n(this pip is blast's; `pip help` lists what it knows)"
            ));
            Ok(Exit::Error)
        }
        ErrorKind::InvalidSubcommand => {
            let name = given(ContextKind::InvalidSubcommand).unwrap_or_default();
            // The nearest of them comes last.
            let near = match stopped.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(names)) => names.last().cloned(),
                Some(ContextValue::String(name)) => Some(name.clone()),
                _ => None,
            };
            let meant =
                near.map_or_else(String::new, |name| format!(" - maybe you meant \"{name}\""));
            printer.say(format!("ERROR: unknown command \"{name}\"{meant}"));
            Ok(Exit::No)
        }
        ErrorKind::MissingRequiredArgument => {
            printer.say(whole().trim_end());
            Ok(Exit::No)
        }
        _ => {
            printer.say(whole().trim_end());
            Ok(Exit::Error)
        }
    }
}
