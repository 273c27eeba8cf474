//! Shell scripts that make an environment the current one.
//!
//! One text per shell, from a template in `shell-integration/templates/`, serves both
//! `eval "$(blast start NAME)"` and the file `bin/activate*` of the environment. It makes sure that
//! the view is mounted, leaves whatever environment is active, sets `VIRTUAL_ENV`,
//! `VIRTUAL_ENV_PROMPT`, `BLAST_ENV`, `PATH` and the environment's own variables, and defines
//! `deactivate`, which puts everything back.
//!
//! Whatever reaches a script is either a literal that was quoted for that shell or a name that was
//! checked; a script is made in one pass, so that no value is taken for a placeholder. Pure: no
//! I/O, no state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blast_types::EnvName;

#[cfg(test)]
mod tests;

/// Where the programs are that blast adds to each environment, below the prefix: they come after
/// the environment's own in `PATH`.
pub(crate) const TOOLS: &str = ".blast/bin";

/// A shell that there is a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// The C shell and tcsh.
    Csh,
    /// `PowerShell`.
    Powershell,
    /// Any other shell that reads what POSIX says: dash, ksh, ash.
    #[value(alias = "sh", alias = "dash", alias = "ksh")]
    Posix,
}

/// What a script activates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Activation {
    /// The environment.
    pub(crate) name: EnvName,
    /// Where it is seen: `sys.prefix`, and `VIRTUAL_ENV`.
    pub(crate) prefix: PathBuf,
    /// The environment's own variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Our executable, which has the environment shown; none for one that stands alone as plain
    /// files and is no business of blast.
    pub(crate) blast: Option<PathBuf>,
}

/// Why there is no script for an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ActivationError {
    /// No shell could export it.
    #[error(
        "`{0}` is no name for a variable: use letters, digits and `_`, and start with no digit"
    )]
    VariableName(String),
    /// Activation sets it itself, or a shell does not let it be set.
    #[error("the variable `{0}` is not an environment's to set")]
    ReservedVariable(String),
    /// The value holds a NUL character.
    #[error("the value of the variable `{0}` holds a NUL character")]
    VariableValue(String),
    /// A script is text, and `PATH` separates by colons.
    #[error(
        "an environment cannot be activated at `{}`: the path holds a colon or is no text",
        .0.escape_debug()
    )]
    Path(String),
}

/// Variables that activation itself sets or that mean something to the scripts.
const RESERVED: &[&str] = &[
    "PATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "BLAST_ENV",
    "PS1",
    "prompt",
    "IFS",
    "_",
];

/// Variables that are read-only in one of the shells: setting them would end the script half-way.
const READ_ONLY: &[&str] = &[
    "ARGC",
    "BASHOPTS",
    "BASH_VERSINFO",
    "CMD_DURATION",
    "EGID",
    "EUID",
    "FISH_VERSION",
    "GID",
    "HISTCMD",
    "LINENO",
    "PPID",
    "PWD",
    "SHELLOPTS",
    "SHLVL",
    "TTYIDLE",
    "UID",
    "ZSH_SUBSHELL",
    "argv",
    "cwd",
    "fish_pid",
    "history",
    "hostname",
    "pipestatus",
    "status",
    "umask",
    "version",
];

/// Whether an environment may set this variable; to be asked when it is given, since
/// [`Activation::script`] will refuse it too.
pub(crate) fn check_variable(name: &str, value: &str) -> Result<(), ActivationError> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !plain || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(ActivationError::VariableName(
            name.escape_debug().to_string(),
        ));
    }
    let ours = ["_BLAST_", "_OLD_VIRTUAL_"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    if ours || RESERVED.contains(&name) || READ_ONLY.contains(&name) {
        return Err(ActivationError::ReservedVariable(name.to_owned()));
    }
    if value.contains('\0') {
        return Err(ActivationError::VariableValue(name.to_owned()));
    }
    Ok(())
}

/// The script by which `blast start` and `blast load` can change the shell that calls them; `None`
/// where the shell has no way to do that.
pub(crate) fn hook(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Bash | Shell::Zsh | Shell::Posix => {
            Some(include_str!("../shell-integration/templates/hook.sh"))
        }
        Shell::Fish => Some(include_str!("../shell-integration/templates/hook.fish")),
        Shell::Csh | Shell::Powershell => None,
    }
}

impl Shell {
    /// The first of these programs that is a shell: names or paths, such as the parent process's
    /// and `$SHELL`. A leading `-` (a login shell) and a version (`zsh-5.9`) are looked past.
    pub(crate) fn detect<'a>(candidates: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        candidates.into_iter().find_map(|candidate| {
            let name = Path::new(candidate).file_name()?.to_str()?;
            let name = name.trim_start_matches('-').trim_end_matches(".exe");
            match name.split('-').next()? {
                "bash" | "rbash" => Some(Self::Bash),
                "zsh" => Some(Self::Zsh),
                "fish" => Some(Self::Fish),
                "csh" | "tcsh" => Some(Self::Csh),
                "pwsh" | "powershell" => Some(Self::Powershell),
                "sh" | "dash" | "ash" | "ksh" | "ksh93" | "mksh" => Some(Self::Posix),
                _ => None,
            }
        })
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bash | Self::Zsh | Self::Posix => {
                include_str!("../shell-integration/templates/activate.sh")
            }
            Self::Fish => include_str!("../shell-integration/templates/activate.fish"),
            Self::Csh => include_str!("../shell-integration/templates/activate.csh"),
            Self::Powershell => include_str!("../shell-integration/templates/activate.ps1"),
        }
    }

    /// `text` as one literal word of this shell.
    fn quote(self, text: &str) -> String {
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('\'');
        for c in text.chars() {
            match (self, c) {
                // In the C shell, history and line ends count inside quotes too.
                (Self::Fish, '\\' | '\'') | (Self::Csh, '!' | '\n') => quoted.extend(['\\', c]),
                // It takes typographic quotes for quotes.
                (Self::Powershell, '\'' | '\u{2018}'..='\u{201b}') => quoted.extend([c, c]),
                (Self::Bash | Self::Zsh | Self::Posix | Self::Csh, '\'') => {
                    quoted.push_str(r"'\''");
                }
                _ => quoted.push(c),
            }
        }
        quoted.push('\'');
        quoted
    }
}

