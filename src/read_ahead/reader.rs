//! The daemon's end: takes note of what programs read, and tells the process that reads ahead what
//! they will want. It is started when the first of that is known, and ended when all is quiet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use blast_fs::{Content, Observer, tree_path};
use blast_store::{EntryIndex, Layer, LayerNumber, TreeNumber};

use super::profile::{CHUNK, Profile, Profiles, Use};
use super::told::Told;
use super::{COMMAND, Piece, lock};

/// What is noted later at most.
const MOST_ASKED: usize = 64 * 1024;

/// Modules of which a program may read source and bytecode, to show where an error is, say.
const MANY: usize = 32;

/// Takes note and reads ahead, for the view of one home.
#[derive(Debug)]
pub(crate) struct Reader {
    common: Arc<Common>,
    telling: Mutex<Option<Telling>>,
    told: Told,
}

struct Common {
    live: PathBuf,
    profiles: Profiles,
    content: Arc<dyn Content>,
    /// What is in no profile yet.
    asked: Mutex<Vec<Asked>>,
    process: Mutex<Option<Child>>,
    /// Its number, also when it is gone; 0 before.
    pid: AtomicU32,
}

/// Something that a program asked for.
#[derive(Debug)]
struct Asked {
    layer: LayerNumber,
    entry: EntryIndex,
    what: What,
}

#[derive(Debug)]
enum What {
    Bytes {
        thread: u32,
        offset: u64,
        length: u64,
    },
    Missed(Box<[u8]>),
}

/// How many reads of each kind of file a thread made.
#[derive(Debug, Default)]
struct Kinds {
    sources: usize,
    bytecode: usize,
}

impl Kinds {
    fn count(&mut self, name: &[u8]) {
        self.sources += usize::from(is_source(name));
        self.bytecode += usize::from(name.ends_with(b".pyc"));
    }

    /// Whoever reads many modules in both forms searches, copies or packs the environment: no
    /// program needs that again.
    fn of_a_walk(&self) -> bool {
        self.sources.min(self.bytecode) > MANY
    }
}

/// Whether it is a module that is run from its bytecode as soon as that is there, or types of one.
fn is_source(name: &[u8]) -> bool {
    name.ends_with(b".py") || name.ends_with(b".pyi")
}

/// The thread that tells.
#[derive(Debug)]
struct Telling {
    begun: Sender<(TreeNumber, LayerNumber)>,
    /// What is not told yet need not be told any more.
    over: Arc<AtomicBool>,
    thread: JoinHandle<Known>,
}

/// The layers in use and what was read of them.
type Known = HashMap<LayerNumber, (Arc<Layer>, Profile)>;

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// One for the view at this mount point, which shows this content. Nothing is started yet.
    pub(crate) fn new(live: &Path, cache: &Path, content: Arc<dyn Content>) -> Self {
        Self {
            common: Arc::new(Common {
                live: live.to_owned(),
                profiles: Profiles::new(cache),
                content,
                asked: Mutex::default(),
                process: Mutex::default(),
                pid: AtomicU32::new(0),
            }),
            telling: Mutex::default(),
            told: Told::default(),
        }
    }

    /// Keeps what was noted and ends the process, until there is something to tell again. Waits for
    /// it: it must be served meanwhile. Blocks.
    pub(crate) fn rest(&self) {
        // Not while this is locked: who serves the process may have something to tell.
        let telling = lock(&self.telling).take();
        let mut known = telling
            .map(|telling| telling.end(&self.common))
            .unwrap_or_default();
        self.common.note_asked(&mut known);
        if let Err(error) = self.common.save(&known) {
            tracing::debug!(%error, "what programs read is not kept");
        }
    }
}

impl Reader {
    /// Has a layer told to the process.
    fn tell(&self, tree: TreeNumber, layer: LayerNumber) {
        let mut telling = lock(&self.telling);
        if telling.is_none() {
            match Telling::start(&self.common) {
                Ok(started) => *telling = Some(started),
                Err(error) => tracing::debug!(%error, "nobody reads ahead"),
            }
        }
        if let Some(there) = &*telling
            && there.begun.send((tree, layer)).is_err()
        {
            // Its thread panicked; the next one is told what comes next.
            *telling = None;
        }
    }
}

impl Observer for Reader {
    fn begun(&self, tree: TreeNumber, layer: LayerNumber) {
        self.told.begun(tree, layer, Instant::now());
        self.tell(tree, layer);
    }

    fn read(&self, thread: u32, layer: LayerNumber, entry: EntryIndex, offset: u64, length: u64) {
        if thread == self.common.pid.load(Ordering::Relaxed) {
            return;
        }
        if let Some(tree) = self.told.due(layer, Instant::now()) {
            self.tell(tree, layer);
        }
        self.common.asked(Asked {
            layer,
            entry,
            what: What::Bytes {
                thread,
                offset,
                length,
            },
        });
    }

    fn missed(&self, layer: LayerNumber, directory: EntryIndex, name: &[u8]) {
        self.common.asked(Asked {
            layer,
            entry: directory,
            what: What::Missed(name.into()),
        });
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.rest();
    }
}

