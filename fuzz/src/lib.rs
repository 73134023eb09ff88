//! Bodies of the fuzz targets. Each is a plain function of bytes that panics when a promise is
//! broken, so that the corpus is replayed by `cargo test -p kaa-fuzz` on a stable compiler.
//! `README.md` says how they are run, and what they found.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a fuzz target reports by panicking"
)]

mod input;
mod level_a;
mod level_b;
mod pair;
mod payloads;
mod pieces;
mod platform;
mod publish;
mod store;
mod topics;

pub use level_a::level_a;
pub use level_b::level_b;
pub use pair::pair;
pub use payloads::payloads;
pub use pieces::decode_pieces;
pub use platform::platform;
pub use publish::publish_differential;
pub use store::store;
pub use topics::topics;
