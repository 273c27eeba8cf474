//! Building a layer: a tree of nodes by path, then one breadth-first walk that writes the
//! encoding. Names are checked as they come in, so that a layer that builds is a layer that any
//! file system can show.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use blast_types::{BlobId, LayerId};

use super::{
    HEADER, LAYER_VERSION, Layer, LayerFormatError, MAGIC, MAX_ENTRIES, MAX_NAME, RECORD,
    is_plain_name, kind,
};

/// Why a tree cannot become a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The path is not a plain relative path.
    #[error("`{path}` is no usable path in a layer: {reason}")]
    BadPath {
        /// The path as given, control characters escaped.
        path: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Two entries claim the same path, or a file claims the path of a directory.
    #[error("`{path}` is in the layer twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// More entries than a node number can name.
    #[error("a layer holds at most {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// Names and inline bytes come to more than 4 GiB.
    #[error("the names and small files of a layer come to more than 4 GiB")]
    TooLarge,
}

#[derive(Debug)]
enum Payload {
    Dir(BTreeMap<Box<str>, usize>),
    File {
        blob: BlobId,
    },
    Inline(Vec<u8>),
    Extended {
        blob: BlobId,
        base_size: u64,
        tail: Vec<u8>,
    },
    Symlink(Box<str>),
}

#[derive(Debug)]
struct Node {
    mode: u32,
    mtime: i64,
    size: u64,
    payload: Payload,
}

impl Node {
    fn dir() -> Self {
        Self {
            mode: 0o755,
            mtime: 0,
            size: 0,
            payload: Payload::Dir(BTreeMap::new()),
        }
    }
}

/// Collects the entries of a layer in any order.
///
/// Paths are relative and `/`-separated; parents come into being by themselves. Modes keep their
/// nine permission bits; directories are 0755 and links 0777, both with modification time 0 (a
/// view gives directories the time of their tree).
#[derive(Debug)]
pub struct LayerBuilder {
    nodes: Vec<Node>,
    heap_bytes: u64,
}

/// A layer as bytes, not yet in any store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedLayer {
    /// The layer's name.
    pub id: LayerId,
    /// Its canonical encoding.
    pub bytes: Vec<u8>,
}

impl EncodedLayer {
    /// Reads the layer where it lies.
    pub fn open(self) -> Result<Layer, LayerFormatError> {
        Layer::from_encoded(self)
    }
}

