//! What is worked in or shown at another place than on the host.

use super::*;

#[test]
fn a_part_of_the_project_is_worked_in_and_no_link_makes_it_more() {
    let paper = Paper::new([
        "/home/u/work/p/src/",
        "/home/u/work/p/file",
        "/home/u/work/p/out -> /home/u",
        "/home/u/work/p/in -> src",
        "/home/u/.blast/live/demo/",
    ]);
    let of = |root: &str| {
        let mut policy = policy(Level::Standard);
        policy.files.root = Some(root.into());
        let caller = caller("/home/u/work/p");
        plan(&policy, &environment(), &caller, &machine(), &paper)
    };
    for root in ["/home/u/work/p/src", "/home/u/work/p/in"] {
        let plan = of(root).expect("a plan");
        assert_eq!(plan.directory, Path::new("/home/u/work/p/src"));
        assert!(at(&plan, "/home/u/work/p/src").is_some());
        assert_eq!(at(&plan, "/home/u/work/p"), None);
    }
    for root in ["/home/u/work/p/out", "/home/u/work", "/home/u/work/p/file"] {
        assert_eq!(of(root), Err(PlanError::NotInProject(root.into())));
    }
    let missing = "/home/u/work/p/none";
    assert_eq!(of(missing), Err(PlanError::Missing(missing.into())));
}

#[test]
fn a_place_is_shown_elsewhere_without_what_is_hidden_and_covers_nothing() {
    let with = |source: &str, target: &str, write| {
        let mut policy = policy(Level::Standard);
        policy.files.mounts.push(crate::policy::Shown {
            source: source.into(),
            target: target.into(),
            write,
        });
        policy
    };
    let of = |policy: &Policy| {
        let environment = Environment {
            frozen: vec!["/home/u/work/p/.env".into()],
            ..environment()
        };
        plan(policy, &environment, &caller("/"), &machine(), &paper())
    };
    // Through a link, to be written, with a part that is hidden.
    let mut policy = with("/home/u/link", "/data", true);
    assert!(matches!(
        at(&of(&policy).expect("a plan"), "/data"),
        Some(Mount::Elsewhere { source, access: Access::Write, directory: true, .. })
            if source == Path::new("/home/u/work/q")
    ));
    let above = vec!["/home/u/work".into()];
    policy.files.stronger.insert("/home/u/link".into(), above);
    assert!(matches!(
        at(&of(&policy).expect("a plan"), "/data"),
        Some(Mount::Elsewhere {
            access: Access::Read,
            ..
        })
    ));
    let mut policy = with("/home/u", "/all", false);
    policy.files.hidden.push("/home/u/.ssh".into());
    let plan = of(&policy).expect("a plan");
    for hidden in ["/all/.ssh", "/all/.blast"] {
        assert!(
            matches!(at(&plan, hidden), Some(Mount::Hidden { .. })),
            "{hidden}"
        );
    }
    for (source, given) in [
        ("/home/u/.ssh", false),
        ("/home/u/.blast/live", false),
        ("/etc", true),
    ] {
        let mut policy = with(source, "/x", false);
        policy.files.hidden.push("/home/u/.ssh".into());
        assert_eq!(
            at(&of(&policy).expect("a plan"), "/x").is_some(),
            given,
            "{source}"
        );
    }
    for target in [
        "/",
        "/usr",
        "/home",
        "/proc/x",
        "/dev/x",
        "/bin/x",
        "/usr/none/x",
        "/data/../x",
        "data",
        "/home/u/.blast/live/.generation/7/lib",
        "/home/u/work/p",
        "/tmp",
    ] {
        let refused = of(&with("/home/u/work/q", target, false));
        assert!(
            matches!(refused, Err(PlanError::NoPlace(..))),
            "{target}: {refused:?}"
        );
    }
    for source in ["/home/u/work/p", "/home/u"] {
        assert!(of(&with(source, "/x", false)).is_ok());
        let refused = of(&with(source, "/x", true));
        assert!(matches!(refused, Err(PlanError::NoPlace(..))), "{source}");
    }
}
