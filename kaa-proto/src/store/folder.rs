//! The files of a log, by name.
//!
//! ```text
//! log.12                 the log; the highest number counts
//! unfinished             what will be the next one
//! damaged-1.log.11       set aside
//! newer-1.log.11         set aside
//! ```
//!
//! A file gets its number when all of it is synced, so under a number it is always whole.

use super::{Disk, StoreError, Unusable};

const UNFINISHED: &str = "unfinished";

/// The name of a generation.
pub(super) fn name(generation: u64) -> String {
    format!("log.{generation}")
}

/// All generations there are, the highest first.
pub(super) fn generations(disk: &mut impl Disk) -> Result<Vec<u64>, StoreError> {
    let mut found: Vec<_> = disk.list()?.iter().filter_map(|n| number(n)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Writes what will be the next generation, and gives its number. After an error nothing has
/// happened.
pub(super) fn write(disk: &mut impl Disk, bytes: &[u8]) -> Result<u64, StoreError> {
    let generation = generations(disk)?.first().map_or(1, |last| last + 1);
    clear_unfinished(disk)?;
    let written = disk
        .append(UNFINISHED, bytes)
        .and_then(|()| disk.sync(UNFINISHED));
    if let Err(error) = written {
        // It takes room, perhaps the last there was. The next one that is written removes it too.
        let _ = clear_unfinished(disk);
        return Err(error);
    }
    Ok(generation)
}

/// Puts in force what was written. After an error it may be or not.
pub(super) fn publish(disk: &mut impl Disk, generation: u64) -> Result<(), StoreError> {
    disk.rename(UNFINISHED, &name(generation))?;
    disk.sync_names()?;
    remove_older(disk, generation)
}

/// Removes what is superseded. That must have happened before anything is added to this
/// generation: if it cannot be read, the one before is taken for the log, so either that is as good
/// or it is not there.
pub(super) fn remove_older(disk: &mut impl Disk, generation: u64) -> Result<(), StoreError> {
    let mut older = generations(disk)?;
    older.retain(|found| *found < generation);
    for generation in &older {
        disk.remove(&name(*generation))?;
    }
    match older.is_empty() {
        true => Ok(()),
        false => disk.sync_names(),
    }
}

/// Removes what a crash or a full medium left before it was in force. Some file systems give its
/// room back only when that is safe.
pub(super) fn clear_unfinished(disk: &mut impl Disk) -> Result<(), StoreError> {
    if disk.list()?.iter().any(|name| name == UNFINISHED) {
        disk.remove(UNFINISHED)?;
        disk.sync_names()?;
    }
    Ok(())
}

/// Gives a file that cannot be used a name that no other has.
pub(super) fn set_aside(
    disk: &mut impl Disk,
    generation: u64,
    reason: Unusable,
) -> Result<String, StoreError> {
    let kind = match reason {
        Unusable::Damaged { .. } => "damaged",
        Unusable::Newer { .. } => "newer",
    };
    let name = name(generation);
    let taken = disk.list()?;
    // As many names as there are files, and one more: one of them is free.
    let aside = (1..=taken.len() as u64 + 1)
        .map(|number| format!("{kind}-{number}.{name}"))
        .find(|aside| !taken.contains(aside))
        .unwrap_or_default();
    disk.rename(&name, &aside)?;
    // Before there is a new log, for which this one would be superseded.
    disk.sync_names()?;
    Ok(aside)
}

/// The names that files were given by [`set_aside`].
pub(super) fn aside(disk: &mut impl Disk) -> Result<Vec<String>, StoreError> {
    let is_aside = |name: &String| name.starts_with("damaged-") || name.starts_with("newer-");
    let mut names: Vec<_> = disk.list()?.into_iter().filter(is_aside).collect();
    names.sort_unstable();
    Ok(names)
}

/// The number of a generation, exactly as [`name`] writes it.
fn number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log.")?.parse().ok()?;
    (number < u64::MAX && self::name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_a_generation_is_one() {
        assert_eq!(number("log.12"), Some(12));
        for other in [
            "log",
            "log.",
            "log.+1",
            "log.01",
            "unfinished",
            "damaged-1.log.12",
        ] {
            assert_eq!(number(other), None);
        }
        assert_eq!(number("log.18446744073709551615"), None);
    }
}
