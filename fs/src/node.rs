//! Node numbers: what a 64-bit inode number says.
//!
//! Numbers carry their meaning, so that no table maps them and a new daemon process understands
//! those that an old one gave to the kernel.
//!
//! ```text
//! bits 63-62   kind
//! 0            1 = root, 2 = `.generation`, 2^32 + tree = the link of any environment at that tree
//! 1            layer (32 bits), entry (30 bits)               file or symlink, shared by all trees
//! 2            tree (21 bits), layer (21 bits), entry (20 bits)          directory of one tree
//! 3            as 2                                  the `__pycache__` of that directory
//! ```
//!
//! A directory is named by the first (lowest) layer that contributes to it; as the layers of a tree
//! never change, neither does the name. A tree's own root is entry 0 of layer 0, whichever layers
//! the tree has, since entry 0 of every layer is its root. An environment's link is named by where
//! it points: a swap gives the name another node, and a link's cached target is never wrong.
//!
//! The kernel allows a directory one parent only, hence the tree in the number; files may appear in
//! many, hence none: ten environments with one layer share its inodes and so its page cache.

use blast_store::{EntryIndex, LayerNumber, TreeNumber};

use crate::error::FsError;

const ENTRY_BITS: u32 = 30;
const PLACE_LAYER_BITS: u32 = 21;
const PLACE_ENTRY_BITS: u32 = 20;
const KIND_SHIFT: u32 = 62;

const KIND_SPECIAL: u64 = 0;
const KIND_FILE: u64 = 1;
const KIND_DIRECTORY: u64 = 2;
const KIND_BYTECODE: u64 = 3;

const ROOT: u64 = 1;
const GENERATIONS: u64 = 2;
const LINK: u64 = 1 << 32;

/// The highest entry of a layer that can be served as a file.
pub const MAX_FILE_ENTRY: u32 = (1 << ENTRY_BITS) - 1;
/// The highest entry of a layer that can be served as a directory.
pub const MAX_DIRECTORY_ENTRY: u32 = (1 << PLACE_ENTRY_BITS) - 1;
/// The highest number of a layer whose directories can be served.
pub const MAX_DIRECTORY_LAYER: u32 = (1 << PLACE_LAYER_BITS) - 1;
/// The highest number of a tree that can be served.
pub const MAX_TREE: u32 = (1 << (KIND_SHIFT - PLACE_LAYER_BITS - PLACE_ENTRY_BITS)) - 1;

/// A node number, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ino(pub(crate) u64);

impl Ino {
    /// The root of the mount, as FUSE fixes it.
    pub(crate) const ROOT: Self = Self(ROOT);
}

/// A directory of one tree, named by the first entry that contributes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The tree.
    pub(crate) tree: TreeNumber,
    /// The lowest layer with this directory; 0 for the root of the tree.
    pub(crate) layer: LayerNumber,
    /// Its entry there; 0 is the root.
    pub(crate) entry: EntryIndex,
}

impl Place {
    /// The root directory of a tree.
    pub(crate) fn root(tree: TreeNumber) -> Self {
        Self {
            tree,
            layer: LayerNumber(0),
            entry: EntryIndex::ROOT,
        }
    }

    /// Whether this is the root directory of its tree.
    pub(crate) fn is_root(self) -> bool {
        self.entry == EntryIndex::ROOT
    }

    fn bits(self) -> Result<u64, FsError> {
        let (tree, layer, entry) = (self.tree.0, self.layer.0, self.entry.0);
        if tree > MAX_TREE || layer > MAX_DIRECTORY_LAYER || entry > MAX_DIRECTORY_ENTRY {
            return Err(FsError::Unnumbered {
                tree: Some(self.tree),
                layer: self.layer,
                entry,
            });
        }
        Ok(u64::from(tree) << (PLACE_LAYER_BITS + PLACE_ENTRY_BITS)
            | u64::from(layer) << PLACE_ENTRY_BITS
            | u64::from(entry))
    }

    fn from_bits(bits: u64) -> Self {
        let field = |shift: u32, max: u32| (bits >> shift) as u32 & max;
        let place = Self {
            tree: TreeNumber(field(PLACE_LAYER_BITS + PLACE_ENTRY_BITS, MAX_TREE)),
            layer: LayerNumber(field(PLACE_ENTRY_BITS, MAX_DIRECTORY_LAYER)),
            entry: EntryIndex(field(0, MAX_DIRECTORY_ENTRY)),
        };
        // Entry 0 of any layer is the root of the tree: one directory, one number.
        if place.is_root() {
            Self::root(place.tree)
        } else {
            place
        }
    }
}

/// What a node number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// The mount's root, which lists the environments.
    Root,
    /// The directory `.generation`, whose entries are found by name and not listed.
    Generations,
    /// The link of an environment whose head is this tree.
    Link(TreeNumber),
    /// A file or symlink of a layer.
    File {
        /// The layer.
        layer: LayerNumber,
        /// Its entry.
        entry: EntryIndex,
    },
    /// A directory of a tree.
    Directory(Place),
    /// The `__pycache__` of a directory of a tree.
    Bytecode(Place),
}

