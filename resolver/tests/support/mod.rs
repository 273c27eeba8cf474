//! A package index in memory, for tests.
//!
//! Releases are described in the words of PEP 508; every release has a pure wheel unless the test
//! says otherwise. What was asked for is counted, so that tests can speak of effort too.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of this module"
)]

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use blast_resolver::lock::Lock;
use blast_resolver::universal::{Question, Universal};
use blast_resolver::{DirectDist, Inputs, Provider, ProviderError, Resolution, ResolveError};
use blast_types::{
    CoreMetadata, DistFile, DistKind, Elsewhere, ExtraName, MarkerVariables, MetadataAt,
    PackageName, PlatformInfo, ProjectFiles, Requirement, Sha256, Silent, SourceDistExtension,
    SourceDistFilename, Target, VerbatimUrl, Version, VersionFiles, WheelFilename, Yanked,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// One version of one project.
#[derive(Debug, Clone)]
pub struct Release {
    pub requires: Vec<String>,
    pub extras: Vec<String>,
    pub requires_python: Option<String>,
    pub wheel_tags: Vec<String>,
    pub sdist: bool,
    pub yanked: Yanked,
    pub upload_time_ms: Option<i64>,
    /// Reading the metadata fails so.
    pub broken: Option<ProviderError>,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            requires: Vec::new(),
            extras: Vec::new(),
            requires_python: None,
            wheel_tags: vec!["py3-none-any".to_owned()],
            sdist: false,
            yanked: Yanked::No,
            upload_time_ms: Some(0),
            broken: None,
        }
    }
}

/// All projects.
#[derive(Debug, Default)]
pub struct Universe {
    pub projects: BTreeMap<PackageName, BTreeMap<Version, Release>>,
    pub direct: BTreeMap<String, (PackageName, Version, Release)>,
    pub failing: BTreeMap<PackageName, ProviderError>,
    /// What the index says of projects as a whole.
    pub statuses: BTreeMap<PackageName, String>,
    /// Whether files have hashes (of their names).
    pub hashes: bool,
    pub pages: AtomicUsize,
    pub metadata: AtomicUsize,
}

pub fn name(text: &str) -> PackageName {
    PackageName::from_str(text).expect("a test gives good names")
}

pub fn version(text: &str) -> Version {
    Version::from_str(text).expect("a test gives good versions")
}

pub fn requirement(text: &str) -> Requirement {
    Requirement::from_str(text).expect("a test gives good requirements")
}

pub fn requirements(texts: &[&str]) -> Vec<Requirement> {
    texts.iter().map(|text| requirement(text)).collect()
}

impl Universe {
    /// Adds a release with these requirements.
    pub fn add(&mut self, project: &str, release: &str, requires: &[&str]) -> &mut Release {
        let entry = self.projects.entry(name(project)).or_default();
        let entry = entry.entry(version(release)).or_default();
        entry.requires = requires.iter().map(|text| (*text).to_owned()).collect();
        entry
    }

    fn file(
        &self,
        project: &PackageName,
        version: &Version,
        tag: Option<&str>,
        of: &Release,
    ) -> DistFile {
        let stem = format!("{}-{version}", project.as_dist_info_name());
        let (filename, kind) = if let Some(tag) = tag {
            let filename = format!("{stem}-{tag}.whl");
            let parsed = WheelFilename::from_str(&filename).expect("the name is well formed");
            (filename, DistKind::Wheel(Box::new(parsed)))
        } else {
            let parsed = SourceDistFilename {
                name: project.clone(),
                version: version.clone(),
                extension: SourceDistExtension::TarGz,
            };
            (format!("{stem}.tar.gz"), DistKind::Sdist(Box::new(parsed)))
        };
        DistFile {
            url: format!("https://index.example/files/{filename}").into(),
            sha256: self.hashes.then(|| Sha256::of(filename.as_bytes())),
            filename: filename.into(),
            kind,
            size: Some(1),
            requires_python: of
                .requires_python
                .as_ref()
                .map(|text| text.parse().expect("a test gives good specifiers")),
            yanked: of.yanked.clone(),
            other_hash: None,
            upload_time_ms: of.upload_time_ms,
            metadata: MetadataAt::Beside(None),
        }
    }

    fn metadata_of(project: &PackageName, version: &Version, release: &Release) -> CoreMetadata {
        CoreMetadata {
            name: project.clone(),
            version: version.clone(),
            requires_dist: release
                .requires
                .iter()
                .map(|text| requirement(text))
                .collect(),
            requires_python: None,
            provides_extra: release
                .extras
                .iter()
                .map(|extra| ExtraName::from_str(extra).expect("a test gives good extras"))
                .collect(),
        }
    }

