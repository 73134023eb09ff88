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
}

impl<'a> Levels<'a> {
    pub(super) const fn of(topic: &'a str) -> Self {
        Self { topic, at: 0 }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest()?;
        let level = match rest.bytes().position(|byte| byte == b'/') {
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
}

/// The place of the first empty level.
pub(super) fn first_empty(levels: &str) -> Option<usize> {
    let (mut before, mut place) = (b'/', 0);
    for byte in levels.bytes() {
        if byte == b'/' {
            if before == b'/' {
                return Some(place);
            }
            place += 1;
        }
        before = byte;
    }
    (before == b'/').then_some(place)
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
