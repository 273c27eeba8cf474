//! `eval "$(blast start NAME)"` in the shells that people use.

use blast_harness::{Means, WheelSpec, require};

use crate::world::World;

/// Activates, installs, imports and deactivates in one shell session; `@` stands for the program.
fn session(shell: &str, script: &str) {
    let Some(world) = World::with([WheelSpec::simple("demo", "1.0")]) else {
        return;
    };
    let program = world.program().to_string_lossy().into_owned();
    let script = script.replace('@', &format!("'{program}'"));
    let run = world.run(world.command(shell, ["-c", &script])).success();
    let lines: Vec<&str> = run.stdout.lines().collect();
    let prefix = world.live().join("demo");
    let python = prefix.join("bin/python");
    let want = [&*python.to_string_lossy(), "1.0", "demo", "left"];
    assert_eq!(lines, want, "{run}");
}

#[test]
fn bash_activates_and_deactivates() {
    session(
        "bash",
        "set -eu; eval \"$(@ start demo)\"; command -v python; @ install -q demo; \
         python -c 'import demo; print(demo.__version__)'; echo \"$BLAST_ENV\"; deactivate; \
         echo \"${VIRTUAL_ENV-left}\"",
    );
}

#[test]
fn zsh_activates_and_deactivates() {
    if !require(Means::Zsh) {
        return;
    }
    session(
        "zsh",
        "set -eu; eval \"$(@ start demo --shell zsh)\"; command -v python; \
         @ install -q demo; python -c 'import demo; print(demo.__version__)'; \
         echo \"$BLAST_ENV\"; deactivate; echo \"${VIRTUAL_ENV-left}\"",
    );
}

#[test]
fn fish_activates_and_deactivates() {
    if !require(Means::Fish) {
        return;
    }
    session(
        "fish",
        "eval (@ start demo --shell fish | string collect); command -v python; \
         @ install -q demo; python -c 'import demo; print(demo.__version__)'; \
         echo $BLAST_ENV; deactivate; set -q VIRTUAL_ENV; or echo left",
    );
}

#[test]
fn the_activate_file_of_the_prefix_works_as_in_a_plain_environment() {
    let Some(world) = World::started([]) else {
        return;
    };
    let prefix = world.live().join("demo");
    let script = "set -eu; . \"$0/bin/activate\"; python -c 'import sys; print(sys.prefix)'";
    let words = ["-c".as_ref(), script.as_ref(), prefix.as_os_str()];
    let run = world.run(world.command("bash", words)).success();
    assert_eq!(run.out(), prefix.to_string_lossy());
}

#[test]
fn the_c_shell_is_told_which_file_to_source() {
    let Some(world) = World::with([]) else { return };
    let run = world.blast(["start", "demo", "--shell", "csh"]).success();
    let file = world.live().join("demo/bin/activate.csh");
    assert_eq!(run.out(), format!("source '{}'", file.display()));
    assert!(file.exists());
}
