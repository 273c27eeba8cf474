//! Memory that is free and still held, given back to the system: the one place of this crate with unsafe code.
//!
//! The C library keeps what a thread freed for the next thread that asks. After an install of a
//! hundred packages that is some 200 MB, which a daemon that waits needs no more.

/// Gives back all pages that nothing is in (`malloc_trim(3)`, of all threads since glibc 2.8). With another C library nothing is done.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "no safe function asks the C library for it")]
        // SAFETY: it may be called by any thread at any time, and touches no memory that is in use.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
