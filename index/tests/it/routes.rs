//! Which index answers for which project, and as whom it is asked.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use blast_index::{IndexError, IndexSource, IndexStrategy, Shared, Sources};
use blast_types::{Hint as _, ProjectFiles};

use crate::fixtures::{WHEEL, index, name, page, sources};
use crate::server::{Response, Server};

fn shown(project: &ProjectFiles) -> Vec<String> {
    let files = project.versions.iter().flat_map(|version| &version.files);
    files.map(|file| file.filename.to_string()).collect()
}

/// A server that has every project in this version.
fn everything(version: &'static str) -> Server {
    Server::start(move |request| {
        let project = request.path.split('/').nth(2).unwrap_or_default();
        Response::html(&page(&format!("{project}-{version}.tar.gz"), ""))
    })
}

fn named(server: &Server, name: &str, explicit: bool) -> IndexSource {
    IndexSource {
        name: Some(name.to_owned()),
        explicit,
        ..sources(&server.url).indexes.remove(0)
    }
}

#[tokio::test]
async fn a_pinned_package_comes_from_its_index_and_from_nowhere_else() {
    let (first, special) = (everything("1.0"), everything("2.0"));
    let links = tempfile::tempdir().unwrap();
    std::fs::write(links.path().join("torch-9.tar.gz"), "").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(Sources {
        indexes: vec![
            named(&first, "first", false),
            named(&special, "special", true),
        ],
        pins: BTreeMap::from([(name("torch"), "special".to_owned())]),
        find_links: vec![links.path().display().to_string()],
        ..sources(&first.url)
    });
    let torch = index.project(&name("torch")).await.unwrap();
    assert_eq!(shown(&torch), ["torch-2.0.tar.gz"]);
    assert_eq!(first.taken(), Vec::<String>::new());
    let other = index.project(&name("other")).await.unwrap();
    assert_eq!(shown(&other), ["other-1.0.tar.gz"]);
    assert_eq!(special.taken(), ["GET /simple/torch/"], "it is explicit");
}

