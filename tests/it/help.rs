//! The whole command-line reference as one snapshot: a change of an option is a change to read.

use std::fmt::Write as _;

use blast_harness::Sandbox;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["start"],
    &["add"],
    &["install"],
    &["update"],
    &["remove"],
    &["sync"],
    &["init"],
    &["lock"],
    &["list"],
    &["tree"],
    &["why"],
    &["outdated"],
    &["status"],
    &["run"],
    &["revert"],
    &["redo"],
    &["log"],
    &["show"],
    &["blame"],
    &["diff"],
    &["save"],
    &["load"],
    &["image"],
    &["image", "build"],
    &["image", "load"],
    &["image", "inspect"],
    &["image", "verify"],
    &["envs"],
    &["envs", "list"],
    &["envs", "rm"],
    &["materialise"],
    &["allow"],
    &["audit"],
    &["config"],
    &["check"],
    &["clean"],
    &["cache"],
    &["cache", "dir"],
    &["cache", "refresh"],
    &["kill"],
    &["daemon"],
    &["daemon", "restart"],
    &["daemon", "status"],
    &["doctor"],
    &["python"],
    &["python", "list"],
    &["completions"],
    &["hook"],
];

#[test]
fn every_command_has_help_and_needs_no_daemon_for_it() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let mut reference = String::new();
    for command in COMMANDS {
        let run = sandbox.blast(command.iter().chain(&["--help"])).success();
        let _ = writeln!(
            reference,
            "## blast {}\n\n{}",
            command.join(" "),
            run.stdout
        );
    }
    insta::assert_snapshot!("reference", reference);
    assert_eq!(sandbox.daemon(), None, "help starts no daemon");
}

#[test]
fn the_list_of_commands_here_is_the_list_of_the_help() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let help = sandbox.blast(["--help"]).success();
    let section = help
        .stdout
        .split("Commands:\n")
        .nth(1)
        .expect("the help lists commands");
    let listed: Vec<&str> = section
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let here: Vec<&str> = COMMANDS
        .iter()
        .filter(|c| c.len() == 1)
        .map(|c| c[0])
        .collect();
    assert_eq!(listed, here);
}

#[test]
fn an_unknown_command_or_option_is_a_usage_error() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    sandbox.blast(["instal"]).exits(2).says("install");
    sandbox.blast(["list", "--jsn"]).exits(2).says("--json");
}

#[test]
fn a_bare_blast_outside_a_terminal_prints_the_help() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let bare = sandbox.blast::<&str>([]).success();
    assert_eq!(bare.stdout, sandbox.blast(["-h"]).stdout);
}

#[test]
fn completions_are_accepted_by_the_shell_they_are_for() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let script = sandbox.blast(["completions", "bash"]).success();
    sandbox
        .run_with_input(sandbox.command("bash", ["-n"]), &script.stdout)
        .success();
}
