use super::*;
use crate::sources::IndexStrategy;
use std::fs;

struct Fixture {
    dir: tempfile::TempDir,
    around: Surroundings,
}

fn fixture(variables: &[(&str, &str)]) -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let around = Surroundings {
        variables: variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        home: Some(at("home")),
        cwd: at("cwd"),
        etc: at("etc"),
        site: Some(at("venv")),
        isolated: false,
    };
    Fixture { dir, around }
}

impl Fixture {
    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn resolve(&self) -> Configured {
        resolve(&self.around, None, &Flags::default()).expect("usable")
    }

    fn urls(&self) -> Vec<String> {
        shown(&self.resolve())
    }
}

fn shown(configured: &Configured) -> Vec<String> {
    configured
        .sources
        .indexes
        .iter()
        .map(|index| index.url.to_string())
        .collect()
}

#[test]
fn with_nothing_said_the_interpreter_is_asked() {
    let configured = fixture(&[]).resolve();
    assert!(configured.sources.default_from_interpreter);
    assert_eq!(
        configured.sources,
        Sources {
            default_from_interpreter: true,
            ..Sources::default()
        }
    );
    assert_eq!(configured.settings, []);
}

#[test]
fn files_of_pip_beat_each_other_in_its_order() {
    let url = |name: &str| format!("[global]\nindex-url = https://{name}.example/simple/\n");
    let f = fixture(&[]);
    for (file, name) in [
        ("etc/xdg/pip/pip.conf", "xdg"),
        ("etc/pip.conf", "etc"),
        ("home/.pip/pip.conf", "legacy"),
        ("home/.config/pip/pip.conf", "user"),
        ("venv/pip.conf", "site"),
    ] {
        f.write(file, &url(name));
        assert_eq!(f.urls(), [format!("https://{name}.example/simple/")]);
    }
    // A command's own section of any file beats the general one of all.
    f.write(
        "etc/pip.conf",
        "[install]\nindex-url = https://own.example/simple/\n",
    );
    assert_eq!(f.urls(), ["https://own.example/simple/"]);
    f.write("etc/pip.conf", &url("etc"));
    f.write("named.conf", "[global]\nretries = 7\n");
    let mut named = Fixture {
        dir: f.dir,
        around: f.around,
    };
    let path = named.dir.path().join("named.conf");
    named
        .around
        .variables
        .insert("PIP_CONFIG_FILE".into(), path.display().to_string());
    assert_eq!(named.resolve().sources.retries, 7);
    named.around.site = None;
    assert_eq!(
        named.urls(),
        ["https://etc.example/simple/"],
        "the user's file does not count"
    );
    named
        .around
        .variables
        .insert("PIP_CONFIG_FILE".into(), "/dev/null".into());
    assert!(named.resolve().sources.default_from_interpreter);
}

#[test]
fn options_of_pip_come_from_files_and_variables_in_its_order() {
    let f = fixture(&[("PIP_NO_DEPS", "1"), ("PIP_PRE", " ")]);
    f.write(
        "etc/pip.conf",
        "[install]\npre = yes\nuser = no\n[wheel]\npre = of-wheel\n",
    );
    f.write(
        "home/.config/pip/pip.conf",
        "[global]\nno_deps = 0\npre = no\ntarget =\nconstraint =\n    a.txt\n    b.txt\n",
    );
    let said = |command: &str| -> Vec<String> {
        let options = pip_options(&f.around, command).expect("readable");
        let shown = options
            .iter()
            .map(|(name, said)| format!("{name}={}", said.value));
        shown.collect()
    };
    let constraint = "constraint=a.txt\nb.txt";
    assert_eq!(
        said("install"),
        [constraint, "no-deps=1", "pre=yes", "user=no"]
    );
    assert_eq!(said("wheel"), [constraint, "no-deps=1", "pre=of-wheel"]);
    assert_eq!(said("list"), [constraint, "no-deps=1", "pre=no"]);
}

