//! `pip lock`: a lock (PEP 751) for the environment's interpreter and platform.

use std::path::Path;

use super::arguments::Lock;
use super::{Target, groups, install};
use crate::cli::context::Context;
use crate::cli::pip_settings::PipSettings;
use crate::cli::whole_file;
use crate::cli::{lock, requirements, resolution};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::LockRequest;

/// Resolves anew, whatever the file at its place or the environment has.
pub(super) fn run(args: &Lock, target: &Target) -> Result<Exit, Error> {
    if args.wanted.is_empty() && args.group.is_empty() {
        return Err(Error::no(
            "You must give at least one requirement to lock (see \"pip help lock\")",
        ));
    }
    let cwd = target.context.cwd()?;
    let mut wanted = install::read(&args.wanted, cwd)?;
    for group in &args.group {
        groups::add(group, cwd, &mut wanted.set.requirements)?;
    }
    // What pip's settings say is among the words already.
    let wanted = wanted.limited(&args.resolver, PipSettings::default(), cwd)?;
    let output = (args.output != Path::new("-")).then(|| cwd.join(&args.output));
    if let Some(output) = &output
        && !lock::is_lock_name(output)
    {
        let line = format!("{} is not a valid lock file name.", args.output.display());
        target.context.printer.warn(&line);
    }
    let mut options = resolution::compute(&target.context, &args.resolver, &wanted.options)?;
    options.build.constraints = requirements::constraints(&args.build_constraint, cwd)?;
    let request = LockRequest {
        env: Some(target.env.clone()),
        python: None,
        platform: None,
        requires_python: None,
        search: Context::python_search(cwd),
        requirements: wanted.set,
        of_env: false,
        universal: false,
        choices: None,
        previous: None,
        output: output.clone(),
        upgrade: true,
        options,
        sources: target.sources(&args.sources, &wanted.sources)?,
    };
    let locked = lock::ask(&target.context, request)?;
    match output {
        Some(output) => whole_file::replace(&output, &locked.text, &target.context)?,
        None => target.context.printer.data(&locked.text)?,
    }
    Ok(Exit::Ok)
}
