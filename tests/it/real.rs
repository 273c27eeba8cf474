//! Real packages from the registry that this machine's pip is set up for.
//! `BLAST_TEST_OFFLINE=1` skips these, visibly.

use blast_harness::{Means, Sandbox, require};

fn sandbox() -> Option<Sandbox> {
    let wanted = require(Means::Network) && require(Means::View);
    wanted.then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_network())
}

#[test]
fn real_main_job_flask_and_requests() {
    let Some(sandbox) = sandbox() else { return };
    let version = "from importlib.metadata import version; print(version('flask'))";
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    sandbox
        .blast(["install", "--env", "demo", "flask", "requests"])
        .success();
    sandbox
        .python_in("demo", "import flask, requests")
        .success();
    let newest = sandbox.python_in("demo", version).success();
    sandbox
        .blast(["install", "--env", "demo", "flask==2.3.3"])
        .success();
    assert_eq!(sandbox.python_in("demo", version).out(), "2.3.3");
    sandbox.blast(["revert", "--env", "demo"]).success();
    assert_eq!(sandbox.python_in("demo", version).out(), newest.out());
    sandbox
        .blast(["start", "second", "--shell", "bash"])
        .success();
    sandbox
        .blast([
            "install",
            "--offline",
            "--env",
            "second",
            "flask",
            "requests",
        ])
        .success();
    sandbox
        .blast(["run", "--env", "second", "--", "flask", "--version"])
        .success()
        .prints("Flask");
    sandbox.blast(["check", "--deep"]).success();
}

#[test]
fn real_extension_modules_load_through_the_view() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    sandbox
        .blast(["install", "--env", "demo", "numpy", "markupsafe"])
        .success();
    let code = "import numpy, markupsafe._speedups; print(numpy.arange(10).sum())";
    assert_eq!(sandbox.python_in("demo", code).success().out(), "45");
}

#[test]
fn real_source_distributions_are_built() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    // The first has a setup.py and nothing else; the second names flit.
    sandbox
        .blast([
            "install",
            "--env",
            "demo",
            "docopt==0.6.2",
            "--no-binary",
            "idna",
            "idna",
        ])
        .success();
    sandbox.python_in("demo", "import docopt, idna").success();
}

#[test]
fn real_conflict_is_explained() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    let run = sandbox.blast(["install", "--env", "demo", "flask==2.3.3", "werkzeug<2"]);
    run.exits(1).says("flask").says("werkzeug");
}

#[test]
fn real_lock_is_followed_by_sync() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    sandbox
        .blast([
            "lock",
            "requests",
            "--env",
            "demo",
            "--output",
            "pylock.toml",
        ])
        .success();
    sandbox
        .blast(["sync", "--env", "demo", "pylock.toml"])
        .success();
    sandbox
        .python_in("demo", "import requests, urllib3, idna, certifi")
        .success();
}
