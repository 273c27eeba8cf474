//! `blast why`: how a package came into an environment.

use std::collections::{BTreeMap, VecDeque};

use blast_types::{EnvName, PackageName};
use serde::Serialize;

use super::context::Context;
use super::options::TellingOptions;
use crate::error::{Error, Kind};
use crate::exit_code::Exit;
use crate::ipc::packages::{DependencyGraph, GraphPackage, Need};
use crate::ipc::protocol::{Reply, Request};

/// Say why a package is in an environment
///
/// Shows for everything that was asked for the shortest way from there to the package.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The package
    #[arg(value_name = "PACKAGE")]
    package: PackageName,
    #[command(flatten)]
    of: TellingOptions,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    environment: &'a EnvName,
    package: &'a PackageName,
    version: &'a str,
    requested: bool,
    /// Each from a requirement of the user to the package.
    chains: &'a [Vec<&'a Need>],
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let Reply::Graph(graph) = context.ask(Request::Graph { env: env.clone() })? else {
        return Err(Error::unexpected_reply());
    };
    let Some(package) = graph
        .packages
        .iter()
        .find(|package| package.name == args.package)
    else {
        return Err(not_installed(&args.package, &env));
    };
    let chains = chains(&graph, &args.package);
    if args.of.json.json {
        context.printer.json(&Document {
            environment: &env,
            package: &args.package,
            version: &package.version,
            requested: package.requested,
            chains: &chains,
        })?;
    } else {
        context.printer.data(&render(&graph, package, &chains))?;
    }
    Ok(Exit::Ok)
}

/// The error of naming a package that is not there.
pub(super) fn not_installed(name: &PackageName, env: &EnvName) -> Error {
    Error::new(
        Kind::No,
        format!("package {name} is not installed in environment {env}"),
    )
    .hint(format!("`blast list --env {env}` lists what is"))
}

/// For each requirement of the user that leads to the package, the shortest way there.
fn chains<'a>(graph: &'a DependencyGraph, target: &PackageName) -> Vec<Vec<&'a Need>> {
    let packages: BTreeMap<_, _> = graph
        .packages
        .iter()
        .map(|package| (&package.name, package))
        .collect();
    let roots = graph.requirements.iter();
    let mut found: Vec<_> = roots
        .filter_map(|root| shortest(root, target, &packages))
        .collect();
    found.sort_by_key(Vec::len);
    found
}

fn shortest<'a>(
    root: &'a Need,
    target: &PackageName,
    packages: &BTreeMap<&'a PackageName, &'a GraphPackage>,
) -> Option<Vec<&'a Need>> {
    // The need that first led to a package, and the package that had it.
    let mut reached: BTreeMap<&PackageName, Option<(&PackageName, &Need)>> = BTreeMap::new();
    reached.insert(&root.name, None);
    let mut next = VecDeque::from([&root.name]);
    while let Some(name) = next.pop_front() {
        if name == target {
            let mut chain = Vec::new();
            let mut at = name;
            while let Some(Some((from, need))) = reached.get(at) {
                chain.push(*need);
                at = from;
            }
            chain.push(root);
            chain.reverse();
            return Some(chain);
        }
        let needs = packages.get(name).map_or(&[][..], |found| &found.requires);
        for need in needs {
            if !reached.contains_key(&need.name) {
                reached.insert(&need.name, Some((name, need)));
                next.push_back(&need.name);
            }
        }
    }
    None
}

fn render(graph: &DependencyGraph, package: &GraphPackage, chains: &[Vec<&Need>]) -> String {
    let version = |name: &PackageName| {
        let found = graph.packages.iter().find(|package| package.name == *name);
        found.map_or("", |package| &package.version)
    };
    let mut lines = vec![format!("{} {}", package.name, package.version)];
    if chains.is_empty() {
        lines.push("  nothing that was asked for requires it".to_owned());
    }
    for chain in chains {
        let Some((root, rest)) = chain.split_first() else {
            continue;
        };
        let asked = words(root);
        if rest.is_empty() {
            lines.push(format!("  asked for as `{asked}`"));
            continue;
        }
        lines.push(format!("  asked for: `{asked}`"));
        let mut from = *root;
        for need in rest {
            let (name, wanted) = (&from.name, words(need));
            lines.push(format!("    {name} {} requires {wanted}", version(name)));
            from = need;
        }
    }
    lines.join("\n") + "\n"
}

/// A need as one would write it.
fn words(need: &Need) -> String {
    let extras = if need.extras.is_empty() {
        String::new()
    } else {
        format!("[{}]", need.extras.join(","))
    };
    let gap = if need.specifier.starts_with('@') {
        " "
    } else {
        ""
    };
    format!("{}{extras}{gap}{}", need.name, need.specifier)
}
