//! What a universal resolution answers, by situation.

mod support;

use std::sync::Arc;

use blast_resolver::ResolveError;
use blast_resolver::lock::{Limits, Lock, MadeFrom};
use blast_resolver::universal::{Choices, Universal};
use blast_types::{ExtraName, GroupName};
use support::{Universe, name, question, resolve_universal};

fn versions(universe: &mut Universe, project: &str, releases: &[&str]) {
    for release in releases {
        universe.add(project, release, &[]);
    }
}

/// One line a package: `a 1.0 ; marker`.
fn show(answer: &Universal) -> Vec<String> {
    let line = |package: &blast_resolver::ResolvedPackage| {
        let marker = package.marker.try_to_string();
        let marker = marker.map(|marker| format!(" ; {marker}"));
        let marker = marker.unwrap_or_default();
        format!("{} {}{marker}", package.name, package.version)
    };
    answer.packages.iter().map(line).collect()
}

fn answer(universe: Universe, texts: &[&str]) -> Vec<String> {
    let question = question(texts, ">=3.9", None);
    match resolve_universal(&Arc::new(universe), question) {
        Ok(answer) => show(&answer),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn one_version_does_for_all_where_it_can() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1", "2", "3"]);
    universe.add("b", "1", &["c; sys_platform == 'win32'"]);
    versions(&mut universe, "c", &["1"]);
    let texts = ["a>=1; python_version < '3.11'", "a>=2", "b"];
    assert_eq!(
        answer(universe, &texts),
        ["a 3", "b 1", "c 1 ; sys_platform == 'win32'"]
    );
}

#[test]
fn requirements_that_never_meet_fork() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1", "2"]);
    versions(&mut universe, "b", &["1"]);
    let texts = [
        "a<2; sys_platform == 'win32'",
        "a>=2; sys_platform != 'win32'",
        "b",
    ];
    assert_eq!(
        answer(universe, &texts),
        [
            "a 1 ; sys_platform == 'win32'",
            "a 2 ; sys_platform != 'win32'",
            "b 1"
        ]
    );
}

#[test]
fn a_conflict_far_from_its_markers_forks_too() {
    let mut universe = Universe::default();
    universe.add("a", "1", &["c<2"]);
    universe.add("b", "1", &["c>=2"]);
    versions(&mut universe, "c", &["1", "2"]);
    let texts = ["a; sys_platform == 'linux'", "b; sys_platform == 'darwin'"];
    assert_eq!(
        answer(universe, &texts),
        [
            "a 1 ; sys_platform == 'linux'",
            "b 1 ; sys_platform == 'darwin'",
            "c 1 ; sys_platform == 'linux'",
            "c 2 ; sys_platform == 'darwin'"
        ]
    );
}

#[test]
fn a_conflict_that_is_everywhere_names_where_it_was_found() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1", "2"]);
    let universe = Arc::new(universe);
    let texts = [
        "a<2; sys_platform == 'linux'",
        "a>=2; sys_platform == 'linux'",
    ];
    let Err(ResolveError::NoSolution(explanation)) =
        resolve_universal(&universe, question(&texts, ">=3.9", None))
    else {
        panic!("there is no solution on Linux");
    };
    assert_eq!(
        explanation.environments.as_deref(),
        Some("sys_platform == 'linux'")
    );
    assert!(
        explanation
            .to_string()
            .contains("where sys_platform == 'linux'")
    );
}

#[test]
fn a_version_that_drops_a_python_leaves_the_older_one_for_it() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1"]);
    universe.add("a", "2", &[]).requires_python = Some(">=3.11".to_owned());
    versions(&mut universe, "b", &["1"]);
    let universe = Arc::new(universe);
    let found = resolve_universal(&universe, question(&["a", "b"], ">=3.9", None))
        .expect("as the test has it");
    assert_eq!(
        show(&found),
        [
            "a 1 ; python_full_version < '3.11'",
            "a 2 ; python_full_version >= '3.11'",
            "b 1"
        ]
    );
    let because = &found.forks[0].because;
    assert_eq!(
        because,
        &["a 2 is for `python_full_version >= '3.11'` only"]
    );
    // Where only the newer Pythons need it there is nothing to fork for.
    let only = question(&["a; python_version >= '3.11'"], ">=3.9", None);
    let found = resolve_universal(&universe, only).expect("as the test has it");
    assert_eq!(show(&found), ["a 2 ; python_full_version >= '3.11'"]);
    assert_eq!(found.forks.len(), 1);
}

#[test]
fn a_release_without_a_wheel_for_this_machine_is_for_others() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1"]);
    let wheels = ["cp312-cp312-win_amd64", "cp313-cp313-win_amd64"];
    universe.add("a", "2", &[]).wheel_tags = wheels.map(str::to_owned).to_vec();
    let found = answer(universe, &["a"]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("a 1 ; ") && found[0].contains("'linux'"),
        "{found:?}"
    );
}

