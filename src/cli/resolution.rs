//! How versions and files are chosen: the options that all resolving commands share, and the same
//! keys in `[tool.blast]`. Lowest first: `[tool.blast]`, requirements files, flags; a flag replaces
//! a single value and adds to a list.

use std::collections::BTreeMap;

use blast_types::PackageName;
use serde::Deserialize;

use super::context::Context;
use super::moment::Moment;
use super::project::Project;
use crate::error::Error;
use crate::ipc::protocol::ResolveOptions;

/// How versions and files are chosen.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Resolver options")]
pub(super) struct ResolverOptions {
    /// Admit pre-releases of all packages
    #[arg(long)]
    pre: bool,
    /// Take only files uploaded before this: a time, a date, or `2 weeks` (ago)
    #[arg(long, value_name = "DATE")]
    exclude_newer: Option<Moment>,
    /// Another limit for one package; `false` for none
    #[arg(long, value_name = "PACKAGE=DATE", value_parser = limit)]
    exclude_newer_package: Vec<(PackageName, Limit)>,
    /// Never take a wheel of this package (`:all:` for all)
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    no_binary: Vec<String>,
    /// Never take a source distribution of this package (`:all:` for all)
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    only_binary: Vec<String>,
}

/// What requirements files say of the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FromFiles {
    /// `--pre`.
    pub(super) pre: bool,
    /// `--no-binary`.
    pub(super) no_binary: Vec<String>,
    /// `--only-binary`.
    pub(super) only_binary: Vec<String>,
}

/// What `[tool.blast]` says of the resolver.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Settings {
    exclude_newer: Option<Moment>,
    exclude_newer_package: BTreeMap<PackageName, Limit>,
    no_binary: Vec<String>,
    only_binary: Vec<String>,
}

/// A package's own limit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Limit {
    Moment(Moment),
    #[serde(deserialize_with = "no")]
    None,
}

impl Limit {
    fn ms(self) -> Option<i64> {
        match self {
            Self::Moment(moment) => Some(moment.0),
            Self::None => None,
        }
    }
}

/// `false`, and nothing else.
fn no<'de, D: serde::Deserializer<'de>>(from: D) -> Result<(), D::Error> {
    if bool::deserialize(from)? {
        return Err(serde::de::Error::custom("`true` is no limit"));
    }
    Ok(())
}

/// `numpy=2026-03-01`, `numpy=false`.
fn limit(text: &str) -> Result<(PackageName, Limit), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write it as PACKAGE=DATE or PACKAGE=false")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| format!("`{name}` is no name of a package"))?;
    let limit = match value.trim() {
        "false" => Limit::None,
        value => Limit::Moment(value.parse()?),
    };
    Ok((name, limit))
}

/// The options for this command, in the daemon's terms.
pub(super) fn compute(
    context: &Context,
    flags: &ResolverOptions,
    files: &FromFiles,
) -> Result<ResolveOptions, Error> {
    let project = Project::here(context.cwd()?)?;
    let settings = project
        .as_ref()
        .map(Project::settings_as::<Settings>)
        .transpose()?;
    Ok(merged(flags, files, settings.unwrap_or_default()))
}

fn merged(flags: &ResolverOptions, files: &FromFiles, settings: Settings) -> ResolveOptions {
    let lists =
        |settings: &[String], files: &[String], flags: &[String]| [settings, files, flags].concat();
    let mut packages: BTreeMap<PackageName, Option<i64>> = settings
        .exclude_newer_package
        .into_iter()
        .map(|(name, limit)| (name, limit.ms()))
        .collect();
    let limits = flags.exclude_newer_package.iter();
    packages.extend(limits.map(|(name, limit)| (name.clone(), limit.ms())));
    ResolveOptions {
        prereleases: flags.pre || files.pre,
        exclude_newer: flags
            .exclude_newer
            .or(settings.exclude_newer)
            .map(|moment| moment.0),
        exclude_newer_package: packages,
        no_binary: lists(&settings.no_binary, &files.no_binary, &flags.no_binary),
        only_binary: lists(
            &settings.only_binary,
            &files.only_binary,
            &flags.only_binary,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn flags_win_over_the_project_and_lists_are_joined() {
        let settings = settings(
            "exclude-newer = 2026-01-01T00:00:00Z\nno-binary = ['a']\n\
             [exclude-newer-package]\nx = false\ny = '2026-01-02T00:00:00Z'\n",
        );
        let flags = ResolverOptions {
            exclude_newer: Some(Moment(5)),
            exclude_newer_package: vec![limit("Y=false").expect("valid")],
            no_binary: vec!["c".into()],
            ..Default::default()
        };
        let files = FromFiles {
            pre: true,
            no_binary: vec!["b".into()],
            ..Default::default()
        };
        let options = merged(&flags, &files, settings);
        assert_eq!(options.exclude_newer, Some(5));
        assert_eq!(options.no_binary, ["a", "b", "c"]);
        assert!(options.prereleases);
        let limits: Vec<_> = options.exclude_newer_package.values().collect();
        assert_eq!(limits, [&None, &None]);
    }

    #[test]
    fn the_project_counts_where_no_flag_is() {
        let text = "exclude-newer = '2026-01-01T00:00:00Z'\nexclude-newer-package = { x = false }";
        let options = merged(
            &ResolverOptions::default(),
            &FromFiles::default(),
            settings(text),
        );
        assert_eq!(options.exclude_newer, Some(1_767_225_600_000));
        assert_eq!(options.exclude_newer_package.len(), 1);
    }

    #[test]
    fn limits_of_packages_that_mean_nothing_are_refused() {
        for text in ["numpy", "numpy=", "numpy=true", "no name=false"] {
            assert!(limit(text).is_err(), "{text}");
        }
        for text in ["exclude-newer-package = { x = true }", "exclude-newer = ''"] {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
    }
}
