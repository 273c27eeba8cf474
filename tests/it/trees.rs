//! Folders, repositories and archives that a requirement names by path or URL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use blast_harness::{Release, SdistSpec, WheelSpec};

use crate::world::{World, packages};

fn world() -> Option<World> {
    World::started([WheelSpec::simple("helper", "1.0")])
}

/// The sources of `made`, in the project folder.
fn tree(world: &World) -> PathBuf {
    let sdist = SdistSpec::simple("made", "1.0").requires("helper");
    sdist.write_to(&world.project().join("tree"))
}

fn set(tree: &Path, text: &str) {
    fs::write(tree.join("src/made.py"), format!("value = '{text}'\n")).expect("written");
}

#[track_caller]
fn value(world: &World, env: &str) -> String {
    let run = world
        .python_in(env, "import made; print(made.value)")
        .success();
    run.out().to_owned()
}

/// `direct_url.json` of `made`.
#[track_caller]
fn direct_url(world: &World, env: &str) -> serde_json::Value {
    let code = "import importlib.metadata as m; \
                print(m.distribution('made').read_text('direct_url.json'))";
    let run = world.python_in(env, code).success();
    serde_json::from_str(run.out()).expect("JSON")
}

#[test]
fn a_folder_is_built_anew_whenever_it_is_named() {
    let Some(world) = world() else { return };
    let tree = tree(&world);
    set(&tree, "first");
    world.install("demo", &["./tree"]).success();
    assert_eq!(
        world.inside("demo"),
        packages([("made", "1.0"), ("helper", "1.0")])
    );
    let direct = direct_url(&world, "demo");
    assert_eq!(direct["dir_info"], serde_json::json!({}), "{direct}");
    assert!(
        direct["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("/project/tree"))
    );
    set(&tree, "second");
    assert_eq!(value(&world, "demo"), "first");
    let other = world.install("demo", &["helper==1.0"]).success();
    assert!(!other.stderr.contains("made"), "{other}");
    assert_eq!(value(&world, "demo"), "first");
    world.install("demo", &["made @ ./tree"]).success();
    assert_eq!(value(&world, "demo"), "second");
    world.blast(["revert", "--env", "demo"]).success();
    assert_eq!(value(&world, "demo"), "first");
}

#[test]
fn an_editable_project_is_seen_as_it_is() {
    let Some(world) = world() else { return };
    let tree = tree(&world);
    set(&tree, "first");
    world.install("demo", &["-e", "./tree"]).success();
    assert_eq!(value(&world, "demo"), "first");
    set(&tree, "second");
    assert_eq!(value(&world, "demo"), "second");
    assert_eq!(direct_url(&world, "demo")["dir_info"]["editable"], true);
    let again = world.install("demo", &["-e", "./tree"]).success();
    assert!(again.stderr.contains("nothing to do"), "{again}");
    let pyproject = tree.join("pyproject.toml");
    let text = fs::read_to_string(&pyproject).expect("there");
    fs::write(&pyproject, text + "\n[tool.x]\n").expect("written");
    fs::write(tree.join("NAME"), "made 2.0\n").expect("written");
    fs::write(
        tree.join("METADATA"),
        "Metadata-Version: 2.1\nName: made\nVersion: 2.0\n",
    )
    .expect("written");
    world.install("demo", &["-e", "./tree"]).success();
    assert_eq!(world.inside("demo"), packages([("made", "2.0")]));
    world.install("demo", &["./tree"]).success();
    set(&tree, "third");
    assert_eq!(value(&world, "demo"), "second");
}

#[test]
fn a_backend_without_editable_installs_says_so() {
    let Some(world) = world() else { return };
    SdistSpec::simple("made", "1.0")
        .backend("del build_editable\n")
        .write_to(&world.project().join("tree"));
    let run = world.install("demo", &["-e", "./tree"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("build_editable") && run.stderr.contains("-e"),
        "{run}"
    );
}

#[test]
fn a_folder_that_is_no_project_is_said_so() {
    let Some(world) = world() else { return };
    fs::create_dir(world.project().join("empty")).expect("made");
    for words in [&["./empty"][..], &["-e", "./empty"]] {
        let run = world.install("demo", words);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains("no Python project"), "{run}");
    }
    tree(&world);
    let run = world.install("demo", &["other @ ./tree"]);
    assert!(
        run.code == 1 && run.stderr.contains("made, not other"),
        "{run}"
    );
}

fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(["-c", "init.defaultBranch=main"])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with `made` in a folder of it: its URL, and the commits tagged `v1` and on `main`.
fn repository(world: &World) -> (String, [String; 2]) {
    let folder = world.root().join("repository");
    let sdist = SdistSpec::simple("made", "1.0");
    let tree = sdist.write_to(&folder.join("python"));
    git(&folder, &["init", "--quiet"]);
    let mut commits = Vec::new();
    for text in ["first", "second"] {
        set(&tree, text);
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "--quiet", "-m", text]);
        commits.push(git(&folder, &["rev-parse", "HEAD"]));
        if text == "first" {
            git(&folder, &["tag", "v1"]);
        }
    }
    let [first, second] = <[String; 2]>::try_from(commits).expect("two");
    (format!("git+file://{}", folder.display()), [first, second])
}

