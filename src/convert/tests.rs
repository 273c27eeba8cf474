//! Files of other tools as they become projects.

use super::*;

/// Writes the files and reads the first of them.
fn converted(files: &[(&str, &str)]) -> Result<Plan, ConvertError> {
    let folder = tempfile::tempdir().expect("temporary directory");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    read(&folder.path().join(files[0].0))
}

fn plan(files: &[(&str, &str)]) -> Plan {
    converted(files).unwrap_or_else(|error| panic!("{error}"))
}

fn left(plan: &Plan) -> Vec<&str> {
    plan.not_carried.iter().map(|left| &*left.what).collect()
}

#[test]
fn requirements_keep_their_options_and_leave_paths_and_secrets() {
    let text = "--index-url https://me:secret@host.example/simple/\n--pre\n--no-binary numpy\n\
                Flask>=3 ; python_version < '3.13'\nsix==1.0 --hash=sha256:ab\n-e ./lib\n\
                a @ https://me:secret@files.example/a-1.whl\n-c limits.txt\n";
    let plan = plan(&[("requirements.txt", text), ("limits.txt", "idna<4\n")]);
    assert_eq!(
        plan.dependencies,
        [
            "flask>=3 ; python_full_version < '3.13'",
            "six==1.0",
            "a @ https://files.example/a-1.whl"
        ]
    );
    assert_eq!(plan.blast.constraints, ["idna<4"]);
    assert_eq!(
        plan.blast.index_url.as_deref(),
        Some("https://host.example/simple/")
    );
    assert!(plan.blast.prereleases);
    assert_eq!(plan.blast.no_binary, ["numpy"]);
    assert_eq!(
        left(&plan),
        [
            "the hashes of 1 requirement",
            "credentials of a",
            "lib",
            "credentials of https://host.example/simple/"
        ]
    );
    assert!(!format!("{plan:?}").contains("secret"));
}

const PIPFILE: &str = r#"
[[source]]
name = "pypi"
url = "https://index.example/simple"
verify_ssl = true

[[source]]
name = "own"
url = "https://own.example/simple"
verify_ssl = false

[packages]
flask = "~=3.0"
inner = {version = "*", index = "own", extras = ["x"]}
win = {version = ">=1", sys_platform = "== 'win32'"}
repo = {git = "https://git.example/repo.git", ref = "v1"}
here = {path = ".", editable = true}

[dev-packages]
pytest = "*"

[requires]
python_version = "3.11"

[scripts]
serve = "flask run"
"#;

#[test]
fn a_pipfile_becomes_a_project() {
    let plan = plan(&[("Pipfile", PIPFILE)]);
    assert_eq!(
        plan.dependencies,
        [
            "flask~=3.0",
            "inner[x]",
            "repo @ git+https://git.example/repo.git@v1",
            "win>=1 ; sys_platform == 'win32'"
        ]
    );
    assert_eq!(plan.groups["dev"], ["pytest"]);
    assert_eq!(plan.requires_python.as_deref(), Some("==3.11.*"));
    assert_eq!(plan.blast.sources["inner"], "own");
    assert_eq!(plan.blast.trusted_host, ["own.example"]);
    assert!(plan.blast.indexes[0].explicit);
    assert_eq!(left(&plan), ["here", "serve"]);
}

#[test]
fn a_lock_of_pipenv_limits_what_its_pipfile_asks_for() {
    let lock = r#"{"_meta": {"pipfile-spec": 6}, "default": {
        "flask": {"version": "==3.0.1", "hashes": ["sha256:ab"], "markers": "os_name == 'posix'"},
        "repo": {"git": "https://git.example/repo.git", "ref": "abc"}},
        "develop": {"pytest": {"version": "==8.0"}}}"#;
    let both = plan(&[("Pipfile.lock", lock), ("Pipfile", PIPFILE)]);
    assert!(both.is_of_lock);
    assert_eq!(both.blast.constraints, ["flask==3.0.1", "pytest==8.0"]);
    assert!(both.dependencies.contains(&"flask~=3.0".to_owned()));
    let alone = plan(&[("Pipfile.lock", lock)]);
    assert_eq!(alone.dependencies[0], "flask==3.0.1 ; os_name == 'posix'");
    assert_eq!(alone.groups["dev"], ["pytest==8.0"]);
    assert!(left(&alone).contains(&"which packages were asked for"));
}

const POETRY: &str = r#"
[tool.poetry]
name = "app"
version = "1.2.3"
authors = ["A"]

