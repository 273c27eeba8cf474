//! `blast add`: write requirements into the project here, renew its lock if it has one, and install
//! them.
//!
//! Files and environment change together or not at all: everything is resolved before a byte is
//! written, the files are replaced whole, and if the environment cannot follow they get back what
//! they held. A command that dies in between has written down what it meant ([`crate::cli::intent`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

use blast_resolver::lock::Lock;
use blast_types::{
    EnvName, ExtraName, GroupName, PackageName, Requirement, Version, VersionOrUrl, pep508,
    versions,
};
use serde::Serialize;

use super::bytecode::{Bytecode, BytecodeOptions};
use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption, RequirementOptions, SourceOptions};
use super::project::{self, Local, Project};
use super::project_files::Files;
use super::requirements::{self, Gathered};
use super::resolution::{self, ResolverOptions};
use super::{install, json_errors, sources};
use crate::convert::edit::Place;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Reply, Request, RequirementLine, RequirementSet};

/// Add requirements to the project here, and install them
///
/// Writes them into `pyproject.toml`, renews `pylock.toml` if there is one, and installs what is
/// new into the environment. One without a version gets the present one as its lower bound.
/// Where there is no project they are installed and nothing is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Requirements (`flask`, `"flask>=3"`, `pkg[extra]`, `"name @ URL"`), and projects and wheels here (`./lib`)
    #[arg(
        value_name = "REQUIREMENT",
        required_unless_present_any = ["requirement_files", "editable"]
    )]
    requirements: Vec<String>,
    /// Take the requirements of this file as well (`-` reads the standard input)
    #[arg(
        short,
        long = "requirements",
        visible_alias = "requirement",
        value_name = "FILE"
    )]
    requirement_files: Vec<PathBuf>,
    /// Write them into this dependency group
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["dev", "optional"])]
    group: Option<GroupName>,
    /// Write them into the dependency group `dev`
    #[arg(long, conflicts_with = "optional")]
    dev: bool,
    /// Write them into this extra
    #[arg(long, value_name = "EXTRA")]
    optional: Option<ExtraName>,
    /// Install the projects of these paths so that changes of their sources count at once
    #[arg(short, long = "editable", value_name = "PATH")]
    editable: Vec<String>,
    /// Write them down without installing them
    #[arg(long, conflicts_with_all = ["env", "BytecodeOptions"])]
    no_sync: bool,
    #[command(flatten)]
    env: EnvOption,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    resolver: ResolverOptions,
    #[command(flatten)]
    sources: SourceOptions,
    #[command(flatten)]
    bytecode: BytecodeOptions,
}

impl Args {
    fn place(&self) -> Option<Place> {
        if let Some(name) = &self.group {
            return Some(Place::Group(name.clone()));
        }
        if self.dev {
            return Some(Place::Group("dev".parse().ok()?));
        }
        self.optional.clone().map(Place::Extra)
    }

    fn wanted(&self) -> RequirementOptions {
        RequirementOptions {
            requirements: self.requirements.clone(),
            requirement_files: self.requirement_files.clone(),
            editable: self.editable.clone(),
        }
    }
}

/// What was written down, as JSON.
#[derive(Debug, Serialize)]
struct WrittenDown<'a> {
    /// The requirements as they are written down.
    added: Vec<String>,
    group: Option<&'a GroupName>,
    extra: Option<&'a ExtraName>,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    let json = args.json;
    json_errors::shown(add(args, context), json, context)
}

