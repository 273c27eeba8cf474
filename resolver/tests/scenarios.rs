//! What the resolver answers, by situation. Explanations have a test program of their own.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use blast_resolver::{
    NameFilter, Options, PrereleaseMode, ProviderError, ResolutionMode, ResolveError, Upgrade,
};
use blast_types::Yanked;
use support::{
    Universe, inputs, name, requirements, resolve, resolve_shared, show, target, version,
};

fn versions(project: &str, releases: &[&str]) -> Universe {
    let mut universe = Universe::default();
    for release in releases {
        universe.add(project, release, &[]);
    }
    universe
}

fn answer(universe: Universe, requirements: &[&str]) -> String {
    show(&resolve(universe, inputs(requirements)))
}

#[test]
fn the_newest_version_that_fits_is_taken_with_what_it_needs() {
    let mut universe = versions("a", &["1.0", "2.0", "3.0"]);
    universe.add("a", "2.0", &["b>=1", "c; sys_platform == 'win32'"]);
    universe.add("b", "1.5", &[]);
    assert_eq!(answer(universe, &["a<3"]), "a 2.0, b 1.5");
}

#[test]
fn a_requirement_whose_marker_fails_is_no_requirement() {
    let universe = versions("a", &["1.0"]);
    assert_eq!(
        answer(universe, &["a", "nothing; python_version < '3'"]),
        "a 1.0"
    );
}

#[test]
fn extras_add_their_requirements_and_may_name_each_other() {
    let mut universe = Universe::default();
    let release = universe.add(
        "a",
        "1.0",
        &["a[x]; extra == 'all'", "b; extra == 'x'", "c"],
    );
    release.extras = vec!["all".to_owned(), "x".to_owned()];
    universe.add("b", "1.0", &[]);
    universe.add("c", "1.0", &[]);
    assert_eq!(answer(universe, &["a[all]"]), "a[all,x] 1.0, b 1.0, c 1.0");
}

#[test]
fn an_extra_that_no_version_has_adds_nothing() {
    assert_eq!(answer(versions("a", &["1.0"]), &["a[none]"]), "a[none] 1.0");
}

#[test]
fn an_extra_in_conflict_moves_its_package_to_another_version() {
    let mut universe = Universe::default();
    universe.add("a", "2.0", &["b>=2; extra == 'x'"]).extras = vec!["x".to_owned()];
    universe.add("a", "1.0", &["b<2; extra == 'x'"]).extras = vec!["x".to_owned()];
    universe.add("b", "1.0", &[]);
    universe.add("b", "2.0", &[]);
    assert_eq!(answer(universe, &["a[x]", "b==1.0"]), "a[x] 1.0, b 1.0");
}

#[test]
fn packages_may_depend_on_each_other_in_a_circle() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &["b"]);
    universe.add("b", "1.0", &["a>=1", "b"]);
    assert_eq!(answer(universe, &["a"]), "a 1.0, b 1.0");
}

#[test]
fn the_file_is_the_wheel_with_the_best_tag() {
    let mut universe = Universe::default();
    let release = universe.add("a", "1.0", &[]);
    release.sdist = true;
    release.wheel_tags = [
        "py3-none-any",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-win32",
    ]
    .map(str::to_owned)
    .to_vec();
    let resolution = resolve(universe, inputs(&["a"])).expect("a fits");
    let package = &resolution.packages[0];
    assert_eq!(
        &*package.file.filename,
        "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"
    );
    assert_eq!(package.all_files.len(), 4);
    assert!(package.requested);
}

#[test]
fn a_version_without_a_usable_file_is_passed_over() {
    let mut universe = versions("a", &["1.0"]);
    universe.add("a", "2.0", &[]).wheel_tags = vec!["cp39-cp39-win32".to_owned()];
    universe.add("a", "3.0", &[]).wheel_tags = Vec::new();
    universe.add("a", "4.0", &[]).broken = Some(ProviderError::Invalid("no name".to_owned()));
    universe.add("a", "5.0", &[]).requires_python = Some(">=3.13".to_owned());
    assert_eq!(answer(universe, &["a"]), "a 1.0");
}

#[test]
fn a_first_alpha_of_a_python_counts_as_that_python() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).requires_python = Some(">=3.13".to_owned());
    let mut inputs = inputs(&["a"]);
    inputs.target = target("3.13.0a1");
    assert_eq!(show(&resolve(universe, inputs)), "a 1.0");
}

