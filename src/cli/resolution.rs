//! How versions and files are chosen: the options that all resolving commands share, and the same
//! keys in `[tool.blast]`. Lowest first: pip's settings, `[tool.blast]`, requirements files, flags; a
//! flag replaces a single value and adds to a list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_resolver::{PrereleaseMode, ResolutionMode};
use blast_types::PackageName;
use clap::ValueEnum;
use serde::Deserialize;

use super::build_flags::BuildFlags;
use super::context::Context;
use super::moment::Moment;
use super::pip_settings::PipSettings;
use super::project::Project;
use crate::error::Error;
use crate::ipc::protocol::{BuildOptions, ResolveOptions};

/// How versions and files are chosen.
#[derive(Debug, Default, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Resolver options")]
pub(super) struct ResolverOptions {
    /// Take the versions of this file for whatever is needed anyway
    #[arg(
        short,
        long = "constraint",
        visible_alias = "constraints",
        value_name = "FILE"
    )]
    pub(super) constraint_files: Vec<PathBuf>,
    /// Put the requirements of this file in place of all others on the same packages
    #[arg(long = "override", alias = "overrides", value_name = "FILE")]
    pub(super) override_files: Vec<PathBuf>,
    /// Leave this package out, whatever requires it
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    exclude: Vec<PackageName>,
    /// Take the `highest` versions (default), the `lowest`, or `lowest-direct` (of what is named)
    #[arg(long, value_name = "WHICH", hide_possible_values = true)]
    resolution: Option<Resolution>,
    /// Take pre-releases `if-necessary` (default), `allow`, `disallow`, or `explicit` (where named)
    #[arg(
        long,
        visible_alias = "prereleases",
        value_name = "WHEN",
        hide_possible_values = true
    )]
    prerelease: Option<Prerelease>,
    /// Admit pre-releases of all packages: `--prerelease allow`
    #[arg(long, conflicts_with = "prerelease")]
    pre: bool,
    /// Take only files uploaded before this: a time, a date, or `2 weeks` (ago)
    #[arg(long, alias = "uploaded-prior-to", value_name = "DATE")]
    exclude_newer: Option<Moment>,
    /// Another limit for one package; `false` for none
    #[arg(long, value_name = "PACKAGE=DATE", value_parser = limit)]
    exclude_newer_package: Vec<(PackageName, Limit)>,
    /// Never take a wheel of this package (`:all:` for all)
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    no_binary: Vec<String>,
    /// Never take a source distribution of this package (`:all:` for all)
    #[arg(
        long,
        visible_alias = "no-build",
        value_name = "PACKAGE",
        value_delimiter = ','
    )]
    only_binary: Vec<String>,
    #[command(flatten)]
    pub(super) build: BuildFlags,
}

impl ResolverOptions {
    /// Whether none was given that chooses versions or files.
    pub(super) fn is_empty(&self) -> bool {
        let rest = Self {
            build: BuildFlags::default(),
            ..self.clone()
        };
        rest == Self::default()
    }
}

/// Values of `--resolution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Resolution {
    Highest,
    Lowest,
    LowestDirect,
}

impl From<Resolution> for ResolutionMode {
    fn from(value: Resolution) -> Self {
        match value {
            Resolution::Highest => Self::Highest,
            Resolution::Lowest => Self::Lowest,
            Resolution::LowestDirect => Self::LowestDirect,
        }
    }
}

/// Values of `--prerelease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Prerelease {
    Allow,
    Disallow,
    /// Also by the name that older versions of uv have for it.
    #[value(alias = "if-necessary-or-explicit")]
    #[serde(alias = "if-necessary-or-explicit")]
    IfNecessary,
    Explicit,
}

impl From<Prerelease> for PrereleaseMode {
    fn from(value: Prerelease) -> Self {
        match value {
            Prerelease::Allow => Self::Allow,
            Prerelease::Disallow => Self::Disallow,
            Prerelease::IfNecessary => Self::IfNecessary,
            Prerelease::Explicit => Self::Explicit,
        }
    }
}

