//! Requirements files: what they come to, and what is refused.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use blast_resolver::NameFilter;
use blast_resolver::requirements::{RequirementsError, RequirementsFile, Surroundings};

/// Reads `main.txt` of these files.
fn read(files: &[(&str, &str)]) -> Result<RequirementsFile, RequirementsError> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let read = |path: &Path| {
        let name = path.to_str().expect("tests use plain paths");
        let text = files
            .get(name)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok((*text).to_owned())
    };
    let variable = |name: &str| (name == "HOST").then(|| "index.example".to_owned());
    let directory = Path::new("/srv/project");
    let around = Surroundings {
        read: &read,
        variable: &variable,
        directory,
    };
    RequirementsFile::read(Path::new("main.txt"), around)
}

fn one(text: &str) -> RequirementsFile {
    read(&[("main.txt", text)]).expect("the file is good")
}

fn problem(text: &str) -> String {
    read(&[("main.txt", text)])
        .expect_err("the file is bad")
        .to_string()
}

fn requirements(file: &RequirementsFile) -> Vec<String> {
    file.requirements
        .iter()
        .map(|entry| entry.requirement.to_string())
        .collect()
}

#[test]
fn requirements_keep_their_place_and_hashes() {
    let file = one(
        "# head\nFlask[async] >=2 \\\n  --hash=sha256:00aa \\\n  --hash sha512:11bb\n\nb; python_version>'3'  # why\n",
    );
    assert_eq!(
        requirements(&file),
        ["flask[async]>=2", "b ; python_full_version >= '3.1'"]
    );
    assert_eq!(file.requirements[0].hashes, ["sha256:00aa", "sha512:11bb"]);
    assert_eq!(file.requirements[0].place.to_string(), "main.txt:2");
    assert_eq!(file.requirements[1].place.to_string(), "main.txt:6");
}

#[test]
fn options_are_read_in_every_spelling() {
    let file = one(
        "-i http://127.0.0.1:1/simple/\n--index-url=https://${HOST}/simple/\n\
         --extra-index-url https://a/ --extra-index-url=https://b/\n-f links --find-links=more\n\
         --no-binary :all:\n--only-binary=A_b,c\n--pre\n--require-hashes\n--prefer-binary\n\
         --no-index --trusted-host h\n",
    );
    let settings = file.settings;
    assert_eq!(
        settings.index_url.as_deref(),
        Some("https://index.example/simple/")
    );
    assert_eq!(settings.extra_index_urls, ["https://a/", "https://b/"]);
    assert_eq!(settings.find_links, ["links", "more"]);
    assert_eq!(settings.no_binary, NameFilter::All);
    assert!(
        settings
            .only_binary
            .contains(&"a-b".parse().expect("a name"))
    );
    assert!(settings.prereleases && settings.require_hashes && settings.prefer_binary);
    assert!(settings.no_index);
    assert_eq!(settings.trusted_hosts, ["h"]);
}

#[test]
fn files_include_files_relative_to_themselves() {
    let file = read(&[
        ("main.txt", "a\n-r sub/base.txt\n--constraint=c.txt"),
        ("sub/base.txt", "b\n-rmore.txt\n-c ../c.txt"),
        ("sub/more.txt", "c"),
        ("c.txt", "d<2"),
    ])
    .expect("the files are good");
    assert_eq!(requirements(&file), ["a", "b", "c"]);
    assert_eq!(file.constraints.len(), 2);
    assert_eq!(file.constraints[0].place.to_string(), "c.txt:1");
}