#[test]
fn pre_releases_are_taken_only_where_no_final_release_fits() {
    let universe = || versions("a", &["1.0", "2.0a1", "2.0", "3.0b1"]);
    assert_eq!(answer(universe(), &["a"]), "a 2.0");
    assert_eq!(answer(universe(), &["a>=2.0a1"]), "a 2.0");
    assert_eq!(answer(universe(), &["a>2.0"]), "a 3.0b1");
    let with = |mode| {
        let options = Options {
            prereleases: mode,
            ..Options::default()
        };
        blast_resolver::Inputs {
            options,
            ..inputs(&["a>1.0"])
        }
    };
    assert_eq!(
        show(&resolve(universe(), with(PrereleaseMode::Allow))),
        "a 3.0b1"
    );
    assert_eq!(
        show(&resolve(universe(), with(PrereleaseMode::Disallow))),
        "a 2.0"
    );
}

#[test]
fn withdrawn_versions_need_a_pin() {
    let universe = || {
        let mut universe = versions("a", &["1.0"]);
        universe.add("a", "2.0", &[]).yanked = Yanked::Yes(Some("broken".into()));
        universe.add("b", "1.0", &["a==2.0"]);
        universe
    };
    assert_eq!(answer(universe(), &["a"]), "a 1.0");
    assert_eq!(answer(universe(), &["a==2.0"]), "a 2.0");
    assert_eq!(answer(universe(), &["a", "b"]), "a 2.0, b 1.0");
    assert!(answer(universe(), &["a>1"]).contains("withdrawn"));
}

#[test]
fn a_pin_that_is_not_part_of_the_answer_admits_nothing() {
    let mut universe = versions("c", &["1.0"]);
    // b 2.0 pins the withdrawn version, but cannot be chosen.
    universe.add("b", "2.0", &["a==2.0", "c>=2"]);
    universe.add("b", "1.0", &["a>1"]);
    universe.add("a", "2.0", &[]).yanked = Yanked::Yes(None);
    assert!(answer(universe, &["b"]).starts_with("no set of versions"));
}

#[test]
fn local_versions_match_their_public_version() {
    let universe = || versions("a", &["1.0", "1.0+cpu", "1.0+cuda"]);
    assert_eq!(answer(universe(), &["a==1.0"]), "a 1.0+cuda");
    assert_eq!(answer(universe(), &["a==1.0+cpu"]), "a 1.0+cpu");
    assert_eq!(answer(universe(), &["a===1.0"]), "a 1.0");
}

#[test]
fn what_is_installed_stays_where_it_may() {
    let universe = || {
        let mut universe = versions("a", &["1.0", "2.0"]);
        universe.add("b", "1.0", &["a"]);
        universe.add("b", "2.0", &["a>=2"]);
        universe
    };
    let with = |texts: &[&str], upgrade| {
        let mut inputs = inputs(texts);
        inputs.preferences =
            BTreeMap::from([(name("a"), version("1.0")), (name("b"), version("1.0"))]);
        inputs.upgrade = upgrade;
        show(&resolve(universe(), inputs))
    };
    assert_eq!(with(&["b"], Upgrade::None), "a 1.0, b 1.0");
    assert_eq!(with(&["b>1"], Upgrade::None), "a 2.0, b 2.0");
    assert_eq!(with(&["b"], Upgrade::All), "a 2.0, b 2.0");
    let only_a = Upgrade::Only(BTreeSet::from([name("a")]));
    assert_eq!(with(&["b"], only_a), "a 2.0, b 1.0");
}

#[test]
fn an_installed_version_that_was_withdrawn_since_stays() {
    let mut universe = versions("a", &["1.0"]);
    universe.add("a", "2.0", &[]).yanked = Yanked::Yes(None);
    let mut inputs = inputs(&["a"]);
    inputs.preferences = BTreeMap::from([(name("a"), version("2.0"))]);
    assert_eq!(show(&resolve(universe, inputs)), "a 2.0");
}

#[test]
fn constraints_limit_without_requiring() {
    let universe = || {
        let mut universe = versions("a", &["1.0", "2.0"]);
        universe.add("b", "1.0", &["a"]);
        universe
    };
    let with = |constraints: &[&str]| {
        let mut inputs = inputs(&["b"]);
        inputs.constraints = requirements(constraints);
        show(&resolve(universe(), inputs))
    };
    assert_eq!(with(&["a<2", "nothing==1"]), "a 1.0, b 1.0");
    assert_eq!(with(&["a<2; sys_platform == 'win32'"]), "a 2.0, b 1.0");
    assert!(with(&["a<1"]).contains("excluded by your constraint `a<1`"));
}

