//! Platforms by name, for resolving for another one than that of the interpreter at hand.
//!
//! The names are those that users of uv know: `linux`, `macos` and `windows`, target triples
//! (`aarch64-apple-darwin`), and an architecture with a C library (`x86_64-manylinux_2_28`, PEP
//! 600; `aarch64-musllinux_1_2`, PEP 656).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uv_platform_tags::{Arch, Os};

use crate::{MarkerVariables, PlatformInfo};

/// The manylinux platform that a name without a version means: the glibc that wheels of today are
/// built for, which is a later one where the machine itself is new.
fn glibc(arch: Arch) -> Os {
    let minor = match arch {
        Arch::LoongArch64 => 38,
        Arch::Riscv64 => 39,
        _ => 28,
    };
    Os::Manylinux { major: 2, minor }
}

/// The same for musl.
const MUSL: Os = Os::Musllinux { major: 1, minor: 2 };
/// The oldest macOS that a wheel may need.
const MACOS: Os = Os::Macos {
    major: 13,
    minor: 0,
};

/// A platform with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamedPlatform {
    name: String,
    os: Os,
    arch: Arch,
}

/// No platform of that name is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no platform: write `linux`, `macos`, `windows`, a target triple such as \
     `aarch64-apple-darwin`, or a C library such as `x86_64-manylinux_2_28`"
)]
pub struct PlatformNameError(String);

impl FromStr for NamedPlatform {
    type Err = PlatformNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let triple = match name {
            "linux" => "x86_64-unknown-linux-gnu",
            "macos" => "aarch64-apple-darwin",
            "windows" => "x86_64-pc-windows-msvc",
            other => other,
        };
        let found = triple.split_once('-').and_then(|(arch, os)| {
            let arch = arch_of(arch)?;
            Some(Self {
                name: name.to_owned(),
                os: os_of(os, arch)?,
                arch,
            })
        });
        found
            .filter(Self::exists)
            .ok_or_else(|| PlatformNameError(name.to_owned()))
    }
}

