//! `root-dir` and `mounts`: a part of the project is all of it that is seen, and places of the host are seen at other paths,
//! without what is hidden there. Links make neither more.

use std::fs;
use std::os::unix::fs::symlink;

use blast_harness::{Means, require};

use crate::world::World;

/// A project whose policy each test writes.
fn of_project(world: Option<World>) -> Option<World> {
    let mut world = world.filter(|_| require(Means::Namespaces))?;
    world.sandbox.unset("BLAST_SANDBOX");
    policy(&world, "");
    world.blast(["start", "--shell", "bash"]).success();
    Some(world)
}

fn started() -> Option<World> {
    of_project(World::with([]))
}

fn unprivileged() -> Option<World> {
    of_project(World::unprivileged([]))
}

fn policy(world: &World, text: &str) {
    let text = format!("[project]\nname = \"p\"\nversion = \"1\"\n{text}");
    world.write("pyproject.toml", text);
}

fn said(world: &World, script: &str) -> String {
    let run = world.blast(["run", "--", "sh", "-c", script]);
    run.success().out().to_owned()
}

fn places_are_shown(world: &World) {
    world.write("src/code", "code");
    world.write("secret", "s");
    world.write("data/file", "data");
    world.write("data/hidden", "h");
    policy(
        world,
        "[tool.blast.sandbox.filesystem]\nroot-dir = \"src\"\nhidden = [\"data/hidden\"]\n\
         [tool.blast.sandbox.filesystem.mounts]\n\"/data\" = \"data\"\n\
         \"/out\" = { source = \"data\", read-write = true }\n",
    );
    let script = "pwd; cat code; ls ..; cat /data/file; echo; cat /data/hidden /out/hidden 2>/dev/null; \
                  echo x > /data/new 2>/dev/null; ls /data; echo y > /out/made; echo z > made";
    let project = world.project();
    let expected = format!("{}/src\ncodesrc\ndata\nfile\nhidden", project.display());
    assert_eq!(said(world, script), expected);
    assert_eq!(
        fs::read_to_string(project.join("data/made")).expect("made"),
        "y\n"
    );
    assert_eq!(
        fs::read_to_string(project.join("src/made")).expect("made"),
        "z\n"
    );
}

#[test]
fn a_part_of_the_project_is_seen_and_places_at_other_paths() {
    if let Some(world) = started() {
        places_are_shown(&world);
    }
}

#[test]
fn a_part_of_the_project_is_seen_by_a_normal_user_too() {
    if let Some(world) = unprivileged() {
        places_are_shown(&world);
    }
}

#[test]
fn links_of_a_project_make_nothing_seen_or_written_that_its_user_keeps() {
    let Some(world) = started() else {
        return;
    };
    let kept = world.root().join("kept");
    fs::create_dir(&kept).expect("possible");
    fs::write(kept.join("file"), "k").expect("possible");
    symlink(world.root(), world.project().join("up")).expect("linked");
    symlink(&kept, world.root().join("link")).expect("linked");
    let refused = |text: &str, words: &str| {
        policy(
            &world,
            &format!("[tool.blast.sandbox.filesystem]\n{text}\n"),
        );
        let run = world.blast(["run", "--", "true"]);
        assert!(run.exits(2).stderr.contains(words), "{text}");
    };
    refused("root-dir = \"up\"", "no");
    refused("root-dir = \"..\"", "no");
    for given in [
        "read-only = [\"up\"]",
        "read-write = [\"up/kept\"]",
        "mounts = { \"/x\" = \"up\" }",
    ] {
        refused(given, "by the link");
    }
    refused("mounts = { \"/usr\" = \"src\" }", "no such path");
    refused("mounts = { \"/usr\" = \"../link\" }", "cover");
    refused(
        "mounts = { \"/x\" = { source = \".\", read-write = true } }",
        "policy",
    );
    // The user's own word on a place holds for what leads there by links.
    let settings = world.root().join("config/blast/config.toml");
    fs::create_dir_all(settings.parent().expect("below")).expect("possible");
    let said_by_user = format!("[sandbox.filesystem]\nread-only = [{kept:?}]\n");
    fs::write(&settings, said_by_user).expect("possible");
    policy(
        &world,
        "[tool.blast.sandbox.filesystem]\nread-write = [\"../link\"]\n\
         mounts = { \"/x\" = { source = \"../link\", read-write = true } }\n",
    );
    let script = "cat ../link/file /x/file; for at in ../link /x; do echo w > $at/new 2>/dev/null && echo written; done; true";
    assert_eq!(said(&world, script), "kk");
    let denied = format!("[sandbox.filesystem]\ndenied = [{kept:?}]\n");
    fs::write(&settings, denied).expect("possible");
    assert_eq!(
        said(&world, "cat ../link/file /x/file 2>/dev/null; true"),
        ""
    );
}

#[test]
fn a_script_that_a_program_made_a_link_gives_nothing_that_it_leads_to() {
    let Some(world) = started() else {
        return;
    };
    let private = world.root().join("private");
    fs::create_dir(&private).expect("possible");
    fs::write(
        private.join("other.py"),
        "print(open('/etc/hostname') and 'ran')\n",
    )
    .expect("possible");
    symlink(private.join("other.py"), world.project().join("main.py")).expect("linked");
    symlink(&private, world.project().join("tools")).expect("linked");
    for script in ["main.py", "./main.py", "tools/other.py"] {
        let run = world.blast(["run", "--", "python", script]);
        run.exits(2);
    }
    // Who names the place itself means it.
    let script = private.join("other.py");
    let script = script.to_string_lossy();
    world.blast(["run", "--", "python", &script]).success();
}