impl Node {
    /// The number of this node.
    ///
    /// # Errors
    ///
    /// [`FsError::Unnumbered`] where a field is beyond what the number has bits for.
    pub(crate) fn ino(self) -> Result<Ino, FsError> {
        let bits = match self {
            Self::Root => ROOT,
            Self::Generations => GENERATIONS,
            Self::Link(tree) => LINK | u64::from(tree.0),
            Self::File { layer, entry } => {
                if entry.0 > MAX_FILE_ENTRY {
                    return Err(FsError::Unnumbered {
                        tree: None,
                        layer,
                        entry: entry.0,
                    });
                }
                KIND_FILE << KIND_SHIFT | u64::from(layer.0) << ENTRY_BITS | u64::from(entry.0)
            }
            Self::Directory(place) => KIND_DIRECTORY << KIND_SHIFT | place.bits()?,
            Self::Bytecode(place) => KIND_BYTECODE << KIND_SHIFT | place.bits()?,
        };
        Ok(Ino(bits))
    }

    /// The node with this number.
    ///
    /// # Errors
    ///
    /// [`FsError::UnknownNode`] where no node ever has it.
    pub(crate) fn of(ino: Ino) -> Result<Self, FsError> {
        let bits = ino.0 & ((1 << KIND_SHIFT) - 1);
        match ino.0 >> KIND_SHIFT {
            KIND_SPECIAL => match bits {
                ROOT => Ok(Self::Root),
                GENERATIONS => Ok(Self::Generations),
                _ if bits >> 32 == LINK >> 32 => Ok(Self::Link(TreeNumber(bits as u32))),
                _ => Err(FsError::UnknownNode { ino: ino.0 }),
            },
            KIND_FILE => Ok(Self::File {
                layer: LayerNumber((bits >> ENTRY_BITS) as u32),
                entry: EntryIndex(bits as u32 & MAX_FILE_ENTRY),
            }),
            KIND_DIRECTORY => Ok(Self::Directory(Place::from_bits(bits))),
            _ => Ok(Self::Bytecode(Place::from_bits(bits))),
        }
    }

    /// The tree that this node keeps in use while the kernel knows it: only directories do, and
    /// the kernel knows the directory of each file that is open or mapped.
    pub(crate) fn tree(self) -> Option<TreeNumber> {
        match self {
            Self::Directory(place) | Self::Bytecode(place) => Some(place.tree),
            Self::Root | Self::Generations | Self::Link(_) | Self::File { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(tree: u32, layer: u32, entry: u32) -> Place {
        Place {
            tree: TreeNumber(tree),
            layer: LayerNumber(layer),
            entry: EntryIndex(entry),
        }
    }

    fn file(layer: u32, entry: u32) -> Node {
        Node::File {
            layer: LayerNumber(layer),
            entry: EntryIndex(entry),
        }
    }

    /// Every corner of every field, and all pairs of those corners.
    fn corners() -> Vec<Node> {
        let mut nodes = vec![Node::Root, Node::Generations];
        for tree in [0, 1, 2, MAX_TREE - 1, MAX_TREE] {
            nodes.push(Node::Link(TreeNumber(tree)));
            nodes.push(Node::Directory(Place::root(TreeNumber(tree))));
            nodes.push(Node::Bytecode(Place::root(TreeNumber(tree))));
            for layer in [0, 1, MAX_DIRECTORY_LAYER - 1, MAX_DIRECTORY_LAYER] {
                for entry in [1, 2, MAX_DIRECTORY_ENTRY - 1, MAX_DIRECTORY_ENTRY] {
                    nodes.push(Node::Directory(place(tree, layer, entry)));
                    nodes.push(Node::Bytecode(place(tree, layer, entry)));
                }
            }
        }
        nodes.push(Node::Link(TreeNumber(u32::MAX)));
        for layer in [0, 1, u32::MAX - 1, u32::MAX] {
            for entry in [0, 1, MAX_FILE_ENTRY - 1, MAX_FILE_ENTRY] {
                nodes.push(file(layer, entry));
            }
        }
        nodes
    }

    #[test]
    fn numbers_round_trip_and_never_meet() {
        let mut seen = std::collections::HashMap::new();
        for node in corners() {
            let ino = node.ino().expect("within the limits");
            assert_eq!(Node::of(ino).expect("a number of ours"), node);
            assert_eq!(seen.insert(ino, node), None, "{node:?} shares a number");
        }
    }

    #[test]
    fn root_has_the_number_that_fuse_fixes() {
        assert_eq!(Node::Root.ino().expect("fixed"), Ino(1));
    }

    #[test]
    fn fields_beyond_their_bits_are_refused() {
        for node in [
            file(0, MAX_FILE_ENTRY + 1),
            Node::Directory(place(MAX_TREE + 1, 0, 1)),
            Node::Directory(place(0, MAX_DIRECTORY_LAYER + 1, 1)),
            Node::Bytecode(place(0, 0, MAX_DIRECTORY_ENTRY + 1)),
        ] {
            assert!(
                matches!(node.ino(), Err(FsError::Unnumbered { .. })),
                "{node:?}"
            );
        }
    }

    #[test]
    fn numbers_of_no_kind_are_refused() {
        for bits in [0, 3, 1 << 31, 2 << 32, 1 << 61] {
            assert!(
                matches!(Node::of(Ino(bits)), Err(FsError::UnknownNode { .. })),
                "{bits:#x}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_number_is_refused_or_names_one_node(bits in any::<u64>()) {
            if let Ok(node) = Node::of(Ino(bits)) {
                let again = node.ino().expect("decoded fields fit");
                prop_assert_eq!(Node::of(again).expect("a number of ours"), node);
            }
        }

        #[test]
        fn any_place_round_trips(
            tree in 0..=MAX_TREE,
            layer in 0..=MAX_DIRECTORY_LAYER,
            entry in 1..=MAX_DIRECTORY_ENTRY,
        ) {
            let node = Node::Directory(place(tree, layer, entry));
            prop_assert_eq!(Node::of(node.ino().expect("fits")).expect("ours"), node);
        }
    }
}
