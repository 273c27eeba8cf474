mod cache;
mod elsewhere;
mod kept;

use std::path::Path;

use super::*;
use crate::places::tests::Paper;
use crate::policy::origin::Origin;
use crate::policy::verdict::Rule;

fn machine() -> Machine {
    Machine {
        uid: 1000,
        gid: 1000,
        memory_bytes: 4 << 30,
        has_own_numbers: false,
        cgroups: Cgroups::None,
        user: None,
    }
}

fn policy(level: Level) -> Policy {
    Policy {
        level,
        ..Policy::default()
    }
}

fn caller(directory: &str) -> Caller {
    Caller {
        directory: directory.into(),
        home: Some("/home/u".into()),
        variables: [
            ("PATH", "/usr/bin"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("SSH_AUTH_SOCK", "/run/agent"),
            ("PYTHONUNBUFFERED", "1"),
            ("TOKEN", "t"),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect(),
        ..Caller::default()
    }
}

fn environment() -> Environment {
    Environment {
        frozen: Vec::new(),
        own: Vec::new(),
        cache: None,
        writes: Writes::Private,
        prefix: Some("/home/u/.blast/live/demo".into()),
        interpreter: Some("/home/u/.pyenv/3.12/bin/python3".into()),
        project: Some("/home/u/work/p".into()),
        secret: vec!["/home/u/.blast".into(), "/run/user/1000/blast".into()],
        variables: BTreeMap::new(),
    }
}

fn paper() -> Paper {
    Paper::new([
        "/usr/bin/",
        "/bin -> usr/bin",
        "/etc/shadow",
        "/etc/passwd",
        "/proc/sys/",
        "/proc/kcore",
        "/dev/null",
        "/tmp/",
        "/home/u/.ssh/",
        "/home/u/work/p/.env",
        "/home/u/work/q/",
        "/home/u/link -> work/q",
        "/home/u/.blast/live/.generation/7/",
        "/home/u/.blast/live/demo -> .generation/7",
        "/home/u/.pyenv/3.12/bin/python3 -> python3.12",
        "/home/u/.pyenv/3.12/bin/python3.12",
        "/run/user/1000/blast/daemon.sock",
    ])
}

fn planned(policy: &Policy, environment: &Environment, caller: &Caller) -> Plan {
    plan(policy, environment, caller, &machine(), &paper()).expect("a plan")
}

fn at<'a>(plan: &'a Plan, path: &str) -> Option<&'a Mount> {
    plan.mounts
        .iter()
        .find(|mount| mount.at() == Path::new(path))
}

#[test]
fn a_directory_of_the_programs_own_is_given_in_a_secret_place_but_not_through_a_link() {
    let own = |path: &str| Environment {
        own: vec![(path.into(), Access::Write)],
        ..environment()
    };
    let paper = Paper::new([
        "/home/u/.blast/live/demo/",
        "/home/u/.blast/work/1/",
        "/home/u/.blast/work/2 -> /home/u/.ssh",
        "/home/u/.ssh/",
        "/home/u/work/p/",
    ]);
    let made = |path: &str| {
        plan(
            &policy(Level::Strict),
            &own(path),
            &caller("/home/u/work/p"),
            &machine(),
            &paper,
        )
    };
    let plan = made("/home/u/.blast/work/1").expect("a plan");
    let given: Vec<_> = plan
        .mounts
        .iter()
        .filter(|mount| {
            matches!(
                mount,
                Mount::Bind {
                    access: Access::Write,
                    ..
                }
            )
        })
        .map(Mount::at)
        .collect();
    assert_eq!(
        given,
        [
            Path::new("/home/u/work/p"),
            Path::new("/home/u/.blast/work/1")
        ]
    );
    for moved in ["/home/u/.blast/work/2", "/home/u/.blast/work/3"] {
        assert_eq!(made(moved), Err(PlanError::Moved(moved.into())));
    }
}

