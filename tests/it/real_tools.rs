//! Real tools that install: those that write into an environment, each captured and undone by one
//! `blast revert`, and those that call `pip`, which is blast.
//! `BLAST_TEST_OFFLINE=1` skips these, visibly.

use blast_harness::{LocalIndex, Means, Run, Sandbox, WheelSpec, require};

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
fn real_tox_makes_its_environments_beside() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.blast(["install", "--env", "demo", "tox"]).success();
    let ini = "[tox]\nenvlist = py\nskipsdist = true\n[testenv]\ndeps = idna==3.7\n\
               commands = python -c \"import idna; print('idna', idna.__version__)\"\n";
    sandbox.write("tox.ini", ini);
    let run = running(&sandbox, &["tox"]).success();
    assert!(run.stdout.contains("\nidna 3.7\n"), "{run}");
    // What tox makes is its own: the environment is as it was.
    sandbox.python_in("demo", "import idna").exits(1);
    let log = sandbox.blast(["log", "--env", "demo", "--json"]);
    assert_eq!(log.success().json()["operations"][0]["kind"], "install");
}

#[test]
fn real_tox_in_a_sandbox_is_told_what_would_let_it_install() {
    let Some(sandbox) = sandbox().filter(|_| require(Means::Namespaces)) else {
        return;
    };
    sandbox.blast(["install", "--env", "demo", "tox"]).success();
    let ini = "[tox]\nenvlist = py\nskipsdist = true\n[testenv]\ndeps = idna==3.7\n\
               set_env = PIP_RETRIES = 0\ncommands = python -c \"import idna\"\n";
    sandbox.write("tox.ini", ini);
    let words = ["run", "--env", "demo", "--sandbox", "standard", "--", "tox"];
    let run = sandbox.blast(words).exits(1);
    assert!(run.stderr.contains("allow it: blast allow net "), "{run}");
}

#[test]
fn real_poetry_installs_into_the_active_environment() {
    let Some(sandbox) = sandbox().filter(|_| require(Means::Overlay)) else {
        return;
    };
    sandbox
        .blast(["install", "--env", "demo", "poetry"])
        .success();
    // The one that poetry asks unless told otherwise must answer in JSON, which not every mirror does.
    let index = LocalIndex::with([WheelSpec::simple("mine-needs", "3.7")]);
    let project = format!(
        "[project]\nname = 'mine'\nversion = '1.0'\nrequires-python = '>=3.9'\n\
         dependencies = ['mine-needs==3.7']\n[tool.poetry]\npackage-mode = false\n\
         [[tool.poetry.source]]\nname = 'near'\nurl = '{}'\npriority = 'primary'\n",
        index.url()
    );
    sandbox.write("pyproject.toml", &project);
    capturing(&sandbox, &["poetry", "install", "--no-interaction"]).success();
    assert_undone_by_one_revert(&sandbox, "import mine_needs");
}

/// Runs a notebook of two cells: the magic of pip, and an import of what it installs.
fn run_notebook(sandbox: &Sandbox, level: &str) -> (Run, String) {
    let cell = |id: &str, code: &str| {
        serde_json::json!({
            "cell_type": "code", "execution_count": null, "id": id,
            "metadata": {}, "outputs": [], "source": [code],
        })
    };
    let notebook = serde_json::json!({
        "cells": [cell("a", "%pip install idna==3.7"), cell("b", "import idna; print(idna.__version__)")],
        "metadata": {"kernelspec": {"display_name": "Python", "language": "python", "name": "python3"}},
        "nbformat": 4, "nbformat_minor": 5,
    });
    let path = sandbox.write("notebook.ipynb", notebook.to_string());
    let file = path.to_string_lossy();
    let words = ["run", "--env", "demo", "--sandbox", level, "--"];
    let execute = ["jupyter", "execute", "--inplace", "--allow-errors", &file];
    let run = sandbox.blast(words.iter().chain(&execute));
    let text = std::fs::read_to_string(&path).expect("it is still there");
    (run, text)
}

#[test]
fn real_notebooks_install_by_their_magic() {
    let Some(sandbox) = sandbox() else { return };
    let kernel = ["install", "--env", "demo", "ipykernel", "nbclient"];
    sandbox.blast(kernel).success();
    let (run, text) = run_notebook(&sandbox, "none");
    run.success();
    assert!(text.contains("Successfully installed idna-3.7"), "{text}");
    assert!(
        text.contains("\"3.7\\n\""),
        "the next cell imports it: {text}"
    );
    // A notebook keeps all that a terminal would draw over.
    assert!(!text.contains("resolving"), "{text}");
    sandbox.blast(["revert", "--env", "demo"]).success();
    sandbox.python_in("demo", "import idna").exits(1);
    if require(Means::Namespaces) {
        let (_, text) = run_notebook(&sandbox, "standard");
        assert!(text.contains("in a sandbox"), "{text}");
        assert!(text.contains("blast run --sandbox none"), "{text}");
        sandbox.python_in("demo", "import idna").exits(1);
    }
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