impl Default for LayerBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerBuilder {
    /// A layer with nothing but its root.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::dir()],
            heap_bytes: 0,
        }
    }

    /// Adds a file whose bytes are a blob of `size` bytes.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        mtime: i64,
        blob: BlobId,
        size: u64,
    ) -> Result<(), LayerError> {
        self.insert(
            path,
            Node {
                mode: mode & 0o777,
                mtime,
                size,
                payload: Payload::File { blob },
            },
        )
    }

    /// Adds a file whose bytes lie in the layer itself; meant for [`super::INLINE_BYTES`] or less.
    pub fn inline(
        &mut self,
        path: &str,
        mode: u32,
        mtime: i64,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), LayerError> {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        self.insert(
            path,
            Node {
                mode: mode & 0o777,
                mtime,
                size,
                payload: Payload::Inline(bytes),
            },
        )
    }

    /// Adds a file that is a blob of `base_size` bytes followed by `tail`.
    pub fn extended(
        &mut self,
        path: &str,
        mode: u32,
        mtime: i64,
        blob: BlobId,
        base_size: u64,
        tail: impl Into<Vec<u8>>,
    ) -> Result<(), LayerError> {
        let tail = tail.into();
        let size = base_size
            .checked_add(tail.len() as u64)
            .ok_or(LayerError::TooLarge)?;
        let payload = Payload::Extended {
            blob,
            base_size,
            tail,
        };
        self.insert(
            path,
            Node {
                mode: mode & 0o777,
                mtime,
                size,
                payload,
            },
        )
    }

    /// Adds a symbolic link. The target is kept as it is; whether it may lead out of the prefix is
    /// for whoever builds the layer to decide.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), LayerError> {
        if target.is_empty() || target.len() > 4095 || target.contains('\0') {
            return Err(bad(path, "a link target is 1 to 4095 bytes without NUL"));
        }
        let payload = Payload::Symlink(target.into());
        self.insert(
            path,
            Node {
                mode: 0o777,
                mtime: 0,
                size: target.len() as u64,
                payload,
            },
        )
    }

    /// Adds a directory; it may exist already. The empty path is the root.
    pub fn dir(&mut self, path: &str) -> Result<(), LayerError> {
        if !path.is_empty() {
            self.dir_node(path, path)?;
        }
        Ok(())
    }

    /// How many entries there are, the root among them.
    pub fn entry_count(&self) -> usize {
        self.nodes.len()
    }

    fn insert(&mut self, path: &str, node: Node) -> Result<(), LayerError> {
        let (parent, name) = match path.rsplit_once('/') {
            Some((parent, name)) => (self.dir_node(parent, path)?, name),
            None => (0, path),
        };
        check_name(name, path)?;
        let heap = match &node.payload {
            Payload::Inline(bytes) | Payload::Extended { tail: bytes, .. } => bytes.len(),
            Payload::Symlink(target) => target.len(),
            Payload::Dir(_) | Payload::File { .. } => 0,
        };
        let index = self.nodes.len();
        let Payload::Dir(children) = &mut self.nodes[parent].payload else {
            return Err(LayerError::Duplicate {
                path: path.to_owned(),
            });
        };
        match children.entry(name.into()) {
            Slot::Occupied(_) => {
                return Err(LayerError::Duplicate {
                    path: path.to_owned(),
                });
            }
            Slot::Vacant(slot) => slot.insert(index),
        };
        self.push(node, name.len() + heap)
    }

    fn push(&mut self, node: Node, heap: usize) -> Result<(), LayerError> {
        self.heap_bytes += heap as u64;
        self.nodes.push(node);
        if self.nodes.len() > MAX_ENTRIES {
            return Err(LayerError::TooManyEntries);
        }
        if self.heap_bytes > u64::from(u32::MAX) {
            return Err(LayerError::TooLarge);
        }
        Ok(())
    }

    /// The node of directory `path`, made where missing; `whole` is the path to name in errors.
    fn dir_node(&mut self, path: &str, whole: &str) -> Result<usize, LayerError> {
        let mut at = 0;
        for name in path.split('/') {
            check_name(name, whole)?;
            let next = self.nodes.len();
            let Payload::Dir(children) = &mut self.nodes[at].payload else {
                return Err(LayerError::Duplicate {
                    path: whole.to_owned(),
                });
            };
            if let Some(&child) = children.get(name) {
                at = child;
            } else {
                children.insert(name.into(), next);
                self.push(Node::dir(), name.len())?;
                at = next;
            }
        }
        match self.nodes[at].payload {
            Payload::Dir(_) => Ok(at),
            _ => Err(LayerError::Duplicate {
                path: whole.to_owned(),
            }),
        }
    }

    /// Writes the canonical encoding.
    pub fn build(self) -> EncodedLayer {
        let order = breadth_first(&self.nodes);
        let blobs = self.blob_table();
        let mut heap = Vec::with_capacity(self.heap_bytes as usize);
        let mut bytes = Vec::with_capacity(
            HEADER + self.nodes.len() * RECORD + blobs.len() * 32 + self.heap_bytes as usize,
        );
        let content_bytes: u64 = self
            .nodes
            .iter()
            .filter(|node| !matches!(node.payload, Payload::Symlink(_)))
            .fold(0, |sum, node| sum.wrapping_add(node.size));
        bytes.extend_from_slice(MAGIC);
        for word in [
            LAYER_VERSION,
            0,
            0,
            self.nodes.len() as u32,
            blobs.len() as u32,
            0,
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.heap_bytes.to_le_bytes());
        bytes.extend_from_slice(&content_bytes.to_le_bytes());
        bytes.resize(HEADER, 0);
        for placed in &order {
            self.nodes[placed.node].encode(placed, &blobs, &mut heap, &mut bytes);
        }
        for blob in &blobs {
            bytes.extend_from_slice(blob.as_bytes());
        }
        bytes.extend_from_slice(&heap);
        EncodedLayer {
            id: LayerId::from_bytes(*blake3::hash(&bytes).as_bytes()),
            bytes,
        }
    }

    fn blob_table(&self) -> Vec<BlobId> {
        let mut blobs: Vec<BlobId> = self
            .nodes
            .iter()
            .filter_map(|node| match node.payload {
                Payload::File { blob } | Payload::Extended { blob, .. } => Some(blob),
                _ => None,
            })
            .collect();
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }
}