#[test]
fn a_file_with_everything() {
    let f = fixture(&[]);
    f.write(
        "etc/pip.conf",
        "# comment\n[global]\nINDEX_URL: https://u:secret@a.example/simple/#x;y\n\
         find-links =\n    /wheels\n    sub/dir\n    ~/w\ntimeout = 12.5\nno-index = no\n\
         trusted-host = a.example b.example:1\ncert = ca.pem\nproxy = proxy.example:3128\n\
         [install]\nretries = 2\n[freeze]\nretries = 99\n",
    );
    let Configured { sources, settings } = f.resolve();
    let cwd = &f.around.cwd;
    assert_eq!(sources.indexes[0].url.as_url().password(), Some("secret"));
    let home = f.around.home.clone().expect("set");
    let paths = [
        PathBuf::from("/wheels"),
        cwd.join("sub/dir"),
        home.join("w"),
    ];
    assert_eq!(
        sources.find_links,
        paths.map(|path| path.display().to_string())
    );
    assert_eq!(
        (sources.timeout_s, sources.retries, sources.no_index),
        (12, 2, false)
    );
    assert_eq!(sources.trusted_hosts, ["a.example", "b.example:1"]);
    assert_eq!(sources.cert, Some(cwd.join("ca.pem")));
    let proxy = sources.proxy.https.as_ref().expect("given");
    assert_eq!(proxy.to_string(), "http://proxy.example:3128/");
    assert!(
        settings
            .iter()
            .all(|setting| !setting.value.contains("secret")),
        "{settings:?}"
    );
    let origin = Origin::PipConf(f.around.etc.join("pip.conf"));
    assert!(settings.iter().all(|setting| setting.origin == origin));
}

#[test]
fn levels_beat_each_other_and_lists_add_up_above_pip() {
    let f = fixture(&[
        ("PIP_INDEX_URL", "https://pip.example/simple/"),
        (
            "PIP_EXTRA_INDEX_URL",
            "https://x1.example/ https://x2.example/",
        ),
        ("BLAST_EXTRA_INDEX_URL", "https://x3.example/"),
        ("PIP_FIND_LINKS", "/from/pip"),
    ]);
    f.write(
        "etc/pip.conf",
        "[global]\nextra-index-url = https://gone.example/\n",
    );
    assert_eq!(
        f.urls(),
        [
            "https://x3.example/",
            "https://x1.example/",
            "https://x2.example/",
            "https://pip.example/simple/"
        ]
    );
    let project = ProjectSettings {
        index_url: Some("https://project.example/simple/".to_owned()),
        find_links: vec!["wheels".to_owned()],
        root: PathBuf::from("/project"),
        ..ProjectSettings::default()
    };
    let flags = Flags {
        index_url: Some("https://flag.example/".into()),
        ..Flags::default()
    };
    let last = |project, flags: &Flags| {
        let configured = resolve(&f.around, project, flags).expect("usable");
        let setting = configured
            .settings
            .iter()
            .find(|s| s.key == "index-url")
            .expect("noted");
        (
            shown(&configured).pop().expect("one"),
            setting.origin.to_string(),
            configured.sources,
        )
    };
    let (url, origin, sources) = last(Some(&project), &Flags::default());
    assert_eq!(
        (url.as_str(), origin.as_str()),
        ("https://project.example/simple/", "/project/pyproject.toml")
    );
    assert_eq!(sources.find_links, ["/from/pip", "/project/wheels"]);
    let (url, origin, _) = last(Some(&project), &flags);
    assert_eq!(
        (url.as_str(), origin.as_str()),
        ("https://flag.example/", "flag --index-url")
    );
}

#[test]
fn no_index_means_none() {
    let f = fixture(&[
        ("PIP_NO_INDEX", "1"),
        ("PIP_INDEX_URL", "https://a.example/"),
    ]);
    let sources = f.resolve().sources;
    assert!(sources.no_index && sources.indexes.is_empty() && !sources.default_from_interpreter);
    let flags = Flags {
        no_index: true,
        offline: true,
        ..Flags::default()
    };
    let sources = resolve(&fixture(&[]).around, None, &flags)
        .expect("usable")
        .sources;
    assert!(sources.no_index && sources.offline && !sources.needs_default_index());
}

#[test]
fn shared_variables_fill_in() {
    let f = fixture(&[
        ("SSL_CERT_FILE", "/ca.pem"),
        ("HTTPS_PROXY", "http://u:secret@p.example:1"),
        ("all_proxy", "socks5h://s.example:2"),
        ("NO_PROXY", "localhost,.example"),
    ]);
    f.write("home/.netrc", "");
    let Configured { sources, settings } = f.resolve();
    assert_eq!(sources.cert, Some("/ca.pem".into()));
    assert_eq!(
        sources.proxy.http.expect("all").to_string(),
        "socks5h://s.example:2"
    );
    assert_eq!(
        sources.proxy.https.expect("own").as_url().password(),
        Some("secret")
    );
    assert_eq!(
        sources.proxy.no_proxy.as_deref(),
        Some("localhost,.example")
    );
    assert_eq!(sources.netrc, Some(f.dir.path().join("home/.netrc")));
    assert!(
        settings
            .iter()
            .all(|setting| !setting.value.contains("secret")),
        "{settings:?}"
    );
}

