//! What no program changes though it lies in what it may write.

use super::*;

#[test]
fn the_file_of_the_policy_is_read_only_in_a_project_that_is_written() {
    let paper = Paper::new([
        "/home/u/.blast/live/demo/",
        "/home/u/work/p/pyproject.toml",
        "/home/u/work/linked/pyproject.toml -> ../p/pyproject.toml",
        "/home/u/work/inner/pyproject.toml -> settings.toml",
        "/home/u/work/inner/settings.toml",
        "/home/u/work/empty/",
        "/home/u/.config/blast/config.toml",
    ]);
    let made = |project: &str, policy: &Policy| {
        let file = Path::new(project).join("pyproject.toml");
        let environment = Environment {
            project: Some(project.into()),
            frozen: vec![file, "/home/u/.config/blast/config.toml".into()],
            ..environment()
        };
        let caller = caller(project);
        plan(policy, &environment, &caller, &machine(), &paper).expect("a plan")
    };
    let access = |plan: &Plan, path: &str| match at(plan, path) {
        Some(Mount::Bind { access, .. }) => Some(*access),
        _ => None,
    };
    let file = "/home/u/work/p/pyproject.toml";
    let standard = policy(Level::Standard);
    let plan = made("/home/u/work/p", &standard);
    assert_eq!(access(&plan, "/home/u/work/p"), Some(Access::Write));
    assert_eq!(access(&plan, file), Some(Access::Read));
    assert_eq!(plan.frozen.len(), 1, "the user's is not seen at all");
    assert_eq!(plan.notes, [""; 0]);

    let given = |path: &str| {
        let mut policy = standard.clone();
        policy.files.read_write.push(path.into());
        policy
    };
    let plan = made("/home/u/work/p", &given("/home/u/work/p"));
    assert_eq!(
        access(&plan, file),
        Some(Access::Read),
        "the project is not the file"
    );
    let plan = made("/home/u/work/p", &given(file));
    assert_eq!(
        access(&plan, file),
        None,
        "it is written as all of the project"
    );
    assert!(plan.frozen.is_empty());

    let plan = made("/home/u/work/p", &given("/home/u"));
    assert_eq!(access(&plan, file), Some(Access::Read));
    assert_eq!(plan.frozen.len(), 2);
    for above in ["/home/u/work/p", "/home/u/work", "/home/u/.config/blast"] {
        assert_eq!(
            access(&plan, above),
            Some(Access::Write),
            "{above} could be moved away"
        );
    }

    let link = "/home/u/work/linked/pyproject.toml";
    let plan = made("/home/u/work/linked", &standard);
    assert!(matches!(at(&plan, link), Some(Mount::Pinned { .. })));
    assert_eq!(plan.frozen.len(), 1, "what it leads to is not given");
    assert_eq!(plan.notes, [""; 0]);

    for (replaced, given) in [
        (
            "/home/u/work/inner",
            given("/home/u/work/inner/pyproject.toml"),
        ),
        ("/home/u/work/empty", standard.clone()),
    ] {
        let plan = made(replaced, &given);
        assert!(plan.frozen.is_empty(), "{replaced}");
        assert_eq!(plan.notes.len(), 1, "{replaced}");
        assert!(plan.notes[0].contains(replaced), "{:?}", plan.notes);
    }
}

