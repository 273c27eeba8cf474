//! `blast tree`: who requires whom.

use std::collections::{BTreeMap, BTreeSet};

use blast_types::PackageName;

use super::context::Context;
use super::options::{TellingOptions, Told};
use super::why::not_installed;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::packages::{DependencyGraph, GraphPackage, Need};
use crate::ipc::protocol::{Reply, Request};

/// Show what the packages of an environment require, as a tree
///
/// A package whose requirements are shown further up is marked with (*).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Begin with these packages (default: what was asked for, and what nothing requires)
    #[arg(value_name = "PACKAGE")]
    packages: Vec<PackageName>,
    /// Show who requires a package, in place of what it requires
    #[arg(long, visible_alias = "reverse")]
    invert: bool,
    /// Go down so many levels
    #[arg(short, long, value_name = "LEVELS")]
    depth: Option<usize>,
    /// Show requirements again wherever a package stands
    #[arg(long)]
    no_dedupe: bool,
    #[command(flatten)]
    of: TellingOptions,
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.of.env)?;
    let Reply::Graph(graph) = context.ask(Request::Graph { env: env.clone() })? else {
        return Err(Error::unexpected_reply());
    };
    let tree = Tree::new(&graph, args);
    if let Some(name) = args
        .packages
        .iter()
        .find(|name| !tree.packages.contains_key(name))
    {
        return Err(not_installed(name, &env));
    }
    if args.of.json.json {
        context.printer.json(&Told {
            environment: &env,
            what: &graph,
        })?;
        return Ok(Exit::Ok);
    }
    context.printer.data(&tree.render(&args.packages))?;
    if graph.packages.is_empty() {
        context
            .printer
            .say(format!("environment {env} holds no packages"));
    }
    Ok(Exit::Ok)
}

/// A line below a package: another package, and how it is required.
struct Branch<'a> {
    name: &'a PackageName,
    need: &'a Need,
}

struct Tree<'a> {
    packages: BTreeMap<&'a PackageName, &'a GraphPackage>,
    /// By package: what it requires, or who requires it.
    branches: BTreeMap<&'a PackageName, Vec<Branch<'a>>>,
    /// Packages that nothing points to.
    tops: Vec<&'a PackageName>,
    inverted: bool,
    depth: usize,
    dedupe: bool,
}

impl<'a> Tree<'a> {
    fn new(graph: &'a DependencyGraph, args: &Args) -> Self {
        let packages: BTreeMap<_, _> = graph
            .packages
            .iter()
            .map(|package| (&package.name, package))
            .collect();
        let mut branches: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for package in &graph.packages {
            for need in &package.requires {
                let (from, to) = if args.invert {
                    (&need.name, &package.name)
                } else {
                    (&package.name, &need.name)
                };
                let branch = Branch { name: to, need };
                branches.entry(from).or_default().push(branch);
            }
        }
        let pointed_to: BTreeSet<_> = branches
            .iter()
            .filter(|(from, _)| packages.contains_key(*from))
            .flat_map(|(from, list)| {
                let others = list.iter().filter(move |branch| branch.name != *from);
                others.map(|branch| branch.name)
            })
            .collect();
        let tops = graph
            .packages
            .iter()
            .filter(|package| {
                (!args.invert && package.requested) || !pointed_to.contains(&package.name)
            })
            .map(|package| &package.name)
            .collect();
        Self {
            packages,
            branches,
            tops,
            inverted: args.invert,
            depth: args.depth.unwrap_or(usize::MAX),
            dedupe: !args.no_dedupe,
        }
    }

    fn render(&self, from: &'a [PackageName]) -> String {
        let mut text = String::new();
        let mut shown = BTreeSet::new();
        let tops: Vec<_> = if from.is_empty() {
            self.tops.clone()
        } else {
            from.iter().collect()
        };
        for name in tops {
            let mark = self.mark(name, &shown, 0);
            text.push_str(&self.label(name));
            text.push_str(if mark { " (*)\n" } else { "\n" });
            if !mark {
                self.below(name, "", &mut vec![name], &mut shown, &mut text);
            }
        }
        text
    }

