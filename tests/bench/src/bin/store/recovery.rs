//! How long it takes to open a store after a crash and to have in memory what it keeps.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use kaa_bench::spread::Spread;
use kaa_bench::work;
use kaa_bench::{Open, Outcome};

use super::peer::Peer;

/// Records of which a third are ends: so many were written.
const RECORDS: u64 = 1_000_000;

const ROUNDS: usize = 7;

/// Milliseconds for a million records, and bytes of the files.
pub(crate) struct Figures {
    pub(crate) milliseconds: Spread,
    pub(crate) size: u64,
    /// Requests that were open.
    pub(crate) open: usize,
}

/// All stores, in turns. Each time of a fresh copy, because what opens a store mends it; the copy is
/// in the cache of the operating system.
pub(crate) fn compare(folder: &Path) -> Outcome<[Figures; 3]> {
    for peer in Peer::ALL {
        let killed = folder.join(peer.name());
        let written = folder.join("written");
        let (mut outbox, _) = peer.create(&written)?;
        outbox.fill(&mut work::history(RECORDS, 64))?;
        // Before it is closed: so a kill would leave it.
        copy(&written, &killed)?;
        drop(outbox);
        fs::remove_dir_all(written)?;
    }
    let mut seconds = [const { Vec::new() }; 3];
    let mut size = [0; 3];
    let mut expected = None;
    for _ in 0..ROUNDS {
        for (place, peer) in Peer::ALL.into_iter().enumerate() {
            let again = folder.join("again");
            let bytes = copy(&folder.join(peer.name()), &again)?;
            let start = Instant::now();
            let open = peer.load(&again)?;
            let elapsed = start.elapsed().as_secs_f64();
            let found = digest(&open);
            if *expected.get_or_insert(found) != found {
                return Err(format!("{} has kept something else", peer.name()).into());
            }
            drop(open);
            fs::remove_dir_all(again)?;
            if let (Some(seconds), Some(size)) = (seconds.get_mut(place), size.get_mut(place)) {
                seconds.push(elapsed);
                *size = bytes;
            }
        }
    }
    let (open, _) = expected.unwrap_or_default();
    let millions = RECORDS as f64 / 1e6;
    let figures = |place: usize| -> Outcome<Figures> {
        let seconds = seconds.get(place).into_iter().flatten();
        Ok(Figures {
            milliseconds: Spread::of(seconds.map(|seconds| seconds * 1000.0 / millions))?,
            size: size.get(place).copied().unwrap_or_default(),
            open,
        })
    };
    Ok([figures(0)?, figures(1)?, figures(2)?])
}

/// Copies the files of a folder, and waits for the medium; the bytes of them.
fn copy(from: &Path, to: &Path) -> Outcome<u64> {
    fs::create_dir_all(to)?;
    let mut bytes = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        bytes += fs::copy(entry.path(), &to)?;
        File::open(to)?.sync_all()?;
    }
    Ok(bytes)
}

/// How many there are, and what tells one content from another.
fn digest(open: &Open) -> (usize, u64) {
    let texts = open.values().map(|stored| stored.record.to_json());
    let bytes = texts.flat_map(String::into_bytes);
    // FNV-1a.
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (open.len(), hash)
}
