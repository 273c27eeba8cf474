//! `pip show`, `pip check` and `pip inspect`.

use std::collections::BTreeMap;

use blast_types::{PackageName, pep508, versions};
use serde_json::{Map, Value, json};

use super::arguments::{Inspect, Show};
use super::installed::Distribution;
use super::{Target, VERSION};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::packages::{DependencyGraph, GraphPackage, Need};
use crate::ipc::protocol::{Reply, Request};

/// Headers that [`metadata`] gives as lists (the JSON form of core metadata, PEP 566).
const LISTS: [&str; 13] = [
    "classifier",
    "dynamic",
    "import-name",
    "import-namespace",
    "license-file",
    "obsoletes-dist",
    "platform",
    "project-url",
    "provides-dist",
    "provides-extra",
    "requires-dist",
    "requires-external",
    "supported-platform",
];

fn graph(target: &Target) -> Result<DependencyGraph, Error> {
    let env = target.env.clone();
    let Reply::Graph(graph) = target.context.ask(Request::Graph { env })? else {
        return Err(Error::unexpected_reply());
    };
    Ok(graph)
}

/// Shows packages; 1 where none of those named is installed.
pub(super) fn run(args: &Show, verbose: bool, target: &Target) -> Result<Exit, Error> {
    let printer = target.context.printer;
    if args.packages.is_empty() {
        printer.say("WARNING: ERROR: Please provide a package name or names.");
        return Ok(Exit::No);
    }
    let installed = target.installed()?;
    let graph = graph(target)?;
    let mut missing = Vec::new();
    let mut shown = Vec::new();
    for name in &args.packages {
        let key: Option<PackageName> = name.parse().ok();
        match installed
            .iter()
            .find(|dist| Some(&dist.key) == key.as_ref())
        {
            Some(dist) => shown.push(described(
                dist, args.files, verbose, &graph, &installed, target,
            )?),
            None if name == "pip" => shown.push(format!(
                "Name: pip\nVersion: {VERSION}\nSummary: The pip of an environment of blast\n\
                 Location: {}\nRequires: \nRequired-by: \n",
                target.site()?.display()
            )),
            None => missing.push(name.as_str()),
        }
    }
    if !missing.is_empty() {
        printer.say(format!(
            "WARNING: Package(s) not found: {}",
            missing.join(", ")
        ));
    }
    printer.data(&shown.join("---\n"))?;
    Ok(if shown.is_empty() { Exit::No } else { Exit::Ok })
}

