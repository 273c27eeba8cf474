//! Real tools that install: those that write into an environment, each captured and undone by one
//! `blast revert`, and those that call `pip`, which is blast.
//! `BLAST_TEST_OFFLINE=1` skips these, visibly.

use blast_harness::{Means, Run, Sandbox, require};

fn sandbox() -> Option<Sandbox> {
    let wanted = require(Means::Network) && require(Means::View);
    let sandbox = wanted.then(|| Sandbox::new(env!("CARGO_BIN_EXE_blast")).with_network())?;
    sandbox
        .blast(["start", "demo", "--shell", "bash"])
        .success();
    Some(sandbox)
}

fn capturing(sandbox: &Sandbox, words: &[&str]) -> Run {
    let all = ["run", "--env", "demo", "--writes", "capture", "--"];
    sandbox.blast(all.iter().chain(words))
}

fn running(sandbox: &Sandbox, words: &[&str]) -> Run {
    let all = ["run", "--env", "demo", "--"];
    sandbox.blast(all.iter().chain(words))
}

/// The newest operation is a capture, `code` runs with it, and no more after one revert.
#[track_caller]
fn assert_undone_by_one_revert(sandbox: &Sandbox, code: &str) {
    sandbox.python_in("demo", code).success();
    let log = sandbox
        .blast(["log", "--env", "demo", "--json"])
        .success()
        .json();
    assert_eq!(log["operations"][0]["kind"], "capture", "{log:#}");
    sandbox.blast(["revert", "--env", "demo"]).success();
    sandbox.python_in("demo", code).exits(1);
    sandbox.blast(["check", "--deep"]).success();
}

#[test]
fn real_uv_installs_into_an_environment() {
    let Some(sandbox) = sandbox().filter(|_| require(Means::Overlay)) else {
        return;
    };
    sandbox.blast(["install", "--env", "demo", "uv"]).success();
    let words = [
        "sh",
        "-c",
        "uv pip install --python \"$VIRTUAL_ENV/bin/python\" idna==3.7",
    ];
    capturing(&sandbox, &words).success();
    let list = sandbox.blast(["list", "--env", "demo"]).success();
    assert!(list.stdout.contains("idna"), "{list}");
    assert_undone_by_one_revert(&sandbox, "import idna; assert idna.__version__ == '3.7'");
}

#[test]
fn real_pip_installs_into_an_environment() {
    let Some(mut sandbox) = sandbox().filter(|_| require(Means::Overlay)) else {
        return;
    };
    sandbox.set("BLAST_PIP", "real");
    running(&sandbox, &["pip", "install", "idna==3.7"]).success();
    sandbox.unset("BLAST_PIP");
    assert_undone_by_one_revert(&sandbox, "import idna; assert idna.__version__ == '3.7'");
}

#[test]
fn real_setup_py_develops_into_an_environment() {
    let Some(sandbox) = sandbox().filter(|_| require(Means::Overlay)) else {
        return;
    };
    sandbox
        .blast(["install", "--env", "demo", "setuptools==75.8.0"])
        .success();
    let setup =
        "from setuptools import setup\nsetup(name='mine', version='1', py_modules=['mine'])\n";
    let folder = sandbox.write("mine/setup.py", setup);
    let folder = folder.parent().expect("a folder");
    sandbox.write("mine/mine.py", "x = 1\n");
    let script = format!(
        "cd {} && python setup.py develop --no-deps",
        folder.display()
    );
    capturing(&sandbox, &["sh", "-c", &script]).success();
    assert_undone_by_one_revert(&sandbox, "import mine; assert mine.x == 1");
}

#[test]
fn real_nox_installs_by_pip() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.blast(["install", "--env", "demo", "nox"]).success();
    let noxfile = "import nox\n\n@nox.session(venv_backend='none')\ndef tests(session):\n    \
                   session.run('python', '-m', 'pip', 'install', 'idna==3.7')\n    \
                   session.run('python', '-c', 'import idna')\n";
    let noxfile = sandbox.write("project/noxfile.py", noxfile);
    running(&sandbox, &["nox", "-f", &noxfile.to_string_lossy()]).success();
    sandbox.python_in("demo", "import idna").success();
    sandbox.blast(["revert", "--env", "demo"]).success();
    sandbox.python_in("demo", "import idna").exits(1);
}

#[test]
fn real_ipython_installs_by_its_magic() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .blast(["install", "--env", "demo", "ipython"])
        .success();
    let run = running(&sandbox, &["ipython", "-c", "%pip install idna==3.7"]).success();
    assert!(
        run.stdout.contains("Successfully installed idna-3.7"),
        "{run}"
    );
    sandbox.python_in("demo", "import idna").success();
    sandbox.blast(["revert", "--env", "demo"]).success();
    sandbox.python_in("demo", "import idna").exits(1);
}

#[test]
fn real_pip_tools_compile_and_sync() {
    let Some(sandbox) = sandbox().filter(|_| require(Means::Overlay)) else {
        return;
    };
    // It requires pip, which is the real one from then on.
    sandbox
        .blast(["install", "--env", "demo", "pip-tools"])
        .success();
    let wanted = sandbox.write("project/requirements.in", "idna==3.7\n");
    let pins = wanted.with_extension("txt");
    let (wanted, pins) = (wanted.to_string_lossy(), pins.to_string_lossy());
    running(&sandbox, &["pip-compile", "-q", "-o", &pins, &wanted]).success();
    capturing(&sandbox, &["python", "-m", "pip", "install", "-r", &pins]).success();
    assert_undone_by_one_revert(&sandbox, "import idna; assert idna.__version__ == '3.7'");
}
