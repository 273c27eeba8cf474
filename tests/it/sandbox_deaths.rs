//! What is left of a sandbox, whatever it died of: nothing. Processes, namespaces, mounts, cgroups and network devices of
//! this test are compared before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use blast_harness::{Background, Means, require};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, wait_until};

/// What is there of a test on this machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    processes: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    mounts: BTreeSet<PathBuf>,
    groups: BTreeSet<PathBuf>,
    devices: BTreeSet<String>,
}

/// A process that has the test's directory in its environment: all that its commands started, in a sandbox or not.
pub(crate) fn processes(world: &World) -> Vec<(i32, String)> {
    let mark = world.root().as_os_str().as_encoded_bytes().to_vec();
    let has_mark = |text: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("there").flatten() {
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        if has_mark(&read("environ")) {
            let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            found.push((number, words));
        }
    }
    found
}

/// Folders of cgroups that one of these made.
fn groups(below: &Path, makers: &BTreeSet<i32>, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let name = entry.file_name();
            let maker = name.to_str().and_then(|name| name.strip_prefix("blast-"));
            let maker = maker.and_then(|maker| maker.parse().ok());
            if maker.is_some_and(|maker| makers.contains(&maker)) {
                found.insert(entry.path());
            }
            groups(&entry.path(), makers, found);
        }
    }
}

/// All that is there now; cgroups, which have no other mark, by who made them.
fn traces(world: &World, makers: &BTreeSet<i32>) -> Traces {
    let mut traces = Traces::default();
    let ours: BTreeSet<PathBuf> = links("/proc/self/ns".as_ref()).collect();
    for (number, words) in processes(world) {
        let folder = Path::new("/proc").join(number.to_string());
        // One that ends just now has none.
        if words.is_empty() {
            continue;
        }
        traces.processes.insert(format!("{number} {words}"));
        let held = links(&folder.join("ns")).chain(links(&folder.join("fd")));
        let held = held.filter(|link| !ours.contains(link));
        let held = held.map(|link| link.to_string_lossy().into_owned());
        traces
            .namespaces
            .extend(held.filter(|link| link.contains(":[4026")));
    }
    traces.mounts.extend(world.mounts());
    groups("/sys/fs/cgroup".as_ref(), makers, &mut traces.groups);
    for entry in fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        traces
            .devices
            .insert(entry.file_name().to_string_lossy().into_owned());
    }
    traces
}

fn links(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok())
}

impl Traces {
    /// What is here and was not before.
    fn beyond(&self, before: &Self) -> Self {
        fn more<T: Ord + Clone>(now: &BTreeSet<T>, before: &BTreeSet<T>) -> BTreeSet<T> {
            now.difference(before).cloned().collect()
        }
        Self {
            processes: more(&self.processes, &before.processes),
            namespaces: more(&self.namespaces, &before.namespaces),
            mounts: more(&self.mounts, &before.mounts),
            groups: more(&self.groups, &before.groups),
            devices: more(&self.devices, &before.devices),
        }
    }
}

/// Ends those processes of the test whose command line has this.
fn end(world: &World, what: &str) -> usize {
    let found = processes(world);
    let found = found.iter().filter(|(_, words)| words.contains(what));
    let ended =
        |(number, _): &&(i32, String)| kill(Pid::from_raw(*number), Signal::SIGKILL).is_ok();
    found.filter(ended).count()
}

/// The numbers of a process in the namespaces that it is in, this test's first.
fn numbers(number: i32) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers = numbers.unwrap_or_default().split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// Ends process 1 of the sandbox.
fn end_first_process(world: &World) {
    let is_first = |number: &i32| matches!(numbers(*number)[..], [_, .., 1]);
    let found: Vec<i32> = (processes(world).into_iter().map(|(number, _)| number))
        .filter(is_first)
        .collect();
    assert_eq!(found.len(), 1, "one sandbox");
    kill(Pid::from_raw(found[0]), Signal::SIGKILL).expect("ours");
}

/// Ends who keeps sandboxes, and no first process, which is a copy of one.
fn end_holders(world: &World) -> usize {
    let found = processes(world).into_iter();
    let holders = found
        .filter(|(number, words)| words.contains("hold-sandbox") && numbers(*number).len() == 1);
    let ended = |(number, _): &(i32, String)| kill(Pid::from_raw(*number), Signal::SIGKILL).is_ok();
    holders.filter(ended).count()
}

