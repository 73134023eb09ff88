//! The unit that is kept wholly or not at all: what one append writes.
//!
//! ```text
//! mark 2 | length of the body 4 | CRC-32 4 | body: life, synced, time, records     little-endian
//! ```
//!
//! The checksum covers the salt of the file and the place of the frame in it as well. So a frame is
//! valid only where it was written, and a block of another file, or of another place, is never
//! taken for one.

use super::varint;

/// What stands before the body.
const HEAD: usize = 10;

/// Never part of UTF-8, so no payload holds it: a search for frames stops at few places.
const MARK: [u8; 2] = [0xff, 0xf5];

/// What each frame says besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// How often the file had been loaded when it was written.
    pub(super) life: u64,
    /// So many bytes of the file were known to be synced then.
    pub(super) synced: u64,
    /// When, by the wall clock, in milliseconds since 1970.
    pub(super) time: u64,
}

/// A frame in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) stamp: Stamp,
    pub(super) records: &'a [u8],
    /// The place after it.
    pub(super) end: usize,
}

/// Begins a frame; records are put after what it returns.
pub(super) fn begin(stamp: Stamp) -> Vec<u8> {
    let mut frame = vec![0; HEAD];
    varint::put(&mut frame, stamp.life);
    varint::put(&mut frame, stamp.synced);
    varint::put(&mut frame, stamp.time);
    frame
}

/// Ends a frame for this place in the file of this salt.
pub(super) fn seal(mut frame: Vec<u8>, salt: [u8; 8], at: u64) -> Vec<u8> {
    let body = frame.get(HEAD..).unwrap_or_default();
    // Below half a GiB, by the bounds of the options.
    let len = body.len() as u32;
    let crc = checksum(salt, at, body);
    let head = [&MARK[..], &len.to_le_bytes(), &crc.to_le_bytes()].concat();
    frame.splice(..HEAD, head);
    frame
}

/// The frame at this place, if there is a valid one.
pub(super) fn decode(file: &[u8], salt: [u8; 8], at: usize) -> Option<Frame<'_>> {
    let rest = file.get(at..)?.strip_prefix(&MARK)?;
    let (len, rest) = rest.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let body = rest.get(..len)?;
    if checksum(salt, at as u64, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut records = body;
    let mut number = || varint::take(&mut records);
    let stamp = Stamp {
        life: number()?,
        synced: number()?,
        time: number()?,
    };
    let end = at + HEAD + len;
    Some(Frame {
        stamp,
        records,
        end,
    })
}

/// All valid frames from this place on, wherever they begin.
pub(super) fn search(file: &[u8], salt: [u8; 8], from: usize) -> impl Iterator<Item = Frame<'_>> {
    (from..file.len()).filter_map(move |at| decode(file, salt, at))
}

fn checksum(salt: [u8; 8], at: u64, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt);
    crc.update(&at.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 8] = [3; 8];
    const STAMP: Stamp = Stamp {
        life: 1,
        synced: 300,
        time: 1_800_000_000_000,
    };

    fn frame(at: u64) -> Vec<u8> {
        let mut frame = begin(STAMP);
        frame.extend(b"records");
        seal(frame, SALT, at)
    }

    #[test]
    fn a_frame_comes_back() {
        let file = [b"before".to_vec(), frame(6), b"after".to_vec()].concat();
        let found = decode(&file, SALT, 6).unwrap();
        assert_eq!(found.stamp, STAMP);
        assert_eq!(found.records, b"records");
        assert_eq!(found.end, file.len() - 5);
        assert_eq!(search(&file, SALT, 0).collect::<Vec<_>>(), [found]);
    }

    #[test]
    fn a_frame_of_another_place_or_file_is_none() {
        assert_eq!(decode(&frame(6), SALT, 0), None);
        assert_eq!(decode(&frame(0), [4; 8], 0), None);
    }

    #[test]
    fn any_changed_bit_is_found_and_any_cut() {
        let whole = frame(0);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(decode(&changed, SALT, 0), None);
            }
            assert_eq!(decode(&whole[..at], SALT, 0), None);
        }
    }

    #[test]
    fn a_length_beyond_the_file_is_no_frame() {
        let mut bytes = frame(0);
        bytes[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&bytes, SALT, 0), None);
        assert_eq!(decode(&bytes, SALT, usize::MAX), None);
    }
}
