//! `pip install`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blast_types::{PackageName, Requirement, VersionOrUrl, pep508, versions};

use super::arguments::{Choice, Elsewhere, Install, UpgradeStrategy};
use super::installed::{self, Distribution};
use super::{Target, VERSION, groups, report};
use crate::cli::pip_settings::PipSettings;
use crate::cli::requirements::Gathered;
use crate::cli::{requirements, resolution};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{
    Action, Change, Changed, FolderLayout, InstallTo, Reply, Request, RequirementLine,
    ResolveOptions,
};

/// Installs, in one operation.
pub(super) fn run(args: &Install, target: &Target) -> Result<Exit, Error> {
    refuse_elsewhere(&args.elsewhere)?;
    if args.upgrade_strategy == Some(UpgradeStrategy::Eager) {
        return Err(Error::usage(
            "--upgrade-strategy=eager is not supported: what is installed stays unless it must move",
        )
        .hint("`blast update` brings everything to its newest version"));
    }
    if args.wanted.is_empty() && args.choice.group.is_empty() {
        return Err(Error::no(
            "You must give at least one requirement to install (see \"pip help install\")",
        ));
    }
    let mut wanted = gather(&args.wanted, &args.choice, target)?;
    if let Some(folder) = folder(&args.elsewhere, target)? {
        return into_folder(&folder, args, wanted, target);
    }
    let own = already_pip(&mut wanted);
    let asked: Vec<String> = wanted
        .set
        .requirements
        .iter()
        .filter(|line| !line.unnamed)
        .map(|line| line.text.clone())
        .collect();
    if let Some(text) = own {
        let site = target.site()?;
        target.tell(format!(
            "Requirement already satisfied: {text} in {} ({VERSION})",
            site.display()
        ))?;
        if wanted.set.requirements.is_empty() {
            if let Some(path) = &args.report {
                report::of_nothing(path, target)?;
            }
            return Ok(Exit::Ok);
        }
    }
    let (options, sources) = chosen(&args.choice, &wanted, target)?;
    let again = args.report.is_some() && args.dry_run;
    let again = again.then(|| (wanted.set.clone(), options.clone(), sources.clone()));
    let change = Change {
        env: target.env.clone(),
        options,
        sources,
        action: Action::Install {
            requirements: wanted.set,
            upgrade: args.upgrade || args.force_reinstall || args.ignore_installed,
            no_deps: args.choice.no_deps,
        },
        no_bytecode: args.no_compile,
        origins: args.report.is_some(),
        dry_run: args.dry_run,
    };
    let Reply::Changed(changed) = target.context.ask(Request::Change(Box::new(change)))? else {
        return Err(Error::unexpected_reply());
    };
    tell(&asked, &changed, target)?;
    if let Some(path) = &args.report {
        report::write(path, &changed, again, target)?;
    }
    Ok(Exit::Ok)
}

/// A folder to install into, and what goes where in it.
struct Folder {
    path: PathBuf,
    layout: FolderLayout,
    /// Where its modules are.
    modules: PathBuf,
}

/// The folder that `--target`, `--prefix` or `--root` means: a prefix is below the root, and where none is named, it is
/// that of the environment.
fn folder(elsewhere: &Elsewhere, target: &Target) -> Result<Option<Folder>, Error> {
    let cwd = target.context.cwd()?;
    // Without `.` on the way.
    let absolute = |path: &Path| cwd.join(path).components().collect::<PathBuf>();
    if let Some(path) = elsewhere.target.as_deref().map(absolute) {
        return Ok(Some(Folder {
            modules: path.clone(),
            layout: FolderLayout::Modules,
            path,
        }));
    }
    let Elsewhere { prefix, root, .. } = elsewhere;
    if prefix.is_none() && root.is_none() {
        return Ok(None);
    }
    let place = target.place()?;
    let mut path = match prefix {
        Some(prefix) => absolute(prefix),
        None => place.prefix.clone(),
    };
    if let Some(root) = root {
        let below = path.strip_prefix("/").unwrap_or(&path);
        path = absolute(root).join(below);
    }
    Ok(Some(Folder {
        modules: path.join(&place.site_packages),
        layout: FolderLayout::Prefix,
        path,
    }))
}

