//! How mounts come and go: unmounting under open files, dead and hanging daemons.
//!
//! Names start with `fuse_`; see `fuse.rs`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod mounted;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use blast_fs::memory::MemoryContent;
use blast_fs::{Aside, MountError, MountOptions, MountState, View, mount_state, reap};
use blast_harness::{Means, require};
use blast_store::LayerBuilder;
use mounted::{Mount, list, wait_until};

#[test]
fn fuse_unmounting_is_quick_and_disturbs_no_open_file() {
    let Some(mut mount) = Mount::new() else {
        return;
    };
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let blob = mount.content.add_blob(&big).unwrap();
    let mut builder = LayerBuilder::new();
    builder
        .file("big", 0o644, 0, blob, big.len() as u64)
        .unwrap();
    let layer = mount.content.add_layer(builder).unwrap();
    let tree = mount.content.add_tree(&[layer], None);
    mount.show("demo", tree);
    let file = File::open(mount.path("demo/big")).unwrap();
    let start = Instant::now();
    mount.view.take().unwrap().unmount().unwrap();
    // Generous, as the machine may be busy: what is excluded is waiting for the file to be closed.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(mount_state(&mount.live()), MountState::NotMounted);
    assert_eq!(list(mount.live()), [""; 0]);

    mount.view = Some(mount.mount());
    mount.show("again", tree);
    let mut window = vec![0; 1_000_000];
    file.read_exact_at(&mut window, 1_500_000).unwrap();
    assert!(window[..] == big[1_500_000..][..1_000_000]);
    drop(file);
    // The old session ends now. It must not take the new mount with it.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(mount_state(&mount.live()), MountState::Alive);
    assert!(mount.view().is_serving());
    assert_eq!(list(mount.live()), ["again"]);
}

/// Sets the mount's view aside, which only root may.
fn set_aside(mount: &mut Mount) -> Option<Aside> {
    let aside = mount.view.take().unwrap().set_aside().unwrap();
    assert_eq!(mount_state(&mount.live()), MountState::NotMounted);
    assert_eq!(list(mount.live()), [""; 0]);
    assert_eq!(aside.is_some(), nix::unistd::geteuid().is_root());
    aside
}

#[test]
fn fuse_a_view_that_was_set_aside_comes_back_with_all_that_is_cached() {
    let Some(mut mount) = Mount::new() else {
        return;
    };
    let tree = mount.tree(&[("module", "some text")]);
    mount.show("demo", tree);
    let open = File::open(mount.path("demo/module")).unwrap();
    assert_eq!(
        fs::read_to_string(mount.path("demo/module")).unwrap(),
        "some text"
    );
    let Some(aside) = set_aside(&mut mount) else {
        return;
    };
    fs::remove_dir(mount.live()).unwrap();
    let mut bytes = [0; 4];
    open.read_exact_at(&mut bytes, 5).unwrap();
    assert_eq!(&bytes, b"text");

    mount.view = Some(aside.put_back().unwrap());
    assert_eq!(list(mount.live()), [""; 0], "environments are to be named");
    mount.show("other", tree);
    let before = mount.view().counters();
    assert_eq!(
        fs::read_to_string(mount.path("other/module")).unwrap(),
        "some text"
    );
    let after = mount.view().counters();
    assert_eq!(before["read"], after["read"]);
    // The name of the environment, which is new, and nothing of what it shows.
    assert_eq!(after["lookup"] - before["lookup"], 1);
    assert_eq!(list(mount.live()), ["other"]);
    mount.view.take().unwrap().unmount().unwrap();
    assert_eq!(mount_state(&mount.live()), MountState::NotMounted);
}

