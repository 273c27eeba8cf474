//! `pip cache`: what the cache directory has of wheels that were built here and of answers of indexes, all
//! of which can be had again. Archives in flight, the bytecode of this pip and what interpreters said of
//! themselves are none of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::Target;
use super::arguments::{Cache, CacheCommand, CacheFormat};
use crate::error::Error;
use crate::exit_code::Exit;

/// Where wheels are that were built, two folders down: see `engine/build/cache.rs`.
const BUILDS: &str = "builds-v1";
/// Folders of what indexes answered: pages, metadata, archives of sources.
const HTTP: [&str; 3] = ["simple-v1", "metadata-v1", "sdists-v1"];

/// A file in the cache.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    path: PathBuf,
    bytes: u64,
}

impl Kept {
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Carries out `pip cache …`.
pub(super) fn run(args: &Cache, target: &Target) -> Result<Exit, Error> {
    let root = &target.context.places()?.cache;
    match &args.command {
        CacheCommand::Dir => {
            let line = format!("{}\n", root.display());
            target.context.printer.data(&line)?;
        }
        CacheCommand::Info => info(root, target)?,
        CacheCommand::List { pattern, format } => {
            let wheels = wheels(root, pattern.as_deref().unwrap_or("*"))?;
            list(&wheels, *format, target)?;
        }
        CacheCommand::Remove { pattern } => remove(root, pattern, target)?,
        CacheCommand::Purge => remove(root, "*", target)?,
    }
    Ok(Exit::Ok)
}

fn info(root: &Path, target: &Target) -> Result<(), Error> {
    let (http, wheels) = (http(root)?, wheels(root, "*")?);
    let total = |files: &[Kept]| size(files.iter().map(|file| file.bytes).sum());
    let folders = HTTP.map(|folder| root.join(folder).display().to_string());
    target.context.printer.data(&format!(
        "Package index page cache location: {}\n\
         Package index page cache size: {}\n\
         Number of HTTP files: {}\n\
         Locally built wheels location: {}\n\
         Locally built wheels size: {}\n\
         Number of locally built wheels: {}\n",
        folders.join(", "),
        total(&http),
        http.len(),
        root.join(BUILDS).display(),
        total(&wheels),
        wheels.len(),
    ))
}

fn list(wheels: &[Kept], format: CacheFormat, target: &Target) -> Result<(), Error> {
    match format {
        CacheFormat::Human if wheels.is_empty() => target.tell("No locally built wheels cached."),
        CacheFormat::Human => {
            let mut lines: Vec<String> = wheels
                .iter()
                .map(|wheel| format!(" - {} ({})", wheel.name(), size(wheel.bytes)))
                .collect();
            lines.sort();
            target.tell(format!("Cache contents:\n\n{}", lines.join("\n")))
        }
        CacheFormat::Abspath => wheels
            .iter()
            .try_for_each(|wheel| target.tell(wheel.path.display().to_string())),
    }
}

fn remove(root: &Path, pattern: &str, target: &Target) -> Result<(), Error> {
    let mut files = wheels(root, pattern)?;
    if pattern == "*" {
        files.extend(http(root)?);
    }
    if files.is_empty() {
        let of = if pattern == "*" {
            String::new()
        } else {
            format!(" for pattern \"{pattern}\"")
        };
        let line = format!("WARNING: No matching packages{of}");
        target.context.printer.say(line);
    }
    let (mut count, mut bytes) = (0, 0);
    for file in &files {
        match fs::remove_file(&file.path) {
            Ok(()) => {
                count += 1;
                bytes += file.bytes;
                let line = format!("Removed {}", file.path.display());
                target.context.printer.detail(line);
            }
            // Somebody else cleaned up.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("remove", &file.path, &error)),
        }
    }
    let folders = files.iter().filter_map(|file| file.path.parent());
    let mut folders: Vec<&Path> = folders.collect();
    folders.dedup();
    // A folder that holds anything is not removed.
    let emptied = folders
        .iter()
        .filter(|folder| fs::remove_dir(folder).is_ok());
    let emptied = emptied.count();
    target.tell(format!("Files removed: {count} ({})", size(bytes)))?;
    target.tell(format!("Directories removed: {emptied}"))
}

/// The wheels that match, in pip's sense: a pattern without a version is one of a name.
fn wheels(root: &Path, pattern: &str) -> Result<Vec<Kept>, Error> {
    let rest = if pattern.contains('-') {
        "*.whl"
    } else {
        "-*.whl"
    };
    // Two stars mean folders to this matcher, and one star to pip.
    let mut text = format!("{pattern}{rest}");
    while text.contains("**") {
        text = text.replace("**", "*");
    }
    // What is no pattern is a name that no wheel has.
    let pattern = Pattern::new(&text).or_else(|_| Pattern::new(&Pattern::escape(&text)));
    let pattern = pattern.map_err(|error| Error::no(format!("`{text}`: {error}")))?;
    let builds = root.join(BUILDS);
    let mut files = files(&builds)?;
    files.retain(|file| {
        let inside = file.path.strip_prefix(&builds).unwrap_or(&file.path);
        // Builds under way are elsewhere, and deeper.
        inside.components().count() == 3
            && !inside.starts_with("work")
            && pattern.matches(&file.name())
    });
    Ok(files)
}

fn http(root: &Path) -> Result<Vec<Kept>, Error> {
    let mut all = Vec::new();
    for folder in HTTP {
        all.extend(files(&root.join(folder))?);
    }
    Ok(all)
}

/// The files below a folder, by path; what goes meanwhile is left out.
fn files(folder: &Path) -> Result<Vec<Kept>, Error> {
    let mut found = Vec::new();
    gather(folder, &mut found).map_err(|error| Error::io("read", folder, &error))?;
    found.sort();
    Ok(found)
}

fn gather(folder: &Path, found: &mut Vec<Kept>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            gather(&path, found)?;
        } else {
            let bytes = meta.len();
            found.push(Kept { path, bytes });
        }
    }
    Ok(())
}

/// As pip says it.
fn size(bytes: u64) -> String {
    match bytes {
        0..=1_000 => format!("{bytes} bytes"),
        1_001..=10_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        10_001..=1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_packages_or_versions() {
        let root = tempfile::tempdir().expect("temporary directory");
        for path in [
            "builds-v1/key/set/demo-1.0-py3-none-any.whl",
            "builds-v1/key/set/demo_two-1.0-py3-none-any.whl",
            "builds-v1/work/tmp/demo-2.0-py3-none-any.whl",
            "wheels-v1/demo-3.0-py3-none-any.whl",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, "").expect("written");
        }
        let count = |pattern: &str| wheels(root.path(), pattern).expect("readable").len();
        assert_eq!(count("*"), 2);
        assert_eq!(count("demo"), 1);
        assert_eq!(count("demo-1.*"), 1);
        assert_eq!(count("demo*"), 2);
        assert_eq!(count("[") + count("demo-2.0"), 0);
    }

    #[test]
    fn sizes_are_told_as_pip_does() {
        let told = [999, 1_500, 15_500, 2_500_000].map(size);
        assert_eq!(told, ["999 bytes", "1.5 kB", "15 kB", "2.5 MB"]);
    }
}
