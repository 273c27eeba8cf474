//! What people read when there is no answer.

mod support;

use blast_resolver::{Inputs, Options, PrereleaseMode, ProviderError, ResolveError};
use blast_types::{Hint as _, Yanked};
use insta::assert_snapshot;
use support::{Universe, inputs, name, resolve, target};

/// The text and the hints of a failure.
fn failure(universe: Universe, inputs: Inputs) -> String {
    let error = resolve(universe, inputs).expect_err("there is no answer");
    let hints: Vec<String> = error
        .hints()
        .iter()
        .map(|hint| format!("\nhint: {hint}"))
        .collect();
    format!("{error}{}", hints.concat())
}

#[test]
fn a_conflict_between_a_requirement_and_a_dependency() {
    let mut universe = Universe::default();
    universe.add("flask", "0.12", &[]);
    universe.add("flask", "2.0", &[]);
    for release in ["0.5", "0.6", "0.6.3"] {
        universe.add("flask-login", release, &["Flask>=1.0.4"]);
    }
    assert_snapshot!(failure(universe, inputs(&["flask<1", "flask-login"])), @r"
    no set of versions meets the requirements:
      because you require `flask<1` and `flask-login`,
      and every version of flask-login depends on `flask>=1.0.4`
    hint: lift the upper bound of your `flask<1`: every version of flask-login asks for `flask>=1.0.4`
    ");
}

#[test]
fn versions_that_say_different_things_are_told_apart() {
    let mut universe = Universe::default();
    universe.add("b", "1.0", &[]);
    universe.add("a", "1.0", &["b>1"]);
    universe.add("a", "2.0", &["b>2"]);
    universe.add("a", "3.0", &["b>2"]);
    universe.add("a", "4.0", &["b<1"]);
    assert_snapshot!(failure(universe, inputs(&["a", "b"])), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 4.0 depends on `b<1`,
      and a 2.0 and 3.0 depend on `b>2`,
      and a 1.0 depends on `b>1`,
      and no version of b matches `b<1` (there is 1.0),
      and no version of b matches `b>1` (there is 1.0),
      and no version of b matches `b>2` (there is 1.0)
    ");
}

#[test]
fn many_versions_are_summed_up() {
    let mut universe = Universe::default();
    for release in 1..=3 {
        universe.add("core", &format!("{release}.0"), &[]);
    }
    for minor in 0..40 {
        universe.add("tool", &format!("1.{minor}"), &[&format!("core>3.{minor}")]);
    }
    assert_snapshot!(failure(universe, inputs(&["core", "tool"])), @r"
    no set of versions meets the requirements:
      because you require `tool`,
      and every version of tool depends on ranges from `core>3.0` to `core>3.39`,
      and no version of core is in any of those (there are 3, from 1.0 to 3.0)
    ");
}

#[test]
fn a_package_that_does_not_exist() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &["reqeusts"]);
    assert_snapshot!(failure(universe, inputs(&["a"])), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 1.0 depends on `reqeusts`,
      and reqeusts is not on the index
    hint: check the spelling of `reqeusts`, and whether the index in use has it
    ");
}

#[test]
fn a_package_that_its_index_holds_back() {
    let mut universe = Universe::default();
    universe.add("b", "1.0", &["a"]);
    // Its page is there, and empty.
    universe.add("a", "1.0", &[]);
    universe
        .projects
        .get_mut(&name("a"))
        .expect("there")
        .clear();
    universe
        .statuses
        .insert(name("a"), "quarantined".to_owned());
    assert_snapshot!(failure(universe, inputs(&["b"])), @r"
    no set of versions meets the requirements:
      because you require `b`,
      and b 1.0 depends on `a`,
      and a is quarantined by its index, which thinks it unsafe
    ");
}

#[test]
fn a_package_that_is_not_in_the_cache() {
    let mut universe = Universe::default();
    universe.failing.insert(name("a"), ProviderError::NotCached);
    assert_snapshot!(failure(universe, inputs(&["a"])), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a is not in the cache, and the network is not used (offline)
    hint: try again without --offline
    ");
}

#[test]
fn a_version_whose_metadata_are_not_in_the_cache() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).broken = Some(ProviderError::NotCached);
    assert_snapshot!(failure(universe, inputs(&["a"])), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 1.0 is not in the cache, and the network is not used (offline)
    hint: try again without --offline
    ");
}

#[test]
fn a_version_that_does_not_exist() {
    let mut universe = Universe::default();
    for release in ["1.0", "1.1", "2.0"] {
        universe.add("a", release, &[]);
    }
    assert_snapshot!(failure(universe, inputs(&["a>=3; sys_platform == 'linux'"])), @r"
    no set of versions meets the requirements:
      because you require `a>=3`,
      and no version of a matches `a>=3` (there are 3, from 1.0 to 2.0)
    ");
}

#[test]
fn another_python_would_do() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).requires_python = Some(">=3.9".to_owned());
    universe.add("a", "2.0", &[]).requires_python = Some(">=3.10".to_owned());
    universe.add("a", "3.0", &[]).requires_python = Some(">=3.12".to_owned());
    let inputs = Inputs {
        target: target("3.9.18"),
        ..inputs(&["a>=2"])
    };
    assert_snapshot!(failure(universe, inputs), @r"
    no set of versions meets the requirements:
      because you require `a>=2`,
      and a 3.0 is for Python >=3.12 only (this is 3.9.18),
      and a 2.0 is for Python >=3.10 only (this is 3.9.18)
    hint: a 2.0 would be usable with another Python: try --python 3.10
    ");
}

#[test]
fn no_file_fits() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).wheel_tags = vec!["cp39-cp39-win_amd64".to_owned()];
    let release = universe.add("a", "2.0", &[]);
    (release.wheel_tags, release.sdist) = (Vec::new(), true);
    let mut inputs = inputs(&["a"]);
    inputs.options.only_binary = blast_resolver::NameFilter::All;
    assert_snapshot!(failure(universe, inputs), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 2.0 is source only, which the options exclude,
      and a 1.0 is without a wheel for this platform (there is cp39-cp39-win_amd64)
    hint: drop `--only-binary` for `a`
    hint: `a` has neither a wheel for Python 3.12 on this platform nor a source distribution: another Python version may have one
    ");
}

#[test]
fn pre_releases_that_are_disallowed() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]);
    universe.add("a", "2.0rc1", &[]);
    let options = Options {
        prereleases: PrereleaseMode::Disallow,
        ..Options::default()
    };
    let inputs = Inputs {
        options,
        ..inputs(&["a>1"])
    };
    assert_snapshot!(failure(universe, inputs), @r"
    no set of versions meets the requirements:
      because you require `a>1`,
      and a 2.0rc1 is a pre-release, which the options exclude
    hint: `--prerelease if-necessary` would admit a 2.0rc1
    ");
}

