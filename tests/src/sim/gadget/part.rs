//! One endpoint of a gadget: what it sends, and what it may be told of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kaa_proto::client::{Endpoint, Ticket};
use kaa_proto::connection::LinkState;
use kaa_proto::endpoint::{Recovered, Statistics, Unfinished};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::EventKind;
use kaa_proto::request::{Adjusted, Class};
use kaa_proto::telemetry::Sample;
use serde_json::{Map, Value};

use super::super::program::{Birth, LinkEnd, Moment, Order, Passed, Storage};
use super::Bounds;
use super::book::{Book, key_of_get};
use super::pending::{Pending, Said};
use super::service::Service;
use crate::sniffer::Seen;

/// What a part asked for, by number.
pub(super) struct Asked {
    pub(super) ticket: Box<dyn Pending>,
    /// How many metadata there had been when it asked for them; `None`: it asks for nothing.
    pub(super) floor: Option<usize>,
    /// It shows that everything works again.
    pub(super) is_probe: bool,
    /// Its answer may be one to an earlier process.
    pub(super) is_haunted: bool,
}

/// The kinds of requests that show in calm weather that everything works.
pub(super) const PROBES: usize = 3;

pub(super) struct Part {
    pub(super) name: EndpointName,
    pub(super) bounds: Bounds,
    /// In the present process.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) book: Book,
    pub(super) service: Service,
    pub(super) asked: BTreeMap<u64, Asked>,
    /// The latest number.
    pub(super) n: u64,
    /// The metadata that the platform has had, by number; 0 is none.
    pub(super) metadata: Vec<u64>,
    /// What the account of a shutdown said is left for the next run.
    pub(super) left: BTreeSet<u64>,
    /// Which of the probes were confirmed.
    pub(super) probed: [bool; PROBES],
    pub(super) probes: BTreeMap<u64, usize>,
    /// Whether requests may be durable.
    pub(super) has_store: bool,
}

impl Part {
    pub(super) fn new(name: EndpointName, bounds: Bounds) -> Self {
        Self {
            service: Service::new(name.token().as_str(), bounds.inbox),
            name,
            bounds,
            endpoint: None,
            book: Book::new(bounds.max_id),
            asked: BTreeMap::new(),
            n: 0,
            metadata: vec![0],
            left: BTreeSet::new(),
            probed: [false; PROBES],
            probes: BTreeMap::new(),
            has_store: false,
        }
    }

    pub(super) const fn name(&self) -> &EndpointName {
        &self.name
    }

    pub(super) fn start(&mut self, moment: &mut Moment<'_>, birth: Birth) {
        if birth != Birth::First {
            // What was closed and is not left has ended, though the store was too slow for it to be
            // told; the account of what is left is there when the shutdown is over.
            self.book.keep_only(&std::mem::take(&mut self.left));
            self.book.handle_crash(moment.now, moment.storage);
            self.service.handle_crash(moment.storage);
        }
        self.asked.clear();
        self.probes.clear();
        self.has_store = moment.storage != Storage::None;
        let endpoint = moment.client.endpoint(&self.name);
        let endpoint = endpoint.unwrap_or_else(|error| panic!("{error}"));
        if let Some(recovered) = endpoint.take_recovered() {
            self.recover(moment.notes, &endpoint, &recovered);
        } else if self.has_store && birth != Birth::First {
            self.book.check_stored(&Default::default());
        }
        self.service.start(&endpoint);
        self.endpoint = Some(endpoint);
    }

    fn recover(&mut self, notes: &mut Vec<String>, endpoint: &Endpoint, recovered: &Recovered) {
        let resumed = recovered
            .resumed
            .iter()
            .filter_map(|r| Some((number(&r.payload)?, r.id)));
        let resumed: Vec<_> = resumed.collect();
        let unknown = recovered
            .unknown
            .iter()
            .filter_map(|request| number(&request.payload));
        let unknown: Vec<_> = unknown.collect();
        let found = resumed
            .iter()
            .map(|(n, _)| *n)
            .chain(unknown.iter().copied());
        self.book.check_stored(&found.collect());
        for n in unknown {
            notes.push(format!("  {} recovers {n} as unknown", self.name));
            self.book.is_unknown(n);
        }
        for (n, id) in resumed {
            notes.push(format!("  {} goes on with {n}", self.name));
            self.book.goes_on(n);
            // Samples and metadata have the same, empty answer.
            let Some(ticket): Option<Ticket<Adjusted<Sample<Value>>>> = endpoint.resumed(id) else {
                panic!("{n} goes on, and has no ticket");
            };
            self.keep(n, ticket, None, false);
        }
    }

