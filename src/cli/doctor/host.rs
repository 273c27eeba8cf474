//! Checks of the host: FUSE, user namespaces, cgroups.

use std::fs;
use std::path::Path;

use blast_fs::MountError;
use blast_types::Hint as _;

use super::Check;
use crate::error::Error;
use crate::ipc::paths::Places;
use crate::ipc::protocol::ViewChoice;
use crate::namespace;
use crate::sandbox::scope::Manager;

/// All of them.
pub(super) fn checks(choice: ViewChoice, places: Option<&Places>) -> Vec<Check> {
    vec![
        fuse(choice),
        namespaces(Path::new("/proc/sys")),
        cgroups(Path::new("/sys/fs/cgroup")),
        sandbox(places),
    ]
}

fn fuse(choice: ViewChoice) -> Check {
    let support = blast_fs::host_support();
    let Some(reason) = &support.reason else {
        let how = match (support.privileged, support.helper) {
            (true, _) => "as root",
            (false, true) => "through fusermount3",
            (false, false) => "directly",
        };
        return Check::ok("fuse", format!("/dev/fuse can be used, mounting {how}"));
    };
    let mut apart = None;
    if matches!(reason, MountError::NoHelper) {
        match namespace::try_apart() {
            Ok(()) => return in_a_namespace(choice),
            Err(refused) => apart = Some(refused),
        }
    }
    let error = Error::internal(reason.to_string()).caused_by(reason);
    // The first cause is the reason itself.
    let behind = error
        .causes
        .get(1)
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    let apart = apart.map(|refused| format!(", and {refused}"));
    let apart = apart.unwrap_or_default();
    let message = format!("no view can be mounted: {reason}{behind}{apart}");
    let check = match choice {
        ViewChoice::Fuse => Check::fail("fuse", message),
        ViewChoice::Auto => Check::warn(
            "fuse",
            format!("{message}; environments are plain files instead"),
        ),
        ViewChoice::Files => {
            return Check::ok("fuse", format!("{message}; plain files are asked for"));
        }
    };
    reason.hints().into_iter().fold(check, Check::hint)
}

fn in_a_namespace(choice: ViewChoice) -> Check {
    const MESSAGE: &str =
        "/dev/fuse can be used, mounting in a user namespace, as `fusermount3` is not installed";
    match choice {
        ViewChoice::Files => Check::ok("fuse", format!("{MESSAGE}; plain files are asked for")),
        ViewChoice::Auto | ViewChoice::Fuse => Check::warn(
            "fuse",
            format!(
                "{MESSAGE}: what blast starts sees the packages, other programs (editors) do not"
            ),
        )
        .hint(
            "install FUSE 3 (`apt install fuse3`, `dnf install fuse3`, `apk add fuse3`), then \
             `blast kill --all`",
        )
        .hint("or set `view = \"files\"`: environments are plain files then"),
    }
}

/// What sandboxes need most; [`sandbox`] tries one, this says which setting is in the way.
fn namespaces(settings: &Path) -> Check {
    const NAME: &str = "user namespaces";
    let setting = |path: &str| {
        fs::read_to_string(settings.join(path))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    if setting("user/max_user_namespaces").as_deref() == Some("0") {
        return Check::warn(NAME, "switched off (user.max_user_namespaces is 0)")
            .hint("sudo sysctl user.max_user_namespaces=15000");
    }
    if setting("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Check::warn(
            NAME,
            "for root only (kernel.unprivileged_userns_clone is 0)",
        )
        .hint("sudo sysctl kernel.unprivileged_userns_clone=1");
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return Check::warn(NAME, "restricted by AppArmor for normal users")
            .hint("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0");
    }
    if setting("user/max_user_namespaces").is_none() {
        return Check::warn(NAME, "the kernel has none");
    }
    Check::ok(NAME, "available")
}

/// Reported only.
fn cgroups(root: &Path) -> Check {
    const NAME: &str = "cgroups";
    if let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) {
        return Check::ok(NAME, format!("version 2 ({})", controllers.trim()));
    }
    if root.join("memory").is_dir() {
        return Check::ok(NAME, "version 1");
    }
    Check::warn(
        NAME,
        "not mounted: resource limits will be per process only",
    )
}

/// Makes a sandbox, runs `true` in it, and says which limits can be kept for all processes together.
fn sandbox(places: Option<&Places>) -> Check {
    const NAME: &str = "sandbox";
    if let Err(failure) = blast_sandbox::probe() {
        return Check::warn(NAME, format!("programs cannot be confined here: {failure}"))
            .hint("`blast run --sandbox` will refuse to run; everything else works");
    }
    let groups = blast_sandbox::Cgroups::find();
    let kept: Vec<_> = [
        ("memory", groups.memory()),
        ("cpu", groups.cpu()),
        ("pids", groups.processes()),
    ]
    .into_iter()
    .filter_map(|(name, kept)| kept.then_some(name))
    .collect();
    let limits = if places.and_then(Manager::here).is_some() {
        "limits by cgroups, of which the user's service manager is asked for".to_owned()
    } else if kept.is_empty() {
        "limits for each process only".to_owned()
    } else {
        format!("limits by cgroups: {}", kept.join(", "))
    };
    Check::ok(NAME, format!("programs can be confined ({limits})"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn settings(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary directory");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn each_way_of_refusing_namespaces_is_told_apart() {
        let many = ("user/max_user_namespaces", "1000\n");
        for (files, verdict, word) in [
            (vec![many], Verdict::Ok, "available"),
            (
                vec![("user/max_user_namespaces", "0\n")],
                Verdict::Warn,
                "switched off",
            ),
            (
                vec![many, ("kernel/unprivileged_userns_clone", "0")],
                Verdict::Warn,
                "root only",
            ),
            (
                vec![many, ("kernel/apparmor_restrict_unprivileged_userns", "1")],
                Verdict::Warn,
                "AppArmor",
            ),
            (vec![], Verdict::Warn, "has none"),
        ] {
            let folder = settings(&files);
            let check = namespaces(folder.path());
            assert_eq!(check.verdict, verdict, "{check:?}");
            assert!(check.message.contains(word), "{check:?}");
        }
    }

    #[test]
    fn the_version_of_cgroups_is_told() {
        let second = settings(&[("cgroup.controllers", "cpu memory\n")]);
        assert!(cgroups(second.path()).message.contains("2 (cpu memory)"));
        let first = settings(&[("memory/tasks", "")]);
        assert!(cgroups(first.path()).message.contains('1'));
        assert_eq!(cgroups(settings(&[]).path()).verdict, Verdict::Warn);
    }
}