#[test]
fn a_time_limit_that_excludes_everything() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).upload_time_ms = Some(10);
    let options = Options {
        exclude_newer: Some(5),
        ..Options::default()
    };
    assert_snapshot!(failure(universe, Inputs { options, ..inputs(&["a"]) }), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 1.0 is newer than the time limit (exclude-newer)
    hint: `--exclude-newer-package a=1970-01-02` would admit a 1.0
    ");
}

#[test]
fn a_withdrawn_version() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]).yanked = Yanked::Yes(Some("wrong\u{1b}[31m file".into()));
    assert_snapshot!(failure(universe, inputs(&["a"])), @r"
    no set of versions meets the requirements:
      because you require `a`,
      and a 1.0 is withdrawn by its authors (yanked: wrong\u{1b}[31m file)
    hint: a withdrawn version is used where `a==VERSION` pins it
    ");
}

#[test]
fn extras_in_conflict() {
    let mut universe = Universe::default();
    let release = universe.add("a", "1.0", &["b==1; extra == 'x'", "b==2; extra == 'y'"]);
    release.extras = vec!["x".to_owned(), "y".to_owned()];
    universe.add("b", "1", &[]);
    universe.add("b", "2", &[]);
    assert_snapshot!(failure(universe, inputs(&["a[x,y]"])), @r"
    no set of versions meets the requirements:
      because you require `a[x,y]`,
      and a[x] 1.0 depends on `b==1`,
      and a[y] 1.0 depends on `b==2`
    hint: a[x] 1.0 keeps `b` to `==1`, while a[y] 1.0 asks for `b==2`: ask for other versions of one of them, or lift the bound by `--override FILE` with `b==2` in it, at your own risk
    ");
}

#[test]
fn credentials_in_a_url_are_not_shown() {
    let mut universe = Universe::default();
    let url = "https://user:s3cret@index.example/direct/a-1.5-py3-none-any.whl";
    let release = support::Release::default();
    universe.direct.insert(
        url.to_owned(),
        (name("a"), support::version("1.5"), release),
    );
    let text = failure(universe, inputs(&[&format!("a @ {url}"), "a>2"]));
    assert!(
        text.contains("index.example") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn the_facts_are_there_for_programs() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &["b>1"]);
    universe.add("b", "1.0", &[]);
    let error = resolve(universe, inputs(&["a"])).expect_err("there is no answer");
    let ResolveError::NoSolution(explanation) = error else {
        panic!("{error}")
    };
    let json = serde_json::to_string_pretty(&*explanation).expect("plain data");
    assert_snapshot!(json, @r#"
    {
      "steps": [
        {
          "kind": "asked",
          "requirements": [
            "a"
          ],
          "text": "you require `a`"
        },
        {
          "kind": "depends",
          "package": "a",
          "versions": {
            "words": "a 1.0",
            "count": 1,
            "range": "==1.0"
          },
          "requirements": [
            "b>1"
          ],
          "text": "a 1.0 depends on `b>1`"
        },
        {
          "kind": "none-in-range",
          "package": "b",
          "requirement": "b>1",
          "existing": "there is 1.0",
          "text": "no version of b matches `b>1` (there is 1.0)"
        }
      ],
      "remedies": []
    }
    "#);
}

#[test]
fn a_way_out_that_leads_nowhere_is_not_shown() {
    let mut universe = Universe::default();
    universe.add("b", "1.0", &[]);
    universe.add("b", "2.0", &["c>=5"]);
    universe.add("a", "1.0", &["b>=2"]);
    universe.add("c", "1.0", &[]);
    // Without the bound there would still be no `c`.
    assert_snapshot!(failure(universe, inputs(&["a", "b<2"])), @r"
    no set of versions meets the requirements:
      because you require `a` and `b<2`,
      and a 1.0 depends on `b>=2`
    ");
}

#[test]
fn a_conflict_of_two_parts_takes_both_ways_out() {
    let mut universe = Universe::default();
    for package in ["b", "c"] {
        universe.add(package, "1.0", &[]);
        universe.add(package, "2.0", &[]);
    }
    universe.add("a", "2.0", &["b>=2"]);
    universe.add("a", "1.0", &["c>=2"]);
    universe.add("d", "1.0", &["b>=2", "c>=2"]);
    assert_snapshot!(failure(universe, inputs(&["a", "b<2", "c<2", "d"])), @r"
    no set of versions meets the requirements:
      because you require `c<2` and `d`,
      and d 1.0 depends on `c>=2`
    hint: lift the upper bound of your `c<2`: d 1.0 asks for `c>=2`; that alone is not enough, so also do the next
    hint: lift the upper bound of your `b<2`: d 1.0 asks for `b>=2`
    ");
}
