use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Kind, name, and content or target.
type Packed<'a> = (EntryType, &'a str, &'a str);

/// Packs members as they are, sane or not, into a plain tar.
fn tar_of(members: &[Packed<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, content) in members {
        let mut header = tar::Header::new_gnu();
        // Not by `set_path`, which refuses what is to be tested.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        header.set_mtime(1_600_000_000);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        let body = if is_link { "" } else { content };
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body.as_bytes()).expect("packed");
    }
    builder.into_inner().expect("packed")
}

fn unpacked(bytes: &[u8], limits: Limits) -> Result<(tempfile::TempDir, PathBuf), SdistError> {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("archive");
    fs::write(&archive, bytes).expect("written");
    let into = folder.path().join("into");
    fs::create_dir(&into).expect("made");
    let root = unpack(&archive, "demo-1.tar", &into, limits)?;
    Ok((folder, root))
}

const FILE: EntryType = EntryType::Regular;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

#[test]
fn honest_archives_of_every_form_are_unpacked() {
    let plain = tar_of(&[
        (EntryType::Directory, "demo-1/", ""),
        (FILE, "demo-1/setup.py", "x = 1\n"),
        (LINK, "demo-1/docs/readme", "../setup.py"),
        (HARD, "demo-1/again.py", "demo-1/setup.py"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("packed");
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip.write_all(&plain).expect("packed");
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).expect("an encoder");
    xz.write_all(&plain).expect("packed");
    let forms = [
        plain.clone(),
        gzip.finish().expect("packed"),
        bzip.finish().expect("packed"),
        xz.finish().expect("packed"),
    ];
    for bytes in forms {
        let (folder, root) = unpacked(&bytes, Limits::default()).expect("honest");
        assert_eq!(root, folder.path().join("into/demo-1"));
        for name in ["setup.py", "docs/readme", "again.py"] {
            let text = fs::read_to_string(root.join(name)).expect("there");
            assert_eq!(text, "x = 1\n", "{name}");
        }
        let mode = fs::metadata(root.join("setup.py"))
            .expect("there")
            .permissions();
        assert_eq!(
            mode.mode() & 0o7777,
            0o755,
            "no set-user-id, nothing for others"
        );
    }
}

#[test]
fn zips_are_unpacked_too() {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("demo-1/setup.py", options).expect("packed");
    zip.write_all(b"x").expect("packed");
    let bytes = zip.finish().expect("packed").into_inner();
    let (_folder, root) = unpacked(&bytes, Limits::default()).expect("honest");
    assert_eq!(fs::read(root.join("setup.py")).expect("there"), b"x");

    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    zip.start_file("../out", options).expect("packed");
    let bytes = zip.finish().expect("packed").into_inner();
    let error = unpacked(&bytes, Limits::default()).expect_err("hostile");
    assert!(matches!(error, SdistError::Member { .. }), "{error}");
}

#[test]
fn hostile_members_are_refused_by_name() {
    let cases: &[(&[Packed<'_>], &str)] = &[
        (&[(FILE, "/etc/x", "")], "/etc/x"),
        (&[(FILE, "demo-1/../../x", "")], "demo-1/../../x"),
        (&[(LINK, "demo-1/a", "/etc")], "demo-1/a"),
        (&[(LINK, "demo-1/a", "../..")], "demo-1/a"),
        (&[(LINK, "demo-1/a", "")], "demo-1/a"),
        // Each link goes down by name and stays where it is: up after down is not exact.
        (
            &[(LINK, "demo-1/d", "."), (LINK, "demo-1/u", "d/d/../../..")],
            "demo-1/u",
        ),
        (
            &[(LINK, "demo-1/d", "."), (FILE, "demo-1/d/x", "")],
            "demo-1/d/x",
        ),
        (
            &[(LINK, "demo-1/d", "e"), (FILE, "demo-1/d", "")],
            "demo-1/d",
        ),
        (&[(HARD, "demo-1/a", "/etc/passwd")], "demo-1/a"),
        (&[(HARD, "demo-1/a", "demo-1/later")], "demo-1/a"),
        (
            &[(FILE, "demo-1/a", ""), (FILE, "demo-1/a/b", "")],
            "demo-1/a/b",
        ),
        (&[(EntryType::Char, "demo-1/null", "")], "demo-1/null"),
        (&[(EntryType::Fifo, "demo-1/pipe", "")], "demo-1/pipe"),
    ];
    for (members, culprit) in cases {
        let error = unpacked(&tar_of(members), Limits::default()).expect_err(culprit);
        match &error {
            SdistError::Member { member, .. } => assert_eq!(member, culprit, "{error}"),
            other => panic!("{culprit}: {other}"),
        }
    }
}

#[test]
fn too_much_is_refused() {
    let limits = Limits {
        total_bytes: 8,
        members: 2,
    };
    let tar = tar_of(&[(FILE, "d/a", "12345"), (FILE, "d/b", "6789")]);
    let error = unpacked(&tar, limits).expect_err("nine bytes");
    assert!(error.to_string().contains("8 bytes"), "{error}");
    let tar = tar_of(&[(FILE, "d/a", ""), (FILE, "d/b", ""), (FILE, "d/c", "")]);
    let error = unpacked(&tar, limits).expect_err("three members");
    assert!(error.to_string().contains("2 members"), "{error}");
}

#[test]
fn what_is_no_archive_is_said_so() {
    for bytes in [
        &b"\x1f\x8bnothing"[..],
        b"PKnothing",
        b"just text, long enough to be read",
    ] {
        let error = unpacked(bytes, Limits::default()).expect_err("no archive");
        assert!(matches!(error, SdistError::Archive { .. }), "{error}");
    }
    let mut cut = tar_of(&[(FILE, "d/a", "12345")]);
    cut.truncate(514);
    assert!(unpacked(&cut, Limits::default()).is_err());
}
