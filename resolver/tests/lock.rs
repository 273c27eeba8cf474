//! Locks: what is written, what is refused, what is selected.

mod support;

use blast_resolver::lock::{Artifact, Lock, LockError, LockReadError, SelectError};
use blast_types::{ExtraName, GroupName, Sha256};
use insta::assert_snapshot;
use support::{Universe, inputs, name, resolve, target};

/// Two packages, one with files for two platforms.
fn resolution() -> blast_resolver::Resolution {
    let mut universe = Universe {
        hashes: true,
        ..Universe::default()
    };
    let release = universe.add("a", "1.0", &["b-c"]);
    release.sdist = true;
    release.upload_time_ms = Some(1_704_164_645_123);
    release.wheel_tags = vec![
        "cp312-cp312-win_amd64".to_owned(),
        "py3-none-any".to_owned(),
    ];
    universe.add("b_c", "2.0", &[]).upload_time_ms = None;
    resolve(universe, inputs(&["a"])).expect("everything fits")
}

#[test]
fn a_lock_reads_back_as_it_was_written() {
    let lock = Lock::new(&resolution(), Some(">=3.12".parse().expect("well formed")))
        .expect("every file has a hash");
    let text = lock.to_string();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{64}", "[digest]");
    settings.bind(|| {
        assert_snapshot!(text, @r#"
    lock-version = "1.0"
    requires-python = ">=3.12"
    created-by = "blast"

    [[packages]]
    name = "a"
    version = "1.0"
    dependencies = [
        { name = "b-c" },
    ]
    index = "https://index.example/simple/"
    sdist = { name = "a-1.0.tar.gz", upload-time = 2024-01-02T03:04:05.123Z, url = "https://index.example/files/a-1.0.tar.gz", size = 1, hashes = { sha256 = "[digest]" } }
    wheels = [
        { name = "a-1.0-cp312-cp312-win_amd64.whl", upload-time = 2024-01-02T03:04:05.123Z, url = "https://index.example/files/a-1.0-cp312-cp312-win_amd64.whl", size = 1, hashes = { sha256 = "[digest]" } },
        { name = "a-1.0-py3-none-any.whl", upload-time = 2024-01-02T03:04:05.123Z, url = "https://index.example/files/a-1.0-py3-none-any.whl", size = 1, hashes = { sha256 = "[digest]" } },
    ]

    [[packages]]
    name = "b-c"
    version = "2.0"
    index = "https://index.example/simple/"
    wheels = [
        { name = "b_c-2.0-py3-none-any.whl", url = "https://index.example/files/b_c-2.0-py3-none-any.whl", size = 1, hashes = { sha256 = "[digest]" } },
    ]
    "#);
    });
    assert_eq!(Lock::parse(&text).expect("what is written is valid"), lock);
}

#[test]
fn without_hash_there_is_no_lock() {
    let mut universe = Universe::default();
    universe.add("a", "1.0", &[]);
    let resolution = resolve(universe, inputs(&["a"])).expect("a fits");
    let error = Lock::new(&resolution, None).expect_err("the index states no hash");
    assert_eq!(
        error,
        LockError::NoHash {
            file: "a-1.0-py3-none-any.whl".to_owned()
        }
    );
}

#[test]
fn credentials_stay_out_of_a_lock() {
    let mut resolution = resolution();
    for package in &mut resolution.packages {
        for file in &mut package.all_files {
            let mut copy = (**file).clone();
            copy.url = copy.url.replace("https://", "https://user:s3cret@").into();
            *file = std::sync::Arc::new(copy);
        }
    }
    let text = Lock::new(&resolution, None)
        .expect("every file has a hash")
        .to_string();
    assert!(
        text.contains("https://index.example/") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn of_a_later_minor_version_what_is_not_known_is_told() {
    let read = |format: &str| {
        let text = one(&format!("mood = 1\n{WHEEL}\n[weather]\n"));
        let text = text.replace("\"1.0\"", &format!("\"{format}\""));
        Lock::parse(&text).expect("read").passed_over
    };
    assert_eq!(read("1.0"), None);
    let told = read("1.2").expect("two are unknown").to_string();
    assert!(
        told.contains("1.2") && told.ends_with(": weather, packages[0].mood"),
        "{told}"
    );
    let known = one(WHEEL).replace("\"1.0\"", "\"1.2\"");
    assert_eq!(Lock::parse(&known).expect("read").passed_over, None);
}

/// A lock of one package with this body.
fn one(body: &str) -> String {
    format!("lock-version = \"1.0\"\ncreated-by = \"x\"\n\n[[packages]]\nname = \"a\"\n{body}\n")
}

const WHEEL: &str =
    r#"wheels = [{ path = "./a-1.0-py3-none-any.whl", hashes = { sha256 = "ab" } }]"#;

#[test]
fn what_the_specification_forbids_is_refused_by_place() {
    let problem = |text: &str| match Lock::parse(text) {
        Err(error) => error.to_string(),
        Ok(lock) => panic!("it was read: {lock:?}"),
    };
    let cases = [
        (
            "created-by = \"x\"\npackages = []".to_owned(),
            "lock-version: is missing",
        ),
        (
            "lock-version = \"1.0\"\npackages = []".to_owned(),
            "created-by: is missing",
        ),
        (
            "lock-version = \"1.0\"\ncreated-by = \"x\"".to_owned(),
            "packages: is missing",
        ),
        ("lock-version = \"2.0\"\n".to_owned(), "format version 2.0"),
        ("lock-version = \"one\"\n".to_owned(), "format version one,"),
        (
            "lock-version = 1.0\n".to_owned(),
            "lock-version: must be a string",
        ),
        ("lock-version = ".to_owned(), "not TOML"),
        (one(""), "packages[0]: exactly one of"),
        (
            one(&format!("{WHEEL}\ndirectory = {{ path = \".\" }}")),
            "packages[0]: exactly one of",
        ),
        (
            one("directory = { editable = true }"),
            "packages[0].directory.path: is missing",
        ),
        (
            one("vcs = { type = \"git\", url = \"x\" }"),
            "packages[0].vcs.commit-id: is missing",
        ),
        (
            one("archive = { hashes = { md5 = \"ab\" } }"),
            "packages[0].archive.url: or path",
        ),
        (
            one("archive = { url = \"x\", hashes = {} }"),
            "archive.hashes: must hold a hash",
        ),
        (
            one("archive = { url = \"x\" }"),
            "packages[0].archive.hashes: is missing",
        ),
        (
            one(&WHEEL.replace("hashes", "size = -1, hashes")),
            "wheels[0].size: must be a whole",
        ),
        (
            one(&WHEEL.replace("hashes", "size = true, hashes")),
            "wheels[0].size: must be a whole",
        ),
        (
            one(&WHEEL.replace("hashes", "upload-time = 2024-01-01, hashes")),
            "upload-time: must be",
        ),
        (
            one(&WHEEL.replace("a-1.0-py3-none-any.whl", "a.whl")),
            "packages[0].wheels[0].name",
        ),
        (one(&WHEEL.replace("a-1.0", "b-1.0")), "is not a file of a"),
        (
            one(&format!("version = \"2.0\"\n{WHEEL}")),
            "is not a file of a 2.0",
        ),
        (
            one(&format!("version = \"x\"\n{WHEEL}")),
            "packages[0].version",
        ),
        (
            one(&format!("marker = \"x\"\n{WHEEL}")),
            "packages[0].marker",
        ),
        (one(WHEEL).replace("\"a\"", "\"A_b\""), "normal form, `a-b`"),
        (
            one("sdist = { path = \"a-1.0.exe\", hashes = { sha256 = \"ab\" } }"),
            "no name of a source",
        ),
    ];
    for (text, expected) in cases {
        let problem = problem(&text);
        assert!(problem.contains(expected), "{text}\n{problem}\n{expected}");
    }
    assert!(matches!(
        Lock::parse("lock-version = \"9.1\""),
        Err(LockReadError::Version(_))
    ));
}

#[test]
fn a_later_minor_version_is_read_and_unknown_keys_are_passed_over() {
    let text = one(WHEEL).replace("\"1.0\"", "\"1.7\"") + "\n[tool.x]\ny = 1\n";
    assert_eq!(
        Lock::parse(&text)
            .expect("minor versions are compatible")
            .packages
            .len(),
        1
    );
}

/// The names of what is selected, and from what.
fn select(text: &str, extras: &[&str], groups: Option<&[&str]>) -> Result<String, SelectError> {
    let lock = Lock::parse(text).expect("a valid lock");
    let extras: Vec<ExtraName> = extras.iter().map(|x| x.parse().expect("a name")).collect();
    let groups: Option<Vec<GroupName>> =
        groups.map(|groups| groups.iter().map(|x| x.parse().expect("a name")).collect());
    let selected = lock.select(&target("3.12"), &extras, groups.as_deref())?;
    let shown = selected.iter().map(|one| match one.artifact {
        Artifact::Wheel(file) | Artifact::Sdist(file) => file.name.clone(),
        other => format!(
            "{} {}",
            one.package.name,
            format!("{other:?}").to_lowercase()
        ),
    });
    Ok(shown.collect::<Vec<_>>().join(", "))
}

#[test]
fn the_best_wheel_is_selected_and_the_sdist_where_none_fits() {
    let file =
        |name: &str| format!("{{ url = \"http://127.0.0.1/{name}\", hashes = {{ x = \"1\" }} }}");
    let wheels = |tags: &[&str]| {
        let wheels: Vec<_> = tags
            .iter()
            .map(|tag| file(&format!("a-1.0-{tag}.whl")))
            .collect();
        format!("wheels = [{}]", wheels.join(", "))
    };
    let sdist = format!("sdist = {}", file("a-1.0.tar.gz"));
    let both = [
        "py3-none-any",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-win32",
    ];
    assert_eq!(
        select(&one(&wheels(&both)), &[], None).expect("one fits"),
        "a-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"
    );
    let windows = wheels(&["cp312-cp312-win32"]);
    assert_eq!(
        select(&one(&windows), &[], None),
        Err(SelectError::NoFile(name("a")))
    );
    let text = one(&format!("{sdist}\n{windows}"));
    assert_eq!(
        select(&text, &[], None).expect("the sdist is left"),
        "a-1.0.tar.gz"
    );
}

#[test]
fn markers_extras_and_groups_decide() {
    let text = "lock-version = \"1.0\"\nextras = [\"x\"]\ndependency-groups = [\"dev\", \"doc\"]\n\
                default-groups = [\"dev\"]\ncreated-by = \"x\"\n\
                packages = [\n\
                { name = \"a\", directory = { path = \"a\" } },\n\
                { name = \"b\", marker = \"'x' in extras\", directory = { path = \"b\" } },\n\
                { name = \"c\", marker = \"'dev' in dependency_groups\", directory = { path = \"c\" } },\n\
                { name = \"d\", marker = \"'doc' in dependency_groups\", directory = { path = \"d\" } },\n\
                { name = \"e\", marker = \"sys_platform == 'win32'\", directory = { path = \"e\" } },\n\
                ]\n";
    let names = |extras: &[&str], groups| {
        select(text, extras, groups)
            .expect("it fits")
            .replace(" directory", "")
    };
    assert_eq!(names(&[], None), "a, c");
    assert_eq!(names(&["x"], None), "a, b, c");
    assert_eq!(names(&[], Some(&["doc"])), "a, d");
    assert_eq!(names(&[], Some(&[])), "a");
    assert!(matches!(
        select(text, &["y"], None),
        Err(SelectError::Extra(_))
    ));
    assert!(matches!(
        select(text, &[], Some(&["test"])),
        Err(SelectError::Group(_))
    ));
}

#[test]
fn a_lock_for_somewhere_else_is_refused() {
    let head = |line: &str| one(WHEEL).replace("created-by", &format!("{line}\ncreated-by"));
    let windows = head("environments = [\"sys_platform == 'win32'\"]");
    assert!(matches!(
        select(&windows, &[], None),
        Err(SelectError::Environment(_))
    ));
    let either = head("environments = [\"sys_platform == 'win32'\", \"sys_platform == 'linux'\"]");
    assert!(select(&either, &[], None).is_ok());
    let old = head("requires-python = \"<3.12\"");
    assert!(matches!(
        select(&old, &[], None),
        Err(SelectError::Python { .. })
    ));
    let package = one(&format!("requires-python = \"<3.12\"\n{WHEEL}"));
    assert!(matches!(
        select(&package, &[], None),
        Err(SelectError::PackagePython { .. })
    ));
    let twice = one(WHEEL) + "[[packages]]\nname = \"a\"\ndirectory = { path = \"a\" }\n";
    assert_eq!(
        select(&twice, &[], None),
        Err(SelectError::Ambiguous(name("a")))
    );
}

#[test]
fn strings_that_need_escapes_survive() {
    let mut lock = Lock::parse(&one(WHEEL)).expect("a valid lock");
    lock.created_by = "a \"b\" \\ \u{7f}\n\tü".to_owned();
    let hash = Sha256::of(b"x").to_hex();
    lock.packages[0].index = Some(format!("http://127.0.0.1/{hash}?a='b'"));
    assert_eq!(
        Lock::parse(&lock.to_string()).expect("it was escaped"),
        lock
    );
}
