//! The Kaa IoT device protocol (1/KP over MQTT 3.1.1) as pure state machines, without I/O.

pub mod names;
mod qos;
mod rng;
mod timers;
pub mod topic;

pub use qos::QoS;
