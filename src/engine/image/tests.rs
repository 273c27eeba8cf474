//! Descriptions that lie, and interpreters that do not fit.

use blast_store::{EncodedLayer, Layer, LayerBuilder};
use blast_types::{BlobId, Interpreter};
use serde_json::{Value, json};

use super::description::{self, Carried, Description};
use super::fits;

fn interpreter(change: impl FnOnce(&mut Value)) -> Interpreter {
    let version = "3.12.4";
    let mut value = json!({
        "executable": "/usr/bin/python3.12",
        "markers": {
            "implementation_name": "cpython", "implementation_version": version,
            "os_name": "posix", "platform_machine": "x86_64",
            "platform_python_implementation": "CPython", "platform_release": "6.1",
            "platform_system": "Linux", "platform_version": "1",
            "python_full_version": version, "python_version": "3.12", "sys_platform": "linux",
        },
        "platform": {
            "os": {"name": "manylinux", "major": 2, "minor": 36}, "arch": "x86_64",
            "gil_disabled": false, "debug": false,
        },
        "scheme": {
            "purelib": "lib/python3.12/site-packages", "platlib": "lib/python3.12/site-packages",
            "scripts": "bin", "data": "", "headers": "include/site/python3.12",
        },
        "cache_tag": "cpython-312",
        "bytecode_magic": "cb0d0d0a",
        "externally_managed": false,
    });
    change(&mut value);
    serde_json::from_value(value).expect("an interpreter")
}

fn demo() -> Value {
    let zeroes = "0".repeat(64);
    json!({
        "package": {
            "name": "demo", "version": "1.0", "layer": zeroes,
            "artifact": {"filename": "demo-1.0-py3-none-any.whl", "sha256": zeroes},
            "requested": true, "scheme": "",
        },
        "record": {
            "name": "demo", "version": "1.0", "layer": zeroes, "dist_info": "lib/demo-1.0.dist-info",
            "record_blob": zeroes, "record_size": 3, "files": 1, "bytes": 3,
        },
        "tags": ["py3-none-any"],
    })
}

fn carried(change: impl FnOnce(&mut Value)) -> Carried {
    let mut value = demo();
    change(&mut value);
    serde_json::from_value(value).expect("a package")
}

fn description(packages: Vec<Carried>) -> Description {
    Description::new(
        "demo".parse().expect("valid"),
        &interpreter(|_| ()),
        packages,
    )
}

#[test]
fn what_fits_is_not_refused() {
    let described = description(vec![carried(|_| ())]);
    assert_eq!(described.broken_rule(), None);
    assert_eq!(fits::refusal(&described, &interpreter(|_| ())), None);
}

#[test]
fn other_interpreters_are_refused_with_what_is_needed() {
    let described = description(vec![carried(|_| ())]);
    let needs = |change: fn(&mut Value)| fits::refusal(&described, &interpreter(change));
    let words = "CPython 3.12 on Linux with glibc 2.36 x86_64";
    let changes: [fn(&mut Value); 6] = [
        |value| value["markers"]["python_version"] = json!("3.11"),
        |value| value["markers"]["implementation_name"] = json!("pypy"),
        |value| value["platform"]["arch"] = json!("aarch64"),
        |value| value["platform"]["gil_disabled"] = json!(true),
        |value| value["platform"]["debug"] = json!(true),
        |value| value["platform"]["os"]["name"] = json!("musllinux"),
    ];
    for change in changes {
        assert_eq!(needs(change).as_deref(), Some(words));
    }
    let elsewhere = needs(|value| value["scheme"]["purelib"] = json!("lib/packages"));
    assert!(elsewhere.is_some_and(|said| said.contains("lib/python3.12/site-packages")));
}

