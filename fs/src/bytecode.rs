//! The `__pycache__` of a directory: what the compiled companions of its layers add.
//!
//! A companion is a layer that holds, at their places in the prefix, the `.pyc` files of one package
//! layer for one kind of interpreter. The `__pycache__` of a directory is composed from
//!
//! 1. the companions of those of its layers that show a Python source there, and above them
//! 2. the `__pycache__` directories that the layers have themselves (a wheel may ship bytecode, and its
//!    RECORD names it).
//!
//! A companion's file is shown only where the source it was made from is shown: in a directory that
//! several layers share, one may hide another's source, and bytecode of the hidden one would run in
//! its stead (the interpreter does not check every kind of `.pyc` against its source).

use std::sync::Arc;

use blast_store::{EntryIndex, LayerNumber};

use crate::content::{Bytecode, Content};
use crate::tree::{Child, Directory, Part};

/// The name under which interpreters look for bytecode.
pub(crate) const NAME: &[u8] = b"__pycache__";

/// A `__pycache__` as far as it exists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiled {
    /// Its content; none where there is nothing (yet).
    pub(crate) directory: Option<Arc<Directory>>,
    /// Layers that show a source here and are still to be compiled, with their entry of the
    /// directory: what is missing must not be cached as missing.
    pub(crate) pending: Vec<(LayerNumber, EntryIndex)>,
}

impl Compiled {
    /// What the `__pycache__` of `parent` looks like at this moment.
    pub(crate) fn of(parent: &Directory, tag: &str, content: &dyn Content) -> Self {
        let own = match parent.child(NAME) {
            // A file of that name: there is no directory, and never will be.
            Some(Child::Leaf(_)) => return Self::default(),
            Some(Child::Directory(parts)) => parts,
            None => Vec::new(),
        };
        let mut pending = Vec::new();
        let mut companions = Vec::new();
        let mut made_from = Vec::new();
        for index in parent.source_parts() {
            let part = &parent.parts()[index];
            let found = match content.bytecode(part.number, tag) {
                Bytecode::None => continue,
                Bytecode::Pending(so_far) => {
                    pending.push((part.number, part.entry));
                    so_far
                }
                Bytecode::Ready(number, layer) => vec![(number, layer)],
            };
            let path = cache_path(part);
            for (number, layer) in found {
                let Some(entry) = layer.find(&path) else {
                    continue;
                };
                companions.push(Part {
                    number,
                    layer,
                    entry,
                });
                made_from.push(part.number);
            }
        }
        let shared = parent.parts().len() > 1 && !companions.is_empty();
        let mut parts = companions;
        parts.extend(own);
        let directory = match (parts.is_empty(), shared) {
            (true, _) => None,
            (false, false) => Some(Directory::compose(parts)),
            (false, true) => Some(Directory::compose_where(parts, |index, name| {
                // Beyond the companions are the layers' own directories, shown whole.
                made_from
                    .get(index)
                    .is_none_or(|&layer| source_layer(parent, name) == Some(layer))
            })),
        };
        Self {
            directory: directory.map(Arc::new),
            pending,
        }
    }

    /// Which pending layer would supply this missing file.
    pub(crate) fn awaited(
        &self,
        parent: &Directory,
        name: &[u8],
    ) -> Option<(LayerNumber, EntryIndex)> {
        if self.pending.is_empty() {
            return None;
        }
        let source = source_layer(parent, name)?;
        self.pending
            .iter()
            .copied()
            .find(|&(layer, _)| layer == source)
    }
}

/// The path of the `__pycache__` beside a directory's children, within any layer.
fn cache_path(part: &Part) -> String {
    let mut path = part.layer.path(part.entry);
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str("__pycache__");
    path
}

/// The layer that shows the source of a bytecode file.
fn source_layer(parent: &Directory, bytecode: &[u8]) -> Option<LayerNumber> {
    match parent.child(&source_name(bytecode)?)? {
        Child::Leaf(part) => Some(part.number),
        Child::Directory(_) => None,
    }
}

/// `name.py` for `name.<cache tag>.pyc` and `name.<cache tag>.opt-<level>.pyc` (PEP 3147, PEP 488).
fn source_name(bytecode: &[u8]) -> Option<Vec<u8>> {
    let cut = |bytes: &[u8]| -> Option<(usize, bool)> {
        let dot = bytes.iter().rposition(|&byte| byte == b'.')?;
        Some((dot, bytes[dot..].starts_with(b".opt-")))
    };
    let stem = bytecode.strip_suffix(b".pyc")?;
    let (dot, optimised) = cut(stem)?;
    let dot = if optimised { cut(&stem[..dot])?.0 } else { dot };
    (dot > 0).then(|| [&stem[..dot], b".py"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_the_names_of_their_bytecode() {
        let rows: [(&[u8], Option<&[u8]>); 8] = [
            (b"six.cpython-312.pyc", Some(b"six.py")),
            (b"six.cpython-312.opt-1.pyc", Some(b"six.py")),
            (b"a.b.cpython-38.pyc", Some(b"a.b.py")),
            (b"six.pyc", None),
            (b".cpython-312.pyc", None),
            (b".pyc", None),
            (b"six.opt-1.pyc", None),
            (b"six.py", None),
        ];
        for (bytecode, source) in rows {
            assert_eq!(source_name(bytecode).as_deref(), source, "{bytecode:?}");
        }
    }
}