    pub(super) fn live(&mut self, moment: &mut Moment<'_>) {
        let Some(endpoint) = self.endpoint.clone() else {
            return;
        };
        self.take_note(moment.now, moment.notes);
        self.service.take_note(moment.now, &mut self.book);
        // A disk that failed may have lost what was told, and what was to be told.
        if moment.is_settled && matches!(moment.storage, Storage::None | Storage::Good) {
            let has_link = !matches!(moment.client.link_state(), LinkState::Waiting { .. });
            self.book.check_deadlines(moment.now, has_link);
            self.check_account(&endpoint);
            for (class, bound) in [
                (Class::Control, self.bounds.control),
                (Class::Bulk, self.bounds.bulk),
            ] {
                let (open, most) = (self.book.open_len(class), bound + self.bounds.in_flight);
                assert!(
                    open <= most,
                    "{open} {class:?} requests are held, at most {most} may be"
                );
            }
        }
        self.service.live(moment, &endpoint, &mut self.book);
        if moment.is_calm {
            self.book.calm_down(moment.link);
            self.probe(moment, &endpoint);
        } else {
            for _ in 0..moment.dice.below(4) {
                self.act(moment, &endpoint);
            }
        }
        let statistics = moment.client.statistics();
        let (open, queued) = (open_in(&statistics.requests), statistics.queued);
        let held = (queued + statistics.in_flight) as u64;
        assert!(open <= held, "{open} requests are open, {held} are held");
        // Pings, observations and results of commands wait beside the requests.
        let most = statistics.endpoints * (self.bounds.control + self.bounds.bulk + SERVICE_QUEUE);
        assert!(queued <= most, "{queued} are queued, at most {most} may be");
        let (in_flight, most) = (
            statistics.in_flight,
            statistics.endpoints * self.bounds.in_flight,
        );
        assert!(
            in_flight <= most,
            "{in_flight} are in flight, at most {most} may be"
        );
    }

    /// All that has ended is told by now: a ticket tells one end only, however often its request ended.
    fn check_account(&self, endpoint: &Endpoint) {
        if let Some(statistics) = endpoint.statistics() {
            let untold = (self.asked.len() + self.service.waits()) as u64;
            let open = open_in(&statistics);
            assert!(
                open >= untold,
                "{open} requests have not ended, of {untold} nobody knows how"
            );
        }
    }

