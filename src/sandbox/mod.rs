//! The sandboxes of this user that are kept for programs to come.
//!
//! Programs that may touch the same share a sandbox: its process numbers, its network and its private files, for as
//! long as one of them runs. It is named by the environment and a hash of all that it is made of, and kept by a
//! process of its own ([`holder`]), which the first program starts; those that follow go in by setns(2), which takes
//! a fraction of what making one takes. It listens in `sandboxes` of the runtime directory, under a name that hashes make of
//! the home, the environment and the rest.
//!
//! A change of the environment makes another tree, and so another sandbox; the daemon has the old one end with
//! its last program ([`retire`]).

pub(crate) mod cache;
pub(crate) mod holder;
pub(crate) mod scope;
pub(crate) mod state;
mod wire;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blast_sandbox::net::Config;
use blast_sandbox::{Attempt, Door, End, Failure, Plan, Program, Stage, Watch, enter};
use blast_types::EnvName;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use self::wire::{Asked, Told, connect_to, receive, send};
use crate::ipc::paths::Places;
use crate::ui::Printer;

/// The hidden command that holds one.
pub(crate) const COMMAND: &str = "hold-sandbox";

/// How many digits of hashes are in a sandbox's name: of its home, its environment, and all that it is made of.
const DIGITS: [usize; 3] = [8, 8, 16];

/// All that a sandbox is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What all its programs share.
    pub(crate) plan: Plan,
    /// What its filter lets through, if its network is filtered.
    pub(crate) config: Config,
    /// Where the audit log is: the home of the store.
    pub(crate) home: PathBuf,
}

/// What of its caller a sandbox is made from: nobody else can go in, or would find what is theirs there (namespaces(7)).
const NAMESPACES: [&str; 4] = ["user", "mnt", "net", "pid"];

/// The name of the sandbox of an order, and the order as text. Another build has other sandboxes, and so have other
/// namespaces.
fn name(env: &EnvName, order: &Order) -> io::Result<(String, Vec<u8>)> {
    let text = serde_json::to_vec(order)?;
    let program = fs::metadata("/proc/self/exe")?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&text);
    for number in [
        program.dev(),
        program.ino(),
        program.ctime().cast_unsigned(),
    ] {
        hasher.update(&number.to_le_bytes());
    }
    for namespace in NAMESPACES {
        let number = fs::metadata(Path::new("/proc/self/ns").join(namespace))?.ino();
        hasher.update(&number.to_le_bytes());
    }
    let [.., digits] = DIGITS;
    let whole = short(hasher.finalize(), digits);
    Ok((format!("{}{whole}", beginning(&order.home, env)), text))
}

fn short(hash: blake3::Hash, digits: usize) -> String {
    hash.to_hex().chars().take(digits).collect()
}

/// What stands for a home in names.
fn home_digits(home: &Path) -> String {
    let [of_home, ..] = DIGITS;
    short(blake3::hash(home.as_os_str().as_encoded_bytes()), of_home)
}

/// How the names of the sandboxes of an environment of a home begin.
fn beginning(home: &Path, env: &EnvName) -> String {
    let [_, of_env, _] = DIGITS;
    let home = home_digits(home);
    let env = short(blake3::hash(env.as_str().as_bytes()), of_env);
    format!("{home}-{env}-")
}

fn folder(places: &Places) -> PathBuf {
    places.runtime.join("sandboxes")
}

/// Runs a program to its end in the sandbox of its plan, which is made if it is not there. `watch` hears what it reaches for in
/// vain.
///
/// # Errors
/// If the sandbox cannot be made or entered, or the program not be started. Then nothing ran.
pub(crate) fn run(
    env: &EnvName,
    order: &Order,
    program: &Program,
    places: &Places,
    printer: Printer,
    watch: &mut dyn Watch,
) -> Result<End, Failure> {
    let lost = |error| Failure::new(Stage::Holder, error);
    let (name, text) = name(env, order).map_err(lost)?;
    // One that ends just now is replaced once.
    for _ in 0..2 {
        let lease = match connect_to(&folder(places).join(&name)).map_err(lost)? {
            Some(lease) => lease,
            None => start(env, &name, &text, places)?,
        };
        let Some(door) = knock(&lease, program).map_err(lost)? else {
            continue;
        };
        let mut inside = Inside {
            lease: &lease,
            printer,
            watch,
        };
        let end = enter(&order.plan, program, &door, lease.as_fd(), &mut inside);
        inside.leave();
        return end;
    }
    Err(lost(io::Error::other(
        "its holder ends as soon as it begins",
    )))
}

