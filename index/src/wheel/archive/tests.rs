use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::wheel::opening::DOS_EPOCH;
use crate::wheel::record;

const NAME: &str = "demo-1.0-py3-none-any.whl";
const WHEEL: &str =
    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
const METADATA: &str =
    "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: rich\n\nText\n";

/// A wheel to be spoiled: files in order, and a RECORD made of them at the end.
#[derive(Clone)]
struct Recipe {
    files: Vec<(String, Vec<u8>)>,
    /// RECORD text; `None`: true of the files.
    record: Option<String>,
    dist_info: &'static str,
}

impl Recipe {
    fn new() -> Self {
        Self {
            files: Vec::new(),
            record: None,
            dist_info: "demo-1.0.dist-info",
        }
        .file("demo/__init__.py", "x = 1\n")
        .file("demo-1.0.dist-info/WHEEL", WHEEL)
        .file("demo-1.0.dist-info/METADATA", METADATA)
    }

    fn file(mut self, name: &str, body: impl AsRef<[u8]>) -> Self {
        self.files.retain(|(other, _)| other != name);
        self.files.push((name.to_owned(), body.as_ref().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.files.retain(|(other, _)| other != name);
        self
    }

    fn rows(&self) -> Vec<RecordRow> {
        let row = |(name, body): &(String, Vec<u8>)| RecordRow {
            path: name.clone(),
            hash: Some(RecordHash::Sha256(blast_types::Sha256::of(body))),
            size: Some(body.len() as u64),
        };
        self.files.iter().map(row).collect()
    }

    fn record(&self) -> String {
        let own = format!("{}/RECORD,,\n", self.dist_info);
        self.record
            .clone()
            .unwrap_or_else(|| record::write(&self.rows()) + &own)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let mut put = |name: &str, body: &[u8]| {
            zip.start_file(name, SimpleFileOptions::default())
                .expect("started");
            zip.write_all(body).expect("written");
        };
        for (name, body) in &self.files {
            put(name, body);
        }
        put(
            &format!("{}/RECORD", self.dist_info),
            self.record().as_bytes(),
        );
        zip.finish().expect("finished").into_inner()
    }

    fn open(&self) -> Result<WheelArchive, WheelError> {
        open(&self.bytes())
    }

    fn refused(&self) -> String {
        self.open()
            .map(|_| ())
            .expect_err("it must be refused")
            .to_string()
    }
}

fn open(bytes: &[u8]) -> Result<WheelArchive, WheelError> {
    open_within(bytes, Limits::default())
}

fn open_within(bytes: &[u8], limits: Limits) -> Result<WheelArchive, WheelError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    WheelArchive::open_within(file.path(), &NAME.parse().expect("a wheel name"), limits)
}

fn read(archive: &WheelArchive, name: &str) -> Result<Vec<u8>, WheelError> {
    let index = archive
        .members()
        .iter()
        .position(|m| m.name == name)
        .expect("a member");
    let mut bytes = Vec::new();
    archive.read_member(index, &mut bytes).map(|()| bytes)
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let at: Vec<_> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!at.is_empty(), "{} is not there", from.escape_ascii());
    for at in at {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn an_honest_wheel_tells_everything() {
    let archive = Recipe::new()
        .file("demo/big.bin", vec![7; 300_000])
        .file("demo-1.0.data/scripts/tool", "#!python\n")
        .file("demo-1.0.data/data/share/x", "")
        .file("demo-1.0.data/headers/d.h", "")
        .file("demo-1.0.data/platlib/demo/fast.so", "")
        .file(
            "demo-1.0.dist-info/entry_points.txt",
            "[console_scripts]\ndemo = demo:main\n",
        )
        .open()
        .expect("an honest wheel");
    let shown: Vec<_> = archive
        .members()
        .iter()
        .map(|m| format!("{:?} {} {}", m.install_to.root, m.install_to.path, m.size))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    Purelib demo/__init__.py 6
    Purelib demo-1.0.dist-info/WHEEL 75
    Purelib demo-1.0.dist-info/METADATA 72
    Purelib demo/big.bin 300000
    Scripts tool 9
    Data share/x 0
    Headers d.h 0
    Platlib demo/fast.so 0
    Purelib demo-1.0.dist-info/entry_points.txt 35
    ");
    assert_eq!(archive.entry_points()[0].module, "demo");
    assert_eq!(archive.metadata().requires_dist.len(), 1);
    assert_eq!(archive.dist_info(), "demo-1.0.dist-info");
    assert_eq!(archive.record().len(), 9);
    assert_eq!(
        read(&archive, "demo/big.bin").expect("read"),
        vec![7; 300_000]
    );
}

#[test]
fn members_can_be_read_from_many_threads() {
    let archive = Recipe::new()
        .file("demo/big.bin", vec![9; 1 << 20])
        .open()
        .expect("honest");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(read(&archive, "demo/big.bin").expect("read").len(), 1 << 20);
                assert_eq!(
                    read(&archive, "demo/__init__.py").expect("read"),
                    b"x = 1\n"
                );
            });
        }
    });
}