/// Into a folder, which is new or empty. What is installed does not matter, and stays.
fn into_folder(
    folder: &Folder,
    args: &Install,
    wanted: Gathered,
    target: &Target,
) -> Result<Exit, Error> {
    if args.report.is_some() {
        return Err(
            Error::usage("--report does not go with --target, --prefix and --root")
                .hint("leave them out: `pip install --dry-run --report FILE …`"),
        );
    }
    let (options, sources) = chosen(&args.choice, &wanted, target)?;
    let change = Change {
        env: target.env.clone(),
        options,
        sources,
        action: Action::Install {
            requirements: wanted.set,
            upgrade: true,
            no_deps: args.choice.no_deps,
        },
        no_bytecode: true,
        origins: false,
        dry_run: args.dry_run,
    };
    let request = Request::InstallTo(Box::new(InstallTo {
        change,
        to: folder.path.clone(),
        layout: folder.layout,
    }));
    let Reply::Changed(changed) = target.context.ask(request)? else {
        return Err(Error::unexpected_reply());
    };
    let there = if changed.dry_run {
        Vec::new()
    } else {
        installed::all(&folder.modules)?
    };
    let shown = |name: &str| {
        let dist = there.iter().find(|dist| dist.key.as_ref() == name);
        dist.map_or_else(|| name.to_owned(), |dist| dist.name.clone())
    };
    tell_news(&changed, shown, target)?;
    Ok(Exit::Ok)
}

/// pip's last line: what is there now that was not, by the names that these have there.
fn tell_news(
    changed: &Changed,
    shown: impl Fn(&str) -> String,
    target: &Target,
) -> Result<(), Error> {
    let came = changed.changes.iter().filter_map(|change| {
        let version = change.after.as_ref()?;
        Some(format!("{}-{version}", shown(&change.name)))
    });
    let news: Vec<String> = came.collect();
    if news.is_empty() {
        return Ok(());
    }
    let did = if changed.dry_run {
        "Would install"
    } else {
        "Successfully installed"
    };
    target.tell(format!("{did} {}", news.join(" ")))
}

fn refuse_elsewhere(elsewhere: &Elsewhere) -> Result<(), Error> {
    if elsewhere.user {
        return Err(Error::no(
            "Can not perform a '--user' install. User site-packages are not visible in this \
             virtualenv.",
        ));
    }
    Ok(())
}

/// What was asked for, read as blast's own commands read it.
pub(super) fn gather(
    wanted: &crate::cli::options::RequirementOptions,
    choice: &Choice,
    target: &Target,
) -> Result<Gathered, Error> {
    if choice.prefer_binary {
        target.context.printer.warn(
            "--prefer-binary has no effect here: of one version a wheel is taken where there is one",
        );
    }
    let cwd = target.context.cwd()?;
    let mut gathered = read(wanted, cwd)?;
    for group in &choice.group {
        groups::add(group, cwd, &mut gathered.set.requirements)?;
    }
    // What pip's settings say is among the words already.
    let gathered = gathered.limited(&choice.resolver, PipSettings::default(), cwd)?;
    let bare = |line: &&RequirementLine| choice.require_hashes && line.hashes.is_empty();
    if let Some(bare) = gathered.set.requirements.iter().find(bare) {
        return Err(Error::no(format!(
            "`{}` has no hash, and --require-hashes asks for one of each",
            bare.text
        )));
    }
    Ok(gathered)
}

