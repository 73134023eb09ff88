//! The harness of the suites: a simulated clock, and hosts that drive the library's machines
//! through their public interface and check its contract after every step; a real broker.

#![allow(clippy::panic, reason = "the harness fails the test that it serves")]

pub mod certificates;
pub mod clock;
pub mod delays;
pub mod device;
pub mod dice;
pub mod disk;
pub mod durable_life;
pub mod endpoint_host;
pub mod example;
pub mod mosquitto;
pub mod operations;
pub mod packets;
pub mod pair;
pub mod pair_a;
pub mod pair_ops;
pub mod pipe;
pub mod ports;
pub mod rig;
pub mod scenario;
pub mod scratch;
pub mod scripted_store;
pub mod sim;
pub mod sniffer;
pub mod std_binding;
pub mod tls_end;
pub mod wire_ids;
pub mod witness;

/// The programs in the project's README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The operation that CONTRIBUTING.md adds compiles.
#[cfg(doctest)]
#[doc = include_str!("../../CONTRIBUTING.md")]
struct Contributing;
