//! Poetry: `[tool.poetry]` of a `pyproject.toml`, and `poetry.lock`.
//!
//! Source: "The pyproject.toml file" and "Dependency specification" of Poetry's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::node::{Document, Node};
use super::requirement::{HASHES, LOCAL, Wanted, git_url, is_default_index};
use super::{ConvertError, NamedIndex, Plan, beside, poetry_versions, requirements};

/// Reason for keys that only building and publishing look at.
const METADATA: &str = "metadata that no environment depends on; add it to [project] by hand";

/// Reads a `pyproject.toml` of Poetry.
pub(super) fn read(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::toml(path, text)?;
    let mut plan = Plan::default();
    if let Some(at) = document.root().find(&["tool", "poetry"])? {
        tool(&at, &mut plan)?;
    }
    Ok(plan)
}

/// Reads a `poetry.lock`: what the `pyproject.toml` beside it asks for, at the locked versions.
pub(super) fn read_lock(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::toml(path, text)?;
    let root = document.root();
    let packages = root.items_of("package")?;
    let Some((pyproject, asked)) = beside(path, "pyproject.toml")? else {
        let problem = "the pyproject.toml that it belongs to is not beside it";
        return Err(root.problem(problem));
    };
    let mut plan = read(&pyproject, &asked)?;
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for at in &packages {
        *count.entry(at.required("name")?).or_default() += 1;
    }
    for at in &packages {
        let name = at.required("name")?;
        let version = at.required("version")?;
        let kind = at.find(&["source", "type"])?;
        let kind = kind.map(|kind| kind.text()).transpose()?;
        if !matches!(kind, None | Some("legacy")) {
            let what = format!("the locked state of {name}");
            plan.leave(at.place(), what, "it has no version of an index");
            continue;
        }
        let mut wanted = Wanted {
            name: name.to_owned(),
            versions: format!("=={version}"),
            ..Wanted::default()
        };
        if count[name] > 1 {
            // Several versions of a package: only their markers tell them apart.
            let marker = at.get("markers")?.filter(|at| at.value.is_string());
            let Some(marker) = marker else {
                let reason = "there are several, and the lock does not say when each is meant";
                plan.leave(at.place(), format!("{name} {version}"), reason);
                continue;
            };
            wanted.markers.push(marker.text()?.to_owned());
        }
        plan.blast.constraints.push(wanted.text(at)?);
    }
    plan.leave(root.place(), "hashes", HASHES);
    Ok(plan)
}

fn tool(root: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    plan.name = root.text_of("name")?.map(Into::into);
    plan.version = root.text_of("version")?.map(Into::into);
    plan.description = root.text_of("description")?.map(Into::into);
    for at in root.items_of("source")? {
        source(&at, plan)?;
    }
    // What extras name is a dependency only with them.
    let extras = root.members_of(&["extras"])?;
    let mut optional: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, at) in root.members_of(&["dependencies"])? {
        if name == "python" {
            match poetry_versions::specifiers(at.text()?) {
                Ok(specifiers) => {
                    plan.requires_python = Some(specifiers).filter(|text| !text.is_empty());
                }
                Err(why) => plan.leave(at.place(), format!("python {}", at.text()?), why),
            }
            continue;
        }
        let texts = dependency(name, &at, plan)?;
        if is_optional(&at)? {
            optional.insert(plain(name), texts);
        } else {
            plan.dependencies.extend(texts);
        }
    }
    let mut used = BTreeSet::new();
    for (extra, at) in extras {
        let mut all = Vec::new();
        for item in at.items()? {
            let name = plain(item.text()?);
            if let Some(texts) = optional.get(&name) {
                all.extend(texts.iter().cloned());
            }
            used.insert(name);
        }
        plan.extras.insert(extra.to_owned(), all);
    }
    for name in optional.keys().filter(|name| !used.contains(*name)) {
        let place = format!("{}.dependencies.{name}", root.place());
        plan.leave(place, name, "it is optional, and no extra has it");
    }
    groups(root, plan)?;
    for (key, at) in root.members()? {
        match key {
            "name" | "version" | "description" | "source" | "extras" | "dependencies"
            | "dev-dependencies" | "group" => {}
            _ => plan.leave(at.place(), key, METADATA),
        }
    }
    Ok(())
}

fn groups(root: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    let mut default = BTreeSet::new();
    let mut all = vec![("dev", root.members_of(&["dev-dependencies"])?, false)];
    for (name, at) in root.members_of(&["group"])? {
        all.push((
            name,
            at.members_of(&["dependencies"])?,
            at.flag("optional")?,
        ));
    }
    for (group, members, optional) in all {
        if members.is_empty() {
            continue;
        }
        let mut texts = Vec::new();
        for (name, at) in members {
            texts.extend(dependency(name, &at, plan)?);
        }
        plan.groups
            .entry(group.to_owned())
            .or_default()
            .extend(texts);
        if !optional {
            default.insert(group.to_owned());
        }
    }
    // `dev` is what blast installs by itself.
    let usual = plan.groups.contains_key("dev").then(|| "dev".to_owned());
    if default != usual.into_iter().collect() {
        plan.blast.default_groups = Some(default);
    }
    Ok(())
}

