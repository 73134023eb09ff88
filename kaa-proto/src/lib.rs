//! The Kaa IoT device protocol (1/KP over MQTT 3.1.1) as pure state machines, without I/O.

mod assignment;
#[cfg(feature = "connection")]
mod backoff;
#[cfg(feature = "client")]
pub mod client;
pub mod commands;
pub mod config;
#[cfg(feature = "connection")]
pub mod connection;
pub mod endpoint;
mod json;
pub mod metadata;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod names;
#[cfg(feature = "platform")]
pub mod platform;
mod qos;
pub mod raw;
pub mod request;
mod rng;
pub mod software;
pub mod telemetry;
mod timers;
pub mod topic;
pub mod upload;

pub use qos::QoS;
