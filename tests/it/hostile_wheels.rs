//! Wheels that would break out, lie or break down: refused by name, and nothing of them stays.

use std::fs;
use std::path::Path;

use blast_harness::{Fault, Hostile, Member, Release, WheelSpec};

use crate::world::{World, packages};

#[test]
fn each_kind_is_refused_by_an_error_that_names_wheel_and_member() {
    let Some(world) = World::started([]) else {
        return;
    };
    let mut wrong = Vec::new();
    for hostile in Hostile::ALL {
        let (filename, bytes) = hostile.build();
        let release = Release::raw(&hostile.project(), &filename, bytes);
        world.index.publish(release);
        let run = world.install("demo", &[&hostile.project()]);
        let named = run.stderr.contains(&filename) || run.stderr.contains(&hostile.project());
        let member = hostile
            .member()
            .is_none_or(|member| run.stderr.contains(member));
        if run.code != 1 || !named || !member {
            wrong.push(format!("{hostile:?}: {run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(world.inside("demo"), packages([]));
    assert!(!Path::new("/tmp/blast-escape").exists());
    assert_eq!(
        names_below(&world.blast_home().join("store/staging")),
        Vec::<String>::new()
    );
    world.blast(["check", "--deep"]).success();
}

#[test]
fn a_refused_wheel_leaves_no_blob() {
    let Some(world) = World::started([]) else {
        return;
    };
    let before = names_below(&world.blast_home().join("store"));
    let mut zip = WheelSpec::simple("bad", "1.0")
        .file(
            "bad/good.py",
            &"fine = True  # long enough for a blob\n".repeat(50),
        )
        .file("bad/tampered.py", "good = 1\n")
        .zip();
    zip.member_mut("bad/tampered.py").body = b"evil = 1\n".to_vec();
    world
        .index
        .publish(Release::raw("bad", "bad-1.0-py3-none-any.whl", zip.bytes()));
    world
        .install("demo", &["bad"])
        .exits(1)
        .says("bad/tampered.py");
    assert_eq!(names_below(&world.blast_home().join("store")), before);
}

#[test]
fn a_link_in_a_wheel_never_leads_out() {
    let Some(world) = World::started([]) else {
        return;
    };
    let link = Member::new("demo/passwd", "/etc/passwd").mode(0o120_777);
    let wheel = WheelSpec::simple("demo", "1.0").member(link);
    world.index.publish(Release::of(&wheel));
    let run = world.install("demo", &["demo"]);
    if run.code == 0 {
        // As pip does: a plain file that holds the target's name.
        let code = "import demo, pathlib as p; f = p.Path(demo.__file__).with_name('passwd'); \
                    print(f.is_symlink(), f.read_text())";
        assert_eq!(
            world.python_in("demo", code).success().out(),
            "False /etc/passwd"
        );
    } else {
        run.exits(1).says("demo/passwd");
    }
}

#[test]
fn a_wheel_that_is_not_what_the_index_announced_is_refused() {
    let Some(world) = World::started([]) else {
        return;
    };
    let wheel = WheelSpec::simple("demo", "1.0");
    world
        .index
        .publish(Release::of(&wheel).hash(Some(&"0".repeat(64))));
    insta::assert_snapshot!(world.install("demo", &["demo"]), @"
    exit status: 1
    --- stderr
    error: demo-1.0-py3-none-any.whl has SHA-256 [ID], but [ID] was promised
    hint: try again; if it stays, do not trust this index or the file
    ");
    assert_eq!(world.inside("demo"), packages([]));
}

#[test]
fn metadata_that_was_damaged_on_the_way_is_not_believed() {
    let wheel = WheelSpec::simple("demo", "1.0").requires("helper");
    let Some(world) = World::started([wheel, WheelSpec::simple("helper", "1.0")]) else {
        return;
    };
    world.index.always(
        "/files/demo-1.0-py3-none-any.whl.metadata",
        Fault::WrongBytes,
    );
    let run = world.install("demo", &["demo"]);
    // The wheel itself can still be asked; what must not happen is an install of half.
    let inside = world.inside("demo");
    let both = packages([("demo", "1.0"), ("helper", "1.0")]);
    assert!(
        (run.code != 0 && inside.is_empty()) || inside == both,
        "{run}{inside:?}"
    );
}

#[test]
fn a_bad_wheel_among_good_ones_installs_none() {
    let Some(world) = World::started([WheelSpec::simple("good", "1.0")]) else {
        return;
    };
    let (filename, bytes) = Hostile::BadRecordHash.build();
    let project = Hostile::BadRecordHash.project();
    world
        .index
        .publish(Release::raw(&project, &filename, bytes));
    world.install("demo", &["good", &project]).exits(1);
    assert_eq!(world.inside("demo"), packages([]));
}

/// Names of all files below a folder, sorted.
fn names_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}
