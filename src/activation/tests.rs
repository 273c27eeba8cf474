//! The scripts as text, and as programs in every shell that this machine has.

mod lab;
mod programs;

use std::os::unix::ffi::OsStrExt as _;

use super::*;

/// A value with everything in it that some shell treats specially.
const NASTY: &str = "a 'b' \"c\" $HOME `id` \\ \\\\ !x é ’ \n#\ttab; %s @BIN@ *";

fn activation(name: &str, root: &Path) -> Activation {
    Activation {
        name: name.parse().expect("a name"),
        prefix: root.join(name),
        variables: BTreeMap::new(),
        blast: Some(PathBuf::from("/opt/blast/bin/blast")),
    }
}

fn demo() -> Activation {
    let mut demo = activation("demo", Path::new("/home/me/it's live"));
    demo.variables
        .insert("GREETING".to_owned(), "it's $HOME".to_owned());
    demo
}

fn snapshot(name: &str, shell: Shell) {
    let script = demo().script(shell).expect("a script");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, script);
    });
}

#[test]
fn script_for_posix_shells() {
    snapshot("activate.sh", Shell::Posix);
}

#[test]
fn script_for_fish() {
    snapshot("activate.fish", Shell::Fish);
}

#[test]
fn script_for_csh() {
    snapshot("activate.csh", Shell::Csh);
}

#[test]
fn script_for_powershell() {
    snapshot("activate.ps1", Shell::Powershell);
}

#[test]
fn no_script_keeps_a_placeholder_or_a_line_of_the_template() {
    for (name, script) in demo().files().expect("scripts") {
        for part in [
            "@BLAST",
            "@NAME",
            "@BIN",
            "@KEY",
            "@VALUE",
            "@PROMPT",
            "@COMPLAINT",
            "#@",
        ] {
            assert!(!script.contains(part), "{name} holds {part}");
        }
        // The hooks go by it.
        let first = script.lines().next().unwrap_or_default();
        assert!(first.contains("blast activation script"), "{name}: {first}");
    }
}

#[test]
fn a_value_is_never_taken_for_a_placeholder() {
    let mut demo = demo();
    demo.variables
        .insert("TRICK".to_owned(), "@KEY@ @BIN@".to_owned());
    let script = demo.script(Shell::Posix).expect("a script");
    assert!(script.contains("\nTRICK='@KEY@ @BIN@'\n"), "{script}");
}

#[test]
fn variables_that_no_shell_could_set_are_refused() {
    for name in ["", "1X", "A B", "A=B", "A\nB", "Ä", "A;id"] {
        let error = check_variable(name, "").expect_err(name);
        assert_eq!(
            error,
            ActivationError::VariableName(name.escape_debug().to_string())
        );
    }
    for name in [
        "PATH",
        "VIRTUAL_ENV",
        "PS1",
        "UID",
        "status",
        "_BLAST_OLD_X",
        "_OLD_VIRTUAL_PATH",
    ] {
        let error = check_variable(name, "").expect_err(name);
        assert_eq!(error, ActivationError::ReservedVariable(name.to_owned()));
    }
    assert_eq!(
        check_variable("A", "x\0y"),
        Err(ActivationError::VariableValue("A".to_owned()))
    );
    assert_eq!(check_variable("A_1", NASTY), Ok(()));
    let mut demo = demo();
    demo.variables.insert("A;id".to_owned(), String::new());
    assert_eq!(
        demo.script(Shell::Bash),
        Err(ActivationError::VariableName("A;id".to_owned()))
    );
}

#[test]
fn a_prefix_that_path_cannot_hold_is_refused() {
    let error = activation("demo", Path::new("/a:b"))
        .script(Shell::Bash)
        .expect_err("a colon");
    assert_eq!(error, ActivationError::Path("/a:b/demo/bin".to_owned()));
    let bytes = std::ffi::OsStr::from_bytes(b"/\xff");
    let error = activation("demo", Path::new(bytes))
        .script(Shell::Fish)
        .expect_err("no text");
    assert!(matches!(error, ActivationError::Path(_)), "{error:?}");
}

#[test]
fn shells_are_known_by_the_names_of_their_programs() {
    let detect = |name: &str| Shell::detect([name]);
    assert_eq!(detect("bash"), Some(Shell::Bash));
    assert_eq!(detect("-zsh"), Some(Shell::Zsh));
    assert_eq!(detect("/usr/local/bin/zsh-5.9"), Some(Shell::Zsh));
    assert_eq!(detect("/usr/bin/fish"), Some(Shell::Fish));
    assert_eq!(detect("tcsh"), Some(Shell::Csh));
    assert_eq!(detect("pwsh"), Some(Shell::Powershell));
    assert_eq!(detect("dash"), Some(Shell::Posix));
    for other in ["", "/", "-", "python3", "bashful", "make"] {
        assert_eq!(detect(other), None, "{other:?}");
    }
    assert_eq!(
        Shell::detect(["make", "/bin/fish", "bash"]),
        Some(Shell::Fish)
    );
}

#[test]
fn only_shells_with_functions_have_a_hook() {
    assert_eq!(hook(Shell::Bash), hook(Shell::Zsh));
    assert!(hook(Shell::Fish).is_some_and(|text| text.contains("function blast")));
    assert_eq!(hook(Shell::Csh), None);
    assert_eq!(hook(Shell::Powershell), None);
}
