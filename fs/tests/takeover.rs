//! A mount whose process died, and what the next process makes of it.
//!
//! Names start with `fuse_`; see `fuse.rs`. A child process mounts and is killed; this one has taken the
//! descriptor of the connection before, as a holder would.

#![allow(clippy::unwrap_used, reason = "tests")]

mod mounted;

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use blast_fs::memory::MemoryContent;
use blast_fs::{
    Handover, Inheritance, MountError, MountOptions, MountRecord, MountState, Offer, View,
    mount_state,
};
use blast_harness::{Means, require};
use blast_store::{LayerBuilder, LayerNumber, TreeNumber};
use mounted::{list, name, read, wait_until};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

const CHILD_MOUNTS: &str = "BLAST_TEST_CHILD_MOUNTS";
const OLD: TreeNumber = TreeNumber(1);
const OTHER: TreeNumber = TreeNumber(2);
const HEAD: TreeNumber = TreeNumber(3);
const COMPILED: TreeNumber = TreeNumber(4);
/// The layer of the tree [`COMPILED`], and what it is compiled to.
const SOURCE: LayerNumber = LayerNumber(4);
const COMPANION: LayerNumber = LayerNumber(5);

/// The same in every process.
fn content() -> Arc<MemoryContent> {
    let content = MemoryContent::new();
    let layer = |path: &str, text: &str| {
        let mut builder = LayerBuilder::new();
        builder.inline(path, 0o644, 0, text.as_bytes()).unwrap();
        content.add_layer(builder).unwrap()
    };
    for text in ["old", "other", "head"] {
        content.add_tree(&[layer("lib/f", text)], None);
    }
    let source = layer("lib/a.py", "a");
    layer("lib/__pycache__/a.cpython-312.pyc", "bytes");
    content.expect_bytecode(source);
    content.add_tree(&[source], Some("cpython-312-3531"));
    Arc::new(content)
}

#[test]
#[ignore = "the child process of the other tests"]
fn fuse_child_that_is_succeeded() {
    let Some(live) = std::env::var_os(CHILD_MOUNTS).map(PathBuf::from) else {
        return;
    };
    let view = View::mount(&live, content(), MountOptions::default()).unwrap();
    for (text, tree) in [("old", OLD), ("other", OTHER), ("compiled", COMPILED)] {
        view.set_environment(&name(text), tree);
    }
    let handover = view.hand_over().unwrap().unwrap();
    let told = (handover.device.as_raw_fd(), &handover.record);
    let path = live.with_extension("told");
    fs::write(
        path.with_extension("new"),
        serde_json::to_vec(&told).unwrap(),
    )
    .unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
    thread::sleep(Duration::from_mins(1));
}

/// A mount of a child process, which shows the environments `old`, `other` and `compiled`.
struct Served {
    child: Child,
    folder: tempfile::TempDir,
}

