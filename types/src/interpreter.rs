//! A Python interpreter as data: what it answered when asked, and what that means for markers,
//! wheel tags and install paths.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uv_pep440::Version;
use uv_pep508::{MarkerEnvironment, MarkerEnvironmentBuilder};
use uv_platform_tags::{Arch, Os, Platform, Tags, TagsOptions};

/// What an interpreter said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// Absolute path of the base executable (`sys._base_executable`, links kept).
    pub executable: PathBuf,
    /// The eleven variables of PEP 508.
    pub markers: MarkerVariables,
    /// What wheel tags are computed from.
    pub platform: PlatformInfo,
    /// `sysconfig` paths, relative to the prefix.
    pub scheme: SchemePaths,
    /// `sys.implementation.cache_tag`, such as `cpython-312`.
    pub cache_tag: String,
    /// `importlib.util.MAGIC_NUMBER`, in hexadecimal: bytecode is shared only under equal magic.
    pub bytecode_magic: String,
    /// Whether the distribution says `EXTERNALLY-MANAGED` (PEP 668).
    pub externally_managed: bool,
}

/// The environment markers of PEP 508, by their names there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named and specified by PEP 508")]
pub struct MarkerVariables {
    pub implementation_name: String,
    pub implementation_version: String,
    pub os_name: String,
    pub platform_machine: String,
    pub platform_python_implementation: String,
    pub platform_release: String,
    pub platform_system: String,
    pub platform_version: String,
    pub python_full_version: String,
    pub python_version: String,
    pub sys_platform: String,
}

/// What wheel tags (PEP 425, 600, 656) depend on beside the Python version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformInfo {
    /// The C library.
    pub os: Os,
    /// Machine, as `platform.machine()` names it.
    pub arch: Arch,
    /// Free-threaded build (`Py_GIL_DISABLED`).
    pub gil_disabled: bool,
    /// Debug build (`Py_DEBUG`).
    pub debug: bool,
    /// Minor versions of glibc 2 whose `manylinux` tags the distribution refuses, by a module
    /// `_manylinux` (PEP 600). Almost always none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_glibc: Vec<u16>,
}

/// Where a wheel's parts go, relative to the environment's prefix (`sysconfig`, scheme `venv`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemePaths {
    /// Pure modules, such as `lib/python3.12/site-packages`.
    pub purelib: String,
    /// Extension modules.
    pub platlib: String,
    /// Scripts, `bin`.
    pub scripts: String,
    /// Data files; empty: the prefix itself.
    pub data: String,
    /// Headers, such as `include/site/python3.12` (a folder per distribution below it).
    pub headers: String,
}

/// What a resolution is for: one Python on one platform.
#[derive(Debug, Clone)]
pub struct Target {
    /// Values of the environment markers.
    pub markers: MarkerEnvironment,
    /// Wheel tags, most wanted first.
    pub tags: Tags,
    /// [`PlatformInfo::refused_glibc`]; to be asked by [`Target::fit`] only.
    pub(crate) refused_glibc: Vec<u16>,
}

/// An interpreter whose answers make no sense.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TargetError {
    /// A version among the markers cannot be parsed.
    #[error("the interpreter's marker values hold no valid version: {0}")]
    Markers(String),
    /// Tags cannot be computed.
    #[error("no wheel tags for this interpreter: {0}")]
    Tags(String),
}

impl Interpreter {
    /// `3.12` as `(3, 12)`.
    pub fn version(&self) -> (u8, u8) {
        parse_pair(&self.markers.python_version).unwrap_or((3, 0))
    }

    /// Marker values and wheel tags of this interpreter.
    pub fn target(&self) -> Result<Target, TargetError> {
        Target::new(&self.markers, &self.platform)
    }
}

impl Target {
    /// The target with these marker values on this platform.
    pub fn new(markers: &MarkerVariables, platform: &PlatformInfo) -> Result<Self, TargetError> {
        let python = parse_pair(&markers.python_version)
            .ok_or_else(|| TargetError::Markers(markers.python_version.clone()))?;
        let implementation = parse_pair(&markers.implementation_version).unwrap_or(python);
        let tags = Tags::from_env(
            Platform::new(platform.os.clone(), platform.arch),
            python,
            &markers.implementation_name,
            implementation,
            TagsOptions {
                manylinux_compatible: true,
                gil_disabled: platform.gil_disabled,
                debug_enabled: platform.debug,
                is_cross: false,
            },
        )
        .map_err(|error| TargetError::Tags(error.to_string()))?;
        Ok(Self {
            markers: markers.environment()?,
            tags,
            refused_glibc: platform.refused_glibc.clone(),
        })
    }

    /// The same platform and implementation with the last patch release of another Python.
    ///
    /// # Errors
    /// There are no wheel tags for it.
    pub fn with_python(&self, major: u8, minor: u8) -> Result<Self, TargetError> {
        let tags = Tags::from_env(
            self.tags.python_platform().clone(),
            (major, minor),
            self.markers.implementation_name(),
            (major, minor),
            TagsOptions {
                manylinux_compatible: true,
                gil_disabled: self.tags.is_freethreaded(),
                debug_enabled: false,
                is_cross: false,
            },
        )
        .map_err(|error| TargetError::Tags(error.to_string()))?;
        let release = [u64::from(major), u64::from(minor), 99];
        // No minor version ever had so many.
        let full = Version::new(release);
        Ok(Self {
            markers: (self.markers.clone())
                .with_python_version(Version::new([release[0], release[1]]))
                .with_python_full_version(full.clone())
                .with_implementation_version(full),
            tags,
            refused_glibc: self.refused_glibc.clone(),
        })
    }
}

impl MarkerVariables {
    /// The same values in the form that marker evaluation takes.
    pub fn environment(&self) -> Result<MarkerEnvironment, TargetError> {
        // The algebra of markers knows releases only. A pre-release of Python counts as its
        // release: that is what `python_version`, which nearly all markers ask for, says of it.
        let full = python_release(&self.python_full_version)?;
        let implementation = self.implementation_version.trim_end_matches('+');
        MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: &self.implementation_name,
            implementation_version: implementation,
            os_name: &self.os_name,
            platform_machine: &self.platform_machine,
            platform_python_implementation: &self.platform_python_implementation,
            platform_release: &self.platform_release,
            platform_system: &self.platform_system,
            platform_version: &self.platform_version,
            python_full_version: &full,
            python_version: &self.python_version,
            sys_platform: &self.sys_platform,
        })
        .map_err(|error| TargetError::Markers(error.to_string()))
    }
}

/// The release of a Python; one built between releases has a `+` at the end of its version.
fn python_release(full: &str) -> Result<String, TargetError> {
    crate::versions::version(full.trim_end_matches('+'))
        .map(|version| version.only_release().to_string())
        .map_err(|_| TargetError::Markers(full.to_owned()))
}

fn parse_pair(text: &str) -> Option<(u8, u8)> {
    let version = crate::versions::version(text).ok()?;
    let release = version.release();
    let part = |n: usize| release.get(n).copied().unwrap_or(0).try_into().ok();
    Some((part(0)?, part(1)?))
}
