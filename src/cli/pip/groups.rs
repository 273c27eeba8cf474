//! `--group [PATH:]GROUP`: a dependency group (PEP 735) of the `pyproject.toml` here, or of another one.

use std::path::Path;

use crate::cli::project::{FILE, Project};
use crate::error::{Error, Kind};
use crate::ipc::protocol::RequirementLine;

/// Adds what a group asks for.
pub(super) fn add(named: &str, cwd: &Path, lines: &mut Vec<RequirementLine>) -> Result<(), Error> {
    let (path, group) = named.rsplit_once(':').unwrap_or((FILE, named));
    let path = cwd.join(if path.is_empty() { FILE } else { path });
    if path.file_name().is_none_or(|name| name != FILE) {
        return Err(Error::usage(format!(
            "--group takes a group of a {FILE}, and {} is none",
            path.display()
        )));
    }
    let root = path.parent().unwrap_or(cwd);
    let project =
        Project::load(root)?.ok_or_else(|| Error::no(format!("{} is missing", path.display())))?;
    // What cannot be read is an answer to pip, and no misuse.
    let added = project.add_group(group, lines, &mut Vec::new());
    added.map_err(|error| Error {
        kind: Kind::No,
        ..error
    })
}
