//! What may stand in `[tool.blast]`: what any part of the command line reads there, and nothing else.

use std::path::Path;

use blast_index::config::ProjectSettings;

use super::{bytecode, clean, project, resolution};
use crate::error::Error;
use crate::known_keys;
use crate::settings;

/// Refuses a `[tool.blast]` table that has a key nobody reads; `path` is its file.
pub(super) fn check(table: &toml::Table, path: &Path) -> Result<(), Error> {
    let known = [
        known_keys::of::<ProjectSettings>(),
        known_keys::of::<bytecode::Settings>(),
        known_keys::of::<clean::Settings>(),
        known_keys::of::<project::Settings>(),
        known_keys::of::<resolution::Settings>(),
        &[settings::SANDBOX],
    ]
    .concat();
    let place = format!("[tool.blast] of {}", path.display());
    let of_users = known_keys::of::<settings::Settings>();
    let misplaced = |key: &&&str| table.contains_key(**key) && !known.contains(*key);
    if let Some(key) = of_users.iter().find(misplaced) {
        return Err(Error::usage(format!(
            "{place} has the key `{key}`, which is a setting of the user's, not of a project"
        ))
        .hint("write it into `blast/config.toml` in the folder of your settings (`~/.config`)"));
    }
    known_keys::check(table, &known, place)
}

/// Refuses a `[tool.blast]` table of a script that has a key nobody reads there; `path` is the script. How it is confined is
/// not for a script to say: whoever runs one that somebody else wrote has not read it yet.
pub(super) fn check_script(table: &toml::Table, path: &Path) -> Result<(), Error> {
    let place = format!("[tool.blast] of {}", path.display());
    if table.contains_key(settings::SANDBOX) {
        return Err(
            Error::usage(format!("{place} cannot say how the script is confined")).hint(
                "say it where you run it: `blast run --allow-net HOST script.py`, or `blast allow --user`",
            ),
        );
    }
    let known = [
        known_keys::of::<ProjectSettings>(),
        known_keys::of::<bytecode::Settings>(),
        known_keys::of::<resolution::Settings>(),
    ];
    known_keys::check(table, &known.concat(), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<Error> {
        let table = toml::from_str(text).expect("TOML");
        check(&table, Path::new("/x/pyproject.toml")).err()
    }

    #[test]
    fn each_part_knows_its_keys() {
        for key in [
            "background-refresh",
            "bytecode",
            "cert",
            "client-cert",
            "constraints",
            "default-groups",
            "exclude",
            "exclude-newer",
            "exclude-newer-package",
            "extra-index-url",
            "find-links",
            "index",
            "index-strategy",
            "index-url",
            "keep",
            "keyring-provider",
            "no-binary",
            "no-index",
            "only-binary",
            "overrides",
            "prerelease",
            "proxy",
            "refresh-idle",
            "refresh-ttl",
            "resolution",
            "sources",
            "trusted-host",
        ] {
            assert!(refused(&format!("{key} = 1")).is_none(), "{key}");
        }
    }

    #[test]
    fn a_script_says_less_than_a_project() {
        let of = |text: &str| {
            let table = toml::from_str(text).expect("TOML");
            check_script(&table, Path::new("/x/script.py"))
        };
        of("exclude-newer = '2024-01-01'\nindex-url = 'x'\nsources = {}").expect("read there");
        for (text, word) in [
            ("sandbox = {}", "cannot say how the script is confined"),
            ("default-groups = []", "unknown"),
            ("exclude-never = 1", "unknown"),
        ] {
            let error = of(text).expect_err(text);
            assert!(error.message.contains(word), "{error}");
            assert!(error.message.contains("/x/script.py"), "{error}");
        }
    }

    #[test]
    fn what_nobody_reads_is_refused() {
        for (text, hint) in [
            ("exclude-never = 1", "`exclude-newer`"),
            ("index_url = 1", "`index-url`"),
            ("lasers = {}", "the keys that can be there"),
            ("root = 'x'", "the keys that can be there"),
            ("view = 'files'", "config.toml"),
        ] {
            let error = refused(text).expect(text);
            assert!(error.message.contains("/x/pyproject.toml"), "{error}");
            assert!(
                error.hints.iter().any(|line| line.contains(hint)),
                "{error:?}"
            );
        }
    }
}
