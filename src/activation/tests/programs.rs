//! Runs the scripts. A scenario is a list of steps, written once and spelled for each shell; what
//! it did is read from the environment that the shell's children see.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use blast_harness::HostPython;

use super::super::{Activation, Shell, hook};
use super::NASTY;
use super::lab::Step::{Dump, DumpPrompt, Enter, Eval, Leave, Nested, Raw, Set, SetPrompt};
use super::lab::{Lab, PROGRAMS, Program, each_shell};

/// What an activated environment must look like.
fn assert_active(program: &Program, dump: &BTreeMap<String, String>, env: &Activation) {
    let name = program.name();
    let bin = env.bin().display().to_string();
    let tools = env.prefix.join(".blast/bin");
    let path = format!("{bin}:{}:/usr/bin:/bin", tools.display());
    assert_eq!(dump["PATH"], path, "{name}");
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
        lab.a.blast = Some(PathBuf::from("/no/such/blast"));
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
