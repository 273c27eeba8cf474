//! A mounted view: the server, the threads that serve it, and the notifications that tell the kernel
//! of the few things that change.
//!
//! # Swap
//! An environment is a link whose node number says where it leads. [`View::set_environment`] changes
//! the map first and then tells the kernel to drop that one name: whoever resolves the name afterwards
//! gets the new tree; whoever is in the old one stays there. The cost does not depend on the size
//! of either tree, because nothing below is invalidated.
//!
//! # Unmount
//! The mount leaves the directory tree at once, but the kernel tears its superblock down (and with
//! it a cache of perhaps 100 000 nodes, which takes a fraction of a second) when the last user is
//! gone. An `O_PATH` descriptor makes sure that the last user is a thread of ours in the background;
//! programs with open files go on being served until they close them or the process ends.
//!
//! [`View::set_aside`] keeps it for a while instead, for an environment that is made again.
//!
//! # Succession
//! [`View::hand_over`] gives away what the mount needs to outlive this process, [`View::take_over`] goes on
//! where one died: node numbers mean the same to every process, so what the kernel caches stays true, but
//! for what changed and was not told any more. Names of environments and listings are told anew.
//!
//! # Concurrency
//! Notifications are sent from the caller's thread with no lock held: the kernel may wait for requests
//! to finish before it takes one, and those need the server.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use blast_store::{LayerNumber, TreeNumber};
use blast_types::EnvName;
use fuser::{Config, INodeNo, MountOption, Notifier, Session, SessionACL, SessionUnmounter};

use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use rustc_hash::FxHashSet;

use crate::connection::Connection;
use crate::content::Content;
use crate::counters::{Counters, Op};
use crate::fuse::Adapter;
use crate::handover::{self, Handover, MountRecord, Offer};
use crate::mount::{self, MountError, MountState, SOURCE};
use crate::node::{Ino, Node, Place};
use crate::recent::lock;
use crate::server::{Change, GENERATIONS, Observer, Server};

mod aside;

pub use aside::Aside;

/// How to mount.
#[derive(Debug, Clone, Copy)]
pub struct MountOptions {
    /// Threads that serve requests, at least one. A second one keeps small look-ups from waiting
    /// behind big reads.
    pub threads: usize,
    /// Whether other users may look in. A normal user needs `user_allow_other` in `/etc/fuse.conf`.
    pub allow_other: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            threads: 2,
            allow_other: false,
        }
    }
}

/// A mounted view. Dropping it unmounts, as [`View::unmount`] does.
#[derive(Debug)]
pub struct View {
    server: Arc<Server>,
    counters: Arc<Counters>,
    notifier: Notifier,
    connection: Arc<Connection>,
    offer: Offer,
    takeovers: u32,
    /// None once it was taken down.
    mounted: Option<Mounted>,
}

/// What a process that takes a mount over knows of its environments.
#[derive(Debug, Clone)]
pub struct Inheritance {
    /// The environments, and the trees that they show now.
    pub environments: BTreeMap<EnvName, TreeNumber>,
    /// Names that the kernel may know and that are none any more.
    pub gone: Vec<EnvName>,
    /// Every tree that was ever given a number has one below this.
    pub trees: u32,
}

/// Called when a session ends by itself.
struct Ended(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended")
    }
}