impl TryFrom<String> for NamedPlatform {
    type Error = PlatformNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<NamedPlatform> for String {
    fn from(platform: NamedPlatform) -> Self {
        platform.name
    }
}

fn arch_of(name: &str) -> Option<Arch> {
    match name {
        "arm64" => Some(Arch::Aarch64),
        "amd64" => Some(Arch::X86_64),
        "armv7" => Some(Arch::Armv7L),
        "powerpc64le" => Some(Arch::Powerpc64Le),
        name => name.parse().ok(),
    }
}

fn os_of(name: &str, arch: Arch) -> Option<Os> {
    let numbers = |rest: &str| {
        let (major, minor) = rest.split_once('_')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    match name {
        "unknown-linux" | "unknown-linux-gnu" | "unknown-linux-gnueabihf" => Some(glibc(arch)),
        "unknown-linux-musl" => Some(MUSL),
        "apple-darwin" => Some(MACOS),
        "pc-windows-msvc" => Some(Os::Windows),
        "manylinux1" => Some(Os::Manylinux { major: 2, minor: 5 }),
        "manylinux2010" => Some(Os::Manylinux {
            major: 2,
            minor: 12,
        }),
        "manylinux2014" => Some(Os::Manylinux {
            major: 2,
            minor: 17,
        }),
        name => {
            if let Some(rest) = name.strip_prefix("manylinux_") {
                numbers(rest).map(|(major, minor)| Os::Manylinux { major, minor })
            } else if let Some(rest) = name.strip_prefix("macosx_") {
                numbers(rest).map(|(major, minor)| Os::Macos { major, minor })
            } else {
                let (major, minor) = numbers(name.strip_prefix("musllinux_")?)?;
                Some(Os::Musllinux { major, minor })
            }
        }
    }
}

impl NamedPlatform {
    /// The platform that wheels with this tag are for (PEP 425, 600, 656): `manylinux2014_x86_64`, `win_amd64`,
    /// `macosx_13_0_arm64`. Those for older C libraries and systems fit it too.
    ///
    /// # Errors
    /// No platform has it; `any` and `linux_x86_64` are not enough to know one by.
    pub fn of_tag(tag: &str) -> Result<Self, PlatformNameError> {
        let unknown = || PlatformNameError(tag.to_owned());
        let windows = match tag {
            "win32" => Some("i686"),
            "win_amd64" => Some("x86_64"),
            "win_arm64" => Some("aarch64"),
            _ => None,
        };
        if let Some(arch) = windows {
            return format!("{arch}-pc-windows-msvc").parse();
        }
        let kinds = ["manylinux", "musllinux_", "macosx_"];
        if !kinds.iter().any(|kind| tag.starts_with(kind)) {
            return Err(unknown());
        }
        // Names of architectures have `_` too: the longest that makes sense.
        tag.match_indices('_')
            .map(|(at, _)| tag.split_at(at))
            .find_map(|(system, arch)| format!("{}-{system}", arch.get(1..)?).parse().ok())
            .ok_or_else(unknown)
    }

    /// Of two for one machine that differ in the age of their C library or system alone, the newer one, which what is made
    /// for the other fits.
    pub fn newer(self, other: Self) -> Option<Self> {
        let age = |platform: &Self| match platform.os {
            Os::Manylinux { major, minor } => Some(("manylinux", major, minor)),
            Os::Musllinux { major, minor } => Some(("musllinux", major, minor)),
            Os::Macos { major, minor } => Some(("macos", major, minor)),
            Os::Windows => Some(("windows", 0, 0)),
            _ => None,
        };
        let (own, its) = (age(&self)?, age(&other)?);
        (self.arch == other.arch && own.0 == its.0).then_some(if own < its { other } else { self })
    }

    fn exists(&self) -> bool {
        match self.os {
            Os::Windows => matches!(self.arch, Arch::X86_64 | Arch::Aarch64 | Arch::X86),
            Os::Macos { .. } => matches!(self.arch, Arch::X86_64 | Arch::Aarch64),
            _ => true,
        }
    }

    /// What wheel tags are computed from; of a usual build of Python.
    pub fn platform(&self) -> PlatformInfo {
        PlatformInfo {
            os: self.os.clone(),
            arch: self.arch,
            gil_disabled: false,
            debug: false,
            refused_glibc: Vec::new(),
        }
    }

    /// The marker values of the same Python on this platform. The release of its kernel is not
    /// known and empty.
    pub fn markers(&self, python: &MarkerVariables) -> MarkerVariables {
        let (os_name, system, sys) = match self.os {
            Os::Windows => ("nt", "Windows", "win32"),
            Os::Macos { .. } => ("posix", "Darwin", "darwin"),
            _ => ("posix", "Linux", "linux"),
        };
        let machine = match (&self.os, self.arch) {
            (Os::Windows, Arch::X86_64) => "AMD64",
            (Os::Windows, Arch::Aarch64) => "ARM64",
            (Os::Windows, Arch::X86) => "x86",
            (Os::Macos { .. }, Arch::Aarch64) => "arm64",
            (_, arch) => arch.name(),
        };
        MarkerVariables {
            os_name: os_name.to_owned(),
            platform_system: system.to_owned(),
            sys_platform: sys.to_owned(),
            platform_machine: machine.to_owned(),
            platform_release: String::new(),
            platform_version: String::new(),
            ..python.clone()
        }
    }
}

impl fmt::Display for NamedPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Target;

    pub(crate) fn python() -> MarkerVariables {
        let text = str::to_owned;
        MarkerVariables {
            implementation_name: text("cpython"),
            implementation_version: text("3.12.1"),
            os_name: text("posix"),
            platform_machine: text("x86_64"),
            platform_python_implementation: text("CPython"),
            platform_release: text("6.1.0"),
            platform_system: text("Linux"),
            platform_version: text("#1 SMP"),
            python_full_version: text("3.12.1"),
            python_version: text("3.12"),
            sys_platform: text("linux"),
        }
    }

    #[test]
    fn tags_of_wheels_name_platforms() {
        for (tag, name) in [
            ("manylinux2014_x86_64", "x86_64-manylinux2014"),
            ("manylinux1_i686", "i686-manylinux1"),
            ("manylinux_2_28_aarch64", "aarch64-manylinux_2_28"),
            ("musllinux_1_2_x86_64", "x86_64-musllinux_1_2"),
            ("macosx_13_0_arm64", "arm64-macosx_13_0"),
            ("macosx_10_9_x86_64", "x86_64-macosx_10_9"),
            ("win_amd64", "x86_64-pc-windows-msvc"),
            ("win32", "i686-pc-windows-msvc"),
        ] {
            let named = NamedPlatform::of_tag(tag).expect(tag);
            assert_eq!(named.to_string(), name);
            let target = Target::new(&named.markers(&python()), &named.platform());
            let tags = target.expect("a target").tags.to_string();
            assert!(tags.contains(&format!("-{tag}")), "{tag}");
        }
        for tag in [
            "any",
            "linux_x86_64",
            "manylinux2014",
            "win_x86",
            "macosx_13_0_universal2",
            "x",
        ] {
            NamedPlatform::of_tag(tag).expect_err(tag);
        }
    }

    #[test]
    fn names_give_markers_and_tags() {
        for (name, sys, machine, fits, misfits) in [
            (
                "linux",
                "linux",
                "x86_64",
                "manylinux_2_28_x86_64",
                "manylinux_2_34_x86_64",
            ),
            (
                "x86_64-manylinux_2_34",
                "linux",
                "x86_64",
                "manylinux_2_34_x86_64",
                "macosx_11_0_arm64",
            ),
            (
                "aarch64-manylinux2014",
                "linux",
                "aarch64",
                "manylinux2014_aarch64",
                "manylinux_2_28_aarch64",
            ),
            (
                "i686-manylinux2010",
                "linux",
                "i686",
                "manylinux1_i686",
                "manylinux_2_17_i686",
            ),
            (
                "x86_64-manylinux1",
                "linux",
                "x86_64",
                "manylinux_2_5_x86_64",
                "manylinux2010_x86_64",
            ),
            (
                "armv7-unknown-linux-gnueabihf",
                "linux",
                "armv7l",
                "manylinux_2_17_armv7l",
                "manylinux_2_12_armv7l",
            ),
            (
                "aarch64-unknown-linux-musl",
                "linux",
                "aarch64",
                "musllinux_1_2_aarch64",
                "manylinux2014_aarch64",
            ),
            (
                "macos",
                "darwin",
                "arm64",
                "macosx_11_0_arm64",
                "macosx_11_0_x86_64",
            ),
            (
                "x86_64-apple-darwin",
                "darwin",
                "x86_64",
                "macosx_10_9_x86_64",
                "win_amd64",
            ),
            ("windows", "win32", "AMD64", "win_amd64", "win_arm64"),
            (
                "riscv64-unknown-linux",
                "linux",
                "riscv64",
                "manylinux_2_39_riscv64",
                "linux_x86_64",
            ),
        ] {
            let named: NamedPlatform = name.parse().expect(name);
            let markers = named.markers(&python());
            assert_eq!(
                (
                    markers.sys_platform.as_str(),
                    markers.platform_machine.as_str()
                ),
                (sys, machine),
                "{name}"
            );
            let tags = Target::new(&markers, &named.platform()).expect("tags").tags;
            let fit = |platform: &str| {
                let wheel: crate::WheelFilename = format!("a-1-cp312-cp312-{platform}.whl")
                    .parse()
                    .expect("well formed");
                wheel.compatibility(&tags).is_compatible()
            };
            assert!(fit(fits), "{name} takes {fits}");
            assert!(!fit(misfits), "{name} takes no {misfits}");
        }
    }

    #[test]
    fn other_names_are_refused_with_examples() {
        for name in [
            "",
            "amiga",
            "x86_64",
            "x86_64-",
            "x86_64-manylinux_2",
            "s390x-apple-darwin",
            "z80-unknown-linux-gnu",
            "-pc-windows-msvc",
        ] {
            let error = name.parse::<NamedPlatform>().expect_err(name).to_string();
            assert!(error.contains("manylinux_2_28"), "{error}");
        }
    }
}
