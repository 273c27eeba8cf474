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

/// What a helper would have made of the sources of a slice.
fn compiled(names: &[&str]) -> Vec<(Compiled, Vec<u8>)> {
    let made = names.iter().map(|name| {
        let bytes = name.repeat(10).into_bytes();
        let compiled = Compiled {
            path: bytecode_of(name),
            mtime: 0,
            content: Content::Inline(bytes.clone()),
        };
        (compiled, bytes)
    });
    made.collect()
}

fn bytecode_of(name: &str) -> String {
    format!("lib/python3.12/site-packages/__pycache__/{name}.cpython-312.pyc")
}

#[test]
fn what_a_dropped_job_compiled_is_shown_and_used_by_the_next() {
    let (_folder, compiler, layer) = prepared();
    let (key, first) = enqueue(&compiler, layer);
    let mut slice = take(&compiler);
    let rest = slice.sources.split_off(2);
    compiler
        .shared
        .slice_done(first, &slice, compiled(&["a", "b"]));
    compiler.retain(|_| false);
    // A thread writes it down.
    while compiler.shared.state().threads > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(compiler.pending(), 0);

    let (_, second) = enqueue(&compiler, layer);
    let Bytecode::Pending(shown) = compiler.state(key.0, TAG) else {
        panic!("there is a job")
    };
    let (number, part) = &shown[0];
    assert!(part.find(bytecode_of("b")).is_some(), "it is shown at once");
    assert!(compiler.part(*number).is_some());

    let slice = take(&compiler);
    let (resumed, layer, flavour) = {
        let state = compiler.shared.state();
        let job = &state.jobs[&key];
        let (layer, flavour) = (Arc::clone(&job.layer), Arc::clone(&job.flavour));
        (job.resumed.clone(), layer, flavour)
    };
    let missing = parked::missing(&resumed, (&layer, &flavour), &slice.sources);
    assert_eq!(missing, rest, "the others are not compiled again");
    compiler.shared.slice_done(second, &slice, compiled(&["c"]));
    let Bytecode::Ready(_, companion) = compiler.state(key.0, TAG) else {
        panic!("all is compiled")
    };
    for name in ["a", "b", "c"] {
        let found = companion.find(bytecode_of(name)).expect("in the companion");
        let EntryKind::Inline { bytes } = companion.entry(found).kind else {
            panic!("small bytecode is in the layer")
        };
        assert_eq!(bytes, name.repeat(10).as_bytes());
    }
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