#[test]
fn wheels_for_platforms_that_do_not_need_the_package_are_left_out() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    let wheels = [
        "cp312-cp312-win_amd64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp38-cp38-win_amd64",
    ];
    let release = universe.add("a", "1", &[]);
    release.wheel_tags = wheels.map(str::to_owned).to_vec();
    release.sdist = true;
    let question = question(&["a; sys_platform == 'win32'"], ">=3.9", None);
    let found = resolve_universal(&Arc::new(universe), question).expect("as the test has it");
    let text = found
        .lock(Some(Choices::default()))
        .expect("as the test has it")
        .to_string();
    assert!(text.contains("cp312-win_amd64"), "{text}");
    assert!(
        !text.contains("manylinux") && !text.contains("cp38"),
        "{text}"
    );
}

#[test]
fn extras_and_groups_are_markers() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    versions(&mut universe, "a", &["1", "2"]);
    universe.add("t", "1", &["a"]);
    let texts = [
        "a<2; 'old' in extras",
        "a; 'old' not in extras",
        "t; 'dev' in dependency_groups",
    ];
    let question = question(&texts, ">=3.9", None);
    let found = resolve_universal(&Arc::new(universe), question).expect("as the test has it");
    let choices = Choices {
        extras: vec!["old".parse::<ExtraName>().expect("as the test has it")],
        groups: vec!["dev".parse::<GroupName>().expect("as the test has it")],
        default_groups: vec!["dev".parse::<GroupName>().expect("as the test has it")],
        limits: Limits {
            constraints: vec!["a<3".to_owned()],
            excludes: vec![name("x")],
            ..Limits::default()
        },
    };
    let lock = found.lock(Some(choices)).expect("as the test has it");
    // One version does for both, so the extra changes nothing.
    let text = lock.to_string();
    assert!(text.contains("extras = [\"old\"]"), "{text}");
    assert!(text.contains("default-groups = [\"dev\"]"), "{text}");
    assert!(
        text.contains("marker = \"'dev' in dependency_groups\""),
        "{text}"
    );
    assert!(text.contains("exclude = [\n    \"x\",\n]"), "{text}");
    assert_eq!(Lock::parse(&text).expect("as the test has it"), lock);
}

#[test]
fn a_lock_names_folders_below_it_relative_to_it() {
    let text = |text: &str| text.to_owned();
    let mut made_from = MadeFrom {
        requirements: Some(vec![
            text("a @ file:///p/libs/a"),
            text("b @ file:///p ; os_name == 'nt'"),
            text("c @ file:///pq"),
            text("d>=1"),
        ]),
        limits: Limits {
            overrides: vec![text("e @ file:///p/e-1.0-py3-none-any.whl")],
            ..Limits::default()
        },
        forks: Vec::new(),
    };
    let folder = "file:///p/".parse().expect("a URL");
    made_from.relate(&folder);
    let wanted = [
        "a @ ./libs/a",
        "b @ ./ ; os_name == 'nt'",
        "c @ file:///pq",
        "d>=1",
    ];
    assert_eq!(
        made_from.requirements.as_deref(),
        Some(&wanted.map(text)[..])
    );
    assert_eq!(made_from.limits.overrides, ["e @ ./e-1.0-py3-none-any.whl"]);
    let once = made_from.clone();
    made_from.relate(&folder);
    assert_eq!(made_from, once);
}

#[test]
fn extras_at_odds_with_each_other_are_locked_apart_where_nobody_takes_both() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    versions(&mut universe, "a", &["1", "2"]);
    let texts = [
        "a<2; 'cpu' in extras and 'gpu' not in extras",
        "a>=2; 'gpu' in extras",
    ];
    let universe = Arc::new(universe);
    let found =
        resolve_universal(&universe, question(&texts, ">=3.9", None)).expect("as the test has it");
    assert_eq!(found.packages.len(), 2, "{:?}", show(&found));
    let lock = found
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    assert!(lock.environments.is_empty(), "environments know no extras");
    let again = question(
        &texts,
        ">=3.9",
        Some(Lock::parse(&lock.to_string()).expect("as the test has it")),
    );
    let again = resolve_universal(&universe, again).expect("as the test has it");
    assert_eq!(
        again
            .lock(Some(Choices::default()))
            .expect("as the test has it")
            .to_string(),
        lock.to_string()
    );
}

#[test]
fn forks_that_are_no_longer_needed_go() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    universe.add(
        "a",
        "1",
        &[
            "b<2; sys_platform == 'linux'",
            "b>=2; sys_platform != 'linux'",
        ],
    );
    versions(&mut universe, "b", &["1", "2"]);
    let universe = Arc::new(universe);
    let first =
        resolve_universal(&universe, question(&["a"], ">=3.9", None)).expect("as the test has it");
    assert_eq!(first.forks.len(), 2);
    let lock = first
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    assert_eq!(lock.environments.len(), 2);
    let next = question(&["b>=2"], ">=3.9", Some(lock));
    let next = resolve_universal(&universe, next).expect("as the test has it");
    assert_eq!(show(&next), ["b 2"]);
    assert_eq!(next.forks.len(), 1);
}

