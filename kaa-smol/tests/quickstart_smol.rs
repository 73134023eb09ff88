//! The quickstart on smol.

const EXAMPLE: &str = "quickstart_smol";

#[path = "../../kaa-blocking/tests/quickstart/suite.rs"]
mod suite;
