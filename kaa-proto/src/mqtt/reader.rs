//! Finds packets in bytes that come in arbitrary pieces.
//!
//! A packet that lies whole in the input is handed out in place; only what is split over two
//! inputs is buffered, and the buffer is given back as soon as its packet was handled. No byte is
//! looked at twice. What cannot become a valid packet is refused by its first bytes, before
//! anything is buffered.
//!
//! ```text
//!  Type ──► Length ──► Body ──► (packet) ──► Type
//!              │
//!              └─► LargeTopic ──► LargeHeader ──► LargePayload ──► (large publish) ──► Type
//! ```

use super::packet::{Accepts, PacketType};
use super::publish::read_publish;
use super::violation::Violation;

/// One direction of one link.
#[derive(Clone)]
pub(super) struct Reader {
    /// Where in a packet the next byte belongs.
    stage: Stage,
    /// The part of the packet that came in earlier inputs, fixed header not included.
    partial: Vec<u8>,
    /// What the peer may send now.
    accepts: Accepts,
    /// The largest packet in bytes, fixed header included.
    limit: usize,
}

/// Where in a packet the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// At its start. Exits: `Length`.
    Type,
    /// In the remaining length, of which `digits` bytes gave `length`. Exits: `Body`, or
    /// `LargeTopic` for a PUBLISH over the limit.
    Length {
        packet: PacketType,
        first: u8,
        length: usize,
        digits: u8,
    },
    /// In the rest of a packet. Exits: `Type` with the packet.
    Body { head: Head },
    /// In the topic's length of a PUBLISH over the limit. Exits: `LargeHeader`.
    LargeTopic { head: Head },
    /// In its variable header, which has `needed` bytes. Exits: `LargePayload`.
    LargeHeader { head: Head, needed: usize },
    /// In its payload, of which `left` bytes are to be skipped. Exits: `Type` with what is known.
    LargePayload { head: Head, left: usize },
}

/// What the fixed header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Judged to be acceptable, as its flags are.
    pub(super) packet: PacketType,
    /// The first byte.
    pub(super) first: u8,
    /// The remaining length in bytes.
    length: usize,
    /// The size of the whole packet in bytes.
    pub(super) size: usize,
}

/// A packet that was found. [`Reader::content`] has its bytes.
#[derive(Debug)]
pub(super) struct Frame<'i> {
    /// What the fixed header says.
    pub(super) head: Head,
    /// Where the rest is.
    place: Place<'i>,
}

/// Where the bytes behind the fixed header are.
#[derive(Debug)]
enum Place<'i> {
    /// Whole in the input.
    Input(&'i [u8]),
    /// Whole in the buffer.
    Buffer,
    /// A PUBLISH over the limit: its variable header in the buffer, its payload nowhere.
    Skipped,
}

impl Frame<'_> {
    /// Whether this is a PUBLISH over the limit, whose payload was skipped.
    pub(super) const fn is_oversize(&self) -> bool {
        matches!(self.place, Place::Skipped)
    }
}

impl Reader {
    /// `limit` is the largest packet in bytes, fixed header included.
    pub(super) const fn new(accepts: Accepts, limit: usize) -> Self {
        Self {
            stage: Stage::Type,
            partial: Vec::new(),
            accepts,
            limit,
        }
    }

    /// What the packet takes that has not come whole, in bytes.
    #[cfg(feature = "platform")]
    pub(super) fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Says what the peer may send from now on.
    pub(super) const fn accept(&mut self, accepts: Accepts) {
        self.accepts = accepts;
    }

