//! How a client is told of an error: its kind, its causes and the way out.

use std::error::Error as _;
use std::io;

use blast_types::Hint;

use super::EngineError;
use crate::ipc::protocol::{ErrorKind, Failure};

impl EngineError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEnvironment(_)
            | Self::OtherProject { .. }
            | Self::OtherPython { .. }
            | Self::BadRequirement { .. }
            | Self::BadPackageName(_)
            | Self::PythonRequest(_)
            | Self::Activation(_)
            | Self::NotFree { .. }
            | Self::NoHardLinks { .. }
            | Self::NothingToBuildIn
            | Self::NoIndex => ErrorKind::Usage,
            Self::NoDistribution(_)
            | Self::Build { .. }
            | Self::OtherSources { .. }
            | Self::Unhashed { .. }
            | Self::OtherLayer { .. }
            | Self::NotToBeHad { .. }
            | Self::NotInstalled { .. }
            | Self::StillNeeded { .. }
            | Self::NothingTo { .. }
            | Self::NoSuchState { .. }
            | Self::NoSuchOperation { .. }
            | Self::TooLongAgo { .. }
            | Self::Overtaken(_)
            | Self::OtherInterpreter { .. }
            | Self::NeverInstalled { .. }
            | Self::NoSnapshot { .. }
            | Self::WrongHash { .. }
            | Self::NoWheel { .. }
            | Self::NoVersion { .. }
            | Self::Lock { .. }
            | Self::InUse { .. }
            | Self::TwoPins { .. }
            | Self::Busy
            | Self::NotLockable(_)
            | Self::Interpreter(_)
            | Self::Resolve(_)
            | Self::Index(_)
            | Self::Wheel(_)
            | Self::Publish(_) => ErrorKind::No,
            Self::Image(error) => error.kind(),
            Self::Store(_)
            | Self::NotShown { .. }
            | Self::Unpack { .. }
            | Self::Layer { .. }
            | Self::Mount(_)
            | Self::Files { .. }
            | Self::Io { .. }
            | Self::Target(_)
            | Self::CapturedMetadata { .. }
            | Self::NoArea(_)
            | Self::Bug(_) => ErrorKind::Internal,
        }
    }

    /// What a client is told.
    pub(crate) fn failure(&self) -> Failure {
        let mut causes = Vec::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Failure {
            kind: self.kind(),
            message: self.to_string(),
            causes,
            hints: self.hints(),
            conflict: self.conflict(),
        }
    }

    /// The explanation of a conflict, as data.
    fn conflict(&self) -> Option<Box<serde_json::Value>> {
        let Self::Resolve(blast_resolver::ResolveError::NoSolution(explanation)) = self else {
            return None;
        };
        serde_json::to_value(explanation).ok().map(Box::new)
    }

    /// Hints of what history says no to.
    fn history_hints(&self) -> Vec<String> {
        match self {
            Self::NothingTo { env, .. }
            | Self::NoSuchState { env, .. }
            | Self::NoSuchOperation { env, .. }
            | Self::NeverInstalled { env, .. }
            | Self::TooLongAgo { env, .. } => {
                vec![format!("`blast log --env {env}` shows the history")]
            }
            Self::NoSnapshot { env, .. } => {
                vec![format!(
                    "`blast save --list --env {env}` shows the snapshots"
                )]
            }
            Self::OtherInterpreter { wanted, .. } => vec![format!(
                "`blast start OTHER-NAME --python {wanted}` makes an environment that it fits"
            )],
            Self::Overtaken(refusal) => refusal.hints(),
            _ => Vec::new(),
        }
    }

    fn is_disk_full(&self) -> bool {
        match self {
            Self::Unpack { source, .. } | Self::Io { source, .. } => {
                source.kind() == io::ErrorKind::StorageFull
            }
            Self::Files { source, .. } => source.is_disk_full(),
            _ => false,
        }
    }
}

