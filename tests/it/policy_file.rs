//! The file that says what programs of a project may do: a program that may change the project may not change that.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use blast_harness::{Background, Means, Run, require};

use crate::world::World;

const PROJECT: &str = "[project]\nname = \"p\"\nversion = \"1\"\n";

/// Every way to have another text there, each with what became of it. The first argument is the file.
const WAYS: &str = r#"
import os, sys, shutil
file = sys.argv[1]
free = '[project]\nname = "p"\nversion = "1"\n[tool.blast.sandbox]\nlevel = "none"\n'
before = open(file).read()
other = file + '.new'
here = os.path.dirname(file)

def append():
    with open(file, 'a') as out: out.write(free)
def truncate():
    os.truncate(file, 0)
def unlink():
    os.unlink(file)
def rename_over():
    with open(other, 'w') as out: out.write(free)
    os.replace(other, file)
def rename_away():
    os.rename(file, other)
def by_hard_link():
    os.link(file, other)
    with open(other, 'a') as out: out.write(free)
def by_symbolic_link():
    os.symlink(file, other)
    with open(other, 'a') as out: out.write(free)
def by_descriptor():
    read = os.open(file, os.O_RDONLY)
    with open('/proc/self/fd/%d' % read, 'a') as out: out.write(free)
def move_the_project():
    os.rename(here, here + '.away')
    os.mkdir(here)
    with open(file, 'w') as out: out.write(free)

for way in append, truncate, unlink, rename_over, rename_away, by_hard_link, by_symbolic_link, by_descriptor, move_the_project:
    try:
        way()
    except OSError:
        pass
    changed = not os.path.exists(file) or open(file).read() != before
    print(way.__name__, 'changed' if changed else 'kept')
    if os.path.isdir(here + '.away'):
        shutil.rmtree(here); os.rename(here + '.away', here)
    if os.path.lexists(other): os.unlink(other)
    if changed:
        with open(file, 'w') as out: out.write(before)
"#;

fn started(world: Option<World>, text: &str) -> Option<World> {
    let mut world = world.filter(|_| require(Means::Namespaces))?;
    world.sandbox.unset("BLAST_SANDBOX");
    world.write("pyproject.toml", text);
    world.blast(["start", "--shell", "bash"]).success();
    Some(world)
}

fn file(world: &World) -> PathBuf {
    world.project().join("pyproject.toml")
}

fn try_all(world: &World, options: &[&str]) -> Run {
    let file = file(world).display().to_string();
    let mut words = vec!["run"];
    words.extend(options);
    words.extend(["--", "python", "-c", WAYS, &file]);
    world.blast(words).success()
}

fn nothing_changes_it(world: &World) {
    for options in [
        &[][..],
        &["--sandbox", "strict"],
        &["--read-write", "."],
        &["--read-write", ".."],
    ] {
        let run = try_all(world, options);
        assert_eq!(
            run.stdout.matches(" kept\n").count(),
            9,
            "{options:?} {run}"
        );
        assert_eq!(fs::read_to_string(file(world)).expect("there"), PROJECT);
    }
    let run = world.blast(["run", "--", "python", "-c", "open('beside', 'w')"]);
    run.success();
}

#[test]
fn no_program_in_a_sandbox_changes_what_the_next_one_may() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    nothing_changes_it(&world);
    // Who needs to, says so; and without a sandbox every one of these ways is one.
    let file = file(&world).display().to_string();
    let run = try_all(&world, &["--read-write", &file]);
    assert!(run.stdout.contains("append changed"), "{run}");
    let run = try_all(&world, &["--sandbox", "none"]);
    assert_eq!(run.stdout.matches(" changed\n").count(), 9, "{run}");
}

#[test]
fn nor_does_that_of_a_normal_user() {
    if let Some(world) = started(World::unprivileged([]), PROJECT) {
        nothing_changes_it(&world);
    }
}

