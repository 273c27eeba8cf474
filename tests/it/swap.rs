//! Random programs run while generations of one environment swap: whatever a program looks up comes from
//! exactly one generation, and what it holds open stays what it was.
//!
//! Generation N has the package `gen` of version N, in which each file says N, many times, and in
//! which one file, `only_N.py`, is in no other. The random numbers start from `BLAST_TEST_SEED`, which
//! the test prints.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blast_harness::{Background, WheelSpec};

use crate::world::World;

const SEED: &str = "BLAST_TEST_SEED";
const WORKERS: u64 = 4;
const VERSIONS: u64 = 4;
const MODULES: u64 = 12;
const SWAPPING: Duration = Duration::from_secs(6);

/// Does one of its actions after the other until it is stopped; prints how many it did and which
/// generations it saw.
const WORKER: &str = r"
import importlib, mmap, os, random, subprocess, sys
stop, seed, prefix, modules = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
random.seed(seed)
known = {'1', '2', '3', '4'}
below = 'lib/python%d.%d/site-packages/gen' % sys.version_info[:2]
files = ['__init__.py'] + ['m%d.py' % number for number in range(modules)]
seen = set()

def one(values, what):
    assert len(set(values)) == 1 and set(values) <= known, (what, sorted(set(values)))
    seen.add(values[0])
    return values[0]

def said(text, what):
    lines = text.split('\n')
    assert lines.pop() == '', (what, text[-40:])
    return one([line.rpartition(' ')[2] for line in lines], what)

def read(path, folder=None):
    descriptor = os.open(path, os.O_RDONLY, dir_fd=folder)
    with open(descriptor) as file:
        return said(file.read(), path)

def listed(names, what):
    only = [name[5:-3] for name in names if name.startswith('only_')]
    value = one(only, what)
    wanted = set(files) | {'only_%s.py' % value}
    assert len(only) == 1 and set(names) - {'__pycache__'} == wanted, (what, names)
    return value

def read_one():
    read(os.path.join(prefix, below, random.choice(files)))

def walk_one():
    listed(os.listdir(os.path.join(prefix, below)), 'listing')

def look_up_what_comes_and_goes():
    path = os.path.join(prefix, below, 'only_%s.py' % random.choice(sorted(known)))
    try:
        value = read(path)
    except FileNotFoundError:
        return
    assert path.endswith('only_%s.py' % value), (path, value)

def resolve_once(hold):
    # The link is followed once, here; everything else goes by what it led to.
    folder = os.open(os.path.join(prefix, below), os.O_RDONLY | os.O_DIRECTORY)
    try:
        hold(folder)
    finally:
        os.close(folder)

def read_all(folder):
    values = [read(name, folder) for name in random.sample(files, len(files)) for _ in range(3)]
    values.append(listed(os.listdir(folder), 'listing of a folder'))
    read('only_%s.py' % one(values, 'files of one folder'), folder)

def stay(folder):
    os.fchdir(folder)
    try:
        values = [read(name) for name in files] + [listed(os.listdir('.'), 'working directory')]
        dist_infos = [name for name in os.listdir('..') if name.endswith('.dist-info')]
        values += [name.split('-')[1][0] for name in dist_infos if name.startswith('gen-')]
        one(values, 'working directory')
    finally:
        os.chdir('/')

def keep_open(folder):
    first = read(files[0], folder)
    with open(os.open('m1.py', os.O_RDONLY, dir_fd=folder), 'rb') as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for _ in range(20):
                read_one()
                file.seek(0)
                values = [said(file.read().decode(), 'open file'), said(mapped[:].decode(), 'map')]
                one([first] + values, 'what is held open')

def import_live():
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split('.')[0] == 'gen']:
        del sys.modules[name]
    for number in random.sample(range(modules), 4):
        one([str(importlib.import_module('gen.m%d' % number).VALUE)], 'import')