#[test]
fn what_makes_no_sense_names_its_origin() {
    for (variable, value, said) in [
        (
            "PIP_INDEX_URL",
            "ftp://a.example/",
            "index-url (variable PIP_INDEX_URL) cannot be used",
        ),
        (
            "PIP_NO_INDEX",
            "maybe",
            "no-index (variable PIP_NO_INDEX) is `maybe`, which is no yes or no",
        ),
        (
            "PIP_RETRIES",
            "many",
            "retries (variable PIP_RETRIES) is `many`, which is no number",
        ),
        (
            "PIP_PROXY",
            "gopher://x",
            "proxy (variable PIP_PROXY) cannot be used",
        ),
    ] {
        let error = resolve(
            &fixture(&[(variable, value)]).around,
            None,
            &Flags::default(),
        );
        assert_eq!(error.expect_err(value).to_string(), said);
    }
}

#[test]
fn a_directory_may_be_an_index() {
    let f = fixture(&[("BLAST_INDEX_URL", "/usr")]);
    assert_eq!(f.urls(), ["file:///usr"]);
}

#[test]
fn what_is_neither_url_nor_directory_is_no_index() {
    let f = fixture(&[("BLAST_INDEX_URL", "not an address")]);
    let error = resolve(&f.around, None, &Flags::default())
        .expect_err("unusable")
        .to_string();
    assert!(
        error.contains("BLAST_INDEX_URL") && error.contains("not an address"),
        "{error}"
    );
}

fn table(text: &str) -> ProjectSettings {
    ProjectSettings {
        root: PathBuf::from("/project"),
        ..toml::from_str(text).expect("a table")
    }
}

const INDEXES: &str = "\
    [[index]]\nname = 'main'\nurl = 'https://main.example/'\ndefault = true\n\
    [[index]]\nname = 'torch'\nurl = 'https://torch.example/'\nexplicit = true\n\
    [[index]]\nurl = 'https://u:secret@more.example/'\n\
    [sources]\ntorch = { index = 'torch' }\nDemo_Two = { index = 'main' }\n";

#[test]
fn named_indexes_have_an_order_a_default_and_pins() {
    let f = fixture(&[("PIP_EXTRA_INDEX_URL", "https://pip.example/")]);
    let configured = resolve(&f.around, Some(&table(INDEXES)), &Flags::default()).expect("usable");
    let names: Vec<_> = configured
        .sources
        .indexes
        .iter()
        .map(|index| (index.url.to_string(), index.name.as_deref(), index.explicit))
        .collect();
    assert_eq!(
        names,
        [
            ("https://torch.example/".to_owned(), Some("torch"), true),
            ("https://u:****@more.example/".to_owned(), None, false),
            ("https://pip.example/".to_owned(), None, false),
            ("https://main.example/".to_owned(), Some("main"), false),
        ]
    );
    let pins: Vec<_> = configured
        .sources
        .pins
        .iter()
        .map(|(name, index)| format!("{name} {index}"))
        .collect();
    assert_eq!(pins, ["demo-two main", "torch torch"]);
    assert!(!configured.sources.default_from_interpreter);
    assert!(!format!("{:?}", configured.settings).contains("secret"));
}

