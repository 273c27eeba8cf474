//! `blast debug vectors`, from question to answer.

use blast_harness::Sandbox;
use serde_json::{Value, json};

const ENV: &str = r#"{"implementation_name": "cpython", "implementation_version": "3.12.1", "os_name": "posix",
    "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_release": "6.1.0",
    "platform_system": "Linux", "platform_version": "", "python_full_version": "3.12.1", "python_version": "3.12",
    "sys_platform": "linux"}"#;

const LOCK: &str = r#"
lock-version = "1.0"
created-by = "x"
[[packages]]
name = "a"
version = "1.0"
wheels = [
    { path = "a-1.0-py2.py3-none-any.whl", hashes = { sha256 = "0" } },
    { path = "a-1.0-cp312-cp312-linux_x86_64.whl", hashes = { sha256 = "0" } },
]
[[packages]]
name = "b"
marker = "'x' in extras"
directory = { path = "b" }
"#;

/// Asks all questions of one run and gives the answers, each without its `id`.
fn answers(questions: &[Value]) -> Vec<Value> {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_blast"));
    let mut input = String::new();
    for (id, question) in questions.iter().enumerate() {
        let mut question = question.clone();
        question["id"] = json!(id);
        input += &question.to_string();
        input.push('\n');
    }
    let program = sandbox.program().to_owned();
    let command = sandbox.command(program, ["debug", "vectors"]);
    let run = sandbox.run_with_input(command, &input).success();
    assert_eq!(sandbox.daemon(), None, "it needs no daemon");
    let mut answers: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for (id, answer) in answers.iter_mut().enumerate() {
        let members = answer.as_object_mut().expect("an object");
        assert_eq!(members.remove("id"), Some(json!(id)));
    }
    assert_eq!(answers.len(), questions.len());
    answers
}

#[test]
fn every_operation_is_answered_in_order() {
    let env: Value = serde_json::from_str(ENV).expect("JSON");
    let wheel_tags = ["cp312-cp312-linux_x86_64", "py3-none-any"];
    let cases = [
        (
            json!({"op": "version", "v": "v1.0-RC1"}),
            json!({"ok": true, "norm": "1.0rc1"}),
        ),
        (
            json!({"op": "version_cmp", "a": "1.0", "b": "1.0.post1"}),
            json!({"r": -1}),
        ),
        (
            json!({"op": "specifier", "s": ">=1,<2"}),
            json!({"ok": true}),
        ),
        (
            json!({"op": "contains", "s": "<1.0rc1", "v": "1.0a1", "pre": true}),
            json!({"r": true}),
        ),
        (
            json!({"op": "contains", "s": ">=1", "v": "2a1", "pre": false}),
            json!({"r": false}),
        ),
        (
            json!({"op": "contains", "s": "===1.0", "v": "1.0.0", "pre": true}),
            json!({"r": false}),
        ),
        (
            json!({"op": "filter", "s": ">=1", "versions": ["2a1", "1.5", "0.1"], "pre": null}),
            json!({"r": ["1.5"]}),
        ),
        (
            json!({"op": "filter", "s": ">=1", "versions": ["2a1", "0.1"], "pre": null}),
            json!({"r": ["2a1"]}),
        ),
        (
            json!({"op": "requirement", "s": "A.b[Z,y]>=1 ;extra=='q'"}),
            json!({"ok": true, "name": "a-b", "extras": ["y", "z"], "specifier": ">=1", "url": null,
                "marker": "extra == 'q'"}),
        ),
        (
            json!({"op": "marker_parse", "s": "'1.0' ~= sys_platform"}),
            json!({"ok": true}),
        ),
        (
            json!({"op": "marker", "s": "'1.0' ~= sys_platform", "env": env, "extra": ""}),
            json!({"r": false}),
        ),
        (
            json!({"op": "marker", "s": "extra == 'A_b'", "env": env, "extra": "a-b"}),
            json!({"r": true}),
        ),
        (
            json!({"op": "marker", "s": "'g' in dependency_groups", "env": env, "extra": "",
                "lock": true, "extras": [], "dependency_groups": ["g"]}),
            json!({"r": true}),
        ),
        (json!({"op": "name", "s": "A__b.-C"}), json!({"r": "a-b-c"})),
        (
            json!({"op": "wheel_filename", "s": "a_b-1.0-7x-py2.py3-none-any.whl"}),
            json!({"ok": true, "name": "a-b", "version": "1.0", "build": "7x",
                "tags": ["py2-none-any", "py3-none-any"]}),
        ),
        (
            json!({"op": "sdist_filename", "s": "a_b-1.0.tar.gz"}),
            json!({"ok": true, "name": "a-b", "version": "1.0"}),
        ),
        (
            json!({"op": "metadata", "text": "Name: A\nVersion: 1\nRequires-Dist: b\nProvides-Extra: X\n"}),
            json!({"ok": true, "name": "a", "version": "1", "requires_python": null,
                "requires_dist": ["b"], "provides_extra": ["x"]}),
        ),
        (json!({"op": "pylock", "toml": LOCK}), json!({"ok": true})),
        (
            json!({"op": "pylock_select", "toml": LOCK, "env": env, "tags": wheel_tags,
                "extras": ["x"], "groups": null}),
            json!({"ok": true, "packages": [
                ["a", "1.0", "wheel", "a-1.0-cp312-cp312-linux_x86_64.whl"],
                ["b", null, "directory", null]]}),
        ),
        (
            json!({"op": "entry_points", "text": "[gui_scripts]\na = b:c [d]\n"}),
            json!({"ok": true, "scripts": [["a", "b", "c", "gui"]]}),
        ),
        (
            json!({"op": "record", "text": "a\\b.py,sha256=x,1\n"}),
            json!({"ok": true, "rows": [["a/b.py", "sha256=x", "1"]]}),
        ),
        (json!({"op": "knit"}), json!({"unsupported": true})),
    ];
    let (questions, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    for ((answer, expected), question) in answers(&questions).iter().zip(expected).zip(&questions) {
        assert_eq!(*answer, expected, "{question}");
    }
}

#[test]
fn a_text_that_is_refused_is_an_answer_and_no_end() {
    let questions = [
        json!({"op": "version", "v": "one"}),
        json!({"op": "version"}),
        json!({"op": "marker", "s": "os_name == 'a'", "env": {}, "extra": ""}),
        json!({"op": "pylock", "toml": "lock-version = 1"}),
        json!({"op": "metadata", "text": ""}),
        json!({"no": "op"}),
        json!({"op": "version", "v": "1"}),
    ];
    let answers = answers(&questions);
    let (last, refused) = answers.split_last().expect("not empty");
    for answer in refused {
        assert_eq!(answer["ok"], json!(false), "{answer}");
        assert!(answer["why"].is_string(), "{answer}");
    }
    assert_eq!(last["norm"], "1");
}
