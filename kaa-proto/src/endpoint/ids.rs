//! The request IDs of one extension instance, as they stand in topics.
//!
//! IDs rotate through 1..=99, as PAGE advises, while more than a few of them are free; else through
//! those above, up to the option's bound: one that is alone free would come round at once, and a copy
//! of the answer to its last holder would confirm the next one. An ID is held by a request in flight
//! or by an observation; after a time-out or an unknown outcome the pair of resource and ID rests as
//! a tombstone, so that a late answer finds no new waiter (FACTS traps 9, 11, 12, 13).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::Observation;
use crate::names::Extension;
use crate::rare::Rare;
use crate::request::RequestId;
use crate::rng::Rng;
use crate::timers::Timers;

/// PAGE: "a random number between 1 and 99".
const ADVISED: u32 = 99;

/// While fewer of the advised IDs are free, those above come first.
const SPARE: usize = 16;

/// Who an ID belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Request(RequestId),
    Observation(Observation),
}

#[derive(Debug, Default)]
pub(super) struct IdSpace {
    /// Who holds which ID, in the order of the IDs: they are taken at the end and given back at
    /// the front, mostly.
    holders: VecDeque<(u32, Holder)>,
    /// Pairs that rest, and until when.
    tombstones: Rare<Timers<(u32, Arc<str>)>>,
    /// The advised ID that was given out last; the next search begins behind it.
    turn: u32,
    /// The same for those above the advised ones, counted from there.
    high_turn: u32,
}

impl IdSpace {
    /// One that begins anywhere among the advised IDs.
    pub(super) fn starting_after(rng: &mut Rng) -> Self {
        let turn = u32::try_from(rng.below(ADVISED.into())).unwrap_or_default();
        Self {
            turn,
            ..Self::default()
        }
    }

    /// Takes a free ID for `resource`; `None` when there is none up to `max`.
    pub(super) fn allocate(
        &mut self,
        resource: &Arc<str>,
        max: u32,
        holder: Holder,
    ) -> Option<u32> {
        let id = self.next(resource, max)?;
        match id <= ADVISED {
            true => self.turn = id,
            false => self.high_turn = id - ADVISED,
        }
        self.hold(id, holder);
        Some(id)
    }

    /// Whether [`allocate`](Self::allocate) would find one.
    pub(super) fn has_free(&self, resource: &Arc<str>, max: u32) -> bool {
        // While there are more IDs than are taken, one of them is free.
        self.taken() < max as usize || self.next(resource, max).is_some()
    }

    /// Takes this ID, if nobody holds it.
    pub(super) fn take(&mut self, id: u32, holder: Holder) -> bool {
        let free = self.place(id).is_err();
        if free {
            self.hold(id, holder);
        }
        free
    }

    pub(super) fn holder(&self, id: u32) -> Option<&Holder> {
        let place = self.place(id).ok()?;
        self.holders.get(place).map(|(_, holder)| holder)
    }

    /// Frees an ID; with `rest_until` the pair rests first.
    pub(super) fn release(&mut self, id: u32, resource: &Arc<str>, rest_until: Option<Instant>) {
        match self.place(id) {
            Ok(0) => drop(self.holders.pop_front()),
            Ok(place) => drop(self.holders.remove(place)),
            Err(_) => {}
        }
        if let Some(until) = rest_until {
            self.tombstones.set((id, Arc::clone(resource)), until);
        }
    }