#[test]
fn fuse_a_view_that_was_set_aside_leaves_what_is_mounted_meanwhile() {
    let Some(mut mount) = Mount::new() else {
        return;
    };
    let Some(aside) = set_aside(&mut mount) else {
        return;
    };
    mount.view = Some(mount.mount());
    mount.show("demo", mount.tree(&[("module", "other text")]));
    let refused = aside.put_back().unwrap_err();
    assert!(matches!(refused, MountError::Mounted(_)), "{refused}");
    // The session of the old one ends now.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(
        fs::read_to_string(mount.path("demo/module")).unwrap(),
        "other text"
    );
}

#[test]
fn fuse_a_mount_that_others_took_away_is_noticed() {
    let Some(mount) = Mount::new() else { return };
    let path = mount.live();
    let unmounted = if nix::unistd::geteuid().is_root() {
        Command::new("umount").args(["-l"]).arg(&path).status()
    } else {
        Command::new("fusermount3")
            .args(["-u", "-z"])
            .arg(&path)
            .status()
    };
    assert!(unmounted.unwrap().success());
    assert_eq!(mount_state(&path), MountState::NotMounted);
    // Notifications to a mount that is gone do no harm, nor does unmounting it once more.
    mount.show("demo", mount.tree(&[("m", "x")]));
    let Mount {
        mut view, folder, ..
    } = mount;
    view.take().unwrap().unmount().unwrap();
    assert_eq!(list(folder.path()), ["live"]);
}

#[test]
fn fuse_a_living_mount_is_not_mounted_over() {
    let Some(mount) = Mount::new() else { return };
    let again = View::mount(
        &mount.live(),
        Arc::clone(&mount.content) as _,
        MountOptions::default(),
    );
    assert!(matches!(again, Err(MountError::Mounted(_))), "{again:?}");
    assert!(
        !reap(&mount.live()).unwrap(),
        "a living mount is not reaped"
    );
    assert_eq!(mount_state(&mount.live()), MountState::Alive);
}

/// Says to [`fuse_child_that_dies`] where to mount.
const CHILD_MOUNTS: &str = "BLAST_FS_TEST_CHILD_MOUNTS";

/// Not a test of its own: mounts and waits to be killed, where another test asks for that.
#[test]
#[ignore = "the child process of fuse_a_dead_daemons_mount_is_reaped"]
fn fuse_child_that_dies() {
    let Some(live) = std::env::var_os(CHILD_MOUNTS) else {
        return;
    };
    let content = Arc::new(MemoryContent::new());
    let _view = View::mount(Path::new(&live), content, MountOptions::default()).unwrap();
    thread::sleep(Duration::from_mins(1));
}

fn mount_in_child(live: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fuse_child_that_dies", "--ignored"])
        .env(CHILD_MOUNTS, live)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the child has mounted", || {
        mount_state(live) == MountState::Alive
    });
    child
}

#[test]
fn fuse_a_dead_daemons_mount_is_reaped() {
    if !require(Means::Fuse) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live view");
    let mut child = mount_in_child(&live);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the mount is dead", || {
        mount_state(&live) == MountState::Stale
    });
    assert!(fs::metadata(&live).is_err(), "a dead mount answers nothing");
    assert!(reap(&live).unwrap());
    assert!(!reap(&live).unwrap());
    assert_eq!(mount_state(&live), MountState::NotMounted);

    // Mounting reaps by itself.
    let mut child = mount_in_child(&live);
    child.kill().unwrap();
    child.wait().unwrap();
    let content = Arc::new(MemoryContent::new());
    let view = View::mount(&live, content, MountOptions::default()).unwrap();
    assert_eq!(mount_state(&live), MountState::Alive);
    assert_eq!(list(&live), [""; 0]);
    view.unmount().unwrap();
}

#[test]
fn fuse_a_hanging_daemon_makes_nobody_hang() {
    if !require(Means::Fuse) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let mut child = mount_in_child(&live);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let start = Instant::now();
    assert_eq!(
        mount_state(&live),
        MountState::Alive,
        "there is a process behind it"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the mount is dead", || {
        mount_state(&live) == MountState::Stale
    });
    assert!(reap(&live).unwrap());
}
