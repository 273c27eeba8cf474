//! Whether an interpreter can run what an image holds, and if not, what it would take.

use std::mem::discriminant;

use blast_types::{Interpreter, PlatformInfo, Target, filename, versions};

use super::description::{Carried, Description, Python};

/// What the image needs that the interpreter is not, as the end of a sentence "the image needs …".
pub(super) fn refusal(description: &Description, interpreter: &Interpreter) -> Option<String> {
    let (needed, found) = (&description.python, Python::from(interpreter));
    let same_kind = needed.implementation == found.implementation
        && needed.version == found.version
        && needed.platform.arch == found.platform.arch
        && discriminant(&needed.platform.os) == discriminant(&found.platform.os)
        && needed.platform.gil_disabled == found.platform.gil_disabled
        && needed.platform.debug == found.platform.debug;
    if !same_kind {
        return Some(in_words(needed));
    }
    if needed.scheme != found.scheme {
        return Some(format!(
            "{} whose packages are in `{}`",
            in_words(needed),
            needed.scheme.purelib
        ));
    }
    let Ok(target) = interpreter.target() else {
        return Some(in_words(needed));
    };
    let misfit = |carried: &&Carried| !runs(carried, needed, &found, &target);
    if let Some(carried) = description.packages.iter().find(misfit) {
        let tags = carried.tags.join(", ");
        return Some(format!(
            "a system that runs {} ({})",
            carried.title(),
            if tags.is_empty() { "no tags" } else { &tags }
        ));
    }
    let full = versions::version(&interpreter.markers.python_full_version).ok()?;
    let misfit = |carried: &&Carried| {
        let wanted = carried.record.requires_python.as_deref();
        wanted
            .and_then(|text| versions::specifiers(text).ok())
            .is_some_and(|wanted| !wanted.contains(&full))
    };
    let carried = description.packages.iter().find(misfit)?;
    let wanted = carried.record.requires_python.clone().unwrap_or_default();
    Some(format!("Python {wanted}, for {}", carried.title()))
}

/// Whether one of the package's tags is one of the target's. Tags of a build on the spot
/// (`linux_x86_64`) say nothing of the C library: there it must not be older than the one it was
/// built with.
fn runs(carried: &Carried, needed: &Python, found: &Python, target: &Target) -> bool {
    let as_new = library(&found.platform) >= library(&needed.platform);
    if carried.tags.is_empty() {
        return as_new;
    }
    carried.tags.iter().any(|tag| {
        let named = filename::wheel(&format!("any-1-{tag}.whl"));
        let fits = named.is_ok_and(|wheel| target.fit(&wheel).is_some());
        let on_the_spot = tag
            .rsplit('-')
            .next()
            .is_some_and(|platform| platform.starts_with("linux_"));
        fits && (as_new || !on_the_spot)
    })
}

/// `cpython 3.12 on x86_64 linux with glibc`.
pub(super) fn in_words(python: &Python) -> String {
    let PlatformInfo {
        os,
        arch,
        gil_disabled,
        debug,
        refused_glibc: _,
    } = &python.platform;
    let implementation = match python.implementation.as_str() {
        "cpython" => "CPython",
        other => other,
    };
    let build = match (gil_disabled, debug) {
        (false, false) => "",
        (true, false) => " (free-threaded)",
        (false, true) => " (debug build)",
        (true, true) => " (free-threaded, debug build)",
    };
    let (kind, library) = (os.to_string(), library(&python.platform));
    let os = match (kind.as_str(), library) {
        ("manylinux", Some((major, minor))) => format!("Linux with glibc {major}.{minor}"),
        ("musllinux", Some((major, minor))) => format!("Linux with musl {major}.{minor}"),
        _ => kind,
    };
    format!("{implementation} {}{build} on {os} {arch}", python.version)
}

/// Version of the C library.
fn library(platform: &PlatformInfo) -> Option<(u16, u16)> {
    let value = serde_json::to_value(&platform.os).ok()?;
    let part = |key| u16::try_from(value.get(key)?.as_u64()?).ok();
    Some((part("major")?, part("minor")?))
}
