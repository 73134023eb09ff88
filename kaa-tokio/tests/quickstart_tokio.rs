//! The quickstart on tokio.

const EXAMPLE: &str = "quickstart_tokio";

#[path = "../../kaa-blocking/tests/quickstart/suite.rs"]
mod suite;
