//! What the platform publishes, from the moment it is decided until it is polled.
//!
//! Addressees are settled when a message leaves, not when it was written: a late answer goes to
//! the link where its endpoint speaks by then (FACTS trap 13).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::options::LinkId;
use crate::qos::QoS;
use crate::timers::later;

/// How many messages wait, the late and the held ones included. Beyond it new ones are dropped.
const MAX_WAITING: usize = 65_536;

/// How long a group that is to be reordered waits for its last message.
const REORDER_WITHIN: Duration = Duration::from_secs(1);

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Addressee {
    /// An endpoint, by its index.
    Device(usize),
    /// A link whose sender is no known endpoint.
    Link(LinkId),
    /// Nobody but subscribers: an echo.
    Subscribers,
}

/// A message of the platform.
#[derive(Clone, PartialEq)]
pub(super) struct Parcel {
    pub(super) to: Addressee,
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
}

impl Parcel {
    fn size(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.payload.len()
    }
}

/// What becomes of a parcel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// It goes out at once.
    Sent,
    /// It never does.
    Lost,
    /// It goes out after that time.
    Late(Duration),
    /// It goes out that many times.
    Repeated(u32),
    /// It waits for the last of its group; then the group goes out backwards.
    Held {
        /// Which group.
        group: u64,
        /// Whether it is the last.
        is_last: bool,
    },
}

/// A group of parcels that is collected to go out backwards.
#[derive(Clone)]
struct Group {
    /// When it goes out even without its last parcel.
    deadline: Instant,
    /// In order of arrival.
    held: Vec<Parcel>,
}

/// The parcels that have not been polled yet.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    /// To be polled now.
    ready: VecDeque<Parcel>,
    /// By the time they are due, then by order.
    late: BTreeMap<(Instant, u64), Parcel>,
    /// Groups that are being collected.
    groups: BTreeMap<u64, Group>,
    /// How many parcels the groups hold.
    held: usize,
    /// What all parcels take, in bytes.
    bytes: usize,
    /// Tells late parcels of one instant apart.
    order: u64,
}

impl Outbox {
    /// Takes a parcel to its fate. `false` if it was dropped because too many are waiting.
    pub(super) fn push(
        &mut self,
        now: Instant,
        parcel: Parcel,
        fate: Fate,
        max_bytes: usize,
    ) -> bool {
        let copies = match fate {
            Fate::Repeated(copies) => copies as usize,
            Fate::Sent | Fate::Lost | Fate::Late(_) | Fate::Held { .. } => 1,
        };
        let bytes = self.bytes + parcel.size() * copies;
        if self.ready.len() + self.late.len() + self.held + copies > MAX_WAITING
            || bytes > max_bytes
        {
            return false;
        }
        if fate != Fate::Lost {
            self.bytes = bytes;
        }
        match fate {
            Fate::Lost => {}
            Fate::Sent => self.ready.push_back(parcel),
            Fate::Repeated(_) => self.ready.extend(std::iter::repeat_n(parcel, copies)),
            Fate::Late(delay) => {
                self.order += 1;
                self.late.insert((later(now, delay), self.order), parcel);
            }
            Fate::Held { group, is_last } => {
                let collected = self.groups.entry(group).or_insert_with(|| Group {
                    deadline: now + REORDER_WITHIN,
                    held: Vec::new(),
                });
                collected.held.push(parcel);
                self.held += 1;
                if is_last {
                    self.send_group(group);
                }
            }
        }
        true
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.late.first_entry() {
            if entry.key().0 > now {
                break;
            }
            self.ready.push_back(entry.remove());
        }
        let is_due = |(&id, group): (&u64, &Group)| (group.deadline <= now).then_some(id);
        let due: Vec<u64> = self.groups.iter().filter_map(is_due).collect();
        for group in due {
            self.send_group(group);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.ready.pop_front()?;
        self.bytes -= parcel.size();
        Some(parcel)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let late = self.late.keys().next().map(|&(at, _)| at);
        let groups = self.groups.values().map(|group| group.deadline).min();
        late.into_iter().chain(groups).min()
    }

    fn send_group(&mut self, group: u64) {
        if let Some(group) = self.groups.remove(&group) {
            self.held -= group.held.len();
            self.ready.extend(group.held.into_iter().rev());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(topic: &str) -> Parcel {
        Parcel {
            to: Addressee::Subscribers,
            topic: topic.into(),
            payload: Vec::new(),
            qos: QoS::AtMostOnce,
        }
    }

    fn topics(outbox: &mut Outbox) -> String {
        std::iter::from_fn(|| outbox.pop())
            .map(|p| p.topic)
            .collect()
    }

    #[test]
    fn a_parcel_takes_what_its_texts_take_beside_itself() {
        let own = size_of::<Parcel>();
        let mut parcel = parcel("topic");
        assert_eq!(parcel.size(), own + 5);
        parcel.payload = b"payload".to_vec();
        assert_eq!(parcel.size(), own + 12);
    }

    #[test]
    fn late_and_held_parcels_leave_when_the_clock_says_so() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut outbox = Outbox::default();
        let second = Duration::from_secs(1);
        let held = Fate::Held {
            group: 1,
            is_last: false,
        };
        outbox.push(start, parcel("b"), Fate::Late(2 * second), usize::MAX);
        outbox.push(start, parcel("c"), Fate::Late(2 * second), usize::MAX);
        outbox.push(start, parcel("x"), held, usize::MAX);
        outbox.push(start, parcel("y"), held, usize::MAX);
        outbox.push(start, parcel("a"), Fate::Sent, usize::MAX);
        assert_eq!(topics(&mut outbox), "a");
        assert_eq!(outbox.poll_timeout(), Some(start + second));
        outbox.handle_timeout(start + second);
        assert_eq!(topics(&mut outbox), "yx");
        assert_eq!(outbox.poll_timeout(), Some(start + 2 * second));
        outbox.handle_timeout(start + 2 * second);
        assert_eq!(topics(&mut outbox), "bc");
        assert_eq!(outbox.poll_timeout(), None);
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_is_dropped() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut outbox = Outbox::default();
        for _ in 0..MAX_WAITING / 16 {
            assert!(outbox.push(start, parcel("a"), Fate::Repeated(16), usize::MAX));
        }
        assert!(!outbox.push(start, parcel("b"), Fate::Sent, usize::MAX));
        assert!(outbox.pop().is_some());
        assert!(outbox.push(start, parcel("b"), Fate::Sent, usize::MAX));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut outbox = Outbox::default();
        let size = parcel("a").size();
        for _ in 0..2 {
            assert!(outbox.push(start, parcel("a"), Fate::Sent, 2 * size));
            assert!(outbox.push(start, parcel("b"), Fate::Late(REORDER_WITHIN), 2 * size));
            assert!(!outbox.push(start, parcel("c"), Fate::Sent, 2 * size));
            outbox.handle_timeout(start + REORDER_WITHIN);
            assert_eq!(topics(&mut outbox), "ab");
        }
    }
}
