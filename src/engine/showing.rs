//! How environments are shown: in a view, or as plain files where none can be mounted.
//!
//! The user may ask for either ([`ViewChoice`]); what was asked for last holds while the daemon
//! lives. Left to us it is a view, unless the host has no FUSE or refuses the mount; then it is files
//! until the daemon ends, and the user is told once.
//!
//! Changing from one to the other loses nothing: a view is mounted over the files' links, and
//! links are made below a view before it is unmounted.

use std::sync::{Arc, Mutex};

use blast_fs::MountError;
use blast_store::Unpublished;
use blast_types::{EnvName, GenerationId, Reporter};

use super::capture;
use super::error::EngineError;
use super::files::Hold;
use super::home::{Home, lock};
use crate::ipc::protocol::{Place, ViewChoice};
use crate::namespace;

/// What was asked for, and what turned out.
#[derive(Debug, Default)]
pub(super) struct Mode(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    choice: ViewChoice,
    /// Why no view can be mounted.
    reason: Option<String>,
}

impl Mode {
    /// Why environments are plain files, if they are.
    fn reason(&self) -> Option<String> {
        let mut state = lock(&self.0);
        match state.choice {
            ViewChoice::Fuse => None,
            ViewChoice::Files => Some("as asked for".to_owned()),
            ViewChoice::Auto => {
                if state.reason.is_none() {
                    let host = blast_fs::host_support();
                    state.reason = host.reason.as_ref().map(in_words_of_host);
                }
                state.reason.clone()
            }
        }
    }

    /// Takes note that a view cannot be mounted, if files will do instead; else gives the error
    /// back.
    fn fall_back(&self, error: MountError) -> Result<(), MountError> {
        let mut state = lock(&self.0);
        if state.choice == ViewChoice::Fuse || !error.is_of_host() {
            return Err(error);
        }
        state.reason = Some(in_words(&error));
        Ok(())
    }
}