#[test]
fn the_system_is_nobodys_for_root_and_as_it_is_for_others() {
    let owner = |machine: &Machine, policy: &Policy, path: &str| {
        let caller = caller("/home/u/work/p");
        let plan = plan(policy, &environment(), &caller, machine, &paper()).expect("a plan");
        match at(&plan, path) {
            Some(Mount::Bind { owner, .. }) => Some(*owner),
            _ => None,
        }
    };
    let root = Machine {
        uid: 0,
        gid: 0,
        user: Some(User {
            uid: 1234,
            gid: 1234,
            name: None,
        }),
        ..machine()
    };
    let standard = policy(Level::Standard);
    let somebody = Policy {
        user: Some("1234".into()),
        ..standard.clone()
    };
    for (path, of_root, of_another) in [
        ("/usr", Owner::Nobody, Owner::Same),
        ("/etc", Owner::Nobody, Owner::Same),
        ("/dev/null", Owner::Same, Owner::Same),
        ("/home/u/.pyenv/3.12", Owner::Same, Owner::Same),
        ("/home/u/work/p", Owner::Same, Owner::Program),
    ] {
        assert_eq!(owner(&root, &standard, path), Some(of_root), "{path}");
        assert_eq!(owner(&root, &somebody, path), Some(of_another), "{path}");
        assert_eq!(
            owner(&machine(), &standard, path),
            Some(Owner::Same),
            "{path}"
        );
    }
}

#[test]
fn a_project_is_written_in_a_hidden_home_and_the_system_only_read() {
    let plan = planned(
        &policy(Level::Standard),
        &environment(),
        &caller("/home/u/work/p"),
    );
    assert!(matches!(at(&plan, "/home/u"), Some(Mount::Scratch { .. })));
    assert!(matches!(
        at(&plan, "/home/u/work/p"),
        Some(Mount::Bind {
            access: Access::Write,
            ..
        })
    ));
    for path in ["/usr", "/etc", "/home/u/.pyenv/3.12"] {
        let found = at(&plan, path);
        assert!(
            matches!(
                found,
                Some(Mount::Bind {
                    access: Access::Read,
                    ..
                })
            ),
            "{path}"
        );
    }
    assert!(matches!(at(&plan, "/bin"), Some(Mount::Link { .. })));
    assert!(matches!(
        at(&plan, "/etc/shadow"),
        Some(Mount::Hidden { .. })
    ));
    assert!(matches!(
        at(&plan, "/proc/kcore"),
        Some(Mount::Hidden { .. })
    ));
    assert_eq!(plan.directory, PathBuf::from("/home/u/work/p"));
    assert!(plan.notes.is_empty());
}

#[test]
fn what_holds_a_place_comes_before_it() {
    let plan = planned(
        &policy(Level::Standard),
        &environment(),
        &caller("/home/u/work/p"),
    );
    for (number, mount) in plan.mounts.iter().enumerate() {
        let late = plan.mounts.iter().skip(number + 1);
        for later in late {
            assert!(
                !mount.at().starts_with(later.at()),
                "{mount:?} before {later:?}"
            );
        }
    }
}

#[test]
fn the_view_is_at_the_path_that_its_user_knows_and_the_store_is_not_seen() {
    let plan = planned(
        &policy(Level::Strict),
        &environment(),
        &caller("/home/u/work/p"),
    );
    assert!(matches!(
        at(&plan, "/home/u/.blast/live/.generation/7"),
        Some(Mount::View { .. })
    ));
    assert!(matches!(
        at(&plan, "/home/u/.blast/live/demo"),
        Some(Mount::Link { .. })
    ));
    assert_eq!(at(&plan, "/home/u/.blast"), None);

    let mut given = policy(Level::Strict);
    given.files.read_write = vec!["/home/u".into()];
    let plan = planned(&given, &environment(), &caller("/home/u/work/p"));
    assert!(matches!(
        at(&plan, "/home/u/.blast"),
        Some(Mount::Hidden { .. })
    ));
    assert!(matches!(
        at(&plan, "/home/u/.blast/live/.generation/7"),
        Some(Mount::View { .. })
    ));
    given.files.read_write = vec!["/home/u/.blast".into(), "/run/user/1000/blast".into()];
    let plan = planned(&given, &environment(), &caller("/home/u/work/p"));
    assert_eq!(at(&plan, "/home/u/.blast"), None);
    assert_eq!(at(&plan, "/run/user/1000/blast"), None);
}