    fn page(&self, project: &PackageName) -> Result<Arc<ProjectFiles>, ProviderError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = self.failing.get(project) {
            return Err(error.clone());
        }
        let releases = self.projects.get(project).ok_or(ProviderError::NotFound)?;
        let versions = releases
            .iter()
            .map(|(version, release)| {
                let tags = release.wheel_tags.iter().map(|tag| Some(tag.as_str()));
                let files = tags.chain(release.sdist.then_some(None));
                VersionFiles {
                    version: version.clone(),
                    files: files
                        .map(|tag| Arc::new(self.file(project, version, tag, release)))
                        .collect(),
                }
            })
            .collect();
        Ok(Arc::new(ProjectFiles {
            name: project.clone(),
            index: Arc::from("https://index.example/simple/"),
            versions,
            elsewhere: Elsewhere::default(),
            status: self.statuses.get(project).cloned(),
            parts: Vec::new(),
        }))
    }

    fn read(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, ProviderError> {
        self.metadata.fetch_add(1, Ordering::Relaxed);
        let (project, version) = match &file.kind {
            DistKind::Sdist(sdist) => (&sdist.name, &sdist.version),
            DistKind::Wheel(wheel) => (&wheel.name, &wheel.version),
        };
        let release = &self.projects[project][version];
        match &release.broken {
            Some(error) => Err(error.clone()),
            None => Ok(Arc::new(Self::metadata_of(project, version, release))),
        }
    }
}

/// Serves a universe. Answers come after a turn of the runtime, in no particular order.
#[derive(Debug)]
pub struct Memory(pub Arc<Universe>);

impl Provider for Memory {
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>> {
        let (universe, name) = (self.0.clone(), name.clone());
        async move {
            tokio::task::yield_now().await;
            universe.page(&name)
        }
        .boxed()
    }

    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>> {
        let universe = self.0.clone();
        async move {
            tokio::task::yield_now().await;
            universe.read(&file)
        }
        .boxed()
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        let answer = match self.0.direct.get(url.raw().as_str()) {
            Some((project, version, release)) if project == name => Ok(DirectDist {
                file: Arc::new(self.0.file(project, version, Some("py3-none-any"), release)),
                metadata: Arc::new(Universe::metadata_of(project, version, release)),
                locked: None,
            }),
            _ => Err(ProviderError::NotFound),
        };
        async move { answer }.boxed()
    }
}

/// CPython of that version on Linux, `x86_64`, glibc 2.36.
pub fn target(python: &str) -> Target {
    target_on(python, "linux")
}

/// The same with another `sys_platform`; the wheel tags stay those of Linux.
pub fn target_on(python: &str, sys_platform: &str) -> Target {
    let full = if python.matches('.').count() == 1 {
        format!("{python}.0")
    } else {
        python.to_owned()
    };
    let short = full.rsplit_once('.').expect("three parts").0.to_owned();
    let text = |text: &str| text.to_owned();
    let markers = MarkerVariables {
        implementation_name: text("cpython"),
        implementation_version: full.clone(),
        os_name: text(if sys_platform == "win32" {
            "nt"
        } else {
            "posix"
        }),
        platform_machine: text("x86_64"),
        platform_python_implementation: text("CPython"),
        platform_release: text("6.1.0"),
        platform_system: text(match sys_platform {
            "win32" => "Windows",
            "darwin" => "Darwin",
            "linux" => "Linux",
            other => other,
        }),
        platform_version: text("#1 SMP"),
        python_full_version: full,
        python_version: short,
        sys_platform: text(sys_platform),
    };
    let platform = PlatformInfo {
        os: uv_platform_tags::Os::Manylinux {
            major: 2,
            minor: 36,
        },
        arch: uv_platform_tags::Arch::X86_64,
        gil_disabled: false,
        debug: false,
        refused_glibc: Vec::new(),
    };
    Target::new(&markers, &platform).expect("the target makes sense")
}

/// Inputs for CPython 3.12.
pub fn inputs(texts: &[&str]) -> Inputs {
    Inputs::new(requirements(texts), target("3.12"))
}

/// Resolves on a small runtime.
pub fn resolve(universe: Universe, inputs: Inputs) -> Result<Resolution, ResolveError> {
    resolve_shared(&Arc::new(universe), inputs)
}

/// The same for a universe that is used again.
pub fn resolve_shared(
    universe: &Arc<Universe>,
    inputs: Inputs,
) -> Result<Resolution, ResolveError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be had");
    let provider = Arc::new(Memory(universe.clone()));
    runtime.block_on(blast_resolver::resolve(inputs, provider, Arc::new(Silent)))
}

/// Resolves for every environment.
pub fn resolve_universal(
    universe: &Arc<Universe>,
    question: Question,
) -> Result<Universal, ResolveError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be had");
    let provider = Arc::new(Memory(universe.clone()));
    runtime.block_on(blast_resolver::universal::resolve(
        question,
        provider,
        Arc::new(Silent),
    ))
}

/// A question for every environment from some Python on, asked from CPython 3.12 on Linux.
pub fn question(texts: &[&str], requires_python: &str, previous: Option<Lock>) -> Question {
    Question {
        inputs: inputs(texts),
        requires_python: Some(
            requires_python
                .parse()
                .expect("a test gives good specifiers"),
        ),
        previous,
    }
}

/// `a 1.0, b 2.0`, or the error's text.
pub fn show(outcome: &Result<Resolution, ResolveError>) -> String {
    match outcome {
        Ok(resolution) => {
            let line = |package: &blast_resolver::ResolvedPackage| {
                let extras: Vec<_> = package.extras.iter().map(ToString::to_string).collect();
                let extras = if extras.is_empty() {
                    String::new()
                } else {
                    format!("[{}]", extras.join(","))
                };
                format!("{}{extras} {}", package.name, package.version)
            };
            resolution
                .packages
                .iter()
                .map(line)
                .collect::<Vec<_>>()
                .join(", ")
        }
        Err(error) => error.to_string(),
    }
}
