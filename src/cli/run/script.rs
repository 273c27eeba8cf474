//! `blast run script.py`: a script by the name of its file, in an environment of its own if it says what it needs
//! ([`crate::cli::inline`]).
//!
//! That environment is as any other: `blast envs` lists it, `blast log` tells what changed with the script's block. It
//! is made to hold what the block says when the block, or the environment, is not what it was when that was last done;
//! `$BLAST_CACHE/scripts-v1/<environment>` has a digest of both. Where the block takes a package from a place of this
//! machine that may have changed, it is each time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use blast_types::{EnvName, VersionOrUrl, pep508};

use super::Args;
use crate::cli::bytecode::{Bytecode, BytecodeOptions};
use crate::cli::context::Context;
use crate::cli::options::SourceOptions;
use crate::cli::project::{Parts, Project};
use crate::cli::requirements::Gathered;
use crate::cli::resolution::ResolverOptions;
use crate::cli::sync::Wanted;
use crate::cli::{change, inline, naming, whole_file};
use crate::error::{Error, Kind};
use crate::ipc::protocol::{Place, Reply, Request, RequirementLine, RequirementSet, Start};
use crate::ui::style;

/// What runs scripts.
const PYTHON: &str = "python";
/// What their names end in.
const SUFFIX: &[u8] = b".py";
/// Of the cache.
const FOLDER: &str = "scripts-v1";
/// A digest is of all that decides what it stands for, of this version of blast too.
const CONTEXT: &str = "blast 2026-11-22 environment of a script";

/// A script that is to be run.
#[derive(Debug)]
pub(super) struct Script {
    path: PathBuf,
    words: Vec<OsString>,
}

/// Whether a command has the name of a script.
pub(super) fn is_named_so(word: &OsStr) -> bool {
    word.as_bytes().ends_with(SUFFIX)
}

/// The script that a command line begins with, if it does.
///
/// # Errors
/// If the command is said to be a script, or is the path of one, and there is none.
pub(super) fn named(args: &Args, context: &Context) -> Result<Option<Script>, Error> {
    let Some(word) = args.command.first() else {
        return Ok(None);
    };
    if !args.script && !is_named_so(word) {
        return Ok(None);
    }
    let path = context.cwd()?.join(word);
    if path.is_file() {
        return Ok(Some(Script {
            path,
            words: args.command.clone(),
        }));
    }
    let missing = format!("there is no script {}", path.display());
    if args.script {
        return Err(Error::usage(missing));
    }
    if word.as_bytes().contains(&b'/') {
        return Err(Error::new(Kind::CommandNotFound, missing));
    }
    // A program of the environment may be called so.
    Ok(None)
}

impl Script {
    /// What runs it.
    pub(super) fn command(self) -> Vec<OsString> {
        [OsString::from(PYTHON)]
            .into_iter()
            .chain(self.words)
            .collect()
    }

    /// The environment of its own, which holds what it says that it needs; `None` where it says nothing.
    pub(super) fn environment(&self, context: &Context) -> Result<Option<EnvName>, Error> {
        let path =
            fs::canonicalize(&self.path).map_err(|error| Error::io("read", &self.path, &error))?;
        let Some((block, metadata)) = inline::read(&path)? else {
            return Ok(None);
        };
        if metadata.tool.contains_key("uv") {
            context.printer.detail(format!(
                "{}: [tool.uv] is not read; [tool.blast] has settings of the same kind",
                path.display()
            ));
        }
        let script = Project::of_script(&path, metadata)?;
        context.follow_script(&script);
        let name = naming::of_script(&path, script.requires_python())?;
        let needs = script.requirements(&Parts::default())?;
        let (created, place) = started(&name, &script, context)?;
        let kept = context.places()?.cache.join(FOLDER).join(name.as_str());
        let is_done = || fs::read_to_string(&kept).is_ok_and(|done| done == digest(&block, &place));
        if created || needs.iter().any(may_change) || !is_done() {
            if created {
                context.printer.say(format!(
                    "made environment {} for {} (Python {})",
                    style::strong(name.as_str()),
                    path.display(),
                    place.python
                ));
            }
            fill(&name, needs, context)?;
            let (_, place) = started(&name, &script, context)?;
            keep(&kept, &digest(&block, &place), context);
        }
        Ok(Some(name))
    }
}

/// The environment, made if there is none. Whether it was made, and where it is.
fn started(name: &EnvName, script: &Project, context: &Context) -> Result<(bool, Place), Error> {
    let request = Request::Start(Start {
        name: name.clone(),
        python: None,
        requires_python: script.requires_python().map(Into::into),
        project: None,
        variables: std::collections::BTreeMap::new(),
        search: Context::python_search(&script.root),
        dry_run: false,
    });
    match context.ask(request)? {
        Reply::Started { created, place } => Ok((created, place)),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Makes the environment hold what the script needs, and nothing else.
fn fill(
    name: &EnvName,
    requirements: Vec<RequirementLine>,
    context: &Context,
) -> Result<(), Error> {
    let wanted = Wanted::Requirements(Gathered::of(RequirementSet { requirements }));
    let (resolver, sources) = (ResolverOptions::default(), SourceOptions::default());
    let bytecode = BytecodeOptions::default().choose(context)?;
    let mut change = wanted.change(name.clone(), &resolver, &sources, false, context)?;
    change.no_bytecode = bytecode == Bytecode::Off;
    let Reply::Changed(changed) = context.ask(Request::Change(Box::new(change)))? else {
        return Err(Error::unexpected_reply());
    };
    if changed.operation.is_some() {
        change::report(context, &changed, Some(name), "blast revert")?;
    }
    bytecode.await_for(name.clone(), context)
}

/// Whether what satisfies a requirement may be another thing each time: what is at a place of this machine.
fn may_change(line: &RequirementLine) -> bool {
    let requirement = pep508::requirement(&line.text);
    let url = requirement
        .ok()
        .and_then(|requirement| requirement.version_or_url);
    !line.editable && matches!(url, Some(VersionOrUrl::Url(url)) if url.scheme() == "file")
}

fn digest(block: &str, place: &Place) -> String {
    let mut hash = blake3::Hasher::new_derive_key(CONTEXT);
    for part in [block, &place.generation.to_string()] {
        hash.update(&part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

/// Notes what was done. Where that cannot be, it is done again the next time.
fn keep(at: &Path, digest: &str, context: &Context) {
    let made = at.parent().map_or(Ok(()), fs::create_dir_all);
    let kept = made
        .map_err(|error| Error::io("make", at, &error))
        .and_then(|()| whole_file::put(at, digest));
    if let Err(error) = kept {
        context.printer.debug(error.to_string());
    }
}
