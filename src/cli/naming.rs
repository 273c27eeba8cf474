//! The name of a project's environment: the project's own, made a plain word, with a few digits
//! of the path's hash behind it where another environment has that name.
//!
//! A project that has an environment keeps it. A copied project has a `.venv` that leads to the
//! original's environment; it gets one of its own. A moved project takes its environment along:
//! the old root is gone then.

use std::path::Path;

use blast_types::EnvName;

use super::{select, venv_link};
use crate::error::Error;
use crate::ipc::protocol::EnvironmentView;

/// Chooses the name for the project at `root`; `title` is what it calls itself.
pub(super) fn choose(
    title: Option<&str>,
    root: &Path,
    live: &Path,
    environments: &[EnvironmentView],
) -> Result<EnvName, Error> {
    let by_name = |name: &EnvName| environments.iter().find(|env| env.name == *name);
    if let Some(linked) = select::linked_env(&venv_link::path(root), live)
        && by_name(&linked).is_none_or(|env| is_for(env, root))
    {
        return Ok(linked);
    }
    if let Some(own) = select::of_project(environments, root) {
        return Ok(own.name.clone());
    }
    let folder = root.file_name().map(|name| name.to_string_lossy());
    let word = slug(title.or(folder.as_deref()).unwrap_or_default());
    let name: EnvName = word.parse()?;
    if by_name(&name).is_none() {
        return Ok(name);
    }
    let hash = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
    Ok(format!("{word}-{}", &hash[..6]).parse()?)
}

/// The name of a script's environment. Which versions of Python it runs on is part of that: an environment keeps its Python.
pub(super) fn of_script(path: &Path, requires_python: Option<&str>) -> Result<EnvName, Error> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut hash = blake3::Hasher::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update(b"\0");
    hash.update(requires_python.unwrap_or_default().as_bytes());
    let digits = hash.finalize().to_hex();
    Ok(format!("{}-{}", slug(&stem), &digits[..8]).parse()?)
}

/// Whether an environment may be this project's: it is, or it is nobody's, or its project moved.
fn is_for(env: &EnvironmentView, root: &Path) -> bool {
    env.project
        .as_deref()
        .is_none_or(|of| select::is_same(of, root) || !of.is_dir())
}

/// A plain word: what no name may hold becomes `-`, and the ends are letters or digits.
fn slug(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars().take(60) {
        if c.is_alphanumeric() || c == '_' || c == '.' {
            word.extend(c.to_lowercase());
        } else if !word.ends_with('-') {
            word.push('-');
        }
    }
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    // Bytes count, and the hash needs room behind.
    let mut end = word.len().min(80);
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    let word = &word[..end];
    if word.is_empty() {
        "project".to_owned()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn env(name: &str, project: Option<PathBuf>) -> EnvironmentView {
        EnvironmentView {
            name: name.parse().expect("valid"),
            prefix: "/live/x".into(),
            project,
            python: "3.12.1".into(),
            packages: 0,
            generation: "ab".repeat(32).parse().expect("a digest"),
            operation: 1,
            changed_ms: 0,
        }
    }

    #[test]
    fn a_title_becomes_a_plain_word() {
        for (title, word) in [
            ("My App!", "my-app"),
            ("demo_1.0", "demo_1.0"),
            ("../..", "project"),
            ("", "project"),
            ("Größe", "größe"),
        ] {
            assert_eq!(slug(title), word);
            assert!(slug(title).parse::<EnvName>().is_ok(), "{title}");
        }
        assert!(slug(&"ä".repeat(300)).parse::<EnvName>().is_ok());
    }

    #[test]
    fn a_name_that_is_taken_gets_digits_behind() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let live = Path::new("/live");
        let root = folder.path();
        let free = choose(Some("demo"), root, live, &[]).expect("valid");
        assert_eq!(free.as_str(), "demo");
        let taken = choose(Some("demo"), root, live, &[env("demo", None)]).expect("valid");
        assert!(
            taken.as_str().starts_with("demo-") && taken.as_str().len() == 11,
            "{taken}"
        );
        let own = [env("other", Some(root.to_owned()))];
        assert_eq!(
            choose(Some("demo"), root, live, &own)
                .expect("valid")
                .as_str(),
            "other"
        );
    }

    #[test]
    fn a_copy_gets_its_own_environment_and_a_moved_project_keeps_its() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let live = Path::new("/live");
        let [original, copy] = ["original", "copy"].map(|name| folder.path().join(name));
        for root in [&original, &copy] {
            std::fs::create_dir(root).expect("made");
            venv_link::link(root, Path::new("/live/demo"), live).expect("linked");
        }
        let environments = [env("demo", Some(original.clone()))];
        let name = |root: &Path| choose(Some("demo"), root, live, &environments).expect("valid");
        assert_eq!(name(&original).as_str(), "demo");
        assert_ne!(name(&copy).as_str(), "demo");
        std::fs::remove_dir_all(&original).expect("removed");
        assert_eq!(name(&copy).as_str(), "demo");
    }
}
