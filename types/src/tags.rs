//! How well a wheel fits a target (PEP 425, 600, 656), by the library but for two things: it knows
//! no `manylinux` older than the first that wheels of RISC-V (2.31) and `LoongArch` (2.36) are built
//! for, where the specification and `packaging` have every glibc from 2.17 on; and it takes the
//! word of a module `_manylinux` (PEP 600) for all versions of glibc or for none.

use uv_distribution_filename::WheelFilename;
use uv_platform_tags::{Arch, Os, Platform, PlatformTag, TagCompatibility, TagPriority};

use crate::Target;

/// The minor version of the oldest glibc 2 whose tags are taken on any of these machines.
const OLDEST: u16 = 17;

impl Target {
    /// How much the wheel is wanted here, by the best of its tags; `None`: it cannot be used.
    pub fn fit(&self, wheel: &WheelFilename) -> Option<TagPriority> {
        let platform = self.tags.python_platform();
        let of_platform: Vec<PlatformTag> = (wheel.platform_tags().iter())
            .filter(|tag| !self.refuses(tag))
            .cloned()
            .collect();
        if let Some(priority) = self.priority(wheel, &of_platform) {
            return Some(priority);
        }
        let arch = platform.arch();
        let unknown = matches!(arch, Arch::Riscv64 | Arch::LoongArch64);
        if !unknown || !of_platform.iter().any(|tag| is_older(tag, platform)) {
            return None;
        }
        // Less wanted than what the library knows, as the last of its tags is.
        self.priority(wheel, &[PlatformTag::Linux { arch }])
    }

    /// How much a wheel for these platforms is wanted.
    fn priority(&self, wheel: &WheelFilename, platforms: &[PlatformTag]) -> Option<TagPriority> {
        let (pythons, abis) = (wheel.python_tags(), wheel.abi_tags());
        match (self.tags).compatibility(pythons.iter(), abis.iter(), platforms.iter()) {
            TagCompatibility::Compatible(priority) => Some(priority),
            TagCompatibility::Incompatible(_) => None,
        }
    }

    /// Whether the distribution's `_manylinux` says no to the tag.
    fn refuses(&self, tag: &PlatformTag) -> bool {
        // Empty nearly always, so the tag is not even looked at.
        !self.refused_glibc.is_empty()
            && glibc(tag).is_some_and(|(minor, _)| self.refused_glibc.contains(&minor))
    }
}

/// The minor version of the glibc 2 that a tag asks for, and the machine.
fn glibc(tag: &PlatformTag) -> Option<(u16, Arch)> {
    match tag {
        PlatformTag::Manylinux {
            major: 2,
            minor,
            arch,
        } => Some((*minor, *arch)),
        PlatformTag::Manylinux1 { arch } => Some((5, *arch)),
        PlatformTag::Manylinux2010 { arch } => Some((12, *arch)),
        PlatformTag::Manylinux2014 { arch } => Some((17, *arch)),
        _ => None,
    }
}

/// Whether a tag is of glibc as old as or older than that of the platform.
fn is_older(tag: &PlatformTag, platform: &Platform) -> bool {
    let Os::Manylinux { major: 2, minor } = platform.os() else {
        return false;
    };
    glibc(tag)
        .is_some_and(|(built, arch)| arch == platform.arch() && (OLDEST..=*minor).contains(&built))
}

#[cfg(test)]
mod tests {
    use crate::platform::tests::python;
    use crate::{NamedPlatform, Target};

    fn target(platform: &str) -> Target {
        let named: NamedPlatform = platform.parse().expect(platform);
        Target::new(&named.markers(&python()), &named.platform()).expect("tags")
    }

    /// The tags that `packaging` 26 has for each machine, by the ends of their ranges.
    #[test]
    fn every_machine_takes_the_tags_that_packaging_has_for_it() {
        for (machine, oldest, legacy) in [
            (
                "x86_64",
                5,
                ["manylinux1", "manylinux2010", "manylinux2014"].as_slice(),
            ),
            ("i686", 5, &["manylinux1", "manylinux2010", "manylinux2014"]),
            ("aarch64", 17, &["manylinux2014"]),
            ("armv7l", 17, &["manylinux2014"]),
            ("ppc64", 17, &["manylinux2014"]),
            ("ppc64le", 17, &["manylinux2014"]),
            ("s390x", 17, &["manylinux2014"]),
            ("riscv64", 17, &["manylinux2014"]),
            ("loongarch64", 17, &["manylinux2014"]),
            // No manylinux at all.
            ("armv6l", 99, &[]),
        ] {
            for glibc in [28, 40] {
                let target = target(&format!("{machine}-manylinux_2_{glibc}"));
                let fit = |platform: &str| {
                    let name = format!("a-1-cp312-cp312-{platform}_{machine}.whl");
                    target.fit(&name.parse().expect("well formed"))
                };
                for minor in 0..50 {
                    assert_eq!(
                        fit(&format!("manylinux_2_{minor}")).is_some(),
                        (oldest..=glibc).contains(&minor),
                        "{machine} glibc 2.{minor} on 2.{glibc}"
                    );
                }
                for name in ["manylinux1", "manylinux2010", "manylinux2014"] {
                    assert_eq!(
                        fit(name).is_some(),
                        legacy.contains(&name),
                        "{machine} {name}"
                    );
                }
                assert!(fit("linux").is_some() && fit("musllinux_1_1").is_none());
                assert!(fit("manylinux_3_0").is_none() && fit("manylinux_1_20").is_none());
                if oldest < 99 {
                    assert!(fit("manylinux_2_17") <= fit(&format!("manylinux_2_{glibc}")));
                }
            }
            let target = target(&format!("{machine}-musllinux_1_2"));
            for (platform, fits) in [
                ("musllinux_1_0", true),
                ("musllinux_1_2", true),
                ("musllinux_1_3", false),
                ("manylinux_2_17", false),
                ("linux", true),
            ] {
                let name = format!("a-1-py3-none-{platform}_{machine}.whl");
                let fit = target.fit(&name.parse().expect("well formed"));
                assert_eq!(fit.is_some(), fits, "{machine} {platform}");
            }
        }
    }

    /// What a distribution refuses by its module `_manylinux` is not taken, by no name of it.
    #[test]
    fn refused_versions_of_glibc_are_not_taken() {
        let named: NamedPlatform = "x86_64-manylinux_2_28".parse().expect("known");
        let mut platform = named.platform();
        platform.refused_glibc = vec![5, 17, 24];
        let target = Target::new(&named.markers(&python()), &platform).expect("tags");
        for target in [target.clone(), target.with_python(3, 12).expect("tags")] {
            let fits = |tag: &str| {
                let wheel = format!("a-1-cp312-cp312-{tag}.whl").parse().expect(tag);
                target.fit(&wheel).is_some()
            };
            for tag in [
                "manylinux1_x86_64",
                "manylinux_2_5_x86_64",
                "manylinux2014_x86_64",
                "manylinux_2_17_x86_64.manylinux2014_x86_64",
                "manylinux_2_24_x86_64",
            ] {
                assert!(!fits(tag), "{tag}");
            }
            for tag in [
                "manylinux2010_x86_64",
                "manylinux_2_28_x86_64",
                "manylinux_2_24_x86_64.manylinux_2_25_x86_64",
                "linux_x86_64",
            ] {
                assert!(fits(tag), "{tag}");
            }
        }
    }
}
