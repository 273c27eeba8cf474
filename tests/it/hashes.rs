//! Hashes of other algorithms than SHA-256, in locks, requirement files and URLs.

use blast_harness::{Release, SdistSpec, WheelSpec};
use blast_types::{FileHash, HashAlgorithm};

use crate::world::{World, packages};

fn hash(algorithm: HashAlgorithm, bytes: &[u8]) -> FileHash {
    let mut hasher = algorithm.hasher();
    hasher.update(bytes);
    FileHash::of(algorithm, hasher)
}

/// A lock of another tool, with one wheel and these hashes of it.
fn write_lock(world: &World, hashes: &str) {
    let wheel = WheelSpec::simple("demo", "1.0").filename();
    let url = world.index.file_url(&wheel);
    let text = format!(
        "lock-version = '1.0'\ncreated-by = 'other'\n[[packages]]\nname = 'demo'\nversion = '1.0'\n\
         [[packages.wheels]]\nurl = '{url}'\nhashes = {{ {hashes} }}\n"
    );
    world.write("pylock.toml", text);
}

#[test]
fn a_lock_of_another_tool_is_followed_by_whatever_secure_hash_it_has() {
    let demo = WheelSpec::simple("demo", "1.0");
    let Some(world) = World::started([demo.clone()]) else {
        return;
    };
    for algorithm in [HashAlgorithm::Sha512, HashAlgorithm::Blake2b] {
        let name = algorithm.name();
        write_lock(
            &world,
            &format!("{name} = '{}'", hash(algorithm, b"other").digits()),
        );
        let run = world.blast(["sync", "--env", "demo", "pylock.toml"]);
        run.exits(1).says(name);
        assert_eq!(world.inside("demo"), packages([]));
    }
    let right = hash(HashAlgorithm::Blake2b, &demo.bytes()).digits();
    write_lock(&world, &format!("md5 = '00', blake2b = '{right}'"));
    world
        .blast(["sync", "--env", "demo", "pylock.toml"])
        .success();
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
    world.index.forget_hits();
    world
        .blast(["sync", "--env", "demo", "pylock.toml"])
        .success();
    assert_eq!(world.index.hits(), [], "it is there already");
}

#[test]
fn a_lock_with_nothing_but_broken_hashes_is_refused() {
    let Some(world) = World::started([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    write_lock(&world, "md5 = 'd41d8cd98f00b204e9800998ecf8427e'");
    let run = world.blast(["sync", "--env", "demo", "pylock.toml"]);
    run.exits(1).says("`md5`").says("sha512");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn requirements_may_state_hashes_of_any_secure_algorithm() {
    let demo = WheelSpec::simple("demo", "1.0");
    let Some(world) = World::started([demo.clone()]) else {
        return;
    };
    let wrong = hash(HashAlgorithm::Sha384, b"other");
    world.write("r.txt", format!("demo==1.0 --hash={wrong}\n"));
    let run = world.install("demo", &["--requirements", "r.txt"]);
    run.exits(1).says("demo-1.0");
    assert_eq!(world.inside("demo"), packages([]));
    let right = hash(HashAlgorithm::Sha384, &demo.bytes());
    world.write(
        "r.txt",
        format!("demo==1.0 --hash={wrong} --hash={right}\n"),
    );
    world
        .install("demo", &["--requirements", "r.txt"])
        .success();
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
}

#[test]
fn a_url_may_state_a_hash_of_any_secure_algorithm() {
    let demo = WheelSpec::simple("demo", "1.0");
    let Some(world) = World::started([demo.clone()]) else {
        return;
    };
    let url = world.index.file_url(&demo.filename());
    let stated = |bytes: &[u8]| {
        let digits = hash(HashAlgorithm::Sha512, bytes).digits();
        format!("demo @ {url}#sha512={digits}")
    };
    let run = world.install("demo", &[&stated(b"other")]);
    run.exits(1).says("sha512");
    world.install("demo", &[&stated(&demo.bytes())]).success();
    assert_eq!(world.inside("demo"), packages([("demo", "1.0")]));
}

#[test]
fn who_states_one_hash_wants_one_of_everything_that_comes() {
    let demo = WheelSpec::simple("demo", "1.0").requires("helper");
    let helper = WheelSpec::simple("helper", "1.0");
    let Some(world) = World::started([demo.clone(), helper.clone()]) else {
        return;
    };
    let line = |wheel: &WheelSpec| {
        let hash = hash(HashAlgorithm::Sha256, &wheel.bytes());
        format!("{}==1.0 --hash={hash}\n", wheel.name())
    };
    world.write("part.txt", line(&demo));
    let refused = world.install("demo", &["--requirements", "part.txt"]);
    refused
        .exits(1)
        .says("helper 1.0")
        .says("--export requirements");
    world.write("mixed.txt", format!("{}helper==1.0\n", line(&demo)));
    let refused = world.change("sync", "demo", &["mixed.txt"]);
    refused.exits(1).says("helper 1.0");
    assert_eq!(world.inside("demo"), packages([]));

    // What is there already does not come, and what names its own bytes needs no other hash.
    world.start("second");
    world.install("second", &["helper"]).success();
    world
        .install("second", &["--requirements", "part.txt"])
        .success();
    let digits = hash(HashAlgorithm::Sha256, &helper.bytes()).digits();
    let url = world.index.file_url(&helper.filename());
    world.write(
        "whole.txt",
        format!("{}helper @ {url}#sha256={digits}\n", line(&demo)),
    );
    world
        .install("demo", &["--requirements", "whole.txt"])
        .success();
    for env in ["demo", "second"] {
        let both = packages([("demo", "1.0"), ("helper", "1.0")]);
        assert_eq!(world.inside(env), both, "{env}");
    }
}

#[test]
fn of_the_files_of_a_release_the_one_with_the_stated_hash_is_taken() {
    let wheel = WheelSpec::new("made", "1.0").file("made.py", "origin = 'wheel'\n");
    let sdist = SdistSpec::simple("made", "1.0").file("src/made.py", "origin = 'sources'\n");
    let Some(world) = World::started([wheel]) else {
        return;
    };
    world.index.publish(Release::sdist(&sdist));
    let hash = hash(HashAlgorithm::Sha256, &sdist.tar_gz());
    for (env, requirement) in [("demo", "made>=1"), ("pinned", "made==1.0")] {
        if env != "demo" {
            world.start(env);
        }
        world.write("r.txt", format!("{requirement} --hash={hash}\n"));
        world.change("sync", env, &["r.txt"]).success();
        let run = world.python_in(env, "import made; print(made.origin)");
        assert_eq!(run.out(), "sources", "{requirement}");
    }
}
