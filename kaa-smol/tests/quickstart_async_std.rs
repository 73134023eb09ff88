//! The quickstart on async-std.

const EXAMPLE: &str = "quickstart_async_std";

#[path = "../../kaa-blocking/tests/quickstart/suite.rs"]
mod suite;
