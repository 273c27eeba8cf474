//! What `strace` wrote down, as operations on files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The calls that change files, make them durable, or say which descriptor is which file.
pub(super) const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,?rename,?renameat,renameat2,\
                                ?unlink,unlinkat,?mkdir,mkdirat,?rmdir,fsync,fdatasync,syncfs";

/// One operation; files by a number of their own, as they change their names.
#[derive(Debug)]
pub(super) enum Op {
    Make {
        file: usize,
        path: PathBuf,
    },
    Folder {
        path: PathBuf,
    },
    Write {
        file: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Cut {
        file: usize,
        length: u64,
    },
    Rename {
        file: usize,
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// Durable is what it is about, of the first so many operations.
    Sync {
        what: Synced,
        of: usize,
    },
    /// The victim was told that the commit is made.
    Ack(u64),
}

#[derive(Debug)]
pub(super) enum Synced {
    File(usize),
    Folder(PathBuf),
    All,
}

impl Op {
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Write { file, at, bytes } => format!("write {file} at {at}: {}", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

/// Reads the trace of everything below `dir`.
pub(super) fn parse(text: &str, dir: &Path) -> Vec<Op> {
    let mut reader = Reader {
        dir,
        ops: Vec::new(),
        names: HashMap::new(),
        open: HashMap::new(),
        files: 0,
    };
    let mut unfinished: HashMap<&str, (String, usize)> = HashMap::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, (begun.trim_end().to_owned(), reader.ops.len()));
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            if let Some((begun, at)) = unfinished.remove(pid) {
                reader.call(&format!("{begun}{end}"), at);
            }
        } else {
            reader.call(rest, reader.ops.len());
        }
    }
    reader.ops
}

struct Reader<'a> {
    dir: &'a Path,
    ops: Vec<Op>,
    names: HashMap<PathBuf, usize>,
    /// By descriptor: the file and where the next plain write goes.
    open: HashMap<String, (usize, u64)>,
    files: usize,
}

impl Reader<'_> {
    /// One call that began when there were `began` operations.
    fn call(&mut self, call: &str, began: usize) {
        let Some((name, rest)) = call.split_once('(') else {
            return;
        };
        let Some((args, result)) = rest.rsplit_once(" = ") else {
            return;
        };
        if result.starts_with(['-', '?']) {
            return;
        }
        let args = args.trim_end().trim_end_matches(')');
        let args: Vec<&str> = args.split(", ").collect();
        match name {
            "openat" => self.open(&args, result),
            "write" => self.write(args[0], None, args[1]),
            "pwrite64" => self.write(args[0], args[3].parse().ok(), args[1]),
            "ftruncate" => {
                if let (Some(file), Ok(length)) = (self.file_of(args[0]), args[1].parse()) {
                    self.ops.push(Op::Cut { file, length });
                }
            }
            "rename" => self.rename(Self::path(None, args[0]), Self::path(None, args[1])),
            "renameat" | "renameat2" => self.rename(
                Self::path(Some(args[0]), args[1]),
                Self::path(Some(args[2]), args[3]),
            ),
            "unlink" | "rmdir" => self.remove(Self::path(None, args[0])),
            "unlinkat" => self.remove(Self::path(Some(args[0]), args[1])),
            "mkdir" => self.folder(Self::path(None, args[0])),
            "mkdirat" => self.folder(Self::path(Some(args[0]), args[1])),
            "fsync" | "fdatasync" => {
                let Some(path) = described(args[0]).filter(|path| path.starts_with(self.dir))
                else {
                    return;
                };
                let what = match self.names.get(&path) {
                    Some(&file) => Synced::File(file),
                    None => Synced::Folder(path),
                };
                self.ops.push(Op::Sync { what, of: began });
            }
            "syncfs" => self.ops.push(Op::Sync {
                what: Synced::All,
                of: began,
            }),
            _ => {}
        }
    }

    fn open(&mut self, args: &[&str], result: &str) {
        let path = Self::path(Some(args[0]), args[1]);
        if !path.starts_with(self.dir) || args[2].contains("O_DIRECTORY") {
            return;
        }
        let file = match self.names.get(&path) {
            Some(&file) => file,
            None if args[2].contains("O_CREAT") => {
                self.files += 1;
                self.names.insert(path.clone(), self.files);
                self.ops.push(Op::Make {
                    file: self.files,
                    path,
                });
                self.files
            }
            None => return,
        };
        if args[2].contains("O_TRUNC") {
            self.ops.push(Op::Cut { file, length: 0 });
        }
        let descriptor = result.split('<').next().unwrap_or_default();
        self.open.insert(descriptor.to_owned(), (file, 0));
    }

    fn write(&mut self, descriptor: &str, at: Option<u64>, bytes: &str) {
        let Some(path) = described(descriptor).filter(|path| path.starts_with(self.dir)) else {
            return;
        };
        let bytes = unescape(bytes);
        if path == self.dir.join("acks") {
            self.ops.push(Op::Ack(u64::from(bytes[0] - b'0')));
            return;
        }
        let number = descriptor.split('<').next().unwrap_or_default();
        let Some((file, next)) = self.open.get_mut(number) else {
            return;
        };
        let at = at.unwrap_or_else(|| {
            let at = *next;
            *next += bytes.len() as u64;
            at
        });
        let file = *file;
        self.ops.push(Op::Write { file, at, bytes });
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) {
        if let Some(file) = self.names.remove(&from) {
            self.names.insert(to.clone(), file);
            self.ops.push(Op::Rename { file, from, to });
        }
    }

    fn remove(&mut self, path: PathBuf) {
        if path.starts_with(self.dir) {
            self.names.remove(&path);
            self.ops.push(Op::Remove { path });
        }
    }

    fn folder(&mut self, path: PathBuf) {
        if path.starts_with(self.dir) {
            self.ops.push(Op::Folder { path });
        }
    }

    fn file_of(&self, descriptor: &str) -> Option<usize> {
        self.names.get(&described(descriptor)?).copied()
    }

    /// A path argument, below the directory of a descriptor where one is given.
    fn path(below: Option<&str>, text: &str) -> PathBuf {
        let path = PathBuf::from(String::from_utf8_lossy(&unescape(text)).into_owned());
        match below.and_then(described) {
            Some(dir) => dir.join(path),
            None => path,
        }
    }
}

/// The path that `-y` shows behind a descriptor.
fn described(descriptor: &str) -> Option<PathBuf> {
    let (_, rest) = descriptor.split_once('<')?;
    let bytes = unescape(rest.strip_suffix('>')?);
    Some(PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The bytes of `\x41\x42`, with or without quotes.
fn unescape(text: &str) -> Vec<u8> {
    let digits: String = text.trim_matches('"').split("\\x").collect();
    hex::decode(digits).unwrap_or_default()
}