#[test]
fn what_is_hidden_is_hidden_from_what_is_given() {
    let mut policy = policy(Level::Standard);
    policy.files.hidden = vec!["/home/u/work/p/.env".into(), "/home/u/.ssh".into()];
    policy.files.read_only = vec!["/home/u/.ssh".into()];
    let plan = planned(&policy, &environment(), &caller("/home/u/work/p"));
    assert!(matches!(
        at(&plan, "/home/u/work/p/.env"),
        Some(Mount::Hidden {
            directory: false,
            ..
        })
    ));
    assert_eq!(at(&plan, "/home/u/.ssh"), None);
}

#[test]
fn a_link_is_followed_and_made_anew() {
    let mut policy = policy(Level::Standard);
    policy.files.read_only = vec!["/home/u/link".into()];
    let plan = planned(&policy, &environment(), &caller("/home/u/work/p"));
    assert!(matches!(
        at(&plan, "/home/u/link"),
        Some(Mount::Link { .. })
    ));
    assert!(matches!(
        at(&plan, "/home/u/work/q"),
        Some(Mount::Bind {
            access: Access::Read,
            ..
        })
    ));
}

#[test]
fn without_a_project_the_callers_directory_is_given_but_never_its_home() {
    let mut environment = environment();
    environment.project = None;
    let plan = planned(
        &policy(Level::Standard),
        &environment,
        &caller("/home/u/work/q"),
    );
    assert!(at(&plan, "/home/u/work/q").is_some());
    for directory in ["/home/u", "/", "/home", "/etc", "/tmp", "/home/u/.blast"] {
        let caller = caller(directory);
        let plan = planned(&policy(Level::Standard), &environment, &caller);
        let writes = plan.mounts.iter().any(|mount| {
            matches!(
                mount,
                Mount::Bind {
                    access: Access::Write,
                    ..
                }
            )
        });
        assert!(!writes, "{directory}: {:?}", plan.mounts);
    }
    let plan = planned(&policy(Level::Standard), &environment, &caller("/"));
    assert_eq!(plan.directory, PathBuf::from("/home/u"));
    assert_eq!(plan.notes.len(), 1);
}

#[test]
fn variables_are_kept_by_name_and_given_by_the_policy() {
    let mut policy = policy(Level::Standard);
    policy.variables.insert("TOKEN".into(), None);
    policy.variables.insert("MODE".into(), Some("test".into()));
    let plan = planned(&policy, &environment(), &caller("/home/u/work/p"));
    let names: Vec<_> = plan
        .variables
        .keys()
        .map(|name| name.to_string_lossy())
        .collect();
    assert_eq!(
        names,
        [
            "BLAST_INSIDE",
            "MODE",
            "PATH",
            "PWD",
            "PYTHONUNBUFFERED",
            "TOKEN"
        ]
    );
    policy.level = Level::Strict;
    policy.variables.clear();
    let plan = planned(&policy, &environment(), &caller("/home/u/work/p"));
    let names: Vec<_> = plan
        .variables
        .keys()
        .map(|name| name.to_string_lossy())
        .collect();
    assert_eq!(names, ["BLAST_INSIDE", "PATH", "PWD"]);
}

#[test]
fn a_limit_that_cannot_be_kept_is_refused_unless_less_will_do() {
    let mut policy = policy(Level::Strict);
    policy.limits.memory_bytes = Some(1 << 20);
    let refused = plan(&policy, &environment(), &caller("/"), &machine(), &paper());
    assert!(
        matches!(refused, Err(PlanError::NotEnforceable(found)) if found.layer == Layer::Memory)
    );
    let mut caller = caller("/");
    caller.allow_degraded.insert(Layer::Memory);
    let plan = planned(&policy, &environment(), &caller);
    assert_eq!(plan.process.memory_bytes, Some(1 << 20));
    assert_eq!(plan.degraded.len(), 1);
}

