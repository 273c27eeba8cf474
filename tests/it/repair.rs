//! `blast check --repair`: what is lost or changed on disk comes back.
//!
//! `BLAST_TEST_DAMAGES` says how many random damages are tried (`make crashes`: 300).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use blast_harness::{Random, SdistSpec, WheelSpec};

use crate::world::{World, packages};

/// Files of a folder and below, sorted, so that a seed means the same each time.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn wheels() -> Vec<WheelSpec> {
    let wheel = |name: &str, version: &str| {
        let big = format!("# {name} {version}\n").repeat(2500);
        WheelSpec::simple(name, version)
            .file(&format!("{name}/big.py"), &big)
            .script(&format!("{name}-tool"), "#!python\nprint(1)\n")
            .entry_point(&format!("{name}-main"), &format!("{name}:main"))
    };
    ["one", "two", "three"]
        .iter()
        .flat_map(|name| [wheel(name, "1.0"), wheel(name, "2.0")])
        .collect()
}

/// An environment with some history, and no daemon.
fn filled() -> Option<World> {
    let world = World::started(wheels())?;
    world.install("demo", &["one==1.0", "two==1.0"]).success();
    world.install("demo", &["three==2.0"]).success();
    world.blast(["save", "--env", "demo", "kept"]).success();
    world.install("demo", &["one==2.0"]).success();
    world.change("remove", "demo", &["two"]).success();
    world.compiled();
    world.blast(["kill", "--all"]).success();
    Some(world)
}

/// Takes the write-ahead log away, which still has what the newest commits brought.
fn forget_log(world: &World) {
    drop(fs::remove_file(world.blast_home().join("wal")));
}

/// Changes a byte of the file, or deletes it; says what was done.
fn damage(random: &mut Random, path: &Path) -> String {
    let bytes = fs::read(path).expect("a file of ours");
    if bytes.is_empty() || random.below(3) == 0 {
        fs::remove_file(path).expect("ours");
        return format!("{} deleted", path.display());
    }
    let (at, bit) = (random.below(bytes.len()), random.below(8));
    let mut changed = bytes;
    changed[at] ^= 1 << bit;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(path, changed).expect("ours");
    format!("{} byte {at} bit {bit}", path.display())
}

fn state(world: &World) -> (BTreeMap<String, String>, usize) {
    (world.inside("demo"), world.history_length("demo"))
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures of the recipe")]
fn random_damage_is_mended_or_told_and_nothing_else_changes() {
    let cases =
        std::env::var("BLAST_TEST_DAMAGES").map_or(12, |text| text.parse().expect("a number"));
    let Some(world) = filled() else {
        return;
    };
    let expected = state(&world);
    assert_eq!(expected.0, packages([("one", "2.0"), ("three", "2.0")]));
    world.blast(["kill", "--all"]).success();
    let mut random = Random::new();
    let home = world.blast_home();
    let mut objects = 0;
    for case in 0..cases {
        let mut said = Vec::new();
        // The journal and the index are copies of each other: of those one at a time.
        let records = ["journal", "wal", "db"][random.below(3)];
        if random.below(2) == 0 {
            let candidates = match records {
                "db" => files_below(&home.join("db")),
                name => vec![home.join(name)],
            };
            let path = &candidates[random.below(candidates.len())];
            if path.exists() {
                said.push(damage(&mut random, path));
            }
        }
        for _ in 0..=random.below(3) {
            let kind = ["blobs", "layers", "generations"][random.below(3)];
            let candidates = files_below(&home.join("store").join(kind));
            let path = candidates[random.below(candidates.len())].clone();
            said.push(damage(&mut random, &path));
            objects += 1;
        }
        world.note(&format!(
            "seed {}, case {case}: {}",
            random.seed(),
            said.join(", ")
        ));
        world.blast(["check", "--repair"]).success();
        world
            .blast(["check", "--deep"])
            .success()
            .says("all is well");
        assert_eq!(state(&world), expected, "case {case}: {said:?}");
        world
            .python_in("demo", "import one.big, three.big")
            .success();
        world.compiled();
        world.blast(["kill", "--all"]).success();
    }
    world.change("load", "demo", &["kept"]).success();
    let kept = packages([("one", "1.0"), ("two", "1.0"), ("three", "2.0")]);
    assert_eq!(world.inside("demo"), kept);
    println!("{cases} cases, {objects} damaged objects, losses: 0");
}

#[test]
fn what_no_index_has_any_more_is_named_with_what_can_be_done() {
    let Some(mut world) = filled() else {
        return;
    };
    forget_log(&world);
    for blob in files_below(&world.blast_home().join("store/blobs")) {
        if fs::read_to_string(&blob).is_ok_and(|text| text.contains("# one 2.0")) {
            fs::remove_file(blob).expect("ours");
        }
    }
    world.index.stop();
    let told = world.blast(["check", "--repair", "--json"]).exits(1).json();
    let finding = &told["findings"][0];
    assert_eq!(finding["environments"][0], "demo", "{told}");
    let remedy = finding["remedy"].as_str().expect("a remedy");
    assert!(
        remedy.contains("one==2.0 could not be had again"),
        "{remedy}"
    );
    assert!(remedy.contains("blast remove --env demo one"), "{remedy}");
    world.blast(["check"]).exits(1).says("blast check --repair");
}

#[test]
fn what_was_built_comes_back_from_the_cache_of_builds() {
    let Some(world) = World::started([]) else {
        return;
    };
    let text = "# built\n".repeat(3000);
    world.index.publish(blast_harness::Release::sdist(
        &SdistSpec::simple("made", "1.0").file("src/made_big.py", &text),
    ));
    world.install("demo", &["made"]).success();
    world.blast(["kill", "--all"]).success();
    forget_log(&world);
    for blob in files_below(&world.blast_home().join("store/blobs")) {
        if fs::read_to_string(&blob).is_ok_and(|found| found == text) {
            fs::remove_file(blob).expect("ours");
        }
    }
    world
        .blast(["check", "--repair"])
        .success()
        .says("mended missing-blob");
    world.python_in("demo", "import made_big").success();
}