#[test]
fn overrides_replace_what_packages_say() {
    let universe = || {
        let mut universe = versions("a", &["1.0", "2.0"]);
        universe.add(
            "b",
            "1.0",
            &["a<2; sys_platform == 'linux'", "c; extra == 'x'"],
        );
        universe
    };
    let with = |overrides: &[&str]| {
        let mut inputs = inputs(&["b"]);
        inputs.overrides = requirements(overrides);
        show(&resolve(universe(), inputs))
    };
    assert_eq!(with(&["a>=2"]), "a 2.0, b 1.0");
    // One whose marker fails removes the dependency.
    assert_eq!(with(&["a; sys_platform == 'win32'"]), "b 1.0");
    // What only an extra asks for stays with the extra.
    assert_eq!(with(&["c"]), "a 1.0, b 1.0");
}

#[test]
fn the_lowest_versions_can_be_asked_for() {
    let universe = || {
        let mut universe = versions("a", &["1.0", "2.0"]);
        universe.add("b", "1.0", &["a"]);
        universe.add("b", "2.0", &["a"]);
        universe
    };
    let with = |mode| {
        let mut inputs = inputs(&["b"]);
        inputs.options.resolution = mode;
        show(&resolve(universe(), inputs))
    };
    assert_eq!(with(ResolutionMode::Highest), "a 2.0, b 2.0");
    assert_eq!(with(ResolutionMode::Lowest), "a 1.0, b 1.0");
    assert_eq!(with(ResolutionMode::LowestDirect), "a 2.0, b 1.0");
}

#[test]
fn a_time_limit_excludes_what_is_newer_or_of_unknown_age() {
    let universe = || {
        let mut universe = versions("a", &["1.0"]);
        universe.add("a", "2.0", &[]).upload_time_ms = Some(100);
        universe.add("a", "3.0", &[]).upload_time_ms = None;
        universe
    };
    let with = |limit, of_a: Option<Option<i64>>| {
        let mut inputs = inputs(&["a"]);
        inputs.options.exclude_newer = limit;
        let of_a = of_a.map(|limit| (name("a"), limit));
        inputs.options.exclude_newer_package.extend(of_a);
        show(&resolve(universe(), inputs))
    };
    assert_eq!(with(None, None), "a 3.0");
    assert_eq!(with(Some(101), None), "a 2.0");
    assert_eq!(with(Some(100), None), "a 1.0", "at the limit is too late");
    assert_eq!(with(Some(1), Some(None)), "a 3.0", "exempt");
    assert_eq!(with(None, Some(Some(101))), "a 2.0");
}

#[test]
fn explicit_admits_pre_releases_only_where_the_user_names_one() {
    let with = |requirement| {
        let mut universe = versions("a", &["1.0", "2.0rc1"]);
        universe.add("b", "1.0", &["a>1"]);
        let mut inputs = inputs(&[requirement]);
        inputs.options.prereleases = PrereleaseMode::Explicit;
        show(&resolve(universe, inputs))
    };
    assert_eq!(with("a>=2.0rc1"), "a 2.0rc1");
    assert_eq!(with("a>=1.0rc1"), "a 1.0", "final releases come first");
    for refused in ["a>1", "a>1,!=2.0a1", "b"] {
        assert!(with(refused).contains("pre-release"), "{}", with(refused));
    }
}

#[test]
fn an_excluded_package_does_not_exist_for_anybody() {
    let mut universe = versions("a", &["1.0"]);
    universe.add("b", "1.0", &["a", "nowhere"]);
    let mut inputs = inputs(&["b", "nowhere>5"]);
    inputs.excludes.insert(name("nowhere"));
    assert_eq!(show(&resolve(universe, inputs)), "a 1.0, b 1.0");
}

#[test]
fn wheels_or_source_distributions_can_be_excluded() {
    let universe = || {
        let mut universe = versions("a", &["1.0"]);
        let release = universe.add("a", "2.0", &[]);
        (release.wheel_tags, release.sdist) = (Vec::new(), true);
        universe
    };
    let mut only_wheels = inputs(&["a"]);
    only_wheels.options.only_binary = NameFilter::All;
    assert_eq!(show(&resolve(universe(), only_wheels)), "a 1.0");
    let mut no_wheels = inputs(&["a"]);
    no_wheels.options.no_binary.insert(name("a"));
    assert_eq!(show(&resolve(universe(), no_wheels.clone())), "a 2.0");
    no_wheels.requirements = inputs(&["a<2"]).requirements;
    let text = show(&resolve(universe(), no_wheels));
    assert!(text.contains("a 1.0 is wheels only"), "{text}");
}

