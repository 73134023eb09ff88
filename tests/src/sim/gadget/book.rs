//! Every request that was taken, and how it may end.

mod errands;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use kaa_proto::request::{Class, Confirm, Failure, Resend};
use kaa_proto::topic::shortened;

use self::errands::Errand;
pub(super) use self::errands::key_of_get;
use super::super::program::{LinkEnd, Storage};
use super::ANSWER_WITHIN;
use super::part::request_of;
use crate::sniffer::Seen;

/// For how long answers to an earlier process may come.
const HAUNT: Duration = Duration::from_secs(600);

/// The largest ID that PAGE advises: clients that may use those above have others to turn to.
const ADVISED: u32 = 99;

/// What is known of a request.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) class: Class,
    pub(super) resend: Resend,
    /// What ends it: that the platform has answered, that it has acknowledged, or that it was handed over.
    pub(super) confirm: Confirm,
    /// Whether it may be given up while there is no link.
    pub(super) is_droppable: bool,
    pub(super) expires: Option<Instant>,
    /// On which links it was sent, and when its last byte was.
    sent: Vec<(u64, Instant)>,
    /// When it was sent on a link of which the client learned later that it was refused.
    taken_back: Option<Instant>,
    /// On which link the whole answer came while it was open.
    answered: Option<u64>,
    /// Whether its PUBACK came.
    is_acknowledged: bool,
    /// How often the platform has processed it.
    processed: u32,
    pub(super) is_stored: bool,
    is_cancelled: bool,
    /// Its ticket was dropped: it goes on, and nobody is told how it ends.
    is_abandoned: bool,
    /// It comes from an earlier process, which may have sent it.
    is_in_doubt: bool,
    /// A disk that failed may have forgotten it, or its end.
    is_excused: bool,
    /// A copy of the answer to another one may confirm it ([`Book::is_copied`]).
    is_mistakable: bool,
    end: Option<End>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Confirmed,
    /// It was certainly never sent.
    NeverSent,
    Otherwise,
    /// Told so after a crash; until that is stored it is told again.
    Unknown,
    /// It was taken back, perhaps when it was on its way already.
    Cancelled,
    /// The client was closed.
    Closed,
    /// With the process, which did not keep it.
    Gone,
}

/// The requests of one endpoint, by number. Numbers rise in the order of submission.
#[derive(Debug, Default)]
pub(super) struct Book {
    items: BTreeMap<u64, Item>,
    /// The topics of the latest messages, by link.
    topics: BTreeMap<(u64, String), u64>,
    /// Topics on which an answer came, by link.
    answered: BTreeSet<(u64, String)>,
    /// Topics of which the simulation copied an answer, with the token shortened as in the platform's
    /// log.
    copied: BTreeSet<String>,
    /// The largest ID.
    max_id: u32,
    /// Topics of requests of an earlier process, and until when an answer to one of them may come: it
    /// is taken for one of this process, for no client can tell (FACTS trap 13).
    ghosts: BTreeMap<String, Instant>,
    /// Who asked last on a topic, until there is an answer.
    askers: BTreeMap<String, u64>,
    /// The topics that this process has used.
    used: BTreeSet<String>,
    /// The latest of each class that this process sent for the first time.
    first_sent: BTreeMap<Class, u64>,
    /// The same as it was when the link that is up began.
    first_sent_before: BTreeMap<Class, u64>,
    /// Links that ended in the middle of a packet: of one request each nobody saw that it was sent.
    partial_links: u32,
    /// How many requests the platform has refused, and how many ended so.
    refusals: u64,
    rejected: u64,
    /// The requests whose messages carry no number, by what they say.
    errands: BTreeMap<String, Errand>,
    /// Those of them that the platform's log has.
    done: BTreeSet<String>,
    /// Results that were sent: the end of the topic, when, and what they say.
    results: BTreeMap<String, (Instant, Vec<String>)>,
    /// Those that the platform has refused, and nobody has heard it in time.
    refused_unheard: BTreeSet<String>,
    /// The device was told to end.
    is_closing: bool,
    /// The link that is up, as far as is known.
    link: u64,
    /// Every request on this link and later ones is answered: the weather is calm.
    calm_from: Option<u64>,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}", self.class, self.resend)?;
        if self.expires.is_some() {
            f.write_str(", expires")?;
        }
        if self.confirm != Confirm::Answered {
            write!(f, ", {:?}", self.confirm)?;
        }
        Ok(())
    }
}

