//! How well a wheel fits a target (PEP 425, 600, 656), by the library but for one thing: it knows
//! no `manylinux` older than the first that wheels of RISC-V (2.31) and `LoongArch` (2.36) are built
//! for, where the specification and `packaging` have every glibc from 2.17 on.

use uv_distribution_filename::WheelFilename;
use uv_platform_tags::{Arch, Os, Platform, PlatformTag, TagCompatibility, TagPriority};

use crate::Target;

/// The minor version of the oldest glibc 2 whose tags are taken on any of these machines.
const OLDEST: u16 = 17;

impl Target {
    /// How much the wheel is wanted here, by the best of its tags; `None`: it cannot be used.
    pub fn fit(&self, wheel: &WheelFilename) -> Option<TagPriority> {
        let platform = self.tags.python_platform();
        match wheel.compatibility(&self.tags) {
            TagCompatibility::Compatible(priority) => Some(priority),
            TagCompatibility::Incompatible(_) => {
                let arch = platform.arch();
                if !matches!(arch, Arch::Riscv64 | Arch::LoongArch64) {
                    return None;
                }
                let mut tags = wheel.platform_tags().iter();
                if !tags.any(|tag| is_older(tag, platform)) {
                    return None;
                }
                // Less wanted than what the library knows, as the last of its tags is.
                let last = [PlatformTag::Linux { arch }];
                let (pythons, abis) = (wheel.python_tags(), wheel.abi_tags());
                let found = (self.tags).compatibility(pythons.iter(), abis.iter(), last.iter());
                match found {
                    TagCompatibility::Compatible(priority) => Some(priority),
                    TagCompatibility::Incompatible(_) => None,
                }
            }
        }
    }
}

/// Whether a tag is of glibc as old as or older than that of the platform.
fn is_older(tag: &PlatformTag, platform: &Platform) -> bool {
    let Os::Manylinux { major: 2, minor } = platform.os() else {
        return false;
    };
    let (built, of) = match tag {
        PlatformTag::Manylinux {
            major: 2,
            minor,
            arch,
        } => (*minor, *arch),
        PlatformTag::Manylinux2014 { arch } => (OLDEST, *arch),
        _ => return false,
    };
    of == platform.arch() && (OLDEST..=*minor).contains(&built)
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
}
