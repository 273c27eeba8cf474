//! Runs the scripts. A scenario is a list of steps, written once and spelled for each shell; what
//! it did is read from the environment that the shell's children see.
//!
//! All POSIX shells run under `set -eu`. `blast` is played by a link to `sh`, which runs the file
//! `view` in the working directory: nothing that a test wrote is ever executed itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use blast_harness::{HostPython, Means, require};

use super::super::{Activation, Shell, hook};
use super::{NASTY, activation};

/// One thing that happens in a shell.
#[derive(Clone)]
enum Step {
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

use Step::{Dump, DumpPrompt, Enter, Eval, Leave, Nested, Raw, Set, SetPrompt};

/// A shell as a program.
struct Program {
    shell: Shell,
    command: &'static [&'static str],
}

const PROGRAMS: [Program; 6] = [
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
    fn name(&self) -> &'static str {
        self.command[0]
    }

    /// Whether it is here. `sh` and `bash` are everywhere that the tests can run.
    fn is_present(&self) -> bool {
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

    fn extension(&self) -> &'static str {
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
struct Lab {
    root: tempfile::TempDir,
    a: Activation,
    b: Activation,
}

impl Lab {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let live = root.path().join("li ve 'q' \"d\" $HOME `id` \\ ! é\n%");
        fs::create_dir_all(&live).expect("a folder");
        symlink("/bin/sh", live.join("blast")).expect("a link");
        let env = |name: &str| {
            let mut env = activation(name, &live);
            fs::create_dir_all(env.bin()).expect("a folder");
            env.blast = live.join("blast");
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

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.path().join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.path().join(name)).expect(name)
    }

    /// The environment that was dumped under a name, without what every shell counts for itself.
    fn dump(&self, name: &str) -> BTreeMap<String, String> {
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
    fn run(&self, program: &Program, steps: &[Step]) -> Output {
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

    fn command(&self, program: &Program) -> Command {
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
                Nested(inner) => {
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
        (Shell::Fish, Enter(env)) => format!("source ./{env}.fish"),
        (Shell::Csh, Enter(env) | Eval(env)) => format!("source ./{env}.csh"),
        (_, Enter(env)) => format!(". ./{env}.sh"),
        (Shell::Fish, Eval(env)) => format!("cat {env}.fish | source"),
        (_, Eval(env)) => format!("eval \"$(cat {env}.sh)\""),
        (_, Leave) => "deactivate".to_owned(),
        (Shell::Fish, Set(name, value)) => format!("set -gx {name} {}", shell.quote(value)),
        (Shell::Csh, Set(name, value)) => format!("setenv {name} {}", shell.quote(value)),
        (_, Set(name, value)) => format!("export {name}={}", shell.quote(value)),
        (Shell::Fish, SetPrompt) => "function fish_prompt; printf 'x> '; end".to_owned(),
        (Shell::Csh, SetPrompt) => "set prompt = 'x> '".to_owned(),
        (_, SetPrompt) => "PS1='x> '".to_owned(),
        (_, Dump(name)) => format!("env -0 > {name}"),
        (Shell::Fish, DumpPrompt(name)) => format!("fish_prompt > {name}"),
        (Shell::Csh, DumpPrompt(name)) => format!("printf %s $prompt:q > {name}"),
        (_, DumpPrompt(name)) => format!("printf %s \"$PS1\" > {name}"),
        (_, Raw(text)) => (*text).to_owned(),
        (_, Nested(_)) => unreachable!("spelled by the lab"),
    }
}

fn each_shell(test: impl Fn(&Program, &mut Lab)) {
    for program in PROGRAMS.iter().filter(|program| program.is_present()) {
        test(program, &mut Lab::new());
    }
}

/// What an activated environment must look like.
fn assert_active(program: &Program, dump: &BTreeMap<String, String>, env: &Activation) {
    let name = program.name();
    let bin = env.bin().display().to_string();
    assert_eq!(dump["PATH"], format!("{bin}:/usr/bin:/bin"), "{name}");
    for (key, value) in env.exports().expect("exports") {
        assert_eq!(dump.get(&key), Some(&value), "{name}: {key}");
    }
    assert_eq!(dump["BLAST_ENV"], env.name.as_str(), "{name}");
    assert_eq!(
        dump["VIRTUAL_ENV"],
        env.prefix.display().to_string(),
        "{name}"
    );
    assert!(!dump.contains_key("PYTHONHOME"), "{name}");
}

#[test]
fn deactivate_restores_what_activation_changed() {
    each_shell(|program, lab| {
        for (key, value) in [
            ("PLAIN", "v"),
            ("NASTY", NASTY),
            ("EMPTY", ""),
            ("HAD", "new"),
        ] {
            lab.a.variables.insert(key.to_owned(), value.to_owned());
        }
        lab.run(
            program,
            &[
                Set("HAD", NASTY),
                Set("PYTHONHOME", "/no such home"),
                Dump("before"),
                Enter("a"),
                Dump("inside"),
                Leave,
                Dump("after"),
            ],
        );
        assert_eq!(lab.dump("before")["HAD"], NASTY, "{}", program.name());
        assert_active(program, &lab.dump("inside"), &lab.a);
        assert_eq!(lab.dump("before"), lab.dump("after"), "{}", program.name());
        assert_eq!(
            lab.read("calls"),
            "--env a\n",
            "{}: the view is asked for",
            program.name()
        );
    });
}

#[test]
fn a_second_activation_takes_the_place_of_the_first() {
    each_shell(|program, lab| {
        lab.a.variables.insert("ONLY_A".to_owned(), "x".to_owned());
        let steps = [
            Dump("before"),
            Enter("a"),
            Eval("a"),
            Dump("twice"),
            Eval("b"),
            Dump("other"),
            Leave,
            Dump("after"),
        ];
        lab.run(program, &steps);
        assert_active(program, &lab.dump("twice"), &lab.a);
        assert_active(program, &lab.dump("other"), &lab.b);
        assert!(
            !lab.dump("other").contains_key("ONLY_A"),
            "{}",
            program.name()
        );
        assert_eq!(lab.dump("before"), lab.dump("after"), "{}", program.name());
    });
}

#[test]
fn leaving_in_a_nested_shell_comes_back_to_the_outer_environment() {
    each_shell(|program, lab| {
        let inner = vec![
            Dump("outer"),
            Enter("b"),
            Dump("inner"),
            Leave,
            Dump("back"),
        ];
        lab.run(
            program,
            &[
                Dump("before"),
                Enter("a"),
                Nested(inner),
                Leave,
                Dump("after"),
            ],
        );
        assert_active(program, &lab.dump("outer"), &lab.a);
        assert_eq!(lab.dump("inner")["BLAST_ENV"], "b", "{}", program.name());
        assert_eq!(lab.dump("back"), lab.dump("outer"), "{}", program.name());
        assert_eq!(lab.dump("before"), lab.dump("after"), "{}", program.name());
    });
}

#[test]
fn the_prompt_names_the_environment_unless_told_not_to() {
    each_shell(|program, lab| {
        let name = program.name();
        let steps = [
            SetPrompt,
            Enter("a"),
            DumpPrompt("p1"),
            Enter("b"),
            DumpPrompt("p2"),
            Leave,
        ];
        lab.run(program, &[&steps[..], &[DumpPrompt("p3")]].concat());
        assert!(
            lab.read("p1").ends_with("(blast:a) x> "),
            "{name}: {:?}",
            lab.read("p1")
        );
        assert!(
            lab.read("p2").ends_with("(blast:b) x> "),
            "{name}: {:?}",
            lab.read("p2")
        );
        assert!(
            !lab.read("p2").contains("blast:a"),
            "{name}: {:?}",
            lab.read("p2")
        );
        assert_eq!(lab.read("p3"), "x> ", "{name}");
        let quiet = [Set("VIRTUAL_ENV_DISABLE_PROMPT", "1")];
        lab.run(program, &[&quiet, &steps[..]].concat());
        assert_eq!(lab.read("p1"), "x> ", "{name}");
    });
}

#[test]
fn a_view_that_cannot_be_mounted_is_told_and_does_not_stop_activation() {
    each_shell(|program, lab| {
        lab.write("view", "exit 1");
        let output = lab.run(program, &[Enter("a"), Dump("inside")]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let complaint = "blast: the view of a could not be mounted; `blast doctor` says why\n";
        assert_eq!(stderr, complaint, "{}", program.name());
        assert_active(program, &lab.dump("inside"), &lab.a);

        // Also when blast itself is gone.
        lab.a.blast = PathBuf::from("/no/such/blast");
        let output = lab.run(program, &[Enter("a"), Dump("inside")]);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(complaint),
            "{}",
            program.name()
        );
        assert_active(program, &lab.dump("inside"), &lab.a);
    });
}

#[test]
fn a_plain_virtual_environment_and_one_of_ours_can_replace_each_other() {
    let python = HostPython::find(false);
    each_shell(|program, lab| {
        let made = Command::new(&python.executable)
            .args(["-m", "venv", "--without-pip", "venv"])
            .current_dir(lab.root.path())
            .output()
            .expect("python runs");
        assert!(made.status.success(), "{made:?}");
        let venv = match program.shell {
            Shell::Fish => "source venv/bin/activate.fish",
            Shell::Csh => "source venv/bin/activate.csh",
            // The scripts of some versions are not made for `set -eu`.
            _ => "set +eu; . venv/bin/activate; set -eu",
        };
        let steps = [
            Dump("before"),
            Raw(venv),
            Enter("a"),
            Dump("ours"),
            Raw(venv),
            Dump("theirs"),
            Enter("b"),
            Dump("again"),
            Leave,
            Dump("after"),
        ];
        lab.run(program, &steps);
        let name = program.name();
        assert_active(program, &lab.dump("ours"), &lab.a);
        let theirs = lab.root.path().join("venv/bin");
        assert_eq!(
            lab.dump("theirs")["PATH"],
            format!("{}:/usr/bin:/bin", theirs.display()),
            "{name}"
        );
        assert_active(program, &lab.dump("again"), &lab.b);
        assert_eq!(
            lab.dump("after")["PATH"],
            lab.dump("before")["PATH"],
            "{name}"
        );
    });
}

#[test]
fn eval_without_quotes_is_an_error_and_changes_nothing() {
    for program in PROGRAMS
        .iter()
        .filter(|p| p.extension() == "sh" && p.is_present())
    {
        let lab = Lab::new();
        lab.write("a.sh", &lab.a.script(program.shell).expect("a script"));
        lab.write("main", "eval $(cat a.sh)\nenv -0 > out\n");
        let output = lab
            .command(program)
            .arg("main")
            .output()
            .expect("the shell runs");
        let name = program.name();
        assert!(!output.stderr.is_empty(), "{name} says what is wrong");
        if lab.root.path().join("out").exists() {
            assert_eq!(lab.dump("out").get("BLAST_ENV"), None, "{name}");
        }
    }
}

/// The hook with a `blast` that prints what the file `answer` holds and fails if told to.
fn run_hook(program: &Program, lab: &Lab, line: &str) -> (Output, BTreeMap<String, String>) {
    let bin = lab.root.path().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    if !bin.join("blast").exists() {
        symlink("/bin/sh", bin.join("blast")).expect("a link");
    }
    let hook = hook(program.shell).expect("a hook");
    // A link to sh takes its first word for a script: these are the commands of the fake.
    let answer = "cat answer; echo \"ran: $0 $*\" >&2; exit $(cat code)";
    for command in ["start", "load", "list"] {
        lab.write(command, answer);
    }
    let script = match program.shell {
        Shell::Fish => format!("{hook}\n{line}\nset -g code $status\nenv -0 > out\nexit $code\n"),
        _ => format!("{hook}\ncode=0\n{line} || code=$?\nenv -0 > out\nexit $code\n"),
    };
    lab.write("main", &script);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let output = lab
        .command(program)
        .arg("main")
        .env("PATH", path)
        .output()
        .expect("it runs");
    (output, lab.dump("out"))
}

#[test]
fn the_hook_evaluates_activation_scripts_and_prints_all_else() {
    each_shell(|program, lab| {
        if hook(program.shell).is_none() {
            return;
        }
        let name = program.name();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lab.write("code", "0");
        lab.write("answer", &lab.a.script(program.shell).expect("a script"));
        for command in ["blast start demo", "blast load 'one two'"] {
            let (output, env) = run_hook(program, lab, command);
            assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
            assert_eq!(text(&output.stdout), "", "{name}");
            assert_eq!(
                text(&output.stderr),
                format!("ran: {}\n", command[6..].replace('\'', "")),
                "{name}"
            );
            assert_eq!(
                env.get("BLAST_ENV").map(String::as_str),
                Some("a"),
                "{name}"
            );
        }
        // Not a command that activates: never run as a script, whatever it says.
        let (output, env) = run_hook(program, lab, "blast list");
        assert_eq!(text(&output.stdout), lab.read("answer"), "{name}");
        assert!(!env.contains_key("BLAST_ENV"), "{name}");

        lab.write("answer", "Usage: echo wrong\n\nexit 9\n");
        let (output, _) = run_hook(program, lab, "blast start --help");
        assert_eq!(
            text(&output.stdout),
            "Usage: echo wrong\n\nexit 9\n",
            "{name}"
        );

        lab.write("code", "3");
        lab.write("answer", "");
        for command in ["blast start demo", "blast list"] {
            let (output, env) = run_hook(program, lab, command);
            assert_eq!(output.status.code(), Some(3), "{name}: {output:?}");
            assert_eq!(text(&output.stdout), "", "{name}");
            assert!(!env.contains_key("BLAST_ENV"), "{name}");
        }
    });
}
