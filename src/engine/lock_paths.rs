//! Paths in locks: folders below that of the lock are named relative to it (PEP 751), and so is what
//! the lock was made from, so that a project can be checked out elsewhere; any other folder is where
//! it is.

use std::io;
use std::path::{Component, Path, PathBuf};

use blast_resolver::lock::{Lock, LockedSource};

/// What a path that a lock states means.
pub(super) fn beside(lock: &Path, stated: &str) -> io::Result<PathBuf> {
    let folder = lock.parent().unwrap_or(Path::new("/"));
    plain(&folder.join(stated))
}

/// States the folders of a lock relative to `lock`, its file, where they are below that file's folder.
pub(super) fn relate(locked: &mut Lock, lock: &Path) -> io::Result<()> {
    let folder = beside(lock, "")?;
    if let Some(made_from) = &mut locked.made_from
        && let Ok(folder) = url::Url::from_directory_path(&folder)
    {
        made_from.relate(&folder);
    }
    for package in &mut locked.packages {
        let LockedSource::Directory { path, .. } = &mut package.source else {
            continue;
        };
        // Already stated so, in what is kept of an earlier lock, means the same.
        let whole = beside(lock, path)?;
        if let Ok(below) = whole.strip_prefix(&folder)
            && let Some(below) = below.to_str()
        {
            path.replace_range(.., if below.is_empty() { "." } else { below });
        }
    }
    Ok(())
}

/// The path without `.` and `..`, links not looked at.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_below_the_lock_are_relative_and_mean_the_same_again() {
        for (lock, folder, stated) in [
            ("/p/pylock.toml", "/p", "."),
            ("/p/pylock.toml", "/p/libs/a", "libs/a"),
            ("/p/sub/../pylock.toml", "/p/libs/a", "libs/a"),
            ("/p/pylock.toml", "libs/a", "libs/a"),
            ("/p/pylock.toml", "/other/a", "/other/a"),
            ("/p/pylock.toml", "/pq", "/pq"),
            ("/p/locks/pylock.toml", "/p/a", "/p/a"),
        ] {
            let text = format!(
                "lock-version = \"1.0\"\ncreated-by = \"t\"\n\
                 [[packages]]\nname = \"a\"\ndirectory = {{ path = \"{folder}\" }}\n"
            );
            let mut locked = Lock::parse(&text).expect("valid");
            relate(&mut locked, Path::new(lock)).expect("absolute");
            let LockedSource::Directory { path, .. } = &locked.packages[0].source else {
                panic!("a folder");
            };
            assert_eq!(path, stated, "{lock} {folder}");
            let lock = Path::new(lock);
            let meant = beside(lock, path).expect("absolute");
            assert_eq!(meant, beside(lock, folder).expect("absolute"));
        }
    }
}
