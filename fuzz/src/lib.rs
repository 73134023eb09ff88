//! Bodies of the fuzz targets. Each is a plain function of bytes that panics when a promise is
//! broken, so that the corpus is replayed by `cargo test -p kaa-fuzz` on a stable compiler.
//!
//! With `cargo fuzz` installed, from the root of the workspace:
//!
//! ```text
//! cargo +nightly fuzz run --features libfuzzer decode_pieces -- -max_total_time=60 -malloc_limit_mb=8
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a fuzz target reports by panicking"
)]

mod pieces;
mod publish;
mod topic;

pub use pieces::decode_pieces;
pub use publish::publish_differential;
pub use topic::topic;
