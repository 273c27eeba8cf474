//! What programs use of the view, told to whoever wants to know.
//!
//! The first use of a layer after a mount asks for its files one by one, and the program waits for
//! each answer. Somebody who knows what programs read of that layer before can ask the kernel for
//! it meanwhile, on another processor. That has to be another process: one that waits for the view
//! while it serves it could not be ended.

use std::fmt;
use std::sync::{Arc, OnceLock};

use blast_store::{EntryIndex, LayerNumber, TreeNumber};

use super::Server;
use crate::error::FsError;
use crate::node::{Ino, Node};
use crate::recent::Recent;

/// Layers of trees of which it is remembered that they are in use, at most twice this number.
const BEGUN: usize = 4096;

/// Is told what programs use. Called by threads that serve the view, when the answer was given:
/// does not touch the view, and returns soon.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A file of this layer was looked up in this tree, for the first time since the view rested.
    fn begun(&self, tree: TreeNumber, layer: LayerNumber);

    /// A thread, by its number, read bytes of a file: so many from this one on.
    fn read(&self, thread: u32, layer: LayerNumber, entry: EntryIndex, offset: u64, length: u64);

    /// A name was looked for in a directory, and is not there; of several layers that have the
    /// directory, this is the lowest.
    fn missed(&self, layer: LayerNumber, directory: EntryIndex, name: &[u8]);
}

/// Who is told, and of what it was told.
#[derive(Debug)]
pub(super) struct Uses {
    observer: OnceLock<Arc<dyn Observer>>,
    begun: Recent<(TreeNumber, LayerNumber), ()>,
}

impl Uses {
    pub(super) fn new() -> Self {
        Self {
            observer: OnceLock::new(),
            begun: Recent::new(BEGUN),
        }
    }

    /// Forgets what was told, so that it is told again.
    pub(super) fn clear(&self) {
        self.begun.clear();
    }

    fn begin(&self, tree: TreeNumber, layer: LayerNumber) {
        if let Some(observer) = self.observer.get()
            && self.begun.get((tree, layer)).is_none()
        {
            self.begun.insert((tree, layer), ());
            observer.begun(tree, layer);
        }
    }
}

impl Server {
    /// Tells this one what programs use; only the first that is named.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        drop(self.uses.observer.set(observer));
    }

    /// A name was found in a directory, as this node.
    pub(crate) fn found_in(&self, parent: u64, child: u64) -> Result<(), FsError> {
        let parent = Node::of(Ino(parent))?;
        if let (Some(tree), Node::File { layer, .. }) = (parent.tree(), Node::of(Ino(child))?) {
            if let Node::Bytecode(place) = parent {
                // The kernel may know the sources by a listing, without a look-up.
                self.uses.begin(tree, place.layer);
            }
            self.uses.begin(tree, layer);
        }
        Ok(())
    }

    /// A name was not found in a directory, and will not be.
    pub(crate) fn missed_in(&self, parent: u64, name: &[u8]) -> Result<(), FsError> {
        if let Some(observer) = self.uses.observer.get()
            && let Node::Directory(place) = Node::of(Ino(parent))?
        {
            observer.missed(place.layer, place.entry, name);
        }
        Ok(())
    }

    /// So many bytes of a file were read.
    pub(crate) fn was_read(
        &self,
        thread: u32,
        ino: u64,
        offset: u64,
        length: usize,
    ) -> Result<(), FsError> {
        if let Some(observer) = self.uses.observer.get()
            && let Node::File { layer, entry } = Node::of(Ino(ino))?
        {
            observer.read(thread, layer, entry, offset, length as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use blast_store::LayerBuilder;

    use super::*;
    use crate::memory::MemoryContent;
    use crate::node::Place;
    use crate::recent::lock;
    use crate::server::Lookup;

    /// Remembers what it was told.
    #[derive(Debug, Default)]
    struct Told {
        begun: Mutex<Vec<LayerNumber>>,
        read: Mutex<Vec<(LayerNumber, u64, u64)>>,
        missed: Mutex<Vec<(LayerNumber, Vec<u8>)>>,
    }

    impl Observer for Told {
        fn begun(&self, _: TreeNumber, layer: LayerNumber) {
            lock(&self.begun).push(layer);
        }

        fn read(&self, _: u32, layer: LayerNumber, _: EntryIndex, offset: u64, length: u64) {
            lock(&self.read).push((layer, offset, length));
        }

        fn missed(&self, layer: LayerNumber, _: EntryIndex, name: &[u8]) {
            lock(&self.missed).push((layer, name.to_vec()));
        }
    }

    fn layer(content: &MemoryContent, paths: &[&str]) -> LayerNumber {
        let mut builder = LayerBuilder::new();
        for path in paths {
            builder.inline(path, 0o644, 7, b"some bytes").unwrap();
        }
        content.add_layer(builder).unwrap()
    }

    /// Looks a path up, as the kernel does.
    fn find(server: &Server, tree: TreeNumber, path: &str) -> u64 {
        let mut at = Node::Directory(Place::root(tree)).ino().unwrap().0;
        for name in path.split('/') {
            let Lookup::Found(attr) = server.lookup(at, name.as_bytes()).unwrap() else {
                panic!("{path} is absent");
            };
            server.found_in(at, attr.ino).unwrap();
            at = attr.ino;
        }
        at
    }

    #[test]
    fn each_layer_is_told_once_when_a_file_of_it_is_found() {
        let content = Arc::new(MemoryContent::new());
        let package = layer(&content, &["lib/p/a.py", "lib/p/b.py"]);
        let other = layer(&content, &["lib/q/c.py"]);
        let compiled = layer(&content, &["lib/p/__pycache__/a.cpython-312.pyc"]);
        content.decide_bytecode(package, Some(compiled));
        let tree = content.add_tree(&[package, other], Some("cpython-312-3531"));
        let server = Server::new(content);
        let told = Arc::new(Told::default());
        server.observe(Arc::<Told>::clone(&told));
        let begun = || std::mem::take(&mut *lock(&told.begun));

        find(&server, tree, "lib/p");
        assert_eq!(begun(), [], "a directory is of no one layer");
        find(&server, tree, "lib/p/__pycache__/a.cpython-312.pyc");
        assert_eq!(begun(), [package, compiled]);
        find(&server, tree, "lib/p/a.py");
        find(&server, tree, "lib/p/__pycache__/a.cpython-312.pyc");
        assert_eq!(begun(), [], "both were told");
        let read = find(&server, tree, "lib/q/c.py");
        assert_eq!(begun(), [other]);
        server.rest();
        find(&server, tree, "lib/q/c.py");
        assert_eq!(begun(), [other], "after a rest, again");

        server.was_read(1, read, 4, 6).unwrap();
        assert_eq!(*lock(&told.read), [(other, 4, 6)]);
        let directory = find(&server, tree, "lib/q");
        server.missed_in(directory, b"__init__.so").unwrap();
        server.missed_in(read, b"below a file").unwrap();
        assert_eq!(*lock(&told.missed), [(other, b"__init__.so".to_vec())]);
    }
}
