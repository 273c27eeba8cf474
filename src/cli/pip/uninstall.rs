//! `pip uninstall`.

use std::io::{self, BufRead as _, IsTerminal as _};

use blast_types::{PackageName, pep508};

use super::arguments::Uninstall;
use super::{Target, install};
use crate::cli::options::{RequirementOptions, SourceOptions};
use crate::cli::sources;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Action, Change, Reply, Request, ResolveOptions};

/// Uninstalls, in one operation, with what only the packages named needed. Names that are not
/// installed are warned of and passed over, as pip does.
pub(super) fn run(args: &Uninstall, no_input: bool, target: &Target) -> Result<Exit, Error> {
    let printer = target.context.printer;
    let installed = target.installed()?;
    let mut packages = Vec::new();
    for name in names(args, target)? {
        match installed.iter().find(|dist| dist.key == name) {
            Some(dist) => packages.push(dist),
            None if name.as_ref() == "pip" => printer.say(
                "WARNING: pip of this environment is blast's, and there is nothing to uninstall",
            ),
            None => printer.say(format!("WARNING: Skipping {name} as it is not installed.")),
        }
    }
    if packages.is_empty() {
        return Ok(Exit::Ok);
    }
    for dist in &packages {
        target.tell(format!(
            "Found existing installation: {} {}",
            dist.name, dist.version
        ))?;
    }
    if !args.yes && !agreed(no_input, target)? {
        return Ok(Exit::Ok);
    }
    let change = Change {
        env: target.env.clone(),
        action: Action::Remove {
            packages: packages.iter().map(|dist| dist.key.to_string()).collect(),
        },
        options: ResolveOptions::default(),
        sources: sources::compute(
            &target.context,
            &SourceOptions::default(),
            &sources::FromFiles::default(),
        )?,
        no_bytecode: false,
        origins: false,
        dry_run: false,
    };
    let Reply::Changed(changed) = target.context.ask(Request::Change(Box::new(change)))? else {
        return Err(Error::unexpected_reply());
    };
    for change in &changed.changes {
        let name = installed
            .iter()
            .find(|dist| dist.key.as_ref() == change.name)
            .map_or(change.name.as_str(), |dist| dist.name.as_str());
        if let (Some(before), None) = (&change.before, &change.after) {
            target.tell(format!("Successfully uninstalled {name}-{before}"))?;
        }
    }
    Ok(Exit::Ok)
}

/// What is named, by words and in files.
fn names(args: &Uninstall, target: &Target) -> Result<Vec<PackageName>, Error> {
    let files = RequirementOptions {
        requirement_files: args.requirement_files.clone(),
        ..RequirementOptions::default()
    };
    let gathered = install::read(&files, target.context.cwd()?)?;
    let texts = args.packages.iter().map(String::as_str).chain(
        gathered
            .set
            .requirements
            .iter()
            .filter(|line| !line.unnamed)
            .map(|line| line.text.as_str()),
    );
    let names = texts
        .map(|text| {
            let requirement = pep508::requirement(text);
            requirement
                .map(|requirement| requirement.name)
                .map_err(|error| {
                    Error::no(format!("Invalid requirement: '{text}'")).caused_by(&error)
                })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(Error::no(
            "You must give at least one requirement to uninstall (see \"pip help uninstall\")",
        ));
    }
    Ok(names)
}

fn agreed(no_input: bool, target: &Target) -> Result<bool, Error> {
    if no_input || !io::stdin().is_terminal() {
        return Err(Error::no("nobody can be asked whether to proceed").hint("say `--yes`"));
    }
    target.context.printer.data("Proceed (Y/n)? ")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::internal("cannot read the answer").caused_by(&error))?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}
