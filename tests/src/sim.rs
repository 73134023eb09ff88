//! A deterministic simulator: devices and gateways, the local platform, and networks, disks and clocks
//! that fail, all of it from one seed.
//!
//! Each device is a whole client: the handles that every binding has, their driver, and, on devices
//! with a disk, the store and its writer. Between it and the platform are byte pipes with latency,
//! jitter and pieces of any size, which are cut at any byte, swallow one direction or both, and carry
//! what others say. What goes wrong, when, and how the platform settles what its documents leave open
//! ([`Weather`]), is drawn from the seed. After so many [steps](Plan::steps) the weather becomes calm,
//! and everything has to come to its end within simulated hours.
//!
//! [`play`] runs devices that do something of everything and know what they may be told: each request
//! that was taken ends once, with an outcome that the platform's own log and the bytes on the wire
//! support; no answer reaches another one; IDs that may still be answered are not used again; what may
//! be sent once is; order is kept; bounds are; no command runs twice and none is forgotten; the newest
//! configuration and software come to be; what was stored survives. Beside that, whatever the program:
//! timers are never in the past, nobody spins, nobody dials without end, and the same seed gives the
//! same transcript. `tests/sim` does this from the command line, and prints for a failure the seed, the
//! least that has to happen for it, and the command that shows it again.
//!
//! # Your own device
//!
//! Its logic, written as a [`Program`] that never blocks, is played by [`play_with`]:
//!
//! ```
//! use std::time::Duration;
//!
//! use kaa_proto::client::{Endpoint, Options, Ticket};
//! use kaa_proto::names::EndpointName;
//! use kaa_proto::telemetry::Sample;
//! use kaa_tests::sim::{Birth, Device, Moment, Plan, Program, play_with};
//!
//! struct Thermometer {
//!     name: EndpointName,
//!     endpoint: Option<Endpoint>,
//!     waits: Vec<Ticket<Sample<f64>>>,
//! }
//!
//! impl Program for Thermometer {
//!     fn names(&self) -> Vec<EndpointName> {
//!         vec![self.name.clone()]
//!     }
//!     fn options(&self) -> Options {
//!         Options::new("mqtt://127.0.0.1").expect("it is valid")
//!     }
//!     fn start(&mut self, moment: &mut Moment<'_>, _: Birth) {
//!         self.waits.clear();
//!         self.endpoint = moment.client.endpoint(&self.name).ok();
//!     }
//!     fn live(&mut self, moment: &mut Moment<'_>) {
//!         self.waits.retain_mut(|wait| wait.try_outcome().is_none());
//!         if let (false, Some(endpoint)) = (moment.is_calm, &self.endpoint) {
//!             self.waits.extend(endpoint.submit(&Sample::new(21.5)).ok());
//!         }
//!         moment.again_in = Duration::from_secs(60);
//!     }
//!     fn is_done(&self) -> bool {
//!         self.waits.is_empty()
//!     }
//! }
//!
//! for seed in 0..10 {
//!     let plan = Plan { seed, steps: 500, ..Plan::default() };
//!     let played = play_with(&plan, |simulation| {
//!         let name = EndpointName::parse("demo-v1", "JTjdbENzHh").expect("it is valid");
//!         let device = Device { has_disk: false, answer_within: Duration::from_secs(30) };
//!         let thermometer = Thermometer { name, endpoint: None, waits: Vec::new() };
//!         simulation.add(Box::new(thermometer), device);
//!     });
//!     assert!(played.is_ok(), "{}", played.unwrap_err().message);
//! }
//! ```

mod clock;
mod dials;
mod gadget;
mod happen;
mod life;
mod machine;
mod meter;
mod play;
mod program;
mod spin;
mod summary;
mod transcript;
mod transport;
mod trouble;
mod weather;
mod wire;
mod work;
mod world;

pub use happen::COMMAND_TYPES;
pub use meter::Meter;
pub use play::{Failure, play, play_with, shorten, shorten_with};
pub use program::{Birth, LinkEnd, Moment, Order, Passed, Program, Storage};
pub use summary::Summary;
pub use weather::{Happening, Weather};
pub use world::{Device, Plan, Simulation};