#[test]
fn a_pin_outlives_the_main_index_that_a_flag_replaces() {
    let flags = Flags {
        index_url: Some("https://flag.example/".to_owned()),
        ..Flags::default()
    };
    let f = fixture(&[]);
    let sources = resolve(&f.around, Some(&table(INDEXES)), &flags)
        .expect("usable")
        .sources;
    let main = sources
        .indexes
        .iter()
        .find(|index| index.name.as_deref() == Some("main"))
        .expect("kept for its pin");
    assert!(main.explicit, "for nothing else");
    assert_eq!(
        sources
            .indexes
            .iter()
            .filter(|index| !index.explicit)
            .count(),
        2
    );
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let f = fixture(&[]);
    for (text, said) in [
        (
            "index-url = 'https://a.example/'\n[[index]]\nurl = 'https://b.example/'\ndefault = true",
            "/project/pyproject.toml names two main indexes",
        ),
        (
            "[[index]]\nurl = 'https://a.example/'\nname = 'a'\n[[index]]\nurl = 'https://b.example/'\nname = 'a'",
            "/project/pyproject.toml names two indexes `a`",
        ),
        (
            "[[index]]\nurl = 'https://a.example/'\nexplicit = true",
            "/project/pyproject.toml has an explicit index without a name",
        ),
        (
            "[sources]\ndemo = { index = 'b' }",
            "/project/pyproject.toml takes `demo` from the index `b`, but names none of that name",
        ),
        (
            "index-strategy = 'best'",
            "index-strategy (/project/pyproject.toml) is `best`, which is no strategy: use \
             first-index or unsafe-best-match",
        ),
        (
            "keyring-provider = 'subprocess'",
            "keyring-provider (/project/pyproject.toml) wants the program `keyring`, which is not \
             on PATH",
        ),
    ] {
        let error = resolve(&f.around, Some(&table(text)), &Flags::default());
        assert_eq!(error.expect_err(text).to_string(), said);
    }
    for bad in [
        "[[index]]\nurl = 'https://a.example/'\nexclusive = true",
        "[sources]\ndemo = { git = 'https://a.example/' }",
    ] {
        assert!(toml::from_str::<ProjectSettings>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_is_a_projects_to_name() {
    let f = fixture(&[]);
    let text = "[sources]\nlib = { path = '../lib' }\n";
    let table: ProjectSettings = toml::from_str(text).expect("a source");
    let project = ProjectSettings {
        root: "/project".into(),
        ..table
    };
    let configured = resolve(&f.around, Some(&project), &Flags::default()).expect("fine");
    assert!(configured.sources.pins.is_empty());
    assert_eq!(configured.settings[0].value, "lib from ../lib");
    f.write("home/.config/blast/config.toml", text);
    let error = resolve(&f.around, None, &Flags::default()).expect_err("of all projects");
    assert!(error.to_string().contains("`lib`"), "{error}");
    for wrong in [
        "{}",
        "{ index = 'a', path = 'b' }",
        "{ index = 'a', editable = true }",
        "{ git = 'x' }",
    ] {
        let read = toml::from_str::<ProjectSettings>(&format!("[sources]\nlib = {wrong}\n"));
        assert!(read.is_err(), "{wrong}");
    }
}

#[test]
fn the_users_file_stands_between_pip_and_our_variables() {
    let mut f = fixture(&[("PIP_INDEX_URL", "https://pip.example/")]);
    f.write(
        "home/.config/blast/config.toml",
        "index-url = 'https://user.example/'\nindex-strategy = 'unsafe-best-match'\n\
         background-refresh = false\nrefresh-ttl = 60\nproxy = 'p.example:1'\n",
    );
    let configured = f.resolve();
    assert_eq!(shown(&configured), ["https://user.example/"]);
    assert_eq!(configured.sources.strategy, IndexStrategy::UnsafeBestMatch);
    let refresh = configured.sources.refresh;
    assert_eq!(
        (refresh.enabled, refresh.ttl_s, refresh.idle_s),
        (false, 60, 60)
    );
    assert!(configured.sources.proxy.https.is_some());
    let path = f.dir.path().join("home/.config/blast/config.toml");
    let origin = Origin::UserConfig(path.clone());
    assert!(
        configured
            .settings
            .iter()
            .all(|setting| setting.origin == origin)
    );
    f.around.variables.insert(
        "BLAST_INDEX_URL".to_owned(),
        "https://ours.example/".to_owned(),
    );
    assert_eq!(f.urls(), ["https://ours.example/"]);
    f.write("home/.config/blast/config.toml", "index-url = 3");
    let error = resolve(&f.around, None, &Flags::default()).expect_err("no text");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_keyring_is_found_on_the_path_of_the_command() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut f = fixture(&[("PIP_KEYRING_PROVIDER", "auto")]);
    assert_eq!(
        f.resolve().sources.keyring,
        None,
        "pip uses one if there is one"
    );
    f.write("bin/keyring", "");
    let program = f.dir.path().join("bin/keyring");
    let path = format!("relative:/nowhere:{}", f.dir.path().join("bin").display());
    f.around.variables.insert("PATH".to_owned(), path);
    assert_eq!(f.resolve().sources.keyring, None, "it cannot be run");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
    assert_eq!(f.resolve().sources.keyring, Some(program));
    let flags = Flags {
        keyring_provider: Some("disabled".to_owned()),
        ..Flags::default()
    };
    let sources = resolve(&f.around, None, &flags).expect("usable").sources;
    assert_eq!(sources.keyring, None);
}
