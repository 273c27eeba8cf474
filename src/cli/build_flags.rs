//! How sources are built: flags, and what builds see of the user's environment.

use std::collections::BTreeMap;
use std::env;

use clap::Args;
use serde_json::Value;

use super::context::Context;
use super::policy;
use super::project::Project;
use crate::error::Error;
use crate::ipc::protocol::{BuildOptions, BuildSandbox};

/// Variables that compilers and build tools of all kinds look at; a build gets these of the user's
/// and no other.
const VARIABLES: &[&str] = &[
    "AR",
    "ARCHFLAGS",
    "AS",
    "CC",
    "CFLAGS",
    "CPATH",
    "CPP",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "FC",
    "FFLAGS",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD",
    "LDFLAGS",
    "LDSHARED",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "MAKEFLAGS",
    "NINJAFLAGS",
    "PATH",
    "RANLIB",
    "SOURCE_DATE_EPOCH",
    "STRIP",
    "TZ",
];

/// Beginnings of further names.
const FAMILIES: &[&str] = &[
    "CARGO_",
    "CMAKE_",
    "PKG_CONFIG_",
    "RUST",
    "SETUPTOOLS_",
    "SKBUILD_",
];

/// What git is given beside those, so that it reaches repositories as it does for the user.
const GIT_VARIABLES: &[&str] = &[
    "ALL_PROXY",
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// How sources are built.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Build options")]
pub(super) struct BuildFlags {
    /// Hand this setting to build backends; once more with the same key makes a list
    #[arg(
        short = 'C',
        long = "config-settings",
        visible_alias = "config-setting",
        value_name = "KEY=VALUE",
        value_parser = setting
    )]
    config_settings: Vec<(String, String)>,
    /// Build with what the environment holds, which must be all that builds need
    #[arg(long)]
    no_build_isolation: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting looks like `key=value`".to_owned()),
    }
}

impl BuildFlags {
    /// As the daemon takes them, with what this process has of the variables that builds see.
    pub(super) fn to_request(&self, context: &Context) -> Result<BuildOptions, Error> {
        let sandbox = sandbox(context)?;
        let mut options = self.flags();
        for (name, value) in &sandbox.policy.variables {
            let value = value.clone().or_else(|| env::var(name).ok());
            options
                .variables
                .extend(value.map(|value| (name.clone(), value)));
        }
        Ok(BuildOptions { sandbox, ..options })
    }

    fn flags(&self) -> BuildOptions {
        let mut settings = BTreeMap::<String, Value>::new();
        for (key, value) in &self.config_settings {
            let new = Value::String(value.clone());
            match settings.get_mut(key) {
                None => drop(settings.insert(key.clone(), new)),
                Some(Value::Array(list)) => list.push(new),
                Some(one) => *one = Value::Array(vec![one.take(), new]),
            }
        }
        let texts = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let (mut variables, mut git_variables) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in texts {
            if GIT_VARIABLES.contains(&name.as_str()) {
                git_variables.insert(name, value);
            } else if VARIABLES.contains(&name.as_str())
                || FAMILIES.iter().any(|family| name.starts_with(family))
            {
                variables.insert(name, value);
            }
        }
        BuildOptions {
            settings,
            constraints: Vec::new(),
            no_isolation: self.no_build_isolation,
            variables,
            git_variables,
            sandbox: BuildSandbox::default(),
        }
    }
}

/// What the system, the user and the project here let builds touch.
fn sandbox(context: &Context) -> Result<BuildSandbox, Error> {
    let root = Project::root_of(context.cwd()?);
    let merged = policy::of_builds(root.as_deref())?;
    Ok(BuildSandbox {
        demanded: merged.lines.iter().any(|line| line.key == "build.level"),
        policy: merged.policy,
        secret: vec![context.places()?.runtime.clone()],
        frozen: policy::paths(root.as_deref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_settings_become_lists() {
        let flags = BuildFlags {
            config_settings: ["a=1", "b=x=y", "a=2", "a=3"]
                .map(|text| setting(text).expect("a setting"))
                .to_vec(),
            ..BuildFlags::default()
        };
        let settings = flags.flags().settings;
        assert_eq!(settings["a"], serde_json::json!(["1", "2", "3"]));
        assert_eq!(settings["b"], serde_json::json!("x=y"));
        assert!(setting("nothing").is_err() && setting("=x").is_err());
    }
}
