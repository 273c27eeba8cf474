//! `uv.lock`: what the project asks for, as the lock itself says it, at the locked versions.

use std::collections::BTreeMap;
use std::path::Path;

use super::node::{Document, Node};
use super::requirement::{HASHES, Wanted, git_url};
use super::{ConvertError, Plan, requirements};

/// Reads a `uv.lock`.
pub(super) fn read(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::toml(path, text)?;
    let root = document.root();
    let format = root.get("version")?.and_then(|at| at.value.as_i64());
    if format != Some(1) {
        return Err(root.problem("its format is not version 1, the one that is known"));
    }
    let mut plan = Plan {
        requires_python: root.text_of("requires-python")?.map(Into::into),
        ..Plan::default()
    };
    let packages = root.items_of("package")?;
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for at in &packages {
        *count.entry(at.required("name")?).or_default() += 1;
    }
    let mut has_project = false;
    for at in &packages {
        let name = at.required("name")?;
        let source = at
            .get("source")?
            .ok_or_else(|| at.problem("`source` is missing"))?;
        if is_project(&source)? {
            has_project = true;
            project(name, at, &mut plan)?;
        } else if source.get("registry")?.is_some() {
            constraint(name, at, count[name] > 1, &mut plan)?;
        } else {
            let what = format!("the locked state of {name}");
            plan.leave(at.place(), what, "it has no version of an index");
        }
    }
    limits(&root, &mut plan)?;
    if !has_project {
        let reason = "the lock holds no project of its own folder";
        plan.leave(root.place(), "which packages were asked for", reason);
    }
    plan.leave(root.place(), "hashes", HASHES);
    Ok(plan)
}

/// What limits the choice beside requirements. The lock has it to know when it is outdated.
fn limits(root: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    if let Some(manifest) = root.get("manifest")? {
        for item in manifest.items_of("constraints")? {
            let text = requirement(&item, plan)?.map(|(text, _)| text);
            plan.blast.constraints.extend(text);
        }
        for item in manifest.items_of("overrides")? {
            let text = requirement(&item, plan)?.map(|(text, _)| text);
            plan.blast.overrides.extend(text);
        }
        for key in ["build-constraints", "dependency-metadata", "excludes"] {
            if let Some(at) = manifest.get(key)? {
                plan.leave(at.place(), key, "look whether the lock of blast needs it");
            }
        }
    }
    if let Some(at) = root.get("conflicts")? {
        let reason = "the lock of blast is for all extras and groups together";
        plan.leave(at.place(), "conflicts", reason);
    }
    for (key, at) in root.members_of(&["options"])? {
        let reason = "docs/resolution.md has the settings of blast for this";
        plan.leave(at.place(), key, reason);
    }
    Ok(())
}

/// Whether a source is the folder of the lock.
fn is_project(source: &Node<'_>) -> Result<bool, ConvertError> {
    for kind in ["virtual", "editable", "directory"] {
        if source.text_of(kind)? == Some(".") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn project(name: &str, at: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    plan.name = Some(name.to_owned());
    plan.version = at.text_of("version")?.map(Into::into);
    let Some(metadata) = at.get("metadata")? else {
        return Ok(());
    };
    for item in metadata.items_of("requires-dist")? {
        let Some((text, marker)) = requirement(&item, plan)? else {
            continue;
        };
        // The extra that a requirement belongs to is part of its marker.
        match marker {
            Some(extra) => plan.extras.entry(extra).or_default().push(text),
            None => plan.dependencies.push(text),
        }
    }
    for (group, list) in metadata.members_of(&["requires-dev"])? {
        let mut texts = Vec::new();
        for item in list.items()? {
            texts.extend(requirement(&item, plan)?.map(|(text, _)| text));
        }
        plan.groups.insert(group.to_owned(), texts);
    }
    Ok(())
}

/// A requirement as PEP 508 has it, and the extra that it belongs to.
fn requirement(
    at: &Node<'_>,
    plan: &mut Plan,
) -> Result<Option<(String, Option<String>)>, ConvertError> {
    let name = at.required("name")?;
    for kind in ["path", "directory", "editable", "virtual"] {
        if at.get(kind)?.is_some() {
            plan.leave(at.place(), name, super::requirement::LOCAL);
            return Ok(None);
        }
    }
    let url = match at.text_of("git")? {
        // `https://host/repo?rev=main&subdirectory=folder`
        Some(url) => Some(of_git(at, url)?),
        None => at.text_of("url")?.map(Into::into),
    };
    let mut wanted = Wanted {
        name: name.to_owned(),
        extras: at.texts_of("extras")?.into_iter().map(Into::into).collect(),
        versions: at.text_of("specifier")?.unwrap_or_default().to_owned(),
        ..Wanted::default()
    };
    if let Some(url) = url {
        wanted.url = requirements::index(&url, &at.place(), plan);
        if wanted.url.is_none() {
            return Ok(None);
        }
    }
    let mut extra = None;
    if let Some(text) = at.text_of("marker")? {
        let marker = blast_types::pep508::marker(text).map_err(|error| at.problem(error))?;
        extra = marker.top_level_extra_name().map(|name| name.to_string());
        let rest = marker.simplify_extras_with(|_| true);
        wanted.markers.extend(rest.try_to_string());
    }
    if at.get("index")?.is_some() {
        let what = format!("the index of {name}");
        let reason = "name it in [[tool.blast.index]] and [tool.blast.sources]";
        plan.leave(at.place(), what, reason);
    }
    Ok(Some((wanted.text(at)?, extra)))
}

fn of_git(at: &Node<'_>, text: &str) -> Result<String, ConvertError> {
    let mut url = url::Url::parse(text).map_err(|error| at.problem(error))?;
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    url.set_fragment(None);
    let revision = ["rev", "tag", "branch"]
        .into_iter()
        .find_map(|key| query.get(key));
    let folder = query.get("subdirectory").map(String::as_str);
    Ok(git_url(url.as_str(), revision.map(String::as_str), folder))
}

fn constraint(
    name: &str,
    at: &Node<'_>,
    several: bool,
    plan: &mut Plan,
) -> Result<(), ConvertError> {
    let version = at.required("version")?;
    let mut wanted = Wanted {
        name: name.to_owned(),
        versions: format!("=={version}"),
        ..Wanted::default()
    };
    if several {
        let markers = at.texts_of("resolution-markers")?;
        if markers.is_empty() {
            let reason = "there are several, and the lock does not say when each is meant";
            plan.leave(at.place(), format!("{name} {version}"), reason);
            return Ok(());
        }
        let markers: Vec<_> = markers.iter().map(|marker| format!("({marker})")).collect();
        wanted.markers.push(markers.join(" or "));
    }
    let text = wanted.text(at)?;
    plan.blast.constraints.push(text);
    Ok(())
}