#[test]
fn unsafe_names_are_refused_by_name() {
    for name in [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\evil",
        "c:/evil",
        "a//evil",
        "./evil",
    ] {
        let text = Recipe::new().file(name, "x").refused();
        assert!(
            text.contains(NAME) && text.contains("unsafe name"),
            "{text}"
        );
        assert!(text.contains(&name.escape_debug().to_string()), "{text}");
    }
    let bytes = Recipe::new().file("demo/a", "x").bytes();
    let text = open(&replaced(&bytes, b"demo/a", b"demo/\0"))
        .expect_err("NUL")
        .to_string();
    assert!(text.contains("NUL"), "{text}");
}

#[test]
fn folders_with_unsafe_names_are_refused_too() {
    let mut zip = ZipWriter::new_append(Cursor::new(Recipe::new().bytes())).expect("appended");
    zip.add_directory("../evil/", SimpleFileOptions::default())
        .expect("added");
    let bytes = zip.finish().expect("finished").into_inner();
    assert!(
        open(&bytes)
            .expect_err("outside")
            .to_string()
            .contains("unsafe name")
    );
}

#[test]
fn duplicates_are_refused() {
    let bytes = Recipe::new()
        .file("demo/aa", "1")
        .file("demo/bb", "1")
        .bytes();
    let text = open(&replaced(&bytes, b"demo/bb", b"demo/aa"))
        .expect_err("twice")
        .to_string();
    assert!(
        text.contains("member `demo/aa`: the name occurs twice"),
        "{text}"
    );
    let text = Recipe::new()
        .file("demo/x", "file")
        .file("demo/x/y", "folder")
        .refused();
    assert!(
        text.contains("member `demo/x`: the name occurs twice"),
        "{text}"
    );
    let text = Recipe::new()
        .file("demo-1.0.data/purelib/demo/__init__.py", "other")
        .refused();
    assert!(text.contains("occurs twice"), "{text}");
}

#[test]
fn record_must_list_every_member_as_it_is() {
    let recipe = Recipe::new();
    let honest = recipe.record();
    let with = |record: String| Recipe {
        record: Some(record),
        ..recipe.clone()
    };
    let init = "demo/__init__.py";
    let unlisted: String = honest
        .split_inclusive('\n')
        .filter(|line| !line.starts_with(init))
        .collect();
    for (record, said) in [
        (unlisted.clone(), "not listed in RECORD"),
        (format!("{unlisted}{init},,\n"), "without a SHA-256"),
        (
            format!("{unlisted}{init},md5=AAAA,6\n"),
            "without a SHA-256",
        ),
        (
            honest.replace(",6\n", ",7\n"),
            "has 6 bytes, but RECORD says 7",
        ),
        (format!("{honest}{init},,\n"), "RECORD lists it twice"),
        (honest.replace("sha256=", "sha256=!"), "row 1 has the hash"),
    ] {
        let text = with(record).refused();
        assert!(text.contains(said), "{text}");
    }
    let phantom = with(format!("{honest}demo/gone.py,,\n"))
        .open()
        .expect("harmless");
    assert_eq!(phantom.record().len(), 3);
    let text = Recipe {
        dist_info: "demo",
        ..recipe.clone()
    }
    .refused();
    assert!(text.contains("RECORD`: the file is missing"), "{text}");
}

#[test]
fn content_is_compared_with_record_while_it_is_read() {
    let mut recipe = Recipe::new();
    recipe.record = Some(recipe.record());
    recipe.files[0].1 = b"x = 2\n".to_vec();
    let archive = recipe.open().expect("only the content is wrong");
    let text = read(&archive, "demo/__init__.py")
        .expect_err("spoiled")
        .to_string();
    assert!(
        text.contains("member `demo/__init__.py`: its content is not what RECORD says"),
        "{text}"
    );
    // The files that opening reads are compared at once.
    recipe.files[2].1 = METADATA.replace("rich", "evil").into_bytes();
    assert!(
        recipe
            .refused()
            .contains("METADATA`: its content is not what RECORD says")
    );
}

