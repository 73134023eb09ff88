//! A program that does something of everything, and knows what it may be told.

mod asking;
mod book;
mod part;
mod pending;
mod service;

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::{Duration, Instant};

use kaa_proto::client::Options;
use kaa_proto::connection::{self, Account};
use kaa_proto::endpoint::{EndpointOptions, Subscriptions, WhenFull, WhenInterrupted};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform;
use kaa_proto::request::Class;

use self::part::Part;
use super::program::{Birth, LinkEnd, Moment, Order, Passed, Program};
use super::weather::Weather;
use crate::dice::Dice;

/// How long a gadget's client waits for answers.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many requests of each class an endpoint may have queued, at most.
const QUEUE: usize = 24;

/// A device, or a gateway with several endpoints.
pub(super) struct Gadget {
    parts: Vec<Part>,
    options: Options,
    /// How often it is called, in milliseconds at most.
    pace: u64,
    high_water: usize,
}

/// What may wait to be written beside the bytes up to which something is added: the message or SUBSCRIBE
/// that was added last, and acknowledgements.
const LAST_OUT: usize = 1_024;

impl Gadget {
    /// The gadget of this number, as the dice make it.
    pub(super) fn new(number: u64, weather: &Weather, dice: &mut Dice) -> Self {
        let count = match dice.below(3) {
            0 => 2 + dice.below(4),
            _ => 1,
        };
        let bounds = Bounds {
            control: 4 + dice.below(QUEUE as u64 - 3) as usize,
            bulk: 4 + dice.below(QUEUE as u64 - 3) as usize,
            drops_oldest: dice.below(2) == 0,
            in_flight: 2 + dice.below(15) as usize,
            max_id: [20, 40, 99_999][dice.below(3) as usize],
            inbox: Inbox {
                known: [4, 16, 256][dice.below(3) as usize],
                unread: 1 + dice.below(8) as usize,
                unread_bytes: [50, 100, 256 * 1024][dice.below(3) as usize],
            },
            high_water: [256, 1_024, 16_384][dice.below(3) as usize],
        };
        let name = |index: u64| {
            // Those of one device begin alike, and those of the platform's log can be told apart.
            let token = format!("{number}{index}{}", "token");
            EndpointName::parse("demo-v1", &token).unwrap_or_else(|error| panic!("{error}"))
        };
        Self {
            parts: (0..count)
                .map(|index| Part::new(name(index), bounds))
                .collect(),
            options: options(weather, bounds, dice),
            pace: 1 << (8 + dice.below(8)),
            high_water: bounds.high_water,
        }
    }
}

/// How much an endpoint holds.
///
/// Two of three have far fewer IDs than any client is given (`max_request_id`), so that in a life of a
/// thousand steps IDs come round, rest, and run out. The price: an ID that is alone free comes round with
/// each request, and then a copy of an answer confirms the next one ([`Book`](book::Book)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) control: usize,
    pub(super) bulk: usize,
    pub(super) drops_oldest: bool,
    pub(super) in_flight: usize,
    pub(super) max_id: u32,
    pub(super) inbox: Inbox,
    /// How many bytes may wait to be written before nothing more is.
    pub(super) high_water: usize,
}

/// How many commands an endpoint keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inbox {
    /// Known, with their results.
    pub(super) known: usize,
    /// Not read, of each type.
    pub(super) unread: usize,
    /// Not read, in bytes.
    pub(super) unread_bytes: usize,
}