def import_by_generation(folder):
    # The tree is held by the folder, so its own path stays too.
    path = os.readlink('/proc/self/fd/%d' % folder)
    tree = path[:-len(below) - 1]
    code = ('import importlib\nfor number in range(%d):\n'
            '    print(importlib.import_module(\'gen.m%%d\' %% number).VALUE)\n'
            'import importlib.metadata as m\nprint(m.version(\'gen\')[0])' % modules)
    told = subprocess.run([tree + '/bin/python', '-c', code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert one(told.stdout.split(), 'a whole program') == read(files[0], folder)

def held(action):
    return lambda: resolve_once(action)

actions = [read_one, walk_one, look_up_what_comes_and_goes, import_live,
           held(read_all), held(stay), held(keep_open), held(import_by_generation)]
count = 0
while not os.path.exists(stop):
    random.choice(actions)()
    count += 1
print(count, *sorted(seen))
";

fn wheel(version: u64) -> WheelSpec {
    let text = format!("VALUE = {version}\n").repeat(2000);
    let only = format!("gen/only_{version}.py");
    let wheel = WheelSpec::new("gen", &format!("{version}.0"))
        .file("gen/__init__.py", &text)
        .file(&only, &text);
    (0..MODULES).fold(wheel, |wheel, module| {
        wheel.file(&format!("gen/m{module}.py"), &text)
    })
}

/// What a random number generator has to be here: told from one number, and spread.
struct Random(u64);

impl Random {
    /// A number below the limit (xorshift64, Marsaglia 2003).
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// What the environment must show, by what was asked of it.
struct Model {
    done: Vec<u64>,
    undone: Vec<u64>,
}

impl Model {
    fn shown(&self) -> u64 {
        *self.done.last().expect("the first install is never undone")
    }

    /// Asks for some swap, and notes what it leads to.
    fn swap(&mut self, world: &World, random: &mut Random) {
        match random.below(3) {
            0 if self.done.len() > 1 => {
                world.change("revert", "demo", &[]).success();
                self.undone.extend(self.done.pop());
            }
            1 if !self.undone.is_empty() => {
                world.change("redo", "demo", &[]).success();
                self.done.extend(self.undone.pop());
            }
            _ => {
                let version = 1 + (self.shown() + random.below(VERSIONS - 1)) % VERSIONS;
                world
                    .install("demo", &[&format!("gen=={version}.0")])
                    .success();
                self.done.push(version);
                self.undone.clear();
            }
        }
    }
}

fn seed() -> u64 {
    let asked = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = asked.unwrap_or_else(|| u64::from(now().map_or(1, |time| time.subsec_nanos())));
    seed.max(1)
}

#[test]
fn each_lookup_answers_from_one_generation_while_generations_swap() {
    let seed = seed();
    let Some(world) = World::mounted((1..=VERSIONS).map(wheel)) else {
        return;
    };
    world.note(&format!("{SEED}={seed}"));
    world.install("demo", &["gen==1.0"]).success();
    world.show("demo");
    let worker = world.write("worker.py", WORKER);
    let stop = world.project().join("stop");
    let prefix = world.live().join("demo");
    let python = prefix.join("bin/python");
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let seed = seed.wrapping_add(number).to_string();
            let modules = MODULES.to_string();
            let words = [
                worker.as_os_str(),
                stop.as_os_str(),
                seed.as_ref(),
                prefix.as_os_str(),
                modules.as_ref(),
            ];
            world.in_background(world.command(&python, words))
        })
        .collect();
    let mut random = Random(seed);
    let mut model = Model {
        done: vec![1],
        undone: Vec::new(),
    };
    let began = Instant::now();
    let mut swaps = 0;
    while began.elapsed() < SWAPPING {
        model.swap(&world, &mut random);
        swaps += 1;
        let link = world.live().join("demo/lib");
        let minor = world.python().minor().to_owned();
        let file = link.join(format!(
            "python{minor}/site-packages/gen/only_{}.py",
            model.shown()
        ));
        assert!(file.exists(), "{} after swap {swaps}", file.display());
        std::thread::sleep(Duration::from_millis(random.below(60)));
        // One that ended has seen two generations at once, and says so below.
        if !workers.iter_mut().all(Background::is_running) {
            break;
        }
    }
    std::fs::write(&stop, "").expect("the project can be written");
    let (mut actions, mut generations) = (0, BTreeSet::new());
    for worker in workers {
        let run = world.finish(worker).success();
        let mut words = run.out().split_whitespace();
        let count = words.next().and_then(|word| word.parse::<u64>().ok());
        actions += count.expect("a number");
        generations.extend(words.map(str::to_owned));
    }
    world.note(&format!(
        "{swaps} swaps, {actions} actions, seen: {generations:?}"
    ));
    assert!(
        generations.len() > 1,
        "programs ran while generations swapped"
    );
    world.blast(["check", "--deep"]).success();
}
