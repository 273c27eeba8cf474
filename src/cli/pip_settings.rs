//! What pip's files and variables say of choosing versions and files, for blast's own commands. What
//! means the same here is heeded, below `[tool.blast]`; what would make pip install something else,
//! or elsewhere, and has no counterpart is told. (Where packages come from is read by
//! `blast_index::config`; the commands of the shim take every option that they have.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blast_index::config::{PipOption, pip_options};

use super::context::Context;
use super::moment::Moment;
use super::sources;
use crate::error::Error;

/// Options that decide what pip installs or where, and that no setting of blast's stands for.
const WITHOUT_COUNTERPART: &[&str] = &[
    "abi",
    "all-releases",
    "break-system-packages",
    "build-constraint",
    "editable",
    "force-reinstall",
    "group",
    "ignore-installed",
    "ignore-requires-python",
    "implementation",
    "no-build-isolation",
    "no-deps",
    "only-final",
    "platform",
    "prefer-binary",
    "prefix",
    "python-version",
    "require-virtualenv",
    "requirement",
    "requirements-from-script",
    "root",
    "target",
    "upgrade",
    "upgrade-strategy",
    "user",
];

/// What pip's settings say that counts here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PipSettings {
    /// `constraint`: files.
    pub(super) constraint_files: Vec<PathBuf>,
    /// `pre`.
    pub(super) pre: bool,
    /// `no-binary`.
    pub(super) no_binary: Vec<String>,
    /// `only-binary`.
    pub(super) only_binary: Vec<String>,
    /// `uploaded-prior-to`.
    pub(super) uploaded_prior_to: Option<Moment>,
    /// `config-settings`: key and value.
    pub(super) config_setting: Option<(String, String)>,
    /// `require-hashes`: where that is said.
    pub(super) require_hashes: Option<String>,
    /// What is passed over, with the place where it is said.
    passed_over: Vec<String>,
}

impl PipSettings {
    /// As they are for this command; tells what is passed over.
    pub(super) fn read(context: &Context) -> Result<Self, Error> {
        let around = sources::surroundings(context)?;
        let options = pip_options(&around, "install").map_err(|error| sources::unusable(&error))?;
        let settings = Self::of(&options, &around.cwd)?;
        if !settings.passed_over.is_empty() {
            context.printer.warn(format!(
                "of pip's settings these mean nothing to blast: {}",
                settings.passed_over.join(", ")
            ));
        }
        Ok(settings)
    }

    fn of(options: &BTreeMap<String, PipOption>, cwd: &Path) -> Result<Self, Error> {
        let words = |name: &str, apart: fn(char) -> bool| -> Vec<String> {
            let value = options.get(name).map_or("", |option| option.value.as_str());
            let words = value.split(apart).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let switch = |name: &str| -> Result<_, Error> {
            match options.get(name) {
                Some(option) => Ok(is_on(name, option)?.then_some(option)),
                None => Ok(None),
            }
        };
        let names = |c: char| c == ',' || c.is_whitespace();
        let files = words("constraint", char::is_whitespace);
        let mut passed_over = Vec::new();
        for name in WITHOUT_COUNTERPART {
            if let Some(option) = options.get(*name)
                && !is_on(name, option).is_ok_and(|on| !on)
            {
                passed_over.push(format!("{name} ({})", option.origin));
            }
        }
        Ok(Self {
            constraint_files: files.iter().map(|file| cwd.join(file)).collect(),
            pre: switch("pre")?.is_some(),
            no_binary: words("no-binary", names),
            only_binary: words("only-binary", names),
            uploaded_prior_to: (options.get("uploaded-prior-to"))
                .map(|option| {
                    option
                        .value
                        .parse()
                        .map_err(|why| bad("uploaded-prior-to", option, why))
                })
                .transpose()?,
            config_setting: (options.get("config-settings"))
                .map(|option| {
                    let pair = option.value.split_once('=');
                    pair.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
                        .ok_or_else(|| bad("config-settings", option, "write KEY=VALUE".to_owned()))
                })
                .transpose()?,
            require_hashes: switch("require-hashes")?.map(|option| option.origin.to_string()),
            passed_over,
        })
    }
}

/// Whether a switch is on, in the words that pip knows.
fn is_on(name: &str, option: &PipOption) -> Result<bool, Error> {
    match option.value.to_lowercase().as_str() {
        "1" | "y" | "yes" | "t" | "true" | "on" => Ok(true),
        "0" | "n" | "no" | "f" | "false" | "off" => Ok(false),
        _ => Err(bad(name, option, "write true or false".to_owned())),
    }
}

fn bad(name: &str, option: &PipOption, why: String) -> Error {
    let (value, origin) = (option.value.escape_debug(), &option.origin);
    Error::usage(format!(
        "{name} ({origin}) is `{value}`, which cannot be used"
    ))
    .hint(why)
}

#[cfg(test)]
mod tests {
    use blast_index::config::Origin;

    use super::*;

    fn settings(said: &[(&str, &str)]) -> Result<PipSettings, Error> {
        let option = |value: &str| PipOption {
            value: value.to_owned(),
            origin: Origin::Variable("PIP_X".to_owned()),
        };
        let options = said
            .iter()
            .map(|(name, value)| ((*name).to_owned(), option(value)))
            .collect();
        PipSettings::of(&options, Path::new("/here"))
    }

    #[test]
    fn what_means_the_same_is_taken() {
        let said = settings(&[
            ("constraint", "a.txt\n/b.txt"),
            ("pre", "yes"),
            ("only-binary", ":all:"),
            ("no-binary", "x,y\nz"),
            ("require-hashes", "1"),
            ("config-settings", "--key=value=more"),
            ("uploaded-prior-to", "2026-01-01"),
            ("index-url", "https://packages.example/"),
            ("quiet", "2"),
        ])
        .expect("usable");
        assert_eq!(
            said.constraint_files,
            [Path::new("/here/a.txt"), Path::new("/b.txt")]
        );
        assert!(said.pre && said.uploaded_prior_to.is_some());
        assert_eq!(said.only_binary, [":all:"]);
        assert_eq!(said.no_binary, ["x", "y", "z"]);
        assert_eq!(said.require_hashes.as_deref(), Some("variable PIP_X"));
        let setting = said.config_setting.expect("there");
        assert_eq!(setting, ("--key".to_owned(), "value=more".to_owned()));
        assert!(said.passed_over.is_empty());
    }

    #[test]
    fn what_has_no_counterpart_is_told_unless_it_is_off() {
        let said = settings(&[("no-deps", "true"), ("upgrade", "0"), ("target", "/x")]);
        assert_eq!(
            said.expect("usable").passed_over,
            ["no-deps (variable PIP_X)", "target (variable PIP_X)"]
        );
    }

    #[test]
    fn nonsense_names_its_place() {
        for said in [
            ("pre", "perhaps"),
            ("require-hashes", "2"),
            ("config-settings", "key"),
            ("uploaded-prior-to", "soon"),
        ] {
            let error = settings(&[said]).expect_err(said.0);
            assert!(error.message.contains("PIP_X"), "{error}");
            assert!(error.message.contains(said.0), "{error}");
        }
    }
}
