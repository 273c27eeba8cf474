//! Project pages: caching, failures, several indexes, find-links.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use blast_index::{ConnectFailure, IndexError, Shared, Sources};
use blast_types::{Hint as _, ProjectFiles};

use crate::fixtures::{WHEEL, index, name, offline, page, sources};
use crate::server::{Response, Server};

fn shown(project: &ProjectFiles) -> Vec<String> {
    let files = project.versions.iter().flat_map(|version| &version.files);
    files.map(|file| file.filename.to_string()).collect()
}

#[tokio::test]
async fn a_fresh_page_is_asked_for_once_even_after_a_restart() {
    let server =
        Server::start(|_| Response::html(&page(WHEEL, "")).with("Cache-Control", "max-age=600"));
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    for _ in 0..3 {
        let index = shared.index(sources(&server.url));
        assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
    }
    let again = index(dir.path(), &server.url);
    assert_eq!(shown(&again.project(&name("demo")).await.unwrap()), [WHEEL]);
    assert_eq!(again.requests().requests, 0);
    assert_eq!(server.taken(), ["GET /simple/demo/"]);
}

#[tokio::test]
async fn what_must_be_confirmed_is_confirmed_once_per_command() {
    let server = Server::start(|request| match request.header("if-none-match") {
        Some("\"1\"") => Response::new(304, ""),
        _ => Response::html(&page(WHEEL, "")).with("ETag", "\"1\""),
    });
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    for command in 0..3 {
        let index = shared.index(sources(&server.url));
        for _ in 0..5 {
            assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
        }
        assert_eq!(index.requests().confirmed, u64::from(command > 0));
    }
    assert_eq!(server.taken().len(), 3);
    // After a restart the page on disk is confirmed and parsed.
    let index = index(dir.path(), &server.url);
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
    assert_eq!(
        (index.requests().requests, index.requests().confirmed),
        (1, 1)
    );
}

#[tokio::test]
async fn a_changed_page_is_seen_by_the_next_command() {
    let body = Arc::new(Mutex::new(page(WHEEL, "")));
    let current = Arc::clone(&body);
    let server = Server::start(move |_| {
        Response::html(&current.lock().unwrap()).with("Cache-Control", "no-cache")
    });
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let first = shared.index(sources(&server.url));
    assert_eq!(shown(&first.project(&name("demo")).await.unwrap()), [WHEEL]);
    *body.lock().unwrap() = page("demo-2.0.tar.gz", "");
    assert_eq!(
        shown(&first.project(&name("demo")).await.unwrap()),
        [WHEEL],
        "same command"
    );
    let second = shared.index(sources(&server.url));
    assert_eq!(
        shown(&second.project(&name("demo")).await.unwrap()),
        ["demo-2.0.tar.gz"]
    );
}

