//! `blast sync`: make an environment hold exactly what a file says.

use std::fs;
use std::path::{Path, PathBuf};

use blast_resolver::lock::Lock;
use blast_types::{EnvName, PackageName, pep508};

use super::bytecode::{Bytecode, BytecodeOptions};
use super::context::Context;
use super::lock;
use super::options::{DryRunOption, EnvOption, JsonOption, RequirementOptions, SourceOptions};
use super::project::{self, Parts, Project};
use super::requirements::{self, Gathered};
use super::resolution::{self, ResolverOptions};
use super::sources;
use super::{change, json_errors};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{
    Action, Change, Request, RequirementLine, RequirementSet, ResolveOptions,
};

/// The lock of a project.
pub(super) const LOCK: &str = "pylock.toml";

/// Make an environment hold exactly what a file says; what it does not name is removed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A lock, a requirements file or a pyproject.toml (default: pylock.toml of the project here,
    /// else its pyproject.toml)
    file: Option<PathBuf>,
    /// Follow a lock to the letter or not at all: one that was made for another platform, or from
    /// other requirements than the project has now, is refused rather than adapted
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    parts: PartOptions,
    #[command(flatten)]
    own: OwnOptions,
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

/// Parts of a project or lock.
#[derive(Debug, Default, Clone, PartialEq, Eq, clap::Args)]
pub(super) struct PartOptions {
    /// Include this extra of the project or lock
    #[arg(long, value_name = "EXTRA", value_delimiter = ',')]
    extra: Vec<String>,
    /// Include this dependency group, beside the default ones (`dev`, or those that `[tool.blast]`
    /// or the lock names)
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    group: Vec<String>,
    /// Take this dependency group and nothing else of the project
    #[arg(
        long,
        value_name = "GROUP",
        value_delimiter = ',',
        conflicts_with_all = ["extra", "group"]
    )]
    only_group: Vec<String>,
    /// Leave out the default dependency groups
    #[arg(long, visible_alias = "no-groups")]
    no_default_groups: bool,
}

/// Whether and how the project itself is installed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(super) struct OwnOptions {
    /// Install what the project needs, but not the project itself
    #[arg(long)]
    no_install_project: bool,
    /// Install the project itself as it is now, not so that changes of it are seen at once
    #[arg(long)]
    no_editable: bool,
}

impl OwnOptions {
    fn line(self, project: &Project, parts: &Parts) -> Option<RequirementLine> {
        if self.no_install_project {
            return None;
        }
        project.itself(parts, !self.no_editable)
    }
}

impl PartOptions {
    /// As a project takes them.
    pub(super) fn parts(&self) -> Parts {
        let only_groups = !self.only_group.is_empty();
        Parts {
            extras: self.extra.clone(),
            groups: [self.group.as_slice(), &self.only_group].concat(),
            default_groups: !self.no_default_groups && !only_groups,
            only_groups,
        }
    }

    /// Whether none was given.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a lock that was made from something else than its project says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outdated {
    /// It is renewed, and written.
    Renewed,
    /// It is renewed, and left as it is on disk.
    RenewedDry,
    /// It is refused.
    Refused,
}

/// What an environment shall hold.
#[derive(Debug)]
pub(super) enum Wanted {
    /// What a lock says.
    Lock {
        /// Where it was read.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Parts of it.
        parts: Parts,
        /// The project that it is of, where that is installed too.
        own: Option<RequirementLine>,
    },
    /// What these requirements need.
    Requirements(Gathered),
    /// A project that does not say: why.
    Unknown(&'static str),
}

/// Runs the command.
pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Error> {
    json_errors::shown(sync(args, context), args.json, context)
}

fn sync(args: &Args, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&args.env)?;
    let dry_run = args.dry_run.dry_run;
    let wanted = if let Some(file) = &args.file {
        of_file(file, &args.parts, args.own, context)?
    } else {
        let project = Project::here(context.cwd()?)?.ok_or_else(|| {
            Error::usage("there is no pyproject.toml here or above, so name a file")
                .hint("`blast sync requirements.txt` or `blast sync pylock.toml`")
        })?;
        let options = (&args.resolver, &args.sources);
        let outdated = match (args.locked, dry_run) {
            (true, _) => Outdated::Refused,
            (false, true) => Outdated::RenewedDry,
            (false, false) => Outdated::Renewed,
        };
        of_project(
            &project,
            &args.parts.parts(),
            args.own,
            options,
            outdated,
            context,
        )?
    };
    if args.locked && !matches!(wanted, Wanted::Lock { .. }) {
        return Err(Error::usage("`--locked` follows a lock, and this is none")
            .hint("make one: `blast lock`"));
    }
    let bytecode = args.bytecode.choose(context)?;
    let mut change = wanted.change(env.clone(), &args.resolver, &args.sources, dry_run, context)?;
    change.no_bytecode = bytecode == Bytecode::Off;
    if let Action::SyncLock { only_locked, .. } = &mut change.action {
        *only_locked = args.locked;
    }
    let exit = change::ask(
        context,
        Request::Change(Box::new(change)),
        (&args.env, &args.json),
        "blast revert",
    )?;
    if !dry_run {
        bytecode.await_for(env, context)?;
    }
    Ok(exit)
}