/// How a sandbox dies.
type Death = (&'static str, fn(&World, &Background));

const DEATHS: &[Death] = &[
    ("its program ends", |world, _| {
        world.write("end", "");
    }),
    ("its program is killed", |world, _| {
        assert!(end(world, "MARK-OF-PROGRAM") > 0);
    }),
    ("its caller is told to end", |_, caller| {
        caller.signal(Signal::SIGTERM);
    }),
    ("its caller is killed", |_, caller| {
        caller.signal(Signal::SIGKILL);
    }),
    ("its first process is killed", |world, _| {
        end_first_process(world);
    }),
];

/// Of those that are kept for other programs.
const DEATHS_OF_KEPT: &[Death] = &[("its holder is killed", |world, _| {
    assert_eq!(end_holders(world), 1);
})];

/// A program with a child in a session of its own, that ends when it is told by a file.
const PROGRAM: &str = r#"
import os, socket, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # MARK-OF-CHILD"], start_new_session=True)
socket.socket().listen()
open("/tmp/file", "w").close()
open("ready", "w").close()
while not os.path.exists("end"):  # MARK-OF-PROGRAM
    time.sleep(0.02)
"#;

fn nothing_is_left(world: Option<World>) {
    if !require(Means::Root) || !require(Means::Namespaces) {
        return;
    }
    let Some(world) = world else {
        return;
    };
    world.start("demo");
    let own = ["--total-size-max", "1G"];
    let filtered = ["--allow-net", "198.51.100.1:80"];
    let strict = ["--sandbox", "strict"];
    let kinds: [(&[&str], &[&[Death]]); 4] = [
        (&own, &[DEATHS]),
        (&[&own[..], &filtered].concat(), &[DEATHS]),
        (&[], &[DEATHS, DEATHS_OF_KEPT]),
        (
            &[&strict[..], &filtered].concat(),
            &[DEATHS, DEATHS_OF_KEPT],
        ),
    ];
    // The view is there as soon as somebody looks at it, and stays.
    let run = ["run", "--env", "demo", "--sandbox", "none", "--", "true"];
    world.blast(run).success();
    let before = traces(&world, &BTreeSet::new());
    for (options, deaths) in kinds {
        for (name, death) in deaths.iter().copied().flatten() {
            let [ready, told] = ["ready", "end"].map(|file| world.project().join(file));
            let words = ["run", "--env", "demo", "--sandbox", "standard"];
            // The later level counts.
            let words = if options.contains(&"--sandbox") {
                &words[..3]
            } else {
                &words[..]
            };
            let program = ["--", "python", "-c", PROGRAM];
            let words = [words, options, &program].concat();
            let caller = world.blast_in_background(words);
            assert!(wait_until(|| ready.exists()), "{name} {options:?}");
            let makers = processes(&world).into_iter().map(|(number, _)| number);
            let makers: BTreeSet<i32> = makers.collect();
            let during = traces(&world, &makers).beyond(&before);
            assert!(during.namespaces.len() >= 7, "{during:#?}");
            assert!(
                during
                    .processes
                    .iter()
                    .any(|words| words.contains("MARK-OF-CHILD"))
            );
            death(&world, &caller);
            world.finish(caller);
            let is_gone = || {
                !processes(&world)
                    .iter()
                    .any(|(_, words)| words.contains("MARK-OF"))
            };
            assert!(
                wait_until(is_gone),
                "{name} {options:?}: {:#?}",
                processes(&world)
            );
            // One that is kept for other programs would be for some minutes.
            end_holders(&world);
            // The directory of a cgroup whose maker was killed goes with the next sandbox after its last process.
            let next = [
                "run",
                "--env",
                "demo",
                "--total-size-max",
                "1G",
                "--sandbox",
                "strict",
                "--",
                "true",
            ];
            let left = || {
                world.blast(next).success();
                traces(&world, &makers).beyond(&before)
            };
            wait_until(|| left() == Traces::default());
            assert_eq!(left(), Traces::default(), "{name} {options:?}");
            for file in [ready, told] {
                fs::remove_file(file).unwrap_or_default();
            }
        }
    }
}

#[test]
fn root_nothing_is_left_of_a_sandbox_whatever_it_died_of() {
    nothing_is_left(World::with([]));
}

#[test]
fn user_nothing_is_left_of_a_sandbox_whatever_it_died_of() {
    nothing_is_left(World::unprivileged([]));
}
