//! The disk has what the server shows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use blast_store::{LayerBuilder, TreeNumber};
use blast_types::EnvName;

use super::*;
use crate::memory::MemoryContent;
use crate::server::{Kind, Lookup, Server, Time};

const TAG: &str = "cpython-312-3531";

/// Path to kind, mode, time and bytes (or target).
type Found = BTreeMap<PathBuf, (Kind, u32, Time, Vec<u8>)>;

/// Two layers that share directories, hide each other's files, and have all kinds of entries.
fn world() -> (Arc<MemoryContent>, [LayerNumber; 3]) {
    let content = Arc::new(MemoryContent::new());
    let blob = content.add_blob(&[7; 5000]).unwrap();
    let mut lower = LayerBuilder::new();
    lower
        .inline("lib/a/__init__.py", 0o644, 1_600_000_000, "a")
        .unwrap();
    lower.inline("lib/a/hidden.py", 0o644, 1, "lower").unwrap();
    lower.file("lib/a/data.bin", 0o644, -5, blob, 5000).unwrap();
    lower.file("bin/tool", 0o755, 9, blob, 5000).unwrap();
    lower.dir("lib/empty").unwrap();
    let mut upper = LayerBuilder::new();
    upper.inline("lib/a/hidden.py", 0o644, 2, "upper").unwrap();
    upper
        .extended("lib/a/RECORD", 0o644, 3, blob, 5000, "tail")
        .unwrap();
    upper.symlink("lib64", "lib").unwrap();
    upper.inline("lib/b.py", 0o600, 4, "b").unwrap();
    let mut compiled = LayerBuilder::new();
    let pyc = "lib/a/__pycache__/__init__.cpython-312.pyc";
    compiled.inline(pyc, 0o644, 5, "code").unwrap();
    // The source of this one is hidden by the other layer.
    let pyc = "lib/a/__pycache__/hidden.cpython-312.pyc";
    compiled.inline(pyc, 0o644, 5, "stale").unwrap();
    let layers = [lower, upper, compiled].map(|layer| content.add_layer(layer).unwrap());
    (content, layers)
}

fn shown(content: &Arc<MemoryContent>, tree: TreeNumber) -> Found {
    let server = Server::new(Arc::clone(content) as _);
    let demo: EnvName = "demo".parse().unwrap();
    server.set_environment(&demo, tree);
    let look = |parent, name: &str| match server.lookup(parent, name.as_bytes()).unwrap() {
        Lookup::Found(attr) => attr,
        Lookup::Absent { .. } => panic!("{name} is absent"),
    };
    let root = look(look(1, ".generation").ino, &tree.to_string());
    let mut found = Found::new();
    let mut open = vec![(PathBuf::new(), root)];
    while let Some((path, attr)) = open.pop() {
        let mut bytes = Vec::new();
        match attr.kind {
            Kind::Directory => server
                .readdir(attr.ino, 2, |entry| {
                    let name = String::from_utf8(entry.name.to_vec()).unwrap();
                    open.push((path.join(name), entry.attr));
                    false
                })
                .unwrap(),
            Kind::File => {
                bytes = vec![0; attr.size as usize];
                assert_eq!(server.read(attr.ino, 0, &mut bytes).unwrap(), bytes.len());
            }
            Kind::Symlink => bytes = server.readlink(attr.ino).unwrap(),
        }
        found.insert(path, (attr.kind, u32::from(attr.mode), attr.mtime, bytes));
    }
    found
}

fn on_disk(root: &Path) -> Found {
    let mut found = Found::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full).unwrap();
        let (kind, bytes) = if meta.is_dir() {
            for entry in fs::read_dir(&full).unwrap() {
                open.push(path.join(entry.unwrap().file_name()));
            }
            (Kind::Directory, Vec::new())
        } else if meta.is_symlink() {
            let target = fs::read_link(&full).unwrap();
            (Kind::Symlink, target.into_os_string().into_encoded_bytes())
        } else {
            (Kind::File, fs::read(&full).unwrap())
        };
        let nanos = u32::try_from(meta.mtime_nsec()).unwrap();
        let mtime = Time {
            seconds: meta.mtime(),
            nanos,
        };
        found.insert(path, (kind, meta.mode() & 0o777, mtime, bytes));
    }
    found
}

