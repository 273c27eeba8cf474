//! Reading `/proc/self/mountinfo`: which of its lines is the mount at a path.
//!
//! The text comes from the kernel, but source names and paths in it are chosen by anybody who may
//! mount; a line that does not parse is skipped.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountLine {
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// `major:minor` of its device: tells two mounts at one path apart.
    pub(crate) device: String,
    /// The file system type, with subtype.
    pub(crate) fs_type: String,
    /// The source, for FUSE the `fsname`.
    pub(crate) source: String,
}

impl MountLine {
    /// Parses `id parent major:minor root point options [optional…] - type source super-options`.
    fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(2);
        let device = head.next()?.to_owned();
        let point = PathBuf::from(unescape(head.nth(1)?));
        let mut tail = tail.split(' ');
        let fs_type = tail.next()?.to_owned();
        let source = unescape(tail.next()?).to_string_lossy().into_owned();
        Some(Self {
            point,
            device,
            fs_type,
            source,
        })
    }

    /// Whether this is a view of blast, of whichever process.
    pub(crate) fn is_view(&self) -> bool {
        (self.fs_type == "fuse" || self.fs_type.starts_with("fuse."))
            && self.source == crate::mount::SOURCE
    }
}

/// The topmost mount at exactly this path: later lines cover earlier ones.
pub(crate) fn mount_at(mountinfo: &str, path: &Path) -> Option<MountLine> {
    mountinfo
        .lines()
        .rev()
        .filter_map(MountLine::parse)
        .find(|mount| mount.point == path)
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> OsString {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'\\')
            .then(|| bytes.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:40 / /home/u/live rw,nosuid,nodev - fuse.blast blast rw,user_id=1000
31 21 0:41 / /home/u/with\\040space\\134 ro - fuse blast rw
32 30 0:42 / /home/u/live rw - tmpfs none rw
garbage
33 21 0:43 / /home/u/other ro master:2 propagate_from:1 - fuse.sshfs blast rw
";

    #[test]
    fn the_topmost_mount_at_a_path_is_found() {
        let mount = mount_at(SAMPLE, Path::new("/home/u/live")).expect("listed");
        assert_eq!(
            (mount.fs_type.as_str(), mount.device.as_str()),
            ("tmpfs", "0:42")
        );
        assert!(!mount.is_view());
        assert_eq!(mount_at(SAMPLE, Path::new("/home/u")), None);
    }

    #[test]
    fn escapes_and_optional_fields_are_understood() {
        let mount = mount_at(SAMPLE, Path::new("/home/u/with space\\")).expect("listed");
        assert!(mount.is_view());
        let other = mount_at(SAMPLE, Path::new("/home/u/other")).expect("listed");
        assert_eq!(other.fs_type, "fuse.sshfs");
    }

    #[test]
    fn odd_escapes_are_kept_as_they_are() {
        assert_eq!(unescape("a\\"), "a\\");
        assert_eq!(unescape("\\9zz\\04"), "\\9zz\\04");
        assert_eq!(unescape("\\777"), "\\777");
    }
}
