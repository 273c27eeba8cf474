//! `pip index versions`.

use blast_types::PackageName;
use serde_json::json;

use super::Target;
use super::arguments::Versions;
use crate::cli::pip_settings::PipSettings;
use crate::cli::requirements::Gathered;
use crate::cli::resolution;
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{Reply, Request, VersionsRequest};

/// Which versions of a package could be installed, and which is.
pub(super) fn run(args: &Versions, target: &Target) -> Result<Exit, Error> {
    let name = &args.package;
    let none = || Error::no(format!("No matching distribution found for {name}"));
    let package: PackageName = name.parse().map_err(|_| none())?;
    let limits = Gathered::default().limited(
        &args.resolver,
        PipSettings::default(),
        target.context.cwd()?,
    )?;
    let request = VersionsRequest {
        env: target.env.clone(),
        package: package.clone(),
        options: resolution::compute(&target.context, &args.resolver, &limits.options)?,
        sources: target.sources(&args.sources, &limits.sources)?,
    };
    let Reply::Versions { versions } = target.context.ask(Request::Versions(Box::new(request)))?
    else {
        return Err(Error::unexpected_reply());
    };
    let latest = versions.first().ok_or_else(none)?;
    let installed = target.installed()?;
    let installed = installed.iter().find(|dist| dist.key == package);
    let text = if args.json {
        let mut told = json!({"name": name, "versions": versions, "latest": latest});
        if let Some(installed) = installed {
            told["installed_version"] = json!(installed.version);
        }
        told.to_string() + "\n"
    } else {
        let here = match installed {
            None => String::new(),
            Some(dist) if dist.version == *latest => format!("  INSTALLED: {latest} (latest)\n"),
            Some(dist) => format!("  INSTALLED: {}\n  LATEST:    {latest}\n", dist.version),
        };
        let versions = versions.join(", ");
        format!("{name} ({latest})\nAvailable versions: {versions}\n{here}")
    };
    target.context.printer.data(&text)?;
    Ok(Exit::Ok)
}