/// Asks to be let in; `None` if the holder is gone.
fn knock(lease: &OwnedFd, program: &Program) -> io::Result<Option<Door>> {
    let words = std::iter::once(&program.name).chain(&program.arguments);
    let command = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match send(lease, &Asked::Enter { command }, &[]) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
        sent => sent?,
    }
    loop {
        match receive(lease)? {
            Some((Told::Open { groups, way }, namespaces)) => {
                return Ok(Some(Door {
                    namespaces,
                    groups,
                    way,
                }));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
}

/// A program that is inside.
struct Inside<'a> {
    lease: &'a OwnedFd,
    printer: Printer,
    watch: &'a mut dyn Watch,
}

impl Inside<'_> {
    /// Shows what is still to be told.
    fn leave(&mut self) {
        if send(self.lease, &Asked::Leave, &[]).is_ok() {
            while self.told() {}
        }
    }
}

impl Watch for Inside<'_> {
    fn denied(&mut self, attempt: &Attempt) {
        self.watch.denied(attempt);
    }

    fn told(&mut self) -> bool {
        match receive(self.lease) {
            Ok(Some((Told::Line { line }, _))) => {
                self.printer.say(line);
                true
            }
            Ok(Some((Told::Open { .. } | Told::Report { .. }, _))) => true,
            Ok(Some((Told::Left, _)) | None) | Err(_) => false,
        }
    }
}

/// Starts the holder of a sandbox, unless somebody else did meanwhile.
fn start(env: &EnvName, name: &str, order: &[u8], places: &Places) -> Result<OwnedFd, Failure> {
    let lost = |error| Failure::new(Stage::Holder, error);
    let folder = folder(places);
    let turn = turn(&folder).map_err(lost)?;
    let path = folder.join(name);
    if let Some(lease) = connect_to(&path).map_err(lost)? {
        return Ok(lease);
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(lost(error)),
        _ => {}
    }
    let mut child = Command::new("/proc/self/exe")
        .arg0("blast")
        .args([COMMAND.as_ref(), path.as_os_str(), env.as_str().as_ref()])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(lost)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(order).map_err(lost)?;
    }
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut said).map_err(lost)?;
    }
    let outcome: Result<(), Failure> =
        serde_json::from_str(&said).map_err(|_| lost(io::Error::other("its holder died")))?;
    outcome?;
    drop(turn);
    connect_to(&path)
        .map_err(lost)?
        .ok_or_else(|| lost(io::Error::other("its holder does not listen")))
}

/// The right to start holders, until it is dropped.
fn turn(folder: &Path) -> io::Result<Flock<File>> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join(".lock"))?;
    Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// The sockets of sandboxes.
fn kept(places: &Places, of: Of<'_>) -> Vec<PathBuf> {
    let beginning = match of {
        Of::User => String::new(),
        Of::Environment(home, env) => beginning(home, env),
    };
    let entries = fs::read_dir(folder(places)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with(&beginning) && !name.starts_with('.')
        })
        .map(|name| folder(places).join(name))
        .collect()
}

/// Whose sandboxes are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// All of this user.
    User,
    /// Those of an environment of a home.
    Environment(&'a Path, &'a EnvName),
}

/// Has sandboxes end with their last programs, and waits until those without programs are gone. How many are left.
pub(crate) fn retire(places: &Places, of: Of<'_>) -> usize {
    let stays = |path: &PathBuf| {
        let Ok(Some(socket)) = connect_to(path) else {
            return false;
        };
        send(&socket, &Asked::Retire, &[]).is_ok()
            && matches!(receive(&socket), Ok(Some((Told::Left, _))))
    };
    kept(places, of).iter().filter(|path| stays(path)).count()
}

/// Ends sandboxes with all that runs in them, and waits until they are gone.
pub(crate) fn end(places: &Places, of: Of<'_>) {
    for path in kept(places, of) {
        if let Ok(Some(socket)) = connect_to(&path)
            && send(&socket, &Asked::End, &[]).is_ok()
        {
            while let Ok(Some(_)) = receive::<Told>(&socket) {}
        }
    }
}
