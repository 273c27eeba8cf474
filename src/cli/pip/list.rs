//! `pip list` and `pip freeze`.

use std::collections::{BTreeMap, BTreeSet};

use blast_types::{DirectUrl, PackageName};
use serde_json::{Value, json};

use super::arguments::{Format, Freeze, List};
use super::installed::Distribution;
use super::{Target, VERSION};
use crate::cli::requirements::Gathered;
use crate::cli::resolution;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::packages::OutdatedPackage;
use crate::ipc::protocol::{OutdatedRequest, Reply, Request};

/// One line of the list.
struct Row {
    name: String,
    version: String,
    latest: Option<String>,
    editable: Option<String>,
}

/// Lists what is installed.
pub(super) fn run(args: &List, target: &Target) -> Result<Exit, Error> {
    let mut found = target.installed()?;
    let excluded = names(&args.exclude)?;
    let newer: Option<BTreeMap<PackageName, OutdatedPackage>> = if args.outdated || args.uptodate {
        Some(newer(args, target)?)
    } else {
        None
    };
    if args.not_required {
        let needed = required(target)?;
        found.retain(|dist| !needed.contains(&dist.key));
    }
    let mut rows = Vec::new();
    let has_pip = found.iter().any(|dist| dist.key.as_ref() == "pip");
    for dist in found.iter().filter(|dist| !excluded.contains(&dist.key)) {
        let editable = dist.editable_location();
        let latest = newer
            .as_ref()
            .and_then(|newer| newer.get(&dist.key))
            .map(|package| package.newest.clone());
        let is_wanted = (!args.editable || editable.is_some())
            && (!args.exclude_editable || editable.is_none())
            && (!args.outdated || latest.is_some())
            && (!args.uptodate || latest.is_none());
        if is_wanted {
            rows.push(Row {
                name: dist.name.clone(),
                version: dist.version.clone(),
                latest,
                editable: editable.map(|path| path.display().to_string()),
            });
        }
    }
    let pip_is_excluded = excluded.iter().any(|name| name.as_ref() == "pip");
    if !has_pip && !pip_is_excluded && !args.editable && !args.outdated {
        rows.push(Row {
            name: "pip".to_owned(),
            version: VERSION.to_owned(),
            latest: None,
            editable: None,
        });
    }
    rows.sort_by_key(|row| row.name.to_lowercase());
    let text = match args.format {
        Format::Columns => columns(&rows),
        Format::Freeze => {
            let lines = rows.iter();
            let lines = lines.map(|row| format!("{}=={}\n", row.name, row.version));
            lines.collect::<Vec<_>>().concat()
        }
        Format::Json => {
            let rows: Vec<Value> = rows.iter().map(as_json).collect();
            Value::from(rows).to_string() + "\n"
        }
    };
    target.context.printer.data(&text)?;
    Ok(Exit::Ok)
}

fn as_json(row: &Row) -> Value {
    let mut value = json!({"name": row.name, "version": row.version});
    if let Some(latest) = &row.latest {
        value["latest_version"] = json!(latest);
    }
    if let Some(editable) = &row.editable {
        value["editable_project_location"] = json!(editable);
    }
    value
}