impl Hint for EngineError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEnvironment(name) => vec![
                format!("`blast start {name}` makes it"),
                "`blast envs` lists those that there are".to_owned(),
            ],
            Self::OtherProject { .. } => {
                vec!["choose another name: `blast start OTHER-NAME`".to_owned()]
            }
            Self::OtherPython { name, .. } => vec![
                format!("`blast envs rm {name}` deletes it, then start it anew"),
                "or choose another name".to_owned(),
            ],
            Self::NotInstalled { env, .. } => {
                vec![format!("`blast list --env {env}` shows what is installed")]
            }
            Self::StillNeeded { package, needed_by } => {
                vec![format!(
                    "`blast remove {} {package}` removes them together",
                    needed_by.join(" ")
                )]
            }
            Self::NothingTo { .. }
            | Self::NoSuchState { .. }
            | Self::NoSuchOperation { .. }
            | Self::NeverInstalled { .. }
            | Self::TooLongAgo { .. }
            | Self::OtherInterpreter { .. }
            | Self::Overtaken(_)
            | Self::NoSnapshot { .. } => self.history_hints(),
            Self::WrongHash { .. } => vec![
                "the file was changed after it was locked, or on its way; do not install it"
                    .to_owned(),
            ],
            Self::NoWheel { package, .. } => {
                vec![format!(
                    "`blast install {package}` finds a version that fits"
                )]
            }
            Self::NoVersion { near, .. } if near.is_empty() => Vec::new(),
            Self::NoVersion { near, .. } => vec![format!("near it are {}", near.join(", "))],
            Self::NoIndex => {
                vec![
                    "name one: `--index-url URL`, or `BLAST_INDEX_URL`, or pip's configuration"
                        .to_owned(),
                ]
            }
            Self::NotShown { env, .. } => vec![
                "the daemon starts anew to show it; `blast status` tells".to_owned(),
                format!("`blast revert --env {env}` takes the change back"),
            ],
            Self::Busy => vec!["wait for it, or add `--force`".to_owned()],
            Self::InUse { .. } => {
                vec!["end them first, or add `--force`: they keep what they have open".to_owned()]
            }
            Self::Build { source, .. } => source.hints(),
            Self::Interpreter(error) => error.hints(),
            Self::Resolve(error) => error.hints(),
            Self::Index(error) => error.hints(),
            Self::Wheel(_) => vec![
                "the wheel itself is at fault: choose another version, or tell its authors"
                    .to_owned(),
            ],
            error if error.is_disk_full() => {
                vec!["make room: `blast clean` frees what nothing uses".to_owned()]
            }
            Self::NotFree { .. } => {
                vec!["name a directory that is empty or does not exist yet".to_owned()]
            }
            Self::NoHardLinks { .. } => {
                vec!["leave `--link` out: files are copied then, or reflinked".to_owned()]
            }
            Self::Store(error) => error.hints(),
            Self::Image(error) => error.hints(),
            Self::Publish(error) => error.hints(),
            Self::Unhashed { .. } => vec![
                "state one of each, dependencies too: `blast lock --export requirements` writes such a file"
                    .to_owned(),
            ],
            Self::Mount(error) => error.hints(),
            Self::BadRequirement { .. }
            | Self::BadPackageName(_)
            | Self::OtherSources { .. }
            | Self::NoDistribution(_)
            | Self::NothingToBuildIn
            | Self::Lock { .. }
            | Self::NotLockable(_)
            | Self::NotToBeHad { .. }
            | Self::OtherLayer { .. }
            | Self::PythonRequest(_)
            | Self::Activation(_)
            | Self::TwoPins { .. }
            | Self::Layer { .. }
            | Self::Files { .. }
            | Self::Io { .. }
            | Self::Unpack { .. }
            | Self::CapturedMetadata { .. }
            | Self::NoArea(_)
            | Self::Target(_) => Vec::new(),
            Self::Bug(_) => vec!["this is a defect of blast: please report it".to_owned()],
        }
    }
}
