//! What was sent and waits for its acknowledgement, found by packet identifier.
//!
//! One table for PUBLISH, SUBSCRIBE and UNSUBSCRIBE, because they share their identifiers
//! (MQTT-2.3.1-2). Slot `id mod len` holds `id`: finding one is one look, and a new identifier is
//! the next one whose slot is free. The table doubles when it is full and never holds more than
//! the limits of the session allow.

use super::packet::{PacketId, PacketType};

/// What waits, with the caller's keys.
#[derive(Clone, Debug)]
pub(super) struct InFlight<K> {
    /// A power of two many, or none.
    slots: Vec<Option<Entry<K>>>,
    /// How many messages are in the table.
    publishes: usize,
    /// How many SUBSCRIBE and UNSUBSCRIBE are in the table.
    requests: usize,
    /// The identifier given out last.
    last: u16,
}

/// One packet that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<K> {
    /// Its identifier.
    pub(super) id: PacketId,
    /// For what it waits.
    pub(super) awaits: Awaits,
    /// The place behind its last byte in the output.
    pub(super) end: u64,
    /// What the caller knows it by.
    pub(super) key: K,
}

/// What a packet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// A QoS 1 message. Exits: done with PUBACK.
    PubAck,
    /// A QoS 2 message. Exits: `PubComp` with PUBREC.
    PubRec,
    /// A QoS 2 message that the peer has, PUBREL is sent. Exits: done with PUBCOMP.
    PubComp,
    /// A SUBSCRIBE with this many filters. Exits: done with SUBACK.
    SubAck { filters: usize },
    /// An UNSUBSCRIBE. Exits: done with UNSUBACK.
    UnsubAck,
}

impl Awaits {
    /// The packet that answers.
    pub(super) const fn packet(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubComp => PacketType::PubComp,
            Self::SubAck { .. } => PacketType::SubAck,
            Self::UnsubAck => PacketType::UnsubAck,
        }
    }

    const fn is_publish(self) -> bool {
        matches!(self, Self::PubAck | Self::PubRec | Self::PubComp)
    }
}

/// The table starts with this many slots.
const FIRST_SLOTS: usize = 8;

/// There are 65,535 identifiers; slot 0 of the largest table stays empty.
const MOST_SLOTS: usize = 65_536;

