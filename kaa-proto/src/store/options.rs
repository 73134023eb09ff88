//! What can be set for a log, and why the defaults are what they are.

use std::fmt;
use std::time::Duration;

/// How a [`Log`](super::Log) behaves.
///
/// ```
/// use kaa_proto::store::{InvalidLogOptions, LogOptions};
///
/// let options = LogOptions::default().max_bytes(1024 * 1024)?;
/// assert_eq!(options.max_bytes(0).err(), Some(InvalidLogOptions::MaxBytes));
/// # Ok::<(), InvalidLogOptions>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    max_bytes: u64,
    max_age: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            max_bytes: 16 * 1024 * 1024,
            max_age: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl LogOptions {
    /// How many bytes the log may take on its medium. 64 KiB to 1 GiB, default 16 MiB: room for
    /// some ten thousand requests that wait, on the flash of a small device.
    ///
    /// Each of its files may take half of it, because during a compaction there are two; what does
    /// not fit is refused as [`Full`](super::StoreError::Full). What was set aside is not counted:
    /// the log never removes that.
    ///
    /// # Errors
    /// [`InvalidLogOptions::MaxBytes`] outside these bounds.
    pub const fn max_bytes(mut self, bytes: u64) -> Result<Self, InvalidLogOptions> {
        if bytes < 64 * 1024 || bytes > 1024 * 1024 * 1024 {
            return Err(InvalidLogOptions::MaxBytes);
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// How old the latest record may be of an endpoint that the program does not add. 1 hour to 100
    /// years, default 30 days: one that was not used for so long is taken for one that was given up,
    /// and would be kept for ever.
    ///
    /// Nothing is left out at the start: who adds an endpoint finds all that is known of it, however
    /// old. When a program has run for a day and not asked for an endpoint *all* of whose records are
    /// older, the next compaction drops it. The day is not counted by the wall clock, which may be
    /// wrong. How long a request may wait is its own matter
    /// ([`expires_after`](crate::request::RequestExt::expires_after)).
    ///
    /// # Errors
    /// [`InvalidLogOptions::MaxAge`] outside these bounds.
    pub const fn max_age(mut self, age: Duration) -> Result<Self, InvalidLogOptions> {
        const HOUR: u64 = 60 * 60;
        if age.as_secs() < HOUR || age.as_secs() > 100 * 366 * 24 * HOUR {
            return Err(InvalidLogOptions::MaxAge);
        }
        self.max_age = age;
        Ok(self)
    }

    /// The bound of one file.
    pub(super) const fn max_file(&self) -> u64 {
        self.max_bytes / 2
    }

    /// See [`max_age`](Self::max_age).
    pub(super) const fn oldest(&self) -> Duration {
        self.max_age
    }
}

/// An option outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidLogOptions {
    /// See [`LogOptions::max_bytes`].
    MaxBytes,
    /// See [`LogOptions::max_age`].
    MaxAge,
}

impl fmt::Display for InvalidLogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxBytes => "a log takes 64 KiB to 1 GiB",
            Self::MaxAge => "records are kept 1 hour to 100 years",
        })
    }
}

impl std::error::Error for InvalidLogOptions {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_taken_whole_and_beyond_them_the_option_is_named() {
        let hour = Duration::from_secs(3_600);
        let century = hour * 24 * 366 * 100;
        for bytes in [64 << 10, 1 << 30] {
            let options = LogOptions::default().max_bytes(bytes).unwrap();
            assert_eq!(options.max_file(), bytes / 2);
        }
        for age in [hour, century] {
            let options = LogOptions::default().max_age(age).unwrap();
            assert_eq!(options.oldest(), age);
        }
        for bytes in [0, (64 << 10) - 1, (1 << 30) + 1] {
            let error = LogOptions::default().max_bytes(bytes).unwrap_err();
            assert_eq!(error.to_string(), "a log takes 64 KiB to 1 GiB");
        }
        for age in [
            hour - Duration::from_nanos(1),
            century + Duration::from_secs(1),
        ] {
            let error = LogOptions::default().max_age(age).unwrap_err();
            assert_eq!(error.to_string(), "records are kept 1 hour to 100 years");
        }
    }
}
