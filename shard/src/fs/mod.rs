//! Files and directories, blocking. The data path gives a [`File`] to its ring
//! ([`crate::Core::write`]); everything else (opening, listing, small files, locks) happens here,
//! at start and stop or on a shard's helper thread.
//!
//! Invariant: what [`DataDir::replace`] put in place is found whole after a crash, either the
//! old bytes or the new ones.

mod dir;
mod file;

pub use dir::{DataDir, Entry, Lock, REPLACEMENT_SUFFIX, Space, Volume};
pub use file::{DirectAlignment, File, OpenMode, is_lost_write, pages_are_blocks};

use std::io::{self, Read};

/// Fills `bytes` from the system's random source.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests;