#[test]
fn constraints_may_hold_in_some_environments_only() {
    let mut universe = Universe::default();
    versions(&mut universe, "a", &["1", "2"]);
    let mut question = question(&["a"], ">=3.9", None);
    question.inputs.constraints = support::requirements(&["a<2; python_version < '3.11'"]);
    let found = resolve_universal(&Arc::new(universe), question).expect("as the test has it");
    assert_eq!(
        show(&found),
        [
            "a 1 ; python_full_version < '3.11'",
            "a 2 ; python_full_version >= '3.11'"
        ]
    );
}

/// 300 packages in chains of ten, of three versions each.
fn many() -> Universe {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    for number in 0..300 {
        let next = format!("p{:03}>=1", number + 1);
        let requires: Vec<&str> = if number % 10 == 9 {
            Vec::new()
        } else {
            vec![&next]
        };
        for release in ["1", "2", "3"] {
            universe.add(&format!("p{number:03}"), release, &requires);
        }
    }
    universe
}

#[test]
fn adding_to_a_lock_of_300_packages_looks_at_the_addition_only() {
    let mut universe = many();
    universe.add("new", "1", &["p005", "p100>=1", "other"]);
    universe.add("other", "1", &["p200"]);
    universe.add("mover", "1", &["p120<3"]);
    let universe = Arc::new(universe);
    let roots: Vec<String> = (0..30).map(|chain| format!("p{:03}", chain * 10)).collect();
    let mut texts: Vec<&str> = roots.iter().map(String::as_str).collect();
    let first =
        resolve_universal(&universe, question(&texts, ">=3.9", None)).expect("as the test has it");
    assert_eq!(first.packages.len(), 300);
    assert!(first.statistics.metadata_fetched >= 300);
    let lock = first
        .lock(Some(Choices::default()))
        .expect("as the test has it");

    texts.push("new");
    let added = question(
        &texts,
        ">=3.9",
        Some(Lock::parse(&lock.to_string()).expect("as the test has it")),
    );
    let added = resolve_universal(&universe, added).expect("as the test has it");
    assert_eq!(added.packages.len(), 302);
    assert_eq!(added.statistics.metadata_fetched, 2, "new and other");
    assert_eq!(added.statistics.projects_fetched, 2);
    let after = added
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    for package in &lock.packages {
        assert!(after.packages.contains(package), "{}", package.name);
    }

    // One that moves a locked package looks at that one too.
    texts.push("mover");
    let moved = question(
        &texts,
        ">=3.9",
        Some(Lock::parse(&after.to_string()).expect("as the test has it")),
    );
    let moved = resolve_universal(&universe, moved).expect("as the test has it");
    let p120 = moved
        .packages
        .iter()
        .find(|p| p.name.as_str() == "p120")
        .expect("as the test has it");
    assert_eq!(p120.version.to_string(), "2");
    let looked_at = moved.statistics.metadata_fetched;
    assert!((2..=5).contains(&looked_at), "{looked_at}");
}

#[test]
fn what_nothing_needs_any_more_leaves_the_lock_without_a_question() {
    let universe = Arc::new(many());
    let first = question(&["p000", "p010"], ">=3.9", None);
    let lock = resolve_universal(&universe, first)
        .expect("as the test has it")
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    let less = resolve_universal(&universe, question(&["p010"], ">=3.9", Some(lock)))
        .expect("as the test has it");
    assert_eq!(less.packages.len(), 10);
    assert_eq!(
        less.statistics.metadata_fetched + less.statistics.projects_fetched,
        0
    );
}

#[test]
fn an_extra_that_the_lock_knows_nothing_of_is_looked_up() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    universe.add("a", "1", &["b; extra == 'x'", "c"]).extras = vec!["x".to_owned()];
    versions(&mut universe, "b", &["1"]);
    versions(&mut universe, "c", &["1"]);
    let universe = Arc::new(universe);
    let plain =
        resolve_universal(&universe, question(&["a"], ">=3.9", None)).expect("as the test has it");
    let lock = plain
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    assert!(!lock.to_string().contains("extra == 'x'"), "{lock}");
    let with = resolve_universal(&universe, question(&["a[x]"], ">=3.9", Some(lock)))
        .expect("as the test has it");
    assert_eq!(show(&with), ["a 1", "b 1", "c 1"]);
}

#[test]
fn a_lock_for_other_pythons_is_no_authority_on_its_packages() {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    universe.add("a", "1", &["b; python_version < '3.10'"]);
    versions(&mut universe, "b", &["1"]);
    let universe = Arc::new(universe);
    let late =
        resolve_universal(&universe, question(&["a"], ">=3.11", None)).expect("as the test has it");
    let lock = late
        .lock(Some(Choices::default()))
        .expect("as the test has it");
    let early = resolve_universal(&universe, question(&["a"], ">=3.9", Some(lock)))
        .expect("as the test has it");
    assert_eq!(show(&early), ["a 1", "b 1 ; python_full_version < '3.10'"]);
}