#[test]
fn a_file_that_was_replaced_from_outside_is_as_safe_as_the_first() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    let hold = "open('ready', 'w').close(); import time; time.sleep(600)";
    let running: Background = world.blast_in_background(["run", "--", "python", "-c", hold]);
    while !world.project().join("ready").exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    // As editors write: the mount of the sandbox that is there goes with the old file (rename(2) since Linux 3.18).
    let new = world.project().join("pyproject.toml.new");
    fs::write(&new, PROJECT).expect("ours");
    fs::rename(&new, file(&world)).expect("ours");
    let run = try_all(&world, &[]);
    assert_eq!(run.stdout.matches(" kept\n").count(), 9, "{run}");
    drop(running);
}

#[test]
fn a_file_that_was_made_anew_is_as_safe_as_the_first() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    // The number of a file that is gone is given again at once by many file systems; the sandbox of the first is kept.
    for _ in 0..3 {
        let run = try_all(&world, &[]);
        assert_eq!(run.stdout.matches(" kept\n").count(), 9, "{run}");
        let number = fs::metadata(file(&world)).expect("there").ino();
        fs::remove_file(file(&world)).expect("ours");
        fs::write(file(&world), PROJECT).expect("ours");
        let again = fs::metadata(file(&world)).expect("there").ino() == number;
        world.note(&format!("the number was given again: {again}"));
    }
}

#[test]
fn what_is_hidden_stays_so_when_somebody_outside_writes_it_anew() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    let secret = world.write("secret", "s");
    let data = world.write("data/file", "d");
    let data = data.parent().expect("below").to_string_lossy().into_owned();
    let code = "print(repr(open('data/file').read()))\n\
                open('data/file', 'a').close() if __import__('sys').argv[1:] else None\n\
                open('secret').read()";
    for _ in 0..3 {
        let hidden = ["run", "--hide", "secret", "--read-only", &data];
        let read = [&hidden[..], &["--", "python", "-c", code]].concat();
        let run = world.blast(&read).exits(1);
        assert_eq!(run.out(), "'d'");
        run.says("Permission denied: 'secret'");
        let run = world.blast([&read[..], &["write"]].concat()).exits(1);
        run.says("Read-only file system: 'data/file'");
        // As editors do, and tools that make all anew.
        fs::write(world.project().join("new"), "s").expect("ours");
        fs::rename(world.project().join("new"), &secret).expect("ours");
        fs::remove_dir_all(&data).expect("ours");
        world.write("data/file", "d");
    }
}

#[test]
fn a_link_to_it_stays_and_so_does_what_it_leads_to() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    world.write("settings/real.toml", PROJECT);
    fs::remove_file(file(&world)).expect("ours");
    symlink("settings/real.toml", file(&world)).expect("ours");
    nothing_changes_it(&world);
    let away = "import os; os.rename('settings', 'other')";
    let run = world.blast(["run", "--", "python", "-c", away]);
    run.exits(1).says("busy");
}

#[test]
fn the_link_by_which_its_python_is_started_stays() {
    let code = r"
import os
def unlink(): os.unlink('.venv')
def rename_away(): os.rename('.venv', 'other'); os.rename('other', '.venv')
def rename_over(): os.symlink(os.readlink('.venv'), 'other'); os.rename('other', '.venv')
for way in rename_away, rename_over, unlink:
    try:
        way(); print(way.__name__, 'changed')
    except OSError:
        print(way.__name__, 'kept')
    if os.path.lexists('other'): os.unlink('other')
";
    for world in [World::with([]), World::unprivileged([])] {
        let Some(world) = started(world, PROJECT) else {
            continue;
        };
        let python = world.project().join(".venv/bin/python");
        let python = python.to_string_lossy();
        for run in [
            world.blast(["run", "--", "python", "-c", code]),
            world.run(world.command(&*python, ["-c", code])),
        ] {
            assert_eq!(run.success().stdout.matches(" kept\n").count(), 3);
        }
        let run = world.blast(["run", "--sandbox", "none", "--", "python", "-c", code]);
        assert_eq!(run.success().stdout.matches(" changed\n").count(), 3);
    }
}

#[test]
fn what_cannot_be_kept_is_said() {
    let Some(world) = started(World::with([]), PROJECT) else {
        return;
    };
    fs::remove_file(file(&world)).expect("ours");
    let run = world.blast(["run", "--sandbox", "standard", "--", "python", "-c", "pass"]);
    run.success().says("pyproject.toml is not there");
}
