//! Random `kill -9` of the daemon while twenty interpreters import, map extension modules and look for
//! what is not there. None of them may see an error; `make kills` does it for longer and says how long
//! the longest wait was.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blast_harness::{Background, Means, Member, WheelSpec, require};

use crate::world::World;

/// How many kills; `make test` has no time for more.
const KILLS: &str = "BLAST_TEST_KILLS";
const FEW: u64 = 20;
const INTERPRETERS: usize = 20;
/// A program never waits longer than this, where the machine is not wholly busy with other things: asserted
/// with [`KILLS`] only.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Imports, maps and stats for ever; says at its end how often and how long it waited at most.
const WORKER: &str = r"
import importlib.machinery, importlib.util, mmap, os, random, sys, time
stop, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
longest, rounds = 0.0, 0
prefix = sys.prefix
names = ['pure_%d.m%d' % (p, m) for p in range(5) for m in range(8)]
while not os.path.exists(stop):
    began = time.monotonic()
    for name in random.sample(names, 4):
        for known in [n for n in sys.modules if n.split('.')[0] == name.split('.')[0]]:
            del sys.modules[known]
        importlib.invalidate_caches()
        assert importlib.import_module(name).VALUE == name
    sys.modules.pop('native._blast_fixture', None)
    native = importlib.import_module('native')
    extension = importlib.machinery.PathFinder.find_spec('native.' + native.NAME, native.__path__)
    importlib.util.module_from_spec(extension)
    with open(extension.origin, 'rb') as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:4] == b'\x7fELF'
            sum(mapped[at] for at in range(0, len(mapped), 4096))
    assert not os.path.exists(os.path.join(prefix, 'missing-%d-%d' % (seed, rounds)))
    assert 'pyvenv.cfg' in os.listdir(prefix)
    longest = max(longest, time.monotonic() - began)
    rounds += 1
print(rounds, longest)
";

fn wheels(extension: &Path) -> Vec<WheelSpec> {
    let name = extension
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let module = name.split('.').next().expect("a name").to_owned();
    let bytes = std::fs::read(extension).expect("the interpreter's own");
    let mut wheels: Vec<_> = (0..5)
        .map(|package| {
            let mut wheel = WheelSpec::simple(&format!("pure_{package}"), "1.0");
            for module in 0..8 {
                let text = format!("VALUE = 'pure_{package}.m{module}'\n");
                wheel = wheel.file(&format!("pure_{package}/m{module}.py"), &text);
            }
            wheel
        })
        .collect();
    wheels.push(
        WheelSpec::new("native", "1.0")
            .file("native/__init__.py", &format!("NAME = {module:?}\n"))
            .member(Member::new(format!("native/{name}"), bytes)),
    );
    wheels
}

#[test]
fn kills_at_random_are_noticed_by_no_program() {
    if !require(Means::Resend) {
        return;
    }
    let asked = std::env::var(KILLS).ok().and_then(|text| text.parse().ok());
    let kills: u64 = asked.unwrap_or(FEW);
    let Some(world) = World::with([]) else {
        return;
    };
    let told = world.run(world.command(
        "python3",
        [
            "-c",
            "import glob, sysconfig; print(sorted(glob.glob(\
             sysconfig.get_config_var('DESTSHARED') + '/_h*.so'))[-1])",
        ],
    ));
    let extension = PathBuf::from(told.success().out());
    for wheel in wheels(&extension) {
        world.index.add(&wheel);
    }
    world.start("demo");
    let all = ["pure_0", "pure_1", "pure_2", "pure_3", "pure_4", "native"];
    world.install("demo", &all).success();
    world.show("demo");
    let worker = world.write("worker.py", WORKER);
    let stop = world.project().join("stop");
    let python = world.live().join("demo/bin/python");
    let mut workers: Vec<_> = (0..INTERPRETERS)
        .map(|seed| {
            let seed = seed.to_string();
            let words = [worker.as_os_str(), stop.as_os_str(), seed.as_ref()];
            world.in_background(world.command(&python, words))
        })
        .collect();
    let began = Instant::now();
    let mut random = began.elapsed().subsec_nanos() | 1;
    for _ in 0..kills {
        // Linear congruential: any spread will do.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(random >> 16) % 700 + 50));
        if let Some(daemon) = world.daemon() {
            world.crash(daemon);
        }
        // One that ended has seen an error, and says so below.
        if !workers.iter_mut().all(Background::is_running) {
            break;
        }
    }
    std::fs::write(&stop, "").expect("the project can be written");
    let (mut rounds, mut longest) = (0, Duration::ZERO);
    for worker in workers {
        let run = world.finish(worker).success();
        let (count, wait) = run.out().split_once(' ').expect("two numbers");
        rounds += count.parse::<u64>().expect("a number");
        let wait = wait.parse().map(Duration::from_secs_f64).expect("seconds");
        longest = longest.max(wait);
    }
    let json = world.change("status", "demo", &["--json"]).success().json();
    let figures = format!(
        "{kills} kills in {:.1} s, {} changes of hands, {INTERPRETERS} interpreters, {rounds} rounds, \
         longest round {:.3} s",
        began.elapsed().as_secs_f64(),
        json["view"]["takeovers"],
        longest.as_secs_f64()
    );
    world.note(&figures);
    assert!(
        json["view"]["takeovers"].as_u64() >= Some(kills / 2),
        "{json}"
    );
    assert!(rounds > 0);
    if asked.is_some() {
        assert!(longest < LONGEST_WAIT, "{longest:?}");
    }
    world.blast(["check", "--deep"]).success();
}
