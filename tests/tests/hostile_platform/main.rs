//! The local platform and devices that send anything: what it holds at most, and that it serves others.
//! What the devices do is in `attacks`; memory is counted, the clock simulated.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod attacks;
#[path = "../meter/mod.rs"]
mod meter;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kaa_proto::platform::{Limits, LinkId, PlatformOptions, PlatformServer};
use kaa_tests::clock::Clock;

use attacks::{ATTACKS, Attack, connect, publish};
use meter::Meter;

const LIMITS: Limits = Limits {
    endpoint: 64 * 1_024,
    endpoints: 2 * 1_024 * 1_024,
    link: 1_280 * 1_024,
    links: 4 * 1_024 * 1_024,
    events: 512 * 1_024,
    waiting: 1_024 * 1_024,
};

/// What the platform may hold by the formula of [`Limits`], but for upload tokens.
const BUDGET: usize = LIMITS.endpoints
    + LIMITS.links
    + LIMITS.events
    + LIMITS.waiting
    + LIMITS.link
    + 2 * LIMITS.endpoint
    + MARGIN;

/// What the tables take that are as long as the numbers of links and events allow.
const MARGIN: usize = 1_024 * 1_024;

/// A platform, its links, and the meter that counts all that it holds.
struct World {
    meter: Meter,
    clock: Clock,
    server: PlatformServer,
    /// How much of its script each hostile link has played; `None`: it is closed.
    links: BTreeMap<usize, Option<(LinkId, usize)>>,
}

impl World {
    fn new() -> Self {
        let mut meter = Meter::default();
        let server = meter.run(|| {
            let mut options = PlatformOptions {
                limits: LIMITS,
                ..PlatformOptions::default()
            };
            options.max_endpoints = 10_000;
            PlatformServer::new(options, 1)
        });
        Self {
            meter,
            clock: Clock::new(),
            server,
            links: BTreeMap::new(),
        }
    }

    /// Lets every link send its next piece, if the platform wants to hear it; whether one did.
    fn round(&mut self, attack: &Attack) -> bool {
        let mut any = false;
        for number in 0..attack.links {
            let now = self.clock.now();
            let server = &mut self.server;
            let opened = || Some((self.meter.run(|| server.handle_accepted(now)), 0));
            let place = self.links.entry(number).or_insert_with(opened);
            let Some((link, step)) = place else { continue };
            let (link, server) = (*link, &mut self.server);
            if server.wants_input(link) {
                let Some(piece) = (attack.script)(number, *step) else {
                    continue;
                };
                *step += 1;
                any = true;
                for piece in piece.chunks(16 * 1_024) {
                    self.meter.run(|| server.handle_input(now, link, piece));
                }
            }
            if attack.reads {
                self.meter.run(|| {
                    let mut out = Vec::new();
                    let n = server.poll_transmit(link, &mut out);
                    server.handle_written(now, link, n);
                });
            }
            self.hang_up();
        }
        any
    }

    fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        let (now, server) = (self.clock.now(), &mut self.server);
        self.meter.run(|| server.handle_timeout(now));
        self.hang_up();
    }

    /// Closes what the platform wants closed.
    fn hang_up(&mut self) {
        let (now, server) = (self.clock.now(), &mut self.server);
        while let Some(link) = self.meter.run(|| server.poll_hang_up()) {
            self.meter.run(|| server.handle_closed(now, link));
            for place in self.links.values_mut() {
                if place.is_some_and(|(other, _)| other == link) {
                    *place = None;
                }
            }
        }
    }

    /// A device that behaves is served.
    fn serve(&mut self, what: &str) {
        let (now, server) = (self.clock.now(), &mut self.server);
        let answer = self.meter.run(|| {
            let link = server.handle_accepted(now);
            server.handle_input(now, link, &connect("good"));
            server.handle_input(now, link, &publish("kp1/v/dcx/good/json/7", b"1"));
            let mut out = Vec::new();
            let n = server.poll_transmit(link, &mut out);
            server.handle_written(now, link, n);
            server.handle_closed(now, link);
            let topic = b"kp1/v/dcx/good/json/7/status";
            out.windows(topic.len()).any(|window| window == topic)
        });
        assert!(answer, "{what}: a good device is not served");
    }

    /// The names of the events that wait.
    fn events(&mut self) -> BTreeSet<&'static str> {
        let server = &mut self.server;
        let next = || {
            self.meter
                .run(|| server.poll_event().map(|event| event.kind.name()))
        };
        std::iter::from_fn(next).collect()
    }
}

#[test]
fn the_platform_bears_every_device_within_its_limits_and_serves_the_others() {
    for attack in ATTACKS {
        let name = attack.name;
        let mut world = World::new();
        world.serve(name);
        while world.round(attack) {
            world.wait(attack.pause);
        }
        let peak = world.meter.peak();
        let budget = BUDGET + attack.more;
        assert!(
            peak <= budget,
            "{name}: {peak} bytes, and {budget} may be held"
        );
        if !attack.fills {
            world.serve(name);
        }
        if attack.is_ended {
            assert!(world.links.values().all(Option::is_none), "{name}");
        }
        let events = world.events();
        let missing = attack.told.iter().find(|told| !events.contains(*told));
        assert_eq!(missing, None, "{name}: {events:?}");
        (0..10).for_each(|_| world.wait(Duration::from_secs(60)));
    }
}

/// Twice as long, and nothing more.
#[test]
fn devices_that_come_and_go_leave_nothing_behind() {
    // Upload tokens are forgotten only when there is no room for more.
    for attack in ATTACKS.iter().filter(|attack| attack.more == 0) {
        let mut world = World::new();
        let mut after = Vec::new();
        let brief = Attack {
            links: attack.links.min(3),
            ..*attack
        };
        for round in 1..=160 {
            let _ = (0..3).all(|_| world.round(&brief));
            let (now, server) = (world.clock.now(), &mut world.server);
            for (link, _) in std::mem::take(&mut world.links).into_values().flatten() {
                world.meter.run(|| server.handle_closed(now, link));
            }
            world.hang_up();
            world.events();
            if [80, 160].contains(&round) {
                after.push(world.meter.live());
            }
        }
        let more = after[1].saturating_sub(after[0]);
        let name = attack.name;
        assert!(
            more <= 4_096,
            "{name}: {more} bytes more after 80 rounds more"
        );
    }
}