#[test]
fn archives_are_known_by_their_file_names() {
    let file = one("./wheels/a_b-1.0-py3-none-any.whl\n\
         https://index.example/x/c-2.0.tar.gz#sha256=00 ; python_version > '3'\n\
         d @ ./d-1.0-py3-none-any.whl\n../e-1.0-py3-none-any.whl[x,y]\n\
         https://index.example/f.git#egg=f\n");
    let shown: Vec<_> = file
        .requirements
        .iter()
        .map(|entry| entry.requirement.displayable_with_credentials().to_string())
        .collect();
    assert_eq!(
        shown[0],
        "a-b @ file:///srv/project/wheels/a_b-1.0-py3-none-any.whl"
    );
    assert!(shown[1].starts_with("c @ https://index.example/x/c-2.0.tar.gz#sha256=00 ; "));
    assert_eq!(shown[2], "d @ file:///srv/project/d-1.0-py3-none-any.whl");
    assert_eq!(shown[3], "e[x,y] @ file:///srv/e-1.0-py3-none-any.whl");
    assert!(shown[4].starts_with("f @ "));
}

#[test]
fn folders_are_projects_to_build() {
    let file =
        one(".\n-e ./lib[dev]\n--editable=git+https://index.example/x.git#egg=x\n/abs/dir\n");
    let shown: Vec<_> = file
        .projects
        .iter()
        .map(|project| {
            (
                project.location.as_str(),
                project.extras.len(),
                project.editable,
            )
        })
        .collect();
    let expected = [
        ("/srv/project", 0, false),
        ("/srv/project/lib", 1, true),
        ("git+https://index.example/x.git#egg=x", 0, true),
        ("/abs/dir", 0, false),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        ("a\n--nonsense", "main.txt:2: unknown option `--nonsense`"),
        (
            "--use-feature x",
            "main.txt:1: the option `--use-feature` is not supported",
        ),
        (
            "a --config-settings x=y",
            "main.txt:1: the option `--config-settings` is not supported",
        ),
        ("a --pre", "main.txt:1: the option `--pre` is not supported"),
        ("-r", "main.txt:1: the option `-r` needs a value"),
        ("--pre=yes", "main.txt:1: the option `--pre` takes no value"),
        (
            "a --hash=sha256",
            "main.txt:1: `sha256` is no hash, which looks like sha256:…",
        ),
        (
            "a --hash=sha256:xy",
            "main.txt:1: `sha256:xy` is no hash, which looks like sha256:…",
        ),
        ("-e 'x", "main.txt:1: a quote is not closed"),
        (
            "-r http://127.0.0.1/r.txt",
            "is a URL: only files on this machine are read",
        ),
        (
            "-r main.txt",
            "main.txt:1: the file includes itself: main.txt",
        ),
        (
            "-r ./x/../main.txt",
            "main.txt:1: the file includes itself: main.txt",
        ),
        ("-r gone.txt", "cannot read gone.txt"),
        ("--no-binary a/b", "main.txt:1: `a/b` is no package name"),
        ("a ==== 1", "main.txt:1: `a ==== 1` is no requirement"),
        (
            "a @",
            "main.txt:1: `a @` is no requirement: behind `@` a URL is missing",
        ),
        (
            "a @ ; python_version > '3'",
            "main.txt:1: `a @ ; python_version > '3'` is no requirement",
        ),
        ("./a.whl[$]", "main.txt:1: `$` is no package name"),
    ];
    for (text, expected) in cases {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn nesting_has_an_end() {
    let names: Vec<String> = (0..40).map(|n| format!("{n}.txt")).collect();
    let texts: Vec<String> = (0..40).map(|n| format!("-r {}.txt", n + 1)).collect();
    let mut files = vec![("main.txt", "-r 0.txt")];
    files.extend(
        names
            .iter()
            .zip(&texts)
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let error = read(&files).expect_err("it goes too deep");
    assert!(
        error.to_string().contains("nested more than 32 deep"),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "[ -~\\n\\\\\u{e9}]{0,60}") {
        let read = |_: &Path| Ok(text.clone());
        let variable = |_: &str| None;
        let around = Surroundings { read: &read, variable: &variable, directory: Path::new("/x") };
        drop(RequirementsFile::read(Path::new("main.txt"), around));
    }

    #[test]
    fn any_text_is_a_lock_or_an_error(text in "[ -~\\n]{0,80}") {
        drop(blast_resolver::lock::Lock::parse(&text));
    }
}