/// What words and files say. A file that is missing is an answer to pip, and no misuse.
pub(super) fn read(
    wanted: &crate::cli::options::RequirementOptions,
    cwd: &Path,
) -> Result<Gathered, Error> {
    let missing = |path: &&PathBuf| path.as_os_str() != "-" && !cwd.join(path).exists();
    if let Some(path) = wanted.requirement_files.iter().find(missing) {
        return Err(Error::no(format!(
            "Could not open requirements file: [Errno 2] No such file or directory: '{}'",
            path.display()
        )));
    }
    requirements::gather(wanted, cwd)
}

/// How and from where, in the daemon's terms.
pub(super) fn chosen(
    choice: &Choice,
    wanted: &Gathered,
    target: &Target,
) -> Result<(ResolveOptions, blast_index::Sources), Error> {
    let mut options = resolution::compute(&target.context, &choice.resolver, &wanted.options)?;
    options.build.constraints =
        requirements::constraints(&choice.build_constraint, target.context.cwd()?)?;
    Ok((options, target.sources(&choice.sources, &wanted.sources)?))
}

/// Takes out a requirement on pip that the shim meets, which is not installed to be replaced in passing
/// by `pip install --upgrade pip`. Answers with its text. Where it is not met, pip itself is wanted.
fn already_pip(wanted: &mut Gathered) -> Option<String> {
    let version = versions::version(VERSION).ok()?;
    let is_met = |line: &RequirementLine| {
        let Ok(requirement) = pep508::requirement(&line.text) else {
            return false;
        };
        requirement.name.as_ref() == "pip"
            && match &requirement.version_or_url {
                None => true,
                Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(&version),
                Some(VersionOrUrl::Url(_)) => false,
            }
    };
    let all = &mut wanted.set.requirements;
    let at = all.iter().position(|line| !line.unnamed && is_met(line))?;
    let text = all.remove(at).text;
    all.retain(|line| line.unnamed || !is_met(line));
    Some(text)
}

/// pip's last lines.
fn tell(asked: &[String], changed: &Changed, target: &Target) -> Result<(), Error> {
    let installed: BTreeMap<PackageName, Distribution> = target
        .installed()?
        .into_iter()
        .map(|dist| (dist.key.clone(), dist))
        .collect();
    let site = target.site()?;
    let moved = |name: &str| changed.changes.iter().any(|change| change.name == name);
    let asked: Vec<Requirement> = asked
        .iter()
        .filter_map(|text| pep508::requirement(text).ok())
        .collect();
    for requirement in &asked {
        if let Some(there) = installed.get(&requirement.name)
            && !moved(requirement.name.as_ref())
        {
            target.tell(format!(
                "Requirement already satisfied: {requirement} in {} ({})",
                site.display(),
                there.version
            ))?;
        }
    }
    let shown = |name: &str| {
        let dist = name.parse().ok().and_then(|key| installed.get(&key));
        dist.map_or_else(|| name.to_owned(), |dist| dist.name.clone())
    };
    if !changed.dry_run {
        for change in &changed.changes {
            if let Some(before) = &change.before {
                target.tell(format!(
                    "  Successfully uninstalled {}-{before}",
                    shown(&change.name)
                ))?;
            }
        }
    }
    tell_news(changed, shown, target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::protocol::RequirementSet;

    #[test]
    fn pip_is_there_unless_another_version_is_asked_for() {
        let of = |texts: &[&str]| {
            let requirements = texts.iter().map(|text| RequirementLine {
                text: (*text).to_owned(),
                hashes: Vec::new(),
                origin: None,
                editable: false,
                unnamed: false,
                extras: Vec::new(),
            });
            let mut wanted = Gathered::of(RequirementSet {
                requirements: requirements.collect(),
            });
            let met = already_pip(&mut wanted);
            (met, wanted.set.requirements.len())
        };
        assert_eq!(of(&["flask", "pip"]), (Some("pip".to_owned()), 1));
        assert_eq!(of(&["pip>=20", "pip"]), (Some("pip>=20".to_owned()), 0));
        assert_eq!(of(&["pip==19.0"]), (None, 1));
        assert_eq!(of(&["pip-tools"]), (None, 1));
    }
}