    /// Whether an answer on this pair comes late.
    pub(super) fn is_tombstone(&self, id: u32, resource: &str) -> bool {
        self.tombstones.is_set(&(id, resource.into()))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(tombstones) = self.tombstones.there() {
            while tombstones.pop_due(now).is_some() {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tombstones.next()
    }

    fn next(&self, resource: &Arc<str>, max: u32) -> Option<u32> {
        let advised = || self.search(1, max.min(ADVISED), self.turn, resource);
        let above = || self.search(ADVISED + 1, max, self.high_turn, resource);
        match self.taken() + SPARE > ADVISED as usize {
            true => above().or_else(advised),
            // One of them is free, or there are none above.
            false => advised(),
        }
    }

    /// The first free ID from `low` to `high`, starting `turn` after `low`. Every ID passed over
    /// is held or rests, so the search is no longer than those are many.
    fn search(&self, low: u32, high: u32, turn: u32, resource: &Arc<str>) -> Option<u32> {
        let span = high.checked_sub(low)?.saturating_add(1);
        let taken = u32::try_from(self.taken()).unwrap_or(u32::MAX);
        let steps = span.min(taken.saturating_add(1));
        (0..steps)
            .map(|step| low + (turn + step) % span)
            .find(|&id| self.place(id).is_err() && !self.rests(id, resource))
    }

    fn rests(&self, id: u32, resource: &Arc<str>) -> bool {
        self.tombstones.len() > 0 && self.tombstones.is_set(&(id, Arc::clone(resource)))
    }

    fn taken(&self) -> usize {
        self.holders.len() + self.tombstones.len()
    }

    fn hold(&mut self, id: u32, holder: Holder) {
        let place = self.place(id).unwrap_or_else(|place| place);
        match place == self.holders.len() {
            true => {
                // Most endpoints have one, for what they observe.
                if self.holders.is_empty() {
                    self.holders.reserve_exact(1);
                }
                self.holders.push_back((id, holder));
            }
            false => self.holders.insert(place, (id, holder)),
        }
    }

    /// Where an ID is, or would be.
    #[inline]
    fn place(&self, id: u32) -> Result<usize, usize> {
        match (self.holders.front(), self.holders.back()) {
            (Some((first, _)), _) if *first == id => Ok(0),
            (_, Some((last, _))) if *last < id => Err(self.holders.len()),
            _ => self.holders.binary_search_by_key(&id, |(id, _)| *id),
        }
    }
}

/// The request IDs of an endpoint, for each extension instance: there are few.
#[derive(Debug, Default)]
pub(super) struct IdSpaces(Vec<(Extension, IdSpace)>);

impl IdSpaces {
    pub(super) fn get(&self, extension: &str) -> Option<&IdSpace> {
        let mut spaces = self.0.iter();
        let (_, space) = spaces.find(|(name, _)| name.as_str() == extension)?;
        Some(space)
    }

    pub(super) fn get_mut(&mut self, extension: &str) -> Option<&mut IdSpace> {
        let mut spaces = self.0.iter_mut();
        let (_, space) = spaces.find(|(name, _)| name.as_str() == extension)?;
        Some(space)
    }

    /// That of an extension instance, which is made if there is none.
    pub(super) fn get_or_insert(
        &mut self,
        extension: &Extension,
        make: impl FnOnce() -> IdSpace,
    ) -> &mut IdSpace {
        let place = self.0.iter().position(|(name, _)| name == extension);
        let place = place.unwrap_or(self.0.len());
        if place == self.0.len() {
            self.0.reserve_exact(1);
            self.0.push((extension.clone(), make()));
        }
        &mut self.0[place].1
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (_, space) in &mut self.0 {
            space.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let rests = self.0.iter().filter_map(|(_, space)| space.poll_timeout());
        rests.min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOLDER: Holder = Holder::Request(RequestId::FIRST);

    fn now() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    fn json() -> Arc<str> {
        "json".into()
    }

    /// FACTS traps 12 and 15: rotation from 1, never 0, and room above the advised ones.
    #[test]
    fn trap_12_ids_rotate_through_the_advised_ones_and_those_above_when_few_are_free() {
        let mut space = IdSpace::default();
        let ids: Vec<_> = (0..101)
            .filter_map(|_| space.allocate(&json(), 101, HOLDER))
            .collect();
        let expected = (1..=84).chain([100, 101]).chain(85..=99);
        assert_eq!(ids, expected.collect::<Vec<_>>());
        assert_eq!(
            space.allocate(&json(), 101, HOLDER),
            None,
            "back-pressure, no panic"
        );
        space.release(100, &json(), None);
        assert_eq!(space.allocate(&json(), 101, HOLDER), Some(100));
        space.release(7, &json(), None);
        assert_eq!(space.allocate(&json(), 101, HOLDER), Some(7));
    }

    #[test]
    fn a_freed_id_is_not_taken_again_before_the_others_had_their_turn() {
        let mut space = IdSpace::default();
        for expected in (1..=99).chain(1..=3) {
            let id = space.allocate(&json(), 99_999, HOLDER);
            assert_eq!(id, Some(expected));
            space.release(expected, &json(), None);
        }
    }

    /// FACTS trap 11: whether they are held or rest.
    #[test]
    fn an_id_that_is_alone_free_does_not_come_round_at_once_while_there_are_others_above() {
        let until = now() + Duration::from_secs(60);
        let mut space = IdSpace::default();
        for id in 1..=84 {
            assert_eq!(space.allocate(&json(), 999, HOLDER), Some(id));
            if id % 2 == 0 {
                space.release(id, &json(), Some(until));
            }
        }
        for expected in 100..=150 {
            assert_eq!(space.allocate(&json(), 999, HOLDER), Some(expected));
            space.release(expected, &json(), None);
        }
        space.handle_timeout(until);
        assert_eq!(space.allocate(&json(), 999, HOLDER), Some(85));
    }

    #[test]
    fn those_above_the_advised_ones_have_their_turn_one_after_the_other_too() {
        let mut space = IdSpace::default();
        for id in 1..=84 {
            assert_eq!(space.allocate(&json(), 104, HOLDER), Some(id));
        }
        for expected in (100..=104).chain(100..=102) {
            let id = space.allocate(&json(), 104, HOLDER);
            assert_eq!(id, Some(expected));
            space.release(expected, &json(), None);
        }
    }

    #[test]
    fn where_there_are_none_above_the_next_free_one_is_taken() {
        for max in [20, 99] {
            let mut space = IdSpace::default();
            for id in 1..=max {
                assert_eq!(space.allocate(&json(), max, HOLDER), Some(id));
            }
            for id in [7, 3] {
                space.release(id, &json(), None);
            }
            assert!(space.has_free(&json(), max));
            assert_eq!(space.allocate(&json(), max, HOLDER), Some(3));
            assert_eq!(space.allocate(&json(), max, HOLDER), Some(7));
            assert_eq!(space.allocate(&json(), max, HOLDER), None);
        }
    }

    #[test]
    fn an_advised_id_that_became_free_is_found_when_all_above_are_held() {
        let mut space = IdSpace::default();
        for _ in 1..=120 {
            space.allocate(&json(), 120, HOLDER).unwrap();
        }
        let until = now() + Duration::from_secs(60);
        space.release(7, &json(), Some(until));
        assert_eq!(space.allocate(&json(), 120, HOLDER), None);
        assert_eq!(space.allocate(&"token".into(), 120, HOLDER), Some(7));
        space.release(7, &"token".into(), None);
        space.handle_timeout(until);
        assert_eq!(space.allocate(&json(), 120, HOLDER), Some(7));
    }

    #[test]
    fn whether_an_id_is_free_is_known_without_taking_one() {
        for max in [3, 99, 100, 101] {
            let mut space = IdSpace::default();
            for held in 0..max {
                assert!(space.has_free(&json(), max), "{held} of {max}");
                space.allocate(&json(), max, HOLDER).unwrap();
            }
            assert!(!space.has_free(&json(), max) && space.has_free(&json(), max + 1));
        }
        // One that rests for two resources is free for a third.
        let mut space = IdSpace::default();
        for resource in [json(), "token".into()] {
            space.release(1, &resource, Some(now() + Duration::from_secs(60)));
            assert!(!space.has_free(&resource, 1));
        }
        assert!(!space.has_free(&json(), 1) && space.has_free(&"keys".into(), 1));
    }

    /// FACTS trap 11: on the same resource it rests, on another one it may be used.
    #[test]
    fn trap_11_a_tombstone_keeps_its_pair_out_of_use_until_it_ends() {
        let start = now();
        let until = start + Duration::from_secs(60);
        let mut space = IdSpace::default();
        for id in 1..=3 {
            assert_eq!(space.allocate(&json(), 3, HOLDER), Some(id));
            space.release(id, &json(), Some(until));
        }
        assert_eq!(space.allocate(&json(), 3, HOLDER), None);
        assert!(space.is_tombstone(2, "json") && !space.is_tombstone(2, "json/x"));
        assert_eq!(space.allocate(&"token".into(), 3, HOLDER), Some(1));
        assert_eq!(space.poll_timeout(), Some(until));
        space.handle_timeout(until);
        assert_eq!(space.poll_timeout(), None);
        assert_eq!(
            space.allocate(&json(), 3, HOLDER),
            Some(2),
            "1 is held by the other resource"
        );
    }

    /// FACTS trap 13, over a restart of the program.
    #[test]
    fn trap_13_two_runs_seldom_begin_with_the_same_id() {
        let first = |seed| {
            let mut space = IdSpace::starting_after(&mut Rng::new(seed));
            space.allocate(&json(), 99_999, HOLDER)
        };
        let firsts: std::collections::BTreeSet<_> = (0..100).map(first).collect();
        assert!(firsts.len() > 40, "{firsts:?}");
        assert!(
            firsts
                .iter()
                .all(|id| id.is_some_and(|id| (1..=99).contains(&id)))
        );
    }

    #[test]
    fn a_fixed_id_is_taken_once() {
        let mut space = IdSpace::default();
        assert!(space.take(234_531, HOLDER));
        assert!(!space.take(234_531, HOLDER));
        assert_eq!(space.holder(234_531), Some(&HOLDER));
    }
}