#[derive(Debug)]
struct Mounted {
    path: PathBuf,
    /// The device of our mount, to tell it from another at the same path.
    device: String,
    anchor: File,
    unmounter: SessionUnmounter,
    session: JoinHandle<()>,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl View {
    /// Mounts a view without environments at `live`, which is made where it is missing. A dead mount
    /// that lies there is taken away.
    ///
    /// # Errors
    ///
    /// See [`MountError`]; nothing is mounted then.
    pub fn mount(
        live: &Path,
        content: Arc<dyn Content>,
        options: MountOptions,
    ) -> Result<Self, MountError> {
        mount::reap(live)?;
        if mount::mount_state(live) == MountState::Alive {
            return Err(MountError::Mounted(live.to_owned()));
        }
        fs::create_dir_all(live).map_err(|source| MountError::MountPoint {
            path: live.to_owned(),
            source,
        })?;
        let path = mount::resolve(live)?;
        let server = Arc::new(Server::new(content));
        let counters = Arc::new(Counters::default());
        let adapter = Adapter::new(Arc::clone(&server), Arc::clone(&counters));
        let offer = adapter.offer();
        let session = Session::new(adapter, &path, &config(options))
            .map_err(|source| mount::explain(&path, source))?;
        let device = mount::mounted_at(&path)?
            .map(|mount| mount.device)
            .unwrap_or_default();
        let record = MountRecord {
            path,
            device,
            offer: offer.get().copied().unwrap_or_default(),
            takeovers: 0,
        };
        Self::serve(session, record, server, counters)
    }

    /// Goes on serving a mount whose process died. Requests that it had not answered are answered
    /// now, in the background; then the kernel is told of what may have changed meanwhile.
    ///
    /// # Errors
    ///
    /// [`MountError::NoResend`] where the kernel cannot do it, [`MountError::Gone`] where the mount is not
    /// there any more. In any case of error the mount is given up ([`Handover::abandon`]).
    pub fn take_over(
        handover: Handover,
        content: Arc<dyn Content>,
        options: MountOptions,
        inheritance: &Inheritance,
    ) -> Result<Self, MountError> {
        let server = Arc::new(Server::new(content));
        for (name, &tree) in &inheritance.environments {
            server.set_environment(name, tree);
        }
        server.inherit((0..inheritance.trees).map(TreeNumber));
        match Self::succeed(&handover, &server, options) {
            Ok(view) => {
                view.tell_what_changed(inheritance);
                Ok(view)
            }
            Err(error) => {
                if let Err(also) = handover.abandon() {
                    let also = &also as &dyn std::error::Error;
                    tracing::warn!(error = also, "a mount cannot be taken away");
                }
                Err(error)
            }
        }
    }

    fn succeed(
        handover: &Handover,
        server: &Arc<Server>,
        options: MountOptions,
    ) -> Result<Self, MountError> {
        let record = &handover.record;
        if !record.offer.can_resend() {
            return Err(MountError::NoResend);
        }
        if !handover::is_mounted(&record.path, &record.device)? {
            return Err(MountError::Gone(record.path.clone()));
        }
        let failed = |source| MountError::TakeOver {
            path: record.path.clone(),
            source,
        };
        let counters = Arc::new(Counters::default());
        let adapter = Adapter::new(Arc::clone(server), Arc::clone(&counters));
        let session = handover::session(adapter, handover, &config(options)).map_err(failed)?;
        let record = MountRecord {
            takeovers: record.takeovers.saturating_add(1),
            ..record.clone()
        };
        let view = Self::serve(session, record, Arc::clone(server), counters)?;
        view.connection.resend().map_err(failed)?;
        Ok(view)
    }

    /// Serves the requests of a session from now on.
    fn serve(
        mut session: Session<Adapter>,
        record: MountRecord,
        server: Arc<Server>,
        counters: Arc<Counters>,
    ) -> Result<Self, MountError> {
        let MountRecord {
            path,
            device,
            offer,
            takeovers,
        } = record;
        let notifier = session.notifier();
        let unmounter = session.unmount_callable();
        let connection = session.as_fd().try_clone_to_owned();
        let connection = connection.map_err(|source| MountError::Mount {
            path: path.clone(),
            source,
        })?;
        let ended = Arc::new(Mutex::new(None::<Ended>));
        let at_end = Arc::clone(&ended);
        let thread = thread::Builder::new().name("view".into()).spawn(move || {
            if let Err(error) = session.run() {
                tracing::warn!(%error, "the session ended with an error");
            }
            let ended = lock(&at_end).take();
            if let Some(Ended(call)) = ended {
                call();
            }
        });
        let session = match thread {
            Ok(session) => session,
            Err(error) => {
                mount::detach(&path)?;
                return Err(MountError::Thread(error));
            }
        };
        // Only now, as finding the mount may need an answer of ours.
        let anchor = mount::anchor(&path)?;
        let mounted = Some(Mounted {
            path,
            device,
            anchor,
            unmounter,
            session,
            ended,
        });
        Ok(Self {
            server,
            counters,
            notifier,
            connection: Arc::new(Connection::new(connection)),
            offer,
            takeovers,
            mounted,
        })
    }

    /// Tells the kernel what its last process may not have told any more.
    fn tell_what_changed(&self, inheritance: &Inheritance) {
        let names = inheritance.environments.keys().chain(&inheritance.gone);
        for name in names {
            self.invalidate_entry(Ino::ROOT, OsStr::new(name.as_str()));
        }
        self.invalidate_inode(Ino::ROOT);
        let (known, unknown): (Vec<_>, Vec<_>) = self
            .server
            .suspects()
            .into_iter()
            .partition(|&tree| self.is_known(tree));
        self.server.acquit(&unknown);
        // Which listings lacked bytecode that was still to come, only the dead process knew.
        let (server, connection) = (Arc::clone(&self.server), Arc::clone(&self.connection));
        let notifier = self.notifier.clone();
        let listings = thread::Builder::new()
            .name("view-listings".into())
            .spawn(move || {
                for tree in known {
                    let walked = server.walk(tree, &mut |node| {
                        let known = connection.knows(node);
                        if known {
                            report(notifier.inval_inode(INodeNo(node.0), 0, 0), "listing");
                        }
                        known
                    });
                    if let Err(error) = walked {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(error, %tree, "not all listings are told anew");
                    }
                }
            });
        if let Err(error) = listings {
            tracing::warn!(%error, "no thread for telling listings anew");
        }
    }

    fn is_known(&self, tree: TreeNumber) -> bool {
        let root = Node::Directory(Place::root(tree)).ino();
        root.is_ok_and(|root| self.connection.knows(root))
    }

    /// What the mount needs to outlive this process. None once the view was taken down.
    ///
    /// # Errors
    ///
    /// Where this process may not open any more files.
    pub fn hand_over(&self) -> io::Result<Option<Handover>> {
        let Some(mounted) = &self.mounted else {
            return Ok(None);
        };
        let record = MountRecord {
            path: mounted.path.clone(),
            device: mounted.device.clone(),
            offer: self.offer,
            takeovers: self.takeovers,
        };
        let device = self.connection.device()?;
        Ok(Some(Handover { device, record }))
    }

    /// Ends nothing, though the value is gone: the mount stays, and is served for as long as this
    /// process lives. For a process that is about to end and has a successor.
    pub fn leave(mut self) {
        if let Some(mounted) = self.mounted.take() {
            drop(mounted.anchor);
        }
    }

    /// Has this called once when the session ends, other than by [`View::unmount`]: somebody else
    /// unmounted it, or it broke.
    pub fn when_ended(&self, call: impl FnOnce() + Send + 'static) {
        if let Some(mounted) = &self.mounted {
            *lock(&mounted.ended) = Some(Ended(Box::new(call)));
            // It may have ended before.
            let finished = mounted.session.is_finished();
            let left = finished.then(|| lock(&mounted.ended).take()).flatten();
            if let Some(Ended(call)) = left {
                call();
            }
        }
    }

    /// What the kernel offered when the view was mounted.
    pub fn offer(&self) -> Offer {
        self.offer
    }

    /// How often the mount changed hands.
    pub fn takeovers(&self) -> u32 {
        self.takeovers
    }

    /// Tells this one what programs use; only the first that is named.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.server.observe(observer);
    }

