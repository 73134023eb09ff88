//! What suites that qualify devices ask of an MQTT client, in virtual time, before a server that
//! behaves as each case wants. Which case is shown where stands in `tests/conformance.md`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod acknowledgements;
mod long_duration;
mod reconnects;
mod server;
mod tls;
