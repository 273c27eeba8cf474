//! A tree of layers against a map of paths: whatever the layers, the view shows what unpacking them
//! one over the other into a map gives.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blast_fs::memory::MemoryContent;
use blast_fs::{Attr, Kind, Lookup, Server};
use blast_store::{LayerBuilder, LayerNumber};
use proptest::prelude::*;

/// What a path of the model is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Directory,
    File {
        bytes: Vec<u8>,
        mode: u16,
        mtime: i64,
    },
    Link(String),
}

/// One step of building a layer.
#[derive(Debug, Clone)]
struct Step {
    path: String,
    thing: Thing,
    /// How a file is stored: 0 inline, 1 as a blob, 2 as a blob and a tail.
    storage: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop::sample::select(vec!["a", "b", "c", "lib", "__pycache__"]);
    let path = prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"));
    let file = (
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![0o644, 0o755, 0o400]),
        any::<i64>(),
    )
        .prop_map(|(bytes, mode, mtime)| Thing::File { bytes, mode, mtime });
    let thing = prop_oneof![
        5 => file,
        1 => "[a-z/.]{1,12}".prop_map(Thing::Link),
        1 => Just(Thing::Directory),
    ];
    (path, thing, 0..3u8).prop_map(|(path, thing, storage)| Step {
        path,
        thing,
        storage,
    })
}

/// Builds a layer; returns what the builder took of it.
fn build(content: &MemoryContent, steps: &[Step]) -> (LayerNumber, Vec<(String, Thing)>) {
    let mut builder = LayerBuilder::new();
    let mut taken = Vec::new();
    for Step {
        path,
        thing,
        storage,
    } in steps
    {
        let built = match thing {
            Thing::Directory => builder.dir(path),
            Thing::Link(target) => builder.symlink(path, target),
            Thing::File { bytes, mode, mtime } => {
                let (mode, mtime) = (u32::from(*mode), *mtime);
                let (base, tail) = bytes.split_at(bytes.len() / 2);
                match storage {
                    0 => builder.inline(path, mode, mtime, bytes.clone()),
                    1 => {
                        let blob = content.add_blob(bytes).unwrap();
                        builder.file(path, mode, mtime, blob, bytes.len() as u64)
                    }
                    _ => {
                        let blob = content.add_blob(base).unwrap();
                        builder.extended(path, mode, mtime, blob, base.len() as u64, tail)
                    }
                }
            }
        };
        // Paths that collide within a layer are refused there; the model takes what it took.
        if built.is_ok() {
            taken.push((path.clone(), thing.clone()));
        }
    }
    (content.add_layer(builder).unwrap(), taken)
}

/// Puts a layer over the model.
fn unpack(model: &mut BTreeMap<String, Thing>, layer: &[(String, Thing)]) {
    for (path, thing) in layer {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for parent in ends.map(|end| &path[..end]) {
            if model.get(parent) != Some(&Thing::Directory) {
                model.insert(parent.to_owned(), Thing::Directory);
            }
        }
        if (thing, model.get(path)) != (&Thing::Directory, Some(&Thing::Directory)) {
            let below = format!("{path}/");
            model.retain(|other, _| !other.starts_with(&below));
            model.insert(path.clone(), thing.clone());
        }
    }
}

fn found(lookup: Lookup) -> Attr {
    match lookup {
        Lookup::Found(attr) => attr,
        Lookup::Absent { .. } => panic!("a listed name is absent"),
    }
}

fn bytes_of(server: &Server, attr: Attr) -> Vec<u8> {
    let mut bytes = vec![0xEE; attr.size as usize + 10];
    let count = server.read(attr.ino, 0, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

/// Everything below a directory, listed a few entries at a time.
fn walk(server: &Server, ino: u64, prefix: &str, out: &mut BTreeMap<String, (Attr, Thing)>) {
    let mut offset = 0;
    loop {
        let mut page = Vec::new();
        server
            .readdir(ino, offset, |entry| {
                if page.len() == 2 {
                    return true;
                }
                page.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.attr));
                offset = entry.next;
                false
            })
            .unwrap();
        if page.is_empty() {
            return;
        }
        for (name, attr) in page {
            if name == "." {
                assert_eq!(attr.ino, ino);
            }
            if name == "." || name == ".." {
                continue;
            }
            assert_eq!(found(server.lookup(ino, name.as_bytes()).unwrap()), attr);
            assert_eq!(server.getattr(attr.ino).unwrap(), attr);
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let thing = match attr.kind {
                Kind::Directory => {
                    walk(server, attr.ino, &path, out);
                    Thing::Directory
                }
                Kind::File => Thing::File {
                    bytes: bytes_of(server, attr),
                    mode: attr.mode,
                    mtime: attr.mtime.seconds,
                },
                Kind::Symlink => {
                    Thing::Link(String::from_utf8(server.readlink(attr.ino).unwrap()).unwrap())
                }
            };
            assert_eq!(
                out.insert(path.clone(), (attr, thing)),
                None,
                "{path} is listed twice"
            );
        }
    }
}