    /// Lets the environment of this name show this tree from now on: for a new environment, a swap,
    /// and a no-op where it does so already. Takes some 30 µs, whatever the size of the trees.
    pub fn set_environment(&self, name: &EnvName, tree: TreeNumber) {
        self.tell(name, self.server.set_environment(name, tree));
    }

    /// Takes an environment out of the view. Programs in its tree are not disturbed.
    pub fn remove_environment(&self, name: &EnvName) {
        self.tell(name, self.server.remove_environment(name));
    }

    /// Whether an environment is in the view.
    pub fn shows(&self, name: &EnvName) -> bool {
        self.server.shows(name)
    }

    /// The environments and the trees they show.
    pub fn environments(&self) -> BTreeMap<EnvName, TreeNumber> {
        self.server.environments()
    }

    fn tell(&self, name: &EnvName, change: Change) {
        if change == Change::None {
            return;
        }
        self.invalidate_entry(Ino::ROOT, OsStr::new(name.as_str()));
        if change == Change::Listed {
            self.invalidate_inode(Ino::ROOT);
        }
    }

    /// To be called when a layer's bytecode is no longer [`crate::Bytecode::Pending`]: directories
    /// that were listed without it are listed anew.
    pub fn bytecode_ready(&self, layer: LayerNumber) {
        for node in self.server.bytecode_ready(layer) {
            self.invalidate_inode(node);
        }
    }

    /// The trees of which the kernel knows any directory: those that programs have files open in,
    /// work in, or have lately looked at. What is not among them (nor the head of an environment)
    /// nobody can read from. Never misses one; may name one that is no longer used.
    pub fn trees_in_use(&self) -> Vec<TreeNumber> {
        let mut trees = self.server.held_trees();
        trees.extend(self.environments().into_values());
        let suspects = self.server.suspects().into_iter();
        trees.extend(suspects.filter(|&tree| self.is_known(tree)));
        trees.sort_unstable();
        trees.dedup();
        trees
    }

    /// The trees among [`View::trees_in_use`] that no environment shows: those to retire.
    pub fn old_trees(&self) -> Vec<TreeNumber> {
        let shown: FxHashSet<_> = self.environments().into_values().collect();
        let mut trees = self.server.held_trees();
        trees.retain(|tree| !shown.contains(tree));
        trees
    }

    /// Gives back the memory of what can be computed again: to be called in quiet times. Programs
    /// that use the view are served as before.
    pub fn rest(&self) {
        self.server.rest();
    }

