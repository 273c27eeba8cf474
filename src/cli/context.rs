//! What every command has at hand: printer, client, working directory. Made on first use, so that
//! `blast --help` looks at nothing.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};

use blast_types::EnvName;

use super::options::EnvOption;
use super::project::Project;
use super::select::{self, Selection, Surroundings};
use crate::env_vars;
use crate::error::Error;
use crate::ipc::client::Client;
use crate::ipc::paths::Places;
use crate::ipc::protocol::{EnvironmentView, PythonSearch, Reply, Request};
use crate::settings::Settings;
use crate::ui::Printer;
use crate::ui::progress::Progress;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Context {
    /// The way to the user.
    pub(super) printer: Printer,
    command: Vec<String>,
    /// The home that is meant, where no variable says it.
    home: Option<PathBuf>,
    /// Whether pip's variables and the user's file of pip's are passed over.
    isolated: bool,
    client: OnceCell<Client>,
    cwd: OnceCell<PathBuf>,
    /// The script whose settings count.
    script: OnceCell<Project>,
}

impl Context {
    /// For one command line.
    pub(super) fn new(printer: Printer, command: Vec<String>) -> Self {
        Self {
            printer,
            command,
            home: None,
            isolated: false,
            client: OnceCell::new(),
            cwd: OnceCell::new(),
            script: OnceCell::new(),
        }
    }

    /// The same for an environment of this home, whatever the variables say.
    pub(super) fn at_home(self, home: PathBuf) -> Self {
        Self {
            home: Some(home),
            ..self
        }
    }

    /// The same, passing over what the user has set for pip, if so.
    pub(super) fn isolated(self, isolated: bool) -> Self {
        Self { isolated, ..self }
    }

    /// Whether it passes over what the user has set for pip.
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// What was typed, as the history shows it.
    pub(super) fn command(&self) -> &[String] {
        &self.command
    }

    /// The client.
    pub(super) fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        self.client_with(self.settings()?)
    }

    /// The client of a command that must work whatever the settings say: ones that cannot be read
    /// are told and left out.
    pub(super) fn client_despite_settings(&self) -> Result<&Client, Error> {
        self.client_with(self.settings().unwrap_or_else(|error| {
            self.printer.warn(&error.message);
            Settings::default()
        }))
    }

    fn client_with(&self, settings: Settings) -> Result<&Client, Error> {
        let mut places = Places::new(|name| env::var_os(name))?;
        if let Some(home) = &self.home {
            places.home.clone_from(home);
        }
        Ok(self.client.get_or_init(|| {
            Client::new(places, settings.view, &self.command).with_writes(settings.writes)
        }))
    }

    /// The user's settings.
    #[expect(clippy::unused_self, reason = "they are part of the context")]
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        Settings::load(|name| env::var_os(name))
    }

    /// Where state is.
    pub(super) fn places(&self) -> Result<&Places, Error> {
        Ok(self.client()?.places())
    }

    /// The working directory.
    pub(super) fn cwd(&self) -> Result<&Path, Error> {
        if let Some(cwd) = self.cwd.get() {
            return Ok(cwd);
        }
        let cwd = env::current_dir().map_err(|error| {
            Error::internal("cannot tell what the working directory is")
                .caused_by(&error)
                .hint("it may have been deleted: `cd` to one that exists")
        })?;
        Ok(self.cwd.get_or_init(|| cwd))
    }

    /// The project whose settings count: the script that is run, if it says what it needs, else the project here.
    pub(super) fn project(&self) -> Result<Option<Project>, Error> {
        match self.script.get() {
            Some(script) => Ok(Some(script.clone())),
            None => Project::here(self.cwd()?),
        }
    }

    /// From now on the settings of this script count.
    pub(super) fn follow_script(&self, script: &Project) {
        self.script.get_or_init(|| script.clone());
    }

    /// Asks the daemon and shows progress meanwhile.
    pub(super) fn ask(&self, request: Request) -> Result<Reply, Error> {
        let mut progress = Progress::new(self.printer);
        self.client()?
            .ask(request, &mut |event| progress.show(event))
    }

    /// All environments.
    pub(super) fn environments(&self) -> Result<Vec<EnvironmentView>, Error> {
        self.environments_of(None)
    }

    fn environments_of(&self, project: Option<PathBuf>) -> Result<Vec<EnvironmentView>, Error> {
        match self.ask(Request::Environments { project })? {
            Reply::Environments { environments } => Ok(environments),
            _ => Err(Error::unexpected_reply()),
        }
    }

    /// The environment that is meant.
    pub(super) fn env(&self, option: &EnvOption) -> Result<EnvName, Error> {
        if let Some(name) = &option.env {
            return Ok(name.clone());
        }
        self.default_env()?.ok_or_else(|| {
            Error::usage("no environment is active, and there is no project here")
                .hint("name one: `--env NAME` (`blast envs` lists them)")
                .hint("or make one: `blast start NAME`")
        })
    }

    /// The active environment, else that of the project here; `None` where there is neither.
    pub(super) fn default_env(&self) -> Result<Option<EnvName>, Error> {
        match select::select(&self.surroundings()?)? {
            Selection::Env(name) => Ok(Some(name)),
            Selection::Project(root) => {
                let of_project = self.environments_of(Some(root.clone()))?.into_iter().next();
                of_project.map(|found| Some(found.name)).ok_or_else(|| {
                    Error::usage(format!(
                        "the project {} has no environment yet",
                        root.display()
                    ))
                    .hint("make one: `blast start`")
                    .hint("or name another: `--env NAME`")
                })
            }
            Selection::Nothing => Ok(None),
        }
    }

    /// What decides which environment is meant.
    pub(super) fn surroundings(&self) -> Result<Surroundings, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Ok(Surroundings {
            live: self.places()?.live(),
            cwd: self.cwd()?.to_owned(),
            blast_env: set(env_vars::BLAST_ENV),
            virtual_env: set(env_vars::VIRTUAL_ENV).map(PathBuf::from),
        })
    }

    /// Where interpreters are looked for, `.python-version` files from `root` upwards.
    pub(super) fn python_search(root: &Path) -> PythonSearch {
        let path_of = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        PythonSearch {
            path: env::var_os(env_vars::PATH)
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            cwd: root.to_owned(),
            home: path_of(env_vars::HOME),
            pyenv_root: path_of(env_vars::PYENV_ROOT),
        }
    }
}
