//! How devices, connection and platform are set up for a life.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use kaa_proto::connection::Options;
use kaa_proto::endpoint::{EndpointOptions, Subscriptions, WhenFull};
use kaa_proto::platform::{Fixture, PlatformOptions, Switches};
use kaa_proto::request::Class;

/// The tokens of the devices; the first is that of a new pair.
pub(super) const TOKENS: [&str; 3] = ["JTjdbENzHh", "356938035643809", "датчик 7"];

/// Each device knows itself by its metadata.
const FIXTURE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {
    "JTjdbENzHh": {"metadata": {"me": "JTjdbENzHh"}},
    "356938035643809": {"metadata": {"me": "356938035643809"}},
    "датчик 7": {"metadata": {"me": "датчик 7"}}}}}}"#;

/// The questions that the platform's documents leave open, and answers to each.
const SWITCHES: [(&str, [&str; 2]); 13] = [
    ("delivery", ["last-speaker", "subscription"]),
    ("echo", ["on", "on"]),
    ("push-topic", ["with-id", "both"]),
    ("unsolicited-config", ["off", "off"]),
    ("config-body", ["rfc", "rfc"]),
    ("not-modified", ["304-status", "304-error"]),
    ("result-success", ["silence", "silence"]),
    ("unknown-result", ["404", "404"]),
    ("without-id", ["errors", "all"]),
    ("observe-scope", ["endpoint", "endpoint"]),
    ("no-config", ["not-modified", "not-modified"]),
    ("observe-until", ["withdrawn", "withdrawn"]),
    ("idle-disconnect", ["240s", "240s"]),
];

/// How devices, connection and platform are set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Decides what is random about network, client and platform.
    pub seed: u64,
    /// How many devices there are, from 1 to 3.
    pub devices: usize,
    /// Whether queues and windows hold a few messages only.
    pub is_tight: bool,
    /// Whether the ledger holds two commands only.
    pub is_forgetful: bool,
    /// Whether it is closed while the weather is bad.
    pub ends_badly: bool,
    /// Whether each endpoint subscribes to all of its own.
    pub subscribes_to_all: bool,
    /// Whether links are spoken on before CONNACK.
    pub is_eager: bool,
    /// What the platform does otherwise than by default.
    pub switches: Vec<(&'static str, &'static str)>,
}

/// The bounds of a tight setup.
pub(super) const TIGHT_QUEUE: usize = 6;
pub(super) const TIGHT_FLIGHT: u16 = 3;

impl Setup {
    /// The setup of these bytes. Zeros are the defaults.
    #[must_use]
    pub fn of([seed, shape, low, high]: [u8; 4]) -> Self {
        let bits = u16::from_le_bytes([low, high]);
        let second = usize::from(shape >> 7);
        let chosen = SWITCHES.iter().enumerate();
        let chosen = chosen.filter(|(index, _)| bits >> index & 1 == 1);
        Self {
            seed: seed.into(),
            devices: usize::from(shape & 3).clamp(1, 3),
            is_tight: shape & 4 != 0,
            is_forgetful: shape & 8 != 0,
            subscribes_to_all: shape & 16 != 0,
            ends_badly: shape & 32 != 0,
            is_eager: shape & 64 != 0,
            switches: chosen
                .map(|(_, (name, values))| (*name, values[second]))
                .collect(),
        }
    }

    /// # Panics
    /// If there is no such switch.
    pub(super) fn platform(&self) -> PlatformOptions {
        let mut switches = Switches::default();
        // A command that nobody forgets is there until it is answered.
        for (name, value) in [("command-ttl", "1000h")].iter().chain(&self.switches) {
            assert_eq!(switches.set(name, value), Ok(()), "{name}={value}");
        }
        PlatformOptions {
            switches,
            fixture: Fixture::parse(FIXTURE).ok(),
            ..PlatformOptions::default()
        }
    }

    /// The connection: it forgives soon, so that a life can be short.
    pub(super) fn connection(&self) -> Options {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let mut options = Options::new("device")
            .slow_retry(minutes(2))
            .backoff(Duration::from_secs(1), minutes(1))
            .eager_start(self.is_eager)
            .endpoint(self.endpoint());
        if self.is_tight {
            options = options.window(4).high_water(300);
        }
        options
    }

    /// # Panics
    /// If an option is out of its range.
    fn endpoint(&self) -> EndpointOptions {
        let options = EndpointOptions::default();
        let Ok(mut options) = options.refresh_observations(Duration::from_secs(300)) else {
            panic!("five minutes are in the range");
        };
        if self.subscribes_to_all {
            options = options.subscriptions(Subscriptions::PerEndpoint);
        }
        if self.is_forgetful {
            options = options.max_commands(NonZeroUsize::MIN.saturating_add(1));
        }
        if self.is_tight {
            let count = NonZeroUsize::MIN.saturating_add(TIGHT_QUEUE - 1);
            let bytes = NonZeroUsize::MIN.saturating_add(999);
            let flight = NonZeroU16::MIN.saturating_add(TIGHT_FLIGHT - 1);
            options = options
                .queue(Class::Control, count, bytes)
                .queue(Class::Bulk, count, bytes)
                .bulk_when_full(WhenFull::DropOldest)
                .max_in_flight(flight);
        }
        options
    }
}