/// What files say of the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FromFiles {
    /// Constraints, as PEP 508 texts.
    pub(super) constraints: Vec<String>,
    /// Overrides, as PEP 508 texts.
    pub(super) overrides: Vec<String>,
    /// `--pre`.
    pub(super) pre: bool,
    /// `--no-binary`.
    pub(super) no_binary: Vec<String>,
    /// `--only-binary`.
    pub(super) only_binary: Vec<String>,
    /// What pip's own settings say; lower than what is said elsewhere.
    pub(super) pip: Box<PipSettings>,
}

/// What `[tool.blast]` says of the resolver.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Settings {
    pub(super) constraints: Vec<String>,
    pub(super) overrides: Vec<String>,
    pub(super) exclude: Vec<PackageName>,
    resolution: Option<ResolutionMode>,
    prerelease: Option<Prerelease>,
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
    let project = context.project()?;
    let settings = project
        .as_ref()
        .map(Project::settings_as::<Settings>)
        .transpose()?;
    let mut build = flags.build.to_request(context)?;
    if let Some((key, value)) = files.pip.config_setting.clone() {
        build.settings.entry(key).or_insert(value.into());
    }
    Ok(ResolveOptions {
        build,
        ..merged(flags, files, settings.unwrap_or_default())
    })
}

fn merged(flags: &ResolverOptions, files: &FromFiles, settings: Settings) -> ResolveOptions {
    let pip = &files.pip;
    let mut packages: BTreeMap<PackageName, Option<i64>> = settings
        .exclude_newer_package
        .into_iter()
        .map(|(name, limit)| (name, limit.ms()))
        .collect();
    let limits = flags.exclude_newer_package.iter();
    packages.extend(limits.map(|(name, limit)| (name.clone(), limit.ms())));
    let pre = |said: bool| said.then_some(Prerelease::Allow);
    let prerelease = pre(flags.pre)
        .or(flags.prerelease)
        .or(pre(files.pre))
        .or(settings.prerelease)
        .or(pre(pip.pre));
    ResolveOptions {
        constraints: [settings.constraints, files.constraints.clone()].concat(),
        overrides: [settings.overrides, files.overrides.clone()].concat(),
        excludes: settings
            .exclude
            .into_iter()
            .chain(flags.exclude.iter().cloned())
            .collect(),
        prereleases: prerelease.map(Into::into).unwrap_or_default(),
        resolution: flags
            .resolution
            .map(Into::into)
            .or(settings.resolution)
            .unwrap_or_default(),
        exclude_newer: flags
            .exclude_newer
            .or(settings.exclude_newer)
            .or(pip.uploaded_prior_to)
            .map(|moment| moment.0),
        exclude_newer_package: packages,
        no_binary: [
            &*pip.no_binary,
            &settings.no_binary,
            &files.no_binary,
            &flags.no_binary,
        ]
        .concat(),
        only_binary: [
            &*pip.only_binary,
            &settings.only_binary,
            &files.only_binary,
            &flags.only_binary,
        ]
        .concat(),
        build: BuildOptions::default(),
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
        assert_eq!(options.prereleases, PrereleaseMode::Allow);
        let limits: Vec<_> = options.exclude_newer_package.values().collect();
        assert_eq!(limits, [&None, &None]);
    }

    #[test]
    fn the_project_counts_where_no_flag_is() {
        let text = "exclude-newer = '2026-01-01T00:00:00Z'\nexclude-newer-package = { x = false }\n\
                    prerelease = 'disallow'\nresolution = 'lowest-direct'\n\
                    constraints = ['a<2']\noverrides = ['b==1']\nexclude = ['c']\n";
        let options = merged(
            &ResolverOptions::default(),
            &FromFiles::default(),
            settings(text),
        );
        assert_eq!(options.exclude_newer, Some(1_767_225_600_000));
        assert_eq!(options.exclude_newer_package.len(), 1);
        assert_eq!(options.prereleases, PrereleaseMode::Disallow);
        assert_eq!(options.resolution, ResolutionMode::LowestDirect);
        assert_eq!(options.constraints, ["a<2"]);
        assert_eq!(options.overrides, ["b==1"]);
        assert_eq!(options.excludes.len(), 1);
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