[tool.poetry.dependencies]
python = "^3.9"
flask = "^3.0.1"
psycopg = {version = "~3.1", optional = true}
odd = "^1 || ^3"
numpy = [
    {version = "^1", python = "<3.12"},
    {version = "^2", python = ">=3.12"},
]

[tool.poetry.extras]
db = ["psycopg"]

[tool.poetry.group.docs]
optional = true

[tool.poetry.group.docs.dependencies]
sphinx = "*"

[tool.poetry.group.dev.dependencies]
pytest = "^8"
"#;

#[test]
fn a_project_of_poetry_becomes_one_of_pep_621() {
    let plan = plan(&[("pyproject.toml", POETRY)]);
    assert_eq!(plan.name.as_deref(), Some("app"));
    assert_eq!(plan.requires_python.as_deref(), Some(">=3.9,<4"));
    assert_eq!(
        plan.dependencies,
        [
            "flask>=3.0.1,<4",
            "numpy>=1,<2 ; python_full_version < '3.12'",
            "numpy>=2,<3 ; python_full_version >= '3.12'"
        ]
    );
    assert_eq!(plan.extras["db"], ["psycopg>=3.1,<3.2"]);
    assert_eq!(plan.groups["docs"], ["sphinx"]);
    assert_eq!(plan.blast.default_groups, None);
    assert_eq!(left(&plan), ["odd ^1 || ^3", "authors"]);
}

#[test]
fn a_lock_of_poetry_says_versions_where_it_is_clear_which() {
    let lock = "[[package]]\nname = \"flask\"\nversion = \"3.0.2\"\n\
                [[package]]\nname = \"numpy\"\nversion = \"1.26\"\nmarkers = \"os_name == 'nt'\"\n\
                [[package]]\nname = \"numpy\"\nversion = \"2.0\"\n\
                [metadata]\nlock-version = \"2.1\"\n";
    let plan = plan(&[("poetry.lock", lock), ("pyproject.toml", POETRY)]);
    assert_eq!(
        plan.blast.constraints,
        ["flask==3.0.2", "numpy==1.26 ; os_name == 'nt'"]
    );
    assert!(left(&plan).contains(&"numpy 2.0"));
    let alone = converted(&[("poetry.lock", lock)]).expect_err("no project");
    assert!(alone.to_string().contains("pyproject.toml"), "{alone}");
}

#[test]
fn a_lock_of_uv_says_itself_what_was_asked_for() {
    let lock = r#"
version = 1
requires-python = ">=3.9"
conflicts = [[{ package = "app", extra = "a" }, { package = "app", extra = "b" }]]

[options]
resolution-mode = "lowest"

[manifest]
constraints = [{ name = "later", specifier = "<2" }]
overrides = [{ name = "numpy", specifier = ">=1", marker = "os_name == 'nt'" }]

[[package]]
name = "app"
version = "0.3"
source = { virtual = "." }

[package.metadata]
requires-dist = [
    { name = "flask", specifier = ">=3" },
    { name = "psycopg", marker = "extra == 'db'", specifier = ">=3" },
    { name = "repo", git = "https://git.example/repo?rev=v1" },
]

[package.metadata.requires-dev]
dev = [{ name = "pytest" }]

[[package]]
name = "flask"
version = "3.1"
source = { registry = "https://index.example/simple" }

[[package]]
name = "numpy"
version = "1.26"
source = { registry = "https://index.example/simple" }
resolution-markers = ["python_full_version < '3.10'"]

[[package]]
name = "numpy"
version = "2.0"
source = { registry = "https://index.example/simple" }
resolution-markers = ["python_full_version >= '3.10'"]

[[package]]
name = "repo"
version = "1"
source = { git = "https://git.example/repo?rev=v1#abc" }
"#;
    let plan = plan(&[("uv.lock", lock)]);
    assert_eq!(
        plan.dependencies,
        ["flask>=3", "repo @ git+https://git.example/repo@v1"]
    );
    assert_eq!(plan.extras["db"], ["psycopg>=3"]);
    assert_eq!(plan.groups["dev"], ["pytest"]);
    assert_eq!(
        plan.blast.constraints,
        [
            "flask==3.1",
            "numpy==1.26 ; python_full_version < '3.10'",
            "numpy==2.0 ; python_full_version >= '3.10'",
            "later<2"
        ]
    );
    assert_eq!(plan.blast.overrides, ["numpy>=1 ; os_name == 'nt'"]);
    let expected = [
        "the locked state of repo",
        "conflicts",
        "resolution-mode",
        "hashes",
    ];
    assert_eq!(left(&plan), expected);
}

