//! What gives out numbers, against a model of what is taken: request IDs, packet identifiers, and the keys of
//! endpoints.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod choices;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kaa_proto::QoS;
use kaa_proto::connection::{AddError, Connection, EndpointKey, Options, Removal};
use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
use kaa_proto::mqtt::{Incoming, PublishError, Session, SessionOptions};
use kaa_proto::names::EndpointName;
use kaa_proto::raw::Call;
use kaa_proto::request::{RequestExt, RequestId, Resend, Service};
use kaa_tests::clock::Clock;
use kaa_tests::endpoint_host::{EndpointHost, Published};
use kaa_tests::sniffer::Sniffer;
use proptest::prelude::*;

/// How long an ID rests after a request that may still be answered: twice the wait for an answer.
const REST: Duration = Duration::from_secs(60);

/// What happens to the requests of one extension instance.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One is asked for, to this resource; it may be sent again or not.
    Ask(u8, bool),
    /// One of those that were sent is answered.
    Answer(u8),
    /// One is taken back.
    Cancel(u8),
    /// The link is lost and comes back.
    Relink,
    /// Seconds go by.
    Wait(u8),
}

fn step(resources: u8) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..resources, any::<bool>()).prop_map(|(resource, again)| Step::Ask(resource, again)),
        4 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => Just(Step::Relink),
        2 => (0_u8..70).prop_map(Step::Wait),
    ]
}

/// Requests, and which IDs are taken.
struct Ids {
    host: EndpointHost,
    max: u32,
    /// Those that have not ended, and their resource.
    open: Vec<(RequestId, String)>,
    /// Who holds which ID.
    held: BTreeMap<u32, RequestId>,
    /// What was sent and not answered: its resource, ID, and how often.
    sent: BTreeMap<RequestId, (String, u32, u32)>,
    /// Pairs that rest, and until when.
    resting: BTreeMap<(u32, String), Instant>,
}

impl Ids {
    fn new(max: u32) -> Self {
        let options = EndpointOptions::default()
            .subscriptions(Subscriptions::None)
            .max_request_id(max)
            .unwrap();
        Self {
            host: EndpointHost::online(options, 1).unwrap(),
            max,
            open: Vec::new(),
            held: BTreeMap::new(),
            sent: BTreeMap::new(),
            resting: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ask(resource, again) => {
                let resource = format!("r{resource}");
                let call = Call::new(Service::Telemetry, &resource);
                let resend = if again {
                    Resend::AfterLinkLoss
                } else {
                    Resend::Never
                };
                if let Ok(id) = self.host.submit(&call.resend(resend)) {
                    self.open.push((id, resource));
                }
            }
            Step::Answer(index) => {
                let index = usize::from(index) % self.sent.len().max(1);
                if let Some((resource, id, _)) = self.sent.values().nth(index) {
                    self.host
                        .receive(&format!("dcx/{resource}/{id}/status"), "");
                }
            }
            Step::Cancel(index) => {
                let index = usize::from(index) % self.open.len().max(1);
                if let Some((id, _)) = self.open.get(index).cloned() {
                    self.host.cancel(id);
                }
            }
            Step::Relink => self.host.relink(),
            Step::Wait(seconds) => {
                // What ends meanwhile begins its rest when it ended: second by second.
                for _ in 0..seconds {
                    self.host.advance(Duration::from_secs(1));
                    self.look(false);
                }
            }
        }
        self.look(matches!(step, Step::Answer(_)));
    }

    /// Takes note of what ended and what was sent, and checks it.
    fn look(&mut self, was_answered: bool) {
        let now = self.host.now();
        self.resting.retain(|_, until| *until > now);
        let ended = |(id, _): &&(RequestId, String)| self.host.outcome(*id).is_some();
        let ended: Vec<_> = self.open.iter().filter(ended).cloned().collect();
        for (id, resource) in ended {
            self.open.retain(|(open, _)| *open != id);
            self.held.retain(|_, holder| *holder != id);
            if let Some((_, wire_id, times)) = self.sent.remove(&id) {
                // A second answer would confirm another request.
                if !was_answered || times > 1 {
                    self.resting.insert((wire_id, resource), now + REST);
                }
            }
        }
        for published in self.host.take_sent() {
            self.see(&published);
        }
    }

