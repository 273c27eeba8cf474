use super::*;

const TEXT: &str = r#"
    [project]
    name = "My.App"
    requires-python = ">=3.10"
    dependencies = ["flask>=3", "tomli; python_version < '3.11'"]

    [project.optional-dependencies]
    postgres = ["psycopg"]
    all = ["my-app[postgres]", "redis"]

    [dependency-groups]
    Dev = ["pytest", {include-group = "lint"}]
    lint = ["ruff"]
    one = [{include-group = "two"}]
    two = [{include-group = "one"}]

    [tool.blast]
    index-url = "http://127.0.0.1/simple/"
"#;

fn project() -> Project {
    Project::parse(Path::new("/src/app"), TEXT).expect("valid")
}

fn texts(parts: &Parts) -> Vec<String> {
    let lines = project().requirements(parts).expect("valid");
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn dependencies_and_the_dev_group_are_what_a_project_needs() {
    assert_eq!(
        texts(&Parts::default()),
        [
            "flask>=3",
            "tomli; python_version < '3.11'",
            "pytest",
            "ruff"
        ]
    );
}

#[test]
fn an_extra_may_stand_for_others() {
    let parts = Parts {
        extras: vec!["ALL".into()],
        default_groups: false,
        ..Parts::default()
    };
    assert_eq!(texts(&parts)[2..], ["psycopg", "redis"]);
}

#[test]
fn groups_add_to_the_default_ones_or_stand_alone() {
    let parts = |groups: &[&str], default_groups, only_groups| Parts {
        groups: groups.iter().map(ToString::to_string).collect(),
        default_groups,
        only_groups,
        ..Parts::default()
    };
    assert_eq!(
        texts(&parts(&["Lint"], true, false))[2..],
        ["pytest", "ruff", "ruff"]
    );
    assert_eq!(texts(&parts(&["lint"], false, false))[2..], ["ruff"]);
    assert_eq!(texts(&parts(&["lint"], false, true)), ["ruff"]);
    let text = format!("{TEXT}default-groups = ['lint']\n");
    let named = Project::parse(Path::new("/x"), &text).expect("valid");
    let lines = named.requirements(&parts(&[], true, true)).expect("valid");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].text, "ruff");
}

#[test]
fn groups_in_a_circle_are_refused_by_name() {
    let parts = Parts {
        groups: vec!["one".into()],
        ..Parts::default()
    };
    let error = project().requirements(&parts).expect_err("a circle");
    assert!(error.message.ends_with("one -> two -> one"), "{error}");
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    for (extras, groups, word) in [
        (vec!["no".to_owned()], vec![], "extra `no`"),
        (vec![], vec!["no".to_owned()], "group `no`"),
    ] {
        let error = project()
            .requirements(&Parts {
                extras,
                groups,
                ..Parts::default()
            })
            .expect_err("missing");
        assert!(error.message.contains(word), "{error}");
    }
}

#[test]
fn a_project_that_does_not_say_what_it_needs_is_known() {
    let of = |text| Project::parse(Path::new("/x"), text).expect("valid");
    assert!(of("").unknown_dependencies().is_some());
    assert!(
        of("[project]\nname='a'\ndynamic=['dependencies']")
            .unknown_dependencies()
            .is_some()
    );
    assert!(of("[project]\nname='a'").unknown_dependencies().is_none());
    let settings: BTreeMap<String, String> = project().settings_as().expect("texts");
    assert!(settings.contains_key("index-url"));
}

#[test]
fn nonsense_is_a_usage_error_that_names_the_file() {
    let error = Project::parse(Path::new("/x"), "project = 3").expect_err("no table");
    assert!(error.message.contains("/x/pyproject.toml"), "{error}");
    let bad = Project::parse(Path::new("/x"), "[project]\ndependencies = ['a b c']").expect("TOML");
    assert!(bad.requirements(&Parts::default()).is_err());
}

#[test]
fn a_group_is_looked_into_only_where_it_is_asked_for() {
    let text = "[project]\nname = 'a'\nversion = '1'\n[dependency-groups]\ngood = ['six']\n\
                later = [{path = '../x'}]\nodd = [{include-group = 'good', more = 1}]\n\
                none = 'six'\nTwice = ['six']\ntwice = ['six']\n";
    let project = Project::parse(Path::new("/src/app"), text).expect("a project");
    let of = |group: &str| {
        project.requirements(&Parts {
            groups: vec![group.to_owned()],
            ..Parts::default()
        })
    };
    assert_eq!(of("GOOD").expect("fine").len(), 1);
    for group in ["later", "odd", "none"] {
        let error = of(group).expect_err("no list of such").to_string();
        assert!(error.contains(&format!("`{group}`")), "{error}");
    }
    let error = of("twice").expect_err("PEP 735").to_string();
    assert!(error.contains("`Twice`"), "{error}");
    assert!(project.everything().is_err(), "a lock is for all of them");
}
