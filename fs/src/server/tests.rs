//! The server's behaviour, driven without a mount.

use std::sync::Arc;

use blast_store::{LayerBuilder, LayerNumber, TreeNumber};
use nix::errno::Errno;

use super::*;
use crate::memory::MemoryContent;
use crate::node::MAX_TREE;

const TAG: &str = "cpython-312-3531";
const SITE: &str = "lib/python3.12/site-packages";

struct World {
    content: Arc<MemoryContent>,
    server: Server,
}

impl World {
    fn new() -> Self {
        let content = Arc::new(MemoryContent::new());
        let server = Server::new(Arc::clone(&content) as _);
        Self { content, server }
    }

    /// The same content, as a new process serves it.
    fn restarted(&self) -> Server {
        Server::new(Arc::clone(&self.content) as _)
    }

    /// A layer of small files with their own paths as bytes.
    fn layer(&self, paths: &[&str]) -> LayerNumber {
        let mut builder = LayerBuilder::new();
        for path in paths {
            builder.inline(path, 0o644, 7, path.as_bytes()).unwrap();
        }
        self.content.add_layer(builder).unwrap()
    }

    fn at(&self, tree: TreeNumber, path: &str) -> Lookup {
        let mut at = Node::Directory(Place::root(tree)).ino().unwrap().0;
        let mut last = Lookup::Found(self.server.getattr(at).unwrap());
        for name in path.split('/').filter(|name| !name.is_empty()) {
            last = self.server.lookup(at, name.as_bytes()).unwrap();
            match last {
                Lookup::Found(attr) => at = attr.ino,
                Lookup::Absent { .. } => break,
            }
        }
        last
    }

    fn attr(&self, tree: TreeNumber, path: &str) -> Attr {
        match self.at(tree, path) {
            Lookup::Found(attr) => attr,
            Lookup::Absent { .. } => panic!("{path} is absent"),
        }
    }

