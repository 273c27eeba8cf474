//! `kill -9` of a command that makes, locks or follows a project, at random moments: each file is as it was or as it shall be,
//! and the same command then does the rest.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use blast_harness::Random;

use crate::world::{World, demo_wheels};

/// Projects, each with one kill of every command.
const PROJECTS: usize = 8;

/// Longer than most of these commands take, in milliseconds.
const LONGEST: usize = 120;

/// A file that is TOML and names the package, or is not there yet.
fn is_whole(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else {
        return false;
    };
    assert!(text.contains("demo"), "{}: {text}", path.display());
    toml::from_str::<toml::Table>(&text).expect("it is TOML");
    true
}

#[test]
fn a_project_is_whole_whenever_its_commands_are_killed() {
    let Some(world) = World::with(demo_wheels()) else {
        return;
    };
    world.blast(["envs"]).success();
    let mut random = Random::new();
    world.note(&format!("BLAST_TEST_SEED={}", random.seed()));
    let mut done = 0;
    for project in 0..PROJECTS {
        let requirements = world.write(&format!("p{project}/requirements.txt"), "demo==1.0\n");
        let folder = requirements.parent().expect("a folder");
        let (asked, locked) = (folder.join("pyproject.toml"), folder.join("pylock.toml"));
        let killed = |words: &[&str], delay: u64| {
            let mut command = world.command(world.program(), words);
            command.current_dir(folder);
            let mut command = world.in_background(command);
            thread::sleep(Duration::from_millis(delay));
            command.kill();
        };
        let mut delay = || u64::try_from(random.below(LONGEST)).expect("small");

        let init = ["init", "--from", "requirements.txt"];
        killed(&init, delay());
        if is_whole(&asked) {
            done += 1;
        } else {
            world.blast_in(folder, init).success();
        }
        assert!(is_whole(&asked));

        killed(&["start", "--shell", "bash"], delay());
        let link = folder.join(".venv");
        let leads_to = |link: &Path| {
            fs::read_link(link)
                .expect("no link, but something")
                .starts_with(world.live())
        };
        if fs::symlink_metadata(&link).is_ok() {
            assert!(leads_to(&link));
            done += 1;
        }
        world
            .blast_in(folder, ["start", "--shell", "bash"])
            .success();
        assert!(leads_to(&link));

        killed(&["lock", "--upgrade"], delay());
        done += usize::from(is_whole(&locked));
        world.blast_in(folder, ["lock"]).success();
        assert!(is_whole(&locked));

        killed(&["sync"], delay());
        world.blast_in(folder, ["sync"]).success();
        let list = world.blast_in(folder, ["list"]).success();
        assert!(
            list.stdout.contains("demo") && list.stdout.contains("helper"),
            "{list}"
        );
    }
    world.blast(["check", "--deep"]).success();
    // What was meant is settled by now, and nothing lies beside the files.
    let left = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(left(&world.blast_home().join("intents")), [""; 0]);
    for project in 0..PROJECTS {
        let names = left(&world.project().join(format!("p{project}")));
        let is_temporary = |name: &&String| name.starts_with('.') && *name != ".venv";
        assert_eq!(names.iter().find(is_temporary), None);
    }
    world.note(&format!(
        "{} kills, {done} of them after the file was written",
        PROJECTS * 4
    ));
}