fn add(args: Args, context: &Context) -> Result<Exit, Error> {
    let Some(root) = Project::root_of(context.cwd()?) else {
        return without_project(args, context);
    };
    let gathered = requirements::gather(&args.wanted(), context.cwd()?)?
        .limited_by(&args.resolver, context)?;
    let project = Project::load(&root)?.ok_or_else(|| {
        Error::internal(format!("{} is gone", root.join(project::FILE).display()))
    })?;
    let (mut named, mut locals) = (Vec::new(), BTreeMap::new());
    for line in &gathered.set.requirements {
        if let Some((requirement, local)) = local(line)? {
            if local.place == root {
                return Err(Error::usage("a project does not require itself")
                    .hint("`blast sync` installs it, where it says how it is built"));
            }
            locals.insert(requirement.name.clone(), local);
            named.push(requirement);
        } else {
            let requirement = self::named(line)?;
            // What the project takes from a place stays from there.
            if let Some(local) = project.local(&requirement)? {
                locals.insert(requirement.name.clone(), local);
            }
            named.push(requirement);
        }
    }
    let env = (!args.no_sync)
        .then(|| context.env(&args.env))
        .transpose()?;
    let dry_run = args.dry_run.dry_run;
    let place = args.place().unwrap_or(Place::Dependencies);
    let files = Files::read(root)?;
    let options = (&args.resolver, &args.sources);

    let mut after = files.with(&place, (&named, &locals), options, context)?;
    let mut known = match (&after.lock, &env) {
        (Some(lock), _) => locked_versions(&lock.text),
        (None, Some(env)) => installed_versions(&args, env, &gathered, (&named, &locals), context)?,
        (None, None) => BTreeMap::new(),
    };
    // A place has the version that it has.
    known.retain(|name, _| !locals.contains_key(name));
    if bound_below(&mut named, &known)? {
        after = files.with(&place, (&named, &locals), options, context)?;
    }
    let bytecode = args.bytecode.choose(context)?;
    let change = env.clone().map(|env| {
        let mut change = installing(&args, env, &gathered, (&named, &locals), context)?;
        if let Some(lock) = &after.lock {
            change.options.constraints.extend(pins(&lock.text));
        }
        change.dry_run = dry_run;
        change.no_bytecode = bytecode == Bytecode::Off;
        Ok::<_, Error>(change)
    });
    let how = (dry_run, args.env.env.as_ref());
    let done = files.replaced_by(&after, change.transpose()?, dry_run, context)?;
    if args.json.json {
        let written = WrittenDown {
            added: named.iter().map(ToString::to_string).collect(),
            group: match &place {
                Place::Group(name) => Some(name),
                Place::Dependencies | Place::Extra(_) => None,
            },
            extra: match &place {
                Place::Extra(name) => Some(name),
                Place::Dependencies | Place::Group(_) => None,
            },
        };
        done.json(&files, &written, dry_run, context)?;
    } else {
        done.report(&after, how, context)?;
        say_added(&named, &place, dry_run, context);
    }
    if let (Some(env), false) = (env, dry_run) {
        bytecode.await_for(env, context)?;
    }
    Ok(Exit::Ok)
}

/// Says what was written down, and how to undo it.
fn say_added(named: &[Requirement], place: &Place, dry_run: bool, context: &Context) {
    let packages: Vec<_> = named
        .iter()
        .map(|requirement| requirement.name.as_str())
        .collect();
    let texts: Vec<_> = named
        .iter()
        .map(|requirement| format!("`{requirement}`"))
        .collect();
    let texts = texts.join(", ");
    let file = project::FILE;
    context.printer.say(match (dry_run, place) {
        (true, _) => format!("would add {texts} to {file}, {place}"),
        (false, _) => format!(
            "added {texts} to {file}, {place}; `blast remove {}` takes it out again",
            packages.join(" ")
        ),
    });
}

/// Nothing to write into: what is left is to install.
fn without_project(args: Args, context: &Context) -> Result<Exit, Error> {
    if args.place().is_some() || args.no_sync {
        return Err(Error::usage(format!(
            "there is no {} here or above to write into",
            project::FILE
        ))
        .hint("make one: `blast init`")
        .hint("or install only: `blast install REQUIREMENT`"));
    }
    let install = install::Args {
        wanted: args.wanted(),
        group: Vec::new(),
        upgrade: false,
        no_deps: false,
        env: args.env,
        dry_run: args.dry_run,
        json: args.json,
        resolver: args.resolver,
        sources: args.sources,
        bytecode: args.bytecode,
    };
    install::run(&install, context)
}

/// A line that is a path, as a requirement and where it is.
fn local(line: &RequirementLine) -> Result<Option<(Requirement, Local)>, Error> {
    let place = url::Url::parse(&line.text).ok().filter(|_| line.unnamed);
    let Some(place) = place.and_then(|url| url.to_file_path().ok()) else {
        return Ok(None);
    };
    if !place.exists() {
        return Err(Error::usage(format!("{} is not there", place.display())));
    }
    let name = if place.is_dir() {
        let project = Project::load(&place)?;
        project.and_then(|project| Some(project.name()?.to_owned()))
    } else {
        // NAME-VERSION-…, as the specification of wheels has it.
        let is_wheel = place.extension().is_some_and(|end| end == "whl");
        let file = place.file_name().and_then(|name| name.to_str());
        let (name, _) = file
            .filter(|_| is_wheel)
            .and_then(|name| name.split_once('-'))
            .unzip();
        name.map(str::to_owned)
    };
    let Some(name) = name.and_then(|name| name.parse().ok()) else {
        let message = format!("{} does not say by what name it is called", place.display());
        return Err(Error::usage(message).hint("name it: `blast add \"NAME @ URL\"`"));
    };
    let extras: Result<Vec<ExtraName>, _> = line.extras.iter().map(|extra| extra.parse()).collect();
    let requirement = Requirement {
        name,
        extras: extras
            .map_err(|error| Error::usage(error.to_string()))?
            .into(),
        version_or_url: None,
        marker: blast_types::MarkerTree::default(),
        origin: None,
    };
    let editable = line.editable;
    Ok(Some((requirement, Local { place, editable })))
}

