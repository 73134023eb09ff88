//! Kaa IoT device client for tokio.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kaa_tokio::names::EndpointName;
//! use kaa_tokio::telemetry::Sample;
//! use kaa_tokio::{Client, Options};
//! use serde_json::json;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(Options::new("mqtt://127.0.0.1")?).await?;
//!     client.ready(Duration::from_secs(20)).await?;
//!     let device = client.endpoint(&EndpointName::parse("demo-v1", "JTjdbENzHh")?)?;
//!
//!     // Waits until the platform says that it has processed the sample.
//!     device.request(&Sample::new(json!({"temperature": 21}))).await?;
//!
//!     // Each command comes once, however often the platform repeats it.
//!     let mut commands = device.commands_of("reboot")?;
//!     while let Some(command) = commands.next().await {
//!         println!("asked to reboot: {:?}", command.value());
//!         command.done()?.await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The dependencies, which are not published yet, so that the path is that of the repository:
//!
//! ```toml
//! [dependencies]
//! kaa-tokio = { path = "../kaa/kaa-tokio" }
//! serde_json = "1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
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
//! [`Client::connect`] reaches no network: the client dials in a task of its own, for as long as
//! it lives, and tells about it through `ready`, `link_state` and `link_events` of
//! [`kaa_proto::client::Client`], to which [`Client`] dereferences. Requests are taken with or
//! without a link:
//!
//! * [`Endpoint::request`] waits for the platform's answer.
//! * [`Endpoint::submit`] gives a [`Ticket`], a future of the outcome.
//! * [`Endpoint::send`] waits for nothing; the request is confirmed, resent and counted as any
//!   other.
//!
//! What the platform pushes is read from [`Commands`], [`Configurations`] and [`SoftwareUpdates`]:
//! streams, with a `next` of their own. All handles may be cloned or sent to other tasks, and used
//! outside of tokio too.
//!
//! # Cancellation, and the end
//!
//! Every future here is safe to drop at any time, as `select!` and `timeout` do: only the wait is
//! lost. A request goes on; [`Ticket::cancel`] takes it back.
//!
//! When the last handle is dropped, what is queued is flushed and the link closed;
//! [`shutdown`](kaa_proto::client::Client::shutdown) does it with an account. When the runtime
//! ends before, everything that waits ends as [`Failure::Closed`](request::Failure::Closed).
//!
//! # Runtime
//!
//! Current-thread and multi-thread runtimes, with I/O and time enabled. There is one task for
//! each client. On a current-thread runtime it makes progress only while the runtime is driven,
//! as everything does: a task that blocks the thread for more than the keep-alive interval loses
//! the link.
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
//! | `store` | a store on disk (`Options::store_in`): requests and commands survive a crash |
//! | `tracing` | events and spans of the core, see [`kaa_proto`] |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod runtime;

pub use client::Client;
#[doc(no_inline)]
pub use kaa_proto::client::{
    Command, Commands, Configurations, ConnectError, Endpoint, EndpointEvents, EnvironmentProblem,
    InvalidEnvironment, InvalidTarget, LinkEvents, NotReady, NotResponded, NotStored, Options,
    Ready, Shutdown, SoftwareUpdates, StoreStatus, Target, Ticket,
};
#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use kaa_proto::tls;
#[doc(no_inline)]
pub use kaa_proto::{
    QoS, commands, config, connection, endpoint, metadata, mqtt, names, raw, request, software,
    store, telemetry, topic, upload,
};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