#[test]
fn stronger_hashes_serve_as_well() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let mut recipe = Recipe::new();
    let code = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let sha512 = code.encode(sha2::Sha512::digest(b"x = 1\n"));
    let rows = recipe.record();
    let rest = rows.split_once('\n').expect("rows").1;
    recipe.record = Some(format!("demo/__init__.py,sha512={sha512},6\n{rest}"));
    assert_eq!(
        read(&recipe.open().expect("known"), "demo/__init__.py").expect("same"),
        b"x = 1\n"
    );
    recipe.files[0].1 = b"x = 2\n".to_vec();
    assert!(read(&recipe.open().expect("known"), "demo/__init__.py").is_err());
}

#[test]
fn signatures_need_no_row() {
    let mut recipe = Recipe::new();
    recipe.record = Some(recipe.record());
    recipe
        .file("demo-1.0.dist-info/RECORD.jws", "{}")
        .open()
        .expect("exempt");
}

#[test]
fn dist_info_must_be_there_once_and_agree() {
    let text = Recipe::new()
        .file("other-2.dist-info/METADATA", "")
        .refused();
    assert!(text.contains("several .dist-info folders"), "{text}");
    for (file, said) in [("WHEEL", "WHEEL"), ("METADATA", "METADATA")] {
        let text = Recipe::new()
            .without(&format!("demo-1.0.dist-info/{file}"))
            .refused();
        assert!(
            text.contains(&format!("member `{said}`: the file is missing")),
            "{text}"
        );
    }
    let text = Recipe::new()
        .file(
            "demo-1.0.dist-info/METADATA",
            METADATA.replace("demo", "evil"),
        )
        .refused();
    assert!(text.contains("METADATA`: is that of evil 1.0"), "{text}");
    let other = open_as("other-1.0-py3-none-any.whl");
    assert!(other.contains("is not that of other 1.0"), "{other}");
}

fn open_as(name: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&Recipe::new().bytes()).expect("written");
    let name = name.parse().expect("a wheel name");
    WheelArchive::open(file.path(), &name)
        .expect_err("another")
        .to_string()
}

#[test]
fn the_wheel_file_must_be_understood() {
    for (text, said) in [
        (
            WHEEL.replace("1.0", "2.0"),
            "version 2.0 of the format is not known",
        ),
        (WHEEL.replace("true", "maybe"), "Root-Is-Purelib is `maybe`"),
        (String::new(), "states no version"),
    ] {
        let error = Recipe::new()
            .file("demo-1.0.dist-info/WHEEL", text)
            .refused();
        assert!(error.contains(said), "{error}");
    }
    let platlib = Recipe::new().file("demo-1.0.dist-info/WHEEL", WHEEL.replace("true", "false"));
    assert_eq!(platlib.open().expect("known").root(), InstallRoot::Platlib);
    let text = Recipe::new().file("demo-1.0.data/lib/x", "").refused();
    assert!(text.contains("`lib` is no known install scheme"), "{text}");
    let text = Recipe::new()
        .file(
            "demo-1.0.dist-info/entry_points.txt",
            "[console_scripts]\n../x = a:b",
        )
        .refused();
    assert!(text.contains("has no plain file name"), "{text}");
}

#[test]
fn a_link_is_a_plain_file_and_bits_and_times_are_kept() {
    let mut recipe = Recipe::new();
    recipe.record = Some(format!(
        "{}demo/link,{},11\ndemo/run,{},1\n",
        recipe.record(),
        RecordHash::Sha256(blast_types::Sha256::of(b"/etc/passwd")),
        RecordHash::Sha256(blast_types::Sha256::of(b"x")),
    ));
    let mut zip = ZipWriter::new_append(Cursor::new(recipe.bytes())).expect("appended");
    zip.add_symlink("demo/link", "/etc/passwd", SimpleFileOptions::default())
        .expect("added");
    let at = zip::DateTime::from_date_and_time(2024, 2, 29, 12, 30, 4).expect("a time");
    let options = SimpleFileOptions::default()
        .unix_permissions(0o755)
        .last_modified_time(at);
    zip.start_file("demo/run", options).expect("started");
    zip.write_all(b"x").expect("written");
    let archive = open(&zip.finish().expect("finished").into_inner()).expect("harmless");
    assert_eq!(read(&archive, "demo/link").expect("read"), b"/etc/passwd");
    let member = |name: &str| {
        archive
            .members()
            .iter()
            .find(|m| m.name == name)
            .expect("there")
    };
    assert!(!member("demo/link").executable && !member("demo/__init__.py").executable);
    assert!(member("demo/run").executable);
    assert_eq!(member("demo/run").mtime, 1_709_209_804);
    assert_eq!(member("demo/__init__.py").mtime, DOS_EPOCH);
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let bytes = Recipe::new().file("demo/zeros", vec![0; 8 << 20]).bytes();
    let limits = Limits {
        bomb_bytes: 1 << 20,
        ratio: 500,
        ..Limits::default()
    };
    let text = open_within(&bytes, limits).expect_err("a bomb").to_string();
    assert!(
        text.contains("demo/zeros") && text.contains("unpack to 8388608"),
        "{text}"
    );
    let limits = Limits {
        total_bytes: 1 << 20,
        ..Limits::default()
    };
    let text = open_within(&bytes, limits)
        .expect_err("too much")
        .to_string();
    assert!(text.contains("unpack to more than 1048576 bytes"), "{text}");
    let limits = Limits {
        members: 3,
        ..Limits::default()
    };
    assert!(
        open_within(&bytes, limits)
            .expect_err("too many")
            .to_string()
            .contains("5 members")
    );
    open(&bytes).expect("a large file of zeros is honest");
}