    fn read(&self, tree: TreeNumber, path: &str) -> String {
        let attr = self.attr(tree, path);
        let mut bytes = vec![0; attr.size as usize];
        let count = self.server.read(attr.ino, 0, &mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    fn list(&self, ino: u64) -> Vec<String> {
        names(&self.server, ino)
    }
}

fn names(server: &Server, ino: u64) -> Vec<String> {
    let mut names = Vec::new();
    server
        .readdir(ino, FIRST_CHILD, |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            false
        })
        .unwrap();
    names
}

const FIRST_CHILD: u64 = 2;
const LASTING: Lookup = Lookup::Absent { lasting: true };
const PASSING: Lookup = Lookup::Absent { lasting: false };

fn name(text: &str) -> EnvName {
    text.parse().unwrap()
}

#[test]
fn an_environment_is_a_link_to_its_tree() {
    let world = World::new();
    let layer = world.layer(&["bin/a"]);
    let (one, two) = (
        world.content.add_tree(&[layer], None),
        world.content.add_tree(&[], None),
    );
    let server = &world.server;
    assert_eq!(server.lookup(1, b"demo").unwrap(), LASTING);
    assert_eq!(server.set_environment(&name("demo"), one), Change::Listed);
    let Lookup::Found(before) = server.lookup(1, b"demo").unwrap() else {
        panic!("absent")
    };
    assert_eq!(
        server.readlink(before.ino).unwrap(),
        format!(".generation/{one}").into_bytes()
    );
    assert_eq!(
        before.size,
        server.readlink(before.ino).unwrap().len() as u64
    );

    assert_eq!(server.set_environment(&name("demo"), two), Change::Moved);
    let Lookup::Found(after) = server.lookup(1, b"demo").unwrap() else {
        panic!("absent")
    };
    assert_ne!(before.ino, after.ino, "a swap gives the name another node");
    assert_eq!(server.set_environment(&name("demo"), two), Change::None);
    // Who holds the old link still reads what it said.
    assert_eq!(
        server.readlink(before.ino).unwrap(),
        format!(".generation/{one}").into_bytes()
    );

    assert_eq!(world.list(1), ["demo"], "`.generation` is not listed");
    assert_eq!(server.remove_environment(&name("demo")), Change::Listed);
    assert_eq!(server.remove_environment(&name("demo")), Change::None);
    assert_eq!(server.lookup(1, b"demo").unwrap(), LASTING);
    assert_eq!(world.list(1), [""; 0]);
}

#[test]
fn trees_are_found_by_their_plain_number_only() {
    let world = World::new();
    let tree = world.content.add_tree(&[], None);
    let Lookup::Found(generations) = world.server.lookup(1, b".generation").unwrap() else {
        panic!("absent")
    };
    let lookup = |name: &str| {
        world
            .server
            .lookup(generations.ino, name.as_bytes())
            .unwrap()
    };
    assert!(matches!(lookup(&tree.to_string()), Lookup::Found(_)));
    for odd in ["01", "+1", "1 ", "x", "", "99999999999999999999"] {
        assert_eq!(lookup(odd), LASTING, "{odd:?}");
    }
    assert_eq!(lookup("9"), PASSING, "it may be made later");
    assert_eq!(world.list(generations.ino), [""; 0]);
    let beyond = (MAX_TREE + 1).to_string();
    assert_eq!(lookup(&beyond), PASSING);
}

#[test]
fn parents_are_listed_as_such() {
    let world = World::new();
    let lower = world.layer(&["lib/x/one"]);
    let upper = world.layer(&["lib/y/two"]);
    let tree = world.content.add_tree(&[lower, upper], None);
    let chain = ["lib/y", "lib", ""].map(|path| world.attr(tree, path).ino);
    let up = |ino| {
        let mut parent = 0;
        world
            .server
            .readdir(ino, 1, |entry| {
                assert_eq!(entry.name, b"..");
                parent = entry.attr.ino;
                true
            })
            .unwrap();
        parent
    };
    assert_eq!(
        up(chain[0]),
        chain[1],
        "though the parent is named by another layer"
    );
    assert_eq!(up(chain[1]), chain[2]);
    let generations = up(chain[2]);
    assert_eq!(Node::of(Ino(generations)).unwrap(), Node::Generations);
    assert_eq!((up(generations), up(1)), (1, 1));
}

#[test]
fn trees_share_files_but_not_directories() {
    let world = World::new();
    let shared = world.layer(&["lib/pkg/mod.txt"]);
    let other = world.layer(&["lib/else.txt"]);
    let one = world.content.add_tree(&[shared], None);
    let two = world.content.add_tree(&[other, shared], None);
    assert_eq!(
        world.attr(one, "lib/pkg/mod.txt"),
        world.attr(two, "lib/pkg/mod.txt")
    );
    for path in ["", "lib", "lib/pkg"] {
        let (first, second) = (world.attr(one, path), world.attr(two, path));
        assert_ne!(first.ino, second.ino, "{path}");
        assert_ne!(
            first.mtime, second.mtime,
            "Python must notice a swap: {path}"
        );
    }
}

#[test]
fn pending_bytecode_is_absent_for_now_and_wanted() {
    let world = World::new();
    let layer = world.layer(&[&format!("{SITE}/pkg/__init__.py")]);
    world.content.expect_bytecode(layer);
    let tree = world.content.add_tree(&[layer], Some(TAG));
    let cache = format!("{SITE}/pkg/__pycache__");
    assert_eq!(world.at(tree, &cache), PASSING);
    assert_eq!(world.content.wanted(), [layer]);
    let pkg = world.attr(tree, &format!("{SITE}/pkg")).ino;
    assert_eq!(world.list(pkg), ["__init__.py"]);
    // A directory without sources waits for nothing.
    assert_eq!(world.at(tree, &format!("{SITE}/__pycache__")), LASTING);

    let companion = world.layer(&[&format!("{cache}/__init__.cpython-312.pyc")]);
    world.content.decide_bytecode(layer, Some(companion));
    let stale = world.server.bytecode_ready(layer);
    assert_eq!(
        stale,
        [Ino(pkg)],
        "the listing that lacked it is to be told anew"
    );
    assert_eq!(world.server.bytecode_ready(layer), []);
    assert_eq!(world.list(pkg), ["__init__.py", "__pycache__"]);
    let file = format!("{cache}/__init__.cpython-312.pyc");
    assert_eq!(world.read(tree, &file), file);
    assert_eq!(
        world.at(tree, &format!("{cache}/other.cpython-312.pyc")),
        LASTING
    );

    let restarted = world.restarted();
    assert_eq!(
        names(&restarted, world.attr(tree, &cache).ino),
        ["__init__.cpython-312.pyc"]
    );
}

#[test]
fn bytecode_is_shown_file_by_file_while_the_rest_is_pending() {
    let world = World::new();
    let sources = ["__init__", "early", "late"].map(|name| format!("{SITE}/pkg/{name}.py"));
    let layer = world.layer(&sources.each_ref().map(String::as_str));
    world.content.expect_bytecode(layer);
    let tree = world.content.add_tree(&[layer], Some(TAG));
    let compiled = |name: &str| format!("{SITE}/pkg/__pycache__/{name}.cpython-312.pyc");
    assert_eq!(world.at(tree, &format!("{SITE}/pkg/__pycache__")), PASSING);

    let part = world.layer(&[&compiled("early")]);
    world.content.compile_partly(layer, part);
    assert_eq!(world.read(tree, &compiled("early")), compiled("early"));
    assert_eq!(world.at(tree, &compiled("late")), PASSING);

    let whole = world.layer(
        &["__init__", "early", "late"]
            .map(compiled)
            .each_ref()
            .map(String::as_str),
    );
    world.content.decide_bytecode(layer, Some(whole));
    assert!(!world.server.bytecode_ready(layer).contains(&Ino::ROOT));
    assert_eq!(world.read(tree, &compiled("late")), compiled("late"));
    assert_eq!(world.at(tree, &compiled("never")), LASTING);
}

#[test]
fn bytecode_that_will_never_come_may_be_cached_as_absent() {
    let world = World::new();
    let layer = world.layer(&["pkg/__init__.py"]);
    let tree = world.content.add_tree(&[layer], Some(TAG));
    assert_eq!(world.at(tree, "pkg/__pycache__"), LASTING);
    assert_eq!(world.content.wanted(), []);
}

#[test]
fn a_shared_folder_waits_only_for_the_layer_of_the_source() {
    let world = World::new();
    let six = world.layer(&["six.py"]);
    let toml = world.layer(&["toml.py"]);
    world.content.expect_bytecode(toml);
    let compiled = world.layer(&["__pycache__/six.cpython-312.pyc"]);
    world.content.decide_bytecode(six, Some(compiled));
    let tree = world.content.add_tree(&[six, toml], Some(TAG));
    let cache = world.attr(tree, "__pycache__").ino;
    let lookup = |name: &str| world.server.lookup(cache, name.as_bytes()).unwrap();
    assert!(matches!(lookup("six.cpython-312.pyc"), Lookup::Found(_)));
    assert_eq!(world.content.wanted(), [], "six asks for nothing of toml's");
    assert_eq!(lookup("toml.cpython-312.pyc"), PASSING);
    assert_eq!(world.content.wanted(), [toml]);
    assert_eq!(lookup("nothing.cpython-312.pyc"), LASTING);
    assert_eq!(world.list(cache), ["six.cpython-312.pyc"]);

    let compiled = world.layer(&["__pycache__/toml.cpython-312.pyc"]);
    world.content.decide_bytecode(toml, Some(compiled));
    assert_eq!(world.server.bytecode_ready(toml), [Ino(cache)]);
    assert_eq!(
        world.attr(tree, "__pycache__").ino,
        cache,
        "the same directory as before"
    );
    assert_eq!(
        world.list(cache),
        ["six.cpython-312.pyc", "toml.cpython-312.pyc"]
    );
}

#[test]
fn bytecode_of_a_hidden_source_is_hidden_too() {
    let world = World::new();
    let lower = world.layer(&["pkg/mod.py", "pkg/own.py"]);
    let upper = world.layer(&["pkg/mod.py"]);
    let compiled = world.layer(&[
        "pkg/__pycache__/mod.cpython-312.pyc",
        "pkg/__pycache__/own.cpython-312.pyc",
    ]);
    world.content.decide_bytecode(lower, Some(compiled));
    let tree = world.content.add_tree(&[lower, upper], Some(TAG));
    let cache = world.attr(tree, "pkg/__pycache__").ino;
    assert_eq!(world.list(cache), ["own.cpython-312.pyc"]);
    assert_eq!(
        world.at(tree, "pkg/__pycache__/mod.cpython-312.pyc"),
        LASTING
    );
}

#[test]
fn bytecode_that_a_wheel_ships_is_shown_above_ours() {
    let world = World::new();
    let mut builder = LayerBuilder::new();
    builder.inline("m.py", 0o644, 0, *b"source").unwrap();
    builder
        .inline("__pycache__/m.cpython-312.pyc", 0o644, 0, *b"shipped")
        .unwrap();
    let layer = world.content.add_layer(builder).unwrap();
    let compiled = world.layer(&[
        "__pycache__/m.cpython-312.pyc",
        "__pycache__/m.cpython-312.opt-1.pyc",
    ]);
    world.content.decide_bytecode(layer, Some(compiled));
    let tree = world.content.add_tree(&[layer], Some(TAG));
    assert_eq!(world.read(tree, "__pycache__/m.cpython-312.pyc"), "shipped");
    let root = world.attr(tree, "").ino;
    assert_eq!(world.list(root), ["m.py", "__pycache__"], "listed once");
    let cache = world.attr(tree, "__pycache__").ino;
    assert_eq!(
        world.list(cache),
        ["m.cpython-312.opt-1.pyc", "m.cpython-312.pyc"]
    );
}

#[test]
fn a_file_called_pycache_is_left_alone() {
    let world = World::new();
    let layer = world.layer(&["m.py", "__pycache__"]);
    let compiled = world.layer(&["__pycache__/m.cpython-312.pyc"]);
    world.content.decide_bytecode(layer, Some(compiled));
    let tree = world.content.add_tree(&[layer], Some(TAG));
    assert_eq!(world.attr(tree, "__pycache__").kind, Kind::File);
    let root = world.attr(tree, "").ino;
    assert_eq!(world.list(root), ["__pycache__", "m.py"]);
}

#[test]
fn damage_is_an_error_of_that_file_alone() {
    let world = World::new();
    let content = &world.content;
    let mut builder = LayerBuilder::new();
    let (gone, short) = (
        content.add_blob(b"gone").unwrap(),
        content.add_blob(b"short").unwrap(),
    );
    builder.file("gone", 0o644, 0, gone, 4).unwrap();
    builder.file("short", 0o644, 0, short, 500).unwrap();
    builder.inline("fine", 0o644, 0, *b"fine").unwrap();
    let layer = content.add_layer(builder).unwrap();
    content.remove_blob(gone);
    let tree = content.add_tree(&[layer], None);
    for path in ["gone", "short"] {
        let ino = world.attr(tree, path).ino;
        let error = world.server.read(ino, 0, &mut [0; 500]).unwrap_err();
        assert_eq!(error.errno(), Errno::EIO, "{path}: {error}");
        assert!(error.is_damage());
    }
    assert_eq!(world.read(tree, "fine"), "fine");
}

#[test]
fn requests_of_the_wrong_kind_are_refused() {
    let world = World::new();
    let mut builder = LayerBuilder::new();
    builder.inline("dir/file", 0o644, 0, *b"x").unwrap();
    builder.symlink("link", "dir/file").unwrap();
    let layer = world.content.add_layer(builder).unwrap();
    let tree = world.content.add_tree(&[layer], None);
    let server = &world.server;
    let [dir, file, link] = ["dir", "dir/file", "link"].map(|path| world.attr(tree, path).ino);
    let errno = |result: Result<(), FsError>| result.unwrap_err().errno();
    assert_eq!(errno(server.lookup(file, b"x").map(drop)), Errno::ENOTDIR);
    assert_eq!(errno(server.readdir(link, 0, |_| false)), Errno::ENOTDIR);
    assert_eq!(
        errno(server.read(dir, 0, &mut [0]).map(drop)),
        Errno::EISDIR
    );
    assert_eq!(
        errno(server.read(link, 0, &mut [0]).map(drop)),
        Errno::EINVAL
    );
    assert_eq!(errno(server.readlink(file).map(drop)), Errno::EINVAL);
    assert_eq!(server.readlink(link).unwrap(), b"dir/file");
}

#[test]
fn numbers_of_nodes_that_a_tree_does_not_have_are_stale() {
    let world = World::new();
    let lower = world.layer(&["lib/one"]);
    let upper = world.layer(&["lib/two"]);
    let stranger = world.layer(&["etc/three"]);
    let tree = world.content.add_tree(&[lower, upper], None);
    let place = |layer, entry| {
        Node::Directory(Place {
            tree,
            layer,
            entry: EntryIndex(entry),
        })
        .ino()
        .unwrap()
        .0
    };
    // `lib` is named by the lowest layer; the upper one's entry is no node, nor is `etc`.
    for ino in [
        place(upper, 1),
        place(stranger, 1),
        place(lower, 99),
        place(LayerNumber(77), 1),
    ] {
        let error = world.server.lookup(ino, b"one").unwrap_err();
        assert_eq!(error.errno(), Errno::ESTALE, "{error}");
    }
    assert!(matches!(
        world.server.lookup(place(lower, 1), b"two").unwrap(),
        Lookup::Found(_)
    ));
    let gone = Node::Directory(Place::root(TreeNumber(5))).ino().unwrap().0;
    assert_eq!(
        world.server.getattr(gone).unwrap_err().errno(),
        Errno::ESTALE
    );
}

#[test]
fn trees_are_held_while_the_kernel_knows_their_directories() {
    let world = World::new();
    let layer = world.layer(&["lib/file"]);
    let tree = world.content.add_tree(&[layer], None);
    let [root, lib, file] = ["", "lib", "lib/file"].map(|path| world.attr(tree, path).ino);
    let server = &world.server;
    for ino in [root, lib, lib, file, 1] {
        server.hold(ino);
    }
    server.forget(root, 1);
    server.forget(file, 1);
    assert_eq!(server.held_trees(), [tree]);
    server.forget(lib, 2);
    assert_eq!(server.held_trees(), []);
    server.forget(lib, 1);
    assert_eq!(server.held_trees(), [], "another process had told of it");
}

#[test]
fn a_trees_branches_are_its_packages_and_then_what_they_share() {
    let world = World::new();
    let one = world.layer(&["lib/site/one/deep/er/m.py", "lib/site/shared/a.py", "bin/x"]);
    let two = world.layer(&["lib/site/two/m.py", "lib/site/shared/b.py", "pyvenv.cfg"]);
    let tree = world.content.add_tree(&[one, two], Some(TAG));
    let branches = world.server.branches(tree).unwrap();
    let expected = [
        ("", "bin"),
        ("lib/site", "one"),
        ("lib/site", "shared"),
        ("lib/site", "two"),
        ("lib", "site"),
        ("", "lib"),
    ];
    let expected = expected
        .map(|(parent, name)| (Ino(world.attr(tree, parent).ino), name.as_bytes().to_vec()));
    assert_eq!(branches, expected);
}

#[test]
fn endless_nesting_is_not_followed() {
    let world = World::new();
    let deep = vec!["d"; 3000].join("/");
    let (one, two) = (
        world.layer(&[&format!("{deep}/1")]),
        world.layer(&[&format!("{deep}/2")]),
    );
    let tree = world.content.add_tree(&[one, two], Some(TAG));
    assert_eq!(
        world.server.branches(tree).unwrap().len(),
        MAX_SHARED_DEPTH + 1
    );
    // Directories far down are found all the same, also by number alone.
    let bottom = world.attr(tree, &deep).ino;
    assert_eq!(names(&world.restarted(), bottom), ["1", "2"]);
}