impl Wanted {
    /// The change that makes an environment hold this.
    pub(super) fn change(
        self,
        env: EnvName,
        resolver: &ResolverOptions,
        options: &SourceOptions,
        dry_run: bool,
        context: &Context,
    ) -> Result<Change, Error> {
        let change = match self {
            Self::Unknown(why) => {
                return Err(Error::usage(format!("nothing says what to install: {why}"))
                    .hint("name a lock or a requirements file: `blast sync FILE`"));
            }
            Self::Lock { path, parts, .. } if parts.only_groups => {
                return Err(Error::usage(format!(
                    "{} does not tell what only a group needs",
                    path.display()
                ))
                .hint("take the group from the project: `blast sync pyproject.toml --only-group GROUP`"));
            }
            Self::Lock {
                path,
                text,
                parts,
                own,
            } => {
                if !resolver.is_empty() {
                    context.printer.warn(format!(
                        "{} is followed as it stands: resolver options have no effect on it",
                        path.display()
                    ));
                }
                Change {
                    env,
                    action: Action::SyncLock {
                        path,
                        text,
                        extras: parts.extras,
                        groups: parts.groups,
                        default_groups: parts.default_groups,
                        only_locked: false,
                        project: own,
                    },
                    options: ResolveOptions {
                        build: resolver.build.to_request(context)?,
                        ..ResolveOptions::default()
                    },
                    sources: sources::compute(context, options, &sources::FromFiles::default())?,
                    no_bytecode: false,
                    origins: false,
                    dry_run,
                }
            }
            Self::Requirements(wanted) => {
                let wanted = wanted.limited_by(resolver, context)?.hashed()?;
                Change {
                    env,
                    options: resolution::compute(context, resolver, &wanted.options)?,
                    sources: sources::compute(context, options, &wanted.sources)?,
                    action: Action::SyncRequirements {
                        requirements: wanted.set,
                    },
                    no_bytecode: false,
                    origins: false,
                    dry_run,
                }
            }
        };
        Ok(change)
    }
}

/// What a project asks for: its lock if it has one, else its `pyproject.toml`. A lock that was
/// made from something else than the project says now is renewed first.
pub(super) fn of_project(
    project: &Project,
    parts: &Parts,
    own: OwnOptions,
    options: (&ResolverOptions, &SourceOptions),
    outdated: Outdated,
    context: &Context,
) -> Result<Wanted, Error> {
    let path = project.root.join(LOCK);
    if !path.is_file() {
        return requirements_of(project, parts, own);
    }
    let mut text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    let missing = missing_from_lock(project, &text);
    // A lock that cannot be read is refused when it is followed.
    let lock = Lock::parse(&text).ok();
    let is_ours = lock
        .as_ref()
        .and_then(|lock| lock.made_from.as_ref())
        .is_some_and(|made_from| made_from.requirements.is_some());
    let is_current = match &lock {
        Some(lock) if project.unknown_dependencies().is_none() => project.is_locked_by(lock)?,
        _ => true,
    };
    if !is_current && outdated == Outdated::Refused {
        let file = project::FILE;
        let message = format!("{file} asks for something else than {LOCK} holds");
        return Err(Error::no(message).hint("renew it: `blast lock`"));
    } else if !is_current {
        let dry_run = outdated == Outdated::RenewedDry;
        text = lock::renew(project, (&path, text), options, dry_run, context)?;
    } else if !is_ours && !missing.is_empty() {
        context.printer.warn(format!(
            "{LOCK} lacks what {} asks for: {}; run `blast lock` to renew it",
            project::FILE,
            missing.join(", ")
        ));
    }
    Ok(Wanted::Lock {
        path,
        text,
        parts: parts.clone(),
        own: own.line(project, parts),
    })
}

