//! Kaa IoT device client on one plain thread, without an async runtime.

mod client;
mod dial;
mod driver;
mod handles;
#[cfg(feature = "platform")]
pub mod platform;
mod wait;

pub use client::{Client, ConnectError};
pub use handles::{
    Command, Commands, Configurations, Endpoint, EndpointEvents, LinkEvents, SoftwareUpdates,
    Ticket,
};
#[doc(no_inline)]
pub use kaa_proto::client::{InvalidTarget, NotReady, NotResponded, Options, Target};
#[doc(no_inline)]
pub use kaa_proto::{
    commands, config, connection, endpoint, metadata, mqtt, names, raw, request, software,
    telemetry, topic, upload,
};

/// The program in the project's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
