//! The first bytes of a file of the log.
//!
//! ```text
//! magic 8 | version 4 | whole 8 | salt 8 | key 32 | CRC-32 of these 4      little-endian
//! ```
//!
//! Magic and version stay where they are in every version.

use super::Unusable;

/// How long a header is.
pub(super) const HEADER_LEN: usize = 64;

/// What this code writes, and all that it reads. A new kind of record is a new version: an earlier
/// library takes for damage what it cannot read.
const VERSION: u32 = 1;

/// Not text, and spoiled by whatever changes line ends.
const MAGIC: [u8; 8] = *b"\x89KaaLg\r\n";

/// What a file says of itself.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// How long it was when it got its name. So much was synced then.
    pub(super) whole: u64,
    /// Unlike that of any other file, so that no frame of another one is taken for its own.
    pub(super) salt: [u8; 8],
    /// Of the tags; the same in all generations.
    pub(super) key: [u8; 32],
}

impl Header {
    /// The header as bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.whole.to_le_bytes());
        out.extend(self.salt);
        out.extend(self.key);
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Reads the header of a file.
    pub(super) fn decode(file: &[u8]) -> Result<Self, Unusable> {
        let damaged = Unusable::Damaged { at: 0 };
        let mut rest = file;
        if take(&mut rest) != Some(MAGIC) {
            return Err(damaged);
        }
        let version = take(&mut rest).map(u32::from_le_bytes).ok_or(damaged)?;
        if version > VERSION {
            return Err(Unusable::Newer { version });
        }
        let (Some(whole), Some(salt), Some(key)) = (
            take(&mut rest).map(u64::from_le_bytes),
            take(&mut rest),
            take(&mut rest),
        ) else {
            return Err(damaged);
        };
        let header = Self { whole, salt, key };
        match file.starts_with(&header.encode()) {
            true => Ok(header),
            false => Err(damaged),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        whole: 64,
        salt: [1; 8],
        key: [2; 32],
    };

    #[test]
    fn a_header_comes_back() {
        let bytes = HEADER.encode();
        assert_eq!(bytes.len(), HEADER_LEN);
        assert!(Header::decode(&bytes) == Ok(HEADER));
    }

    #[test]
    fn any_changed_bit_is_found_and_any_cut() {
        let bytes = HEADER.encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert!(Header::decode(&bytes).is_err());
            }
            assert!(Header::decode(&bytes[..at]).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_told_whatever_follows() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(7_u32.to_le_bytes());
        assert!(Header::decode(&bytes) == Err(Unusable::Newer { version: 7 }));
    }
}