#[test]
fn a_repository_is_installed_by_commit() {
    let Some(world) = world() else { return };
    let (url, [first, second]) = repository(&world);
    let tagged = format!("made @ {url}@v1#subdirectory=python");
    world.install("demo", &[&tagged]).success();
    assert_eq!(value(&world, "demo"), "first");
    let direct = direct_url(&world, "demo");
    assert_eq!(direct["vcs_info"]["commit_id"], first.as_str(), "{direct}");
    assert_eq!(direct["vcs_info"]["requested_revision"], "v1");
    assert_eq!(direct["subdirectory"], "python");
    let again = world.install("demo", &[&tagged]).success();
    assert!(again.stderr.contains("nothing to do"), "{again}");
    world
        .install("demo", &[&format!("{url}@main#subdirectory=python")])
        .success();
    assert_eq!(value(&world, "demo"), "second");

    let lock = world.project().join("pylock.toml");
    let words = [
        "lock",
        &format!("{url}#subdirectory=python"),
        "--output",
        "pylock.toml",
    ];
    world.blast(words.map(str::to_owned)).success();
    let text = fs::read_to_string(&lock).expect("written");
    assert!(text.contains("vcs = {") && text.contains(&second), "{text}");
    world.start("second");
    world
        .blast(["sync", "--env", "second", "pylock.toml"])
        .success();
    assert_eq!(value(&world, "second"), "second");
}

#[test]
fn repositories_that_cannot_be_had_are_explained() {
    let Some(mut world) = world() else { return };
    let (url, _) = repository(&world);
    let missing = world.install(
        "demo",
        &[&format!("made @ {url}@nothing#subdirectory=python")],
    );
    assert_eq!(missing.code, 1, "{missing}");
    assert!(missing.stderr.contains("nothing"), "{missing}");
    let option = world.install("demo", &[&format!("made @ {url}@--upload-pack=x")]);
    assert_ne!(option.code, 0, "{option}");
    assert!(option.stderr.contains("no revision"), "{option}");
    let bare = world.python().bin.clone();
    world.sandbox.set("PATH", bare);
    let run = world.install("demo", &[&format!("made @ {url}#subdirectory=python")]);
    assert!(run.code == 1 && run.stderr.contains("no `git`"), "{run}");
}

#[test]
fn an_archive_behind_a_url_is_built_if_its_hash_is_right() {
    let Some(world) = world() else { return };
    let sdist = SdistSpec::simple("made", "1.0").file("src/made.py", "value = 'archive'\n");
    world.index.publish(Release::sdist(&sdist));
    let url = world.index.file_url(&sdist.filename());
    let wrong = world.install(
        "demo",
        &[&format!("made @ {url}#sha256={}", "0".repeat(64))],
    );
    assert!(wrong.code == 1 && wrong.stderr.contains("0000"), "{wrong}");
    world.install("demo", &[&format!("made @ {url}")]).success();
    assert_eq!(value(&world, "demo"), "archive");
    let direct = direct_url(&world, "demo");
    assert!(
        direct["archive_info"]["hashes"]["sha256"].is_string(),
        "{direct}"
    );
    world
        .blast(["lock", "--env", "demo", "--output", "pylock.toml"])
        .success();
    world.start("second");
    world
        .blast(["sync", "--env", "second", "pylock.toml"])
        .success();
    assert_eq!(value(&world, "second"), "archive");
}

