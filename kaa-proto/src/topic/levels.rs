//! The levels of a topic and the ID among them, read and written byte by byte: levels are short, and
//! to begin a search costs more than they do.

use super::MAX_PARSED_ID;

/// Most digits of an ID.
pub(super) const MAX_DIGITS: usize = 10;

/// The levels of a topic, one after the other.
pub(super) struct Levels<'a> {
    topic: &'a str,
    /// Where the next one begins; behind the end when there is none.
    at: usize,
    /// Where the slashes are, the first byte at the lowest bit, in a topic of so many bytes at most.
    slashes: Option<u128>,
}

impl<'a> Levels<'a> {
    pub(super) fn of(topic: &'a str) -> Self {
        let is_short = topic.len() <= u128::BITS as usize;
        Self {
            topic,
            at: 0,
            slashes: is_short.then(|| slashes(topic.as_bytes())),
        }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest()?;
        let end = match self.slashes {
            Some(slashes) => {
                // At most 128, which is shifted out.
                let ahead = slashes.checked_shr(self.at as u32).unwrap_or(0);
                (ahead != 0).then(|| ahead.trailing_zeros() as usize)
            }
            None => rest.bytes().position(|byte| byte == b'/'),
        };
        let level = match end {
            Some(end) => rest.get(..end)?,
            None => rest,
        };
        self.at += level.len() + 1;
        Some(level)
    }

    /// All that is left of the topic; `None` if there is no level.
    pub(super) fn rest(&self) -> Option<&'a str> {
        self.topic.get(self.at..)
    }

    /// The place of the first empty level among those that are left.
    pub(super) fn first_empty(&self) -> Option<usize> {
        let rest = self.rest()?;
        let may_be = self.slashes.is_none_or(|slashes| {
            let side_by_side = slashes & slashes >> 1;
            let ahead = side_by_side.checked_shr(self.at as u32 - 1).unwrap_or(0);
            ahead != 0 || rest.is_empty() || rest.ends_with('/')
        });
        let empty = || rest.split('/').position(str::is_empty);
        may_be.then(empty).flatten()
    }
}

/// Where the slashes are in at most 128 bytes.
fn slashes(bytes: &[u8]) -> u128 {
    let mut words = bytes.chunks_exact(8);
    let (mut slashes, mut at) = (0, 0);
    for word in words.by_ref() {
        if let Some(word) = word.first_chunk() {
            slashes |= u128::from(slashes_of_word(u64::from_le_bytes(*word))) << at;
        }
        at += 8;
    }
    for byte in words.remainder() {
        slashes |= u128::from(*byte == b'/') << at;
        at += 1;
    }
    slashes
}

/// The same for eight bytes at once: which of them become zero.
const fn slashes_of_word(word: u64) -> u64 {
    const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let word = word ^ 0x2f2f_2f2f_2f2f_2f2f;
    let zeros = !(((word & SEVEN) + SEVEN) | word | SEVEN);
    // Gathers the highest bits of all bytes in the highest byte.
    (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// What stands before the last level, and the last level.
pub(super) fn split_last(resource: &str) -> (&str, &str) {
    let slash = resource.bytes().rposition(|byte| byte == b'/');
    let split = slash.and_then(|at| Some((resource.get(..at)?, resource.get(at + 1..)?)));
    split.unwrap_or(("", resource))
}

/// Decimal digits without sign or leading zero, up to [`MAX_PARSED_ID`].
pub(super) fn parse_id(level: &str) -> Option<u32> {
    let digits = level.as_bytes();
    let is_canonical = digits.first() != Some(&b'0') || digits.len() == 1;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !is_canonical {
        return None;
    }
    let mut id = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        id = id * 10 + u64::from(digit);
    }
    u32::try_from(id).ok().filter(|&id| id <= MAX_PARSED_ID)
}

/// A slash and the digits of an ID, in a buffer of slashes.
pub(super) fn write_id(mut id: u32, buffer: &mut [u8; MAX_DIGITS + 1]) -> &str {
    let mut at = buffer.len();
    for digit in buffer.iter_mut().skip(1).rev() {
        *digit = b'0' + (id % 10) as u8;
        id /= 10;
        at -= 1;
        if id == 0 {
            break;
        }
    }
    let text = buffer.get(at - 1..).unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short topics are looked at eight bytes at a time, long ones byte by byte.
    #[test]
    fn levels_are_those_between_the_slashes_whatever_the_length() {
        let mut rng = crate::rng::Rng::new(1);
        for _ in 0..20_000 {
            let len = rng.below(150);
            let letters = ['/', '/', 'a', '.', 'o', '\u{af}', '0'];
            let topic: String = (0..len)
                .map(|_| letters[rng.below(letters.len() as u64) as usize])
                .collect();
            let mut levels = Levels::of(&topic);
            let mut expected = topic.split('/');
            for _ in 0..4 {
                assert_eq!(levels.next(), expected.next(), "{topic}");
            }
            let rest: Vec<_> = expected.collect();
            let text = (!rest.is_empty()).then(|| rest.join("/"));
            assert_eq!(levels.rest(), text.as_deref(), "{topic}");
            let empty = rest.iter().position(|level| level.is_empty());
            assert_eq!(levels.first_empty(), empty, "{topic}");
        }
    }

    #[test]
    fn ids_are_written_and_read_back() {
        let ids = (0..200).chain([999, 1_000, MAX_PARSED_ID, u32::MAX]);
        for id in ids {
            let mut buffer = [b'/'; MAX_DIGITS + 1];
            let text = write_id(id, &mut buffer).to_owned();
            assert_eq!(text, format!("/{id}"));
            let read = parse_id(&text[1..]);
            assert_eq!(read, Some(id).filter(|id| *id <= MAX_PARSED_ID));
        }
        for bad in ["", "01", "+1", "-1", "1a", "2147483648", "99999999999", "/"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }
}
