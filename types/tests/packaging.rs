//! Points on which readers of versions, markers and requirements tend to differ, with the answers
//! of `packaging`.

use blast_types::{ExtraName, GroupName, MarkerVariables, Requirement, pep508, versions};

fn variables() -> MarkerVariables {
    let text = str::to_owned;
    MarkerVariables {
        implementation_name: text("cpython"),
        implementation_version: text("3.12.1"),
        os_name: text("posix"),
        platform_machine: text("x86_64"),
        platform_python_implementation: text("CPython"),
        platform_release: text("6.1.0"),
        platform_system: text("Linux"),
        platform_version: text("#1 SMP"),
        python_full_version: text("3.12.1"),
        python_version: text("3.12"),
        sys_platform: text("linux"),
    }
}

fn holds(marker: &str) -> bool {
    let tree = pep508::marker(marker).unwrap_or_else(|error| panic!("{marker}: {error}"));
    let environment = variables().environment().expect("valid");
    tree.evaluate(&environment, &[])
}

#[test]
fn comparisons_mean_what_the_specification_says() {
    for marker in [
        "python_version >= '3.8'",
        "'3.8' <= python_version",
        "python_version == '3.12.*'",
        "python_version != 'dog'",
        "python_version === '3.12'",
        "python_version in '3.11 3.12'",
        "python_version not in '3.8,3.9'",
        "'3.1' in python_version",
        "python_full_version ~= '3.12.0'",
        "python_full_version in 'before 3.12.1 after'",
        "'' in implementation_version and '' in python_version",
        "implementation_version != '3.12.1+local'",
        "os_name >= 'posix'",
        "os.name == 'posix'",
        "'nux' in sys_platform",
        "sys_platform in 'linux2 linux'",
        "platform_release >= '6'",
        "platform_release == '6.*'",
        "platform_release ~= '6.0'",
        "platform_release != '6.1.0-generic'",
        "platform_release != '5.*'",
        "extra != 'x'",
        "'a' not in extras",
        "platform_version != \"it's\"",
        "os_name=='posix'and(sys_platform=='x'or'x86_64'==platform_machine)",
        "python_version < '1!1.0' and python_version != '1!3.12'",
        "'1!1.0' > python_full_version and '1!0' != implementation_version",
        "'8.10+local' > python_version and '3.12+local' == python_version",
        "'3.12.1+local' <= python_full_version",
        "'3.12.0rc1' <= python_version and '3.13rc1' > python_version",
    ] {
        assert!(holds(marker), "{marker}");
    }
}

#[test]
fn what_means_nothing_is_false() {
    for marker in [
        "os_name > 'a'",
        "os_name ~= 'posix'",
        "'1.0' ~= sys_platform",
        "os_name === 'posix'",
        "platform_version >= '#0'",
        "python_version >= 'dog'",
        "python_version ~= '3'",
        "python_version >= '1!1.0'",
        "python_full_version ~= '1!3.12.0'",
        "'1!3.12' == python_version",
        "'1!3.12' <= python_version",
        "'3.12+local' > python_version",
        "'3.12.0rc1' < python_version",
        "'3.12.post1' > python_version",
        "python_version >= '3.8.*'",
        "'dog' != python_version",
        "'3.*' == python_version",
        "python_version == '3.12+local'",
        "python_version === '3.12.0'",
        "python_version in 'dog'",
        "'rc' in python_full_version",
        "extra == 'not a name!'",
        "extra > 'a'",
        "extras == 'a'",
        "'not a name!' in extras",
        "'a' == 'a'",
        "os_name == sys_platform",
        "os_name == 'po\\\"six'",
        "platform_version == \"it's\"",
    ] {
        assert!(!holds(marker), "{marker}");
    }
}

#[test]
fn extras_and_groups_are_compared_by_their_normal_form() {
    let environment = variables().environment().expect("valid");
    let extras = ["a-b".parse::<ExtraName>().expect("a name")];
    let groups = ["dev".parse::<GroupName>().expect("a name")];
    for marker in [
        "'A_B' in extras",
        "'a.b' in extras and 'Dev' in dependency_groups",
    ] {
        let tree = pep508::marker(marker).expect("valid");
        assert!(
            tree.evaluate_pep751(&environment, &extras, &groups),
            "{marker}"
        );
        assert!(!tree.evaluate_pep751(&environment, &extras, &[]) || !marker.contains("Dev"));
    }
    let tree = pep508::marker("extra == 'A.B'").expect("valid");
    assert!(tree.evaluate(&environment, &extras));
}

