//! The one thing of the view that has no safe form: what a session reads from is exchanged for
//! something else.
//!
//! fuser's `Session::from_fd` takes its descriptor for good and shakes hands over it before it
//! returns. A mount that is taken over has shaken hands long ago, with another process, so the
//! session is given a socket to shake hands with ([`crate::handover`]), and the device is then put
//! in the socket's place. All safe forms of `dup2` want the `OwnedFd` that is replaced, which only
//! fuser has; closing its number and having the next free one given out again would leave a moment
//! in which another thread can get that number.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::dup3;

/// Makes the open descriptor `place` another name of what `file` is, in one step. What it was is
/// closed by that.
///
/// # Errors
///
/// What dup3(2) says; `place` is unchanged then.
pub(crate) fn put_in_place(file: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "no safe function replaces what somebody else owns"
    )]
    // SAFETY: the number is open, since `place` is borrowed from its owner for the whole call. The
    // second owner that is made here never closes it, as it is never dropped: `dup3` exchanges what
    // the number stands for without its ever being free, and the first owner goes on to own it.
    // Nobody relies on the exchanged file: the caller is the one who made it and knows.
    let owned = unsafe { OwnedFd::from_raw_fd(place.as_raw_fd()) };
    dup3(file, &mut ManuallyDrop::new(owned), OFlag::O_CLOEXEC)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_owner_of_the_place_reads_the_other_file_afterwards() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"put here").unwrap();
        file.rewind().unwrap();
        let mut place = File::open("/dev/null").unwrap();
        put_in_place(file.as_fd(), place.as_fd()).unwrap();
        drop(file);
        let mut read = String::new();
        place.read_to_string(&mut read).unwrap();
        assert_eq!(read, "put here");
    }
}