/// pip's table: a line of dashes below the heading.
fn columns(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut heading = vec!["Package", "Version"];
    let (with_latest, with_editable) = (
        rows.iter().any(|row| row.latest.is_some()),
        rows.iter().any(|row| row.editable.is_some()),
    );
    if with_latest {
        heading.push("Latest");
    }
    if with_editable {
        heading.push("Editable project location");
    }
    let mut table: Vec<Vec<String>> = vec![heading.iter().map(ToString::to_string).collect()];
    table.extend(rows.iter().map(|row| {
        let mut cells = vec![row.name.clone(), row.version.clone()];
        if with_latest {
            cells.push(row.latest.clone().unwrap_or_default());
        }
        if with_editable {
            cells.push(row.editable.clone().unwrap_or_default());
        }
        cells
    }));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = table.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    table.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    let lines = table.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join(" ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn newer(args: &List, target: &Target) -> Result<BTreeMap<PackageName, OutdatedPackage>, Error> {
    let context = &target.context;
    let files = resolution::FromFiles {
        pre: args.pre,
        ..resolution::FromFiles::default()
    };
    let request = OutdatedRequest {
        env: target.env.clone(),
        options: resolution::compute(context, &resolution::ResolverOptions::default(), &files)?,
        sources: target.sources(&args.sources, &Gathered::default().sources)?,
    };
    let Reply::Outdated { packages } = context.ask(Request::Outdated(Box::new(request)))? else {
        return Err(Error::unexpected_reply());
    };
    let named = packages
        .into_iter()
        .map(|package| (package.name.clone(), package));
    Ok(named.collect())
}

/// What any package requires here.
fn required(target: &Target) -> Result<BTreeSet<PackageName>, Error> {
    let env = target.env.clone();
    let Reply::Graph(graph) = target.context.ask(Request::Graph { env })? else {
        return Err(Error::unexpected_reply());
    };
    let needs = graph
        .packages
        .into_iter()
        .flat_map(|package| package.requires);
    Ok(needs.map(|need| need.name).collect())
}

fn names(texts: &[String]) -> Result<BTreeSet<PackageName>, Error> {
    let names = texts.iter().map(|text| {
        text.parse()
            .map_err(|_| Error::no(format!("Invalid requirement: '{text}'")))
    });
    names.collect()
}

/// Prints what is installed as requirements.
pub(super) fn freeze(args: &Freeze, target: &Target) -> Result<Exit, Error> {
    let excluded = names(&args.exclude)?;
    let mut found = target.installed()?;
    found.retain(|dist| !excluded.contains(&dist.key) && (args.all || !dist.is_tool()));
    let mut lines = Vec::new();
    for dist in &found {
        let direct = dist.direct_url();
        let is_editable = direct.as_ref().is_some_and(DirectUrl::is_editable);
        if !(is_editable && args.exclude_editable) {
            lines.push((dist.name.to_lowercase(), line(dist, direct.as_ref())));
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    target.context.printer.data(&text)?;
    Ok(Exit::Ok)
}

/// A distribution as the line of a requirements file.
fn line(dist: &Distribution, direct: Option<&DirectUrl>) -> String {
    let (name, version) = (&dist.name, &dist.version);
    let Some(direct) = direct else {
        return format!("{name}=={version}");
    };
    if let (true, Some(folder)) = (direct.is_editable(), dist.editable_location()) {
        return format!(
            "# Editable install with no version control ({name}=={version})\n-e {}",
            folder.display()
        );
    }
    let mut url = direct.url.clone();
    if let Some(vcs) = &direct.vcs_info {
        url = format!("{}+{url}@{}", vcs.vcs, vcs.commit_id);
    }
    let hashes = direct
        .archive_info
        .iter()
        .flat_map(|archive| &archive.hashes);
    let mut parts: Vec<String> = hashes
        .map(|(kind, hash)| format!("{kind}={hash}"))
        .collect();
    parts.extend(
        direct
            .subdirectory
            .iter()
            .map(|folder| format!("subdirectory={folder}")),
    );
    if !parts.is_empty() {
        url = format!("{url}#{}", parts.join("&"));
    }
    format!("{name} @ {url}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_pip() {
        let row = |name: &str, editable: Option<&str>| Row {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            latest: None,
            editable: editable.map(str::to_owned),
        };
        insta::assert_snapshot!(columns(&[row("a", None), row("longer-name", Some("/src"))]), @r"
        Package     Version Editable project location
        ----------- ------- -------------------------
        a           1.0
        longer-name 1.0     /src
        ");
        assert_eq!(columns(&[]), "");
    }
}
