//! Counters of the operating system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kaa_bench::Outcome;

/// What the process has written so far, by the count of the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Bytes that it handed to the operating system; not what it wrote through a mapped file.
    pub(crate) handed: u64,
    /// Bytes of the pages that are to go to the medium for it, each time a clean one becomes dirty.
    pub(crate) to_medium: u64,
}

impl Written {
    pub(crate) fn now() -> Outcome<Self> {
        let text = fs::read_to_string("/proc/self/io")?;
        let value = |name: &str| -> Outcome<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            Ok(line.ok_or("/proc/self/io is incomplete")?.trim().parse()?)
        };
        Ok(Self {
            handed: value("wchar:")?,
            to_medium: value("write_bytes:")?,
        })
    }
}

/// Bytes that were written to the device of this folder so far, by whomever: the journal of the file
/// system is in it, and all that other programs do. `None` if there is no such device.
pub(crate) fn written_to_device(folder: &Path) -> Option<u64> {
    let device = MetadataExt::dev(&fs::metadata(folder).ok()?);
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    // Sectors are of 512 bytes here, whatever the device has.
    let sectors: u64 = text.split_ascii_whitespace().nth(6)?.parse().ok()?;
    Some(512 * sectors)
}