fn described(
    dist: &Distribution,
    files: bool,
    verbose: bool,
    graph: &DependencyGraph,
    installed: &[Distribution],
    target: &Target,
) -> Result<String, Error> {
    let header = |name: &str| dist.header(name).unwrap_or_default();
    let mut lines = vec![
        format!("Name: {}", dist.name),
        format!("Version: {}", dist.version),
    ];
    for name in ["Summary", "Home-page", "Author", "Author-email"] {
        lines.push(format!("{name}: {}", header(name)));
    }
    match dist.header("License-Expression") {
        Some(license) => lines.push(format!("License-Expression: {license}")),
        None => lines.push(format!("License: {}", header("License"))),
    }
    lines.push(format!("Location: {}", target.site()?.display()));
    if let Some(folder) = dist.editable_location() {
        lines.push(format!("Editable project location: {}", folder.display()));
    }
    let mut requires: Vec<_> = match graph.packages.iter().find(|found| found.name == dist.key) {
        Some(found) => found
            .requires
            .iter()
            .map(|need| need.name.to_string())
            .collect(),
        None => dist
            .headers("Requires-Dist")
            .iter()
            .filter_map(|text| Some(pep508::requirement(text).ok()?.name.to_string()))
            .collect(),
    };
    requires.dedup();
    lines.push(format!("Requires: {}", requires.join(", ")));
    let needs_it =
        |package: &&GraphPackage| package.requires.iter().any(|need| need.name == dist.key);
    // As their projects write them, in the order of these names.
    let mut required_by: Vec<_> = graph
        .packages
        .iter()
        .filter(needs_it)
        .map(|package| {
            let there = installed.iter().find(|other| other.key == package.name);
            there.map_or_else(|| package.name.to_string(), |other| other.name.clone())
        })
        .collect();
    required_by.sort_by_key(|name| name.to_lowercase());
    lines.push(format!("Required-by: {}", required_by.join(", ")));
    if verbose {
        lines.push(format!("Metadata-Version: {}", header("Metadata-Version")));
        lines.push(format!("Installer: {}", dist.installer()));
        for (title, name) in [
            ("Classifiers", "Classifier"),
            ("Project-URLs", "Project-URL"),
        ] {
            lines.push(format!("{title}:"));
            lines.extend(dist.headers(name).iter().map(|value| format!("  {value}")));
        }
        lines.push("Entry-points:".to_owned());
        let entry_points = dist.file("entry_points.txt").unwrap_or_default();
        lines.extend(entry_points.lines().map(|line| format!("  {line}")));
    }
    if files {
        lines.push("Files:".to_owned());
        match dist.files() {
            Some(files) => lines.extend(files.iter().map(|file| format!("  {file}"))),
            None => lines.push("Cannot locate RECORD or installed-files.txt".to_owned()),
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Says whether everything has what it requires; 1 where not.
pub(super) fn check(target: &Target) -> Result<Exit, Error> {
    let graph = graph(target)?;
    let there: BTreeMap<&PackageName, &GraphPackage> = graph
        .packages
        .iter()
        .map(|package| (&package.name, package))
        .collect();
    let mut broken = Vec::new();
    for package in &graph.packages {
        for need in &package.requires {
            let (name, version) = (&package.name, &package.version);
            match there.get(&need.name) {
                None => {
                    broken.push(format!(
                        "{name} {version} requires {}, which is not installed.\n",
                        need.name
                    ));
                }
                Some(found) if !is_met(need, &found.version) => {
                    broken.push(format!(
                        "{name} {version} has requirement {}{}, but you have {} {}.\n",
                        need.name, need.specifier, found.name, found.version
                    ));
                }
                Some(_) => {}
            }
        }
    }
    if broken.is_empty() {
        target.tell("No broken requirements found.")?;
        return Ok(Exit::Ok);
    }
    target.context.printer.data(&broken.concat())?;
    Ok(Exit::No)
}

/// A URL cannot be held against what is installed.
fn is_met(need: &Need, version: &str) -> bool {
    if need.specifier.is_empty() || need.specifier.starts_with('@') {
        return true;
    }
    let specifiers = versions::specifiers(&need.specifier);
    let version = versions::version(version);
    matches!((specifiers, version), (Ok(specifiers), Ok(version)) if specifiers.contains(&version))
}

/// Describes what is installed as JSON, in the form of pip's inspection report.
pub(super) fn inspect(args: &Inspect, target: &Target) -> Result<Exit, Error> {
    let installed: Vec<Value> = target
        .visible(&args.visible)?
        .iter()
        .map(inspected)
        .collect();
    let markers = target.markers()?;
    let report = json!({
        "version": "1",
        "pip_version": VERSION,
        "installed": installed,
        "environment": markers,
    });
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::internal("cannot write JSON").caused_by(&error))?;
    target.context.printer.data(&(text + "\n"))?;
    Ok(Exit::Ok)
}

fn inspected(dist: &Distribution) -> Value {
    let mut entry = json!({
        "metadata": metadata(dist),
        "metadata_location": dist.info,
        "installer": dist.installer(),
        "requested": dist.requested(),
    });
    if let Some(direct) = dist.direct_url() {
        entry["direct_url"] = serde_json::to_value(direct).unwrap_or_default();
    }
    entry
}

/// The JSON form of core metadata (PEP 566).
pub(super) fn metadata(dist: &Distribution) -> Map<String, Value> {
    let mut fields = Map::new();
    let (headers, _) = dist
        .metadata
        .split_once("\n\n")
        .unwrap_or((&dist.metadata, ""));
    let names = headers
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_lowercase());
    for name in names {
        let key = name.replace('-', "_");
        if fields.contains_key(&key) {
            continue;
        }
        let mut values = dist.headers(&name);
        let value = if LISTS.contains(&name.as_str()) {
            json!(values)
        } else if name == "keywords" {
            let words = values.swap_remove(0);
            json!(words.split(',').map(str::trim).collect::<Vec<_>>())
        } else {
            json!(values.swap_remove(0))
        };
        fields.insert(key, value);
    }
    if let (None, Some(body)) = (fields.get("description"), dist.body()) {
        fields.insert("description".to_owned(), json!(body));
    }
    fields
}
