//! Properties of the search on small random registries, against a search that tries everything.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use blast_resolver::{
    DirectDist, Explanation, Fact, Inputs, Provider, ProviderError, Reason, Resolution,
    ResolutionMode, ResolveError,
};
use blast_types::{
    CoreMetadata, DistFile, PackageName, ProjectFiles, Requirement, Silent, VerbatimUrl, Version,
    VersionOrUrl,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::*;
use support::{
    Memory, Universe, inputs, name, requirement, requirements, resolve_shared, show, version,
};

/// For each package the requirements of its versions, the oldest first.
type Registry = Vec<Vec<Vec<String>>>;

const NAMES: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

/// A requirement on one of the packages (one more than there are: some do not exist).
fn any_requirement() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["", "==", ">=", "<=", "<", ">", "!="]);
    (0..NAMES.len(), operator, 1..5_u32).prop_map(|(package, operator, number)| match operator {
        "" => NAMES[package].to_owned(),
        operator => format!("{}{operator}{number}", NAMES[package]),
    })
}

fn any_registry() -> impl Strategy<Value = Registry> {
    let release = prop::collection::vec(any_requirement(), 0..3);
    prop::collection::vec(prop::collection::vec(release, 1..5), 1..NAMES.len())
}

fn universe(registry: &Registry) -> Universe {
    let mut universe = Universe::default();
    for (package, releases) in registry.iter().enumerate() {
        for (position, requires) in releases.iter().enumerate() {
            let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
            universe.add(NAMES[package], &(position + 1).to_string(), &requires);
        }
    }
    universe
}

fn holds(requirement: &Requirement, version: &Version) -> bool {
    match &requirement.version_or_url {
        None => true,
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(version),
        Some(VersionOrUrl::Url(_)) => false,
    }
}

/// Whether there is an answer, by trying everything.
fn possible(
    universe: &Universe,
    chosen: &mut BTreeMap<PackageName, Version>,
    mut open: Vec<Requirement>,
) -> bool {
    let Some(next) = open.pop() else { return true };
    if let Some(version) = chosen.get(&next.name) {
        return holds(&next, version) && possible(universe, chosen, open);
    }
    let Some(releases) = universe.projects.get(&next.name) else {
        return false;
    };
    releases.iter().any(|(version, release)| {
        if !holds(&next, version) {
            return false;
        }
        let mut more = open.clone();
        more.extend(release.requires.iter().map(|text| requirement(text)));
        chosen.insert(next.name.clone(), version.clone());
        let found = possible(universe, chosen, more);
        chosen.remove(&next.name);
        found
    })
}

/// What is wrong with an answer: a requirement that does not hold, a package nobody needs.
fn fault(universe: &Universe, roots: &[String], resolution: &Resolution) -> Option<String> {
    let mut open: Vec<Requirement> = roots.iter().map(|text| requirement(text)).collect();
    let mut needed = BTreeSet::new();
    while let Some(next) = open.pop() {
        let Some(package) = resolution.package(&next.name) else {
            return Some(format!("{next} has no answer"));
        };
        if !holds(&next, &package.version) {
            return Some(format!("{next} does not hold for {}", package.version));
        }
        if needed.insert(next.name.clone()) {
            let release = &universe.projects[&next.name][&package.version];
            open.extend(release.requires.iter().map(|text| requirement(text)));
        }
    }
    (needed.len() != resolution.packages.len()).then(|| "a package that nobody needs".to_owned())
}

