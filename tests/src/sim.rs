//! A deterministic simulator: devices and gateways, a platform, and networks, disks and clocks that
//! fail, all of it from one seed.
//!
//! Work in progress of this file's docs.

mod clock;
mod dials;
mod gadget;
mod happen;
mod life;
mod machine;
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
pub use play::{Failure, play, play_with, shorten};
pub use program::{Birth, LinkEnd, Moment, Order, Passed, Program, Storage};
pub use summary::Summary;
pub use weather::{Happening, Weather};
pub use world::{Device, Plan, Simulation};
