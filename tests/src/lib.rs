//! The harness of the suites: a simulated clock, and hosts that drive the library's machines
//! through their public interface and check its contract after every step; a real broker.

pub mod clock;
pub mod endpoint_host;
pub mod mosquitto;
pub mod ports;
pub mod scratch;