#[test]
fn an_older_library_runs_what_its_tags_allow() {
    let old = interpreter(|value| value["platform"]["os"]["minor"] = json!(31));
    let of = |tags: Value| {
        let described = description(vec![carried(|value| value["tags"] = tags)]);
        fits::refusal(&described, &old)
    };
    assert_eq!(of(json!(["py3-none-any"])), None);
    assert_eq!(of(json!(["cp312-cp312-manylinux_2_17_x86_64"])), None);
    let newer = of(json!(["cp312-cp312-manylinux_2_34_x86_64"])).expect("too new");
    assert!(newer.contains("demo==1.0"), "{newer}");
    // Built on the spot, against the library that was there; or nobody knows.
    assert!(of(json!(["cp312-cp312-linux_x86_64"])).is_some());
    assert!(of(json!([])).is_some());
}

#[test]
fn a_patch_release_that_a_package_needs_is_asked_for() {
    let picky = carried(|value| value["record"]["requires_python"] = json!(">=3.12.5"));
    let said = fits::refusal(&description(vec![picky]), &interpreter(|_| ()));
    assert_eq!(said.as_deref(), Some("Python >=3.12.5, for demo==1.0"));
}

/// What is changed, and a word of the refusal.
type Lie = (fn(&mut Value), &'static str);

#[test]
fn descriptions_that_lie_are_refused() {
    let lies: [Lie; 6] = [
        (|value| value["record"]["name"] = json!("other"), "differ"),
        (
            |value| value["record"]["layer"] = json!("1".repeat(64)),
            "differ",
        ),
        (
            |value| value["package"]["artifact"]["filename"] = json!("../x-1.0-py3-none-any.whl"),
            "no distribution",
        ),
        (
            |value| value["package"]["artifact"]["sha256"] = Value::Null,
            "no wheel",
        ),
        (
            |value| {
                value["package"]["direct_url"] =
                    json!({"url": "file:///x", "dir_info": {"editable": true}});
            },
            "editable",
        ),
        (
            |value| {
                value["record"]["scripts"] = json!([{
                    "name": "../pip", "module": "x", "attribute": "y", "gui": false,
                }]);
            },
            "plain name",
        ),
    ];
    for (lie, why) in lies {
        let said = description(vec![carried(lie)]).broken_rule();
        assert!(
            said.as_ref().is_some_and(|said| said.contains(why)),
            "{said:?}"
        );
    }
    let twice = description(vec![carried(|_| ()), carried(|_| ())]).broken_rule();
    assert!(twice.is_some_and(|said| said.contains("twice")));
    let mut odd = description(Vec::new());
    odd.requirements.push("no requirement!".to_owned());
    assert!(odd.broken_rule().is_some());
}

fn layer(build: impl FnOnce(&mut LayerBuilder)) -> Layer {
    let mut builder = LayerBuilder::new();
    build(&mut builder);
    let encoded: EncodedLayer = builder.build();
    encoded.open().expect("a layer")
}

#[test]
fn a_layer_is_what_its_record_says() {
    let blob = BlobId::of(b"abc");
    let with = |size| {
        layer(|builder| {
            let path = "lib/demo-1.0.dist-info/RECORD";
            builder.file(path, 0o644, 0, blob, size).expect("a file");
        })
    };
    let honest = carried(|value| value["record"]["record_blob"] = json!(blob.to_hex()));
    assert_eq!(honest.check_layer(&with(3)), Ok(()));
    assert!(honest.check_layer(&with(4)).is_err());
    assert!(honest.check_layer(&layer(|_| ())).is_err());
    let linked = layer(|builder| builder.symlink("lib/x", "y").expect("a link"));
    let said = honest.check_layer(&linked).expect_err("a link");
    assert!(said.contains("lib/x"), "{said}");
}

#[test]
fn links_that_lead_out_are_found() {
    let out = |path: &str, target: &str| {
        description::link_out(&layer(|builder| {
            builder.symlink(path, target).expect("a link");
        }))
    };
    for (path, target) in [
        ("a", "/etc/passwd"),
        ("a", ".."),
        ("d/a", "../../x"),
        ("d/a", "x/../../../y"),
    ] {
        assert_eq!(out(path, target).as_deref(), Some(path), "{target}");
    }
    for (path, target) in [("a", "b"), ("d/a", "../b"), ("d/a", "./x/../../b")] {
        assert_eq!(out(path, target), None, "{target}");
    }
}
