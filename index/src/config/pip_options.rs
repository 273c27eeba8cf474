//! Options that pip's files and variables say, by their long names: whatever pip has, also what has
//! nothing to do with indexes.

use std::collections::BTreeMap;

use super::pip_conf::{PipFiles, pip_values};
use super::{ConfigError, Origin, Surroundings};

/// What is said of one option of pip's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipOption {
    /// As it is written there.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// The options that pip's `command` would find in its files and variables, without their dashes. Of
/// several places the one counts that counts for pip: `[global]` of any file, the command's own
/// section of any file, a variable. Empty values say nothing.
///
/// # Errors
///
/// [`ConfigError::Io`] and [`ConfigError::Parse`], which name the file.
pub fn pip_options(
    around: &Surroundings,
    command: &str,
) -> Result<BTreeMap<String, PipOption>, ConfigError> {
    let mut files = Vec::new();
    for path in PipFiles::of(around).in_force() {
        files.push((pip_values(&path)?, path));
    }
    let mut options = BTreeMap::new();
    let mut put = |name: &str, value: &str, origin: Origin| {
        let value = value.trim().to_owned();
        if !value.is_empty() {
            options.insert(name.to_owned(), PipOption { value, origin });
        }
    };
    for section in ["global", command] {
        for (values, path) in &files {
            for (name, value) in values {
                if let Some((_, name)) = name.split_once('.').filter(|(of, _)| *of == section) {
                    put(name, value, Origin::PipConf(path.clone()));
                }
            }
        }
    }
    for (variable, value) in &around.variables {
        if let Some(name) = variable.strip_prefix("PIP_") {
            let name = name.to_lowercase().replace('_', "-");
            put(&name, value, Origin::Variable(variable.clone()));
        }
    }
    Ok(options)
}
