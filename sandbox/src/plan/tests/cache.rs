//! The directory that lasts for what programs keep to be faster the next time.

use super::*;

const INSIDE: &str = "/home/u/.cache";
const OUTSIDE: &str = "/home/u/.blast/programs/demo";

fn with(policy: &Policy, machine: &Machine) -> Result<Plan, PlanError> {
    let environment = Environment {
        cache: Some(OUTSIDE.into()),
        ..environment()
    };
    let caller = caller("/home/u/work/p");
    plan(policy, &environment, &caller, machine, &looked_at(false))
}

fn looked_at(is_moved: bool) -> Paper {
    Paper::new([
        "/home/u/.cache/data/",
        "/home/u/.blast/live/demo/",
        if is_moved {
            "/home/u/.blast/programs/demo -> /home/u/.ssh"
        } else {
            "/home/u/.blast/programs/demo/"
        },
        "/home/u/.ssh/",
        "/home/u/work/p/",
    ])
}

fn shown(policy: &Policy, machine: &Machine) -> Option<Mount> {
    at(&with(policy, machine).expect("a plan"), INSIDE).cloned()
}

#[test]
fn a_cache_of_the_environments_own_is_in_the_home_directory() {
    assert_eq!(
        shown(&policy(Level::Standard), &machine()),
        Some(Mount::Elsewhere {
            at: INSIDE.into(),
            source: OUTSIDE.into(),
            access: Access::Write,
            directory: true,
            owner: Owner::Same,
        })
    );
}

#[test]
fn what_a_policy_says_of_the_cache_holds_instead() {
    let mut policies = [(); 5].map(|()| policy(Level::Standard));
    let [given, part, hidden, limited, small] = &mut policies;
    given.files.read_only.push(INSIDE.into());
    part.files.read_write.push("/home/u/.cache/data".into());
    hidden.files.hidden.push("/home/u/.cache".into());
    limited.limits.written_bytes = Some(1 << 20);
    small.files.temporary_bytes = Some(1 << 20);
    let is_own = |mount: Option<Mount>| matches!(mount, Some(Mount::Elsewhere { .. }));
    for policy in &policies {
        assert!(!is_own(shown(policy, &machine())), "{policy:?}");
    }
    assert_eq!(shown(&policy(Level::Strict), &machine()), None);
}

#[test]
fn who_is_somebody_else_than_its_owner_has_none() {
    let mut policy = policy(Level::Standard);
    policy.user = Some("nobody".to_owned());
    let root = Machine {
        uid: 0,
        gid: 0,
        user: Some(User {
            uid: 65534,
            gid: 65534,
            name: Some("nobody".to_owned()),
        }),
        ..machine()
    };
    assert_eq!(shown(&policy, &root), None);
    policy.user = None;
    assert!(shown(&policy, &root).is_some());
}

#[test]
fn a_cache_that_is_a_link_is_refused() {
    let environment = Environment {
        cache: Some(OUTSIDE.into()),
        ..environment()
    };
    let caller = caller("/home/u/work/p");
    let policy = policy(Level::Standard);
    assert_eq!(
        plan(&policy, &environment, &caller, &machine(), &looked_at(true)),
        Err(PlanError::Moved(OUTSIDE.into()))
    );
}