/// Whether the facts of an explanation leave no answer, taken alone: a registry in which nothing
/// else is required has none either.
fn proves(universe: &Universe, explanation: &Explanation) -> bool {
    let mut roots = Vec::new();
    let mut alone = Universe::default();
    for (name, releases) in &universe.projects {
        for version in releases.keys() {
            alone.add(name.as_str(), &version.to_string(), &[]);
        }
    }
    // The words of a fact name versions; which ones it means is what the registry says.
    let mut say = |package: &PackageName, texts: &[String]| {
        for (version, release) in alone.projects.get_mut(package).expect("it exists") {
            let said = &universe.projects[package][version].requires;
            let said: Vec<_> = said
                .iter()
                .map(|text| requirement(text).to_string())
                .collect();
            if texts.iter().all(|text| said.contains(text)) {
                release.requires.extend(texts.iter().cloned());
            }
        }
    };
    for fact in &explanation.facts {
        match fact {
            Fact::Asked { requirements } => {
                roots.extend(requirements.iter().map(|r| requirement(r)));
            }
            Fact::Depends {
                package,
                requirements,
                ..
            } => say(&name(package), requirements),
            Fact::Unusable {
                package,
                why: Reason::RequiresItself(text),
                ..
            } => {
                say(package, std::slice::from_ref(text));
            }
            Fact::DependsVariously { .. } => return true, // sums up what would be too long to prove
            Fact::Unusable { .. }
            | Fact::NoneInRange { .. }
            | Fact::NotFound { .. }
            | Fact::Quarantined { .. }
            | Fact::NotCached { .. } => {}
        }
    }
    !possible(&alone, &mut BTreeMap::new(), roots)
}

/// Serves a universe with answers that come early or late, as a seed has it.
struct Unsteady {
    memory: Memory,
    seed: u64,
}

impl Unsteady {
    /// Waits for up to 30 turns of the runtime.
    fn delay(&self, what: &str) -> impl Future<Output = ()> + use<> {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        let turns = hasher.hash_one((self.seed, what)) % 30;
        async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Provider for Unsteady {
    fn project(
        &self,
        name: &PackageName,
    ) -> BoxFuture<'static, Result<Arc<ProjectFiles>, ProviderError>> {
        let (delay, answer) = (self.delay(name.as_ref()), self.memory.project(name));
        async move {
            delay.await;
            answer.await
        }
        .boxed()
    }

    fn metadata(
        &self,
        file: Arc<DistFile>,
    ) -> BoxFuture<'static, Result<Arc<CoreMetadata>, ProviderError>> {
        let (delay, answer) = (self.delay(&file.filename), self.memory.metadata(file));
        async move {
            delay.await;
            answer.await
        }
        .boxed()
    }

    fn direct(
        &self,
        name: &PackageName,
        url: &VerbatimUrl,
    ) -> BoxFuture<'static, Result<DirectDist, ProviderError>> {
        self.memory.direct(name, url)
    }
}

/// The answer when data come in the order of a seed.
fn resolve_unsteadily(universe: &Arc<Universe>, inputs: Inputs, seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be had");
    let memory = Memory(universe.clone());
    let provider = Arc::new(Unsteady { memory, seed });
    let outcome = blast_resolver::resolve(inputs, provider, Arc::new(Silent));
    show(&runtime.block_on(outcome))
}

