//! Requirements files of pip, and lines of that form in files of others.

use std::fs;
use std::io;
use std::path::Path;

use blast_resolver::NameFilter;
use blast_resolver::requirements::{Entry, RequirementsFile, Surroundings};
use blast_types::VersionOrUrl;

use super::requirement::{CREDENTIALS, HASHES, LOCAL, VARIABLE, without_credentials};
use super::{ConvertError, Plan};

/// Reads a file and those that it includes.
pub(super) fn read(path: &Path) -> Result<Plan, ConvertError> {
    let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder.parent().unwrap_or(Path::new("/")).to_owned();
    let read = |path: &Path| fs::read_to_string(path);
    let file = RequirementsFile::read(path, around(&read, &folder))?;
    let mut plan = Plan::default();
    add(file, path, &folder, &mut plan);
    Ok(plan)
}

/// Reads the text of one line, which stands at `place` of another kind of file in `folder`.
pub(super) fn line(
    text: &str,
    place: &str,
    folder: &Path,
    plan: &mut Plan,
) -> Result<(), ConvertError> {
    let read = |path: &Path| {
        if path == Path::new(place) {
            Ok(text.to_owned())
        } else {
            fs::read_to_string(folder.join(path))
        }
    };
    let file = RequirementsFile::read(Path::new(place), around(&read, folder))?;
    add(file, Path::new(place), folder, plan);
    Ok(())
}

fn around<'a>(
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    directory: &'a Path,
) -> Surroundings<'a> {
    Surroundings {
        read,
        // What the variables are here is nobody else's business.
        variable: &|_| None,
        directory,
    }
}

fn add(file: RequirementsFile, path: &Path, folder: &Path, plan: &mut Plan) {
    let hashed = file.requirements.iter().chain(&file.constraints);
    let hashed = hashed.filter(|entry| !entry.hashes.is_empty()).count();
    if hashed > 0 {
        let s = if hashed == 1 { "" } else { "s" };
        let what = format!("the hashes of {hashed} requirement{s}");
        plan.leave(path.display().to_string(), what, HASHES);
    }
    for entry in &file.requirements {
        if let Some(text) = carried(entry, plan) {
            plan.dependencies.push(text);
        }
    }
    for entry in &file.constraints {
        if let Some(text) = carried(entry, plan) {
            plan.blast.constraints.push(text);
        }
    }
    for project in &file.projects {
        let location = &project.location;
        let reason = if location.contains("://") {
            "it has no name; write `NAME @ URL` among the dependencies"
        } else {
            LOCAL
        };
        let shown = without_credentials(location).0;
        let shown = Path::new(&shown);
        let shown = shown.strip_prefix(folder).unwrap_or(shown);
        let mut shown = shown.display().to_string();
        if shown.is_empty() {
            // The folder of the file itself.
            shown.push('.');
        }
        plan.leave(project.place.to_string(), shown, reason);
    }
    let place = path.display().to_string();
    let settings = file.settings;
    if let Some(url) = settings.index_url
        && let Some(url) = index(&url, &place, plan)
    {
        plan.blast.index_url = Some(url);
    }
    for url in settings.extra_index_urls {
        if let Some(url) = index(&url, &place, plan) {
            plan.blast.extra_index_url.push(url);
        }
    }
    for links in settings.find_links {
        if let Some(links) = index(&links, &place, plan) {
            plan.blast.find_links.push(links);
        }
    }
    plan.blast.no_index |= settings.no_index;
    plan.blast.prereleases |= settings.prereleases;
    plan.blast.trusted_host.extend(settings.trusted_hosts);
    plan.blast.no_binary.extend(names(&settings.no_binary));
    plan.blast.only_binary.extend(names(&settings.only_binary));
    for (given, option, reason) in [
        (
            settings.require_hashes,
            "--require-hashes",
            "what is installed from pylock.toml is checked by hash anyway",
        ),
        (
            settings.prefer_binary,
            "--prefer-binary",
            "there is no such setting; `only-binary` names packages that are never built",
        ),
    ] {
        if given {
            plan.leave(place.clone(), option, reason);
        }
    }
}

/// A requirement as a project may have it.
fn carried(entry: &Entry, plan: &mut Plan) -> Option<String> {
    let text = entry.requirement.displayable_with_credentials().to_string();
    let place = entry.place.to_string();
    let is_url = matches!(entry.requirement.version_or_url, Some(VersionOrUrl::Url(_)));
    // The text has the URL as it was written, which the URL itself shows without credentials.
    let url = text.split_once(" @ ").filter(|_| is_url);
    let Some((_, url)) = url else {
        return Some(text);
    };
    let url = url.split_once(" ;").map_or(url, |(url, _)| url).to_owned();
    let name = entry.requirement.name.to_string();
    if url.contains("${") {
        plan.leave(place, name, VARIABLE);
        return None;
    }
    if url.starts_with("file:") {
        plan.leave(place, name, LOCAL);
        return None;
    }
    let (bare, had) = without_credentials(&url);
    if had {
        plan.leave(place, format!("credentials of {name}"), CREDENTIALS);
        return Some(text.replace(&url, &bare));
    }
    Some(text)
}

/// The URL of an index as a project may have it; what it may not have is noted.
pub(super) fn index(url: &str, place: &str, plan: &mut Plan) -> Option<String> {
    let (bare, had) = without_credentials(url);
    if had {
        plan.leave(place, format!("credentials of {bare}"), CREDENTIALS);
    }
    if bare.contains("${") || bare.contains("$%7B") {
        plan.leave(place, "the URL of an index", VARIABLE);
        return None;
    }
    Some(bare)
}

fn names(filter: &NameFilter) -> Vec<String> {
    match filter {
        NameFilter::None => Vec::new(),
        NameFilter::All => vec![":all:".to_owned()],
        NameFilter::Only(names) => names.iter().map(ToString::to_string).collect(),
    }
}