fn write_now(content: &MemoryContent, tree: TreeNumber, to: &Path, links: LinkKind) -> Written {
    let spec = content.tree(tree).unwrap();
    let stop = AtomicBool::new(false);
    write(content, &spec, to, links, &stop).unwrap()
}

#[test]
fn a_written_tree_is_what_the_view_shows() {
    for links in [LinkKind::Reflink, LinkKind::HardLink, LinkKind::Copy] {
        let (content, [lower, upper, companion]) = world();
        content.decide_bytecode(lower, Some(companion));
        content.decide_bytecode(upper, None);
        let tree = content.add_tree(&[lower, upper], Some(TAG));
        let folder = tempfile::tempdir().unwrap();
        let written = write_now(&content, tree, folder.path(), links);
        let found = on_disk(folder.path());
        assert_eq!(found, shown(&content, tree));
        let kinds = |wanted| found.values().filter(|(kind, ..)| *kind == wanted).count() as u64;
        assert_eq!(written.directories, kinds(Kind::Directory));
        assert_eq!(written.files, kinds(Kind::File));
        assert_eq!(written.symlinks, 1);
        assert_eq!(written.hard_links, 0, "these blobs have no names");
        assert_eq!(written.pending, []);
    }
}

#[test]
fn bytecode_that_comes_later_is_added_where_it_is_missing() {
    let (content, [lower, upper, companion]) = world();
    content.expect_bytecode(lower);
    let tree = content.add_tree(&[lower, upper], Some(TAG));
    let folder = tempfile::tempdir().unwrap();
    let written = write_now(&content, tree, folder.path(), LinkKind::Copy);
    assert_eq!(written.pending, [lower]);
    let cache = folder.path().join("lib/a/__pycache__");
    assert!(!cache.exists());
    content.decide_bytecode(lower, Some(companion));
    let add = || {
        let spec = content.tree(tree).unwrap();
        add_bytecode(&*content, &spec, lower, folder.path(), LinkKind::Copy).unwrap()
    };
    assert_eq!(add(), 1);
    let names: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["__init__.cpython-312.pyc"],
        "and none of a hidden source"
    );
    fs::write(cache.join("__init__.cpython-312.pyc"), "a program's own").unwrap();
    assert_eq!(add(), 0);
    fs::remove_dir_all(folder.path().join("lib/a")).unwrap();
    assert_eq!(add(), 0, "what the user took away stays away");
    assert!(!cache.exists());
}

#[test]
fn errors_name_the_path_in_the_tree_and_the_blob() {
    let (content, [lower, ..]) = world();
    let tree = content.add_tree(&[lower], None);
    content.remove_blob(BlobId::of(&[7; 5000]));
    let folder = tempfile::tempdir().unwrap();
    let spec = content.tree(tree).unwrap();
    let stop = AtomicBool::new(false);
    let failed = write(&*content, &spec, folder.path(), LinkKind::Copy, &stop).unwrap_err();
    assert!(
        matches!(&failed, PlainError::Blob { path, .. } if path.is_relative()),
        "{failed}"
    );
    assert!(!failed.is_disk_full());
}

#[test]
fn whoever_is_gone_is_not_worked_for() {
    let (content, [lower, ..]) = world();
    let tree = content.add_tree(&[lower], None);
    let folder = tempfile::tempdir().unwrap();
    let spec = content.tree(tree).unwrap();
    let stopped = write(
        &*content,
        &spec,
        folder.path(),
        LinkKind::Copy,
        &AtomicBool::new(true),
    );
    assert!(matches!(stopped, Err(PlainError::Stopped)));
}

#[test]
fn probing_leaves_nothing_and_root_gets_no_hard_links() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["from", "to"].map(|name| folder.path().join(name));
    for part in &parts {
        fs::create_dir(part).unwrap();
    }
    let kind = probe(&parts[0], &parts[1]).unwrap();
    if nix::unistd::geteuid().is_root() {
        assert_ne!(kind, LinkKind::HardLink);
    }
    try_hard_link(&parts[0], &parts[1]).unwrap();
    for part in &parts {
        assert_eq!(fs::read_dir(part).unwrap().count(), 0);
        fs::set_permissions(part, fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert!(probe(&folder.path().join("gone"), &parts[1]).is_err());
}
