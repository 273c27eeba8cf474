//! `pip list`.

use std::collections::{BTreeMap, BTreeSet};

use blast_types::PackageName;
use serde_json::{Value, json};

use super::arguments::{Format, List};
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
    key: String,
    name: String,
    version: String,
    latest: Option<Latest>,
    editable: Option<String>,
    /// Where it is, and what installed it, where more is to be said.
    more: Option<(String, String)>,
}

/// A newer version.
struct Latest {
    version: String,
    /// `wheel` or `sdist`.
    kind: &'static str,
}

/// The folder in which a distribution is.
fn location(dist: &Distribution) -> String {
    let folder = dist.info.parent().unwrap_or(&dist.info);
    folder.display().to_string()
}

/// Lists what is installed; with `verbose` also where and by what.
pub(super) fn run(args: &List, verbose: bool, target: &Target) -> Result<Exit, Error> {
    let mut found = target.visible(&args.visible)?;
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
        let latest = newer.as_ref().and_then(|newer| newer.get(&dist.key));
        let is_wanted = (!args.editable || editable.is_some())
            && (!args.exclude_editable || editable.is_none())
            && (!args.outdated || latest.is_some())
            && (!args.uptodate || latest.is_none());
        if is_wanted {
            rows.push(Row {
                key: dist.key.to_string(),
                name: dist.name.clone(),
                version: dist.version.clone(),
                latest: latest.map(|package| Latest {
                    version: package.newest.clone(),
                    kind: if package.newest_is_wheel {
                        "wheel"
                    } else {
                        "sdist"
                    },
                }),
                editable: editable.map(|path| path.display().to_string()),
                more: verbose.then(|| (location(dist), dist.installer())),
            });
        }
    }
    let pip_is_excluded = excluded.iter().any(|name| name.as_ref() == "pip");
    let is_all = args.visible.is_all() && !args.editable && !args.outdated;
    if !has_pip && !pip_is_excluded && is_all {
        let more = verbose.then(|| target.site()).transpose()?;
        rows.push(Row {
            key: "pip".to_owned(),
            name: "pip".to_owned(),
            version: VERSION.to_owned(),
            latest: None,
            editable: None,
            more: more.map(|site| (site.display().to_string(), "blast".to_owned())),
        });
    }
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    let text = match args.format {
        Format::Columns => columns(&rows),
        Format::Freeze => {
            let lines = rows.iter().map(|row| match &row.more {
                Some((folder, _)) => format!("{}=={} ({folder})\n", row.name, row.version),
                None => format!("{}=={}\n", row.name, row.version),
            });
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
    if let Some((location, installer)) = &row.more {
        value["location"] = json!(location);
        value["installer"] = json!(installer);
    }
    if let Some(latest) = &row.latest {
        value["latest_version"] = json!(latest.version);
        value["latest_filetype"] = json!(latest.kind);
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
    let with_latest = rows.iter().any(|row| row.latest.is_some());
    let with_editable = rows.iter().any(|row| row.editable.is_some());
    let with_more = rows.iter().any(|row| row.more.is_some());
    if with_latest {
        heading.extend(["Latest", "Type"]);
    }
    if with_editable {
        heading.push("Editable project location");
    }
    if with_more {
        heading.extend(["Location", "Installer"]);
    }
    let mut table: Vec<Vec<String>> = vec![heading.iter().map(ToString::to_string).collect()];
    table.extend(rows.iter().map(|row| {
        let mut cells = vec![row.name.clone(), row.version.clone()];
        if with_latest {
            let latest = row.latest.as_ref();
            let cell = |text: &str| text.to_owned();
            cells.push(latest.map_or_else(String::new, |latest| cell(&latest.version)));
            cells.push(latest.map_or_else(String::new, |latest| cell(latest.kind)));
        }
        if with_editable {
            cells.push(row.editable.clone().unwrap_or_default());
        }
        if with_more {
            let (location, installer) = row.more.clone().unwrap_or_default();
            cells.extend([location, installer]);
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

pub(super) fn names(texts: &[String]) -> Result<BTreeSet<PackageName>, Error> {
    let names = texts.iter().map(|text| {
        text.parse()
            .map_err(|_| Error::no(format!("Invalid requirement: '{text}'")))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_pip() {
        let row = |name: &str, editable: Option<&str>| Row {
            key: name.to_owned(),
            name: name.to_owned(),
            version: "1.0".to_owned(),
            latest: None,
            editable: editable.map(str::to_owned),
            more: None,
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
