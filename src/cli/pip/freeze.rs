//! `pip freeze`: what is installed, as a requirements file; in the order of one that there is, if it is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use blast_types::{DirectUrl, PackageName, pep508};

use super::Target;
use super::arguments::Freeze;
use super::installed::Distribution;
use super::list::names;
use crate::error::Error;
use crate::exit_code::Exit;

/// What stands above what the named files do not have.
const ADDED: &str = "## The following requirements were added by pip freeze:";

/// Beginnings of lines that say no requirement, and that are kept as they are.
const KEPT: [&str; 14] = [
    "-r",
    "--requirement",
    "-f",
    "--find-links",
    "-i",
    "--index-url",
    "--pre",
    "--trusted-host",
    "--process-dependency-links",
    "--extra-index-url",
    "--use-feature",
    "-c",
    "--constraint",
    "--no-index",
];

/// Prints what is installed as requirements.
pub(super) fn run(args: &Freeze, target: &Target) -> Result<Exit, Error> {
    let excluded = names(&args.exclude)?;
    let mut found = target.visible(&args.visible)?;
    found.retain(|dist| !excluded.contains(&dist.key) && (args.all || !dist.is_tool()));
    let mut lines: BTreeMap<PackageName, String> = BTreeMap::new();
    for dist in &found {
        let direct = dist.direct_url();
        let is_editable = direct.as_ref().is_some_and(DirectUrl::is_editable);
        if !(is_editable && args.exclude_editable) {
            lines.insert(dist.key.clone(), line(dist, direct.as_ref()));
        }
    }
    let mut shown = Vec::new();
    for path in &args.requirement_files {
        in_order_of(path, &mut lines, &mut shown, target)?;
    }
    if !args.requirement_files.is_empty() {
        shown.push(ADDED.to_owned());
    }
    shown.extend(lines.into_values());
    shown.push(String::new()); // so that the last line ends
    target.context.printer.data(&shown.join("\n"))?;
    Ok(Exit::Ok)
}

/// Shows the lines of a file with what is installed in the place of what it asks for, which is taken out of `lines`.
fn in_order_of(
    path: &Path,
    lines: &mut BTreeMap<PackageName, String>,
    shown: &mut Vec<String>,
    target: &Target,
) -> Result<(), Error> {
    let place = target.context.cwd()?.join(path);
    let file = fs::read_to_string(place).map_err(|error| {
        Error::no(format!(
            "Could not open requirements file: '{}'",
            path.display()
        ))
        .caused_by(&error)
    })?;
    for written in file.lines() {
        let bare = written.trim();
        let is_kept = bare.is_empty()
            || bare.starts_with('#')
            || KEPT.iter().any(|option| bare.starts_with(option));
        if is_kept {
            shown.push(written.trim_end().to_owned());
            continue;
        }
        let Some(name) = asked_for(bare) else {
            target.context.printer.say(format!(
                "WARNING: Skipping line in requirement file [{}] because it's not clear what it would install: {bare}",
                path.display()
            ));
            continue;
        };
        match lines.remove(&name) {
            Some(line) => shown.push(line),
            None => target.context.printer.say(format!(
                "WARNING: Requirement file [{}] contains {bare}, but package '{name}' is not installed",
                path.display()
            )),
        }
    }
    Ok(())
}

/// The name that a line of a requirements file asks for, options behind it left out; of a folder or URL its fragment
/// tells.
fn asked_for(line: &str) -> Option<PackageName> {
    let words = line
        .strip_prefix("-e")
        .or_else(|| line.strip_prefix("--editable"));
    let line = words.unwrap_or(line).trim_start_matches(['=', ' ']);
    if let Some((_, fragment)) = line.split_once("#egg=") {
        return fragment.split(['&', '[', ' ']).next()?.parse().ok();
    }
    let line = line.split(" #").next()?.split(" --").next()?.trim();
    Some(pep508::requirement(line).ok()?.name)
}

/// A distribution as the line of a requirements file.
fn line(dist: &Distribution, direct: Option<&DirectUrl>) -> String {
    let (name, version) = (&dist.name, &dist.version);
    let Some(direct) = direct else {
        return format!("{name}=={version}");
    };
    if let (true, Some(folder)) = (direct.is_editable(), dist.editable_location()) {
        return format!(
            "# Editable install with no version control ({name}=={version})\n-e {}",
            folder.display()
        );
    }
    let mut url = direct.url.clone();
    if let Some(vcs) = &direct.vcs_info {
        url = format!("{}+{url}@{}", vcs.vcs, vcs.commit_id);
    }
    let hashes = direct
        .archive_info
        .iter()
        .flat_map(|archive| &archive.hashes);
    let mut parts: Vec<String> = hashes
        .map(|(kind, hash)| format!("{kind}={hash}"))
        .collect();
    parts.extend(
        direct
            .subdirectory
            .iter()
            .map(|folder| format!("subdirectory={folder}")),
    );
    if !parts.is_empty() {
        url = format!("{url}#{}", parts.join("&"));
    }
    format!("{name} @ {url}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_line_is_found_whatever_surrounds_it() {
        for (line, name) in [
            ("Flask>=2  # why", Some("flask")),
            ("flask[async]==2.0 --hash=sha256:00", Some("flask")),
            (
                "-e git+https://host/x.git#egg=Thing&subdirectory=a",
                Some("thing"),
            ),
            ("thing @ https://host/thing.whl", Some("thing")),
            ("./folder", None),
        ] {
            let found = asked_for(line).map(|name| name.to_string());
            assert_eq!(found.as_deref(), name, "{line}");
        }
    }
}
