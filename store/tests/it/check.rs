//! The checker names what is damaged and who needs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use blast_store::{CheckReport, Problem, Store};
use blast_types::BlobId;

use crate::fixture::{Home, Twin, create, env, install, module_bytes};

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn path_of(store: &Store, kind: &str, hex: &str) -> std::path::PathBuf {
    store
        .home()
        .join("store")
        .join(kind)
        .join(&hex[..2])
        .join(&hex[2..])
}

fn only(report: &CheckReport) -> &blast_store::Finding {
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    &report.findings[0]
}

#[test]
fn a_flipped_bit_in_a_blob_is_found_by_a_deep_check_and_blamed() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "demo", &[("flask", 2), ("jinja2", 3)]);
    create(&store, "other", &[("jinja2", 3)]);
    let blob = BlobId::of(&module_bytes("flask", 2));
    overwrite(&store.blob_path(blob), |bytes| bytes[10] ^= 1);
    assert!(store.check(false).unwrap().is_clean(), "sizes agree");
    let report = store.check(true).unwrap();
    let finding = only(&report);
    assert_eq!(finding.problem, Problem::DamagedBlob { blob });
    assert_eq!(finding.environments, [env("demo")].into());
    assert_eq!(finding.packages, ["flask==2.0".to_owned()].into());
    let path = "lib/python3.12/site-packages/flask/__init__.py".to_owned();
    assert_eq!(finding.paths, [path].into());
    let json = serde_json::to_value(finding).unwrap();
    assert_eq!(json["problem"], "damaged-blob");
    assert_eq!(json["environments"][0], "demo");
}

#[test]
fn missing_and_short_blobs_are_found_without_reading_bytes() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[("flask", 2), ("jinja2", 3)]);
    let (gone, short) = (
        BlobId::of(&module_bytes("flask", 2)),
        BlobId::of(&module_bytes("jinja2", 3)),
    );
    fs::remove_file(store.blob_path(gone)).unwrap();
    overwrite(&store.blob_path(short), |bytes| bytes.truncate(3));
    let report = store.check(false).unwrap();
    let problems: Vec<_> = report
        .findings
        .iter()
        .map(|finding| &finding.problem)
        .collect();
    assert_eq!(problems.len(), 2);
    assert!(problems.contains(&&Problem::MissingBlob { blob: gone }));
    let expected = module_bytes("jinja2", 3).len() as u64;
    assert!(problems.contains(&&Problem::WrongSize {
        blob: short,
        expected,
        found: 3
    }));
}

#[test]
fn damaged_and_missing_layers_are_found() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[("flask", 2), ("jinja2", 3)]);
    let generation = store.generation(store.envs().unwrap()[0].head).unwrap();
    let (first, second) = (generation.packages[0].layer, generation.packages[1].layer);
    overwrite(&path_of(&store, "layers", &first.to_hex()), |bytes| {
        bytes[70] ^= 1;
    });
    fs::remove_file(path_of(&store, "layers", &second.to_hex())).unwrap();
    let report = store.check(false).unwrap();
    assert_eq!(report.findings.len(), 2, "{report:#?}");
    for finding in &report.findings {
        let package = match &finding.problem {
            Problem::DamagedLayer { layer, .. } if *layer == first => "flask==2.0",
            Problem::MissingLayer { layer } if *layer == second => "jinja2==3.0",
            other => panic!("{other:?}"),
        };
        assert_eq!(finding.packages, [package.to_owned()].into());
        assert_eq!(finding.environments, [env("demo")].into());
    }
}

#[test]
fn a_layer_time_that_was_changed_is_found_by_its_name() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[("flask", 2)]);
    let generation = store.generation(store.envs().unwrap()[0].head).unwrap();
    let layer = store.layer(generation.packages[0].layer).unwrap();
    let file = layer
        .find("lib/python3.12/site-packages/flask/__init__.py")
        .unwrap();
    let mtime_at = 64 + 48 * file.0 as usize + 16;
    let path = path_of(&store, "layers", &layer.id().to_hex());
    overwrite(&path, |bytes| bytes[mtime_at] ^= 1);
    assert!(
        store.check(false).unwrap().is_clean(),
        "the structure is whole"
    );
    assert!(matches!(
        only(&store.check(true).unwrap()).problem,
        Problem::DamagedLayer { .. }
    ));
}

#[test]
fn damaged_and_missing_generations_are_found() {
    let home = Home::new();
    let store = Twin::Memory.open(&home.path());
    create(&store, "demo", &[("flask", 2)]);
    let operation = install(&store, "demo", &[("flask", 3)]);
    let path = |id: blast_types::GenerationId| path_of(&store, "generations", &id.to_hex());
    overwrite(&path(operation.after), |bytes| bytes[60] ^= 1);
    fs::remove_file(path(operation.before.unwrap())).unwrap();
    let report = store.check(false).unwrap();
    assert_eq!(report.findings.len(), 2, "{report:#?}");
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.environments == [env("demo")].into())
    );
}

#[test]
fn damage_inside_the_journal_is_reported() {
    let home = Home::new();
    let store = Twin::Sled.open(&home.path());
    create(&store, "one", &[]);
    create(&store, "two", &[]);
    create(&store, "three", &[]);
    drop(store);
    let path = home.path().join("journal");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"two\"", "\"tvo\"", 1)).unwrap();
    fs::remove_dir_all(home.path().join("db")).unwrap();
    let store = Twin::Sled.open(&home.path());
    let names: Vec<_> = store
        .envs()
        .unwrap()
        .into_iter()
        .map(|env| env.record.name)
        .collect();
    assert_eq!(names, [env("one"), env("three")]);
    let report = store.check(false).unwrap();
    assert!(matches!(
        only(&report).problem,
        Problem::DamagedJournal { lines: 1, .. }
    ));
}