    fn see(&mut self, published: &Published) {
        let levels: Vec<_> = published.path.split('/').collect();
        let ["dcx", resource, id] = levels[..] else {
            panic!("{}", published.path);
        };
        let (request, id) = (published.key.request(), id.parse().unwrap());
        assert!((1..=self.max).contains(&id), "{id}");
        if let Some((_, before, times)) = self.sent.get_mut(&request) {
            assert_eq!(*before, id, "it is sent again under its ID");
            *times += 1;
            return;
        }
        let pair = (id, String::from(resource));
        assert!(!self.resting.contains_key(&pair), "{pair:?} rests");
        let holder = self.held.insert(id, request);
        assert_eq!(holder, None, "{id} is held");
        self.sent.insert(request, (pair.1, id, 1));
    }
}

/// What happens to a session.
#[derive(Clone, Copy, Debug)]
enum Packet {
    Publish(bool),
    Subscribe,
    Unsubscribe,
    /// One that is out is acknowledged.
    Acknowledge(u8),
    /// One that may not be out is.
    Guess(u8, u16),
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        6 => any::<bool>().prop_map(Packet::Publish),
        1 => Just(Packet::Subscribe),
        1 => Just(Packet::Unsubscribe),
        6 => any::<u8>().prop_map(Packet::Acknowledge),
        1 => (any::<u8>(), 0_u16..40).prop_map(|(kind, id)| Packet::Guess(kind, id)),
    ]
}

/// A session, and which identifiers are out, for what, and under which key.
struct Tracked {
    session: Session<u32>,
    clock: Clock,
    sniffer: Sniffer,
    window: u16,
    next_key: u32,
    out: BTreeMap<u16, (u8, u32)>,
}

const WINDOW: u16 = 5;

impl Tracked {
    fn new() -> Self {
        let clock = Clock::new();
        let mut options = SessionOptions::new("device");
        options.max_in_flight = WINDOW;
        let mut session = Session::new(clock.now(), &options).unwrap();
        let mut connack = &b"\x20\x02\x00\x00"[..];
        let incoming = session.handle_input(clock.now(), &mut connack);
        assert_eq!(incoming, Some(Incoming::Connected));
        let mut this = Self {
            session,
            clock,
            sniffer: Sniffer::default(),
            window: WINDOW,
            next_key: 0,
            out: BTreeMap::new(),
        };
        this.look();
        this
    }

    fn take(&mut self, packet: Packet) {
        let key = self.next_key;
        match packet {
            Packet::Publish(twice) => {
                let qos = if twice {
                    QoS::ExactlyOnce
                } else {
                    QoS::AtLeastOnce
                };
                let publishes = |(kind, _): &&(u8, u32)| matches!(kind, 3 | 4 | 6);
                let is_full =
                    self.out.values().filter(publishes).count() >= usize::from(self.window);
                let taken = self.session.publish(key, "a", b"", qos);
                let expected = if is_full {
                    Err(PublishError::WindowFull)
                } else {
                    Ok(())
                };
                assert_eq!(taken, expected);
            }
            Packet::Subscribe => drop(self.session.subscribe(key, &[("a", QoS::AtMostOnce)])),
            Packet::Unsubscribe => drop(self.session.unsubscribe(key, &["a"])),
            Packet::Acknowledge(index) => {
                let index = usize::from(index) % self.out.len().max(1);
                if let Some((&id, &(kind, _))) = self.out.iter().nth(index) {
                    self.acknowledge(kind, id);
                }
            }
            Packet::Guess(kind, id) => {
                self.acknowledge([3, 4, 6, 8, 10][usize::from(kind % 5)], id);
            }
        }
        self.look();
    }

    /// Takes note of what was sent; its identifier was free.
    fn look(&mut self) {
        let mut bytes = Vec::new();
        let len = self.session.poll_transmit(&mut bytes);
        self.session.handle_written(self.clock.now(), len);
        for packet in self.sniffer.packets(&bytes) {
            let kind = packet.first >> 4;
            let id = match (kind, &packet.body[..]) {
                // After the topic "a".
                (3, &[_, _, _, high, low, ..]) | (8 | 10, &[high, low, ..]) => [high, low],
                _ => continue,
            };
            let id = u16::from_be_bytes(id);
            // A message that is to come once waits for another packet.
            let kind = if packet.first & 4 != 0 { 4 } else { kind };
            assert_ne!(id, 0);
            let before = self.out.insert(id, (kind, self.next_key));
            assert_eq!(before, None, "{id} is out");
            self.next_key += 1;
        }
    }