fn options(weather: &Weather, bounds: Bounds, dice: &mut Dice) -> Options {
    let subscriptions = match dice.below(3) {
        0 if weather.serves_without_subscription() => Subscriptions::None,
        1 => Subscriptions::PerEndpoint,
        _ => Subscriptions::PerResource,
    };
    let when_full = match bounds.drops_oldest {
        true => WhenFull::DropOldest,
        false => WhenFull::Refuse,
    };
    let count = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    let in_flight = NonZeroU16::new(bounds.in_flight as u16).unwrap_or(NonZeroU16::MIN);
    let mut endpoint = EndpointOptions::default()
        .subscriptions(subscriptions)
        .max_in_flight(in_flight)
        .max_commands(count(bounds.inbox.known))
        .max_unread_commands(count(bounds.inbox.unread))
        .max_unread_bytes(count(bounds.inbox.unread_bytes))
        .queue(Class::Control, count(bounds.control), count(256 * 1024))
        .queue(Class::Bulk, count(bounds.bulk), count(256 * 1024))
        .bulk_when_full(when_full);
    let policies = [
        ("ask", WhenInterrupted::Ask),
        ("fail", WhenInterrupted::Fail),
        ("again", WhenInterrupted::RunAgain),
    ];
    for (word, policy) in policies {
        let command_type = CommandType::new(word).unwrap_or_else(|error| panic!("{error}"));
        endpoint = endpoint.interrupted(command_type, policy);
    }
    let endpoint = endpoint
        .max_request_id(bounds.max_id)
        .unwrap_or_else(|error| panic!("{error}"))
        .answer_within(ANSWER_WITHIN)
        .unwrap_or_else(|error| panic!("{error}"));
    let keep_alive = Duration::from_secs(10 + dice.below(80));
    let is_eager = dice.below(2) == 0;
    let set = |options: connection::Options| {
        options
            .endpoint(endpoint)
            .keep_alive(keep_alive)
            .eager_start(is_eager)
            .high_water(bounds.high_water)
            .max_packet_in(16_384)
    };
    let options = Options::new("mqtt://127.0.0.1").unwrap_or_else(|error| panic!("{error}"));
    options.connection(set)
}

impl Program for Gadget {
    fn names(&self) -> Vec<EndpointName> {
        self.parts.iter().map(|part| part.name().clone()).collect()
    }

    fn options(&self) -> Options {
        self.options.clone()
    }

    fn start(&mut self, moment: &mut Moment<'_>, birth: Birth) {
        for part in &mut self.parts {
            part.start(moment, birth);
        }
    }

    fn live(&mut self, moment: &mut Moment<'_>) {
        for part in &mut self.parts {
            part.live(moment);
        }
        moment.again_in = Duration::from_millis(moment.dice.below(self.pace));
    }

    fn is_done(&self) -> bool {
        self.parts.iter().all(Part::is_done)
    }

    fn undone(&self) -> String {
        let undone = self.parts.iter().filter(|part| !part.is_done());
        let texts = undone.map(|part| format!("{}: {}", part.name(), part.undone()));
        texts.collect::<Vec<_>>().join(", ")
    }

    fn finish(&mut self) {
        self.parts.iter().for_each(Part::finish);
    }

    fn note_crash(&mut self, now: Instant, notes: &mut Vec<String>) {
        for part in &mut self.parts {
            part.note_crash(now, notes);
        }
    }

    fn handle_shutdown(&mut self) {
        self.parts.iter_mut().for_each(Part::handle_shutdown);
    }

    fn handle_account(&mut self, account: &Account) {
        for (name, unfinished) in &account.unfinished {
            let part = self.parts.iter_mut().find(|part| part.name() == name);
            if let Some(part) = part {
                part.handle_unfinished(unfinished);
            }
        }
    }

    fn handle_order(&mut self, name: &EndpointName, order: &Order) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.name() == name) {
            part.handle_order(order);
        }
    }

    fn handle_log(&mut self, event: &platform::Event) {
        let parts = self.parts.iter_mut();
        if let Some(part) = parts
            .into_iter()
            .find(|part| event.endpoint.as_ref() == Some(part.name()))
        {
            part.handle_log(&event.kind);
        }
    }

    fn handle_wire(&mut self, now: Instant, link: u64, passed: Passed<'_>) {
        let (Passed::Sent(seen)
        | Passed::Received(seen)
        | Passed::Doubtful(seen)
        | Passed::Acknowledged(seen)
        | Passed::Copied(seen)) = passed;
        let token = seen.topic.split('/').nth(3).unwrap_or_default();
        let mut parts = self.parts.iter_mut();
        if let Some(part) = parts.find(|part| part.name().token().as_str() == token) {
            part.handle_wire(now, link, passed);
        }
    }

    fn handle_output(&mut self, waiting: usize) {
        let most = self.high_water + LAST_OUT;
        assert!(
            waiting <= most,
            "{waiting} bytes wait to be written, at most {most} may"
        );
    }

    fn handle_link_gone(&mut self, link: u64, end: LinkEnd) {
        for part in &mut self.parts {
            part.handle_link_gone(link, end);
        }
    }
}