/// The error with what is behind it.
fn in_words(error: &MountError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The same, and why the way round a missing helper is closed.
fn in_words_of_host(error: &MountError) -> String {
    let why = in_words(error);
    if !matches!(error, MountError::NoHelper) {
        return why;
    }
    match namespace::try_apart() {
        Err(refused) => format!("{why}, and {refused}"),
        Ok(()) => format!(
            "{why}, and the daemon was started for plain files; `blast daemon restart` starts one \
             that can mount in a namespace"
        ),
    }
}

impl Home {
    /// Takes note of what the user asks for; [`ViewChoice::Auto`] asks for nothing.
    pub(crate) fn choose(&self, choice: ViewChoice) {
        if choice != ViewChoice::Auto {
            lock(&self.mode.0).choice = choice;
        }
    }

    /// Why environments are plain files; none where they are in a view.
    pub(super) fn why_files(&self) -> Option<String> {
        let asked = lock(&self.mode.0).choice != ViewChoice::Auto;
        // A view that is mounted needs no proof that it can be.
        if !asked && self.is_shown() {
            return None;
        }
        self.mode.reason()
    }

    /// Whether any environment may be plain files; costs no look at the disk.
    pub(crate) fn has_plain_files(&self) -> bool {
        self.files.is_any_shown()
    }

    /// The environments that are plain files; what builds go on in is none.
    pub(crate) fn plain_files(&self) -> Vec<EnvName> {
        let mut all = self.files.environments();
        all.retain(|env| matches!(self.store.env(env), Ok(Some(_))));
        all
    }

    /// Whether a view is about to take their place. Blocks.
    pub(crate) fn is_leaving_files(&self) -> bool {
        self.why_files().is_none()
    }

    /// Mounts the view, if that is how environments are shown; true where they are plain files, by
    /// choice or because the mount failed. Blocks.
    pub(super) fn show_somehow(&self) -> Result<bool, EngineError> {
        if self.why_files().is_some() {
            return Ok(true);
        }
        match self.show() {
            Ok(()) => self.leave_files().map(|()| false),
            Err(EngineError::Mount(error)) => {
                self.mode.fall_back(error)?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an environment visible and says where it is. Blocks.
    pub(crate) fn enter(
        &self,
        env: &EnvName,
        pin: bool,
        reporter: &dyn Reporter,
    ) -> Result<Place, EngineError> {
        let state = self.env(env)?;
        if !self.show_somehow()? {
            self.reveal(env)?;
            return self.place(&state, pin);
        }
        if self.is_shown() && self.is_used() {
            return Err(EngineError::InUse {
                live: self.live().to_owned(),
            });
        }
        self.files.show(env)?;
        if self.is_shown() {
            self.hide(None, true)?;
        }
        self.tell_why_files(reporter);
        let state = self.env(env)?;
        if pin {
            let held = self.files.prepare(state.head)?;
            self.files.pin(state.head);
            drop(held);
        }
        self.place(&state, pin)
    }

    /// Before an operation is published: whatever its generation needs to be shown is written, so
    /// that a disk that is full stops it in time. The tree stays while what is returned lives.
    /// Blocks.
    pub(super) fn prepare(
        &self,
        env: &EnvName,
        unpublished: &mut Unpublished,
    ) -> Result<Option<Arc<Hold>>, EngineError> {
        if self.why_files().is_none() && !self.files.shows(env) {
            return Ok(None);
        }
        unpublished.settle()?;
        self.files.prepare(unpublished.generation()).map(Some)
    }

    /// Lets an environment's link, where there is one, lead to its head. Blocks.
    pub(super) fn swap_files(&self, env: &EnvName) -> Result<(), EngineError> {
        if self.why_files().is_none() && !self.files.shows(env) {
            return Ok(());
        }
        let old = self.files.shown(env);
        self.files.show(env)?;
        if let Some(old) = old {
            self.leave_tree(env, old);
        }
        Ok(())
    }

    /// Sees to it that nothing which programs wrote into a tree goes with it unasked.
    fn leave_tree(&self, env: &EnvName, tree: GenerationId) {
        let kept = self.store.home().join(capture::AREAS).join(env.as_str());
        match self.files.leave(env, tree, &kept) {
            Ok(None) => {}
            Ok(Some(kept)) => self.tell_next(format!(
                "programs wrote into environment {env} while it changed: what they left is kept in {}",
                kept.display()
            )),
            // The change stands whatever happens here.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a tree that was left cannot be looked at");
            }
        }
    }

    /// Puts the skeleton, if there is one, in the place of an environment's files, which go when nobody
    /// uses them.
    pub(super) fn hide_files(&self, env: &EnvName) -> Result<(), EngineError> {
        if let Some(tree) = self.files.shown(env) {
            self.files.hide(env)?;
            // What a build went on in has none.
            if let Some(state) = self.store.env(env)? {
                self.leave_tree(env, tree);
                self.make_skeleton(&state)?;
            }
            self.files.retire_in_background();
        }
        Ok(())
    }

    /// Removes plain files that nobody uses any more. Blocks.
    pub(crate) fn retire_files(&self) -> usize {
        self.files.retire()
    }

    /// Has all plain files written anew at their next use, since they may share bytes with damaged
    /// blobs. Those that programs use stay for them. Blocks.
    pub(super) fn renew_files(&self) -> Result<(), EngineError> {
        for env in self.files.environments() {
            self.hide_files(&env)?;
        }
        self.files.retire();
        Ok(())
    }

    /// Once a view is mounted: files below it are of no use.
    fn leave_files(&self) -> Result<(), EngineError> {
        if self.files.is_any_shown() {
            for env in self.files.environments() {
                self.hide_files(&env)?;
            }
            self.files.left();
        }
        Ok(())
    }

    fn tell_why_files(&self, reporter: &dyn Reporter) {
        let asked = lock(&self.mode.0).choice == ViewChoice::Files;
        if asked {
            return;
        }
        if let Some(reason) = self.why_files()
            && self.files.is_news(&reason)
        {
            let kind = self
                .files
                .kind()
                .map_or_else(|_| "copies".to_owned(), |kind| kind.to_string());
            reporter.warn(format!(
                "no view can be mounted here ({reason}), so environments are plain files ({kind}) \
                 below {}: all commands work, but a change takes as long as writing its files; \
                 `blast doctor` says how to mend it, and `view = \"files\"` in the settings that it \
                 is meant so",
                self.live().display()
            ));
        }
    }
}
