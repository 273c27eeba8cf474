use super::*;

const TAG: &str = "cpython-312-3531";

/// A compiler that knows how to compile, a layer of three modules, and nobody at work.
fn prepared() -> (tempfile::TempDir, Compiler, LayerId) {
    let folder = tempfile::tempdir().expect("temporary directory");
    let store = Arc::new(Store::open_in_memory(folder.path()).expect("a store"));
    let staging = store.stage().expect("writable");
    let mut builder = LayerBuilder::new();
    for name in ["a", "b", "c"] {
        let path = format!("lib/python3.12/site-packages/{name}.py");
        builder
            .inline(&path, 0o644, 0, *b"x = 1")
            .expect("a plain path");
    }
    let layer = staging.layer(builder).expect("staged");
    staging.publish().expect("published");
    let compiler = Compiler::new(store, false);
    compiler.know(Flavour {
        executable: "/nonexistent/python".into(),
        cache_tag: "cpython-312".to_owned(),
        tag: TAG.to_owned(),
    });
    (folder, compiler, layer)
}

fn enqueue(compiler: &Compiler, layer: LayerId) -> (Key, u64) {
    let mut state = compiler.shared.state();
    let key = compiler.shared.enqueue(&mut state, layer, TAG);
    let key = key.expect("readable").expect("not compiled yet");
    let serial = state.jobs[&key].serial;
    (key, serial)
}

fn take(compiler: &Compiler) -> Slice {
    match compiler.shared.state().queue.next(Instant::now()) {
        Next::Work(slice) => slice,
        other => panic!("there is work: {other:?}"),
    }
}

#[test]
fn what_was_compiled_for_a_dropped_job_does_not_count_for_its_successor() {
    let (_folder, compiler, layer) = prepared();
    let (key, first) = enqueue(&compiler, layer);
    let slice = take(&compiler);
    // While a thread is at the slice, the last environment with the layer goes and another comes.
    compiler.retain(|_| false);
    let (again, second) = enqueue(&compiler, layer);
    assert_eq!(again, key);
    assert_ne!(first, second);
    compiler.shared.slice_done(first, &slice, Vec::new());
    assert_eq!(compiler.left(std::slice::from_ref(&key)), Some(3));
    let slice = take(&compiler);
    compiler.shared.slice_done(second, &slice, Vec::new());
    assert_eq!(
        compiler.left(&[key]),
        None,
        "done, and nothing is left over"
    );
}

#[tokio::test]
async fn waiting_ends_with_the_work_and_when_it_is_dropped() {
    let (_folder, compiler, layer) = prepared();
    assert_eq!(compiler.wait(&[], |_, _| {}).await, 0);
    let (key, _) = enqueue(&compiler, layer);
    let told = std::sync::Mutex::new(Vec::new());
    let keys = [key];
    let mut waiting = std::pin::pin!(compiler.wait(&keys, |done, total| {
        told.lock().expect("unpoisoned").push((done, total));
    }));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    compiler.close();
    assert_eq!(waiting.await, 3);
    assert_eq!(*told.lock().expect("unpoisoned"), [(0, 3), (3, 3)]);
}
