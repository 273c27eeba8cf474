//! Properties of universal resolutions on small random registries: in each environment they are
//! what a resolution for that environment alone could be.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blast_resolver::ResolveError;
use blast_resolver::lock::Lock;
use blast_resolver::universal::{Choices, Universal};
use blast_types::{MarkerEnvironment, PackageName, Requirement, Version, VersionOrUrl};
use proptest::prelude::*;
use support::{Universe, question, requirement, resolve_universal, target_on};

/// A release: what it requires, and which Pythons it is for.
type Release = (Vec<String>, Option<&'static str>);
type Registry = Vec<Vec<Release>>;

const NAMES: [&str; 5] = ["p0", "p1", "p2", "p3", "p4"];
const PYTHONS: [&str; 7] = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"];
const PLATFORMS: [&str; 4] = ["linux", "win32", "darwin", "freebsd13"];
const MARKERS: [&str; 9] = [
    "",
    "; sys_platform == 'linux'",
    "; sys_platform != 'linux'",
    "; sys_platform == 'win32'",
    "; python_version < '3.11'",
    "; python_version >= '3.11'",
    "; python_version >= '3.13'",
    "; python_version < '3.13' and sys_platform == 'win32'",
    "; python_version < '3.10' or sys_platform == 'darwin'",
];

fn any_requirement() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["", "==", ">=", "<", "!="]);
    let marker = prop::sample::select(MARKERS.to_vec());
    (0..NAMES.len(), operator, 1..4_u32, marker).prop_map(|(package, operator, number, marker)| {
        match operator {
            "" => format!("{}{marker}", NAMES[package]),
            operator => format!("{}{operator}{number}{marker}", NAMES[package]),
        }
    })
}

fn any_registry() -> impl Strategy<Value = Registry> {
    let pythons = vec![
        None,
        None,
        None,
        Some(">=3.10"),
        Some(">=3.12"),
        Some("<3.13"),
    ];
    let release = (
        prop::collection::vec(any_requirement(), 0..3),
        prop::sample::select(pythons),
    );
    prop::collection::vec(prop::collection::vec(release, 1..4), 3..=NAMES.len())
}

fn universe(registry: &Registry) -> Universe {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    for (package, releases) in registry.iter().enumerate() {
        for (position, (requires, python)) in releases.iter().enumerate() {
            let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
            let release = universe.add(NAMES[package], &(position + 1).to_string(), &requires);
            release.requires_python = python.map(str::to_owned);
        }
    }
    universe
}

/// All environments that the markers above tell apart.
fn environments() -> Vec<MarkerEnvironment> {
    let pairs = PYTHONS
        .iter()
        .flat_map(|python| PLATFORMS.iter().map(move |platform| (python, platform)));
    pairs
        .map(|(python, platform)| target_on(python, platform).markers)
        .collect()
}

fn holds(requirement: &Requirement, version: &Version) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(version),
        _ => true,
    }
}

fn is_for(release: &support::Release, environment: &MarkerEnvironment) -> bool {
    release.requires_python.as_ref().is_none_or(|text| {
        let specifiers: blast_types::VersionSpecifiers = text.parse().expect("good");
        specifiers.contains(&environment.python_full_version().version)
    })
}

/// What of these requirements holds in an environment.
fn here(texts: &[String], environment: &MarkerEnvironment) -> Vec<Requirement> {
    texts
        .iter()
        .map(|text| requirement(text))
        .filter(|requirement| requirement.marker.evaluate(environment, &[]))
        .collect()
}

/// Whether there is an answer in one environment, by trying everything.
fn possible(
    universe: &Universe,
    environment: &MarkerEnvironment,
    chosen: &mut BTreeMap<PackageName, Version>,
    mut open: Vec<Requirement>,
) -> bool {
    let Some(next) = open.pop() else { return true };
    if let Some(version) = chosen.get(&next.name) {
        return holds(&next, version) && possible(universe, environment, chosen, open);
    }
    let Some(releases) = universe.projects.get(&next.name) else {
        return false;
    };
    releases.iter().any(|(version, release)| {
        if !holds(&next, version) || !is_for(release, environment) {
            return false;
        }
        let mut more = open.clone();
        more.extend(here(&release.requires, environment));
        chosen.insert(next.name.clone(), version.clone());
        let found = possible(universe, environment, chosen, more);
        chosen.remove(&next.name);
        found
    })
}

/// What is wrong with an answer in one environment.
fn fault(
    universe: &Universe,
    environment: &MarkerEnvironment,
    roots: &[String],
    answer: &Universal,
) -> Option<String> {
    let mut chosen = BTreeMap::new();
    for package in &answer.packages {
        if package.marker.evaluate(environment, &[])
            && let Some(other) = chosen.insert(package.name.clone(), package.version.clone())
        {
            return Some(format!("{} {} and {other}", package.name, package.version));
        }
    }
    let mut open = here(roots, environment);
    let mut needed = BTreeSet::new();
    while let Some(next) = open.pop() {
        let Some(version) = chosen.get(&next.name) else {
            return Some(format!("{next} has no answer"));
        };
        if !holds(&next, version) {
            return Some(format!("{next} does not hold for {version}"));
        }
        if needed.insert(next.name.clone()) {
            let release = &universe.projects[&next.name][version];
            if !is_for(release, environment) {
                return Some(format!("{} {version} is for other Pythons", next.name));
            }
            open.extend(here(&release.requires, environment));
        }
    }
    (needed.len() != chosen.len()).then(|| "a package that nobody needs".to_owned())
}

fn text_of(answer: &Result<Universal, ResolveError>) -> String {
    match answer {
        Ok(answer) => answer
            .lock(Some(Choices::default()))
            .expect("hashed")
            .to_string(),
        Err(error) => error.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None, // a failure is worth a test of its own
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_universal_answer_is_right_in_each_environment(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 1..4),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let without: Vec<_> = environments()
            .into_iter()
            .filter(|environment| {
                let open = here(&roots, environment);
                !possible(&universe, environment, &mut BTreeMap::new(), open)
            })
            .collect();
        match resolve_universal(&universe, question(&texts, ">=3.9", None)) {
            Ok(answer) => {
                prop_assert!(without.is_empty(), "no answer on {:?}", without);
                for environment in environments() {
                    let fault = fault(&universe, &environment, &roots, &answer);
                    prop_assert_eq!(fault, None, "on {:?}", environment);
                }
            }
            Err(ResolveError::NoSolution(explanation)) => {
                prop_assert!(!without.is_empty(), "there is an answer, but: {}", explanation);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn the_order_of_requirements_changes_no_byte_of_a_lock(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 2..5),
        seed in any::<prop::sample::Index>(),
    ) {
        let universe = Arc::new(universe(&registry));
        let mut texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let first = text_of(&resolve_universal(&universe, question(&texts, ">=3.9", None)));
        texts.rotate_left(seed.index(roots.len()));
        let turned = text_of(&resolve_universal(&universe, question(&texts, ">=3.9", None)));
        prop_assert_eq!(first, turned);
    }

    #[test]
    fn locking_again_changes_no_byte(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 1..4),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let first = resolve_universal(&universe, question(&texts, ">=3.9", None));
        if first.is_ok() {
            let text = text_of(&first);
            let lock = Lock::parse(&text).expect("our own lock");
            let again = resolve_universal(&universe, question(&texts, ">=3.9", Some(lock)));
            prop_assert_eq!(&text, &text_of(&again));
        }
    }
}
