//! Where packages come from, as this command sees it: pip's settings, variables, `[tool.blast]` of
//! the project here, requirements files, flags (see `blast_index::config` for who wins). The
//! daemon gets the result: its own environment is whatever it was started with.

use std::env;
use std::error::Error as _;
use std::path::PathBuf;

use blast_index::Sources;
use blast_index::config::{
    self, ConfigError, Configured, Flags, ProjectSettings, Setting, Surroundings,
};
use blast_types::Hint as _;

use super::context::Context;
use super::options::SourceOptions;
use super::project::Project;
use crate::env_vars;
use crate::error::Error;

/// What requirements files say of indexes (`--index-url` and so on). Flags win over it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FromFiles {
    /// `--index-url`; of several, the last.
    pub(super) index_url: Option<String>,
    /// `--extra-index-url`.
    pub(super) extra_index_url: Vec<String>,
    /// `--find-links`, paths made absolute.
    pub(super) find_links: Vec<String>,
    /// `--no-index`.
    pub(super) no_index: bool,
    /// `--trusted-host`.
    pub(super) trusted_hosts: Vec<String>,
}

/// The sources for this command.
pub(super) fn compute(
    context: &Context,
    options: &SourceOptions,
    files: &FromFiles,
) -> Result<Sources, Error> {
    Ok(configured(context, options, files)?.sources)
}

/// The settings in force, each with where it came from.
pub(super) fn settings_in_force(
    context: &Context,
    options: &SourceOptions,
    files: &FromFiles,
) -> Result<Vec<Setting>, Error> {
    Ok(configured(context, options, files)?.settings)
}

/// One line a setting: its name, its value, where it came from.
pub(super) fn describe(context: &Context, options: &SourceOptions) -> Result<Vec<String>, Error> {
    let configured = configured(context, options, &FromFiles::default())?;
    let mut lines: Vec<String> = configured
        .settings
        .iter()
        .map(|setting| format!("{} = {} ({})", setting.key, setting.value, setting.origin))
        .collect();
    if configured.sources.needs_default_index() {
        lines.push("the one that the interpreter's own pip would use".to_owned());
    }
    Ok(lines)
}

fn configured(
    context: &Context,
    options: &SourceOptions,
    files: &FromFiles,
) -> Result<Configured, Error> {
    let around = surroundings(context)?;
    let project = context.project()?;
    let settings = project.as_ref().map(settings).transpose()?;
    config::resolve(&around, settings.as_ref(), &flags(options, files))
        .map_err(|error| unusable(&error))
}

/// Where this command stands, of no environment.
pub(super) fn surroundings(context: &Context) -> Result<Surroundings, Error> {
    let around = Surroundings {
        variables: env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        home: env::var_os(env_vars::HOME)
            .filter(|home| !home.is_empty())
            .map(PathBuf::from),
        cwd: context.cwd()?.to_owned(),
        etc: PathBuf::from("/etc"),
        site: None,
        isolated: false,
    };
    Ok(if context.is_isolated() {
        around.isolated()
    } else {
        around
    })
}

fn settings(project: &Project) -> Result<ProjectSettings, Error> {
    Ok(ProjectSettings {
        root: project.root.clone(),
        ..project.settings_as()?
    })
}

fn flags(options: &SourceOptions, files: &FromFiles) -> Flags {
    let joined = |flags: &[String], files: &[String]| [flags, files].concat();
    Flags {
        index_url: options
            .index_url
            .clone()
            .or_else(|| files.index_url.clone()),
        extra_index_url: joined(&options.extra_index_url, &files.extra_index_url),
        find_links: joined(&options.find_links, &files.find_links),
        no_index: options.no_index || files.no_index,
        offline: options.offline,
        index_strategy: options.index_strategy.as_ref().and_then(word),
        keyring_provider: options.keyring_provider.as_ref().and_then(word),
        trusted_host: joined(&options.trusted_host, &files.trusted_hosts),
        cert: options.cert.clone(),
        client_cert: options.client_cert.clone(),
        proxy: options.proxy.clone(),
    }
}

/// A value as it is typed.
fn word(value: &impl clap::ValueEnum) -> Option<String> {
    Some(value.to_possible_value()?.get_name().to_owned())
}

pub(super) fn unusable(error: &ConfigError) -> Error {
    let whole = match error {
        ConfigError::Io { .. } => Error::internal(error.to_string()),
        _ => Error::usage(error.to_string()),
    };
    let whole = error.hints().into_iter().fold(whole, Error::hint);
    match error.source() {
        Some(source) => whole.caused_by(source),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_files_and_lists_are_joined() {
        let options = SourceOptions {
            index_url: Some("http://127.0.0.1/flag/".into()),
            find_links: vec!["a".into()],
            ..Default::default()
        };
        let files = FromFiles {
            index_url: Some("http://127.0.0.1/file/".into()),
            find_links: vec!["/b".into()],
            no_index: true,
            ..Default::default()
        };
        let flags = flags(&options, &files);
        assert_eq!(flags.index_url.as_deref(), Some("http://127.0.0.1/flag/"));
        assert_eq!(flags.find_links, ["a", "/b"]);
        assert!(flags.no_index && !flags.offline);
    }

    #[test]
    fn settings_of_the_wrong_kind_name_the_file() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("pyproject.toml");
        std::fs::write(&path, "[tool.blast]\nindex-url = 3").expect("written");
        let project = Project::load(folder.path()).expect("TOML").expect("there");
        let error = settings(&project).expect_err("not text");
        assert!(error.message.contains("pyproject.toml"), "{error}");
    }
}
