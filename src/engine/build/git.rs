//! Repositories, through the host's `git`: one bare copy of each in the cache directory
//! (`git-v1/<key>`), from which commits are checked out.
//!
//! Concurrency: one fetch at a time in this process, since two in one copy would be in each
//! other's way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BuildError;
use super::hooks::tail;
use super::source::GitSource;
use super::step::Step;

/// Taken by whoever fetches.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The reference under which a repository's `HEAD` is kept.
const HEAD: &str = "refs/blast/head";
/// The same for what has to be asked for by name.
const WANTED: &str = "refs/blast/wanted";

/// A repository as far as it was fetched.
pub(super) struct Repository<'a> {
    source: &'a GitSource,
    program: PathBuf,
    copy: PathBuf,
    variables: BTreeMap<String, String>,
}

impl<'a> Repository<'a> {
    /// The repository that `source` names, with its copy below `cache`.
    pub(super) fn new(
        source: &'a GitSource,
        cache: &Path,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, BuildError> {
        let path = variables.get("PATH").map(OsStr::new).unwrap_or_default();
        let program = std::env::split_paths(path)
            .map(|folder| folder.join("git"))
            .find(|program| program.is_file())
            .ok_or_else(|| BuildError::NoGit {
                what: source.to_string(),
            })?;
        let mut variables = variables.clone();
        variables.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
        let ssh = variables.entry("GIT_SSH_COMMAND".to_owned());
        ssh.or_insert_with(|| "ssh -oBatchMode=yes".to_owned());
        let key = blake3::hash(source.repository.as_str().as_bytes()).to_hex();
        Ok(Self {
            source,
            program,
            copy: cache.join("git-v1").join(&key[..32]),
            variables,
        })
    }

    /// The commit that is meant; fetches, unless that is one that is there.
    pub(super) async fn commit(&self, offline: bool) -> Result<String, BuildError> {
        let _turn = TURN.lock().await;
        if !self.copy.join("HEAD").is_file() {
            std::fs::create_dir_all(&self.copy).map_err(BuildError::io("make", &self.copy))?;
            self.run(&["init", "--quiet", "--bare", "."], &self.copy)
                .await?;
        }
        let reference = self.source.reference.as_deref();
        let is_commit =
            |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(reference) = reference.filter(|text| is_commit(text))
            && let Some(commit) = self.look_up(reference).await
        {
            return Ok(commit);
        }
        let url = self.source.repository.as_str();
        if !offline {
            let head = format!("+HEAD:{HEAD}");
            let heads = "+refs/heads/*:refs/heads/*";
            let tags = "+refs/tags/*:refs/tags/*";
            let fetch = [
                "fetch",
                "--quiet",
                "--no-auto-gc",
                "--prune",
                "--",
                url,
                heads,
                tags,
                &head,
            ];
            self.run(&fetch, &self.copy).await?;
        }
        let Some(reference) = reference else {
            return self.found(self.look_up(HEAD).await);
        };
        // Branches before tags, as pip takes them.
        for name in [
            format!("refs/heads/{reference}"),
            format!("refs/tags/{reference}"),
            reference.to_owned(),
        ] {
            if let Some(commit) = self.look_up(&name).await {
                return Ok(commit);
            }
        }
        if offline {
            return self.found(None);
        }
        let wanted = format!("+{reference}:{WANTED}");
        self.run(
            &["fetch", "--quiet", "--no-auto-gc", "--", url, &wanted],
            &self.copy,
        )
        .await?;
        self.found(self.look_up(WANTED).await)
    }

    fn found(&self, commit: Option<String>) -> Result<String, BuildError> {
        commit.ok_or_else(|| BuildError::NoRevision {
            what: self.source.to_string(),
        })
    }

    async fn look_up(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        let arguments = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        let said = self.run(&arguments, &self.copy).await.ok()?;
        said.last().cloned().filter(|line| line.len() >= 40)
    }

    /// The copy: what is checked out refers to its objects.
    pub(super) fn copy(&self) -> &Path {
        &self.copy
    }

    /// Checks a commit out into a folder that does not exist yet, with its submodules.
    pub(super) async fn check_out(&self, commit: &str, into: &Path) -> Result<(), BuildError> {
        let (copy, folder) = (self.copy.to_string_lossy(), into.to_string_lossy());
        let clone = [
            "clone",
            "--quiet",
            "--shared",
            "--no-checkout",
            "--",
            &copy,
            &folder,
        ];
        self.run(&clone, &self.copy).await?;
        let url = self.source.repository.as_str();
        self.run(&["remote", "set-url", "origin", url], into)
            .await?;
        self.run(&["checkout", "--quiet", "--detach", commit], into)
            .await?;
        if into.join(".gitmodules").is_file() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            self.run(&update, into).await?;
        }
        Ok(())
    }

    /// Runs git; answers with the last lines of what it said.
    async fn run(&self, arguments: &[&str], folder: &Path) -> Result<Vec<String>, BuildError> {
        let log = tempfile::NamedTempFile::new()
            .map_err(BuildError::io("write to", std::env::temp_dir()))?;
        let log = log.into_temp_path();
        let step = Step {
            program: self.program.clone(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            directory: folder.to_owned(),
            variables: self.variables.clone(),
            log: log.to_path_buf(),
            // The user's own git, with what the user has to reach the repository.
            confinement: None,
        };
        let status = step
            .run(Arc::new(()))
            .await
            .map_err(BuildError::io("run", &self.program))?
            .status;
        let said = tail(&log);
        if status.success() {
            return Ok(said);
        }
        let (full, shown) = (
            self.source.repository.as_str(),
            blast_index::bare(self.source.repository.as_str()),
        );
        Err(BuildError::Git {
            what: self.source.to_string(),
            command: arguments
                .first()
                .map(|&word| word.to_owned())
                .unwrap_or_default(),
            tail: said.iter().map(|line| line.replace(full, &shown)).collect(),
        })
    }
}