#[test]
fn what_tools_outside_obey_is_read_only_wherever_it_is() {
    let paper = Paper::new([
        "/home/u/.blast/live/demo/",
        "/home/u/work/whole/.git/hooks/pre-commit",
        "/home/u/work/whole/.git/config",
        "/home/u/work/whole/.git/objects/",
        "/home/u/work/more/.git/hooks/",
        "/home/u/work/more/.git/config",
        "/home/u/work/more/.git/config.worktree",
        "/home/u/work/more/.git/modules/sub/config",
        "/home/u/work/more/.git/worktrees/other/",
        "/home/u/work/more/.vscode/tasks.json",
        "/home/u/work/more/.envrc",
        "/home/u/work/tree/.git",
        "/home/u/work/linked/.git -> ../whole/.git",
        "/home/u/work/hooked/.git/hooks -> ../githooks",
        "/home/u/work/hooked/.git/config",
        "/home/u/work/hooked/githooks/",
        "/home/u/work/without/.git/config",
        "/home/u/work/closed/.git/",
        "/home/u/work/bare/",
    ]);
    let kept = |project: &str, policy: &Policy| -> Vec<String> {
        let project = format!("/home/u/work/{project}");
        let environment = Environment {
            project: Some(project.clone().into()),
            ..environment()
        };
        let plan = plan(policy, &environment, &caller(&project), &machine(), &paper);
        let plan = plan.expect("a plan");
        assert_eq!(plan.notes, [""; 0]);
        let kept = |mount: &Mount| match mount {
            Mount::Bind { at, access, .. } if *access == Access::Read => Some(at.clone()),
            Mount::Pinned { at } => Some(at.clone()),
            _ => None,
        };
        let paths = plan.mounts.iter().filter_map(kept);
        let mut below: Vec<String> = paths
            .filter_map(|path| Some(path.strip_prefix(&project).ok()?.display().to_string()))
            .collect();
        below.sort();
        below
    };
    let mut standard = policy(Level::Standard);
    let parts = [".git/config", ".git/hooks"];
    assert_eq!(kept("whole", &standard), parts);
    assert_eq!(
        kept("more", &standard),
        [
            ".envrc",
            ".git/config",
            ".git/config.worktree",
            ".git/hooks",
            ".git/modules",
            ".git/worktrees",
            ".vscode"
        ]
    );
    assert_eq!(kept("tree", &standard), [".git"]);
    assert_eq!(kept("linked", &standard), [".git"], "the link");
    assert_eq!(
        kept("hooked", &standard),
        [".git/config", ".git/hooks", "githooks"]
    );
    // A program could make what is missing, or let be seen again what it took the rights from.
    assert_eq!(kept("without", &standard), [".git"]);
    assert_eq!(kept("closed", &standard), [".git"]);
    assert_eq!(kept("bare", &standard), [""; 0]);
    let mut strict = policy(Level::Strict);
    assert_eq!(kept("whole", &strict), [".git"]);
    // Who gives a part gives that part.
    strict
        .files
        .read_write
        .push("/home/u/work/whole/.git".into());
    assert_eq!(kept("whole", &strict), parts);
    standard
        .files
        .read_write
        .push("/home/u/work/whole/.git/hooks".into());
    assert_eq!(kept("whole", &standard), [".git/config"]);
}

#[test]
fn a_link_writes_nothing_that_somebody_stronger_lets_be_read_only() {
    let mut policy = policy(Level::Standard);
    policy.files.read_only.push("/home/u/work/q".into());
    // The link lies where no program can change it.
    policy.files.read_write.push("/home/u/link".into());
    let access = |policy: &Policy| {
        let plan = planned(policy, &environment(), &caller("/"));
        match at(&plan, "/home/u/work/q") {
            Some(Mount::Bind { access, .. }) => *access,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(access(&policy), Access::Write);
    let above = vec!["/home/u/work/q".into()];
    policy.files.stronger.insert("/home/u/link".into(), above);
    assert_eq!(access(&policy), Access::Read);
}

#[test]
fn a_link_that_a_program_can_change_gives_nothing_to_the_next() {
    let paper = Paper::new([
        "/home/u/work/p/out -> /home/u",
        "/home/u/work/p/in -> real",
        "/home/u/work/p/real/file",
        "/home/u/shared/led -> /home/u/.ssh",
        "/home/u/.ssh/",
        "/home/u/mine -> /home/u/.ssh",
        "/home/u/.blast/live/demo/",
    ]);
    let of = |change: &dyn Fn(&mut Policy)| {
        let mut policy = policy(Level::Standard);
        change(&mut policy);
        let caller = caller("/home/u/work/p");
        plan(&policy, &environment(), &caller, &machine(), &paper)
    };
    let led = |change: &dyn Fn(&mut Policy)| matches!(of(change), Err(PlanError::Led { .. }));
    assert!(led(&|policy| policy
        .files
        .read_only
        .push("/home/u/work/p/out".into())));
    assert!(led(&|policy| policy
        .files
        .read_write
        .push("/home/u/work/p/out".into())));
    assert!(led(&|policy| policy
        .files
        .read_only
        .push("/home/u/work/p/out/.ssh".into())));
    assert!(led(&|policy| policy.files.mounts.push(
        crate::policy::Shown {
            source: "/home/u/work/p/out".into(),
            target: "/x".into(),
            write: false,
        }
    )));
    // In another place that is written.
    assert!(led(&|policy| {
        policy.files.read_write.push("/home/u/shared".into());
        policy.files.read_only.push("/home/u/shared/led".into());
    }));
    assert!(of(&|policy| policy.files.read_only.push("/home/u/shared/led".into())).is_ok());
    assert!(of(&|policy| policy.files.read_write.push("/home/u/work/p/in".into())).is_ok());
    assert!(of(&|policy| policy.files.read_write.push("/home/u/mine".into())).is_ok());
}
