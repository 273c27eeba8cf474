//! Wheels that must be refused, one per rule.

use crate::wheel::{WheelSpec, record_text};
use crate::zipfile::{Member, ZipFile};

/// What is wrong with the wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostile {
    /// A member `/tmp/…`.
    AbsoluteName,
    /// A member `../…`.
    ParentName,
    /// A member with `..` in the middle of its name.
    HiddenParentName,
    /// A member with a backslash in its name.
    BackslashName,
    /// Two members of one name.
    DuplicateName,
    /// A file and a folder of one name.
    FileAndFolder,
    /// A member whose content is not what RECORD says.
    BadRecordHash,
    /// A member that RECORD does not list.
    UnlistedMember,
    /// No RECORD.
    MissingRecord,
    /// A `.dist-info` of another project.
    WrongDistInfo,
    /// METADATA that names another version than the file.
    WrongMetadata,
    /// A member that inflates to far more than it says.
    LyingSize,
    /// A member that inflates a thousandfold.
    Bomb,
    /// The archive ends in the middle.
    Truncated,
    /// No archive at all.
    Garbage,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AbsoluteName,
        Self::ParentName,
        Self::HiddenParentName,
        Self::BackslashName,
        Self::DuplicateName,
        Self::FileAndFolder,
        Self::BadRecordHash,
        Self::UnlistedMember,
        Self::MissingRecord,
        Self::WrongDistInfo,
        Self::WrongMetadata,
        Self::LyingSize,
        Self::Bomb,
        Self::Truncated,
        Self::Garbage,
    ];

    /// The project that this wheel claims to be; a test can publish all of them side by side.
    pub fn project(self) -> String {
        let mut name = String::from("bad");
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The wheel without the fault: what an index would say of it.
    pub fn innocent(self) -> WheelSpec {
        WheelSpec::simple(&self.project(), "1.0")
    }

    /// The member that an error should name, where one is to blame.
    pub fn member(self) -> Option<&'static str> {
        match self {
            Self::AbsoluteName => Some("/tmp/blast-escape"),
            Self::ParentName => Some("../escape"),
            Self::HiddenParentName => Some("pkg/../../../escape"),
            Self::BackslashName => Some("escape"),
            Self::DuplicateName => Some("twice.py"),
            Self::FileAndFolder => Some("both"),
            Self::BadRecordHash => Some("tampered.py"),
            Self::UnlistedMember => Some("stowaway.py"),
            Self::MissingRecord => Some("RECORD"),
            Self::LyingSize | Self::Bomb => Some("bomb.bin"),
            Self::WrongDistInfo | Self::WrongMetadata | Self::Truncated | Self::Garbage => None,
        }
    }

    /// File name and bytes of the bad wheel.
    pub fn build(self) -> (String, Vec<u8>) {
        let wheel = self.innocent();
        let bytes = match self {
            Self::Garbage => b"this is no archive".repeat(40),
            Self::Truncated => {
                let whole = wheel.bytes();
                whole[..whole.len() / 2].to_vec()
            }
            _ => self.archive(&wheel).bytes(),
        };
        (wheel.filename(), bytes)
    }

    fn archive(self, wheel: &WheelSpec) -> ZipFile {
        let record = format!("{}.dist-info/RECORD", wheel.stem());
        let with = |member: Member| wheel.clone().member(member).zip();
        let named = |name: &str| with(Member::new(name, "escaped = True\n"));
        match self {
            Self::AbsoluteName => named("/tmp/blast-escape"),
            Self::ParentName => named("../escape"),
            Self::HiddenParentName => named("pkg/../../../escape"),
            Self::BackslashName => named("..\\escape"),
            Self::DuplicateName => wheel
                .clone()
                .file("twice.py", "1\n")
                .file("twice.py", "2\n")
                .zip(),
            Self::FileAndFolder => wheel
                .clone()
                .file("both", "1\n")
                .file("both/x.py", "2\n")
                .zip(),
            Self::BadRecordHash => {
                let mut zip = wheel.clone().file("tampered.py", "good = 1\n").zip();
                zip.member_mut("tampered.py").body = b"evil = 1\n".to_vec();
                zip
            }
            Self::UnlistedMember => {
                let mut zip = wheel.zip();
                zip.members.push(Member::new("stowaway.py", "evil = 1\n"));
                zip
            }
            Self::MissingRecord => without(wheel.zip(), &record),
            Self::WrongDistInfo => WheelSpec::simple("somebody-else", "1.0").zip(),
            Self::WrongMetadata => {
                let mut zip = without(wheel.zip(), &record);
                let metadata = format!("{}.dist-info/METADATA", wheel.stem());
                zip.member_mut(&metadata).body = WheelSpec::new(&self.project(), "6.6.6")
                    .metadata()
                    .into_bytes();
                let text = record_text(&zip.members, &record);
                zip.members.push(Member::new(record, text));
                zip
            }
            Self::LyingSize => {
                let mut zip = with(Member::new("bomb.bin", vec![0; 1 << 20]).deflated());
                zip.member_mut("bomb.bin").claimed_size = Some(1 << 10);
                zip
            }
            // Zeros compress at most 1030:1; 70 MiB is past what any rule lets pass unasked.
            Self::Bomb => with(Member::new("bomb.bin", vec![0; 70 << 20]).deflated()),
            Self::Truncated | Self::Garbage => unreachable!("made without an archive"),
        }
    }
}

fn without(mut zip: ZipFile, name: &str) -> ZipFile {
    zip.members.retain(|member| member.name != name.as_bytes());
    zip
}