impl Item {
    pub(super) fn new(class: Class, resend: Resend) -> Self {
        Self {
            class,
            resend,
            confirm: Confirm::Answered,
            is_droppable: false,
            expires: None,
            sent: Vec::new(),
            taken_back: None,
            answered: None,
            is_acknowledged: false,
            processed: 0,
            is_stored: false,
            is_cancelled: false,
            is_abandoned: false,
            is_in_doubt: false,
            is_excused: false,
            is_mistakable: false,
            end: None,
        }
    }

    /// Whether somebody waits for its end.
    const fn is_open(&self) -> bool {
        self.end.is_none() && !self.is_abandoned
    }
}

impl Book {
    pub(super) fn new(max_id: u32) -> Self {
        Self {
            max_id,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, n: u64, item: Item) {
        self.items.insert(n, item);
    }

    /// A request is stored; whether that is new.
    pub(super) fn store(&mut self, n: u64) -> bool {
        let item = self.items.get_mut(&n);
        item.is_some_and(|item| !std::mem::replace(&mut item.is_stored, true))
    }

    pub(super) fn cancel(&mut self, n: u64) {
        if let Some(item) = self.items.get_mut(&n) {
            item.is_cancelled = true;
        }
    }

    /// Its ticket was dropped.
    pub(super) fn abandon(&mut self, n: u64) {
        if let Some(item) = self.items.get_mut(&n) {
            item.is_abandoned = true;
        }
    }

    /// The device was told to end.
    pub(super) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// A message went to the transport of a link, whole.
    pub(super) fn handle_message(&mut self, now: Instant, link: u64, seen: &Seen) {
        self.used.insert(seen.topic.clone());
        if self.link != link {
            self.first_sent_before = self.first_sent.clone();
        }
        self.link = link;
        self.send_errands(now, link, seen);
    }

    /// A request went to the transport of a link, whole.
    pub(super) fn handle_sent(&mut self, now: Instant, link: u64, topic: &str, n: u64) {
        let is_copied = self.is_copied(link, topic);
        let Some(item) = self.items.get_mut(&n) else {
            panic!("{n} was sent, and nobody asked for it");
        };
        if item.is_excused {
            item.sent.push((link, now));
            return;
        }
        match item.end {
            // What its process did not keep may have been sent by it all the same.
            None | Some(End::Gone | End::Cancelled) => {}
            Some(end) => panic!("{n} was sent, and had ended: {end:?}"),
        }
        if item.resend == Resend::Never {
            assert!(item.sent.is_empty(), "{n} may be sent once, and was twice");
        }
        let again = item.sent.iter().any(|(other, _)| *other == link);
        assert!(!again, "{n} was sent twice on one link");
        if item.sent.is_empty() {
            let latest = self.first_sent.entry(item.class).or_default();
            assert!(*latest < n, "{n} was sent after {latest}");
            *latest = n;
        }
        item.sent.push((link, now));
        item.answered = None;
        item.is_mistakable = is_copied;
        let before = self.askers.insert(topic.to_owned(), n);
        if before.is_some_and(|before| before != n) {
            // One that was given up long ago may yet be answered, and is taken for this one.
            self.ghosts.insert(topic.to_owned(), now + HAUNT);
        }
        self.topics.insert((link, topic.to_owned()), n);
    }

    /// A whole answer came from a link; whether it may be one to a request before, perhaps of an
    /// earlier process.
    pub(super) fn handle_answer(&mut self, now: Instant, link: u64, topic: &str) -> bool {
        let is_copy = self.is_copied(link, topic);
        self.answered.insert((link, topic.to_owned()));
        let is_ghost = self.ghosts.get(topic).is_some_and(|until| *until > now);
        self.settle_answer(now, link, topic, is_ghost);
        self.answer_errands(now, topic);
        self.answer_results(now, topic);
        self.askers.remove(topic);
        if is_ghost || is_copy {
            // It may be what some request is told instead of its own.
            self.errands
                .values_mut()
                .for_each(|errand| errand.is_haunted = true);
        }
        is_ghost || is_copy
    }

    /// The PUBACK for a message came from a link.
    pub(super) fn handle_acknowledged(&mut self, link: u64, topic: &str, n: Option<u64>) {
        self.acknowledge_errands(link, topic);
        if let Some(item) = n.and_then(|n| self.items.get_mut(&n)) {
            item.is_acknowledged = true;
        }
    }

    /// The simulation makes copies of an answer.
    pub(super) fn handle_copied(&mut self, answer: &str) {
        if let Some(topic) = request_of(answer) {
            self.copied.insert(shortened(topic));
        }
    }

    /// Whether an answer on this topic and link may be a copy of one that its last holder got, so that
    /// no client can tell (FACTS trap 13). Only if the simulation copied one there, and only where IDs
    /// are so few that they come round before the copy does: with more, the client sees to it that they
    /// do not.
    fn is_copied(&self, link: u64, topic: &str) -> bool {
        self.max_id <= ADVISED
            && self.answered.contains(&(link, topic.to_owned()))
            && self.copied.contains(&shortened(topic))
    }

    fn settle_answer(&mut self, now: Instant, link: u64, topic: &str, is_ghost: bool) {
        let Some(n) = self.topics.remove(&(link, topic.to_owned())) else {
            return;
        };
        let is_awaited = |item: &&mut Item| item.end.is_none() && item.confirm == Confirm::Answered;
        let item = self.items.get_mut(&n).filter(is_awaited);
        // One that comes too late is no answer any more.
        let is_in_time = |item: &Item| {
            item.sent
                .last()
                .is_some_and(|(_, at)| now < *at + ANSWER_WITHIN)
        };
        if let Some(item) = item.filter(|item| is_in_time(item)) {
            item.answered = Some(link);
            item.is_excused |= is_ghost;
        }
    }

    pub(super) fn handle_link_gone(&mut self, link: u64, end: LinkEnd) {
        if end == LinkEnd::Refused {
            self.take_back(link);
        }
        self.topics.retain(|(of, _), _| *of != link);
        self.answered.retain(|(of, _)| *of != link);
        self.partial_links += u32::from(end == LinkEnd::Partial);
        if self.link == link {
            self.link = 0;
        }
    }

    /// What was sent on a link counts as never sent.
    fn take_back(&mut self, link: u64) {
        for ((of, topic), n) in &self.topics {
            if *of == link && self.askers.get(topic) == Some(n) {
                self.askers.remove(topic);
            }
        }
        for item in self.items.values_mut() {
            if let Some((_, at)) = item.sent.iter().rfind(|(of, _)| *of == link) {
                item.taken_back = Some(*at);
            }
            item.sent.retain(|(of, _)| *of != link);
        }
        self.take_errands_back(link);
        if self.link == link {
            self.first_sent = std::mem::take(&mut self.first_sent_before);
        }
    }

    /// The platform has processed a request.
    pub(super) fn handle_processed(&mut self, n: u64) {
        let Some(item) = self.items.get_mut(&n) else {
            panic!("{n} was processed, and nobody asked for it");
        };
        item.processed += 1;
        if item.is_excused {
            return;
        }
        let is_void = item.end == Some(End::NeverSent);
        assert!(!is_void, "{n} was called never sent, and was processed");
        let most = item.sent.len() + self.partial_links as usize;
        assert!(
            item.processed as usize <= most,
            "{n} was processed more often than sent"
        );
    }

    /// A request of a process that was told so has ended.
    pub(super) fn handle_end(&mut self, now: Instant, n: u64, outcome: Result<(), &Failure>) {
        let Some(item) = self.items.get_mut(&n) else {
            panic!("{n} ended, and nobody asked for it");
        };
        if item.is_excused {
            item.end = Some(End::Otherwise);
            return;
        }
        let was = item.end.is_some_and(|end| end != End::Closed);
        assert!(!was, "{n} ended twice");
        let is_sent = !item.sent.is_empty();
        let may_be_sent = is_sent || self.partial_links > 0 || item.is_in_doubt;
        let is_answered = item.answered.is_some();
        let expired = item.expires.is_some_and(|at| at <= now);
        let end = match outcome {
            Ok(()) => {
                let is_done = match item.confirm {
                    Confirm::Answered => item.processed > 0,
                    Confirm::Acknowledged => item.is_acknowledged,
                    Confirm::Nothing => true,
                };
                let is_mistaken = item.is_mistakable && is_answered;
                assert!(
                    is_done || is_mistaken,
                    "{n} was confirmed, and not processed or not acknowledged"
                );
                assert!(is_sent, "{n} was confirmed, and not sent");
                End::Confirmed
            }
            Err(Failure::Rejected { .. }) => End::Otherwise,
            Err(Failure::Unanswered) => {
                // Its time may have been over before the refusal came.
                let taken_back = item.taken_back.map(|at| at + ANSWER_WITHIN);
                let was_sent = is_sent || taken_back.is_some_and(|until| until <= now);
                assert!(was_sent, "{n} is called unanswered, and was not sent");
                assert!(!is_answered, "{n} is called unanswered, and was answered");
                let last = item.sent.last().map(|(_, at)| *at + ANSWER_WITHIN);
                let is_early = last.is_some_and(|at| at > now);
                assert!(!is_early, "{n} was given up before its time");
                let link = item.sent.last().map(|(link, _)| *link);
                let is_calm = self.calm_from.is_some() && link >= self.calm_from;
                assert!(
                    !is_calm,
                    "{n} was sent in calm weather, and is not answered"
                );
                End::Otherwise
            }
            Err(Failure::OutcomeUnknown) => {
                assert!(may_be_sent, "{n} is called unknown, and was not sent");
                assert!(!is_answered, "{n} is called unknown, and was answered");
                // On the link that is up its answer may yet come.
                let is_up = item.sent.last().is_some_and(|(of, _)| *of == self.link);
                assert!(!is_up, "{n} is called unknown, and its link is up");
                let is_dropped = item.is_in_doubt && item.is_droppable;
                let is_ended = item.resend == Resend::Never || expired || is_dropped;
                assert!(is_ended, "{n} is called unknown, and may be sent again");
                End::Otherwise
            }
            Err(Failure::Expired) => {
                assert!(expired, "{n} is called expired before its time");
                never_sent(n, item)
            }
            Err(Failure::Dropped) => {
                assert!(item.is_droppable, "{n} was dropped, and may not be");
                never_sent(n, item)
            }
            Err(Failure::Cancelled) => {
                assert!(item.is_cancelled, "{n} is called cancelled, and was not");
                End::Cancelled
            }
            Err(Failure::Closed) => End::Closed,
            Err(Failure::Undecodable(error)) => panic!("{n}: {error}"),
            Err(other) => panic!("{n} ended in an unknown way: {other}"),
        };
        item.end = Some(end);
        let subject = n.to_string();
        match outcome {
            Err(Failure::Rejected { status, .. }) => self.reject(&subject, *status),
            Err(Failure::Closed) => self.check_closed(&subject),
            _ => {}
        }
    }

    /// Nothing goes wrong any more on links to come.
    pub(super) fn calm_down(&mut self, latest: u64) {
        self.calm_from.get_or_insert(latest + 1);
    }

    pub(super) fn is_bulk(&self, n: u64) -> bool {
        self.items
            .get(&n)
            .is_some_and(|item| item.class == Class::Bulk)
    }

    /// How many requests of a class have not ended.
    pub(super) fn open_len(&self, class: Class) -> usize {
        let items = self.items.values();
        items
            .filter(|item| item.is_open() && item.class == class)
            .count()
    }

    /// What should have ended by now.
    pub(super) fn check_deadlines(&self, now: Instant, has_link: bool) {
        let is_awaited = |item: &&Item| item.is_open() && item.confirm != Confirm::Nothing;
        let open = self.items.iter().filter(|(_, item)| is_awaited(item));
        for (n, item) in open {
            match item.sent.last() {
                Some((link, at)) if *link == self.link => {
                    let is_late = *at + ANSWER_WITHIN < now;
                    assert!(!is_late, "{n} missed its deadline");
                }
                Some(_) => {}
                // On a link it may be on its way to the transport.
                None if !has_link => {
                    let is_late = item.expires.is_some_and(|at| at < now);
                    assert!(!is_late || self.partial_links > 0, "{n} did not expire");
                }
                None => {}
            }
        }
    }

    /// The process ends: what it did not keep is gone.
    pub(super) fn handle_crash(&mut self, now: Instant, storage: Storage) {
        let used = std::mem::take(&mut self.used).into_iter();
        self.ghosts.extend(used.map(|topic| (topic, now + HAUNT)));
        self.topics.clear();
        self.askers.clear();
        self.link = 0;
        self.errands.clear();
        self.is_closing = false;
        // What had ended and was not told comes out of a store that did not come to know of it.
        self.first_sent.clear();
        self.first_sent_before.clear();
        let keeps = matches!(storage, Storage::Good | Storage::Unreliable);
        let is_bad = matches!(storage, Storage::Unreliable | Storage::Doubtful);
        for item in self.items.values_mut() {
            let is_open = matches!(item.end, None | Some(End::Closed));
            // Whether it had ended, nobody was told of one that was abandoned.
            let is_known = !item.is_cancelled && !item.is_abandoned;
            let is_kept = is_open && item.is_stored && is_known && keeps;
            // What was told to be stored is, whatever the disk does afterwards.
            item.is_excused |= is_bad;
            item.answered = None;
            if is_open {
                item.end = if is_kept { None } else { Some(End::Gone) };
            }
        }
    }

    /// Of what was closed only these go on.
    pub(super) fn keep_only(&mut self, left: &BTreeSet<u64>) {
        let items = self.items.iter_mut().filter(|(n, _)| !left.contains(n));
        let closed = items.filter(|(_, item)| item.end == Some(End::Closed));
        closed.for_each(|(_, item)| item.end = Some(End::Gone));
    }

    /// A request goes on after a crash.
    pub(super) fn goes_on(&mut self, n: u64) {
        let Some(item) = self.items.get_mut(&n) else {
            panic!("{n} goes on, and nobody asked for it");
        };
        let is_over = matches!(
            item.end,
            Some(End::Confirmed | End::NeverSent | End::Otherwise | End::Cancelled)
        );
        assert!(
            !is_over || item.is_excused,
            "{n} ended, and goes on after a crash"
        );
        item.end = None;
        item.is_abandoned = false;
        item.is_stored = true;
        item.is_in_doubt = true;
    }

    /// A crash came between the note that it is going to be sent and its last byte: nobody knows
    /// whether it was.
    pub(super) fn is_unknown(&mut self, n: u64) {
        self.goes_on(n);
        if let Some(item) = self.items.get_mut(&n) {
            let is_once = item.resend == Resend::Never || item.is_excused;
            assert!(is_once, "{n} is called unknown, and may be sent again");
            item.end = Some(End::Unknown);
        }
    }

    /// The requests that were stored have to be among those that came out of the store.
    pub(super) fn check_stored(&self, found: &BTreeSet<u64>) {
        for (n, item) in &self.items {
            let is_open = item.end.is_none() && !item.is_cancelled;
            assert!(!is_open || found.contains(n), "{n} was stored, and is lost");
        }
    }

    /// What has not ended, for people.
    pub(super) fn open(&self) -> Vec<u64> {
        let open = self.items.iter().filter(|(_, item)| item.is_open());
        open.map(|(n, _)| *n).collect()
    }

    /// A request goes on when its ticket was dropped: those that come after it are confirmed by now.
    pub(super) fn check_abandoned(&self) {
        let abandoned = |item: &Item| item.end.is_none() && item.is_abandoned;
        for (n, item) in self.items.iter().filter(|(_, item)| abandoned(item)) {
            let may_be_given_up = item.is_droppable || item.expires.is_some() || item.is_cancelled;
            assert!(
                may_be_given_up || !item.sent.is_empty() || self.partial_links > 0,
                "{n} was never sent after its ticket was dropped"
            );
        }
    }
}

fn never_sent(n: u64, item: &Item) -> End {
    assert!(
        item.sent.is_empty(),
        "{n} is called never sent, and was sent"
    );
    assert_eq!(
        item.processed, 0,
        "{n} is called never sent, and was processed"
    );
    End::NeverSent
}