impl Served {
    fn new() -> Option<Self> {
        if !require(Means::Resend) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fuse_child_that_is_succeeded", "--ignored"])
            .env(CHILD_MOUNTS, folder.path().join("live"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let served = Self { child, folder };
        wait_until("the child has mounted", || served.told().exists());
        Some(served)
    }

    fn told(&self) -> PathBuf {
        self.folder.path().join("live.told")
    }

    fn live(&self) -> PathBuf {
        self.folder.path().join("live")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.live().join(below)
    }

    /// Takes the descriptor and kills the child.
    fn kill(&mut self) -> Handover {
        let told = fs::read(self.told()).unwrap();
        let (number, record): (i32, MountRecord) = serde_json::from_slice(&told).unwrap();
        let pid = Pid::from_child(&self.child);
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let device = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).unwrap();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Handover { device, record }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        drop(
            Command::new("umount")
                .arg("-ql")
                .arg(self.live())
                .stderr(Stdio::null())
                .status(),
        );
    }
}

/// What the next process knows.
fn knowing(environments: &[(&str, TreeNumber)], gone: &[&str]) -> Inheritance {
    Inheritance {
        environments: environments
            .iter()
            .map(|&(text, tree)| (name(text), tree))
            .collect(),
        gone: gone.iter().copied().map(name).collect(),
        trees: 100, // more than there are
    }
}

fn take_over(handover: Handover, content: &Arc<MemoryContent>, inheritance: &Inheritance) -> View {
    let content = Arc::clone(content) as _;
    View::take_over(handover, content, MountOptions::default(), inheritance).unwrap()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn fuse_a_mount_goes_on_with_the_same_nodes() {
    let Some(mut served) = Served::new() else {
        return;
    };
    let file = served.path("old/lib/f");
    let before = inode(&file);
    let open = File::open(&file).unwrap();
    let handover = served.kill();
    // Somebody waits for an answer while nobody serves.
    let waiting = served.path("other/lib/f");
    let waiting = thread::spawn(move || read(waiting));
    let environments = knowing(&[("old", OLD), ("other", OTHER)], &[]);
    let view = take_over(handover, &content(), &environments);
    assert_eq!(waiting.join().unwrap(), "other");
    assert_eq!(view.takeovers(), 1);
    assert_eq!(inode(&file), before);
    let mut bytes = [0; 3];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old");
    view.set_environment(&name("old"), HEAD);
    assert_eq!(read(&file), "head");
    view.unmount().unwrap();
    assert_eq!(mount_state(&served.live()), MountState::NotMounted);
}

#[test]
fn fuse_what_changed_unseen_is_told() {
    let Some(mut served) = Served::new() else {
        return;
    };
    assert_eq!(read(served.path("old/lib/f")), "old");
    assert_eq!(read(served.path("other/lib/f")), "other");
    assert!(!served.path("made").exists(), "and that is cached");
    assert_eq!(list(served.live()), ["compiled", "old", "other"]);
    let handover = served.kill();
    let known = knowing(&[("old", HEAD), ("made", HEAD)], &["other", "compiled"]);
    let _view = take_over(handover, &content(), &known);
    assert_eq!(read(served.path("old/lib/f")), "head");
    assert_eq!(read(served.path("made/lib/f")), "head");
    assert!(!served.path("other").exists());
    assert_eq!(list(served.live()), ["made", "old"]);
}

#[test]
fn fuse_trees_of_running_programs_stay_in_use_until_they_are_left() {
    let Some(mut served) = Served::new() else {
        return;
    };
    let [old, other] =
        ["old", "other"].map(|text| File::open(served.path(text).join("lib/f")).unwrap());
    let handover = served.kill();
    let known = knowing(&[("old", HEAD)], &["other"]);
    let view = take_over(handover, &content(), &known);
    assert_eq!(view.trees_in_use(), [OLD, OTHER, HEAD]);
    drop(old);
    view.retire(OLD);
    view.retire(OTHER);
    wait_until("the tree that nobody uses is let go", || {
        view.trees_in_use() == [OTHER, HEAD]
    });
    let mut bytes = [0; 5];
    other.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"other");
}

#[test]
fn fuse_listings_that_lacked_bytecode_are_told_anew() {
    let Some(mut served) = Served::new() else {
        return;
    };
    assert_eq!(list(served.path("compiled/lib")), ["a.py"]);
    let handover = served.kill();
    let content = content();
    content.decide_bytecode(SOURCE, Some(COMPANION)); // and nobody told the kernel
    let _view = take_over(handover, &content, &knowing(&[("compiled", COMPILED)], &[]));
    wait_until("the listing has the bytecode", || {
        list(served.path("compiled/lib")) == ["__pycache__", "a.py"]
    });
}

#[test]
fn fuse_a_kernel_that_cannot_resend_loses_the_mount_at_once() {
    let Some(mut served) = Served::new() else {
        return;
    };
    let mut handover = served.kill();
    handover.record.offer = Offer::default();
    let options = MountOptions::default();
    let refused = View::take_over(handover, content(), options, &knowing(&[], &[]));
    assert!(matches!(refused, Err(MountError::NoResend)), "{refused:?}");
    assert_eq!(mount_state(&served.live()), MountState::NotMounted);
    let view = View::mount(&served.live(), content(), options).unwrap();
    view.unmount().unwrap();
}

#[test]
fn fuse_a_mount_that_is_gone_is_not_taken_over() {
    let Some(mut served) = Served::new() else {
        return;
    };
    let handover = served.kill();
    let detached = Command::new("umount").arg("-l").arg(served.live()).status();
    assert!(detached.unwrap().success());
    let options = MountOptions::default();
    let refused = View::take_over(handover, content(), options, &knowing(&[], &[]));
    assert!(matches!(refused, Err(MountError::Gone(_))), "{refused:?}");
}
