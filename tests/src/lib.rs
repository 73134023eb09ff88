//! The harness of the suites: a simulated clock, and hosts that drive the library's machines
//! through their public interface and check its contract after every step.

pub mod clock;
pub mod endpoint_host;