#[test]
fn a_lock_names_folders() {
    let Some(world) = world() else { return };
    set(&tree(&world), "tree");
    world
        .blast(["lock", "./tree", "--output", "pylock.toml"])
        .success();
    let text = fs::read_to_string(world.project().join("pylock.toml")).expect("written");
    assert!(text.contains("directory = {"), "{text}");
    // Of what can change no version is stated (PEP 751).
    assert!(!text.contains("name = \"made\"\nversion"), "{text}");
    world
        .blast(["sync", "--env", "demo", "pylock.toml"])
        .success();
    assert_eq!(
        world.inside("demo"),
        packages([("made", "1.0"), ("helper", "1.0")])
    );
    assert_eq!(value(&world, "demo"), "tree");
}

#[test]
fn a_lock_goes_along_with_the_folders_below_it() {
    let Some(world) = world() else { return };
    set(&tree(&world), "tree");
    let project = world.project();
    let folder = project.join("checkout");
    fs::create_dir(&folder).expect("ours");
    fs::rename(project.join("tree"), folder.join("tree")).expect("ours");
    let lock = |words: &[&str]| {
        let args = ["lock", "--output", "checkout/pylock.toml"];
        world.blast(args.iter().chain(words)).success();
        fs::read_to_string(folder.join("pylock.toml")).expect("written")
    };
    let text = lock(&["./checkout/tree"]);
    assert!(text.contains("path = \"tree\""), "{text}");
    assert_eq!(lock(&["./checkout/tree"]), text, "again the same");
    let universal = lock(&["--universal", "./checkout/tree"]);
    assert!(universal.contains("path = \"tree\""), "{universal}");

    fs::rename(&folder, project.join("moved")).expect("ours");
    world
        .blast(["sync", "--env", "demo", "moved/pylock.toml"])
        .success();
    assert_eq!(value(&world, "demo"), "tree");

    fs::create_dir(project.join("apart")).expect("ours");
    world
        .blast(["lock", "./moved/tree", "--output", "apart/pylock.toml"])
        .success();
    let text = fs::read_to_string(project.join("apart/pylock.toml")).expect("written");
    let whole = project.join("moved/tree");
    assert!(
        text.contains(&format!("path = \"{}\"", whole.display())),
        "{text}"
    );
}

#[test]
fn a_project_is_installed_with_what_it_needs_unless_told_otherwise() {
    let Some(world) = world() else { return };
    let project = world.project();
    SdistSpec::simple("made", "1.0")
        .requires("helper")
        .write_to(&project);
    set(&project, "first");
    let start = |words: &[&str]| {
        world
            .blast(["start", "--shell", "bash"].iter().chain(words))
            .success()
    };
    start(&["--no-install-project"]);
    let env = world.blast(["envs"]).success();
    let env = env.stdout.lines().find_map(|line| {
        let name = line.split_whitespace().next()?;
        (name != "demo" && name.starts_with("project")).then(|| name.to_owned())
    });
    let env = env.expect("an environment of the project");
    assert_eq!(world.inside(&env), packages([]));
    world.blast(["sync", "--env", &env]).success();
    assert_eq!(
        world.inside(&env),
        packages([("made", "1.0"), ("helper", "1.0")])
    );
    assert_eq!(direct_url(&world, &env)["dir_info"]["editable"], true);
    set(&project, "second");
    assert_eq!(value(&world, &env), "second");
    let again = world.blast(["sync", "--env", &env]).success();
    assert!(again.stderr.contains("nothing to do"), "{again}");

    world.write(
        "pylock.toml",
        "lock-version = \"1.0\"\ncreated-by = \"t\"\npackages = []\n",
    );
    world
        .blast(["sync", "--env", &env, "--no-editable"])
        .success();
    assert_eq!(world.inside(&env), packages([("made", "1.0")]));
    set(&project, "third");
    assert_eq!(value(&world, &env), "second");
}