#[test]
fn dependencies_can_be_left_out() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &["b", "c; extra == 'x'"]).extras = vec!["x".to_owned()];
    let mut inputs = inputs(&["a[x]"]);
    inputs.options.no_deps = true;
    assert_eq!(show(&resolve(universe, inputs)), "a[x] 1.0");
}

fn with_direct(mut universe: Universe) -> Universe {
    let release = support::Release {
        requires: vec!["b".to_owned()],
        ..Default::default()
    };
    let url = "https://index.example/direct/a-1.5-py3-none-any.whl".to_owned();
    universe
        .direct
        .insert(url, (name("a"), version("1.5"), release));
    universe.add("b", "1.0", &[]);
    universe
}

const A_URL: &str = "a @ https://index.example/direct/a-1.5-py3-none-any.whl";

#[test]
fn a_url_stands_for_its_package() {
    let mut universe = with_direct(Universe::default());
    universe.add("c", "1.0", &["a>=1"]);
    let resolution = resolve(universe, inputs(&[A_URL, "c"])).expect("everything fits");
    assert_eq!(show(&Ok(resolution.clone())), "a 1.5, b 1.0, c 1.0");
    assert!(
        resolution
            .package(&name("a"))
            .expect("it is there")
            .direct
            .is_some()
    );
}

#[test]
fn a_url_is_bound_by_what_others_require() {
    let mut universe = with_direct(versions("a", &["2.0"]));
    universe.add("c", "1.0", &["a>=2"]);
    let text = answer(universe, &[A_URL, "c"]);
    assert!(text.contains("c 1.0 depends on `a>=2`"), "{text}");
}

#[test]
fn a_dependency_may_name_a_url() {
    let mut universe = with_direct(versions("a", &["2.0"]));
    universe.add("c", "1.0", &[A_URL]);
    assert_eq!(answer(universe, &["a", "c"]), "a 1.5, b 1.0, c 1.0");
}

#[test]
fn the_url_of_a_version_that_is_not_chosen_has_no_say() {
    let mut universe = with_direct(versions("a", &["1.0"]));
    universe.add("d", "1.0", &[]);
    universe.add("c", "2.0", &[A_URL, "d>=2"]);
    universe.add("c", "1.0", &["a"]);
    assert_eq!(answer(universe, &["c"]), "a 1.0, c 1.0");
}

#[test]
fn an_index_that_fails_is_an_error_and_no_conflict() {
    let mut universe = versions("a", &["1.0"]);
    let error = ProviderError::Unavailable {
        message: "timed out".to_owned(),
        hints: Vec::new(),
    };
    universe.failing.insert(name("a"), error);
    let outcome = resolve(universe, inputs(&["a"]));
    assert!(
        matches!(outcome, Err(ResolveError::Provider { .. })),
        "{outcome:?}"
    );
}

#[test]
fn what_the_search_does_not_need_may_fail() {
    let mut universe = versions("a", &["1.0"]);
    universe.add("a", "2.0", &["bad", "c"]);
    universe.add("c", "1.0", &["a<2"]);
    universe.add("b", "1.0", &["a<2"]);
    let error = ProviderError::Unavailable {
        message: "timed out".to_owned(),
        hints: Vec::new(),
    };
    universe.failing.insert(name("bad"), error);
    // The walk ahead of the search asks for `bad`; the search never looks at a 2.0.
    assert_eq!(answer(universe, &["a==1.0", "b"]), "a 1.0, b 1.0");
}

#[test]
fn of_two_packages_at_odds_the_one_that_gives_way_least_does() {
    // Every new `walker` pins an old `pinned`; going back through all of them ends at one without
    // the pin. The answer is one step back for `pinned`.
    let mut universe = versions("pinned", &["1.0", "2.0"]);
    universe.add("walker", "0.1", &[]);
    for minor in 0..200 {
        universe.add("walker", &format!("1.{minor}"), &["pinned<2"]);
    }
    let universe = std::sync::Arc::new(universe);
    let resolution =
        resolve_shared(&universe, inputs(&["pinned", "walker"])).expect("there is an answer");
    assert_eq!(show(&Ok(resolution.clone())), "pinned 1.0, walker 1.199");
    assert_eq!(resolution.statistics.restarts, 1);
    assert!(
        resolution.statistics.metadata_fetched < 20,
        "{:?}",
        resolution.statistics
    );
}

