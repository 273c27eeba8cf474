//! Pipenv: `Pipfile` and `Pipfile.lock`.
//!
//! Source: "Pipfile & Pipfile.lock" of Pipenv's documentation.

use std::path::Path;

use super::node::{Document, Node};
use super::requirement::{HASHES, LOCAL, Wanted, git_url, is_default_index};
use super::{ConvertError, NamedIndex, Plan, beside, poetry_versions, requirements};

/// Keys of a package that say where it is wanted, as PEP 508 calls them.
const MARKERS: [&str; 11] = [
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_version",
    "python_full_version",
    "implementation_name",
    "implementation_version",
];

/// Reads a `Pipfile`.
pub(super) fn read(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::toml(path, text)?;
    let root = document.root();
    let mut plan = Plan::default();
    // Packages name the sources.
    if let Some(at) = root.get("source")? {
        sources(&at, &mut plan)?;
    }
    for (name, at) in root.members()? {
        match name {
            "source" => {}
            "requires" => requires(&at, &mut plan)?,
            "packages" => plan.dependencies = packages(&at, &mut plan)?,
            "dev-packages" => {
                let group = packages(&at, &mut plan)?;
                plan.groups.insert("dev".to_owned(), group);
            }
            "pipenv" => {
                for (name, at) in at.members()? {
                    if name == "allow_prereleases" {
                        plan.blast.prereleases = at.value.as_bool().unwrap_or_default();
                    } else {
                        plan.leave(at.place(), name, "a setting of Pipenv itself");
                    }
                }
            }
            "scripts" => {
                for (name, at) in at.members()? {
                    plan.leave(at.place(), name, "blast has no scripts; use `blast run`");
                }
            }
            // Any other table is a category of packages.
            _ if at.value.is_object() => {
                let group = packages(&at, &mut plan)?;
                plan.groups.insert(name.to_owned(), group);
            }
            _ => plan.leave(at.place(), name, "unknown"),
        }
    }
    Ok(plan)
}

/// Reads a `Pipfile.lock`: what its `Pipfile` asks for, at the locked versions; without one, all
/// that is locked.
pub(super) fn read_lock(path: &Path, text: &str) -> Result<Plan, ConvertError> {
    let document = Document::json(path, text)?;
    let root = document.root();
    let Some((pipfile, asked)) = beside(path, "Pipfile")? else {
        return read_bare_lock(&root);
    };
    let mut plan = read(&pipfile, &asked)?;
    for (section, at) in root.members()? {
        if section == "_meta" {
            continue;
        }
        for (name, at) in at.members()? {
            let Some(version) = at.text_of("version")? else {
                let what = format!("the locked state of {name}");
                plan.leave(at.place(), what, "it has no version of an index");
                continue;
            };
            let constraint = Wanted {
                name: name.to_owned(),
                versions: version.to_owned(),
                // Where it is needed says the resolution: a limit may hold everywhere.
                ..Wanted::default()
            };
            plan.blast.constraints.push(constraint.text(&at)?);
        }
    }
    plan.blast.constraints.sort();
    plan.leave(root.place(), "hashes", HASHES);
    Ok(plan)
}

fn read_bare_lock(root: &Node<'_>) -> Result<Plan, ConvertError> {
    let mut plan = Plan::default();
    if let Some(at) = root.find(&["_meta", "sources"])? {
        sources(&at, &mut plan)?;
    }
    if let Some(at) = root.find(&["_meta", "requires"])? {
        requires(&at, &mut plan)?;
    }
    for (section, at) in root.members()? {
        match section {
            "_meta" => {}
            "default" => plan.dependencies = packages(&at, &mut plan)?,
            _ => {
                let group = packages(&at, &mut plan)?;
                let name = if section == "develop" { "dev" } else { section };
                plan.groups.insert(name.to_owned(), group);
            }
        }
    }
    let reason = "a lock does not say it, and no Pipfile is beside it: all are dependencies now";
    plan.leave(root.place(), "which packages were asked for", reason);
    plan.leave(root.place(), "hashes", HASHES);
    Ok(plan)
}

fn requires(at: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    let full = at.text_of("python_full_version")?;
    plan.requires_python = match (full, at.text_of("python_version")?) {
        (Some(full), _) => Some(format!("=={full}")),
        (None, None | Some("*")) => None,
        (None, Some(version)) => Some(format!("=={version}.*")),
    };
    Ok(())
}

fn sources(at: &Node<'_>, plan: &mut Plan) -> Result<(), ConvertError> {
    for (number, at) in at.items()?.iter().enumerate() {
        let url = at.required("url")?;
        let insecure = at.get("verify_ssl")?.is_some() && !at.flag("verify_ssl")?;
        if let Some(host) = host(url).filter(|_| insecure) {
            plan.blast.trusted_host.push(host);
        }
        if number == 0 && at.text_of("name")?.is_some_and(is_default_index) {
            continue;
        }
        let Some(url) = requirements::index(url, &at.place(), plan) else {
            continue;
        };
        if number == 0 {
            plan.blast.index_url = Some(url);
        } else {
            // Pipenv asks further sources for what is pinned to them and nothing else.
            plan.blast.indexes.push(NamedIndex {
                name: at.required("name")?.to_owned(),
                url,
                explicit: true,
            });
        }
    }
    Ok(())
}

fn host(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn packages(at: &Node<'_>, plan: &mut Plan) -> Result<Vec<String>, ConvertError> {
    let mut texts = Vec::new();
    for (name, at) in at.members()? {
        if let Some(wanted) = package(name, &at, plan)? {
            texts.push(wanted.text(&at)?);
        }
    }
    Ok(texts)
}

fn package(name: &str, at: &Node<'_>, plan: &mut Plan) -> Result<Option<Wanted>, ConvertError> {
    let versions = |text: &str| poetry_versions::specifiers(text).map_err(|why| at.problem(why));
    let mut wanted = Wanted {
        name: name.to_owned(),
        ..Wanted::default()
    };
    if let Some(text) = at.value.as_str() {
        wanted.versions = versions(text)?;
        return Ok(Some(wanted));
    }
    if at.get("path")?.is_some() {
        plan.leave(at.place(), name, LOCAL);
        return Ok(None);
    }
    let folder = at.text_of("subdirectory")?;
    if let Some(repository) = at.text_of("git")? {
        wanted.url = Some(git_url(repository, at.text_of("ref")?, folder));
    } else if let Some(url) = at.text_of("file")? {
        if !url.contains("://") || url.starts_with("file:") {
            plan.leave(at.place(), name, LOCAL);
            return Ok(None);
        }
        wanted.url = Some(url.to_owned());
    } else if let Some(text) = at.text_of("version")? {
        wanted.versions = versions(text)?;
    }
    wanted.extras = at.texts_of("extras")?.into_iter().map(Into::into).collect();
    for (key, at) in at.members()? {
        match key {
            "markers" => wanted.markers.push(at.text()?.to_owned()),
            "index" => {
                let index = at.text()?;
                if plan.blast.indexes.iter().any(|known| known.name == index) {
                    plan.blast.sources.insert(name.to_owned(), index.to_owned());
                }
            }
            "version" | "git" | "ref" | "subdirectory" | "file" | "extras" | "hashes" => {}
            "editable" if wanted.url.is_none() => {}
            key if MARKERS.contains(&key) => wanted.markers.push(format!("{key} {}", at.text()?)),
            _ => plan.leave(at.place(), key, "PEP 508 has no such key"),
        }
    }
    if let Some(url) = wanted.url.take() {
        wanted.url = requirements::index(&url, &at.place(), plan);
        if wanted.url.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(wanted))
}