    /// The server acknowledges what `kind` of packet was sent under `id`, whether it was or not.
    fn acknowledge(&mut self, kind: u8, id: u16) {
        if id == 0 {
            return;
        }
        let [high, low] = id.to_be_bytes();
        let bytes = match kind {
            3 => vec![0x40, 2, high, low],
            4 => vec![0x50, 2, high, low],
            6 => vec![0x70, 2, high, low],
            8 => vec![0x90, 3, high, low, 0],
            _ => vec![0xb0, 2, high, low],
        };
        let now = self.clock.now();
        let mut input = &bytes[..];
        let incoming = self.session.handle_input(now, &mut input);
        let out = self
            .out
            .get(&id)
            .copied()
            .filter(|(awaits, _)| *awaits == kind);
        match (kind, out) {
            (_, None) => {
                let is_unexpected =
                    matches!(incoming, Some(Incoming::Unexpected { id: told, .. }) if told == id);
                assert!(is_unexpected, "{incoming:?} for {id}");
            }
            // PUBREC is half of it: PUBREL goes out under the same identifier.
            (4, Some((_, key))) => {
                assert_eq!(incoming, None);
                self.out.insert(id, (6, key));
            }
            (_, Some((_, key))) => {
                match incoming {
                    Some(Incoming::Acknowledged(told)) => assert!(kind < 8 && told == key),
                    Some(Incoming::Subscribed { key: told, .. }) => {
                        assert!(kind == 8 && told == key);
                    }
                    Some(Incoming::Unsubscribed(told)) => assert!(kind == 10 && told == key),
                    other => panic!("{other:?}"),
                }
                self.out.remove(&id);
            }
        }
    }
}

proptest! {
    #![proptest_config(choices::cases(1_500))]

    #[test]
    fn a_request_id_is_never_held_twice_nor_taken_while_it_rests(
        max in prop_oneof![1_u32..6, 97_u32..104],
        steps in prop::collection::vec(step(3), 0..120),
    ) {
        let mut ids = Ids::new(max);
        for step in steps {
            ids.take(step);
        }
    }

    #[test]
    fn a_request_waits_only_while_every_id_is_held_or_rests(
        max in 1_u32..6, steps in prop::collection::vec(step(1), 0..60),
    ) {
        let mut ids = Ids::new(max);
        for step in steps {
            ids.take(step);
            let is_taken = |id| ids.held.contains_key(&id) || ids.resting.contains_key(&(id, "r0".into()));
            let waits = ids.host.endpoint.queue_len() > 0;
            prop_assert!(!waits || (1..=max).all(is_taken), "it waits though one is free");
        }
    }

    #[test]
    fn a_packet_identifier_is_out_once_and_brings_back_its_own_key(
        packets in prop::collection::vec(packet(), 0..200),
    ) {
        let mut session = Tracked::new();
        for packet in packets {
            session.take(packet);
        }
    }

    #[test]
    fn a_key_finds_its_own_endpoint_and_after_its_removal_none(
        steps in prop::collection::vec((any::<bool>(), 0_u8..6, any::<u8>()), 0..120),
    ) {
        let now = Clock::new().now();
        let mut connection = Connection::new(Options::new("device").max_endpoints(4), now, 1).unwrap();
        let mut there: BTreeMap<EndpointKey, EndpointName> = BTreeMap::new();
        let mut gone = Vec::new();
        for (add, number, index) in steps {
            if add {
                let name = EndpointName::parse("demo-v1", &format!("tok{number}")).unwrap();
                let taken = there.iter().find(|(_, other)| **other == name).map(|(key, _)| *key);
                match connection.add_endpoint(now, name.clone()) {
                    Ok(key) => {
                        prop_assert!(taken.is_none() && there.len() < 4);
                        prop_assert!(!gone.contains(&key), "{} was given before", key);
                        prop_assert_eq!(there.insert(key, name), None);
                    }
                    Err(AddError::NameTaken(key)) => prop_assert_eq!(taken, Some(key)),
                    Err(error) => prop_assert!(error == AddError::TooMany && there.len() == 4),
                }
            } else if let Some(&key) = there.keys().nth(usize::from(index) % there.len().max(1)) {
                prop_assert!(connection.remove_endpoint(now, key, Removal::Discard));
                there.remove(&key);
                gone.push(key);
            }
            for (key, name) in &there {
                prop_assert_eq!(connection.endpoint(*key).map(|endpoint| endpoint.name()), Some(name));
                prop_assert_eq!(connection.find(name), Some(*key));
            }
            for key in &gone {
                prop_assert!(connection.endpoint(*key).is_none());
            }
            prop_assert_eq!(connection.endpoints().count(), there.len());
        }
    }
}