impl Activation {
    /// What an activated shell has in its environment beside `PATH`; also for programs that are
    /// started in the environment without a shell.
    pub(crate) fn exports(&self) -> Result<BTreeMap<String, String>, ActivationError> {
        let mut exports = self.variables.clone();
        for (name, value) in &exports {
            check_variable(name, value)?;
        }
        if self.blast.is_some() {
            exports.insert("BLAST_ENV".to_owned(), self.name.to_string());
        }
        exports.insert("VIRTUAL_ENV".to_owned(), text(&self.prefix)?.to_owned());
        exports.insert("VIRTUAL_ENV_PROMPT".to_owned(), self.prompt());
        Ok(exports)
    }

    /// What the prompt shows, in parentheses.
    fn prompt(&self) -> String {
        match self.blast {
            Some(_) => format!("blast:{}", self.name),
            None => self.name.to_string(),
        }
    }

    /// Where the environment's programs are: comes first in `PATH`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.prefix.join("bin")
    }

    /// The script that activates the environment in this shell.
    pub(crate) fn script(&self, shell: Shell) -> Result<String, ActivationError> {
        let exports = self.exports()?;
        let bin = self.bin();
        let bin = text(&bin)?;
        if bin.contains(':') {
            return Err(ActivationError::Path(bin.to_owned()));
        }
        let leave: Vec<String> = exports
            .keys()
            .map(|name| format!("_blast_leave_{name}"))
            .collect();
        let complaint = format!(
            "blast: the view of {} could not be mounted; `blast doctor` says why",
            self.name
        );
        let mut values = BTreeMap::from([
            ("NAME", shell.quote(self.name.as_str())),
            ("BIN", shell.quote(bin)),
            ("PROMPT", shell.quote(&format!("({}) ", self.prompt()))),
            ("COMPLAINT", shell.quote(&complaint)),
            ("LEAVE_VARIABLES", leave.join("; ")),
        ]);
        if let Some(blast) = &self.blast {
            values.insert("BLAST", shell.quote(text(blast)?));
            let tools = self.prefix.join(TOOLS);
            values.insert("TOOLS", shell.quote(text(&tools)?));
        }
        Ok(fill(shell, &values, &exports))
    }

    /// The one line by which the C shell activates the environment: `eval` there makes one line of
    /// whatever a command prints, so it reads the file of the `bin` directory instead.
    pub(crate) fn sourcing_in_csh(&self) -> Result<String, ActivationError> {
        let file = self.bin().join("activate.csh");
        Ok(format!("source {}\n", Shell::Csh.quote(text(&file)?)))
    }

    /// The scripts of the environment's `bin` directory, by file name.
    pub(crate) fn files(&self) -> Result<Vec<(&'static str, String)>, ActivationError> {
        [
            ("activate", Shell::Posix),
            ("activate.csh", Shell::Csh),
            ("activate.fish", Shell::Fish),
            ("activate.ps1", Shell::Powershell),
        ]
        .into_iter()
        .map(|(name, shell)| Ok((name, self.script(shell)?)))
        .collect()
    }
}

/// A path as a script can hold it.
fn text(path: &Path) -> Result<&str, ActivationError> {
    path.to_str()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| ActivationError::Path(path.to_string_lossy().into_owned()))
}

/// Fills a shell's template; the lines between `#@ each` and `#@ end` once per export, those between
/// `#@ shown` and `#@ end` where blast has to show the environment.
fn fill(
    shell: Shell,
    values: &BTreeMap<&str, String>,
    exports: &BTreeMap<String, String>,
) -> String {
    let mut script = String::new();
    let mut lines = shell.template().lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("#@") {
            None => fill_line(&mut script, line, |name| values.get(name).cloned()),
            Some(" each") => {
                let block: Vec<&str> = lines
                    .by_ref()
                    .take_while(|line| *line != "#@ end")
                    .collect();
                for (key, value) in exports {
                    for line in &block {
                        fill_line(&mut script, line, |name| match name {
                            "KEY" => Some(key.clone()),
                            "VALUE" => Some(shell.quote(value)),
                            name => values.get(name).cloned(),
                        });
                    }
                }
            }
            Some(" shown") if !values.contains_key("BLAST") => {
                lines
                    .by_ref()
                    .take_while(|line| *line != "#@ end")
                    .for_each(drop);
            }
            Some(_) => {}
        }
    }
    script
}

/// Appends a line, its placeholders (`@NAME@`) replaced. An `@` that begins none stays.
fn fill_line(script: &mut String, line: &str, value: impl Fn(&str) -> Option<String>) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        script.push_str(before);
        let placeholder = after
            .split_once('@')
            .and_then(|(name, tail)| Some((value(name)?, tail)));
        if let Some((value, tail)) = placeholder {
            script.push_str(&value);
            rest = tail;
        } else {
            script.push('@');
            rest = after;
        }
    }
    script.push_str(rest);
    script.push('\n');
}