fn root_of(server: &Server, tree: u32) -> u64 {
    let generations = found(server.lookup(1, b".generation").unwrap());
    found(
        server
            .lookup(generations.ino, tree.to_string().as_bytes())
            .unwrap(),
    )
    .ino
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_tree_shows_what_unpacking_its_layers_gives(
        layers in prop::collection::vec(prop::collection::vec(step(), 0..8), 0..6),
        tagged in any::<bool>(),
        order in any::<prop::sample::Index>(),
    ) {
        let content = Arc::new(MemoryContent::new());
        let mut built: Vec<_> = layers.iter().map(|steps| build(&content, steps)).collect();
        if !built.is_empty() {
            // Numbers are given in the order of building, which is not that of the tree.
            let by = order.index(built.len());
            built.rotate_left(by);
        }
        let mut model = BTreeMap::new();
        for (_, taken) in &built {
            unpack(&mut model, taken);
        }
        let numbers: Vec<_> = built.iter().map(|(number, _)| *number).collect();
        let tree = content.add_tree(&numbers, tagged.then_some("cpython-312-3531")).0;

        let server = Server::new(Arc::clone(&content) as _);
        let mut shown = BTreeMap::new();
        let root = root_of(&server, tree);
        walk(&server, root, "", &mut shown);
        let things: BTreeMap<_, _> =
            shown.iter().map(|(path, (_, thing))| (path.clone(), thing.clone())).collect();
        prop_assert_eq!(&things, &model);

        // Directories of a tree have one parent each, so no number may show up twice.
        let directories: Vec<_> = shown
            .values()
            .filter(|(_, thing)| *thing == Thing::Directory)
            .map(|(attr, _)| attr.ino)
            .collect();
        let distinct: BTreeSet<_> = directories.iter().collect();
        prop_assert_eq!(distinct.len(), directories.len());

        // A new process knows the numbers of the old one without having looked anything up.
        let restarted = Server::new(content);
        for (attr, thing) in shown.values().rev() {
            prop_assert_eq!(restarted.getattr(attr.ino).unwrap(), *attr);
            match thing {
                Thing::Directory => {
                    let mut names = Vec::new();
                    restarted.readdir(attr.ino, 2, |entry| {
                        names.push(entry.attr.ino);
                        false
                    }).unwrap();
                    let mut before = Vec::new();
                    server.readdir(attr.ino, 2, |entry| {
                        before.push(entry.attr.ino);
                        false
                    }).unwrap();
                    prop_assert_eq!(names, before);
                }
                Thing::File { bytes, .. } => {
                    prop_assert_eq!(&bytes_of(&restarted, *attr), bytes);
                }
                Thing::Link(_) => {}
            }
        }
    }

    #[test]
    fn any_window_of_a_file_is_what_it_should_be(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        split in any::<prop::sample::Index>(),
        storage in 0..3u8,
        offset in prop_oneof![0..700u64, any::<u64>()],
        size in 0..700usize,
    ) {
        let content = Arc::new(MemoryContent::new());
        let mut builder = LayerBuilder::new();
        let (base, tail) = bytes.split_at(split.index(bytes.len() + 1));
        match storage {
            0 => builder.inline("f", 0o644, 0, bytes.clone()),
            1 => {
                let blob = content.add_blob(&bytes).unwrap();
                builder.file("f", 0o644, 0, blob, bytes.len() as u64)
            }
            _ => {
                let blob = content.add_blob(base).unwrap();
                builder.extended("f", 0o644, 0, blob, base.len() as u64, tail)
            }
        }.unwrap();
        let layer = content.add_layer(builder).unwrap();
        let tree = content.add_tree(&[layer], None).0;
        let server = Server::new(content);
        let file = found(server.lookup(root_of(&server, tree), b"f").unwrap());
        let mut window = vec![0xEE; size];
        let count = server.read(file.ino, offset, &mut window).unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(size).min(bytes.len());
        prop_assert_eq!(&window[..count], &bytes[start..end]);
    }

    #[test]
    fn no_number_makes_the_server_panic(ino in any::<u64>(), name in "[a-z_]{0,8}") {
        let content = Arc::new(MemoryContent::new());
        let mut builder = LayerBuilder::new();
        builder.inline("a/b", 0o644, 0, *b"x").unwrap();
        let layer = content.add_layer(builder).unwrap();
        content.add_tree(&[layer], Some("cpython-312-3531"));
        let server = Server::new(content);
        // Small fields are where real nodes are; both kinds of number are tried.
        for ino in [ino, ino & 0xC000_0000_C030_0007] {
            let refusals = [
                server.getattr(ino).err(),
                server.lookup(ino, name.as_bytes()).err(),
                server.readlink(ino).err(),
                server.read(ino, 0, &mut [0; 8]).err(),
                server.readdir(ino, 0, |_| false).err(),
            ];
            // No node can be read and listed and followed.
            prop_assert!(refusals.iter().any(Option::is_some));
        }
    }
}
