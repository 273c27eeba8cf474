//! A view over memory, mounted for one test.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use blast_fs::memory::MemoryContent;
use blast_fs::{MountOptions, View};
use blast_harness::{Means, require};
use blast_store::{LayerBuilder, LayerNumber, TreeNumber};
use blast_types::EnvName;
use tempfile::TempDir;

/// A mounted view over memory. Unmounts when dropped, also when a test panics.
pub(crate) struct Mount {
    pub(crate) view: Option<View>,
    pub(crate) content: Arc<MemoryContent>,
    pub(crate) folder: TempDir,
}

impl Mount {
    /// None where the host has no FUSE, which was said then.
    pub(crate) fn new() -> Option<Self> {
        if !require(Means::Fuse) {
            return None;
        }
        let content = Arc::new(MemoryContent::new());
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Self {
            view: None,
            content,
            folder,
        };
        mount.view = Some(mount.mount());
        Some(mount)
    }

    pub(crate) fn mount(&self) -> View {
        View::mount(
            &self.live(),
            Arc::clone(&self.content) as _,
            MountOptions::default(),
        )
        .unwrap()
    }

    pub(crate) fn view(&self) -> &View {
        self.view.as_ref().unwrap()
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.folder.path().join("live")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.live().join(below)
    }

    /// A layer of small files with these paths and bytes.
    pub(crate) fn layer(&self, files: &[(&str, &str)]) -> LayerNumber {
        let mut builder = LayerBuilder::new();
        for (path, bytes) in files {
            builder
                .inline(path, 0o644, 1_500_000_000, bytes.as_bytes())
                .unwrap();
        }
        self.content.add_layer(builder).unwrap()
    }

    pub(crate) fn tree(&self, files: &[(&str, &str)]) -> TreeNumber {
        let layer = self.layer(files);
        self.content.add_tree(&[layer], None)
    }

    pub(crate) fn show(&self, environment: &str, tree: TreeNumber) {
        self.view().set_environment(&name(environment), tree);
    }

    /// Requests since `before`, without forgets, which come when the kernel likes.
    pub(crate) fn requests_since(
        &self,
        before: &BTreeMap<&'static str, u64>,
    ) -> BTreeMap<&'static str, u64> {
        let mut now = self.view().counters();
        now.remove("forget");
        now.retain(|op, count| {
            *count -= before[op];
            *count > 0
        });
        now
    }
}

pub(crate) fn name(text: &str) -> EnvName {
    text.parse().unwrap()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn list(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path.as_ref()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "still waiting until {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
