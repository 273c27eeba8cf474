//! What a lock has of its packages: their releases and what those require. A search looks at
//! nothing else of them, and asks the index nothing, as long as that does. When a requirement
//! excludes what the lock has, or a search gets stuck, the package is **opened** and the search
//! begins anew with all that the index has of it; the locked version is still preferred then.
//!
//! So adding a requirement to a lock looks at the addition, and at what it moves.

use std::sync::{Arc, Mutex, PoisonError};

use blast_types::{
    CoreMetadata, DistFile, DistKind, Elsewhere, MarkerTree, MetadataAt, PackageName, ProjectFiles,
    SourceDistExtension, SourceDistFilename, VersionFiles, Yanked,
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::lock::{Location, Lock, LockedFile, LockedPackage, LockedSource};
use crate::project::Project;
use crate::scope::Scope;

/// The packages of a lock that are not opened.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    packages: FxHashMap<PackageName, Vec<SealedRelease>>,
    opened: Mutex<FxHashSet<PackageName>>,
}

#[derive(Debug)]
struct SealedRelease {
    marker: MarkerTree,
    index: Arc<str>,
    files: VersionFiles,
    metadata: Arc<CoreMetadata>,
}

impl Sealed {
    /// Those packages of a lock of which it knows enough, but for these.
    pub(crate) fn new(lock: &Lock, moving: impl Fn(&PackageName) -> bool) -> Self {
        let mut packages = FxHashMap::<_, Vec<_>>::default();
        let mut unknown = FxHashSet::default();
        for package in &lock.packages {
            match SealedRelease::new(package).filter(|_| !moving(&package.name)) {
                Some(release) => packages
                    .entry(package.name.clone())
                    .or_default()
                    .push(release),
                None => {
                    unknown.insert(package.name.clone());
                }
            }
        }
        packages.retain(|name, _| !unknown.contains(name));
        Self {
            packages,
            opened: Mutex::default(),
        }
    }

    /// What the lock has of a project in a scope, unless the project is open.
    pub(crate) fn project(&self, name: &PackageName, scope: &Scope) -> Option<Project> {
        let releases = self.packages.get(name)?;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.contains(name) {
            return None;
        }
        drop(opened);
        let mut here: Vec<_> = releases
            .iter()
            .filter(|release| scope.admits(release.marker, &[]))
            .collect();
        here.sort_by(|a, b| a.files.version.cmp(&b.files.version));
        let page = Arc::new(ProjectFiles {
            name: name.clone(),
            index: here.first()?.index.clone(),
            versions: here.iter().map(|release| release.files.clone()).collect(),
            status: None,
            elsewhere: Elsewhere::default(),
            parts: Vec::new(),
        });
        let metadata: Vec<_> = here
            .iter()
            .map(|release| release.metadata.clone())
            .collect();
        Some(Project::from_lock(&page, &metadata))
    }

    /// Opens a project.
    pub(crate) fn open(&self, name: &PackageName) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(name.clone());
    }
}

impl SealedRelease {
    fn new(package: &LockedPackage) -> Option<Self> {
        let known = package.known.as_ref()?;
        let version = package.version.clone()?;
        let LockedSource::Files { wheels, sdist } = &package.source else {
            return None;
        };
        let files = wheels
            .iter()
            .chain(sdist)
            .map(|file| dist_file(package, file))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            marker: package.marker,
            index: package.index.as_deref().unwrap_or_default().into(),
            files: VersionFiles {
                version: version.clone(),
                files,
            },
            metadata: Arc::new(CoreMetadata {
                name: package.name.clone(),
                version,
                requires_dist: known.requires.clone(),
                requires_python: package.requires_python.clone(),
                provides_extra: known.extras.clone(),
            }),
        })
    }
}

fn dist_file(package: &LockedPackage, file: &LockedFile) -> Option<Arc<DistFile>> {
    let Location::Url(url) = &file.location else {
        return None;
    };
    let kind = match SourceDistExtension::from_path(&file.name) {
        Err(_) => DistKind::Wheel(Box::new(file.name.parse().ok()?)),
        Ok(extension) => {
            let parsed = SourceDistFilename::parse(&file.name, extension, &package.name).ok()?;
            DistKind::Sdist(Box::new(parsed))
        }
    };
    let hash = file.hash()?;
    let sha256 = hash.sha256();
    Some(Arc::new(DistFile {
        filename: file.name.as_str().into(),
        kind,
        url: url.as_str().into(),
        sha256,
        other_hash: sha256.is_none().then(|| Box::new(hash)),
        size: file.size,
        requires_python: package.requires_python.clone(),
        yanked: Yanked::No,
        upload_time_ms: file.upload_time_ms,
        metadata: MetadataAt::Inside,
    }))
}