#[test]
fn sizes_that_lie_are_found_out() {
    let mut recipe = Recipe::new().file("demo/zeros", vec![0; 1000]);
    // The archive and RECORD agree that there is one byte, and the data disagrees.
    recipe.record = Some(recipe.record().replace(",1000\n", ",1\n"));
    let bytes = replaced(
        &recipe.bytes(),
        &1000_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
    );
    let error = open(&bytes).and_then(|archive| read(&archive, "demo/zeros").map(|_| ()));
    let text = error.expect_err("it lies").to_string();
    assert!(
        text.contains("demo/zeros") && text.contains("declared"),
        "{text}"
    );
}

#[test]
fn encrypted_members_are_refused() {
    let mut bytes = Recipe::new().bytes();
    let central = bytes
        .windows(4)
        .position(|w| w == b"PK\x01\x02")
        .expect("a directory");
    bytes[central + 8] |= 1;
    let text = open(&bytes).expect_err("encrypted").to_string();
    assert!(
        text.contains("member `demo/__init__.py`: encrypted"),
        "{text}"
    );
}

#[test]
fn headers_that_contradict_each_other_are_refused() {
    let mut bytes = Recipe::new().bytes();
    // The local name of the first member; the central directory keeps the honest one.
    bytes[30..46].copy_from_slice(b"evil/__init__.py");
    assert!(
        open(&bytes)
            .expect_err("contradiction")
            .to_string()
            .contains("damaged archive")
    );
}

#[test]
fn truncated_and_spoiled_archives_are_errors_never_panics() {
    let recipe = Recipe::new().file("demo/data", (0..=255).collect::<Vec<u8>>());
    let honest = recipe.bytes();
    for cut in 0..honest.len() {
        assert!(open(&honest[..cut]).is_err(), "cut at {cut}");
    }
    let all = |bytes: &[u8]| -> Result<(), WheelError> {
        let archive = open(bytes)?;
        (0..archive.members().len()).try_for_each(|at| archive.read_member(at, &mut io::sink()))
    };
    all(&honest).expect("honest");
    for at in 0..honest.len() {
        for bit in [0x01, 0x80, 0xff] {
            let mut spoiled = honest.clone();
            spoiled[at] ^= bit;
            drop(all(&spoiled));
        }
    }
}

#[test]
fn every_compression_in_use_is_read() {
    let recipe = Recipe::new();
    for method in [
        CompressionMethod::Stored,
        CompressionMethod::Deflated,
        CompressionMethod::Bzip2,
        CompressionMethod::Zstd,
    ] {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        let record = (
            "demo-1.0.dist-info/RECORD".to_owned(),
            recipe.record().into_bytes(),
        );
        for (name, body) in recipe.files.iter().chain([&record]) {
            zip.start_file(name.as_str(), options).expect("started");
            zip.write_all(body).expect("written");
        }
        let archive = open(&zip.finish().expect("finished").into_inner()).expect("known");
        assert_eq!(
            read(&archive, "demo/__init__.py").expect("read"),
            b"x = 1\n",
            "{method}"
        );
    }
}

#[test]
fn a_full_disk_is_not_the_wheels_fault() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let archive = Recipe::new().open().expect("honest");
    let error = archive.read_member(0, &mut Full).expect_err("full");
    assert!(matches!(error.problem, WheelProblem::Sink(_)), "{error}");
}
