//! Requests whose messages carry no number: reads of metadata, reports, results. Each is known by what it
//! says, which no other one under way says.

use std::time::Instant;

use kaa_proto::request::{Confirm, Failure};
use serde_json::Value;

use super::super::ANSWER_WITHIN;
use super::Book;
use crate::sniffer::Seen;

/// The status of answers that the simulation makes to requests of nobody.
const FOREIGN: u16 = 499;

/// The key by which a read of metadata is known. Nothing has it, so that it is not in the answer.
pub(in super::super) fn key_of_get(n: u64) -> String {
    format!("q{n}")
}

/// What a message says by which an errand is known; one with results may say several things.
pub(super) fn sayings(seen: &Seen) -> Vec<String> {
    let levels: Vec<&str> = seen.topic.split('/').skip(2).collect();
    let value = || serde_json::from_slice::<Value>(&seen.payload).unwrap_or_default();
    let word = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    match levels.as_slice() {
        ["epmx", _, "get", _] => {
            let keys = value().get("keys").cloned().unwrap_or_default();
            let last = keys.as_array().and_then(|keys| keys.last());
            last.and_then(|key| Some(key.as_str()?.to_owned()))
                .into_iter()
                .collect()
        }
        [extension, _, "applied", "json", ..] => word(&value(), "configId")
            .map(|id| format!("{extension} {id}"))
            .into_iter()
            .collect(),
        ["cex", _, "result", of, _] => value()
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|result| Some(format!("{of} {}", result.get("id")?)))
            .collect(),
        _ => Vec::new(),
    }
}

/// The type and the ID of the request, of the topic of a result; its token may be shortened.
fn end_of_result(topic: &str) -> Option<&str> {
    topic.split_once("/result/").map(|(_, end)| end)
}

/// One of them, from the call that submits it until its end is told.
#[derive(Debug)]
pub(super) struct Errand {
    confirm: Confirm,
    /// Its messages, and perhaps some of an earlier one that nobody waits for any more and that said the
    /// same: what is asserted holds for either.
    sent: Vec<Sending>,
    /// Its answer may be one to somebody else, and no client can tell.
    pub(super) is_haunted: bool,
}

#[derive(Debug)]
struct Sending {
    link: u64,
    topic: String,
    at: Instant,
    /// When its answer came.
    answered: Option<Instant>,
    /// Whether it did, or one came at which perhaps nobody looked.
    may_be_answered: bool,
    /// Its link was refused: it counts as never sent, but its time may have been over before.
    is_taken_back: bool,
    is_acknowledged: bool,
}

impl Book {
    /// A request that says this was taken.
    pub(in super::super) fn add_errand(&mut self, says: &str, confirm: Confirm) {
        let errand = Errand {
            confirm,
            sent: Vec::new(),
            is_haunted: false,
        };
        self.errands.insert(says.to_owned(), errand);
    }

    /// Nobody waits for it any more.
    pub(in super::super) fn forget_errand(&mut self, says: &str) {
        self.errands.remove(says);
    }

    /// The platform did it.
    pub(in super::super) fn do_errand(&mut self, says: String) {
        self.done.insert(says);
    }

    pub(super) fn send_errands(&mut self, now: Instant, link: u64, seen: &Seen) {
        let sayings = sayings(seen);
        if let Some(end) = end_of_result(&seen.topic) {
            let sent = (now, sayings.clone());
            self.results.insert(end.to_owned(), sent);
        }
        for says in sayings {
            if let Some(errand) = self.errands.get_mut(&says) {
                errand.sent.push(Sending {
                    link,
                    topic: seen.topic.clone(),
                    at: now,
                    answered: None,
                    may_be_answered: false,
                    is_taken_back: false,
                    is_acknowledged: false,
                });
            }
        }
    }

    /// An answer came. The platform may send it on another link than that of the request, which waits
    /// there to be sent again: any answer is right.
    pub(super) fn answer_errands(&mut self, now: Instant, topic: &str) {
        for sending in self.sendings(topic) {
            sending.may_be_answered = true;
            sending.answered.get_or_insert(now);
        }
    }

    /// The platform refused what was sent there.
    pub(in super::super) fn refuse(&mut self, topic: &str) {
        self.refusals += 1;
        if let Some((_, sayings)) = end_of_result(topic).and_then(|end| self.results.get(end)) {
            self.refused_unheard.extend(sayings.iter().cloned());
        }
    }