/// A line as something that can be written down for others.
fn named(line: &RequirementLine) -> Result<Requirement, Error> {
    if line.unnamed || line.editable {
        let message = format!("`{}` says where something is, not what", line.text);
        return Err(Error::usage(message).hint("name it: `blast add \"NAME @ URL\"`"));
    }
    pep508::requirement(&line.text).map_err(|error| {
        Error::usage(format!("`{}` is no requirement", line.text)).caused_by(&error)
    })
}

/// Gives requirements without versions a lower bound; whether there was one to give.
fn bound_below(
    named: &mut [Requirement],
    known: &BTreeMap<PackageName, Version>,
) -> Result<bool, Error> {
    let mut changed = false;
    for requirement in named {
        let Some(version) = known.get(&requirement.name) else {
            continue;
        };
        if requirement.version_or_url.is_none() {
            // A local part is that of one build, and `>=` must not have one.
            let text = format!(">={}", version.clone().without_local());
            let bound =
                versions::specifiers(&text).map_err(|error| Error::internal(error.to_string()))?;
            requirement.version_or_url = Some(VersionOrUrl::VersionSpecifier(bound));
            changed = true;
        }
    }
    Ok(changed)
}

/// The oldest version of each package in a lock.
fn locked_versions(lock: &str) -> BTreeMap<PackageName, Version> {
    let mut found = BTreeMap::<PackageName, Version>::new();
    for package in Lock::parse(lock).into_iter().flat_map(|lock| lock.packages) {
        let Some(version) = package.version else {
            continue;
        };
        let oldest = found.entry(package.name).or_insert_with(|| version.clone());
        *oldest = version.min(oldest.clone());
    }
    found
}

/// Constraints to what a lock has; a package that it has once has that version everywhere.
fn pins(lock: &str) -> Vec<String> {
    let Ok(lock) = Lock::parse(lock) else {
        return Vec::new();
    };
    let mut pins = Vec::new();
    for package in &lock.packages {
        let mut same = lock
            .packages
            .iter()
            .filter(|other| other.name == package.name);
        if let (Some(_), None, Some(version)) = (same.next(), same.next(), &package.version) {
            pins.push(format!("{}=={version}", package.name));
        }
    }
    pins
}

/// The versions that the environment has or would get.
fn installed_versions(
    args: &Args,
    env: &EnvName,
    gathered: &Gathered,
    asked: (&[Requirement], &BTreeMap<PackageName, Local>),
    context: &Context,
) -> Result<BTreeMap<PackageName, Version>, Error> {
    let Reply::Packages { packages } = context.ask(Request::List { env: env.clone() })? else {
        return Err(Error::unexpected_reply());
    };
    let now = packages
        .into_iter()
        .map(|package| (package.name, package.version));
    let mut change = installing(args, env.clone(), gathered, asked, context)?;
    change.dry_run = true;
    let Reply::Changed(outcome) = context.ask(Request::Change(Box::new(change)))? else {
        return Err(Error::unexpected_reply());
    };
    let then = outcome.changes.into_iter();
    let then = then.filter_map(|change| Some((change.name, change.after?)));
    Ok(now
        .chain(then)
        .filter_map(|(name, version)| Some((name.parse().ok()?, versions::version(&version).ok()?)))
        .collect())
}

/// Installing the requirements into an environment.
fn installing(
    args: &Args,
    env: EnvName,
    gathered: &Gathered,
    (named, locals): (&[Requirement], &BTreeMap<PackageName, Local>),
    context: &Context,
) -> Result<Change, Error> {
    let mut lines = Vec::new();
    for (line, requirement) in gathered.set.requirements.iter().zip(named) {
        let local = locals.get(&requirement.name);
        let located = local.map(|local| local.located(requirement)).transpose()?;
        lines.push(RequirementLine {
            text: located.as_ref().unwrap_or(requirement).to_string(),
            unnamed: false,
            editable: local.is_some_and(|local| local.editable),
            ..line.clone()
        });
    }
    Ok(Change {
        env,
        options: resolution::compute(context, &args.resolver, &gathered.options)?,
        sources: sources::compute(context, &args.sources, &gathered.sources)?,
        action: Action::Install {
            requirements: RequirementSet {
                requirements: lines,
            },
            upgrade: false,
            no_deps: false,
        },
        no_bytecode: false,
        origins: false,
        dry_run: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_version_gets_a_lower_bound() {
        let parse = |text| pep508::requirement(text).expect("valid");
        let mut named = [parse("a[x] ; os_name == 'nt'"), parse("b<2"), parse("c")];
        let version = versions::version("1.2+cpu").expect("valid");
        let known = ["a", "b"].map(|name| (name.parse().expect("a name"), version.clone()));
        assert!(bound_below(&mut named, &BTreeMap::from(known)).expect("valid"));
        let texts = named.map(|requirement| requirement.to_string());
        assert_eq!(texts, ["a[x]>=1.2 ; os_name == 'nt'", "b<2", "c"]);
    }
}
