//! The harness tested against what everybody uses: Python's own zip reader and HTTP client.

use std::process::Command;

use blast_harness::{Fault, Format, HostPython, Hostile, LocalIndex, Release, WheelSpec};

/// Runs Python code with arguments and returns its output.
fn python(code: &str, args: &[&str]) -> String {
    let output = Command::new(HostPython::find(false).executable)
        .args(["-I", "-c", code])
        .args(args)
        .output()
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

const FETCH: &str = r"
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1])
for header in sys.argv[2:]:
    request.add_header(*header.split('=', 1))
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.status, answer.headers['Content-Type'], len(answer.read()))
except urllib.error.HTTPError as error:
    print(error.code)
except Exception as error:
    print(type(error).__name__)
";

#[test]
fn a_wheel_is_an_archive_whose_record_is_true() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wheel = WheelSpec::simple("my-demo", "1.0")
        .requires("other>=1")
        .entry_point("demo", "my_demo:main")
        .data("share/x.txt", "x")
        .script("tool", "#!python\n")
        .write_to(folder.path());
    let listed = python(
        r"
import sys, zipfile, base64, hashlib
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
rows = archive.read('my_demo-1.0.dist-info/RECORD').decode().splitlines()
for row in rows:
    name, digest, size = row.split(',')
    body = archive.read(name)
    if digest:
        assert int(size) == len(body), name
        want = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b'=').decode()
        assert digest == 'sha256=' + want, name
assert len(rows) == len(archive.namelist())
print(oct(archive.getinfo('my_demo-1.0.data/scripts/tool').external_attr >> 16))
",
        &[wheel.to_str().expect("UTF-8")],
    );
    assert_eq!(listed, "0o100755");
}

#[test]
fn every_hostile_wheel_differs_from_its_innocent_twin() {
    for hostile in Hostile::ALL {
        let (name, bytes) = hostile.build();
        assert_eq!(name, hostile.innocent().filename());
        assert_ne!(bytes, hostile.innocent().bytes(), "{hostile:?}");
    }
}

#[test]
fn pages_come_in_the_form_that_was_asked_for() {
    let index = LocalIndex::with([WheelSpec::simple("demo", "1.0")]);
    let page = format!("{}demo/", index.url());
    let json = "Accept=application/vnd.pypi.simple.v1+json";
    assert!(python(FETCH, &[&page, json]).contains("+json"));
    assert!(python(FETCH, &[&page]).contains("text/html"));
    index.set_format(Format::Html);
    assert!(python(FETCH, &[&page, json]).contains("text/html"));
    assert_eq!(index.count("/simple/demo/"), 3);
    assert_eq!(python(FETCH, &[&format!("{}nothing/", index.url())]), "404");
}

#[test]
fn files_come_whole_in_parts_or_not_at_all() {
    let index = LocalIndex::start();
    index.publish(Release::raw(
        "demo",
        "demo-1.0-py3-none-any.whl",
        vec![7; 1000],
    ));
    let file = index.file_url("demo-1.0-py3-none-any.whl");
    assert_eq!(python(FETCH, &[&file]), "200 application/octet-stream 1000");
    assert_eq!(
        python(FETCH, &[&file, "Range=bytes=-10"]),
        "206 application/octet-stream 10"
    );
    index.set_ranges(false);
    assert_eq!(
        python(FETCH, &[&file, "Range=bytes=-10"]),
        "200 application/octet-stream 1000"
    );
    index.fault("/files/", Fault::CloseMidBody, 1);
    assert_eq!(python(FETCH, &[&file]), "IncompleteRead");
    index.fault("/files/", Fault::Status(503), 1);
    assert_eq!(python(FETCH, &[&file]), "503");
    index.fault("/files/", Fault::Hangup, 1);
    assert_eq!(python(FETCH, &[&file]), "RemoteDisconnected");
    assert_eq!(python(FETCH, &[&file]), "200 application/octet-stream 1000");
}

#[test]
fn a_stopped_index_refuses_connections() {
    let mut index = LocalIndex::start();
    let page = index.url();
    index.stop();
    assert_eq!(python(FETCH, &[&page]), "URLError");
}