impl Telling {
    fn start(common: &Arc<Common>) -> io::Result<Self> {
        let (begun, told) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let (common, ends) = (Arc::clone(common), Arc::clone(&over));
        let thread = thread::Builder::new()
            .name("read-ahead".into())
            .spawn(move || common.tell_all(&told, &ends))?;
        Ok(Self {
            begun,
            over,
            thread,
        })
    }

    /// Ends the thread and the process it told.
    fn end(self, common: &Common) -> Known {
        self.over.store(true, Ordering::Relaxed);
        drop(self.begun);
        // The thread may wait for the process to take what it is told.
        common.end_process();
        let known = self.thread.join();
        // Or have started another one just before.
        common.end_process();
        known.unwrap_or_default()
    }
}

impl Common {
    /// Passes on what is begun until nobody tells any more.
    fn tell_all(&self, begun: &Receiver<(TreeNumber, LayerNumber)>, over: &AtomicBool) -> Known {
        let mut known = Known::default();
        let mut input = None;
        for (tree, layer) in begun {
            if over.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.tell(&mut known, &mut input, tree, layer) {
                tracing::debug!(%error, "nobody reads ahead");
                input = None;
            }
        }
        known
    }

    /// Tells the process what will be wanted of a layer in a tree.
    fn tell(
        &self,
        known: &mut Known,
        input: &mut Option<ChildStdin>,
        tree: TreeNumber,
        number: LayerNumber,
    ) -> io::Result<()> {
        let Some((layer, profile)) = self.profile(known, number) else {
            return Ok(());
        };
        let root = self.live.join(tree_path(tree));
        let mut records = Vec::new();
        for used in profile.uses() {
            if let Some(piece) = piece(root.clone(), layer, used) {
                piece.append_to(&mut records);
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let input = match input {
            Some(input) => input,
            none => none.insert(self.start_process()?),
        };
        input.write_all(&records)
    }

    fn profile<'a>(
        &self,
        known: &'a mut Known,
        number: LayerNumber,
    ) -> Option<&'a mut (Arc<Layer>, Profile)> {
        match known.entry(number) {
            Entry::Occupied(there) => Some(there.into_mut()),
            Entry::Vacant(vacant) => {
                // One that is gone was of a tree that nobody uses any more.
                let layer = self.content.layer(number).ok()?;
                let profile = self.profiles.load(&layer.id().to_string());
                Some(vacant.insert((layer, profile)))
            }
        }
    }

    /// Adds to the profiles what was asked for since this was called last, now that it can be told
    /// who ran a program from the view and who walked through it.
    fn note_asked(&self, known: &mut Known) {
        let asked = std::mem::take(&mut *lock(&self.asked));
        let mut readers = HashMap::<u32, Kinds>::new();
        for one in &asked {
            if let What::Bytes { thread, .. } = one.what
                && let Some((layer, _)) = self.profile(known, one.layer)
                && let Some(entry) = layer.get(one.entry)
            {
                readers.entry(thread).or_default().count(entry.name);
            }
        }
        for one in asked {
            let Some((layer, profile)) = self.profile(known, one.layer) else {
                continue;
            };
            match one.what {
                What::Missed(name) => profile.note_missed(one.entry, &name),
                What::Bytes {
                    thread,
                    offset,
                    length,
                } => {
                    let walks = readers.get(&thread).is_some_and(Kinds::of_a_walk);
                    let source = (layer.get(one.entry)).is_none_or(|entry| is_source(entry.name));
                    if !walks && !source {
                        profile.note_read(one.entry, offset, length);
                    }
                }
            }
        }
    }

    /// To be noted when there is time.
    fn asked(&self, what: Asked) {
        let mut asked = lock(&self.asked);
        if asked.len() < MOST_ASKED {
            asked.push(what);
        }
    }

    fn save(&self, known: &Known) -> io::Result<()> {
        for (layer, profile) in known.values() {
            self.profiles.save(&layer.id().to_string(), profile)?;
        }
        if known.is_empty() {
            return Ok(());
        }
        self.profiles.trim()
    }

    fn start_process(&self) -> io::Result<ChildStdin> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("blast")
            .arg(COMMAND)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let input = child.stdin.take();
        self.pid.store(child.id(), Ordering::Relaxed);
        self.end_process();
        *lock(&self.process) = Some(child);
        input.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// It would end by itself at the end of its input, which others may have inherited.
    fn end_process(&self) {
        let process = lock(&self.process).take();
        if let Some(mut process) = process
            && process.kill().is_ok()
        {
            process.wait().ok();
        }
    }
}

/// What is to be asked for in the tree at `root`; nothing where a damaged profile leads nowhere.
fn piece(root: PathBuf, layer: &Layer, used: &Use) -> Option<Piece> {
    let path = |entry| {
        let there = layer.get(entry).is_some();
        there.then(|| PathBuf::from(layer.path(entry)))
    };
    Some(match used {
        Use::Chunks {
            entry,
            first,
            count,
        } => Piece {
            root,
            offset: u64::from(*first) * CHUNK,
            length: u64::from(*count) * CHUNK,
            path: path(*entry)?,
        },
        Use::Missed { directory, name } => Piece {
            root,
            offset: 0,
            length: 0,
            path: path(*directory)?.join(name),
        },
    })
}
