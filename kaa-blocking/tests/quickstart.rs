//! The quickstart without a runtime.

const EXAMPLE: &str = "quickstart";

#[path = "quickstart/suite.rs"]
mod suite;
