//! What an image says of its environment: a JSON document of its own version.

use blast_store::{EntryKind, Image, ImageError, Layer, Package, WheelRecord};
use blast_types::{EnvName, Interpreter, LayerId, PlatformInfo, SchemePaths, Sha256};
use serde::{Deserialize, Serialize};

use crate::engine::error::EngineError;

/// Version of the description; a reader refuses any other.
pub(super) const VERSION: u32 = 1;
const FORMAT: &str = "blast-environment";

/// An environment as an image carries it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    format: String,
    version: u32,
    features: Vec<String>,
    /// Its name.
    pub(super) name: EnvName,
    /// What it runs with.
    pub(super) python: Python,
    /// Its packages, by name.
    pub(super) packages: Vec<Carried>,
    /// What other tools wrote, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) captured: Vec<LayerId>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) requirements: Vec<String>,
    /// SHA-256 of the lock that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lock: Option<Sha256>,
    /// What it leaves to another image or environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<BaseNote>,
}

/// The interpreter that an environment was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Python {
    /// `cpython`.
    pub(super) implementation: String,
    /// `3.12`.
    pub(super) version: String,
    /// C library, machine, build.
    pub(super) platform: PlatformInfo,
    /// Install paths.
    pub(super) scheme: SchemePaths,
}

/// One package.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Carried {
    /// As it is installed.
    pub(super) package: Package,
    /// What its wheel became.
    pub(super) record: WheelRecord,
    /// The tags that its wheel states of itself.
    pub(super) tags: Vec<String>,
}

/// What an image was built upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BaseNote {
    /// Name of the environment.
    pub(super) name: EnvName,
    /// The image's digest, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<Sha256>,
}

impl From<&Interpreter> for Python {
    fn from(interpreter: &Interpreter) -> Self {
        Self {
            implementation: interpreter.markers.implementation_name.clone(),
            version: interpreter.markers.python_version.clone(),
            platform: interpreter.platform.clone(),
            scheme: interpreter.scheme.clone(),
        }
    }
}

impl Carried {
    /// `name==version`.
    pub(super) fn title(&self) -> String {
        format!("{}=={}", self.package.name, self.package.version)
    }
}

impl Description {
    /// Of an environment with this name, interpreter and packages.
    pub(super) fn new(name: EnvName, interpreter: &Interpreter, packages: Vec<Carried>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            features: Vec::new(),
            name,
            python: Python::from(interpreter),
            packages,
            captured: Vec::new(),
            requirements: Vec::new(),
            lock: None,
            base: None,
        }
    }

    /// All layers that it needs, the lowest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = LayerId> + '_ {
        let packages = self.packages.iter().map(|carried| carried.package.layer);
        packages.chain(self.captured.iter().copied())
    }

    /// Reads that of an image, and checks what can be checked without layers.
    pub(super) fn of(image: &Image) -> Result<Self, ImageError> {
        #[derive(Deserialize)]
        struct Heading {
            format: String,
            version: u32,
            features: Vec<String>,
        }
        let part = "the description of the environment";
        let damaged = |reason: String| image.damaged(part, reason);
        let heading: Heading = serde_json::from_slice(image.environment())
            .map_err(|error| damaged(error.to_string()))?;
        let unknown = |found| ImageError::Unknown {
            path: image.path().to_owned(),
            found,
        };
        if heading.format != FORMAT {
            return Err(damaged(format!("it is a `{}`", heading.format)));
        }
        if heading.version != VERSION {
            return Err(unknown(format!(
                "a description of version {}",
                heading.version
            )));
        }
        if let Some(feature) = heading.features.first() {
            return Err(unknown(format!("the feature `{feature}`")));
        }
        let description: Self = serde_json::from_slice(image.environment())
            .map_err(|error| damaged(error.to_string()))?;
        match description.broken_rule() {
            None => Ok(description),
            Some(reason) => Err(damaged(reason)),
        }
    }

    pub(super) fn broken_rule(&self) -> Option<String> {
        let names = self.packages.iter().map(|carried| &carried.package.name);
        if !names.is_sorted_by(|one, next| one < next) {
            return Some("its packages are not in order, or one is there twice".to_owned());
        }
        for text in &self.requirements {
            if let Err(error) = blast_types::pep508::requirement(text) {
                return Some(format!("`{text}` is no requirement: {error}"));
            }
        }
        self.packages.iter().find_map(Carried::broken_rule)
    }
}

