//! The shells of this machine, what happens in them, and a place for it.
//!
//! All POSIX shells run under `set -eu`. `blast` is played by a link to `sh`, which runs the file
//! `view` in the working directory: nothing that a test wrote is ever executed itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use blast_harness::{Means, require};

use super::super::{Activation, Shell};
use super::activation;

/// One thing that happens in a shell.
#[derive(Clone)]
pub(super) enum Step {
    /// Activates `a` or `b`.
    Enter(&'static str),
    /// Activates as `eval "$(blast start)"` does.
    Eval(&'static str),
    /// Runs `deactivate`.
    Leave,
    /// Exports a variable.
    Set(&'static str, &'static str),
    /// Gives the shell a prompt, as an interactive one has.
    SetPrompt,
    /// Writes the environment to a file.
    Dump(&'static str),
    /// Writes the prompt to a file.
    DumpPrompt(&'static str),
    /// Does this in a shell within the shell.
    Nested(Vec<Step>),
    /// As written, for steps that are the same everywhere.
    Raw(&'static str),
}

/// A shell as a program.
pub(super) struct Program {
    pub(super) shell: Shell,
    command: &'static [&'static str],
}

pub(super) const PROGRAMS: [Program; 6] = [
    Program {
        shell: Shell::Bash,
        command: &["bash", "--norc", "--noprofile", "-eu"],
    },
    Program {
        shell: Shell::Posix,
        command: &["sh", "-eu"],
    },
    Program {
        shell: Shell::Zsh,
        command: &["zsh", "-f", "-eu"],
    },
    Program {
        shell: Shell::Posix,
        command: &["ksh", "-eu"],
    },
    Program {
        shell: Shell::Fish,
        command: &["fish", "--no-config"],
    },
    Program {
        shell: Shell::Csh,
        command: &["tcsh", "-f"],
    },
];

impl Program {
    pub(super) fn name(&self) -> &'static str {
        self.command[0]
    }

    /// Whether it is here. `sh` and `bash` are everywhere that the tests can run.
    pub(super) fn is_present(&self) -> bool {
        match self.name() {
            "zsh" => require(Means::Zsh),
            "fish" => require(Means::Fish),
            name => {
                let found = ["/bin", "/usr/bin"]
                    .iter()
                    .any(|dir| PathBuf::from(dir).join(name).exists());
                let required = std::env::var("BLAST_TEST_REQUIRE").unwrap_or_default();
                assert!(
                    found || !required.split(',').any(|word| word.trim() == name),
                    "no {name}"
                );
                found || skip(name)
            }
        }
    }

    pub(super) fn extension(&self) -> &'static str {
        match self.shell {
            Shell::Fish => "fish",
            Shell::Csh => "csh",
            _ => "sh",
        }
    }
}

#[expect(clippy::print_stderr, reason = "a skip is told on the terminal")]
fn skip(name: &str) -> bool {
    eprintln!("skipped: no {name} on this machine");
    false
}

/// A directory with the environments `a` and `b`, at a path that no shell likes.
pub(super) struct Lab {
    pub(super) root: tempfile::TempDir,
    pub(super) a: Activation,
    pub(super) b: Activation,
}

impl Lab {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let live = root.path().join("li ve 'q' \"d\" $HOME `id` \\ ! é\n%");
        fs::create_dir_all(&live).expect("a folder");
        symlink("/bin/sh", live.join("blast")).expect("a link");
        let env = |name: &str| {
            let mut env = activation(name, &live);
            fs::create_dir_all(env.bin()).expect("a folder");
            env.blast = Some(live.join("blast"));
            env
        };
        let lab = Self {
            a: env("a"),
            b: env("b"),
            root,
        };
        lab.write("view", "printf '%s\\n' \"$*\" >> calls");
        lab
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join(name), text).expect("a file");
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.path().join(name)).expect(name)
    }

    /// The environment that was dumped under a name, without what every shell counts for itself.
    pub(super) fn dump(&self, name: &str) -> BTreeMap<String, String> {
        let mut dump: BTreeMap<String, String> = self
            .read(name)
            .split_terminator('\0')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        for own in ["_", "SHLVL", "OLDPWD", "A__z"] {
            dump.remove(own);
        }
        dump
    }

    /// Runs the steps in a shell, which must end well.
    pub(super) fn run(&self, program: &Program, steps: &[Step]) -> Output {
        for (name, env) in [("a", &self.a), ("b", &self.b)] {
            let script = env.script(program.shell).expect("a script");
            self.write(&format!("{name}.{}", program.extension()), &script);
        }
        for left in ["calls", "out"] {
            self.write(left, "");
        }
        let script = self.spell(program, steps, 0);
        self.write("main", &script);
        let output = self
            .command(program)
            .arg("main")
            .output()
            .expect("the shell runs");
        assert!(
            output.status.success(),
            "{}: {output:?}\n{script}",
            program.name()
        );
        output
    }

    pub(super) fn command(&self, program: &Program) -> Command {
        let mut command = Command::new(program.name());
        command
            .args(&program.command[1..])
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.root.path())
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn spell(&self, program: &Program, steps: &[Step], depth: usize) -> String {
        let mut script = String::new();
        for step in steps {
            let line = match step {
                Step::Nested(inner) => {
                    let name = format!("inner{depth}");
                    self.write(&name, &self.spell(program, inner, depth + 1));
                    format!("{} {name}", program.command.join(" "))
                }
                step => spell(program.shell, step),
            };
            writeln!(script, "{line}").expect("text");
        }
        script
    }
}

fn spell(shell: Shell, step: &Step) -> String {
    match (shell, step) {
        (Shell::Fish, Step::Enter(env)) => format!("source ./{env}.fish"),
        (Shell::Csh, Step::Enter(env) | Step::Eval(env)) => format!("source ./{env}.csh"),
        (_, Step::Enter(env)) => format!(". ./{env}.sh"),
        (Shell::Fish, Step::Eval(env)) => format!("cat {env}.fish | source"),
        (_, Step::Eval(env)) => format!("eval \"$(cat {env}.sh)\""),
        (_, Step::Leave) => "deactivate".to_owned(),
        (Shell::Fish, Step::Set(name, value)) => format!("set -gx {name} {}", shell.quote(value)),
        (Shell::Csh, Step::Set(name, value)) => format!("setenv {name} {}", shell.quote(value)),
        (_, Step::Set(name, value)) => format!("export {name}={}", shell.quote(value)),
        (Shell::Fish, Step::SetPrompt) => "function fish_prompt; printf 'x> '; end".to_owned(),
        (Shell::Csh, Step::SetPrompt) => "set prompt = 'x> '".to_owned(),
        (_, Step::SetPrompt) => "PS1='x> '".to_owned(),
        (_, Step::Dump(name)) => format!("env -0 > {name}"),
        (Shell::Fish, Step::DumpPrompt(name)) => format!("fish_prompt > {name}"),
        (Shell::Csh, Step::DumpPrompt(name)) => format!("printf %s $prompt:q > {name}"),
        (_, Step::DumpPrompt(name)) => format!("printf %s \"$PS1\" > {name}"),
        (_, Step::Raw(text)) => (*text).to_owned(),
        (_, Step::Nested(_)) => unreachable!("spelled by the lab"),
    }
}

pub(super) fn each_shell(test: impl Fn(&Program, &mut Lab)) {
    for program in PROGRAMS.iter().filter(|program| program.is_present()) {
        test(program, &mut Lab::new());
    }
}
