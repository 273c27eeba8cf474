//! Random operations against a plain model: lists of versions. Both are equal after every step.
//!
//! `BLAST_TEST_OPERATIONS` says how many (150 in `make test`, 10,000 in `make crashes`).

use std::collections::BTreeMap;

use blast_harness::{Means, Random, WheelSpec, require};

use crate::world::World;

const NAMES: [&str; 4] = ["one", "two", "three", "four"];
const SNAPSHOTS: [&str; 3] = ["x", "y", "z"];
const FIRST_VERSIONS: usize = 4;

/// The packages in the order in which they were asked for: version, and whether any would do. And what a
/// program wrote beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State(Vec<(&'static str, usize, bool)>, Option<usize>);

impl State {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|package| package.0 == name)
    }

    fn insert(&mut self, name: &'static str, version: usize, any: bool) {
        match self.0.iter_mut().find(|package| package.0 == name) {
            Some(package) => *package = (name, version, any),
            None => self.0.push((name, version, any)),
        }
    }
}

/// What blast should be.
struct Model {
    head: State,
    /// What an undo, a redo leads to, the next one last.
    undo: Vec<State>,
    redo: Vec<State>,
    snapshots: BTreeMap<&'static str, State>,
    operations: usize,
    /// The newest version of each package on the index.
    newest: BTreeMap<&'static str, usize>,
    /// Whether writes can be captured here.
    captures: bool,
}

impl Model {
    /// A new effect.
    fn change(&mut self, to: State) {
        if self.head != to {
            self.undo.push(std::mem::replace(&mut self.head, to));
            self.redo.clear();
            self.operations += 1;
        }
    }

    /// Back or forth: from one list to the other. Says whether there was anything.
    fn step(&mut self, back: bool) -> bool {
        let (from, to) = if back {
            (&mut self.undo, &mut self.redo)
        } else {
            (&mut self.redo, &mut self.undo)
        };
        let Some(state) = from.pop() else {
            return false;
        };
        to.push(std::mem::replace(&mut self.head, state));
        self.operations += 1;
        true
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let packages = self.head.0.iter();
        packages
            .map(|(name, version, _)| ((*name).to_owned(), format!("{version}.0")))
            .collect()
    }
}

fn wheel(name: &str, version: usize) -> WheelSpec {
    let big = format!("# {name} {version}\n").repeat(2500);
    WheelSpec::simple(name, &format!("{version}.0")).file(&format!("{name}/big.py"), &big)
}

/// One random step in both; says what it was.
fn step(world: &World, model: &mut Model, random: &mut Random) -> String {
    let name = NAMES[random.below(NAMES.len())];
    let snapshot = SNAPSHOTS[random.below(SNAPSHOTS.len())];
    let mut head = model.head.clone();
    match random.below(if model.captures { 21 } else { 20 }) {
        0..=5 => {
            let version = random.below(model.newest[name]) + 1;
            head.insert(name, version, false);
            let requirement = format!("{name}=={version}.0");
            world.install("demo", &[&requirement]).success();
            model.change(head);
            format!("install {requirement}")
        }
        6 | 7 if !head.has(name) => {
            head.insert(name, model.newest[name], true);
            world.install("demo", &[name]).success();
            model.change(head);
            format!("install {name}")
        }
        8 | 9 if head.has(name) => {
            head.0.retain(|package| package.0 != name);
            world.change("remove", "demo", &[name]).success();
            model.change(head);
            format!("remove {name}")
        }
        10 => {
            let version = model.newest[name] + 1;
            world.index.add(&wheel(name, version));
            model.newest.insert(name, version);
            format!("{name} {version} is published")
        }
        11 => {
            for (name, version, any) in &mut head.0 {
                if *any {
                    *version = model.newest[name];
                }
            }
            world.change("update", "demo", &[]).success();
            model.change(head);
            "update".to_owned()
        }
        12..=14 => {
            let code = i32::from(!model.step(true));
            world.change("revert", "demo", &[]).exits(code);
            "revert".to_owned()
        }
        15 => {
            let code = i32::from(!model.step(false));
            world.change("redo", "demo", &[]).exits(code);
            "redo".to_owned()
        }
        16 => {
            if model.snapshots.remove(snapshot).is_some() {
                world
                    .blast(["save", "--env", "demo", "--delete", snapshot])
                    .success();
                model.operations += 1;
            }
            world.change("save", "demo", &[snapshot]).success();
            model.snapshots.insert(snapshot, head);
            model.operations += 1;
            format!("save {snapshot}")
        }
        17 => {
            let known = model.snapshots.get(snapshot).cloned();
            let code = i32::from(known.is_none());
            world.change("load", "demo", &[snapshot]).exits(code);
            if let Some(state) = known {
                model.change(state);
            }
            format!("load {snapshot}")
        }
        18 => {
            world.blast(["clean"]).success();
            "clean".to_owned()
        }
        20 => {
            // Never the same twice: to write what is there is a change too, of its time.
            let note = model.operations;
            head.1 = Some(note);
            let script = format!("echo {note} > \"$VIRTUAL_ENV/note\"");
            let words = [
                "run", "--env", "demo", "--writes", "capture", "--", "sh", "-c",
            ];
            world
                .blast(words.iter().copied().chain([script.as_str()]))
                .success();
            model.change(head);
            format!("a program writes {note}")
        }
        _ => {
            if let Some(daemon) = world.daemon() {
                world.crash(daemon);
            }
            "kill -9 of the daemon".to_owned()
        }
    }
}

/// What a program wrote, as the environment shows it.
fn note(world: &World) -> Option<usize> {
    let text = std::fs::read_to_string(world.live().join("demo/note")).ok()?;
    text.trim().parse().ok()
}

#[test]
fn any_operations_are_those_of_a_list_of_versions() {
    let steps =
        std::env::var("BLAST_TEST_OPERATIONS").map_or(150, |text| text.parse().expect("a number"));
    let wheels = NAMES
        .iter()
        .flat_map(|name| (1..=FIRST_VERSIONS).map(|version| wheel(name, version)));
    let Some(world) = World::started(wheels) else {
        return;
    };
    // New versions are seen at once.
    world.index.set_cache_control(Some("no-cache"));
    let mut random = Random::new();
    world.note(&format!("seed {}", random.seed()));
    let mut model = Model {
        head: State::default(),
        undo: Vec::new(),
        redo: Vec::new(),
        snapshots: BTreeMap::new(),
        operations: world.history_length("demo"),
        newest: NAMES.iter().map(|name| (*name, FIRST_VERSIONS)).collect(),
        captures: require(Means::Overlay),
    };
    let mut last = Vec::new();
    for number in 0..steps {
        last.push(step(&world, &mut model, &mut random));
        let recent = last
            .iter()
            .rev()
            .take(8)
            .rev()
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        assert_eq!(
            world.listed("demo"),
            model.versions(),
            "step {number}: {recent}"
        );
        assert_eq!(
            world.history_length("demo"),
            model.operations,
            "step {number}: {recent}"
        );
        if number % 25 == 24 {
            world.shows("demo", &model.versions(), &recent);
            assert_eq!(note(&world), model.head.1, "step {number}: {recent}");
            world.blast(["check"]).success();
        }
    }
    assert_eq!(world.history_length("demo"), model.operations);
    world.shows("demo", &model.versions(), "in the end");
    world.blast(["check", "--deep"]).success();
    world.note(&format!(
        "{steps} steps, {} operations, losses: 0",
        model.operations
    ));
}