#[test]
fn of_conda_the_python_and_what_pip_installs_is_taken() {
    let text = "name: science\nchannels:\n  - some-channel\ndependencies:\n  - python=3.11\n  \
                - pip\n  - some-channel::numpy>=1.26\n  - pip:\n      - flask>=3\n      - -e .\n";
    let plan = plan(&[("environment.yml", text)]);
    assert_eq!(plan.name.as_deref(), Some("science"));
    assert_eq!(plan.requires_python.as_deref(), Some("==3.11.*"));
    assert_eq!(plan.dependencies, ["flask>=3"]);
    assert_eq!(plan.not_carried.len(), 3, "{:?}", plan.not_carried);
    assert_eq!(left(&plan)[..2], ["channels", "some-channel::numpy>=1.26"]);
}

#[test]
fn of_setup_cfg_metadata_and_requirements_are_taken() {
    let text = "[metadata]\nname = app\nversion = attr: app.__version__\n\n[options]\n\
                python_requires = >=3.8\npackages = find:\ninstall_requires =\n    flask>=3\n    \
                tomli ; python_version < \"3.11\"\n\n[options.extras_require]\ndb =\n    psycopg\n\
                \n[flake8]\nmax-line-length = 100\n";
    let plan = plan(&[("setup.cfg", text)]);
    assert_eq!(plan.name.as_deref(), Some("app"));
    assert_eq!(plan.requires_python.as_deref(), Some(">=3.8"));
    assert_eq!(
        plan.dependencies,
        ["flask>=3", "tomli ; python_full_version < '3.11'"]
    );
    assert_eq!(plan.extras["db"], ["psycopg"]);
    assert_eq!(left(&plan), ["version", "packages"]);
}

#[test]
fn broken_files_are_errors_that_name_file_and_place() {
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n\
                c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n\
                e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e]\n\
                g: &g [*f, *f, *f, *f, *f, *f, *f, *f]\nh: &h [*g, *g, *g, *g, *g, *g, *g, *g]\n\
                dependencies: [*h, *h, *h, *h, *h, *h, *h, *h]\n";
    for (name, text, word) in [
        (
            "requirements.txt",
            "six\n--frobnicate\n",
            "requirements.txt:2",
        ),
        ("Pipfile", "[packages\n", "Pipfile"),
        ("Pipfile", "[packages]\nflask = 3\n", "packages.flask"),
        ("Pipfile", "[packages]\nflask = \"^^\"\n", "packages.flask"),
        (
            "Pipfile",
            "[packages]\n\"a ; b\" = \"*\"\n",
            "packages.a ; b",
        ),
        ("Pipfile.lock", "{\"default\": []}", "default"),
        ("Pipfile.lock", "{", "line 1"),
        ("uv.lock", "version = 9\n", "version 1"),
        ("uv.lock", "version = 1\npackage = 3\n", "package"),
        (
            "uv.lock",
            "version = 1\n[[package]]\nname = \"a\"\n",
            "package[0]",
        ),
        (
            "environment.yml",
            "dependencies:\n  - [1\n",
            "environment.yml",
        ),
        ("environment.yml", "dependencies: 3\n", "dependencies"),
        (
            "environment.yml",
            "dependencies:\n- pip:\n  - ==1\n",
            "pip[0]",
        ),
        ("environment.yml", bomb, "environment.yml"),
        (
            "setup.cfg",
            "[options]\ninstall_requires =\n  ==1\n",
            "install_requires",
        ),
        ("notes.rst", "hello", "notes.rst"),
    ] {
        let error = converted(&[(name, text)]).expect_err(name).to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}

#[test]
fn names_and_else_content_say_what_a_file_is() {
    for (name, text, kind) in [
        ("dev-requirements.in", "six", Some(Kind::Requirements)),
        ("env.yaml", "dependencies:\n", Some(Kind::Conda)),
        ("ci.yml", "jobs:\n", None),
        (
            "old.lock",
            "# @generated by Poetry\n[[package]]\n",
            Some(Kind::PoetryLock),
        ),
        ("old.lock", "version = 1\n[[package]]\n", Some(Kind::UvLock)),
        ("backup", "[packages]\n", Some(Kind::Pipfile)),
        ("backup", "{\"pipfile-spec\": 6}", Some(Kind::PipfileLock)),
        ("pyproject.toml", "[project]\n", None),
    ] {
        assert_eq!(Kind::of(name, text), kind, "{name} {text}");
    }
}

