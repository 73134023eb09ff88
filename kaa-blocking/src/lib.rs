//! Kaa IoT device client on one plain thread, without an async runtime.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kaa_blocking::names::EndpointName;
//! use kaa_blocking::telemetry::Sample;
//! use kaa_blocking::{Client, Options};
//! use serde_json::json;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(Options::new("mqtt://127.0.0.1")?)?;
//!     client.ready(Duration::from_secs(20))?;
//!     let device = client.endpoint(&EndpointName::parse("demo-v1", "JTjdbENzHh")?)?;
//!
//!     // Waits until the platform says that it has processed the sample.
//!     device.request(&Sample::new(json!({"temperature": 21})))?;
//!
//!     // Each command comes once, however often the platform repeats it.
//!     for command in device.commands_of("reboot")? {
//!         println!("asked to reboot: {:?}", command.value());
//!         command.done()?.outcome()?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The dependencies, which are not published yet, so that the path is that of the repository:
//!
//! ```toml
//! [dependencies]
//! kaa-blocking = { path = "../kaa/kaa-blocking" }
//! serde_json = "1"
//! ```
//!
//! And a platform, in the repository. It takes any application version and token; the line
//! `command JTjdbENzHh reboot` invokes the command:
//!
//! ```sh
//! cargo run --package kaa-blocking --features cli --bin kaa -- platform
//! ```
//!
//! On another platform [`Options::new`] takes its URL, with `mqtts://` for TLS, and
//! [`Options::login`] the credentials; [`Options::from_env`] reads them all from the environment.
//!
//! [`Client::connect`] returns at once; the client dials in the background, for as long as it
//! lives, and tells about it through [`Client::ready`], [`link_state`] and
//! [`Client::link_events`]. Requests are taken with or without a link:
//!
//! * [`Endpoint::request`] waits for the platform's answer.
//! * [`Endpoint::submit`] gives a [`Ticket`] to look at later.
//! * [`send`] waits for nothing; the request is confirmed, resent and counted as any other.
//!
//! The verbs that do not wait, [`link_state`] and [`send`] among them, are those of the core, to
//! whose handles these dereference.
//!
//! [`link_state`]: kaa_proto::client::Client::link_state
//! [`send`]: kaa_proto::client::Endpoint::send
//!
//! What the platform pushes is read from [`Commands`], [`Configurations`] and
//! [`SoftwareUpdates`]: iterators, with [`next_within`](Commands::next_within) for a bounded wait.
//! [`Client`] and [`Endpoint`] are `Clone`, and all handles may be used from any thread. When the
//! last one is dropped, what is queued is flushed and the link closed; [`Client::shutdown`] does it
//! with an account.
//!
//! The requests and their defaults are those of [`kaa_proto`], reexported here. There is one
//! thread for each client, with a store another one that writes it, and a short-lived one for each
//! dial.
//!
//! # Guides
//!
//! They are in the core, [`kaa_proto::guide`], and hold for all bindings: from the [first
//! sample](kaa_proto::guide::getting_started) and the [table of
//! operations](kaa_proto::guide::operations) to what survives [links, crashes and power
//! cuts](kaa_proto::guide::reliability).
//!
//! # What it is not
//!
//! It decides nothing: queueing, request IDs, matching, retry and reconnect are the core's, and so is what
//! [is stable](kaa_proto#stability). It opens sockets, reads certificates, and sleeps.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `tls` (default) | `mqtts://`: TLS 1.2 and 1.3 by rustls, with the system's roots or one's own |
//! | `platform` | the local platform in the process (`platform::LocalPlatform`); exempt from semver |
//! | `store` | a store on disk (`Options::store_in`): requests and commands survive a crash |
//! | `tracing` | spans and events of the core: see "Tracing" in `kaa_proto` |
//! | `cli` | the program `kaa` |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod dial;
mod driver;
mod handles;
#[cfg(feature = "platform")]
pub mod platform;
mod stream;
mod wait;

pub use client::Client;
pub use handles::{
    Command, Commands, Configurations, Endpoint, EndpointEvents, LinkEvents, SoftwareUpdates,
    Ticket,
};
#[doc(no_inline)]
pub use kaa_proto::client::{
    ConnectError, EnvironmentProblem, InvalidEnvironment, InvalidTarget, NotReady, NotResponded,
    NotStored, Options, StoreStatus, Target,
};
#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use kaa_proto::tls;
#[doc(no_inline)]
pub use kaa_proto::{
    QoS, commands, config, connection, endpoint, metadata, mqtt, names, raw, request, software,
    store, telemetry, topic, upload,
};
pub use stream::Stream;

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
