//! Command lines as they are understood.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("blast").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command.expect("a command"))
}

fn parsed(line: &str) -> Command {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_line_of_the_benchmark_is_understood() {
    for line in [
        "start demo --python 3.12",
        "start demo --python /usr/bin/python3 --env A=1 --env B=2 --shell fish",
        "envs rm demo",
        "envs rm demo other",
        "lock --env demo --requirements in.txt --output out.toml",
        "lock --index-url http://127.0.0.1:1/simple/ --python 3.12 --output out flask six>=1",
        "sync --env demo lock.toml",
        "install --env demo flask requests",
        "install flask==2.3.3 -r a.txt -r b.txt -c c.txt --pre --upgrade --no-deps --dry-run",
        "add flask==2.3.3 -r a.txt -r b.txt -c c.txt --pre --dev --no-sync --dry-run",
        "remove --env demo flask",
        "uninstall flask",
        "revert --env demo",
        "revert 12",
        "redo --dry-run",
        "save --env demo label",
        "save --env demo --delete label",
        "save --list --json",
        "load --env demo label",
        "log -n 3 --json",
        "diff 1 2",
        "envs list --json",
        "envs --json",
        "kill demo --force",
        "kill --all",
        "check --deep",
        "check --repair --offline",
        "clean --dry-run --keep 3",
        "python list --json",
        "completions bash",
        "hook zsh",
        "view --env demo",
        "view demo",
        "doctor --json",
        "status -q",
        "list --env demo -vv --color never",
    ] {
        parsed(line);
    }
}

#[test]
fn run_leaves_the_commands_own_options_alone() {
    for line in [
        "run --env demo --pin -- python -c pass --env x -q",
        "run --env demo --pin python -c pass --env x -q",
    ] {
        let Command::Run(args) = parsed(line) else {
            panic!("not run")
        };
        let shown = format!("{args:?}");
        assert!(
            shown.contains(r#"["python", "-c", "pass", "--env", "x", "-q"]"#),
            "{shown}"
        );
        assert!(shown.contains("pin: true"), "{shown}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "start a/b",
        "start demo --env novalue",
        "install --env ../x flask",
        "run",
        "remove",
        "load",
        "save one --delete two",
        "kill demo --all",
        "list -q -v",
        "nonsense",
        "python",
        "audit --follow --limit 3",
        "audit --suggest --limit 3",
        "check --offline",
        "check --deep --index-url http://127.0.0.1/",
        "lock --universal --python-platform windows flask",
        "add --no-sync --env demo flask",
        "add --no-sync --compile-bytecode flask",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_is_a_success_and_says_what_each_command_is_for() {
    let error = Cli::try_parse_from(["blast", "--help"]).expect_err("help stops parsing");
    assert_eq!(error.exit_code(), 0);
    for command in Cli::command().get_subcommands() {
        let about = command
            .get_about()
            .expect("every command says what it does")
            .to_string();
        let name = command.get_name();
        assert!(
            about.starts_with(char::is_uppercase) && !about.ends_with('.'),
            "{name}: {about}"
        );
        assert!(about.chars().count() <= 90, "{name}: {about}");
    }
}
