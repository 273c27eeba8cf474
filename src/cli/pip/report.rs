//! `pip install --report`: what was installed, or would be, as pip's installation report (version 1).
//!
//! What is installed describes itself in the environment. What only would be is fetched for that, as wheels, and thrown
//! away again.

use std::path::Path;

use blast_index::Sources;
use blast_index::wheel::WheelArchive;
use blast_types::{PackageName, VersionOrUrl, pep508};
use serde_json::{Value, json};

use super::installed::Distribution;
use super::show::metadata;
use super::{Target, VERSION};
use crate::cli::whole_file;
use crate::error::Error;
use crate::ipc::protocol::{
    Changed, Fetch, Origin, Reply, Request, RequirementLine, RequirementSet, ResolveOptions,
};

/// How to ask once more for what a dry run found.
pub(super) type Asked = (RequirementSet, ResolveOptions, Sources);

/// Writes the report of a change; of one that was not made if `asked` is there.
pub(super) fn write(
    path: &Path,
    changed: &Changed,
    asked: Option<Asked>,
    target: &Target,
) -> Result<(), Error> {
    let described = match asked {
        None => target.installed()?,
        Some(asked) if !changed.origins.is_empty() => fetched(changed, asked, target)?,
        Some(_) => Vec::new(),
    };
    let install = changed
        .origins
        .iter()
        .map(|origin| entry(origin, &described))
        .collect::<Result<Vec<_>, _>>()?;
    put(path, &install, target)
}

/// Writes the report of an installation that had nothing to do.
pub(super) fn of_nothing(path: &Path, target: &Target) -> Result<(), Error> {
    put(path, &[], target)
}

fn put(path: &Path, install: &[Value], target: &Target) -> Result<(), Error> {
    let report = json!({
        "version": "1",
        "pip_version": VERSION,
        "install": install,
        "environment": target.markers()?,
    });
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::internal("cannot write JSON").caused_by(&error))?;
    if path == Path::new("-") {
        return target.context.printer.data(&(text + "\n"));
    }
    whole_file::replace(&target.context.cwd()?.join(path), &text, &target.context)
}

fn entry(origin: &Origin, described: &[Distribution]) -> Result<Value, Error> {
    let found = described.iter().find(|dist| dist.key == origin.name);
    let found = found.ok_or_else(|| {
        Error::internal(format!("nothing describes the {} that came", origin.name))
    })?;
    let mut entry = json!({
        "download_info": download(origin),
        "is_direct": origin.direct.is_some(),
        "is_yanked": origin.yanked,
        "requested": origin.requested,
        "metadata": metadata(found),
    });
    if origin.requested && !origin.extras.is_empty() {
        let mut extras: Vec<_> = origin.extras.iter().map(ToString::to_string).collect();
        extras.sort();
        entry["requested_extras"] = json!(extras);
    }
    Ok(entry)
}

/// PEP 610, with the older form of the hash beside the newer, as pip has it.
fn download(origin: &Origin) -> Value {
    let mut info = match &origin.direct {
        Some(direct) => serde_json::to_value(direct).unwrap_or_default(),
        None => json!({"url": origin.url, "archive_info": {"hashes": origin.hashes}}),
    };
    if let Some(archive) = info.get_mut("archive_info") {
        let hashes = origin.hashes.iter();
        if let Some((algorithm, digest)) = hashes.min() {
            archive["hash"] = json!(format!("{algorithm}={digest}"));
            archive["hashes"] = json!(origin.hashes);
        }
    }
    info
}

/// What would be installed, each version as it was found, with the metadata of its wheel.
fn fetched(
    changed: &Changed,
    (asked, options, sources): Asked,
    target: &Target,
) -> Result<Vec<Distribution>, Error> {
    let folder =
        tempfile::tempdir().map_err(|error| Error::io("make", &std::env::temp_dir(), &error))?;
    let request = Fetch {
        env: target.env.clone(),
        requirements: RequirementSet {
            requirements: pinned(changed, asked),
        },
        no_deps: true,
        options,
        sources,
        wheels: true,
        platform: None,
        python: None,
        to: folder.path().to_owned(),
    };
    let Reply::Fetched { files } = target.context.ask(Request::Fetch(Box::new(request)))? else {
        return Err(Error::unexpected_reply());
    };
    files
        .iter()
        .map(|file| described(&file.name, &file.path))
        .collect()
}

/// A line for each package that would come: that of the user where it names a place, else a pin.
fn pinned(changed: &Changed, asked: RequirementSet) -> Vec<RequirementLine> {
    let is_direct = |line: &RequirementLine| {
        line.unnamed
            || pep508::requirement(&line.text)
                .is_ok_and(|found| matches!(found.version_or_url, Some(VersionOrUrl::Url(_))))
    };
    let mut lines: Vec<_> = asked.requirements.into_iter().filter(is_direct).collect();
    for origin in changed
        .origins
        .iter()
        .filter(|origin| origin.direct.is_none())
    {
        let mut all = changed.changes.iter();
        let found = all.find(|change| change.name == origin.name.as_ref());
        let Some(version) = found.and_then(|change| change.after.as_ref()) else {
            continue;
        };
        lines.push(RequirementLine {
            text: format!("{}=={version}", origin.name),
            hashes: Vec::new(),
            origin: None,
            editable: false,
            unnamed: false,
            extras: Vec::new(),
        });
    }
    lines
}

fn described(name: &PackageName, path: &Path) -> Result<Distribution, Error> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Error::no(format!("{file} cannot be read")).caused_by(error)
    };
    let filename = file.parse().map_err(|error| failed(&error))?;
    let wheel = WheelArchive::open(path, &filename).map_err(|error| failed(&error))?;
    let metadata = format!("{}/METADATA", wheel.dist_info());
    let mut bytes = Vec::new();
    let at = wheel
        .members()
        .iter()
        .position(|member| member.name == metadata);
    if let Some(at) = at {
        wheel
            .read_member(at, &mut bytes)
            .map_err(|error| failed(&error))?;
    }
    let core = wheel.metadata();
    Ok(Distribution {
        key: name.clone(),
        name: core.name.to_string(),
        version: core.version.to_string(),
        info: path.to_owned(),
        metadata: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