impl Carried {
    fn broken_rule(&self) -> Option<String> {
        let Self {
            package, record, ..
        } = self;
        let say = |what: &str| Some(format!("{}: {what}", self.title()));
        if (&record.name, &record.version, record.layer)
            != (&package.name, &package.version, package.layer)
        {
            return say("two statements about it differ");
        }
        if package.artifact.wheel().is_none() {
            return say("it states no wheel");
        }
        let filename = &package.artifact.filename;
        if blast_index::simple::classify(filename, Some(&package.name)).is_none() {
            return say("it is from a file that is no distribution of that name");
        }
        if package
            .direct_url
            .as_ref()
            .is_some_and(blast_types::DirectUrl::is_editable)
        {
            return say("it is editable");
        }
        let scripts = record.scripts.iter().map(|script| &script.name);
        let python_scripts = record.python_scripts.iter().map(|script| &script.name);
        let is_plain = |name: &String| !name.is_empty() && !name.contains(['/', '\0']);
        if !scripts.chain(python_scripts).all(is_plain) {
            return say("a script of it has no plain name");
        }
        None
    }

    /// Whether the layer is what the record says, and holds nothing that a package may not have.
    pub(super) fn check_layer(&self, layer: &Layer) -> Result<(), String> {
        if let Some(link) = links(layer).next() {
            return Err(format!("it has the link `{link}`, and packages have none"));
        }
        let record = format!("{}/RECORD", self.record.dist_info);
        let found = layer.find(&record).map(|index| layer.entry(index));
        let same = found.is_some_and(|entry| {
            matches!(entry.kind, EntryKind::File { blob } if blob == self.record.record_blob)
                && entry.size == self.record.record_size
        });
        if same {
            Ok(())
        } else {
            Err(format!("`{record}` is not what is stated"))
        }
    }
}

/// Paths of all symbolic links.
pub(super) fn links(layer: &Layer) -> impl Iterator<Item = String> + '_ {
    layer
        .entries()
        .filter(|(_, entry)| matches!(entry.kind, EntryKind::Symlink { .. }))
        .map(|(index, _)| layer.path(index))
}

/// The first link that leads out of the environment. One that names a place of the machine, or climbs
/// above the prefix, cannot be carried.
pub(super) fn link_out(layer: &Layer) -> Option<String> {
    links(layer).find(|path| {
        let Some(index) = layer.find(path) else {
            return true;
        };
        let EntryKind::Symlink { target } = layer.entry(index).kind else {
            return true;
        };
        let mut depth = path.matches('/').count();
        target.starts_with(b"/")
            || target.split(|&byte| byte == b'/').any(|step| match step {
                b".." if depth == 0 => true,
                b".." => {
                    depth -= 1;
                    false
                }
                b"" | b"." => false,
                _ => {
                    depth += 1;
                    false
                }
            })
    })
}

/// The `Tag` lines of a distribution's `WHEEL`; none where it has no such file.
pub(super) fn tags(
    layer: &Layer,
    record: &WheelRecord,
    read: &dyn Fn(blast_types::BlobId) -> Result<Vec<u8>, EngineError>,
) -> Result<Vec<String>, EngineError> {
    let Some(index) = layer.find(format!("{}/WHEEL", record.dist_info)) else {
        return Ok(Vec::new());
    };
    let read_in;
    let bytes = match layer.entry(index).kind {
        EntryKind::Inline { bytes } => bytes,
        EntryKind::File { blob } => {
            read_in = read(blob)?;
            &read_in
        }
        _ => return Ok(Vec::new()),
    };
    let text = String::from_utf8_lossy(bytes);
    let tags = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("tag")
            .then(|| value.trim().to_owned())
    });
    Ok(tags.collect())
}
