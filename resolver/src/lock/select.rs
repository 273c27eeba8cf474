//! What of a lock to install on a target, by the steps of PEP 751.

use blast_types::{
    ExtraName, GroupName, MarkerEnvironment, PackageName, Target, WheelFilename, filename,
};

use super::{Lock, LockedFile, LockedPackage, LockedSource};

/// One package to install.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected<'a> {
    /// The package.
    pub package: &'a LockedPackage,
    /// What to install it from.
    pub artifact: Artifact<'a>,
}

/// What a package is installed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Artifact<'a> {
    /// A wheel.
    Wheel(&'a LockedFile),
    /// A source distribution.
    Sdist(&'a LockedFile),
    /// An archive that the project names by URL or path.
    Archive(&'a LockedFile),
    /// A folder; see the package's source.
    Directory,
    /// A version control system; see the package's source.
    Vcs,
}

/// Why a lock cannot be installed on a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// None of the lock's environments is this one.
    #[error("the lock is not for this environment; it is for {}", .0.join(" or "))]
    Environment(Vec<String>),
    /// The lock is for other Pythons.
    #[error("the lock is for Python {needs}, this is {has}")]
    Python {
        /// What the lock says.
        needs: String,
        /// The target's version.
        has: String,
    },
    /// A package is for other Pythons.
    #[error("{package} is for Python {needs}, this is {has}")]
    PackagePython {
        /// The package.
        package: PackageName,
        /// What the lock says.
        needs: String,
        /// The target's version.
        has: String,
    },
    /// An extra that the lock does not have.
    #[error("the lock has no extra `{0}`")]
    Extra(ExtraName),
    /// A group that the lock does not have.
    #[error("the lock has no dependency group `{0}`")]
    Group(GroupName),
    /// Two entries of one package both apply.
    #[error("the lock is ambiguous: it has {0} twice for this environment")]
    Ambiguous(PackageName),
    /// No file of a package fits.
    #[error("the lock has no file of {0} that fits this environment")]
    NoFile(PackageName),
}

impl Lock {
    /// The packages to install. `groups` of `None` means the default groups.
    pub fn select(
        &self,
        target: &Target,
        extras: &[ExtraName],
        groups: Option<&[GroupName]>,
    ) -> Result<Vec<Selected<'_>>, SelectError> {
        if let Some(extra) = extras.iter().find(|extra| !self.extras.contains(extra)) {
            return Err(SelectError::Extra(extra.clone()));
        }
        let known =
            |group| self.dependency_groups.contains(group) || self.default_groups.contains(group);
        if let Some(group) = groups
            .unwrap_or_default()
            .iter()
            .find(|group| !known(group))
        {
            return Err(SelectError::Group(group.clone()));
        }
        let rank = |wheel: &WheelFilename| target.fit(wheel);
        self.select_ranked(&target.markers, rank, extras, groups)
    }

    /// Like [`Lock::select`], with any order among wheels: the greatest rank is most wanted, and
    /// what has none does not fit. Extras and groups that the lock does not know select nothing.
    pub fn select_ranked<R: Ord>(
        &self,
        markers: &MarkerEnvironment,
        rank: impl Fn(&WheelFilename) -> Option<R>,
        extras: &[ExtraName],
        groups: Option<&[GroupName]>,
    ) -> Result<Vec<Selected<'_>>, SelectError> {
        let python = &markers.python_full_version().version;
        let groups = groups.unwrap_or(&self.default_groups);
        let fits = self
            .environments
            .iter()
            .any(|marker| marker.evaluate(markers, &[]));
        if !fits && !self.environments.is_empty() {
            let environments = self
                .environments
                .iter()
                .filter_map(|marker| marker.try_to_string());
            return Err(SelectError::Environment(environments.collect()));
        }
        if let Some(specifiers) = &self.requires_python
            && !specifiers.contains(python)
        {
            let (needs, has) = (specifiers.to_string(), python.to_string());
            return Err(SelectError::Python { needs, has });
        }
        let mut selected: Vec<Selected<'_>> = Vec::new();
        for package in &self.packages {
            if !package.marker.evaluate_pep751(markers, extras, groups) {
                continue;
            }
            if let Some(specifiers) = &package.requires_python
                && !specifiers.contains(python)
            {
                let (needs, has) = (specifiers.to_string(), python.to_string());
                let package = package.name.clone();
                return Err(SelectError::PackagePython {
                    package,
                    needs,
                    has,
                });
            }
            if selected
                .iter()
                .any(|other| other.package.name == package.name)
            {
                return Err(SelectError::Ambiguous(package.name.clone()));
            }
            selected.push(Selected {
                package,
                artifact: artifact(package, &rank)?,
            });
        }
        Ok(selected)
    }
}

impl LockedPackage {
    /// What of this package fits a target best.
    ///
    /// # Errors
    /// [`SelectError::NoFile`] where nothing does.
    pub fn file_for(&self, target: &Target) -> Result<Artifact<'_>, SelectError> {
        artifact(self, &|wheel: &WheelFilename| target.fit(wheel))
    }
}

fn artifact<'a, R: Ord>(
    package: &'a LockedPackage,
    rank: &impl Fn(&WheelFilename) -> Option<R>,
) -> Result<Artifact<'a>, SelectError> {
    match &package.source {
        LockedSource::Archive { file, .. } => Ok(Artifact::Archive(file)),
        LockedSource::Directory { .. } => Ok(Artifact::Directory),
        LockedSource::Vcs { .. } => Ok(Artifact::Vcs),
        LockedSource::Files { wheels, sdist } => {
            let ranked = wheels.iter().filter_map(|file| {
                let wheel = filename::wheel(&file.name).ok()?;
                Some(((rank(&wheel)?, wheel.build_tag().cloned()), file))
            });
            let best = ranked
                .max_by(|(a, _), (b, _)| a.cmp(b))
                .map(|(_, file)| file);
            best.map(Artifact::Wheel)
                .or_else(|| sdist.as_ref().map(Artifact::Sdist))
                .ok_or_else(|| SelectError::NoFile(package.name.clone()))
        }
    }
}