    /// Whether the platform has refused this result, and nobody has heard it in time: it counts as
    /// taken once it is acknowledged, and may be forgotten, and its command run again.
    pub(in super::super) fn is_refused_unheard(&self, says: &str) -> bool {
        self.refused_unheard.contains(says)
    }

    pub(super) fn answer_results(&mut self, now: Instant, topic: &str) {
        let sent = end_of_result(topic).and_then(|end| self.results.remove(end));
        if let Some((at, sayings)) = sent {
            if now < at + ANSWER_WITHIN {
                self.refused_unheard.retain(|says| !sayings.contains(says));
            }
        }
    }

    /// An answer came, and perhaps nobody looked at it.
    pub(in super::super) fn handle_doubtful(&mut self, topic: &str) {
        self.sendings(topic)
            .for_each(|sending| sending.may_be_answered = true);
    }

    pub(super) fn acknowledge_errands(&mut self, link: u64, topic: &str) {
        self.sendings(topic)
            .filter(|sending| sending.link == link)
            .for_each(|sending| sending.is_acknowledged = true);
    }

    fn sendings(&mut self, topic: &str) -> impl Iterator<Item = &mut Sending> {
        let sent = self.errands.values_mut().flat_map(|e| &mut e.sent);
        sent.filter(move |sending| sending.topic == topic)
    }

    /// What was sent on a link counts as never sent.
    pub(super) fn take_errands_back(&mut self, link: u64) {
        let sent = self.errands.values_mut().flat_map(|e| &mut e.sent);
        for sending in sent.filter(|sending| sending.link == link) {
            sending.is_taken_back = true;
        }
    }

    /// A request that says this has ended, and its ticket says so.
    pub(in super::super) fn end_errand(
        &mut self,
        now: Instant,
        says: &str,
        outcome: Result<(), &Failure>,
    ) {
        let Some(errand) = self.errands.remove(says) else {
            panic!("{says:?} ended, and nobody asked for it");
        };
        let is_sent = !errand.sent.is_empty();
        match outcome {
            Ok(()) if errand.is_haunted => {}
            Ok(()) => {
                let is_enough = |sending: &Sending| {
                    let is_enough = errand.confirm == Confirm::Acknowledged;
                    !sending.is_taken_back
                        && (sending.may_be_answered || is_enough && sending.is_acknowledged)
                };
                let is_told = errand.sent.iter().any(is_enough);
                assert!(
                    is_told,
                    "{says:?} was confirmed, and the platform said nothing"
                );
                // Reads leave no trace by which they could be told apart, and what was only
                // acknowledged may have been refused.
                let leaves_trace = errand.confirm == Confirm::Answered && !says.starts_with('q');
                assert!(
                    !leaves_trace || self.done.contains(says),
                    "{says:?} was confirmed, and not processed"
                );
            }
            Err(Failure::Rejected { status, .. }) => self.reject(says, *status),
            Err(Failure::Unanswered) => {
                let is_overdue = |sending: &&Sending| {
                    let until = sending.at + ANSWER_WITHIN;
                    // An answer that comes too late may be taken all the same, or not.
                    until <= now && sending.answered.is_none_or(|at| at >= until)
                };
                let overdue = errand.sent.iter().rfind(is_overdue);
                let Some(overdue) = overdue else {
                    panic!("{says:?} is called unanswered: {:?}", errand.sent);
                };
                let is_calm = self.calm_from.is_some_and(|from| overdue.link >= from);
                assert!(
                    !is_calm,
                    "{says:?} was sent in calm weather, and is not answered"
                );
            }
            Err(Failure::Closed) => self.check_closed(says),
            // It may wait for ever and be sent again, and nobody takes it back.
            Err(other) => panic!("{says:?} ended, sent {is_sent}: {other}"),
        }
    }

    /// A request was told that the platform has refused it.
    pub(super) fn reject(&mut self, subject: &str, status: Option<u16>) {
        assert_ne!(
            status,
            Some(FOREIGN),
            "{subject} was rejected by somebody else's answer"
        );
        self.rejected += 1;
        assert!(
            self.rejected <= self.refusals,
            "{subject} was rejected, and the platform has refused nothing"
        );
    }

    /// A request was told that the client is closed.
    pub(super) fn check_closed(&self, subject: &str) {
        assert!(
            self.is_closing,
            "{subject} was told that the client is closed, and it is not"
        );
    }
}