#[test]
fn an_existing_file_keeps_its_comments_and_what_it_says() {
    let plan = Plan {
        name: Some("new".to_owned()),
        version: Some("0.1.0".to_owned()),
        dependencies: vec!["flask>=3".to_owned()],
        ..Plan::default()
    };
    let existing = "# ours\n[project]\nname = \"old\" # kept\n\n[tool.ruff]\nline-length = 100\n";
    let text = pyproject::text(&plan, Some(existing)).expect("amended");
    assert_eq!(
        text,
        "# ours\n[project]\nname = \"old\" # kept\nversion = \"0.1.0\"\ndependencies = [\n    \
         \"flask>=3\",\n]\n\n[tool.ruff]\nline-length = 100\n"
    );
    let refused = "[project]\ndependencies = []\n";
    let error = pyproject::text(&plan, Some(refused)).expect_err("it says so itself");
    assert!(error.to_string().contains("dependencies"), "{error}");
    let of_lock = Plan {
        is_of_lock: true,
        blast: Settings {
            constraints: vec!["flask==3.1".to_owned()],
            ..Settings::default()
        },
        ..plan
    };
    let text = pyproject::text(&of_lock, Some(refused)).expect("only versions are added");
    assert_eq!(
        text,
        "[project]\ndependencies = []\n\n[tool.blast]\nconstraints = [\n    \"flask==3.1\",\n]\n"
    );
}

const LOCK: &str = r#"
lock-version = "1.0"
requires-python = ">=3.9"
extras = ["db"]
dependency-groups = ["dev"]
default-groups = ["dev"]
created-by = "blast"

[[packages]]
name = "flask"
version = "3.1"
marker = "sys_platform == 'linux' or 'db' in extras"
wheels = [{ name = "flask-3.1-py3-none-any.whl", url = "https://files.example/flask-3.1-py3-none-any.whl", hashes = { sha256 = "aa" } }]
tool = { blast = { extras = ["async"] } }

[[packages]]
name = "psycopg"
version = "3.2"
marker = "'db' in extras"
sdist = { name = "psycopg-3.2.tar.gz", url = "https://files.example/psycopg-3.2.tar.gz", hashes = { sha256 = "bb", md5 = "cc" } }

[[packages]]
name = "pytest"
version = "8"
marker = "'dev' in dependency_groups and python_full_version < '3.12'"
wheels = [{ name = "pytest-8-py3-none-any.whl", url = "https://files.example/pytest-8-py3-none-any.whl", hashes = { sha256 = "dd" } }]

[[packages]]
name = "repo"
version = "1"
vcs = { type = "git", url = "https://git.example/repo", commit-id = "abc" }

[tool.blast]
requirements = ["flask"]
"#;

#[test]
fn a_lock_becomes_requirements_once_extras_and_groups_are_chosen() {
    let lock = blast_resolver::lock::Lock::parse(LOCK).expect("a lock");
    let body = |chosen: &export::Chosen| {
        let exported = export::requirements(&lock, chosen);
        assert_eq!(exported.without_hash, ["repo"]);
        let lines = exported.text.lines().filter(|line| !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        body(&export::Chosen::default()),
        "flask[async]==3.1 ; sys_platform == 'linux' \\\n    --hash=sha256:aa\n\
         repo @ git+https://git.example/repo@abc"
    );
    let all = export::Chosen {
        extras: lock.extras.clone(),
        groups: lock.dependency_groups.clone(),
    };
    assert_eq!(
        body(&all),
        "flask[async]==3.1 \\\n    --hash=sha256:aa\npsycopg==3.2 \\\n    --hash=sha256:bb\n\
         pytest==8 ; python_full_version < '3.12' \\\n    --hash=sha256:dd\n\
         repo @ git+https://git.example/repo@abc"
    );
}

#[test]
fn a_lock_for_others_says_the_same_without_the_tables_of_blast() {
    let lock = blast_resolver::lock::Lock::parse(LOCK).expect("a lock");
    let text = export::pylock(lock.clone());
    assert!(
        !text.contains("[tool") && !text.contains("tool ="),
        "{text}"
    );
    let again = blast_resolver::lock::Lock::parse(&text).expect("a lock");
    assert_eq!(again.packages.len(), lock.packages.len());
    assert_eq!(again.extras, lock.extras);
}
