//! `--platform`, `--python-version`, `--implementation` and `--abi` of `pip download`: for whom, where not for the
//! environment's interpreter.
//!
//! pip takes parts of wheel tags (PEP 425) as they are typed; here they name a Python on a platform, so markers are those of
//! that too. What they cannot name is refused.

use blast_types::NamedPlatform;

use crate::cli::pip::Target;
use crate::cli::pip::arguments::Aim;
use crate::error::Error;
use crate::ipc::protocol::{Reply, Request, ResolveOptions};

/// The word for all packages.
const ALL: &str = ":all:";

/// For whom.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Aimed {
    /// On this platform.
    pub(super) platform: Option<NamedPlatform>,
    /// With this Python.
    pub(super) python: Option<String>,
}

/// Reads the options.
pub(super) fn read(
    aim: &Aim,
    no_deps: bool,
    options: &ResolveOptions,
    target: &Target,
) -> Result<Aimed, Error> {
    let says_nothing = aim.platform.is_empty()
        && aim.abi.is_empty()
        && aim.python_version.is_none()
        && aim.implementation.is_none();
    if says_nothing {
        return Ok(Aimed::default());
    }
    let all_wheels =
        options.only_binary.iter().any(|name| name == ALL) && options.no_binary.is_empty();
    if !no_deps && !all_wheels {
        // pip's words.
        return Err(Error::no(
            "When restricting platform and interpreter constraints using --python-version, --platform, --abi, or \
             --implementation, either --no-deps must be set, or --only-binary=:all: must be set and --no-binary must not be \
             set (or must be set to :none:).",
        ));
    }
    if let Some(other) = aim.implementation.as_deref().filter(|name| *name != "cp") {
        return Err(Error::usage(format!(
            "--implementation {other} is not supported: files are fetched for CPython, `cp`"
        )));
    }
    let python = aim.python_version.as_deref().map(version).transpose()?;
    if !aim.abi.is_empty() {
        let python = match &python {
            Some(python) => python.clone(),
            None => own_version(target)?,
        };
        one_of_its_own(&aim.abi, &python)?;
    }
    Ok(Aimed {
        platform: platform(&aim.platform)?,
        python,
    })
}

/// `3.12`, `312` or `3.12.1` as a version with dots.
fn version(text: &str) -> Result<String, Error> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let dotted = match text.split_at_checked(1) {
        Some((major, minor)) if is_number(text) && !minor.is_empty() => format!("{major}.{minor}"),
        _ => text.to_owned(),
    };
    let parts: Vec<&str> = dotted.split('.').collect();
    if !matches!(parts.len(), 2 | 3)
        || !parts.iter().all(|part| !part.is_empty() && is_number(part))
    {
        return Err(Error::usage(format!(
            "--python-version {text} is not supported: it names no Python as `3.12`, `312` or `3.12.1` do"
        )));
    }
    Ok(dotted)
}

/// The version of the environment's Python.
fn own_version(target: &Target) -> Result<String, Error> {
    let request = Request::Status {
        env: Some(target.env.clone()),
    };
    match target.context.ask(request)? {
        Reply::Status(status) => status
            .environment
            .map(|environment| environment.view.python)
            .ok_or_else(Error::unexpected_reply),
        _ => Err(Error::unexpected_reply()),
    }
}

/// Refuses ABIs without that of the Python, which always comes with `abi3` and `none`.
fn one_of_its_own(abis: &[String], python: &str) -> Result<(), Error> {
    let short: String = python.split('.').take(2).collect();
    let own = format!("cp{short}");
    let known = |abi: &String| *abi == own || abi == "abi3" || abi == "none";
    if abis.iter().all(known) && abis.contains(&own) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--abi {} is not supported: files are fetched for Python {python}, whose ABI is `{own}`",
        abis.join(" --abi ")
    ))
    .hint("`--python-version` names another Python"))
}

/// One platform; of several that differ in the age of their C library or system alone, the newest, which the others fit.
fn platform(tags: &[String]) -> Result<Option<NamedPlatform>, Error> {
    let mut newest: Option<NamedPlatform> = None;
    for tag in tags {
        let named = NamedPlatform::of_tag(tag).map_err(|_| {
            Error::usage(format!("--platform {tag} is not supported: it names no platform"))
                .hint("`manylinux2014_x86_64`, `musllinux_1_2_aarch64`, `macosx_13_0_arm64` and `win_amd64` do")
        })?;
        newest = match newest {
            None => Some(named),
            Some(before) => Some(before.newer(named).ok_or_else(|| {
                Error::usage(format!(
                    "--platform {} is not supported: these are several machines",
                    tags.join(" --platform ")
                ))
                .hint("fetch for one after the other")
            })?),
        };
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_pip_reads_them() {
        for (text, read) in [
            ("3.12", "3.12"),
            ("312", "3.12"),
            ("39", "3.9"),
            ("3.9.1", "3.9.1"),
        ] {
            assert_eq!(version(text).expect(text), read);
        }
        for text in ["3", "", "x", "3.", "3.x", "cp39", "3.1.2.3"] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_abi_is_that_of_the_python() {
        let of = |abis: &[&str], python| {
            let abis: Vec<String> = abis.iter().map(|abi| (*abi).to_owned()).collect();
            one_of_its_own(&abis, python).is_ok()
        };
        assert!(of(&["cp312"], "3.12.1"));
        assert!(of(&["abi3", "cp39", "none"], "3.9"));
        assert!(!of(&["abi3"], "3.9"));
        assert!(!of(&["cp38"], "3.9"));
        assert!(!of(&["pp39", "cp39"], "3.9"));
    }

    #[test]
    fn of_several_platforms_of_a_machine_the_newest_is_meant() {
        let of = |tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            platform(&tags).map(|found| found.map(|named| named.to_string()))
        };
        assert_eq!(of(&[]).expect("none"), None);
        let several = [
            "manylinux2014_x86_64",
            "manylinux_2_28_x86_64",
            "manylinux1_x86_64",
        ];
        let newest = of(&several).expect("one machine").expect("one");
        assert_eq!(newest, "x86_64-manylinux_2_28");
        assert!(of(&["win_amd64", "manylinux1_x86_64"]).is_err());
        assert!(of(&["any"]).is_err());
    }
}
