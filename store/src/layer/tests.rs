//! The builder against its rules, the reader against a map of paths, and both against damage.

use std::collections::BTreeMap;

use blast_types::BlobId;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Inline(Vec<u8>),
    Extended(Vec<u8>, Vec<u8>),
    Symlink(String),
}

fn add(builder: &mut LayerBuilder, path: &str, content: &Content) -> Result<(), LayerError> {
    match content {
        Content::File(bytes) => builder.file(path, 0o644, 5, BlobId::of(bytes), bytes.len() as u64),
        Content::Inline(bytes) => builder.inline(path, 0o755, -5, bytes.clone()),
        Content::Extended(base, tail) => {
            let size = base.len() as u64;
            builder.extended(path, 0o600, 6, BlobId::of(base), size, tail.clone())
        }
        Content::Symlink(target) => builder.symlink(path, target),
    }
}

fn build(tree: &BTreeMap<String, Content>) -> EncodedLayer {
    let mut builder = LayerBuilder::new();
    for (path, content) in tree {
        add(&mut builder, path, content).unwrap();
    }
    builder.build()
}

fn sample() -> EncodedLayer {
    build(&BTreeMap::from([
        (
            "bin/tool".to_owned(),
            Content::Inline(b"#!/bin/sh\n".to_vec()),
        ),
        (
            "lib/a/__init__.py".to_owned(),
            Content::File(b"import os\n".to_vec()),
        ),
        (
            "lib/a.dist-info/RECORD".to_owned(),
            Content::Extended(vec![1; 9], vec![2; 4]),
        ),
        (
            "lib/a/link".to_owned(),
            Content::Symlink("__init__.py".to_owned()),
        ),
    ]))
}

#[test]
fn entries_are_found_by_path_and_give_it_back() {
    let layer = sample().open().unwrap();
    layer.verify().unwrap();
    let record = layer.find("lib/a.dist-info/RECORD").unwrap();
    let entry = layer.entry(record);
    assert_eq!(
        (entry.name, entry.mode, entry.mtime, entry.size),
        (&b"RECORD"[..], 0o600, 6, 13)
    );
    let extended = EntryKind::Extended {
        blob: BlobId::of(&[1; 9]),
        base_size: 9,
        tail: &[2; 4],
    };
    assert_eq!(entry.kind, extended);
    assert_eq!(layer.path(record), "lib/a.dist-info/RECORD");
    assert_eq!(layer.path(layer.parent(record)), "lib/a.dist-info");
    assert_eq!(layer.find(""), Some(layer.root()));
    assert_eq!(layer.find("lib/b"), None);
    assert_eq!(layer.find("lib/a/link/x"), None, "a link has no children");
    assert_eq!(layer.blobs().len(), 2);
    assert_eq!(layer.content_bytes(), 10 + 10 + 13, "links are not content");
}

#[test]
fn children_are_contiguous_and_sorted() {
    let layer = sample().open().unwrap();
    let lib = layer.find("lib").unwrap();
    let names: Vec<_> = layer
        .children(lib)
        .map(|child| layer.entry(child).name)
        .collect();
    assert_eq!(names, [&b"a"[..], b"a.dist-info"]);
    let EntryKind::Dir { first_child, count } = layer.entry(lib).kind else {
        panic!("a dir")
    };
    assert_eq!(
        (first_child, count),
        (EntryIndex(layer.child_range(lib).start), 2)
    );
    assert_eq!(
        layer.children(layer.find("bin/tool").unwrap()).len(),
        0,
        "a file has none"
    );
}

#[test]
fn paths_that_no_file_system_could_show_are_refused() {
    let long = "x".repeat(256);
    for path in [
        "",
        "/etc/passwd",
        "a//b",
        "a/",
        "./a",
        "a/./b",
        "../a",
        "a/..",
        "a\0b",
        &long,
    ] {
        let mut builder = LayerBuilder::new();
        let error = builder.inline(path, 0o644, 0, "").unwrap_err();
        assert!(
            matches!(error, LayerError::BadPath { .. }),
            "{path:?}: {error}"
        );
    }
    assert!(
        LayerBuilder::new().symlink("a", "").is_err(),
        "an empty target"
    );
    assert!(
        LayerBuilder::new().symlink("a", "b\0").is_err(),
        "a target with NUL"
    );
    assert!(LayerBuilder::new().dir("a/../b").is_err());
}

#[test]
fn one_path_cannot_be_two_things() {
    let mut builder = LayerBuilder::new();
    builder.inline("a/b", 0o644, 0, "1").unwrap();
    builder.dir("a").unwrap();
    builder.dir("").unwrap();
    for (path, why) in [
        ("a/b", "twice"),
        ("a", "a directory"),
        ("a/b/c", "below a file"),
    ] {
        let error = builder.inline(path, 0o644, 0, "2").unwrap_err();
        assert_eq!(
            error,
            LayerError::Duplicate {
                path: path.to_owned()
            },
            "{why}"
        );
    }
    let in_the_way = LayerError::Duplicate {
        path: "a/b".to_owned(),
    };
    assert_eq!(builder.dir("a/b"), Err(in_the_way));
}

#[test]
fn only_permission_bits_are_kept() {
    let mut builder = LayerBuilder::new();
    builder.inline("suid", 0o104_755, 0, "").unwrap();
    let layer = builder.build().open().unwrap();
    assert_eq!(layer.entry(layer.find("suid").unwrap()).mode, 0o755);
}