fn source(at: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    let name = at.required("name")?;
    let Some(url) = at.text_of("url")?.filter(|_| !is_default_index(name)) else {
        return Ok(());
    };
    let Some(url) = requirements::index(url, &at.place(), plan) else {
        return Ok(());
    };
    let priority = at.text_of("priority")?.unwrap_or("primary");
    if priority == "default" {
        plan.blast.index_url = Some(url);
        return Ok(());
    }
    if matches!(priority, "secondary" | "supplemental") {
        let what = format!("the priority of {name}");
        plan.leave(at.place(), what, "blast asks it before the main index");
    }
    plan.blast.indexes.push(NamedIndex {
        name: name.to_owned(),
        url,
        explicit: priority == "explicit",
    });
    Ok(())
}

fn is_optional(at: &Node<'_>) -> Result<bool, ConvertError> {
    if at.value.is_object() {
        at.flag("optional")
    } else {
        Ok(false)
    }
}

/// A name as names are compared.
fn plain(name: &str) -> String {
    name.parse::<blast_types::PackageName>()
        .map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// A dependency; a list of tables says several, each for environments of its own.
fn dependency(name: &str, at: &Node<'_>, plan: &mut Plan) -> Result<Vec<String>, ConvertError> {
    if at.value.is_array() {
        let mut texts = Vec::new();
        for item in at.items()? {
            texts.extend(one(name, &item, plan)?);
        }
        return Ok(texts);
    }
    Ok(one(name, at, plan)?.into_iter().collect())
}

fn one(name: &str, at: &Node<'_>, plan: &mut Plan) -> Result<Option<String>, ConvertError> {
    let mut wanted = Wanted {
        name: name.to_owned(),
        ..Wanted::default()
    };
    if at.value.is_string() {
        let Some(versions) = specifiers(name, at, plan)? else {
            return Ok(None);
        };
        wanted.versions = versions;
        return wanted.text(at).map(Some);
    }
    if at.get("path")?.is_some() {
        plan.leave(at.place(), name, LOCAL);
        return Ok(None);
    }
    let folder = at.text_of("subdirectory")?;
    let url = if let Some(repository) = at.text_of("git")? {
        let revision = [
            at.text_of("rev")?,
            at.text_of("tag")?,
            at.text_of("branch")?,
        ];
        let revision = revision.into_iter().flatten().next();
        Some(git_url(repository, revision, folder))
    } else {
        at.text_of("url")?.map(|url| match folder {
            Some(folder) => format!("{url}#subdirectory={folder}"),
            None => url.to_owned(),
        })
    };
    if let Some(url) = url {
        wanted.url = requirements::index(&url, &at.place(), plan);
        if wanted.url.is_none() {
            return Ok(None);
        }
    }
    wanted.extras = at.texts_of("extras")?.into_iter().map(Into::into).collect();
    for (key, member) in at.members()? {
        match key {
            "version" if wanted.url.is_none() => {
                let Some(versions) = specifiers(name, &member, plan)? else {
                    return Ok(None);
                };
                wanted.versions = versions;
            }
            "markers" => wanted.markers.push(member.text()?.to_owned()),
            "python" => match poetry_versions::python_marker(member.text()?) {
                Ok(marker) if marker.is_empty() => {}
                Ok(marker) => wanted.markers.push(marker),
                Err(why) => {
                    plan.leave(member.place(), name, why);
                    return Ok(None);
                }
            },
            "platform" => {
                let platform = member.text()?;
                if platform.contains(['\'', '|', ',']) {
                    plan.leave(member.place(), name, "write it as a marker");
                    return Ok(None);
                }
                wanted.markers.push(format!("sys_platform == '{platform}'"));
            }
            "source" => {
                let index = member.text()?;
                if plan.blast.indexes.iter().any(|known| known.name == index) {
                    plan.blast.sources.insert(plain(name), index.to_owned());
                }
            }
            "allow-prereleases" | "allows-prereleases" => {
                let what = format!("pre-releases of {name}");
                let reason = "a specifier with a pre-release in it allows them (`>=1.0a0`)";
                plan.leave(member.place(), what, reason);
            }
            "version" | "git" | "rev" | "tag" | "branch" | "subdirectory" | "url" | "extras"
            | "optional" => {}
            "develop" => plan.leave(member.place(), name, "only a path can be editable"),
            _ => plan.leave(member.place(), key, "PEP 508 has no such key"),
        }
    }
    wanted.text(at).map(Some)
}

/// The versions by PEP 440; what it cannot say is noted.
fn specifiers(name: &str, at: &Node<'_>, plan: &mut Plan) -> Result<Option<String>, ConvertError> {
    let text = at.text()?;
    if text.contains('|') {
        let why = "PEP 440 has no `or` between versions";
        plan.leave(at.place(), format!("{name} {text}"), why);
        return Ok(None);
    }
    let specifiers = poetry_versions::specifiers(text).map_err(|why| at.problem(why))?;
    Ok(Some(specifiers))
}