    fn below(
        &self,
        name: &'a PackageName,
        indent: &str,
        path: &mut Vec<&'a PackageName>,
        shown: &mut BTreeSet<&'a PackageName>,
        text: &mut String,
    ) {
        if path.len() > self.depth {
            return;
        }
        shown.insert(name);
        let branches = self.branches.get(name).map_or(&[][..], Vec::as_slice);
        for (number, branch) in branches.iter().enumerate() {
            let is_last = number + 1 == branches.len();
            let (arm, next) = if is_last {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            let is_ring = path.contains(&branch.name);
            let mark = is_ring || self.mark(branch.name, shown, path.len());
            text.push_str(indent);
            text.push_str(arm);
            text.push_str(&self.label(branch.name));
            text.push_str(&self.how(branch));
            text.push_str(if mark { " (*)\n" } else { "\n" });
            if !mark {
                path.push(branch.name);
                self.below(branch.name, &format!("{indent}{next}"), path, shown, text);
                path.pop();
            }
        }
    }

    /// Whether what is below the package is left out because it stands further up.
    fn mark(&self, name: &PackageName, shown: &BTreeSet<&PackageName>, level: usize) -> bool {
        self.dedupe
            && level < self.depth
            && shown.contains(name)
            && self.branches.contains_key(name)
    }

    fn label(&self, name: &PackageName) -> String {
        match self.packages.get(name) {
            Some(package) => format!("{name} {}", package.version),
            None => format!("{name} (not installed)"),
        }
    }

    fn how(&self, branch: &Branch<'_>) -> String {
        let Need {
            name,
            extras,
            specifier,
        } = branch.need;
        let extras = if extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", extras.join(","))
        };
        match (self.inverted, extras.as_str(), specifier.as_str()) {
            (_, "", "") => String::new(),
            (true, _, _) => format!("  requires {name}{extras}{specifier}"),
            (false, "", _) => format!("  {specifier}"),
            (false, _, _) => format!("  {extras}{specifier}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, requested: bool, requires: &[(&str, &str)]) -> GraphPackage {
        let need = |&(name, specifier): &(&str, &str)| Need {
            name: name.parse().expect("a name"),
            extras: Vec::new(),
            specifier: specifier.to_owned(),
        };
        GraphPackage {
            name: name.parse().expect("a name"),
            version: "1.0".into(),
            requested,
            requires: requires.iter().map(need).collect(),
        }
    }

    fn graph() -> DependencyGraph {
        DependencyGraph {
            requirements: Vec::new(),
            packages: vec![
                package("a", true, &[("b", ">=1"), ("c", "")]),
                package("b", false, &[("d", "<2")]),
                package("c", false, &[("d", ""), ("ghost", "")]),
                package("d", false, &[("b", "")]),
                package("lone", false, &[]),
            ],
        }
    }

    fn args(words: &[&str]) -> Args {
        use clap::{Args as _, FromArgMatches as _};
        let command = Args::augment_args(clap::Command::new("tree"));
        let words = std::iter::once("tree").chain(words.iter().copied());
        Args::from_arg_matches(&command.get_matches_from(words)).expect("they parse")
    }

    fn rendered(words: &[&str]) -> String {
        let (graph, args) = (graph(), args(words));
        Tree::new(&graph, &args).render(&args.packages)
    }

    #[test]
    fn a_tree_ends_at_rings_and_at_what_was_shown() {
        insta::assert_snapshot!(rendered(&[]), @"
        a 1.0
        ├── b 1.0  >=1
        │   └── d 1.0  <2
        │       └── b 1.0 (*)
        └── c 1.0
            ├── d 1.0 (*)
            └── ghost (not installed)
        lone 1.0
        ");
    }

    #[test]
    fn inverted_it_says_who_requires_what() {
        insta::assert_snapshot!(rendered(&["--invert", "d"]), @"
        d 1.0
        ├── b 1.0  requires d<2
        │   ├── a 1.0  requires b>=1
        │   └── d 1.0 (*)
        └── c 1.0
            └── a 1.0
        ");
    }

    #[test]
    fn depth_cuts_and_repetition_can_be_asked_for() {
        insta::assert_snapshot!(rendered(&["--depth", "1"]), @"
        a 1.0
        ├── b 1.0  >=1
        └── c 1.0
        lone 1.0
        ");
        insta::assert_snapshot!(rendered(&["c", "b", "--no-dedupe", "--depth", "2"]), @"
        c 1.0
        ├── d 1.0
        │   └── b 1.0
        └── ghost (not installed)
        b 1.0
        └── d 1.0  <2
            └── b 1.0 (*)
        ");
    }
}