    /// Takes the next packet off the front of `input`; `None` when all of it is used up. The
    /// packet of the call before is gone. After an error the reader must not be used again.
    pub(super) fn next<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'i>>, Violation> {
        match self.next_short(input) {
            Some(frame) => Ok(Some(frame)),
            None => self.next_of_any_kind(input),
        }
    }

    /// The next packet if it is a good and a short one and lies whole in the input, as most do.
    #[inline]
    fn next_short<'i>(&mut self, input: &mut &'i [u8]) -> Option<Frame<'i>> {
        let (Stage::Type, &[first, length @ 0..0x80, ref rest @ ..]) = (self.stage, *input) else {
            return None;
        };
        let length = usize::from(length);
        let (body, rest) = rest.split_at_checked(length)?;
        let packet = self.accepts.find(first)?;
        if length + 2 > self.limit || !packet.allows_length(first, length) {
            return None;
        }
        self.forget();
        *input = rest;
        let head = Head {
            packet,
            first,
            length,
            size: 2 + length,
        };
        let place = Place::Input(body);
        Some(Frame { head, place })
    }

    /// Gives the buffer of the packet before back.
    #[inline]
    fn forget(&mut self) {
        if self.partial.capacity() > 0 {
            self.partial = Vec::new();
        }
    }

    fn next_of_any_kind<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'i>>, Violation> {
        loop {
            match self.stage {
                Stage::Type => {
                    self.forget();
                    let Some(first) = take_byte(input) else {
                        return Ok(None);
                    };
                    let packet = self.accepts.judge(first)?;
                    self.stage = self.read_length(packet, first, 0, 0, input)?;
                }
                Stage::Length {
                    packet,
                    first,
                    length,
                    digits,
                } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.stage = self.read_length(packet, first, length, digits, input)?;
                }
                Stage::Body { head } => {
                    let whole = input.split_at_checked(head.length);
                    if let (Some((body, rest)), true) = (whole, self.partial.is_empty()) {
                        *input = rest;
                        self.stage = Stage::Type;
                        let place = Place::Input(body);
                        return Ok(Some(Frame { head, place }));
                    }
                    if !self.buffer(input, head.length) {
                        return Ok(None);
                    }
                    self.stage = Stage::Type;
                    let place = Place::Buffer;
                    return Ok(Some(Frame { head, place }));
                }
                Stage::LargeTopic { head } => {
                    if !self.buffer(input, 2) {
                        return Ok(None);
                    }
                    self.stage = self.judge_topic_length(head)?;
                }
                Stage::LargeHeader { head, needed } => {
                    if !self.buffer(input, needed) {
                        return Ok(None);
                    }
                    // A malformed one is refused before its payload is waited for.
                    read_publish(head.first, &self.partial)?;
                    let left = head.length - needed;
                    self.stage = Stage::LargePayload { head, left };
                }
                Stage::LargePayload { head, left } => {
                    let Some(rest) = input.get(left..) else {
                        let left = left - input.len();
                        *input = &[];
                        self.stage = Stage::LargePayload { head, left };
                        return Ok(None);
                    };
                    *input = rest;
                    self.stage = Stage::Type;
                    let place = Place::Skipped;
                    return Ok(Some(Frame { head, place }));
                }
            }
        }
    }

    /// The bytes of `frame` behind the fixed header; of an oversize PUBLISH all but the payload.
    pub(super) fn content<'a>(&'a self, frame: &Frame<'a>) -> &'a [u8] {
        match frame.place {
            Place::Input(body) => body,
            Place::Buffer | Place::Skipped => &self.partial,
        }
    }

    /// Reads on in the remaining length, of which `digits` bytes gave `length`.
    fn read_length(
        &self,
        packet: PacketType,
        first: u8,
        mut length: usize,
        mut digits: u8,
        input: &mut &[u8],
    ) -> Result<Stage, Violation> {
        while let Some(byte) = take_byte(input) {
            length |= usize::from(byte & 0x7f) << (7 * digits);
            digits += 1;
            if byte < 0x80 {
                return self.judge_length(packet, first, length, digits);
            }
            if digits == 4 {
                return Err(Violation::RemainingLength);
            }
        }
        Ok(Stage::Length {
            packet,
            first,
            length,
            digits,
        })
    }

    /// Judges the remaining length, which was sent in `digits` bytes.
    fn judge_length(
        &self,
        packet: PacketType,
        first: u8,
        length: usize,
        digits: u8,
    ) -> Result<Stage, Violation> {
        if !packet.allows_length(first, length) {
            return Err(Violation::Length { packet, length });
        }
        let head = Head {
            packet,
            first,
            length,
            size: 1 + usize::from(digits) + length,
        };
        if head.size <= self.limit {
            Ok(Stage::Body { head })
        } else if packet == PacketType::Publish {
            Ok(Stage::LargeTopic { head })
        } else {
            Err(self.too_large(head))
        }
    }

    /// Judges the topic's length of a PUBLISH over the limit, which is in the buffer.
    fn judge_topic_length(&self, head: Head) -> Result<Stage, Violation> {
        let topic = match self.partial.first_chunk() {
            Some(bytes) => usize::from(u16::from_be_bytes(*bytes)),
            None => 0,
        };
        let id = if head.first & 0b0110 == 0 { 0 } else { 2 };
        let needed = 2 + topic + id;
        if needed > head.length {
            return Err(Violation::Length {
                packet: head.packet,
                length: head.length,
            });
        }
        if needed > self.limit {
            return Err(self.too_large(head));
        }
        Ok(Stage::LargeHeader { head, needed })
    }

    const fn too_large(&self, head: Head) -> Violation {
        Violation::TooLarge {
            packet: head.packet,
            size: head.size,
            limit: self.limit,
        }
    }

    /// Moves input into the buffer until it holds `length` bytes; whether it does. The buffer
    /// grows with what has come, not with what was announced, and not beyond it.
    fn buffer(&mut self, input: &mut &[u8], length: usize) -> bool {
        let missing = length.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        if self.partial.capacity() - self.partial.len() < taken.len() {
            let twice = self.partial.len().max(taken.len());
            self.partial.reserve_exact(twice.min(missing));
        }
        self.partial.extend_from_slice(taken);
        *input = rest;
        taken.len() == missing
    }
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::publish::write_length;

    fn reader() -> Reader {
        Reader::new(Accepts::FROM_SERVER, 1_000)
    }

    /// Feeds one piece that holds at most one packet; whether it completed one.
    fn feed(reader: &mut Reader, mut piece: &[u8]) -> bool {
        let found = reader.next(&mut piece).unwrap();
        assert!(piece.is_empty());
        found.is_some()
    }

    #[test]
    fn a_whole_packet_is_handed_out_where_it_lies() {
        let input = b"\x30\x05\x00\x01ahi\xd0\x00".to_vec();
        let (mut reader, mut rest) = (reader(), &input[..]);
        let frame = reader.next(&mut rest).unwrap().unwrap();
        assert_eq!(reader.content(&frame).as_ptr(), input[2..].as_ptr());
        assert_eq!(frame.head.size, 7);
        assert!(reader.next(&mut rest).unwrap().is_some());
        assert_eq!(reader.partial.capacity(), 0);
    }

    #[test]
    fn a_packet_is_judged_alike_whole_and_in_pieces() {
        let found = |reader: &Reader, frame: &Frame<'_>| {
            let content = reader.content(frame).to_vec();
            (frame.head, frame.is_oversize(), content)
        };
        for accepts in [Accepts::CONNACK, Accepts::FROM_SERVER] {
            for (first, length) in (0..=255).flat_map(|first| (0..0x80).map(move |l| (first, l))) {
                let mut packet = vec![first, length];
                packet.resize(usize::from(length) + 2, 0);
                let mut reader = Reader::new(accepts, 64);
                let whole = reader.next(&mut &packet[..]);
                let whole = whole.map(|frame| frame.map(|frame| found(&reader, &frame)));
                let mut reader = Reader::new(accepts, 64);
                let pieces = packet.iter().find_map(|byte| {
                    let frame = reader.next(&mut std::slice::from_ref(byte)).transpose()?;
                    Some(frame.map(|frame| found(&reader, &frame)))
                });
                assert_eq!(whole, pieces.transpose(), "{first:#x}, {length} bytes");
            }
        }
    }

    #[test]
    fn the_buffer_grows_with_what_has_come_and_not_beyond_what_was_announced() {
        let mut reader = reader();
        assert!(!feed(&mut reader, b"\x30\xde\x07"));
        let mut come = 0;
        for piece in (1..=9).cycle().take(9 * 22) {
            come += piece;
            let is_whole = feed(&mut reader, &[0; 9][..piece]);
            assert_eq!(is_whole, come == 990);
            assert!(reader.partial.capacity() <= 990.min(2 * come));
        }
        assert_eq!(reader.partial.capacity(), 990);
    }

    #[test]
    fn the_buffer_exists_only_while_a_packet_is_incomplete() {
        let mut reader = reader();
        assert!(!feed(&mut reader, b"\x30\x05"));
        assert_eq!(reader.partial.capacity(), 0);
        assert!(!feed(&mut reader, b"\x00\x01a"));
        assert!(reader.partial.capacity() > 0);
        assert!(feed(&mut reader, b"hi"));
        assert_eq!(reader.partial, b"\x00\x01ahi");
        assert!(!feed(&mut reader, b""));
        assert_eq!(reader.partial.capacity(), 0);
    }

    /// Neither an announced length nor a skipped payload costs memory.
    #[test]
    fn memory_is_bounded_by_the_limit_whatever_is_announced() {
        let mut reader = reader();
        assert!(!feed(&mut reader, b"\x30\xe5\x07\x00"));
        assert!(reader.partial.capacity() < 100);
        let mut reader = self::reader();
        // 2,097,151 bytes, of which the topic takes 502.
        assert!(!feed(&mut reader, b"\x30\xff\xff\x7f\x01\xf4"));
        assert!(!feed(&mut reader, &[b'a'; 500]));
        let payload = [0; 1_024];
        let mut left = 2_097_151 - 502;
        while left > payload.len() {
            assert!(!feed(&mut reader, &payload));
            left -= payload.len();
        }
        assert!(reader.partial.capacity() <= 1_024);
        assert!(feed(&mut reader, &payload[..left]));
        assert_eq!(reader.partial.len(), 502);
    }

    #[test]
    fn a_topic_may_fill_a_message_over_the_limit_and_take_all_of_the_limit() {
        let publish = |length: usize| {
            let mut packet = vec![0x30];
            write_length(&mut packet, length);
            packet.extend(((length - 2) as u16).to_be_bytes());
            packet.extend(vec![b'a'; length - 2]);
            packet
        };
        for length in [998, 1_000] {
            let (mut reader, packet) = (reader(), publish(length));
            let frame = reader.next(&mut &packet[..]).unwrap().unwrap();
            assert!(frame.is_oversize() && frame.head.size == length + 3);
            assert_eq!(reader.content(&frame).len(), length);
        }
        let refused = reader().next(&mut &publish(1_001)[..]).unwrap_err();
        assert!(matches!(refused, Violation::TooLarge { size: 1_004, .. }));
    }
}
