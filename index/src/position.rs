//! A place in something of known length, moved as [`std::io::Seek`] says. Whatever reads parts of
//! an archive (`ranges`, `wheel::archive`) keeps one of these.

use std::io::{self, SeekFrom};

/// Where the next read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    at: u64,
    length: u64,
}

impl Position {
    /// The start of something of this length, in bytes.
    pub(crate) fn new(length: u64) -> Self {
        Self { at: 0, length }
    }

    /// Bytes from the start.
    pub(crate) fn at(self) -> u64 {
        self.at
    }

    /// Length of the whole, in bytes.
    pub(crate) fn length(self) -> u64 {
        self.length
    }

    /// Notes that so many bytes were read.
    pub(crate) fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count as u64);
    }

    /// What `lseek(2)` does: the end may be passed, the start may not.
    pub(crate) fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_may_be_passed_and_the_start_may_not() {
        let mut position = Position::new(10);
        position.advance(4);
        assert_eq!(position.seek(SeekFrom::Current(-1)).expect("within"), 3);
        assert_eq!(position.seek(SeekFrom::End(5)).expect("behind the end"), 15);
        assert_eq!(position.seek(SeekFrom::Start(2)).expect("within"), 2);
        assert!(position.seek(SeekFrom::Current(-3)).is_err());
        assert!(position.seek(SeekFrom::End(-11)).is_err());
        assert_eq!(position.at(), 2, "a step that failed moves nothing");
    }
}
