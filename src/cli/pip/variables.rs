//! `PIP_*` variables and the keys of pip's files: each option of pip's has one of each, named after its
//! long spelling. They count as if they stood right after the command, so that what is typed wins.
//!
//! Those that say where packages come from are left out: `blast_index::config` reads them for every
//! command of blast.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Options of which others read what is said.
const READ_ELSEWHERE: [&str; 11] = [
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "keyring-provider",
    "trusted-host",
    "cert",
    "client-cert",
    "proxy",
    "timeout",
    "retries",
];

/// Where the command stands among the words.
fn position(pip: &Command, words: &[OsString]) -> Option<usize> {
    words.iter().position(|word| {
        word.to_str()
            .is_some_and(|word| pip.find_subcommand(word).is_some())
    })
}

/// The command of a command line, if it has one.
pub(super) fn command_of<'a>(pip: &Command, words: &'a [OsString]) -> Option<&'a str> {
    words[position(pip, words)?].to_str()
}

/// The words of a command line with what is `said` elsewhere of options, by their long names, put in.
pub(super) fn added(
    pip: &Command,
    mut words: Vec<OsString>,
    said: impl Fn(&str) -> Option<String>,
) -> Vec<OsString> {
    let Some(at) = position(pip, &words) else {
        return words;
    };
    let command = words[at]
        .to_str()
        .and_then(|word| pip.find_subcommand(word));
    let options = pip.get_arguments().filter(|arg| arg.is_global_set());
    let own = command.into_iter().flat_map(Command::get_arguments);
    let new: Vec<OsString> = options
        .chain(own)
        .flat_map(|arg| of_option(arg, &said))
        .map(OsString::from)
        .collect();
    words.splice(at + 1..=at, new);
    words
}

/// What is said of one option, as words.
fn of_option(arg: &Arg, said: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let Some(long) = arg.get_long().filter(|long| !READ_ELSEWHERE.contains(long)) else {
        return Vec::new();
    };
    let Some(value) = said(long).filter(|value| !value.trim().is_empty()) else {
        return Vec::new();
    };
    let value = value.trim();
    let yes = matches!(
        value.to_lowercase().as_str(),
        "1" | "y" | "yes" | "t" | "true" | "on"
    );
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::Count if yes => vec![format!("--{long}")],
        ArgAction::Count => {
            let times = value.parse().unwrap_or(0_usize).min(3);
            vec![format!("--{long}"); times]
        }
        ArgAction::Append => value
            .split_whitespace()
            .map(|one| format!("--{long}={one}"))
            .collect(),
        ArgAction::Set => vec![format!("--{long}={value}")],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::arguments::Pip;
    use super::*;

    fn words(line: &str, said: &[(&str, &str)]) -> String {
        let typed = line.split(' ').map(OsString::from).collect();
        let all = added(&Pip::command(), typed, |name| {
            let found = said.iter().find(|(option, _)| *option == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let texts = all.iter().map(|word| word.to_string_lossy().into_owned());
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_said_stands_after_the_command_and_before_what_is_typed() {
        let said = [
            ("constraint", "a.txt b.txt"),
            ("no-deps", "1"),
            ("pre", "false"),
            ("quiet", "2"),
            ("index-url", "http://127.0.0.1/"),
            ("something", "else"),
        ];
        assert_eq!(
            words("pip install flask", &said),
            "pip install --quiet --quiet --no-deps --constraint=a.txt --constraint=b.txt flask"
        );
        assert_eq!(words("pip list", &said), "pip list --quiet --quiet");
        assert_eq!(words("pip --version", &said), "pip --version");
    }
}
