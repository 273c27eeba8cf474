//! Looking at the file system: what a path is, and where it leads by which links.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

/// A chain of links longer than this goes round in circles (`ELOOP`).
const MOST_LINKS: usize = 40;

/// What is at a path, its last part not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A link to there.
    Link(PathBuf),
    /// Anything else.
    File,
}

/// Who knows the file system: the real one is [`Host`].
pub trait Look {
    /// What is at this path; `None` if nothing, or nothing we may see.
    fn look(&self, path: &Path) -> Option<Kind>;

    /// Which file is at this path, its last part not followed.
    fn identity(&self, path: &Path) -> Option<FileId>;

    /// A plain file of at most 64 KiB, or as much of its beginning; `None` if there is none, or it is no text.
    fn text(&self, path: &Path) -> Option<String>;
}

/// How much of a file is read, in bytes.
const MOST_TEXT: u64 = 1 << 16;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// The device that its file system is on.
    pub device: u64,
    /// The inode number, which is given again as soon as its file is gone.
    pub inode: u64,
    /// When it was made, in nanoseconds since the epoch; when it was changed last, where the file system does not know
    /// (statx(2)).
    pub born_ns: u64,
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Host;

impl Look for Host {
    fn text(&self, path: &Path) -> Option<String> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut options = fs::OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(flags.bits())
            .open(path)
            .ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        file.take(MOST_TEXT).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn look(&self, path: &Path) -> Option<Kind> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some(if meta.is_dir() {
            Kind::Directory
        } else if meta.is_symlink() {
            Kind::Link(fs::read_link(path).ok()?)
        } else {
            Kind::File
        })
    }

    fn identity(&self, path: &Path) -> Option<FileId> {
        let meta = fs::symlink_metadata(path).ok()?;
        let born = meta.created().ok();
        let born = born.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = || {
            let part = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
            Duration::new(meta.ctime().unsigned_abs(), part)
        };
        Some(FileId {
            device: meta.dev(),
            inode: meta.ino(),
            born_ns: u64::try_from(born.unwrap_or_else(changed).as_nanos()).unwrap_or(u64::MAX),
        })
    }
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Without any link.
    pub(crate) path: PathBuf,
    /// What is there.
    pub(crate) kind: Kind,
    /// The links on the way, each at a path without links, with its target as it is written.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Follows all links of an absolute path. `None` if nothing is there.
pub(crate) fn resolve(look: &dyn Look, path: &Path) -> Option<Resolved> {
    let mut at = PathBuf::from("/");
    let mut kind = Kind::Directory;
    let mut links = Vec::new();
    let mut left = parts(path);
    while let Some(part) = left.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        kind = look.look(&next)?;
        let Kind::Link(target) = &kind else {
            at = next;
            continue;
        };
        if links.len() == MOST_LINKS {
            return None;
        }
        links.push((next, target.clone()));
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        left.extend(parts(target));
        kind = Kind::Directory;
    }
    Some(Resolved {
        path: at,
        kind,
        links,
    })
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    parts.reverse();
    parts
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A file system of a test: paths that end in `/` are directories, `a -> b` is a link.
    pub(crate) struct Paper(BTreeMap<PathBuf, Kind>);

    impl Paper {
        pub(crate) fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
            let mut paper = BTreeMap::new();
            for line in lines {
                let (path, kind) = match line.split_once(" -> ") {
                    Some((path, target)) => (path, Kind::Link(target.into())),
                    None if line.ends_with('/') => (line, Kind::Directory),
                    None => (line, Kind::File),
                };
                let path = PathBuf::from(path.trim_end_matches('/'));
                for parent in path.ancestors().skip(1) {
                    paper.entry(parent.to_owned()).or_insert(Kind::Directory);
                }
                paper.insert(path, kind);
            }
            Self(paper)
        }
    }

    impl Look for Paper {
        fn look(&self, path: &Path) -> Option<Kind> {
            self.0.get(path).cloned()
        }

        fn identity(&self, path: &Path) -> Option<FileId> {
            let inode = self.0.keys().position(|known| known == path)?;
            Some(FileId {
                device: 0,
                inode: u64::try_from(inode).ok()?,
                born_ns: 0,
            })
        }

        fn text(&self, _path: &Path) -> Option<String> {
            None
        }
    }

    #[test]
    fn every_link_on_the_way_is_told() {
        let paper = Paper::new(["/data/p/", "/home/u/p -> ../../data/p", "/h -> /home"]);
        let found = resolve(&paper, Path::new("/h/u/p")).expect("there");
        assert_eq!(found.path, Path::new("/data/p"));
        assert_eq!(
            found.links,
            [
                ("/h".into(), "/home".into()),
                ("/home/u/p".into(), "../../data/p".into())
            ]
        );
        assert_eq!(resolve(&paper, Path::new("/h/none")), None);
    }

    #[test]
    fn a_circle_leads_nowhere() {
        let paper = Paper::new(["/a -> /b", "/b -> /a"]);
        assert_eq!(resolve(&paper, Path::new("/a")), None);
    }
}