impl<K: Copy> InFlight<K> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            publishes: 0,
            requests: 0,
            last: 0,
        }
    }

    /// How many messages wait.
    pub(super) const fn publishes(&self) -> usize {
        self.publishes
    }

    /// How many SUBSCRIBE and UNSUBSCRIBE wait.
    pub(super) const fn requests(&self) -> usize {
        self.requests
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.publishes + self.requests == 0
    }

    /// The identifier that the next entry is to have; `None` when all are out. It stays the same
    /// until it was inserted.
    pub(super) fn next_id(&mut self) -> Option<PacketId> {
        // The largest table is never full: there is no identifier 0.
        if self.publishes + self.requests == self.slots.len() {
            self.grow();
        }
        let mut id = self.last;
        // Identifiers in a row cover all slots; only the slot of 0 may need a second round.
        for _ in 0..2 * self.slots.len() {
            id = id.wrapping_add(1);
            if let (Some(free), Some(None)) = (PacketId::new(id), self.slots.get(self.slot(id))) {
                return Some(free);
            }
        }
        None
    }

    /// Puts an entry with a new identifier in the slot that [`InFlight::next_id`] found.
    pub(super) fn insert(&mut self, entry: Entry<K>) {
        self.last = entry.id.get();
        self.insert_again(entry);
    }

    /// Puts an entry back that was just settled and waits for something more.
    pub(super) fn insert_again(&mut self, entry: Entry<K>) {
        let slot = self.slot(entry.id.get());
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(entry);
            *self.count(entry.awaits) += 1;
        }
    }

    /// Takes the entry of `id` out if it waits for `packet` and all of it was written; an
    /// acknowledgement of anything else was not asked for.
    pub(super) fn settle(
        &mut self,
        id: PacketId,
        packet: PacketType,
        written: u64,
    ) -> Option<Entry<K>> {
        let slot = self.slot(id.get());
        let entry = self.slots.get_mut(slot)?.take_if(|entry| {
            entry.id == id && entry.awaits.packet() == packet && entry.end <= written
        })?;
        *self.count(entry.awaits) -= 1;
        Some(entry)
    }

    fn slot(&self, id: u16) -> usize {
        usize::from(id) & self.slots.len().saturating_sub(1)
    }

    fn count(&mut self, awaits: Awaits) -> &mut usize {
        match awaits.is_publish() {
            true => &mut self.publishes,
            false => &mut self.requests,
        }
    }

    /// Identifiers that differ in a shorter tail differ in a longer one: nothing collides.
    fn grow(&mut self) {
        let len = (self.slots.len() * 2).clamp(FIRST_SLOTS, MOST_SLOTS);
        let before = std::mem::replace(&mut self.slots, vec![None; len]);
        for entry in before.into_iter().flatten() {
            let slot = self.slot(entry.id.get());
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = Some(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: PacketId) -> Entry<u32> {
        Entry {
            id,
            awaits: Awaits::PubAck,
            end: 0,
            key: u32::from(id.get()),
        }
    }

    fn insert(table: &mut InFlight<u32>) -> PacketId {
        let id = table.next_id().unwrap();
        table.insert(entry(id));
        id
    }

    #[test]
    fn identifiers_wrap_past_65535_around_those_that_are_stuck() {
        let mut table = InFlight::new();
        let stuck: Vec<_> = (0..3).map(|_| insert(&mut table)).collect();
        assert_eq!(
            stuck.iter().map(|id| id.get()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert!(!table.is_empty());
        let mut seen = [false; 65_536];
        for _ in 0..200_000 {
            let id = insert(&mut table);
            assert!(!stuck.contains(&id));
            seen[usize::from(id.get())] = true;
            assert_eq!(table.settle(id, PacketType::PubAck, 0), Some(entry(id)));
            assert_eq!(table.settle(id, PacketType::PubAck, 0), None, "freed once");
        }
        assert!(!seen[0] && seen[65_535]);
        for id in stuck {
            assert_eq!(table.settle(id, PacketType::PubAck, 0), Some(entry(id)));
        }
        assert!(table.is_empty());
    }

    /// Identifier 0 has a slot, and is none: where they wrap the slot comes in a second round.
    #[test]
    fn the_slot_of_0_is_found_where_identifiers_wrap() {
        let mut table = InFlight::new();
        for expected in 1..=7 {
            assert_eq!(insert(&mut table).get(), expected);
        }
        // Only that slot is free, so every eighth identifier is given out.
        for expected in (8..=65_528).step_by(8) {
            let id = insert(&mut table);
            assert_eq!(id.get(), expected);
            table.settle(id, PacketType::PubAck, 0).unwrap();
        }
        assert_eq!(insert(&mut table).get(), 8);
    }

    #[test]
    fn all_65535_identifiers_can_be_out_and_then_there_is_none() {
        let mut table = InFlight::new();
        let mut ids: Vec<_> = (0..65_535).map(|_| insert(&mut table)).collect();
        assert_eq!(table.next_id(), None);
        assert_eq!(table.publishes(), 65_535);
        let freed = ids.swap_remove(40_000);
        table.settle(freed, PacketType::PubAck, 0).unwrap();
        assert_eq!(table.next_id(), Some(freed));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 65_534);
    }

    #[test]
    fn the_table_finds_entries_in_any_order_while_it_grows() {
        let mut table = InFlight::new();
        let ids: Vec<_> = (0..100).map(|_| insert(&mut table)).collect();
        for id in ids.iter().rev().step_by(2).chain(ids.iter().step_by(2)) {
            assert_eq!(table.settle(*id, PacketType::PubAck, 0), Some(entry(*id)));
        }
        assert_eq!(table.publishes(), 0);
    }

    #[test]
    fn an_entry_is_settled_only_by_its_own_packet_and_when_it_was_written() {
        let mut table = InFlight::new();
        let id = table.next_id().unwrap();
        let entry = Entry {
            end: 10,
            awaits: Awaits::PubRec,
            ..entry(id)
        };
        table.insert(entry);
        assert_eq!(table.settle(id, PacketType::PubAck, 10), None);
        assert_eq!(table.settle(id, PacketType::PubRec, 9), None);
        // Every identifier that falls into the same slot.
        for other in (1..=u16::MAX).filter(|&other| other != id.get()) {
            let other = PacketId::new(other).unwrap();
            assert_eq!(table.settle(other, PacketType::PubRec, 10), None);
        }
        assert_eq!(table.settle(id, PacketType::PubRec, 10), Some(entry));
    }
}
