//! The records within a frame.
//!
//! ```text
//! endpoint | tag 16, where the endpoint is new | age in ms | length | JSON
//! ```
//!
//! An endpoint is the number of its tag, in the order in which they first occur in the file.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EndpointTag, varint};
use crate::endpoint::{Record, Stored};

/// The tags that a file has named so far, and their numbers.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<EndpointTag, u64>);

impl Tags {
    /// Writes records. The result are the tags that became known by it: they are to be
    /// [learnt](Self::learn) when the frame is in the file.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        records: &[(EndpointTag, Stored)],
    ) -> Vec<EndpointTag> {
        let mut new = Self::default();
        let mut order = Vec::new();
        for (tag, stored) in records {
            let next = (self.0.len() + new.0.len()) as u64;
            match self.0.get(tag).or_else(|| new.0.get(tag)) {
                Some(&number) => varint::put(out, number),
                None => {
                    varint::put(out, next);
                    out.extend(tag.0);
                    new.0.insert(*tag, next);
                    order.push(*tag);
                }
            }
            varint::put(out, millis(stored.age));
            let json = stored.record.to_json();
            varint::put(out, json.len() as u64);
            out.extend(json.as_bytes());
        }
        order
    }

    /// Takes up tags, in the order in which the file names them.
    pub(super) fn learn(&mut self, tags: impl IntoIterator<Item = EndpointTag>) {
        for tag in tags {
            let next = self.0.len() as u64;
            self.0.entry(tag).or_insert(next);
        }
    }
}

/// A record as it was written.
pub(super) struct Entry {
    pub(super) tag: EndpointTag,
    /// Its age when it was written, in milliseconds.
    pub(super) age: u64,
    pub(super) record: Record,
}

/// Takes an entry off the front of `bytes`; `known` are the tags so far. `None` if there is none.
pub(super) fn take(bytes: &mut &[u8], known: &mut Vec<EndpointTag>) -> Option<Entry> {
    let number = usize::try_from(varint::take(bytes)?).ok()?;
    if number == known.len() {
        let (tag, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        known.push(EndpointTag(*tag));
    }
    let tag = *known.get(number)?;
    let age = varint::take(bytes)?;
    let len = usize::try_from(varint::take(bytes)?).ok()?;
    let (json, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    let record = Record::from_json(std::str::from_utf8(json).ok()?).ok()?;
    Some(Entry { tag, age, record })
}

/// Whole milliseconds, as many as there can be.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestId;

    const A: EndpointTag = EndpointTag([1; 16]);
    const B: EndpointTag = EndpointTag([2; 16]);

    fn sent(tag: EndpointTag, number: u64) -> (EndpointTag, Stored) {
        let record = Record::Sent(RequestId::from_number(number));
        (
            tag,
            Stored {
                record,
                age: Duration::from_millis(number * 1000),
            },
        )
    }

    #[test]
    fn entries_come_back_and_a_tag_is_written_once() {
        let mut tags = Tags::default();
        let mut bytes = Vec::new();
        let new = tags.put(&mut bytes, &[sent(A, 1), sent(B, 2), sent(A, 3)]);
        assert_eq!(new, [A, B]);
        tags.learn(new);
        assert_eq!(tags.put(&mut bytes, &[sent(B, 4)]), []);

        let (mut rest, mut known, mut found) = (bytes.as_slice(), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let entry = take(&mut rest, &mut known).unwrap();
            found.push((entry.tag, entry.age, format!("{:?}", entry.record)));
        }
        let expected = [(A, 1), (B, 2), (A, 3), (B, 4)]
            .map(|(tag, n)| (tag, n * 1000, format!("{:?}", sent(tag, n).1.record)));
        assert_eq!(found, expected);
    }

    #[test]
    fn tags_of_a_frame_that_was_not_written_are_not_known() {
        let tags = Tags::default();
        assert_eq!(tags.put(&mut Vec::new(), &[sent(A, 1)]), [A]);
        assert_eq!(tags.put(&mut Vec::new(), &[sent(B, 1), sent(A, 1)]), [B, A]);
    }

    #[test]
    fn what_is_cut_off_is_no_entry() {
        let mut bytes = Vec::new();
        Tags::default().put(&mut bytes, &[sent(A, 1)]);
        for len in 0..bytes.len() {
            assert!(take(&mut &bytes[..len], &mut Vec::new()).is_none());
        }
    }
}