#[test]
fn a_long_walk_ends_where_it_has_to() {
    let mut universe = versions("pinned", &["1.0"]);
    for minor in 0..1500 {
        let requires = if minor == 7 { "pinned" } else { "pinned>=2" };
        universe.add("walker", &format!("1.{minor}"), &[requires]);
    }
    assert_eq!(
        answer(universe, &["pinned", "walker"]),
        "pinned 1.0, walker 1.7"
    );
}

#[test]
fn asking_ahead_costs_at_most_a_third_of_a_walk() {
    for depth in [4, 5, 6, 24, 41, 100, 170] {
        let mut universe = versions("pinned", &["1.0"]);
        for minor in 0..200 {
            let requires = if minor == 200 - depth {
                "pinned"
            } else {
                "pinned>=2"
            };
            universe.add("walker", &format!("1.{minor}"), &[requires]);
        }
        let universe = std::sync::Arc::new(universe);
        let resolution =
            resolve_shared(&universe, inputs(&["pinned", "walker"])).expect("there is an answer");
        // The versions of the walk and the one of `pinned`; five are asked for ahead at least.
        let most = 1 + depth + (depth / 3).max(5);
        let asked = resolution.statistics.metadata_fetched;
        assert!(asked <= most, "{depth} deep: {asked} of {most}");
    }
}

#[test]
fn what_the_user_should_know_of_an_answer_is_said_once() {
    use std::sync::{Arc, Mutex};
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl blast_types::Reporter for Heard {
        fn report(&self, event: blast_types::Event) {
            if let blast_types::Event::Warning { message } = event {
                self.0.lock().expect("nobody panicked").push(message);
            }
        }
    }
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).yanked = Yanked::Yes(Some("wrong file".into()));
    universe.statuses.insert(name("a"), "archived".to_owned());
    let heard = Arc::new(Heard::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    let provider = Arc::new(support::Memory(Arc::new(universe)));
    let search = blast_resolver::resolve(inputs(&["a[x]==1.0"]), provider, heard.clone());
    runtime.block_on(search).expect("the pin admits it");
    let expected = [
        "a 1.0 was withdrawn by its authors: wrong file",
        "a is marked as archived on its index: no new versions are to be expected",
        "a 1.0 has no extra `x`",
    ];
    assert_eq!(*heard.0.lock().expect("nobody panicked"), expected);
}

#[test]
fn dropping_the_future_ends_the_search() {
    use std::sync::Arc;
    /// Never answers; says so when it is dropped.
    #[derive(Debug)]
    struct Silent(Arc<()>);
    impl blast_resolver::Provider for Silent {
        fn project(
            &self,
            _: &blast_types::PackageName,
        ) -> futures::future::BoxFuture<
            'static,
            Result<Arc<blast_types::ProjectFiles>, ProviderError>,
        > {
            let witness = self.0.clone();
            Box::pin(async move {
                let never = std::future::pending().await;
                drop(witness);
                never
            })
        }
        fn metadata(
            &self,
            _: Arc<blast_types::DistFile>,
        ) -> futures::future::BoxFuture<
            'static,
            Result<Arc<blast_types::CoreMetadata>, ProviderError>,
        > {
            Box::pin(std::future::pending())
        }
        fn direct(
            &self,
            _: &blast_types::PackageName,
            _: &blast_types::VerbatimUrl,
        ) -> futures::future::BoxFuture<'static, Result<blast_resolver::DirectDist, ProviderError>>
        {
            Box::pin(std::future::pending())
        }
    }
    let witness = Arc::new(());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    runtime.block_on(async {
        let provider = Arc::new(Silent(witness.clone()));
        let search =
            blast_resolver::resolve(inputs(&["a"]), provider, Arc::new(blast_types::Silent));
        let limit = std::time::Duration::from_millis(50);
        assert!(
            tokio::time::timeout(limit, search).await.is_err(),
            "nothing can be answered"
        );
        // The thread lets go of the provider, the tasks of their requests.
        for _ in 0..200 {
            if Arc::strong_count(&witness) == 1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!(
            "something still waits: {} owners",
            Arc::strong_count(&witness)
        );
    });
}
