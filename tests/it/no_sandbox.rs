//! A host that makes no user namespaces, and so no sandbox: what nobody asked for runs without one, and that is said; what
//! somebody asked for does not run. Programs and builds the same.

use std::fs;

use blast_harness::{Means, Release, Run, SdistSpec, require};
use serde_json::Value;

use crate::world::World;

/// A user namespace that lets no other be made (namespaces(7), `max_user_namespaces`).
const HOST: &str = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";

const ASKED: &str = "no program ran";

/// A world whose environment is plain files, for who runs the tests and for somebody without privilege.
fn worlds() -> Vec<World> {
    if !require(Means::Namespaces) {
        return Vec::new();
    }
    let mut worlds = vec![World::plain([])];
    worlds.extend(World::plain_unprivileged([]));
    for world in &mut worlds {
        world.sandbox.unset("BLAST_SANDBOX");
        world.blast(["kill", "--all"]).success();
    }
    worlds
}

impl World {
    /// Runs a program on that host, as its root.
    fn on_it(&self, program: &str, words: &[&str]) -> Run {
        let host = ["--user", "--map-root-user", "sh", "-c", HOST, "sh", program];
        self.run(self.command("unshare", host.iter().chain(words)))
    }

    fn blast_on_it(&self, words: &[&str]) -> Run {
        self.on_it(&self.program().to_string_lossy(), words)
    }

    fn settings(&self, text: &str) {
        self.write("../config/blast/config.toml", text);
    }
}

#[test]
fn without_namespaces_programs_run_and_that_is_said_once() {
    for world in worlds() {
        let echo = ["run", "--env", "demo", "--", "echo", "ran"];
        let first = world.blast_on_it(&echo).success();
        assert_eq!(first.out(), "ran");
        assert!(first.stderr.contains("WITHOUT"), "{first}");
        assert!(first.stderr.contains("blast doctor"), "{first}");
        let python = world.live().join("demo/bin/python");
        let python = python.to_string_lossy();
        for again in [
            world.blast_on_it(&echo),
            world.on_it(&python, &["-c", "print('ran')"]),
        ] {
            let again = again.success();
            assert_eq!(again.out(), "ran");
            assert!(!again.stderr.contains("WITHOUT"), "{again}");
        }
        world.blast_on_it(&["kill", "--all", "--force"]);
    }
}

#[test]
fn without_namespaces_what_was_asked_for_is_refused() {
    for mut world in worlds() {
        let print = format!("print('{ASKED}')");
        let code = ["--", "python", "-c", &print];
        let refused = |world: &World, words: &[&str]| {
            let all = [&["run", "--env", "demo"][..], words, &code].concat();
            let python = world.live().join("demo/bin/python");
            let mut runs = vec![world.blast_on_it(&all)];
            if words.is_empty() {
                runs.push(world.on_it(&python.to_string_lossy(), &["-c", &print]));
            }
            for run in runs {
                let run = run.exits(2);
                assert!(!run.stdout.contains(ASKED), "{run}");
                assert!(run.stderr.contains("cannot be made"), "{run}");
                assert!(run.stderr.contains("blast doctor"), "{run}");
            }
        };
        refused(&world, &["--sandbox", "standard"]);
        refused(&world, &["--sandbox", "strict"]);
        refused(&world, &["--hide", "secret"]);
        for text in [
            "[sandbox]\nlevel = \"standard\"\n",
            "[sandbox.network]\nallow-outbound = false\n",
        ] {
            world.settings(text);
            refused(&world, &[]);
        }
        world.settings("");
        world.sandbox.set("BLAST_SANDBOX", "strict");
        refused(&world, &[]);
        world.sandbox.unset("BLAST_SANDBOX");
        world.blast_on_it(&["kill", "--all", "--force"]);
    }
}

#[test]
fn without_namespaces_status_and_doctor_say_so() {
    for world in worlds() {
        let status = world.blast_on_it(&["status", "--env", "demo", "--json"]);
        let security = status.success().json()["security"].clone();
        assert_eq!(security["state"], "off", "{security}");
        assert!(
            security["reason"]
                .as_str()
                .is_some_and(|why| why.contains("namespaces")),
            "{security}"
        );
        let status = world.blast_on_it(&["status", "--env", "demo"]).success();
        assert!(status.stdout.contains("none can be made"), "{status}");
        let doctor = world.blast_on_it(&["doctor", "--json"]);
        let checks = doctor.json()["checks"].clone();
        let said = checks.as_array().expect("a list").iter().any(|check| {
            let says =
                |key: &str, word: &str| check[key].as_str().is_some_and(|text| text.contains(word));
            says("name", "sandbox") && says("message", "cannot be confined")
        });
        assert!(said, "{checks}");
        world.blast_on_it(&["kill", "--all", "--force"]);
        // The same where there are namespaces.
        let status = world.blast(["status", "--env", "demo", "--json"]).success();
        let security = status.json()["security"].clone();
        assert_eq!(
            (&security["state"], &security["reason"]),
            (&"idle".into(), &Value::Null)
        );
    }
}

#[test]
fn without_namespaces_builds_run_and_say_so_unless_somebody_says_a_level() {
    for world in worlds() {
        world
            .index
            .publish(Release::sdist(&SdistSpec::simple("made", "1.0")));
        world.settings("[sandbox.build]\nlevel = \"strict\"\n");
        let install = ["install", "--env", "demo", "made"];
        let refused = world.blast_on_it(&install);
        assert_ne!(refused.code, 0, "{refused}");
        assert!(refused.stderr.contains("namespaces"), "{refused}");
        world.settings("");
        fs::remove_dir_all(world.root().join("cache")).expect("it was made");
        world.write("../cache/.keep", "");
        let run = world.blast_on_it(&install).success();
        assert!(run.stderr.contains("WITHOUT"), "{run}");
        let log = world.blast_on_it(&["audit", "--json"]).success();
        assert!(log.stdout.contains("it ran without a sandbox"), "{log}");
        world.blast_on_it(&["kill", "--all", "--force"]);
    }
}
