//! The commands that change nothing and look at no package: what this pip is, hashes, completion.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};

use clap::CommandFactory as _;

use super::arguments::{Completion, Hash, Pip, Search};
use super::{Target, VERSION};
use crate::error::Error;
use crate::exit_code::Exit;

/// `pip 26.1 from …/pip (python 3.12)`.
pub(super) fn version(target: &Target) -> Result<Exit, Error> {
    let line = own_line(target)?;
    target.context.printer.data(&format!("{line}\n"))?;
    Ok(Exit::Ok)
}

fn own_line(target: &Target) -> Result<String, Error> {
    let python = &target.place()?.python;
    let short: Vec<_> = python.split('.').take(2).collect();
    Ok(format!(
        "pip {VERSION} from {} (python {})",
        target.site()?.join("pip").display(),
        short.join(".")
    ))
}

/// What this pip is, and the markers of its interpreter.
pub(super) fn debug(target: &Target) -> Result<Exit, Error> {
    let markers = target.markers()?;
    let place = target.place()?;
    let mut lines = vec![
        format!("pip version: {}", own_line(target)?),
        format!("blast version: {}", env!("CARGO_PKG_VERSION")),
        format!("environment: {}", place.env),
        format!("sys.prefix: {}", place.prefix.display()),
        format!(
            "sys.executable: {}",
            place.prefix.join("bin/python").display()
        ),
        format!("base interpreter: {}", place.interpreter.display()),
    ];
    for (name, value) in markers {
        lines.push(format!("{name}: {value}"));
    }
    target.context.printer.data(&(lines.join("\n") + "\n"))?;
    Ok(Exit::Ok)
}

/// The line of a requirements file for each file.
pub(super) fn hash(args: &Hash, target: &Target) -> Result<Exit, Error> {
    let algorithm = args.algorithm.kind();
    for path in &args.files {
        let fail = |error: io::Error| Error::io("read", path, &error);
        let mut hasher = algorithm.hasher();
        let mut file = File::open(path).map_err(fail)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut chunk).map_err(fail)?;
            if read == 0 {
                break;
            }
            hasher.update(&chunk[..read]);
        }
        let mut digest = String::new();
        for byte in hasher.finalize() {
            // Writing to a text does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        let (path, name) = (path.display(), algorithm.name());
        let text = format!("{path}:\n--hash={name}:{digest}\n");
        target.context.printer.data(&text)?;
    }
    Ok(Exit::Ok)
}

/// The script that completes what is typed after `pip`.
pub(super) fn completion(args: &Completion, target: &Target) -> Result<Exit, Error> {
    let Some(shell) = args.shell() else {
        let line = "ERROR: You must pass --bash or --fish or --powershell or --zsh";
        target.context.printer.say(line);
        return Ok(Exit::Ok);
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Pip::command(), "pip", &mut script);
    let script = String::from_utf8_lossy(&script);
    target.context.printer.data(&script)?;
    Ok(Exit::Ok)
}

/// No index that is asked today answers searches.
pub(super) fn search(args: &Search) -> Error {
    if args.query.is_empty() {
        return Error::no("Missing required argument (search query).");
    }
    Error::no("PyPI no longer supports 'pip search' (or XML-RPC search)")
        .hint("search on its pages in a browser; `pip index versions NAME` asks for one package")
}