#[test]
fn a_number_of_processes_that_nobody_asked_for_costs_no_cgroup() {
    let mut policy = policy(Level::Standard);
    let mut machine = Machine {
        cgroups: Cgroups::Legacy {
            memory: None,
            cpu: None,
            pids: Some("/pids".into()),
            io: None,
        },
        ..machine()
    };
    let planned = |policy: &Policy, machine: &Machine| {
        plan(
            policy,
            &environment(),
            &caller("/home/u/project"),
            machine,
            &paper(),
        )
        .expect("it can be kept")
    };
    let old = planned(&policy, &machine);
    assert_eq!(
        (old.group.processes, old.highest_process),
        (Some(4096), None)
    );
    machine.has_own_numbers = true;
    let new = planned(&policy, &machine);
    assert_eq!(
        (new.group.processes, new.highest_process),
        (None, Some(4096))
    );
    policy.limits.processes = Some(20);
    let asked = planned(&policy, &machine);
    assert_eq!(
        (asked.group.processes, asked.highest_process),
        (Some(20), None)
    );
}

#[test]
fn hosts_are_reached_through_a_filter_only_and_no_level_is_no_plan() {
    let mut policy = policy(Level::Standard);
    let plan_of = |policy: &Policy| planned(policy, &environment(), &caller("/")).network;
    assert_eq!(plan_of(&policy), Network::Nothing);
    policy.network.rules.allowed.push(Rule {
        target: "127.0.0.1:8000-8001".parse().unwrap(),
        origin: Origin::Flag,
    });
    let setup = Setup {
        loopback_ports: vec![8000, 8001],
        inward: 0,
    };
    assert_eq!(plan_of(&policy), Network::Filtered(setup));
    let none = Policy::default();
    let refused = plan(&none, &environment(), &caller("/"), &machine(), &paper());
    assert_eq!(refused, Err(PlanError::NoSandbox));
}

#[test]
fn root_makes_the_sandbox_of_somebody_else_and_shows_them_what_is_worked_on_as_their_own() {
    let mut policy = policy(Level::Standard);
    policy.user = Some("nobody".to_owned());
    policy.files.read_only.push("/home/u/work/q".into());
    let root = Machine {
        uid: 0,
        gid: 0,
        ..machine()
    };
    let (environment, caller) = (environment(), caller("/home/u/work/p"));
    let planned =
        |policy: &Policy, machine: &Machine| plan(policy, &environment, &caller, machine, &paper());
    assert_eq!(
        planned(&policy, &root),
        Err(PlanError::NoUser("nobody".to_owned()))
    );
    let root = Machine {
        user: Some(User {
            uid: 65534,
            gid: 65533,
            name: Some("nobody".to_owned()),
        }),
        ..root
    };
    let plan = planned(&policy, &root).expect("a plan");
    let ids = |uid, gid| Ids { uid, gid };
    assert_eq!((plan.ids, plan.maker), (ids(65534, 65533), Some(ids(0, 0))));
    assert_eq!(
        plan.variables["USER".as_ref() as &std::ffi::OsStr],
        "nobody"
    );
    let mapped: Vec<_> = (plan.mounts.iter())
        .filter(|mount| {
            matches!(
                mount,
                Mount::Bind {
                    owner: Owner::Program,
                    ..
                }
            )
        })
        .map(Mount::at)
        .collect();
    assert_eq!(
        mapped,
        [Path::new("/home/u/work/p"), Path::new("/home/u/work/q")]
    );
    // Root is exempt from the limit of processes, and this is not root.
    policy.limits.processes = Some(10);
    assert_eq!(planned(&policy, &root).expect("a plan").degraded, []);
    // Who is no root stays who they are.
    let plan = planned(&policy, &machine()).expect("a plan");
    assert_eq!((plan.ids, plan.maker), (ids(1000, 1000), None));
}