    /// What the client has told by now.
    pub(super) fn take_note(&mut self, now: Instant, notes: &mut Vec<String>) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|n, asked| {
            if asked.ticket.is_stored() && self.book.store(*n) {
                notes.push(format!("  {} has {n} stored", self.name));
            }
            let Some(outcome) = asked.ticket.outcome() else {
                return true;
            };
            notes.push(match &outcome {
                Ok(_) => format!("  {} has {n} confirmed", self.name),
                Err(failure) => format!("  {} has {n} ended: {failure}", self.name),
            });
            if asked.is_probe && outcome.is_ok() {
                if let Some(probe) = self.probes.get(n) {
                    self.probed[*probe] = true;
                }
            }
            let floor = asked.floor.filter(|_| !asked.is_haunted);
            if let (Some(floor), Ok(Said(Some(answer)))) = (floor, &outcome) {
                self.check_answer(floor, answer);
            }
            let end = outcome.as_ref().map(drop);
            match asked.floor {
                Some(_) => self.book.end_errand(now, &key_of_get(*n), end),
                None => self.book.handle_end(now, *n, end),
            }
            false
        });
        self.asked = asked;
    }

    /// Metadata are of this endpoint, and such as there were since they were asked for.
    fn check_answer(&self, floor: usize, answer: &Map<String, Value>) {
        if let Some(me) = answer.get("me") {
            let me = me.as_str();
            assert_eq!(
                me,
                Some(self.name.token().as_str()),
                "another endpoint's answer"
            );
        }
        let seen = answer.get("n").and_then(Value::as_u64).unwrap_or_default();
        let since = &self.metadata[floor..];
        assert!(
            since.contains(&seen),
            "an answer of another time: {seen}, and there were {since:?}"
        );
    }

    pub(super) fn is_done(&self) -> bool {
        self.asked.is_empty() && self.probed == [true; PROBES] && self.service.is_done()
    }

    pub(super) fn undone(&self) -> String {
        let asked: Vec<_> = self.asked.keys().collect();
        format!(
            "open {:?}, asked {asked:?}, probed {:?}, {}",
            self.book.open(),
            self.probed,
            self.service.undone()
        )
    }

    pub(super) fn finish(&self) {
        let open = self.book.open();
        assert!(open.is_empty(), "{open:?} never ended");
        self.book.check_abandoned();
        self.service.finish();
    }

    pub(super) fn handle_unfinished(&mut self, unfinished: &Unfinished) {
        if unfinished.stored {
            self.left.extend(number(&unfinished.payload));
        }
    }

    pub(super) const fn handle_shutdown(&mut self) {
        self.book.close();
    }

    pub(super) fn note_crash(&mut self, now: Instant, notes: &mut Vec<String>) {
        self.take_note(now, notes);
    }

    pub(super) fn handle_order(&mut self, order: &Order) {
        self.service.handle_order(order);
    }

    pub(super) fn handle_log(&mut self, kind: &EventKind) {
        self.service.handle_log(kind, &mut self.book);
        let mut processed = Vec::new();
        if let EventKind::Telemetry { data, .. } = kind {
            processed.extend(number_in(data));
        } else if let EventKind::MetadataReplaced { keys } = kind {
            let numbers = keys
                .iter()
                .filter_map(|key| key.strip_prefix('n')?.parse::<u64>().ok());
            processed.extend(numbers);
            self.metadata.extend(&processed);
        } else if let Some(topic) = refused(kind) {
            self.book.refuse(topic);
        } else if let EventKind::Fault { fault, topic } = kind {
            if fault == "duplicate" {
                self.book.handle_copied(topic);
            }
        }
        for n in processed {
            self.book.handle_processed(n);
        }
    }

    pub(super) fn handle_wire(&mut self, now: Instant, link: u64, passed: Passed<'_>) {
        match passed {
            Passed::Sent(seen) => {
                self.book.handle_message(now, link, seen);
                if let Some(n) = number(&seen.payload).filter(|_| carries_number(seen)) {
                    self.book.handle_sent(now, link, &seen.topic, n);
                }
            }
            Passed::Acknowledged(seen) => {
                let n = number(&seen.payload).filter(|_| carries_number(seen));
                self.book.handle_acknowledged(link, &seen.topic, n);
            }
            Passed::Doubtful(seen) => {
                if let Some(topic) = request_of(&seen.topic) {
                    self.book.handle_doubtful(topic);
                }
            }
            Passed::Copied(seen) => self.book.handle_copied(&seen.topic),
            Passed::Received(seen) => {
                if let Some(topic) = request_of(&seen.topic) {
                    if self.book.handle_answer(now, link, topic) {
                        // It may be what some request is told instead of its own.
                        self.asked
                            .values_mut()
                            .for_each(|asked| asked.is_haunted = true);
                    }
                }
            }
        }
    }

    pub(super) fn handle_link_gone(&mut self, link: u64, end: LinkEnd) {
        self.book.handle_link_gone(link, end);
    }
}

/// How many messages of the client itself may wait beside the requests.
const SERVICE_QUEUE: usize = 300;

/// How many requests have not ended.
fn open_in(statistics: &Statistics) -> u64 {
    let (taken, ended) = (statistics.submitted, statistics.ended());
    assert!(ended <= taken, "{taken} requests were taken, {ended} ended");
    taken - ended
}

/// The topic of the request that is answered on a topic.
pub(super) fn request_of(answer: &str) -> Option<&str> {
    let status = answer.strip_suffix("/status");
    status.or_else(|| answer.strip_suffix("/error"))
}

/// Telemetry and metadata carry their number.
fn carries_number(seen: &Seen) -> bool {
    let extension = seen.topic.split('/').nth(2);
    matches!(extension, Some("dcx" | "epmx"))
}

fn number(payload: &[u8]) -> Option<u64> {
    number_in(&serde_json::from_slice(payload).ok()?)
}

/// The number of a sample, or of the first of a batch.
fn number_in(value: &Value) -> Option<u64> {
    let first = value
        .as_array()
        .and_then(|samples| samples.first())
        .unwrap_or(value);
    first.get("n").and_then(Value::as_u64)
}

/// The topic of what the platform refused.
fn refused(kind: &EventKind) -> Option<&str> {
    if let EventKind::Refused { topic, .. } | EventKind::Breach { topic, .. } = kind {
        return Some(topic);
    }
    if let EventKind::Fault { fault, topic } = kind {
        return fault.starts_with("error").then_some(topic);
    }
    None
}