#[tokio::test]
async fn equal_requests_at_once_are_one_request() {
    let server = Server::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        Response::html(&page(WHEEL, ""))
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let demo = name("demo");
    let all = futures::future::join_all((0..20).map(|_| index.project(&demo))).await;
    assert!(all.into_iter().all(|project| project.is_ok()));
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn offline_uses_what_is_there_and_says_what_is_not() {
    let server = Server::start(|_| Response::html(&page(WHEEL, "")));
    let dir = tempfile::tempdir().unwrap();
    index(dir.path(), &server.url)
        .project(&name("demo"))
        .await
        .unwrap();
    server.taken();
    let index = Shared::new(dir.path()).index(offline(&server.url));
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
    let error = index.project(&name("other")).await.unwrap_err();
    assert!(matches!(error, IndexError::Offline { .. }), "{error}");
    assert_eq!(error.hints(), ["repeat the command once without --offline"]);
    assert_eq!(server.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_cache_costs_a_request_and_nothing_else() {
    let server =
        Server::start(|_| Response::html(&page(WHEEL, "")).with("Cache-Control", "max-age=600"));
    let dir = tempfile::tempdir().unwrap();
    index(dir.path(), &server.url)
        .project(&name("demo"))
        .await
        .unwrap();
    let simple = dir.path().join("simple-v1");
    let folder = std::fs::read_dir(&simple)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let file = folder.join("demo");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let again = index(dir.path(), &server.url);
    assert_eq!(shown(&again.project(&name("demo")).await.unwrap()), [WHEEL]);
    assert_eq!(again.requests().requests, 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_stops_nothing() {
    let server = Server::start(|_| Response::html(&page(WHEEL, "")));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("occupied");
    std::fs::write(&file, "").unwrap();
    let index = index(&file, &server.url);
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
}

#[tokio::test]
async fn what_nobody_has_is_not_found() {
    let server = Server::start(|_| Response::new(404, ""));
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    for _ in 0..2 {
        let error = index.project(&name("demo")).await.unwrap_err();
        let url = &server.url;
        assert_eq!(
            error.to_string(),
            format!("no package named `demo` was found in {url}/simple/")
        );
    }
    assert_eq!(
        server.taken().len(),
        1,
        "absence is remembered within a command"
    );
    let nowhere = Shared::new(dir.path()).index(Sources {
        no_index: true,
        ..Sources::default()
    });
    let error = nowhere.project(&name("demo")).await.unwrap_err();
    assert!(matches!(error, IndexError::NoIndex { .. }), "{error}");
}

#[tokio::test]
async fn the_first_index_that_has_a_project_answers_for_it() {
    let private = Server::start(|request| match request.path.as_str() {
        "/simple/demo/" => Response::html(&page(WHEEL, "")),
        _ => Response::new(404, ""),
    });
    let public = Server::start(|request| {
        let project = request.path.split('/').nth(2).unwrap_or_default();
        Response::html(&page(&format!("{project}-99.tar.gz"), ""))
    });
    let mut both = sources(&private.url);
    both.indexes.extend(sources(&public.url).indexes);
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(both);
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
    assert_eq!(public.taken(), Vec::<String>::new());
    assert_eq!(
        shown(&index.project(&name("other")).await.unwrap()),
        ["other-99.tar.gz"]
    );
}

#[tokio::test]
async fn an_index_that_does_not_answer_is_not_passed_over() {
    let down = Server::start(|_| Response::new(503, ""));
    let up = Server::start(|_| Response::html(&page("demo-99.tar.gz", "")));
    let mut both = sources(&down.url);
    both.indexes.extend(sources(&up.url).indexes);
    let dir = tempfile::tempdir().unwrap();
    let error = Shared::new(dir.path())
        .index(both)
        .project(&name("demo"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, IndexError::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(down.taken().len(), 3, "asked again before giving up");
    assert_eq!(up.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn passing_failures_are_survived() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Response::new(429, "").with("Retry-After", "0"),
        1 => Response::html(&page(WHEEL, "")).cut(3),
        _ => Response::html(&page(WHEEL, "")),
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    assert_eq!(shown(&index.project(&name("demo")).await.unwrap()), [WHEEL]);
    assert_eq!(index.requests().repeated, 2);
}

#[tokio::test]
async fn failures_say_what_kind_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let ask = async |url: &str| {
        let index = shared.index(Sources {
            retries: 0,
            ..sources(url)
        });
        index.project(&name("demo")).await.unwrap_err()
    };
    let port = {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        closed.local_addr().unwrap().port()
    };
    let error = ask(&format!("http://127.0.0.1:{port}")).await;
    let refused = ConnectFailure::ConnectionRefused;
    assert!(
        matches!(error, IndexError::Connect { failure, .. } if failure == refused),
        "{error}"
    );
    let error = ask("http://nowhere.invalid").await;
    let dns = ConnectFailure::Dns;
    assert!(
        matches!(error, IndexError::Connect { failure, .. } if failure == dns),
        "{error}"
    );
    let plain = Server::start(|_| Response::ok(""));
    let error = ask(&plain.url.replace("http:", "https:")).await;
    assert!(matches!(error, IndexError::Connect { .. }), "{error}");
    let forbidden = Server::start(|_| Response::new(403, ""));
    let error = ask(&forbidden.url.replace("//", "//me:secret@")).await;
    assert!(
        matches!(error, IndexError::Refused { status: 403, .. }),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("secret"));
    let pdf = Server::start(|_| Response::ok("%PDF").with("Content-Type", "application/pdf"));
    let error = ask(&pdf.url).await;
    assert!(matches!(error, IndexError::Page { .. }), "{error}");
    assert!(!error.hints().is_empty());
}

#[tokio::test]
async fn credentials_go_to_their_host_only() {
    let other = Server::start(|request| {
        assert_eq!(request.header("authorization"), None);
        Response::html(&page(WHEEL, ""))
    });
    let target = format!("{}/simple/moved/", other.url);
    let first = Server::start(move |request| {
        // "me:secret", encoded as RFC 7617 wants it.
        assert_eq!(request.header("authorization"), Some("Basic bWU6c2VjcmV0"));
        Response::new(302, "").with("Location", &target)
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &first.url.replace("//", "//me:secret@"));
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(shown(&project), [WHEEL]);
    assert!(!project.index.contains("secret"));
    let url = &project.versions[0].files[0].url;
    assert!(
        url.starts_with(&other.url),
        "relative to where the page is: {url}"
    );
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends() {
    let server = Server::start(|request| Response::new(302, "").with("Location", &request.path));
    let dir = tempfile::tempdir().unwrap();
    let error = index(dir.path(), &server.url)
        .project(&name("demo"))
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::Redirect { .. }), "{error}");
}

#[tokio::test]
async fn find_links_add_candidates() {
    let wheels = tempfile::tempdir().unwrap();
    for file in ["demo-3.0-py3-none-any.whl", "local-1.0.tar.gz", "README"] {
        std::fs::write(wheels.path().join(file), "").unwrap();
    }
    let linked = Server::start(|_| Response::html(&page("/f/demo-2.0.tar.gz", "")));
    let server = Server::start(|request| match request.path.as_str() {
        "/simple/demo/" => Response::html(&page(WHEEL, "")),
        _ => Response::new(404, ""),
    });
    let find_links = vec![
        wheels.path().display().to_string(),
        format!("{}/links", linked.url),
        "/does/not/exist".to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let index = shared.index(Sources {
        find_links,
        ..sources(&server.url)
    });
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(
        shown(&project),
        [WHEEL, "demo-2.0.tar.gz", "demo-3.0-py3-none-any.whl"]
    );
    assert!(project.versions[2].files[0].url.starts_with("file:///"));
    assert_eq!(
        shown(&index.project(&name("local")).await.unwrap()),
        ["local-1.0.tar.gz"]
    );
    assert_eq!(
        index.warnings(),
        ["the find-links directory /does/not/exist is missing"]
    );
    let error = index.project(&name("other")).await.unwrap_err().to_string();
    assert!(error.contains("/does/not/exist"), "{error}");
}

#[tokio::test]
async fn a_directory_tree_is_an_index() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("demo")).unwrap();
    std::fs::write(tree.path().join("demo/index.html"), page(WHEEL, "")).unwrap();
    let url = format!("file://{}", tree.path().display());
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(Sources::of_index(url.parse().unwrap()));
    let project = index.project(&name("demo")).await.unwrap();
    assert_eq!(
        &*project.versions[0].files[0].url,
        format!("{url}/demo/{WHEEL}")
    );
    assert!(matches!(
        index.project(&name("other")).await.unwrap_err(),
        IndexError::NotFound { .. }
    ));
}

#[tokio::test]
async fn pages_that_must_not_be_stored_are_not() {
    let server =
        Server::start(|_| Response::html(&page(WHEEL, "")).with("Cache-Control", "no-store"));
    let dir = tempfile::tempdir().unwrap();
    index(dir.path(), &server.url)
        .project(&name("demo"))
        .await
        .unwrap();
    let index = Shared::new(dir.path()).index(offline(&server.url));
    assert!(matches!(
        index.project(&name("demo")).await.unwrap_err(),
        IndexError::Offline { .. }
    ));
}