    /// Makes the kernel forget what it caches of a tree that no environment shows any more, as far
    /// as nobody uses it; then it leaves [`View::trees_in_use`]. To be repeated for a tree that was still
    /// in use. Takes up to a quarter of a second for a big tree: not for the path of a swap, which it
    /// does not hold up. Does nothing for a tree that an environment shows.
    pub fn retire(&self, tree: TreeNumber) {
        let shown = self.environments().into_values().any(|shown| shown == tree);
        let held = self.server.held_trees().contains(&tree) || self.is_known(tree);
        let (Some(mounted), false, true) = (&self.mounted, shown, held) else {
            return;
        };
        // What was invalidated while in use has no name any more by which it could be again. The
        // kernel gives it back when the name is looked up.
        let name = tree.to_string();
        let path = Path::new(GENERATIONS).join(&name);
        if let Err(errno) = fstatat(&mounted.anchor, &path, AtFlags::AT_SYMLINK_NOFOLLOW) {
            tracing::debug!(%errno, %tree, "a tree cannot be named for retiring");
        }
        // The kernel locks the parent of what it drops until all of it is dropped. Piece by piece, so
        // that it is not the folder of all trees that is locked for long.
        match self.server.branches(tree) {
            Ok(branches) => {
                for (parent, name) in branches {
                    self.invalidate_entry(parent, OsStr::from_bytes(&name));
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, %tree, "a tree is retired in one piece");
            }
        }
        if let Ok(generations) = Node::Generations.ino() {
            self.invalidate_entry(generations, OsStr::new(&name));
        }
    }

    /// How many kernel requests of each kind were served so far, and notifications sent.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.counters.all()
    }

    /// Whether the kernel still has the mount: false once somebody else unmounted it.
    pub fn is_serving(&self) -> bool {
        self.mounted
            .as_ref()
            .is_some_and(|mounted| !mounted.session.is_finished())
    }

    /// Takes the mount out of the directory tree, and returns at once. Programs with files open in it
    /// are served for as long as this process lives.
    ///
    /// # Errors
    ///
    /// [`MountError::Unmount`] where the system refuses.
    pub fn unmount(mut self) -> Result<(), MountError> {
        self.mounted.take().map_or(Ok(()), Mounted::take_down)
    }

    fn invalidate_entry(&self, parent: Ino, name: &OsStr) {
        self.counters.count(Op::InvalidateEntry);
        let told = self
            .notifier
            .inval_entry(INodeNo(parent.0), OsStr::new(name));
        report(told, &name.to_string_lossy());
    }

    fn invalidate_inode(&self, node: Ino) {
        self.counters.count(Op::InvalidateInode);
        // Attributes, and all pages from the first on: the listing.
        let told = self.notifier.inval_inode(INodeNo(node.0), 0, 0);
        report(told, "listing");
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.mounted.take().map(Mounted::take_down) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the view stays mounted"
            );
        }
    }
}

impl Mounted {
    fn take_down(mut self) -> Result<(), MountError> {
        drop(lock(&self.ended).take()); // the end is meant
        let there = mount::mounted_at(&self.path)?;
        if there
            .as_ref()
            .is_none_or(|mount| mount.device == self.device)
        {
            // fuser unmounts by path when its session ends, be it another mount by then. So it is
            // made to try now: in vain for root, as our anchor keeps the mount busy, and by way of
            // the helper for a normal user.
            if let Err(error) = self.unmounter.unmount() {
                tracing::debug!(%error, "the mount is busy, as intended");
            }
        }
        let result = match handover::is_mounted(&self.path, &self.device) {
            Ok(true) => mount::detach(&self.path),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let (anchor, session) = (self.anchor, self.session);
        let teardown = thread::Builder::new()
            .name("view-teardown".into())
            .spawn(move || {
                drop(anchor);
                if session.join().is_err() {
                    tracing::warn!("a thread of the session panicked");
                }
            });
        result.and(teardown.map(drop).map_err(MountError::Thread))
    }
}

/// The mount has gone, or the kernel does not know the node: nothing is left to invalidate.
fn report(told: io::Result<()>, what: &str) {
    if let Err(error) = told {
        tracing::debug!(%error, what, "the kernel did not take a notification");
    }
}

fn config(options: MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        // Not `Subtype`, which fuser leaves out where it mounts without the helper.
        MountOption::CUSTOM(format!("subtype={SOURCE}")),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    config.acl = if options.allow_other {
        SessionACL::All
    } else {
        SessionACL::Owner
    };
    config.n_threads = Some(options.threads.max(1));
    // One descriptor for all threads: a second one would be opened from /dev/fuse, which a user who
    // mounts through the helper may not be allowed to.
    config.clone_fd = false;
    config
}
