//! What simulated devices hold, whatever befalls them: never more than their documented budget.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

#[allow(dead_code, reason = "the most that was held is all that counts")]
mod meter;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use kaa_proto::client::{
    Commands, Configurations, Endpoint, EndpointEvents, Options, SoftwareUpdates, Ticket,
};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::metadata::Get;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::Class;
use kaa_proto::telemetry::Sample;
use kaa_tests::sim::{
    Birth, COMMAND_TYPES, Device, Meter as SimMeter, Moment, Plan, Program, play_with,
};
use meter::{Meter, aside};

/// How many requests of each class may wait.
const QUEUED: usize = 64;
/// The tickets of reads that a device keeps without a look at them.
const UNREAD: usize = 8;

thread_local! {
    /// By device.
    static METERS: RefCell<BTreeMap<u64, Meter>> = const { RefCell::new(BTreeMap::new()) };
}

fn run(device: u64, code: &mut dyn FnMut()) {
    let mut meter = METERS.with_borrow_mut(|meters| meters.remove(&device).unwrap_or_default());
    meter.run(code);
    METERS.with_borrow_mut(|meters| meters.insert(device, meter));
}

/// A device that sends more than it may, and reads late or never what comes.
struct Hoarder {
    name: EndpointName,
    endpoint: Option<Endpoint>,
    held: Option<(Commands, Configurations, SoftwareUpdates, EndpointEvents)>,
    unread: Vec<Ticket<Get>>,
}

impl Hoarder {
    fn new(number: u64) -> Self {
        Self {
            name: EndpointName::parse("demo-v1", &format!("{number}token")).unwrap(),
            endpoint: None,
            held: None,
            unread: Vec::new(),
        }
    }
}

fn options() -> Options {
    let count = |count| NonZeroUsize::new(count).unwrap();
    let endpoint = EndpointOptions::default()
        .queue(Class::Control, count(QUEUED), count(8 * 1_024))
        .queue(Class::Bulk, count(QUEUED), count(8 * 1_024))
        .max_commands(count(16))
        .max_unread_commands(count(8))
        .max_unread_bytes(count(1_024));
    let options = Options::new("mqtt://127.0.0.1").unwrap();
    options.connection(|options| {
        options
            .max_packet_in(4_096)
            .max_packet_out(4_096)
            .high_water(1_024)
            .window(16)
            .endpoint(endpoint)
    })
}

/// What a hoarder may hold: one endpoint that observes two states and is listened to, its requests with
/// their bytes, and the answers that it does not read.
fn budget() -> usize {
    let budget = options().memory_budget();
    let requests = 2 * QUEUED + 64;
    budget.link
        + budget.endpoint
        + 2 * budget.observed
        + budget.listener
        + UNREAD * budget.answer
        + requests * budget.request
        + 2 * 8 * 1_024
}

impl Program for Hoarder {
    fn names(&self) -> Vec<EndpointName> {
        vec![self.name.clone()]
    }

    fn options(&self) -> Options {
        options()
    }

    fn start(&mut self, moment: &mut Moment<'_>, _: Birth) {
        self.unread = Vec::with_capacity(UNREAD);
        let endpoint = moment.client.endpoint(&self.name).unwrap();
        let types = COMMAND_TYPES.map(|word| CommandType::new(word).unwrap());
        self.held = Some((
            endpoint.commands(types).unwrap(),
            endpoint.configurations().unwrap(),
            endpoint.software_updates("1.0.0").unwrap(),
            endpoint.events(),
        ));
        self.endpoint = Some(endpoint);
    }

    fn live(&mut self, moment: &mut Moment<'_>) {
        let endpoint = self.endpoint.as_ref().unwrap();
        if let Some((commands, ..)) = self.held.as_mut().filter(|_| moment.is_calm) {
            while let Some(command) = commands.try_next() {
                drop(command.done());
            }
        }
        if moment.is_calm {
            self.unread.retain_mut(|wait| wait.try_outcome().is_none());
        } else {
            for _ in 0..moment.dice.below(2 * QUEUED as u64) {
                drop(endpoint.submit(&Sample::new("a sample that takes some room")));
            }
            if self.unread.len() < UNREAD {
                self.unread.extend(endpoint.submit(&Get::all()).ok());
            }
        }
        moment.again_in = Duration::from_millis(1 + moment.dice.below(2_000));
    }

    fn is_done(&self) -> bool {
        self.unread.is_empty()
    }
}

#[test]
fn devices_hold_no_more_than_their_budget_whatever_befalls_them() {
    let budget = budget();
    let mut most = 0;
    for seed in 0..300 {
        METERS.take();
        let plan = Plan {
            seed,
            steps: 1_000,
            ..Plan::default()
        };
        let played = play_with(&plan, |simulation| {
            simulation.count_memory(SimMeter {
                run,
                aside: |code| aside(code),
            });
            for number in 0..2 {
                let device = Device {
                    has_disk: false,
                    answer_within: Duration::from_secs(30),
                };
                simulation.add(Box::new(Hoarder::new(number)), device);
            }
        });
        if let Err(failure) = played {
            panic!("seed {seed}: {}", failure.message);
        }
        for (device, meter) in METERS.take() {
            let peak = meter.peak();
            assert!(
                peak <= budget,
                "seed {seed}: device {device} held {peak} bytes, and {budget} may be held"
            );
            most = most.max(peak);
        }
    }
    // A meter that counts nothing would hold for anything.
    assert!(most > 16 * 1_024, "{most} bytes at most, of {budget}");
}