/// The versions of a root with which there is an answer, ascending.
fn possible_versions(universe: &Universe, root: &Requirement) -> Vec<Version> {
    let releases = universe.projects.get(&root.name).into_iter().flatten();
    let fits = releases.filter(|(version, _)| {
        let pin = requirement(&format!("{}=={version}", root.name));
        let open = vec![root.clone(), pin];
        holds(root, version) && possible(universe, &mut BTreeMap::new(), open)
    });
    fits.map(|(version, _)| version.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None, // a failure is worth a test of its own
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_verdict_is_that_of_trying_everything(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 1..4),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let open: Vec<Requirement> = texts.iter().map(|text| requirement(text)).collect();
        let expected = possible(&universe, &mut BTreeMap::new(), open);
        match resolve_shared(&universe, inputs(&texts)) {
            Ok(resolution) => {
                prop_assert!(expected, "there is no answer, but it gave {:?}", show(&Ok(resolution)));
                prop_assert_eq!(fault(&universe, &roots, &resolution), None);
            }
            Err(ResolveError::NoSolution(explanation)) => {
                prop_assert!(!expected, "there is an answer, but: {}", explanation);
                prop_assert!(!explanation.facts.is_empty());
                prop_assert!(proves(&universe, &explanation), "no proof: {}", explanation);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_requirements(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 2..5),
        seed in any::<prop::sample::Index>(),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let first = show(&resolve_shared(&universe, inputs(&texts)));
        let mut turned = texts.clone();
        turned.rotate_left(seed.index(texts.len()));
        prop_assert_eq!(&first, &show(&resolve_shared(&universe, inputs(&turned))));
        turned.reverse();
        prop_assert_eq!(first, show(&resolve_shared(&universe, inputs(&turned))));
    }

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_limits_nor_on_when_data_come(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 1..4),
        limits in prop::collection::vec(any_requirement(), 0..4),
        overrides in prop::collection::vec(any_requirement(), 0..2),
        seed in any::<u64>(),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts = |texts: &[String]| -> Vec<Requirement> {
            requirements(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut first = inputs(&[]);
        first.requirements = texts(&roots);
        first.constraints = texts(&limits);
        first.overrides = texts(&overrides);
        let mut turned = first.clone();
        turned.requirements.reverse();
        turned.constraints.reverse();
        let calm = resolve_shared(&universe, first.clone());
        prop_assert_eq!(show(&calm), resolve_unsteadily(&universe, first, seed));
        // The words of a conflict may quote the limits in the order in which they stand.
        if calm.is_ok() {
            prop_assert_eq!(show(&calm), resolve_unsteadily(&universe, turned, !seed));
        } else {
            prop_assert!(resolve_shared(&universe, turned).is_err());
        }
    }

    #[test]
    fn one_root_gets_the_first_version_of_its_mode_that_is_possible(
        registry in any_registry(),
        root in any_requirement(),
    ) {
        let universe = Arc::new(universe(&registry));
        let root = requirement(&root);
        let possible = possible_versions(&universe, &root);
        for (mode, expected) in [
            (ResolutionMode::Highest, possible.last()),
            (ResolutionMode::Lowest, possible.first()),
            (ResolutionMode::LowestDirect, possible.first()),
        ] {
            let mut inputs = inputs(&[]);
            inputs.requirements = vec![root.clone()];
            inputs.options.resolution = mode;
            let outcome = resolve_shared(&universe, inputs);
            let chosen = outcome.as_ref().ok().and_then(|found| found.package(&root.name));
            prop_assert_eq!(chosen.map(|package| &package.version), expected, "{:?}", mode);
        }
    }

    #[test]
    fn resolving_again_with_the_answer_installed_changes_nothing(
        registry in any_registry(),
        roots in prop::collection::vec(any_requirement(), 1..4),
    ) {
        let universe = Arc::new(universe(&registry));
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        if let Ok(resolution) = resolve_shared(&universe, inputs(&texts)) {
            let mut again = inputs(&texts);
            again.preferences = resolution
                .packages
                .iter()
                .map(|package| (package.name.clone(), package.version.clone()))
                .collect();
            let before = show(&Ok(resolution));
            prop_assert_eq!(before, show(&resolve_shared(&universe, again)));
        }
    }
}

#[test]
fn the_exhaustive_search_knows_a_conflict() {
    let registry = vec![vec![vec!["p1==2".to_owned()]], vec![Vec::new(), Vec::new()]];
    let universe = universe(&registry);
    let roots = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| requirement(text))
            .collect::<Vec<_>>()
    };
    assert!(possible(
        &universe,
        &mut BTreeMap::new(),
        roots(&["p0", "p1"])
    ));
    assert!(!possible(
        &universe,
        &mut BTreeMap::new(),
        roots(&["p0", "p1<2"])
    ));
    assert!(holds(&requirement("p1<2"), &version("1")));
}
