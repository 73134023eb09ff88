//! What the log needs of a medium.

use std::time::Duration;

use super::StoreError;

/// A medium for a [`Log`](super::Log): flat files in one folder, a clock and entropy.
///
/// It belongs to one log at a time, so nothing else changes its files.
///
/// # What is assumed of it
///
/// * What a method has done is seen by every later one, until a crash.
/// * The end of the process alone loses nothing of what a method that returned `Ok` has done.
/// * A power cut may lose any part of what was appended or cut off since the last
///   [`sync`](Self::sync) of that file, in any order: the end may be missing, a block in the middle
///   may hold zeros or something stale while a later one is there. What was synced stays.
/// * A new file, a [`rename`](Self::rename) and a [`remove`](Self::remove) each happen wholly or not
///   at all. Until [`sync_names`](Self::sync_names) a power cut may undo any of them, in any order;
///   the synced content of a file goes with whatever name it is left.
/// * After a `sync` that failed, what it was to write may be lost although later ones succeed. The
///   log never relies on that file again.
pub trait Disk: Send {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// [`StoreError`] if the medium fails; so for all methods.
    fn list(&mut self) -> Result<Vec<String>, StoreError>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if the medium has lost them: the log sets the file aside, and begins
    /// anew. Any other, also if there is no such file, is tried again by the next start.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, StoreError>;

    /// Adds bytes at the end of a file, which is created if there is none, and hands them to the
    /// operating system.
    ///
    /// # Errors
    /// [`StoreError::MediumFull`] if there is no room. After any error a part may have been added.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Cuts a file to its first `len` bytes.
    ///
    /// # Errors
    /// If there is no such file, too.
    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError>;

    /// Makes the content of a file survive a power cut.
    ///
    /// # Errors
    /// After one it is unknown what of it does.
    fn sync(&mut self, name: &str) -> Result<(), StoreError>;

    /// Gives a file another name, which no other has.
    ///
    /// # Errors
    /// If there is no such file, too.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Removes a file.
    ///
    /// # Errors
    /// If there is no such file, too.
    fn remove(&mut self, name: &str) -> Result<(), StoreError>;

    /// Makes the names of all files survive a power cut.
    ///
    /// # Errors
    /// After one it is unknown which do.
    fn sync_names(&mut self) -> Result<(), StoreError>;

    /// The time since 1970 by the wall clock.
    fn wall_clock(&self) -> Duration;

    /// Fills `bytes` with what nobody can guess.
    ///
    /// # Errors
    /// If there is no entropy.
    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), StoreError>;
}
