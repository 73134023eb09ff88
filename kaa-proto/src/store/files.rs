//! A disk that is a folder of the file system.
//!
//! This is the only file of the crate that does I/O, and the only one that asks for the time.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place where the outside begins; the rest is handed what it needs"
)]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs4::{FileExt, TryLockError};

use super::{Disk, Log, LogOptions, StoreError};

/// A log in this folder, which is created if there is none; to be given to the client as its
/// store. The folder is for nothing else.
///
/// # Errors
/// [`StoreError::InUse`] if it is open already, here or in another process.
/// [`StoreError::Failed`] if it cannot be created or locked.
pub fn open(folder: impl Into<PathBuf>, options: LogOptions) -> Result<Log<Files>, StoreError> {
    Ok(Log::new(Files::open(folder)?, options))
}

/// A folder of the file system as a [`Disk`].
///
/// On Unix the folder is created for its owner only (0700), and so are the files (0600): they hold
/// payloads as they are. While this exists the file `lock` in it is locked, so that no other
/// process can use the folder; the operating system releases it when the process ends, however it
/// ends. That holds as far as the file system has such locks; some network file systems have not.
///
/// Names are synced on Unix. Elsewhere the system has no such call, and it is left to the journal
/// of its file system.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    /// Kept open, which keeps it locked.
    lock: File,
    /// The process that locked it.
    process: u32,
    /// The file that was written last, so that it is not opened for each append.
    current: Option<(String, File)>,
}

impl Files {
    /// Opens a folder, which is created if there is none.
    ///
    /// # Errors
    /// See [`open`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        create_folder(&folder).map_err(failed)?;
        let lock = writable(&folder.join("lock"), true)?;
        match FileExt::try_lock(&lock) {
            Ok(()) => Ok(Self {
                folder,
                lock,
                process: std::process::id(),
                current: None,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn current(&mut self, name: &str, create: bool) -> Result<&mut File, StoreError> {
        let file = match self.current.take() {
            Some((open, file)) if open == name => file,
            _ => writable(&self.path(name), create)?,
        };
        let (_, file) = self.current.insert((name.to_owned(), file));
        Ok(file)
    }

    fn close(&mut self, name: &str) {
        if self.current.as_ref().is_some_and(|(open, _)| open == name) {
            self.current = None;
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A child of this process has the same lock until it runs another program, and must neither
        // keep it nor end it.
        if self.process == std::process::id() {
            let _ = FileExt::unlock(&self.lock);
        }
    }
}

impl Disk for Files {
    fn list(&mut self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            // A name that is no text is none of the log's.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        fs::read(self.path(name)).map_err(unread)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.current(name, true)?;
        file.write_all(bytes).map_err(failed)
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError> {
        let file = self.current(name, false)?;
        file.set_len(len).map_err(failed)
    }

    /// The length belongs to what is synced; the times of the file do not, which spares a write.
    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        let file = self.current(name, false)?;
        file.sync_data().map_err(failed)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.close(to);
        // Not every system renames a file that is open.
        self.close(from);
        fs::rename(self.path(from), self.path(to)).map_err(failed)
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.close(name);
        fs::remove_file(self.path(name)).map_err(failed)
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        sync_folder(&self.folder).map_err(failed)
    }

    fn wall_clock(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        getrandom::fill(bytes).map_err(|error| StoreError::Failed(error.to_string()))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn failed(error: io::Error) -> StoreError {
    let full = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
    ];
    match full.contains(&error.kind()) {
        true => StoreError::MediumFull,
        // The methods of `std::fs` do not say the path.
        false => StoreError::Failed(error.to_string()),
    }
}

/// What reading has failed with: worn flash answers with an error instead of wrong bytes, for ever.
fn unread(error: io::Error) -> StoreError {
    // EIO, EBADMSG and EUCLEAN of Linux; ERROR_CRC, ERROR_READ_FAULT and ERROR_IO_DEVICE.
    const LOST: [i32; 3] = if cfg!(unix) {
        [5, 74, 117]
    } else {
        [23, 30, 1117]
    };
    match error
        .raw_os_error()
        .is_some_and(|code| LOST.contains(&code))
    {
        true => StoreError::Unreadable(error.to_string()),
        false => failed(error),
    }
}

/// Opens a file to append to.
fn writable(path: &Path, create: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.append(true).create(create);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)
}

/// Creates a folder and those above it, so that it survives a power cut.
fn create_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|path| !path.exists())
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    for parent in missing.iter().filter_map(|path| path.parent()) {
        let here = parent.as_os_str().is_empty();
        sync_folder(if here { Path::new(".") } else { parent })?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_the_medium_has_lost_is_told_from_what_may_be_read_later() {
        let [lost, no_more_files] = [5, 24].map(io::Error::from_raw_os_error);
        let text = lost.to_string();
        assert_eq!(unread(lost), StoreError::Unreadable(text));
        assert!(matches!(unread(no_more_files), StoreError::Failed(_)));
    }

    #[test]
    fn a_medium_that_is_full_is_told_from_one_that_fails() {
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::FileTooLarge,
        ] {
            assert_eq!(failed(kind.into()), StoreError::MediumFull);
        }
        let text = io::Error::from(ErrorKind::PermissionDenied).to_string();
        assert_eq!(
            failed(ErrorKind::PermissionDenied.into()),
            StoreError::Failed(text)
        );
    }

    /// Leases, expiry and age over a restart are counted by it.
    #[test]
    fn the_wall_clock_is_that_of_the_system() {
        let folder = std::env::temp_dir().join(format!("kaa-wall-clock-{}", std::process::id()));
        let files = Files::open(&folder).unwrap();
        let in_2020 = Duration::from_secs(1_577_836_800);
        assert!(files.wall_clock() > in_2020);
        drop(files);
        fs::remove_dir_all(&folder).unwrap();
    }
}
