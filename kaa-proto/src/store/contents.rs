//! Reads a file of the log: what it holds, where a crash cut it off, whether it is damaged.

use super::entry::{self, Entry, Tags};
use super::header::{HEADER_LEN, Header};
use super::{Unusable, frame};

/// A file that can be used.
pub(super) struct Contents {
    pub(super) header: Header,
    /// With the time at which each was written.
    pub(super) entries: Vec<(u64, Entry)>,
    pub(super) tags: Tags,
    /// How often it has been loaded.
    pub(super) life: u64,
    /// Where its last whole frame ends.
    pub(super) end: u64,
    /// What comes after that.
    pub(super) torn: u64,
}

/// Reads a file.
///
/// What is bad at its end is a torn tail, unless it was synced once: that is damage. Whether it was
/// is known from the header, which says how long the file was when it got its name, and from later
/// frames, which say how much had been synced before them. Damage of the last commits alone, after
/// which nothing was written, cannot be told from a torn tail.
pub(super) fn read(file: &[u8]) -> Result<Contents, Unusable> {
    let header = Header::decode(file)?;
    let (mut entries, mut known) = (Vec::new(), Vec::new());
    let (mut at, mut life) = (HEADER_LEN, 0);
    while let Some(frame) = frame::decode(file, header.salt, at) {
        let opens = frame.records.is_empty();
        // Something stale of an earlier life, at a place where nothing has come yet in this one.
        if (opens && frame.stamp.life <= life) || (!opens && frame.stamp.life != life) {
            break;
        }
        let mut records = frame.records;
        while !records.is_empty() {
            let damaged = Unusable::Damaged { at: at as u64 };
            let entry = entry::take(&mut records, &mut known).ok_or(damaged)?;
            entries.push((frame.stamp.time, entry));
        }
        life = frame.stamp.life;
        at = frame.end;
    }
    let claims = frame::search(file, header.salt, at).map(|frame| frame.stamp.synced);
    let end = at as u64;
    if end < claims.fold(header.whole, u64::max) {
        return Err(Unusable::Damaged { at: end });
    }
    let mut tags = Tags::default();
    tags.learn(known);
    Ok(Contents {
        header,
        entries,
        tags,
        life,
        end,
        torn: file.len() as u64 - end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Record, Stored};
    use crate::request::RequestId;
    use crate::rng::Rng;
    use crate::store::EndpointTag;
    use crate::store::frame::Stamp;

    const SALT: [u8; 8] = [5; 8];

    /// A file of frames of one record each, which say these lives and synced lengths; a life of
    /// `None` opens the next one.
    fn file(frames: &[(Option<u64>, u64)]) -> Vec<u8> {
        let mut file = Header {
            whole: HEADER_LEN as u64,
            salt: SALT,
            key: [0; 32],
        }
        .encode();
        let (mut tags, mut opened) = (Tags::default(), 0);
        for (number, &(life, synced)) in frames.iter().enumerate() {
            opened += u64::from(life.is_none());
            let mut frame = frame::begin(Stamp {
                life: life.unwrap_or(opened),
                synced,
                time: 0,
            });
            if life.is_some() {
                let record = Record::Sent(RequestId::from_number(number as u64));
                let new = tags.put(&mut frame, &[(EndpointTag([0; 16]), Stored::from(record))]);
                tags.learn(new);
            }
            let at = file.len() as u64;
            file.extend(frame::seal(frame, SALT, at));
        }
        file
    }

    #[test]
    fn a_cut_anywhere_in_the_last_frame_is_a_torn_tail() {
        let whole = file(&[(Some(0), 64), (Some(0), 64)]);
        let first = file(&[(Some(0), 64)]).len();
        for len in first..whole.len() {
            let contents = read(&whole[..len]).unwrap();
            assert_eq!(contents.entries.len(), 1);
            assert_eq!(
                (contents.end, contents.torn),
                (first as u64, (len - first) as u64)
            );
        }
    }

    #[test]
    fn what_a_later_frame_says_was_synced_is_damaged() {
        let first = file(&[(Some(0), 64)]).len() as u64;
        let mut synced = file(&[(Some(0), 64), (Some(0), first)]);
        let mut not = file(&[(Some(0), 64), (Some(0), 64)]);
        for file in [&mut synced, &mut not] {
            file[80] ^= 1;
        }
        assert_eq!(read(&synced).err(), Some(Unusable::Damaged { at: 64 }));
        assert_eq!(read(&not).unwrap().entries.len(), 0);
    }

    #[test]
    fn a_file_shorter_than_it_was_when_it_got_its_name_is_damaged() {
        let mut header = Header::decode(&file(&[])).unwrap();
        header.whole = 70;
        let damaged = Some(Unusable::Damaged { at: 64 });
        assert_eq!(read(&header.encode()).err(), damaged);
    }

    #[test]
    fn a_stale_frame_of_an_earlier_life_is_a_torn_tail() {
        let contents = read(&file(&[
            (Some(0), 64),
            (None, 64),
            (Some(1), 64),
            (Some(0), 64),
        ]));
        let contents = contents.unwrap();
        assert_eq!((contents.entries.len(), contents.life), (2, 1));
        assert!(contents.torn > 0);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = file(&[(Some(0), 64), (None, 64), (Some(1), 150), (Some(1), 150)]);
        let mut rng = Rng::new(1);
        for _ in 0..100_000 {
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(2 * whole.len() as u64) as usize);
            let _ = read(&bytes);
        }
    }

    #[test]
    fn no_records_behind_a_good_checksum_make_it_panic() {
        let mut rng = Rng::new(2);
        for _ in 0..100_000 {
            let mut frame = frame::begin(Stamp {
                life: 0,
                synced: 0,
                time: 0,
            });
            for _ in 0..rng.below(40) {
                frame.push(rng.below(256) as u8 >> rng.below(8));
            }
            let bytes = [file(&[]), frame::seal(frame, SALT, 64)].concat();
            let _ = read(&bytes);
        }
    }
}
