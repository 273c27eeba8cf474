//! Small environments to store: an interpreter, packages of two files each, generations of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blast_store::{
    Artifact, EnvRecord, Generation, InterpreterRef, LayerBuilder, OperationDraft, OperationKind,
    Package, Staging, Store, StoreError,
};
use blast_types::{EnvName, Interpreter, LayerId, Sha256};

/// A directory of its own, removed at the end.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }
}

/// The two indexes; every test body that can, runs over both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twin {
    Sled,
    Memory,
}

impl Twin {
    pub(crate) const BOTH: [Self; 2] = [Self::Sled, Self::Memory];

    pub(crate) fn open(self, home: &Path) -> Store {
        self.try_open(home).expect("the store opens")
    }

    pub(crate) fn try_open(self, home: &Path) -> Result<Store, StoreError> {
        match self {
            Self::Sled => Store::open(home),
            Self::Memory => Store::open_in_memory(home),
        }
    }
}

pub(crate) fn env(name: &str) -> EnvName {
    name.parse().expect("a good name")
}

pub(crate) fn interpreter() -> Interpreter {
    let version = "3.12.4";
    serde_json::from_value(serde_json::json!({
        "executable": "/usr/bin/python3.12",
        "markers": {
            "implementation_name": "cpython", "implementation_version": version,
            "os_name": "posix", "platform_machine": "x86_64",
            "platform_python_implementation": "CPython", "platform_release": "6.1",
            "platform_system": "Linux", "platform_version": "1",
            "python_full_version": version, "python_version": "3.12", "sys_platform": "linux",
        },
        "platform": {
            "os": {"name": "manylinux", "major": 2, "minor": 36}, "arch": "x86_64",
            "gil_disabled": false, "debug": false,
        },
        "scheme": {
            "purelib": "lib/python3.12/site-packages", "platlib": "lib/python3.12/site-packages",
            "scripts": "bin", "data": "", "headers": "include/site/python3.12",
        },
        "cache_tag": "cpython-312",
        "bytecode_magic": "cb0d0d0a",
        "externally_managed": false,
    }))
    .expect("an interpreter")
}

pub(crate) fn record(name: &str) -> EnvRecord {
    EnvRecord {
        name: env(name),
        project: None,
        variables: BTreeMap::new(),
        interpreter: interpreter(),
        created_ms: 1_000,
    }
}

pub(crate) fn draft(kind: OperationKind) -> OperationDraft {
    OperationDraft {
        kind,
        command: vec!["blast".to_owned(), "test".to_owned()],
        who: "tester".to_owned(),
        started_ms: 1_000,
        note: None,
    }
}

/// The bytes of the module of a package: too many to be inline.
pub(crate) fn module_bytes(name: &str, version: u8) -> Vec<u8> {
    format!("# {name} {version}\n").repeat(100).into_bytes()
}

/// Stages the layer of a package.
pub(crate) fn stage_package(staging: &Staging, name: &str, version: u8) -> LayerId {
    try_stage_package(staging, name, version).expect("a layer")
}

fn try_stage_package(staging: &Staging, name: &str, version: u8) -> Result<LayerId, StoreError> {
    let bytes = module_bytes(name, version);
    let blob = staging.blob(&bytes)?;
    let site = "lib/python3.12/site-packages";
    let mut layer = LayerBuilder::new();
    layer
        .file(
            &format!("{site}/{name}/__init__.py"),
            0o644,
            7,
            blob,
            bytes.len() as u64,
        )
        .expect("a path");
    layer
        .inline(
            &format!("{site}/{name}-{version}.dist-info/INSTALLER"),
            0o644,
            7,
            "blast\n",
        )
        .expect("a path");
    staging.layer(layer)
}

/// A generation of these packages, staged with all that it needs.
pub(crate) fn stage_generation(staging: &Staging, packages: &BTreeMap<String, u8>) -> Generation {
    try_stage_generation(staging, packages).expect("a generation")
}

/// The same where the disk may say no.
pub(crate) fn try_stage_generation(
    staging: &Staging,
    packages: &BTreeMap<String, u8>,
) -> Result<Generation, StoreError> {
    let mut generated = LayerBuilder::new();
    let names: Vec<_> = packages.keys().map(String::as_str).collect();
    generated
        .inline("pyvenv.cfg", 0o644, 0, names.join("\n"))
        .expect("a path");
    let package = |(name, &version): (&String, &u8)| {
        Ok::<_, StoreError>(Package {
            name: name.parse().expect("a package name"),
            version: format!("{version}.0").parse().expect("a version"),
            layer: try_stage_package(staging, name, version)?,
            artifact: Artifact {
                filename: format!("{name}-{version}.0-py3-none-any.whl"),
                sha256: Some(Sha256::of(format!("{name}{version}").as_bytes())),
                built: None,
                url: None,
                index: None,
                captured: false,
            },
            direct_url: None,
            requested: true,
            extras: Vec::new(),
            scheme: "cpython-312".to_owned(),
        })
    };
    Ok(Generation {
        interpreter: InterpreterRef::from(&interpreter()),
        prefix: PathBuf::from("/prefix"),
        packages: packages.iter().map(package).collect::<Result<_, _>>()?,
        generated: staging.layer(generated)?,
        captured: Vec::new(),
        requirements: packages.keys().cloned().collect(),
        lock: None,
        policy: None,
    })
}

pub(crate) fn packages(list: &[(&str, u8)]) -> BTreeMap<String, u8> {
    list.iter()
        .map(|&(name, version)| (name.to_owned(), version))
        .collect()
}

/// Creates an environment with these packages.
pub(crate) fn create(store: &Store, name: &str, list: &[(&str, u8)]) {
    let staging = store.stage().expect("a staging");
    let first = stage_generation(&staging, &packages(list));
    store
        .create_env(
            record(name),
            &first,
            staging,
            draft(OperationKind::Create),
            1_500,
        )
        .expect("the environment is new");
}

/// Makes an environment hold exactly these packages.
pub(crate) fn install(store: &Store, name: &str, list: &[(&str, u8)]) -> blast_store::Operation {
    let transaction = store.begin(&env(name)).expect("the environment is there");
    let staging = store.stage().expect("a staging");
    let generation = stage_generation(&staging, &packages(list));
    let unpublished = transaction
        .write(&generation, staging)
        .expect("it can be written");
    unpublished
        .publish(draft(OperationKind::Install), 2_000)
        .expect("nobody else is at it")
}

/// The packages of a generation, as the model has them.
pub(crate) fn packages_of(generation: &Generation) -> BTreeMap<String, u8> {
    let package = |package: &Package| {
        let version = package.version.release()[0];
        (
            package.name.to_string(),
            u8::try_from(version).expect("a small version"),
        )
    };
    generation.packages.iter().map(package).collect()
}
