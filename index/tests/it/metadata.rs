//! Metadata of files: beside them, by ranges, from the whole, from the cache.

use std::sync::Arc;

use blast_index::{IndexError, Shared};
use blast_types::{CoreMetadata, DistFile, MetadataAt, Sha256, Silent};

use crate::fixtures::{self, WHEEL, index, offline, only_file, page, wheel};
use crate::server::{Request, Response, Server};

const PATH: &str = "/f/demo-1.0-py3-none-any.whl";

/// An index with one file whose page has these attributes.
fn serve(
    attributes: String,
    file: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| match request.path.as_str() {
        "/simple/demo/" => Response::html(&page(PATH, &attributes)),
        _ => file(request),
    })
}

fn check(metadata: &CoreMetadata) {
    assert_eq!(
        (metadata.name.as_ref(), metadata.requires_dist.len()),
        ("demo", 1)
    );
}

#[tokio::test]
async fn metadata_beside_the_file_is_verified() {
    let hash = Sha256::of(&fixtures::metadata());
    let serve = |hash: Sha256| {
        serve(format!("data-core-metadata='sha256={hash}'"), |request| {
            assert!(request.path.ends_with(".whl.metadata"));
            Response::ok(fixtures::metadata())
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let server = serve(hash);
    let honest = index(dir.path(), &server.url);
    check(&honest.metadata(&*only_file(&honest).await).await.unwrap());

    let server = serve(Sha256::of(b"other"));
    let spoiled = index(dir.path(), &server.url);
    let error = spoiled
        .metadata(&*only_file(&spoiled).await)
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::HashMismatch { .. }), "{error}");
    assert!(error.is_about_one_file());
}

#[tokio::test]
async fn metadata_of_a_hashed_file_is_fetched_once_for_ever() {
    let body = wheel(0);
    let hash = Sha256::of(&body);
    let server = Server::start(move |request| match request.path.as_str() {
        "/simple/demo/" => Response::html(&page(&format!("{PATH}#sha256={hash}"), "")),
        _ => Response::ranged(request, &body),
    });
    let dir = tempfile::tempdir().unwrap();
    let first = index(dir.path(), &server.url);
    let file = only_file(&first).await;
    check(&first.metadata(&file).await.unwrap());
    server.taken();
    check(&first.metadata(&file).await.unwrap());
    check(
        &index(dir.path(), &server.url)
            .metadata(&file)
            .await
            .unwrap(),
    );
    check(
        &Shared::new(dir.path())
            .index(offline(&server.url))
            .metadata(&file)
            .await
            .unwrap(),
    );
    assert_eq!(server.taken(), Vec::<String>::new());
    // Another address must not profit from the hash: nothing proves that it is the same file.
    let elsewhere = DistFile {
        url: file.url.replace("/f/", "/g/").into(),
        ..(*file).clone()
    };
    check(
        &index(dir.path(), &server.url)
            .metadata(&elsewhere)
            .await
            .unwrap(),
    );
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn a_large_wheel_is_read_by_its_tail_and_one_part() {
    let body = wheel(1_000_000);
    let server = serve(String::new(), move |request| {
        Response::ranged(request, &body)
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    check(&index.metadata(&*only_file(&index).await).await.unwrap());
    let taken = server.taken();
    assert_eq!(taken[1], format!("GET {PATH} bytes=-32768"));
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert!(index.requests().bytes < 40_000, "{:?}", index.requests());
}

#[tokio::test]
async fn without_ranges_the_wheel_is_fetched_once_for_metadata_and_install() {
    let body = wheel(1000);
    let hash = Sha256::of(&body);
    let server = Server::start(move |request| match request.path.as_str() {
        "/simple/demo/" => Response::html(&page(&format!("{PATH}#sha256={hash}"), "")),
        _ => Response::ok(&body),
    });
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::new(dir.path());
    let index = shared.index(fixtures::sources(&server.url));
    let file = only_file(&index).await;
    check(&index.metadata(&file).await.unwrap());
    server.taken();
    let dest = dir.path().join("dest.whl");
    assert_eq!(
        index.download(&file, None, &dest, &Silent).await.unwrap(),
        hash
    );
    assert_eq!(server.taken(), Vec::<String>::new());
    assert_eq!(
        std::fs::read_dir(shared.wheels_dir()).unwrap().count(),
        0,
        "taken, not copied"
    );
}

#[tokio::test]
async fn a_promised_metadata_file_that_is_missing_is_made_up_for() {
    let body = wheel(100);
    let server = serve("data-core-metadata='true'".to_owned(), move |request| {
        if request.path.ends_with(".metadata") {
            return Response::new(404, "");
        }
        Response::ranged(request, &body)
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    check(&index.metadata(&*only_file(&index).await).await.unwrap());
}

#[tokio::test]
async fn a_file_that_is_listed_and_gone_spoils_only_itself() {
    let server = serve("data-core-metadata='true'".to_owned(), |_| {
        Response::new(404, "")
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let error = index.metadata(&*only_file(&index).await).await.unwrap_err();
    assert!(
        matches!(error, IndexError::Status { status: 404, .. }),
        "{error}"
    );
    assert!(error.is_about_one_file());
}

#[tokio::test]
async fn metadata_of_something_else_is_refused() {
    let server = serve("data-core-metadata='true'".to_owned(), |_| {
        Response::ok("Metadata-Version: 2.1\nName: demo\nVersion: 2.0\n")
    });
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let error = index.metadata(&*only_file(&index).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the metadata of {WHEEL} is that of demo 2.0")
    );
}

#[tokio::test]
async fn servers_that_lie_about_ranges_get_an_error_or_a_detour() {
    let body = wheel(100_000);
    for range in [
        "bytes 0-9/10",
        "bytes 5-1/3",
        "nonsense",
        "bytes 0-18446744073709551614/18446744073709551615",
    ] {
        let body = body.clone();
        let server = serve(String::new(), move |request| match request.part(&body) {
            Some((_, part)) => Response::new(206, part).with("Content-Range", range),
            None => Response::ok(&body),
        });
        let dir = tempfile::tempdir().unwrap();
        let index = index(dir.path(), &server.url);
        match index.metadata(&*only_file(&index).await).await {
            Ok(metadata) => check(&metadata),
            Err(error) => assert!(error.is_about_one_file(), "{error}"),
        }
    }
}

#[tokio::test]
async fn an_sdist_needs_a_build_unless_its_metadata_is_static() {
    let ask = async |metadata: &'static str| {
        let server = Server::start(move |request| match request.path.as_str() {
            "/simple/demo/" => {
                Response::html(&page("/f/demo-1.0.tar.gz", "data-core-metadata='true'"))
            }
            _ => Response::ok(metadata),
        });
        let dir = tempfile::tempdir().unwrap();
        let index = index(dir.path(), &server.url);
        index.metadata(&*only_file(&index).await).await
    };
    let error = ask("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::NeedsBuild { .. }), "{error}");
    ask("Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_local_wheel_needs_no_server() {
    let wheels = tempfile::tempdir().unwrap();
    let path = wheels.path().join(WHEEL);
    std::fs::write(&path, wheel(200_000)).unwrap();
    let url = format!("file://{}", path.display()).parse().unwrap();
    let file: Arc<DistFile> = Arc::new(blast_index::file_at(&url, None).expect("a wheel"));
    assert_eq!(file.metadata, MetadataAt::Inside);
    let dir = tempfile::tempdir().unwrap();
    let index = Shared::new(dir.path()).index(offline("http://127.0.0.1:1"));
    check(&index.metadata(&file).await.unwrap());
    std::fs::write(&path, "no zip").unwrap();
    let again = Shared::new(dir.path()).index(offline("http://127.0.0.1:1"));
    let error = again.metadata(&file).await.unwrap_err();
    assert!(
        error.to_string().contains(WHEEL) && error.is_about_one_file(),
        "{error}"
    );
}