#[test]
fn an_empty_layer_has_a_root() {
    let layer = LayerBuilder::new().build().open().unwrap();
    layer.verify().unwrap();
    assert!(layer.is_empty());
    assert_eq!(layer.children(layer.root()).len(), 0);
    assert!(layer.get(EntryIndex(1)).is_none());
}

#[test]
fn other_versions_and_unknown_features_are_refused() {
    let bytes = sample().bytes;
    let patch = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Layer::from_bytes(bytes).unwrap_err()
    };
    assert_eq!(patch(0, b'X'), LayerFormatError::NotALayer);
    assert_eq!(patch(8, 2), LayerFormatError::Version { found: 2 });
    assert_eq!(patch(12, 4), LayerFormatError::Features(4));
    let cut = Layer::from_bytes(bytes[..bytes.len() - 1].to_vec()).unwrap_err();
    assert!(matches!(cut, LayerFormatError::Length { .. }), "{cut}");
    assert_eq!(
        Layer::from_bytes(b"BLAST".to_vec()).unwrap_err(),
        LayerFormatError::NotALayer
    );
}

#[test]
fn every_changed_byte_of_the_structure_is_noticed() {
    let encoded = sample();
    let layer = encoded.clone().open().unwrap();
    let structure = HEADER + layer.len() * RECORD;
    let mut unnoticed = Vec::new();
    for at in 0..structure {
        let mut bytes = encoded.bytes.clone();
        bytes[at] ^= 0x01;
        if Layer::from_bytes(bytes).is_ok_and(|layer| layer.verify().is_ok()) {
            unnoticed.push(at);
        }
    }
    // Modes and times are free to be anything, and compatible features may be unknown; those
    // bytes only the name of the layer protects.
    let free = |at: usize| {
        let field = at.wrapping_sub(HEADER) % RECORD;
        (16..20).contains(&at) || at >= HEADER && (12..24).contains(&field)
    };
    unnoticed.retain(|&at| !free(at));
    // One blob's index for another's is as good as any.
    let blob_index = |at: usize| at >= HEADER && (at - HEADER) % RECORD == 32;
    unnoticed.retain(|&at| !blob_index(at));
    assert_eq!(unnoticed, Vec::<usize>::new());
}

fn content() -> impl Strategy<Value = Content> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        bytes().prop_map(Content::File),
        bytes().prop_map(Content::Inline),
        (bytes(), bytes()).prop_map(|(base, tail)| Content::Extended(base, tail)),
        "[a-z./]{1,8}".prop_map(Content::Symlink),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-cA-C_é]{1,2}", 1..5).prop_map(|names| names.join("/"))
}

proptest! {
    #[test]
    fn a_layer_is_the_map_of_paths_it_was_built_from(
        wanted in prop::collection::vec((path(), content()), 0..40),
        seed in any::<u64>(),
    ) {
        let (mut builder, mut model) = (LayerBuilder::new(), BTreeMap::new());
        for (path, content) in wanted {
            if add(&mut builder, &path, &content).is_ok() {
                model.insert(path, content);
            }
        }
        let encoded = builder.build();
        // Canonical: any order of insertion gives the same bytes.
        let mut shuffled: Vec<_> = model.iter().collect();
        shuffled.sort_by_key(|(path, _)| blake3::hash(&[path.as_bytes(), &seed.to_le_bytes()].concat()).to_hex());
        let mut again = LayerBuilder::new();
        for (path, content) in shuffled {
            add(&mut again, path, content).unwrap();
        }
        let again = again.build();
        // Directories left over by refused entries are all that may differ.
        let layer = again.open().unwrap();
        layer.verify().unwrap();
        encoded.open().unwrap().verify().unwrap();
        let mut found = BTreeMap::new();
        for (index, entry) in layer.entries() {
            let path = layer.path(index);
            prop_assert_eq!(layer.find(&path), Some(index));
            let content = match entry.kind {
                EntryKind::Dir { .. } => continue,
                EntryKind::Inline { bytes } => Content::Inline(bytes.to_vec()),
                EntryKind::Symlink { target } => {
                    Content::Symlink(String::from_utf8(target.to_vec()).unwrap())
                }
                EntryKind::File { blob } => match &model[&path] {
                    Content::File(bytes) if BlobId::of(bytes) == blob => Content::File(bytes.clone()),
                    other => panic!("{path}: {other:?}"),
                },
                EntryKind::Extended { blob, base_size, tail } => match &model[&path] {
                    Content::Extended(base, _) if BlobId::of(base) == blob => {
                        prop_assert_eq!(base_size, base.len() as u64);
                        Content::Extended(base.clone(), tail.to_vec())
                    }
                    other => panic!("{path}: {other:?}"),
                },
                EntryKind::Damaged => panic!("{path} is damaged"),
            };
            found.insert(path, content);
        }
        prop_assert_eq!(found, model);
    }

    #[test]
    fn damage_anywhere_never_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shorten in prop::bool::weighted(0.1),
    ) {
        let mut bytes = sample().bytes;
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        let Ok(layer) = Layer::from_bytes(bytes) else { return Ok(()) };
        let whole = layer.verify().is_ok();
        let mut visited = 0;
        for (index, entry) in layer.entries() {
            visited += layer.children(index).count();
            let path = layer.path(index);
            if whole {
                prop_assert_eq!(layer.find(&path), Some(index));
                prop_assert!(entry.kind != EntryKind::Damaged);
            }
        }
        prop_assert!(!whole || visited == layer.len() - 1);
    }
}