/// A node and where the walk put it.
struct Placed<'a> {
    node: usize,
    name: &'a str,
    parent: u32,
    first_child: u32,
}

fn breadth_first(nodes: &[Node]) -> Vec<Placed<'_>> {
    let mut order = Vec::with_capacity(nodes.len());
    order.push(Placed {
        node: 0,
        name: "",
        parent: 0,
        first_child: 0,
    });
    let mut at = 0;
    while at < order.len() {
        let first_child = order.len() as u32;
        order[at].first_child = first_child;
        if let Payload::Dir(children) = &nodes[order[at].node].payload {
            for (name, &node) in children {
                order.push(Placed {
                    node,
                    name,
                    parent: at as u32,
                    first_child: 0,
                });
            }
        }
        at += 1;
    }
    order
}

impl Node {
    fn encode(&self, placed: &Placed<'_>, blobs: &[BlobId], heap: &mut Vec<u8>, out: &mut Vec<u8>) {
        let name_offset = heap.len() as u32;
        heap.extend_from_slice(placed.name.as_bytes());
        let data_offset = heap.len() as u64;
        let blob_index = |blob| blobs.binary_search(blob).map_or(0, |index| index as u64);
        let (kind, first, second) = match &self.payload {
            Payload::Dir(children) => (
                kind::DIR,
                u64::from(placed.first_child),
                children.len() as u64,
            ),
            Payload::File { blob } => (kind::FILE, blob_index(blob), 0),
            Payload::Inline(bytes) => {
                heap.extend_from_slice(bytes);
                (kind::INLINE, data_offset, 0)
            }
            Payload::Extended {
                blob,
                base_size,
                tail,
            } => {
                heap.extend_from_slice(tail);
                (
                    kind::EXTENDED,
                    blob_index(blob) | data_offset << 32,
                    *base_size,
                )
            }
            Payload::Symlink(target) => {
                heap.extend_from_slice(target.as_bytes());
                (kind::SYMLINK, data_offset, 0)
            }
        };
        out.extend_from_slice(&name_offset.to_le_bytes());
        out.extend_from_slice(&(placed.name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[kind, 0]);
        out.extend_from_slice(&placed.parent.to_le_bytes());
        out.extend_from_slice(&self.mode.to_le_bytes());
        out.extend_from_slice(&self.mtime.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
    }
}

fn check_name(name: &str, whole: &str) -> Result<(), LayerError> {
    if is_plain_name(name.as_bytes()) {
        return Ok(());
    }
    Err(bad(
        whole,
        match name {
            "" if whole.starts_with('/') => "it is absolute",
            "" => "a component is empty",
            "." | ".." => "a component is `.` or `..`",
            _ if name.len() > MAX_NAME => "a component is longer than 255 bytes",
            _ => "it holds a NUL byte",
        },
    ))
}

fn bad(path: &str, reason: &'static str) -> LayerError {
    LayerError::BadPath {
        path: path.escape_debug().to_string(),
        reason,
    }
}