/// Found by fuzzing: an order and an equality of releases make bounds, which must be read again.
#[test]
fn releases_of_kernels_mean_the_same_when_read_again() {
    let releases = ["6.1.0", "5.10.0-generic", "6", "6.x", "zebra", "7.0", ""];
    for marker in [
        "platform_release > '5' and platform_release != '6.1.0-generic'",
        "platform_release < '6' or platform_release == 'zebra'",
        "platform_release != 'zebra' and platform_release != '6.1.0'",
        "platform_release == '6.*' and platform_release != 'zebra'",
        "platform_release != '6.*'",
        "platform_release != '1+local' and platform_release <= '7'",
        "platform_release ~= '6.0' or platform_release === '5.10.0-generic'",
        "platform_release >= '6.x' or 'zebra' == platform_release",
        "platform_release == '' or platform_release > '6'",
        "platform_release == ' zebra' or platform_release != '6 '",
    ] {
        let tree = pep508::marker(marker).unwrap_or_else(|error| panic!("{marker}: {error}"));
        let shown = tree.try_to_string().expect("neither always nor never");
        let again = pep508::marker(&shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
        for release in releases {
            let variables = MarkerVariables {
                platform_release: release.to_owned(),
                ..variables()
            };
            let environment = variables.environment().expect("valid");
            assert_eq!(
                again.evaluate(&environment, &[]),
                tree.evaluate(&environment, &[]),
                "{marker} was written as {shown}, for {release}"
            );
        }
    }
}

#[test]
fn what_is_no_marker_is_refused() {
    let deep = format!("{}os_name == 'a'{}", "(".repeat(50), ")".repeat(50));
    // Small, but of a normal form that is not: found by fuzzing.
    let wide: Vec<_> = ('a'..='l')
        .map(|c| format!("('{c}' in os_name or '{c}' in sys_platform)"))
        .collect();
    let wide = wide.join(" and ");
    // Of as many nodes as there are sets of its comparisons.
    let high: Vec<_> = (0..60)
        .map(|n| format!("('{n}' in os_name or '{n}' in sys_platform)"))
        .collect();
    let high = high.join(" and ");
    let long = vec!["os_name == 'a'"; 1000].join(" or ");
    for marker in [
        "",
        "os_name",
        "os_name ==",
        "os_name == 'a",
        "os_name == 'a' and",
        "os_name == 'a' or or os_name == 'b'",
        "(os_name == 'a'",
        "os_name == 'a')",
        "os_name notin 'a'",
        "os_name not'a'",
        "platform.release == '1'",
        "python_version >= \"3\"\n",
        "os_name == 'a\nb'",
        "'é' é 'é'",
        &deep,
        &long,
        &wide,
        &high,
    ] {
        assert!(pep508::marker(marker).is_err(), "{marker:?}");
    }
}

/// Found by fuzzing: the library panics when it shows such a version.
#[test]
fn odd_versions_within_a_text_can_be_shown() {
    for marker in [
        "implementation_version in '0 999999+8991 3'",
        "python_full_version not in '3.9.1rc1 3.8.post2'",
        "implementation_version === '3.12.1+l'",
    ] {
        let tree = pep508::marker(marker).expect("valid");
        let shown = tree.try_to_string().unwrap_or_default();
        assert!(!shown.contains('+'), "{shown}");
    }
}

/// Found by fuzzing: a lock with such a marker was another one when written and read again.
#[test]
fn what_is_never_true_is_known_again() {
    for marker in [
        "python_version < '0'",
        "python_full_version < '0.0'",
        "os_name > 'a'",
    ] {
        let tree = pep508::marker(marker).expect("valid");
        assert!(tree.is_false(), "{marker}");
        let shown = tree.try_to_string().expect("not trivial");
        assert_eq!(pep508::marker(&shown), Ok(tree), "{shown}");
    }
}

/// Found by fuzzing: what stands for the text behind `===` must survive being written.
#[test]
fn an_arbitrary_text_is_read_back_the_same() {
    let first = requirement("a===foo!");
    assert_eq!(requirement(&first.to_string()), first);
}

/// Markers are kept as text; the library's text must never be another marker.
#[test]
fn a_quote_in_a_text_does_not_end_it() {
    let hostile = r#"os_name == "x' or os_name == 'posix" and extra == 'a'"#;
    assert!(!holds(hostile));
    let tree = pep508::marker(r#"sys_platform in "it's' or 'a' == 'a" and os_name == 'nt'"#);
    let shown = tree.expect("valid").try_to_string().expect("not trivial");
    assert!(!holds(&shown), "{shown}");
}

#[test]
fn a_pre_release_of_python_counts_as_its_release() {
    for full in ["3.13.0rc1", "3.13.0a8+"] {
        let mut variables = variables();
        variables.python_full_version = full.to_owned();
        variables.implementation_version = full.to_owned();
        variables.python_version = "3.13".to_owned();
        let environment = variables.environment().expect("valid");
        let tree = pep508::marker("python_version >= '3.13'").expect("valid");
        assert!(tree.evaluate(&environment, &[]), "{full}");
    }
}

#[test]
fn a_release_lies_beside_its_pre_releases() {
    // The Python is 3.12.1.
    for text in [
        "python_full_version > '3.12.1a6'",
        "python_full_version >= '3.12.1.dev0'",
        "python_full_version < '3.12.2rc1'",
        "python_full_version <= '3.12.2rc1'",
        "python_full_version != '3.12.1rc1'",
        "python_full_version ~= '3.12.0a1'",
        "'3.12.0rc1' < implementation_version",
        "python_version > '3.12.dev0'",
        "python_version < '3.13a1'",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        "python_full_version <= '3.12.1a6'",
        "python_full_version < '3.12.1a6'",
        "python_full_version == '3.12.1rc1'",
        "python_full_version ~= '3.12.2a1'",
        "'3.12.1rc1' == python_full_version",
        "python_version <= '3.12rc1'",
        "python_version == '3.12a1'",
        "python_version > '3.13a1'",
        // As a specifier, `<3.12.1` takes no pre-release of its own version.
        "'3.12.1rc1' < implementation_version",
    ] {
        assert!(!holds(text), "{text}");
    }
}

fn requirement(text: &str) -> Requirement {
    pep508::requirement(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn requirements_in_all_their_spellings() {
    for (text, shown) in [
        (" A.b_C ", "a-b-c"),
        ("a[]", "a"),
        ("a [ B , c_d ] (>1, <2)", "a[b,c-d]>1,<2"),
        ("a()", "a"),
        ("a(>=1.0,)", "a>=1.0"),
        ("a>=1.0 , != 1.5.*", "a>=1.0,!=1.5.*"),
        ("a @ https://h/x;y", "a @ https://h/x;y"),
        (
            "a@git+ssh://git@h:o/p.git ;os_name=='b'",
            "a @ git+ssh://git@h/o/p.git ; os_name == 'b'",
        ),
    ] {
        assert_eq!(requirement(text).to_string(), shown, "{text}");
    }
}

#[test]
fn what_is_no_requirement_is_refused() {
    for text in [
        "",
        " ",
        "-a",
        "_a",
        "é",
        "a b",
        "a[",
        "a[b",
        "a[b c]",
        "a[b,]",
        "a[,b]",
        "a[b]]",
        "a(",
        "a)",
        "a(>=1",
        "a>=",
        "a>=x",
        "a~=1",
        "a>=1.*",
        "a>=1+l",
        "a==1.0a1.*",
        "a>=1 <2",
        "a >=1;",
        "a;",
        "a @",
        "a @ ",
        "a @ b",
        "a @ https://h/x y",
        "a @ https://",
        "a; os_name",
        "a\n",
        "a ~= 18446744073709551615",
    ] {
        assert!(pep508::requirement(text).is_err(), "{text:?}");
    }
}

/// Metadata from an index must not see the user's variables.
#[test]
fn no_variable_gets_into_a_url() {
    let home = requirement("a @ https://h/${HOME}/$HOME/x").to_string();
    assert!(home.contains("HOME"), "{home}");
}

#[test]
fn sets_of_specifiers() {
    for (text, shown) in [
        ("", ""),
        (",", ""),
        (" >= 1 ,, <2,", ">=1, <2"),
        ("==v1.0.RC1", "==1.0rc1"),
        ("===foo", "===foo"),
        ("=== v1.0", "===v1.0"),
        ("===", "==="),
    ] {
        let specifiers = versions::specifiers(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(versions::specifiers_text(&specifiers), shown);
    }
    for text in [
        ">", "1.0", "=1", "=>1", "~=1", "== 1 2", "===a b", "===a;", "==1.*.1", "<1+l", ">=1.*",
    ] {
        assert!(versions::specifiers(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_without_a_successor_are_refused() {
    for text in [
        "18446744073709551615",
        "1.18446744073709551614",
        "18446744073709551614!1",
        "1rc18446744073709551614",
    ] {
        assert!(versions::version(text).is_err(), "{text}");
    }
    // In a specifier they are the end of all versions.
    for (text, one, huge) in [
        ("<99999999999999999999", true, true),
        ("<=18446744073709551615.0", true, true),
        ("!=1.18446744073709551614", true, true),
        (">=99999999999999999999", false, false),
        ("==99999999999999999999.*", false, false),
        ("~=99999999999999999999.1", false, false),
        ("<99999999999999999999!1", true, true),
    ] {
        let specifiers = versions::specifiers(text).expect(text);
        let admits = |version: &str| specifiers.contains(&versions::version(version).expect("one"));
        assert_eq!(
            (admits("1.0"), admits("99999999999999999.0")),
            (one, huge),
            "{text}"
        );
        let again = versions::specifiers(&versions::specifiers_text(&specifiers)).expect("again");
        assert_eq!(again, specifiers, "{text}");
    }
    assert!(versions::version("20240101123456789").is_ok());
    assert!(versions::version(" v1.0-Alpha_1\n").is_ok());
}
