//! Anything in any order: what must hold whatever happens.

use std::collections::BTreeMap;

use super::*;
use crate::endpoint::Observation;
use crate::names::CommandType;
use crate::rng::Rng;

/// A server that answers what it likes.
struct Chaos {
    wire: Wire,
    rng: Rng,
    keys: Vec<EndpointKey>,
    /// How often each request has ended.
    ended: BTreeMap<(EndpointKey, RequestId), u32>,
    /// Written and not yet seen by the server.
    inbox: Vec<u8>,
    /// Handed out and not yet written.
    outbox: Vec<u8>,
    added: u32,
    linked: Option<LinkId>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let wire = Wire::new(options().window(6).high_water(400).max_queued(60, 10_000));
        Self {
            wire,
            rng: Rng::new(seed),
            keys: Vec::new(),
            ended: BTreeMap::new(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            added: 0,
            linked: None,
        }
    }

    fn step(&mut self) {
        let now = self.wire.now;
        let chosen = self.rng.below(self.keys.len() as u64) as usize;
        let key = self.keys.get(chosen).copied();
        match (self.rng.below(20), key) {
            (0, _) if self.keys.len() < 8 => {
                self.added += 1;
                let key = self.wire.add(&format!("tok{}", self.added));
                self.keys.push(key);
            }
            (1, Some(key)) if self.rng.below(10) == 0 => {
                let removal = match self.rng.below(2) {
                    0 => Removal::Discard,
                    _ => Removal::Flush(secs(self.rng.below(20))),
                };
                self.wire.connection.remove_endpoint(now, key, removal);
                self.keys.retain(|kept| *kept != key);
            }
            (2, Some(key)) => {
                let reboot = Observation::Commands(CommandType::new("reboot").unwrap());
                let _ = self.wire.connection.observe(now, key, &reboot);
            }
            (3, _) if self.rng.below(4) == 0 => self.cut(),
            (4, _) => self.pass(),
            (5 | 6, _) => self.link(),
            (7..=9, _) => self.serve(),
            (10 | 11, _) => self.write(),
            (12, _) if self.rng.below(30) == 0 => self.feed(b"\xf0\x00"),
            (_, Some(key)) => self.submit(key),
            _ => {}
        }
        self.look();
    }

    fn submit(&mut self, key: EndpointKey) {
        let now = self.wire.now;
        let resend = match self.rng.below(2) {
            0 => Resend::Never,
            _ => Resend::AfterLinkLoss,
        };
        let sample = Sample::new("x").resend(resend);
        if let Ok(id) = self.wire.connection.submit(now, key, &sample) {
            self.ended.insert((key, id), 0);
        }
    }

    fn link(&mut self) {
        if let Demand::Dial(link) = self.wire.connection.demand() {
            self.wire.connection.handle_connected(self.wire.now, link);
            self.linked = Some(link);
            self.inbox.clear();
            self.outbox.clear();
            self.feed(CONNACK);
        }
    }

    fn cut(&mut self) {
        if let Some(link) = self.linked.take() {
            let (now, cause) = (self.wire.now, LinkError::Eof);
            self.wire.connection.handle_disconnected(now, link, cause);
        }
    }

    fn pass(&mut self) {
        self.wire.now += Duration::from_millis(self.rng.below(20_000));
        self.wire.connection.handle_timeout(self.wire.now);
    }

    fn feed(&mut self, input: &[u8]) {
        if let Some(link) = self.linked {
            self.wire
                .connection
                .handle_input(self.wire.now, link, input);
        }
    }

    fn write(&mut self) {
        let connection = &mut self.wire.connection;
        connection.poll_transmit(self.wire.now, &mut self.outbox);
        let n = self.rng.below(self.outbox.len() as u64 + 1) as usize;
        if let Some(link) = self.linked {
            connection.handle_written(self.wire.now, link, n);
            self.inbox.extend(self.outbox.drain(..n));
        }
    }

    /// Acknowledges and answers some of the messages that were written whole.
    fn serve(&mut self) {
        while let [first, length, body @ ..] = &self.inbox[..] {
            let length = usize::from(*length);
            let Some(body) = body.get(..length) else {
                return;
            };
            let is_publish = first & 0xf0 == 0x30;
            let is_ping = *first == 0xc0;
            let body = body.to_vec();
            self.inbox.drain(..2 + length);
            if is_ping {
                self.feed(b"\xd0\x00");
            } else if is_publish {
                let topic_length = usize::from(body[1]);
                let topic = String::from_utf8(body[2..2 + topic_length].to_vec()).unwrap();
                let id = &body[2 + topic_length..4 + topic_length];
                if self.rng.below(10) > 0 {
                    self.feed(&[0x40, 2, id[0], id[1]]);
                }
                if self.rng.below(10) > 1 {
                    self.feed(&message(&format!("{topic}/status"), ""));
                }
            }
        }
    }

    /// Polls events, and checks what must hold after every step.
    fn look(&mut self) {
        let connection = &mut self.wire.connection;
        connection.handle_timeout(self.wire.now);
        let timeout = connection.poll_timeout();
        assert!(timeout.is_none_or(|at| at > self.wire.now));
        connection.handle_timeout(self.wire.now);
        assert_eq!(connection.poll_timeout(), timeout);
        while let Some(event) = connection.poll_event() {
            if let Event::Endpoint {
                key,
                event: endpoint::Event::Completed { id, .. },
            } = event
            {
                *self.ended.get_mut(&(key, id)).unwrap() += 1;
            }
        }
        let slots = || connection.slots.iter().map(|(_, slot)| &slot.endpoint);
        assert_eq!(
            connection.totals.queued,
            slots().map(Endpoint::queue_len).sum::<usize>()
        );
        assert_eq!(
            connection.totals.busy,
            slots().filter(|endpoint| !endpoint.is_idle()).count()
        );
        assert!(self.outbox.len() < 400 + 200);
    }
}

#[test]
fn whatever_happens_every_request_ends_exactly_once() {
    for seed in 0..200 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..600 {
            chaos.step();
        }
        let closing = chaos.rng.below(40);
        chaos.wire.connection.close(chaos.wire.now, secs(closing));
        for _ in 0..100 {
            chaos.link();
            chaos.write();
            chaos.serve();
            chaos.look();
        }
        for _ in 0..10 {
            chaos.pass();
            chaos.look();
        }
        assert_eq!(chaos.wire.connection.demand(), Demand::Finished, "{seed}");
        assert!(chaos.ended.len() > 50);
        let wrong = chaos.ended.iter().find(|(_, times)| **times != 1);
        assert_eq!(wrong, None, "seed {seed}");
    }
}