fn requirements_of(project: &Project, parts: &Parts, own: OwnOptions) -> Result<Wanted, Error> {
    let own = own.line(project, parts);
    if let Some(why) = project.unknown_dependencies()
        && own.is_none()
    {
        return Ok(Wanted::Unknown(why));
    }
    let mut requirements = project.requirements(parts)?;
    requirements.extend(own);
    let set = RequirementSet { requirements };
    Ok(Wanted::Requirements(Gathered::of(set)))
}

fn of_file(
    file: &Path,
    parts: &PartOptions,
    own: OwnOptions,
    context: &Context,
) -> Result<Wanted, Error> {
    let path = context.cwd()?.join(file);
    if path.file_name().is_some_and(|name| name == project::FILE) {
        let root = path.parent().unwrap_or(Path::new("/"));
        let project = Project::load(root)?
            .ok_or_else(|| Error::usage(format!("there is no {}", path.display())))?;
        return requirements_of(&project, &parts.parts(), own);
    }
    let text = fs::read_to_string(&path).map_err(|error| Error::io("read", &path, &error))?;
    if is_lock(&path, &text) {
        return Ok(Wanted::Lock {
            path,
            text,
            parts: parts.parts(),
            own: None,
        });
    }
    if !parts.is_empty() {
        return Err(Error::usage(format!(
            "{} is a requirements file: it has no extras and groups to choose from",
            path.display()
        )));
    }
    let options = RequirementOptions {
        requirement_files: vec![file.to_owned()],
        ..Default::default()
    };
    Ok(Wanted::Requirements(requirements::gather(
        &options,
        context.cwd()?,
    )?))
}

/// A lock is told by its name (`pylock.toml`, `pylock.dev.toml`) or by the key it must have.
fn is_lock(path: &Path, text: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml")
        || text.lines().any(|line| {
            line.strip_prefix("lock-version")
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        })
}

/// Direct dependencies that a lock does not name. A lock that cannot be read names none here: the
/// daemon will say what is wrong with it.
fn missing_from_lock(project: &Project, lock: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Lock {
        #[serde(default)]
        packages: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: PackageName,
    }
    let Ok(lock) = toml::from_str::<Lock>(lock) else {
        return Vec::new();
    };
    let parts = Parts {
        default_groups: false,
        ..Parts::default()
    };
    let Ok(wanted) = project.requirements(&parts) else {
        return Vec::new();
    };
    wanted
        .iter()
        .filter_map(|line| pep508::requirement(&line.text).ok())
        // One for other platforms only need not be there.
        .filter(|requirement| requirement.marker.is_true())
        .map(|requirement| requirement.name)
        .filter(|name| !lock.packages.iter().any(|package| package.name == *name))
        .map(|name| name.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_by_name_or_key() {
        assert!(is_lock(Path::new("/x/pylock.dev.toml"), ""));
        assert!(is_lock(
            Path::new("/x/lock"),
            "# made by\nlock-version = '1.0'\n"
        ));
        assert!(!is_lock(
            Path::new("/x/requirements.txt"),
            "lock-versions==1\n"
        ));
    }

    #[test]
    fn a_lock_that_lacks_a_dependency_is_noticed() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let text = "[project]\nname='a'\ndependencies=['Flask', 'six', 'win; os_name==\"nt\"']";
        fs::write(folder.path().join(project::FILE), text).expect("written");
        let project = Project::load(folder.path()).expect("valid").expect("there");
        let lock = "lock-version='1.0'\n[[packages]]\nname='flask'\n";
        assert_eq!(missing_from_lock(&project, lock), ["six"]);
        assert!(missing_from_lock(&project, "nonsense").is_empty());
    }
}
