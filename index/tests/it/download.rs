//! Downloads: verified, resumed, reported.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use blast_index::{Index, IndexError};
use blast_types::{DistFile, Event, FileHash, HashAlgorithm, Reporter, Sha256, Silent};

use crate::fixtures::{WHEEL, index};
use crate::server::{Response, Server};

fn file(url: &str, sha256: Option<Sha256>, size: Option<u64>) -> DistFile {
    let url = format!("{url}/f/{WHEEL}").parse().expect("a URL");
    DistFile {
        sha256,
        size,
        ..blast_index::file_at(&url, None).expect("a wheel")
    }
}

async fn fetch(index: &Index, file: &DistFile, dest: &Path) -> Result<Sha256, IndexError> {
    index.download(file, None, dest, &Silent).await
}

fn body() -> Vec<u8> {
    (0..500_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[tokio::test]
async fn promises_of_any_algorithm_are_checked() {
    let server = Server::start(|_| Response::ok(body()));
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("x");
    let index = index(dir.path(), &server.url);
    for algorithm in HashAlgorithm::ALL {
        let promised = |bytes: &[u8]| {
            let mut hasher = algorithm.hasher();
            hasher.update(bytes);
            DistFile {
                other_hash: Some(Box::new(FileHash::of(algorithm, hasher))),
                ..file(&server.url, None, None)
            }
        };
        let sha256 = fetch(&index, &promised(&body()), &dest).await.unwrap();
        assert_eq!(sha256, Sha256::of(&body()));
        let error = fetch(&index, &promised(b"other"), &dest).await.unwrap_err();
        assert!(
            matches!(error, IndexError::OtherHashMismatch { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(algorithm.name()), "{error}");
    }
}

#[tokio::test]
async fn promises_are_checked() {
    let server = Server::start(|_| Response::ok(body()));
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("x");
    let index = index(dir.path(), &server.url);
    let (hash, size) = (Sha256::of(&body()), body().len() as u64);
    let honest = file(&server.url, Some(hash), Some(size));
    assert_eq!(fetch(&index, &honest, &dest).await.unwrap(), hash);
    assert_eq!(std::fs::read(&dest).unwrap(), body());
    assert_eq!(
        fetch(&index, &file(&server.url, None, None), &dest)
            .await
            .unwrap(),
        hash
    );

    let wrong = Sha256::of(b"other");
    let error = fetch(&index, &file(&server.url, Some(wrong), None), &dest)
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::HashMismatch { .. }), "{error}");
    let error = fetch(&index, &file(&server.url, None, Some(size + 1)), &dest)
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::SizeMismatch { .. }), "{error}");
    let error = fetch(&index, &file(&server.url, None, Some(1000)), &dest)
        .await
        .unwrap_err();
    assert!(
        matches!(error, IndexError::TooLarge { limit: 1000, .. }),
        "{error}"
    );
    let locked = index
        .download(&file(&server.url, None, None), Some(wrong), &dest, &Silent)
        .await;
    assert!(
        matches!(locked, Err(IndexError::HashMismatch { .. })),
        "{locked:?}"
    );
    let conflict = index.download(&honest, Some(wrong), &dest, &Silent).await;
    assert!(
        matches!(conflict, Err(IndexError::HashConflict { .. })),
        "{conflict:?}"
    );
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_broke() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let response = Response::ranged(request, &body()).with("ETag", "\"1\"");
        match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => response.cut(200_000),
            _ => response,
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("x");
    let index = index(dir.path(), &server.url);
    let file = file(&server.url, None, None);
    assert_eq!(
        fetch(&index, &file, &dest).await.unwrap(),
        Sha256::of(&body())
    );
    assert_eq!(std::fs::read(&dest).unwrap(), body());
    let taken = server.taken();
    assert_eq!(taken.len(), 3);
    assert!(
        taken[1].contains(" bytes=") && !taken[1].contains("bytes=0"),
        "{taken:?}"
    );
}

#[tokio::test]
async fn without_ranges_a_broken_transfer_starts_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Response::ok(body()).cut(200_000),
        _ => Response::ok(body()),
    });
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("x");
    let index = index(dir.path(), &server.url);
    let file = file(&server.url, None, None);
    assert_eq!(
        fetch(&index, &file, &dest).await.unwrap(),
        Sha256::of(&body())
    );
    assert_eq!(std::fs::read(&dest).unwrap(), body());
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_not_mixed_with_the_old_one() {
    let new: Vec<u8> = body().iter().map(|byte| !byte).collect();
    let answer = new.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        // No validator and no promised hash: nothing says that a rest would fit.
        0 => Response::ok(body()).cut(200_000),
        _ => Response::ranged(request, &answer),
    });
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("x");
    let index = index(dir.path(), &server.url);
    let file = file(&server.url, None, None);
    assert_eq!(fetch(&index, &file, &dest).await.unwrap(), Sha256::of(&new));
    assert_eq!(std::fs::read(&dest).unwrap(), new);
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_no_answer() {
    let server =
        Server::start(|_| Response::new(206, "part").with("Content-Range", "bytes 0-3/100"));
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let file = file(&server.url, None, None);
    let error = fetch(&index, &file, &dir.path().join("x"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, IndexError::Status { status: 206, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_transfer_that_always_breaks_is_an_error() {
    let server = Server::start(|_| Response::ok(body()).cut(10));
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let file = file(&server.url, None, None);
    let error = fetch(&index, &file, &dir.path().join("x"))
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::Body { .. }), "{error}");
    assert_eq!(server.taken().len(), 3);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let server = Server::start(|_| Response::ok(body()));
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let dest = dir.path().join("no/such/folder");
    let error = fetch(&index, &file(&server.url, None, None), &dest)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot write {}", dest.display())
    );
}

#[tokio::test]
async fn local_files_are_copied_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(WHEEL), body()).unwrap();
    let url = format!("file://{}/{WHEEL}", dir.path().display())
        .parse()
        .unwrap();
    let local = blast_index::file_at(&url, None).expect("a wheel");
    let dest = dir.path().join("x");
    let index = index(dir.path(), "http://127.0.0.1:1");
    assert_eq!(
        fetch(&index, &local, &dest).await.unwrap(),
        Sha256::of(&body())
    );
    let wrong = DistFile {
        sha256: Some(Sha256::of(b"")),
        ..local
    };
    let error = fetch(&index, &wrong, &dest).await.unwrap_err();
    assert!(matches!(error, IndexError::HashMismatch { .. }), "{error}");
}

#[tokio::test]
async fn the_end_of_a_transfer_is_reported() {
    #[derive(Default)]
    struct Log(Mutex<Vec<Event>>);
    impl Reporter for Log {
        fn report(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }
    let server = Server::start(|_| Response::ok(body()));
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path(), &server.url);
    let log = Log::default();
    let file = file(&server.url, None, None);
    index
        .download(&file, None, &dir.path().join("x"), &log)
        .await
        .unwrap();
    let total = body().len() as u64;
    let last = Event::Download {
        file: WHEEL.to_owned(),
        done: total,
        total,
    };
    assert_eq!(log.0.lock().unwrap().last(), Some(&last));
}
