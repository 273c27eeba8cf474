//! `setup.cfg` of setuptools: its metadata and requirements. How the project is built stays there.
//!
//! Source: "Configuring setuptools using setup.cfg files" of setuptools' documentation.

use std::path::Path;

use configparser::ini::{Ini, IniDefault};

use super::{ConvertError, Plan, requirements};

const COMPUTED: &str = "setuptools computes it from other files; write it out in pyproject.toml";
const BUILDING: &str = "how the project is built stays in setup.cfg, which setuptools reads on";
const METADATA: &str = "metadata that no environment depends on; add it to [project] by hand";

/// Reads a `setup.cfg`.
pub(super) fn read(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let file = path.display().to_string();
    let mut defaults = IniDefault::default();
    defaults.multiline = true;
    // Python has no comments behind a value, and markers have a `;`.
    defaults.inline_comment_symbols = Some(Vec::new());
    let sections = Ini::new_from_defaults(defaults)
        .read(text.to_owned())
        .map_err(|problem| ConvertError::Syntax {
            file: file.clone(),
            problem,
        })?;
    let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder.parent().unwrap_or(Path::new("/")).to_owned();
    let mut plan = Plan::default();
    let mut sections: Vec<_> = sections.iter().collect();
    sections.sort_by_key(|(name, _)| name.as_str());
    for (section, members) in sections {
        let mut members: Vec<_> = members.iter().collect();
        members.sort();
        for (key, value) in members {
            let key = key.replace('-', "_");
            let value = value.as_deref().unwrap_or_default().trim();
            let place = format!("{file}, {section}.{key}");
            let list = |plan: &mut Plan| lines(value, &place, &folder, plan);
            match (section.as_str(), key.as_str()) {
                ("metadata" | "options" | "options.extras_require", _)
                    if value.starts_with("file:") || value.starts_with("attr:") =>
                {
                    plan.leave(place, key, COMPUTED);
                }
                ("metadata", "name") => plan.name = Some(value.to_owned()),
                ("metadata", "version") => plan.version = Some(value.to_owned()),
                ("metadata", "description" | "summary") => {
                    plan.description = Some(value.to_owned());
                }
                ("metadata", _) => plan.leave(place, key, METADATA),
                ("options", "python_requires") => plan.requires_python = Some(value.to_owned()),
                ("options", "install_requires") => plan.dependencies = list(&mut plan)?,
                ("options", "setup_requires") => {
                    let reason = "write it to [build-system] requires";
                    plan.leave(place, key, reason);
                }
                ("options", "tests_require") => {
                    let group = list(&mut plan)?;
                    plan.groups.insert("test".to_owned(), group);
                }
                ("options.extras_require", extra) if extra.contains(':') => {
                    plan.leave(place, key, "write the marker behind each requirement");
                }
                ("options.extras_require", extra) => {
                    let texts = list(&mut plan)?;
                    plan.extras.insert(extra.to_owned(), texts);
                }
                ("options.entry_points", _) => {
                    plan.leave(
                        place,
                        key,
                        "write it to [project.scripts] or [project.entry-points]",
                    );
                }
                (section, _) if section == "options" || section.starts_with("options.") => {
                    plan.leave(place, key, BUILDING);
                }
                _ => {}
            }
        }
    }
    Ok(plan)
}

/// Requirements, one a line.
fn lines(
    value: &str,
    place: &str,
    folder: &Path,
    plan: &mut Plan,
) -> Result<Vec<String>, ConvertError> {
    let before = std::mem::take(&mut plan.dependencies);
    for line in value.lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            requirements::line(line, place, folder, plan)?;
        }
    }
    Ok(std::mem::replace(&mut plan.dependencies, before))
}