#[tokio::test]
async fn a_pinned_package_that_its_index_lacks_is_not_found() {
    let (first, special) = (everything("1.0"), Server::start(|_| Response::new(404, "")));
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(Sources {
        indexes: vec![
            named(&first, "first", false),
            named(&special, "special", false),
        ],
        pins: BTreeMap::from([(name("torch"), "special".to_owned())]),
        ..sources(&first.url)
    });
    let error = index.project(&name("torch")).await.unwrap_err();
    assert!(matches!(error, IndexError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(&special.url), "{error}");
    assert_eq!(first.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn the_best_match_looks_at_all_indexes_only_where_that_is_asked_for() {
    let (first, second) = (everything("1.0"), everything("2.0"));
    let both = |strategy| Sources {
        indexes: vec![
            named(&first, "first", false),
            named(&second, "second", false),
        ],
        strategy,
        ..sources(&first.url)
    };
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let index = shared.index(both(IndexStrategy::FirstIndex));
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(shown(&project), ["demo-1.0.tar.gz"]);
    let index = shared.index(both(IndexStrategy::UnsafeBestMatch));
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(shown(&project), ["demo-1.0.tar.gz", "demo-2.0.tar.gz"]);
    let from: Vec<_> = project
        .versions
        .iter()
        .map(|version| project.index_of(&version.files[0]).to_string())
        .collect();
    assert_eq!(
        from,
        [&first, &second].map(|server| format!("{}/simple/", server.url))
    );
}

/// A server whose page of `demo` says this of others.
fn speaking(version: &'static str, said: String) -> Server {
    Server::start(move |_| {
        Response::html(&(said.clone() + &page(&format!("demo-{version}.tar.gz"), "")))
    })
}

fn meta(name: &str, server: &Server) -> String {
    let url = &server.url;
    format!("<meta name='pypi:{name}' content='{url}/simple/demo/'>")
}

#[tokio::test]
async fn pages_that_are_of_one_project_by_their_own_word_are_one_offer() {
    let public = everything("2.0");
    let ours = speaking("1.0", meta("tracks", &public));
    let silent = everything("3.0");
    for strategy in [IndexStrategy::FirstIndex, IndexStrategy::UnsafeBestMatch] {
        let both = Sources {
            indexes: vec![named(&ours, "ours", false), named(&public, "public", false)],
            strategy,
            ..sources(&ours.url)
        };
        let dir = tempfile::tempdir().unwrap();
        let index = Shared::new(dir.path()).index(both);
        let project = index.project(&name("demo")).await.unwrap();
        assert_eq!(shown(&project), ["demo-1.0.tar.gz", "demo-2.0.tar.gz"]);
    }
    // An index that nobody named is not asked.
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(Sources {
        indexes: vec![named(&ours, "ours", false), named(&silent, "silent", false)],
        ..sources(&ours.url)
    });
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(shown(&project), ["demo-1.0.tar.gz"]);
    assert_eq!(silent.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn an_alternate_location_that_does_not_agree_has_no_say() {
    let public = everything("2.0");
    let ours = speaking("1.0", meta("alternate-locations", &public));
    let both = |strategy| Sources {
        indexes: vec![named(&ours, "ours", false), named(&public, "public", false)],
        strategy,
        ..sources(&ours.url)
    };
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let index = shared.index(both(IndexStrategy::FirstIndex));
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(shown(&project), ["demo-1.0.tar.gz"]);
    let index = shared.index(both(IndexStrategy::UnsafeBestMatch));
    let error = index.project(&name("demo")).await.unwrap_err();
    assert!(matches!(error, IndexError::Disagreement { .. }), "{error}");
    assert!(error.to_string().contains(&public.url), "{error}");
    assert!(error.hints()[0].contains("sources"), "{error:?}");
}

#[tokio::test]
async fn a_directory_tree_without_pages_is_an_index() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("demo")).unwrap();
    for file in [WHEEL, "other-1.0.tar.gz", "README"] {
        std::fs::write(tree.path().join("demo").join(file), "").unwrap();
    }
    let url = format!("file://{}", tree.path().display());
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(Sources::of_index(url.parse().unwrap()));
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
}

/// A server that wants "me:secret" (RFC 7617).
fn private() -> Server {
    Server::start(|request| match request.header("authorization") {
        Some("Basic bWU6c2VjcmV0") => Response::html(&page(WHEEL, "")),
        _ => Response::new(401, ""),
    })
}

#[tokio::test]
async fn a_keyring_is_asked_once_and_only_where_it_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let (program, log) = (dir.path().join("keyring"), dir.path().join("log"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\ncase \"$*\" in *--mode*) echo me;; esac\necho secret\n",
        log.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (user, arguments) in [("", "--mode creds"), ("me@", "me")] {
        let server = private();
        let url = server.url.replace("//", &format!("//{user}"));
        let cache = tempfile::tempdir().unwrap();
        let index = Shared::new(cache.path()).index(Sources {
            keyring: Some(program.clone()),
            ..sources(&url)
        });
        let (demo, again) = (name("demo"), name("again"));
        futures::future::try_join(index.project(&demo), index.project(&again))
            .await
            .unwrap();
        let asked = std::fs::read_to_string(&log).unwrap();
        assert_eq!(asked, format!("get {}/simple/ {arguments}\n", server.url));
        std::fs::remove_file(&log).unwrap();
    }
    let open = Server::start(|_| Response::html(&page(WHEEL, "")));
    let cache = tempfile::tempdir().unwrap();
    let index = Shared::new(cache.path()).index(Sources {
        keyring: Some(program),
        ..sources(&open.url)
    });
    index.project(&name("demo")).await.unwrap();
    assert!(!log.exists(), "nobody refused anything");
}

#[tokio::test]
async fn without_a_keyring_a_refusal_is_final() {
    let server = private();
    let dir = tempfile::tempdir().unwrap();
    let error = index(dir.path(), &server.url)
        .project(&name("demo"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, IndexError::Refused { status: 401, .. }),
        "{error}"
    );
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_asked_for_all_but_what_is_exempt() {
    let proxy = Server::start(|_| Response::html(&page(WHEEL, "")));
    let direct = everything("1.0");
    let with = |no_proxy: Option<&str>| Sources {
        proxy: blast_index::Proxies {
            http: Some(proxy.url.replace("//", "//me:secret@").parse().unwrap()),
            https: None,
            no_proxy: no_proxy.map(str::to_owned),
        },
        ..sources(&direct.url)
    };
    let ask = async |sources| {
        let dir = tempfile::tempdir().unwrap();
        let index = Shared::new(dir.path()).index(sources);
        shown(&index.project(&name("demo")).await.unwrap())
    };
    assert_eq!(ask(with(None)).await, [WHEEL]);
    assert_eq!(proxy.taken(), [format!("GET {}/simple/demo/", direct.url)]);
    assert_eq!(
        ask(with(Some("localhost,127.0.0.1"))).await,
        ["demo-1.0.tar.gz"]
    );
    assert_eq!(proxy.taken(), Vec::<String>::new());
}
