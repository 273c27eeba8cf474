//! Environments of conda (`environment.yml`): the Python and what pip installs. Packages of conda
//! are of another world: the same name may stand for something else on a Python index.

use std::path::Path;

use blast_types::versions;

use super::node::Document;
use super::{ConvertError, Plan, poetry_versions, requirements};

const PACKAGE: &str = "a package of conda; if an index has it under this name, `blast install` it";

/// Reads an `environment.yml`.
pub(super) fn read(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::yaml(path, text)?;
    let root = document.root();
    let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder.parent().unwrap_or(Path::new("/")).to_owned();
    let mut plan = Plan::default();
    for (name, at) in root.members()? {
        match name {
            "name" if at.value.is_string() => plan.name = Some(at.text()?.to_owned()),
            "dependencies" => {}
            "channels" => plan.leave(at.place(), name, "channels of conda are no Python indexes"),
            "variables" => {
                let reason = "use `blast start --env NAME=VALUE`";
                plan.leave(at.place(), name, reason);
            }
            "prefix" => plan.leave(
                at.place(),
                name,
                "blast keeps environments in its own place",
            ),
            _ => plan.leave(at.place(), name, "unknown"),
        }
    }
    for at in root.items_of("dependencies")? {
        if at.value.is_string() {
            conda(at.text()?, &at.place(), &mut plan);
            continue;
        }
        for (manager, list) in at.members()? {
            if manager != "pip" {
                plan.leave(list.place(), manager, "an installer that is not known");
                continue;
            }
            for item in list.items()? {
                requirements::line(item.text()?, &item.place(), &folder, &mut plan)?;
            }
        }
    }
    Ok(plan)
}

fn conda(text: &str, place: &str, plan: &mut Plan) {
    // `channel::name=1.2=build`, `name >=1`, `name[version='>=1']`.
    let spec = text.rsplit("::").next().unwrap_or(text).trim();
    let end = spec.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let (name, rest) = spec.split_at(end.unwrap_or(spec.len()));
    match name.to_ascii_lowercase().as_str() {
        "pip" => {}
        "python" => match python(rest.trim()) {
            Some(specifiers) => plan.requires_python = Some(specifiers),
            None if rest.is_empty() => {}
            None => plan.leave(place, text, "no version that PEP 440 knows"),
        },
        _ => plan.leave(place, text, PACKAGE),
    }
}

/// What conda says of the Python, by PEP 440: `=3.11` means all of 3.11.
fn python(rest: &str) -> Option<String> {
    let exact = rest.strip_prefix('=').filter(|rest| !rest.starts_with('='));
    let text = match exact {
        Some(version) => {
            let version = version.split('=').next()?.trim().trim_end_matches(".*");
            versions::version(version).ok()?;
            format!("=={version}.*")
        }
        None => poetry_versions::specifiers(rest).ok()?,
    };
    Some(text).filter(|text| !text.is_empty())
}
