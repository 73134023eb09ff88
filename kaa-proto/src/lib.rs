//! The Kaa IoT device protocol (1/KP over MQTT 3.1.1) as pure state machines, without I/O.
//!
//! This is the part of the Kaa client libraries that makes every decision: what to send when,
//! under which request ID, which answer belongs to which request, what becomes of each request
//! when a link dies, when to dial again. It opens no socket, reads no clock, starts no thread and
//! draws no entropy: bytes, time and a seed are arguments. The same inputs give the same outputs.
//! (The store on disk, feature `store`, is the one exception, and stands apart.)
//!
//! So this whole conversation with a platform needs no network:
//!
//! ```
//! use std::time::Instant;
//!
//! use kaa_proto::connection::{Connection, Demand, LinkId, Options};
//! use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
//! use kaa_proto::names::EndpointName;
//! use kaa_proto::telemetry::Sample;
//! use serde_json::json;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     # #[allow(clippy::disallowed_methods, reason = "an example")]
//!     let now = Instant::now();
//!     let mut connection = Connection::new(Options::new("gateway-7f3a"), now, 1)?;
//!
//!     // Requests are taken before there is a link.
//!     let name = EndpointName::parse("demo-v1", "JTjdbENzHh")?;
//!     let options = EndpointOptions::default().subscriptions(Subscriptions::None);
//!     let device = connection.add_endpoint_with(now, name, options)?;
//!     connection.submit(now, device, &Sample::new(json!({"temperature": 21})))?;
//!
//!     // A driver would open a socket now, and move the bytes between the two.
//!     let Demand::Dial(link) = connection.demand() else {
//!         return Err("it wants no link".into());
//!     };
//!     connection.handle_connected(now, link);
//!     assert_eq!(sent(&mut connection, now, link)[..2], *b"\x10\x18"); // CONNECT
//!     connection.handle_input(now, link, b"\x20\x02\x00\x00"); // CONNACK
//!     let publish = b"\x32\x37\x00\x21kp1/demo-v1/dcx/JTjdbENzHh/json/1\
//!         \x00\x01{\"temperature\":21}";
//!     assert_eq!(sent(&mut connection, now, link), publish);
//!     connection.handle_input(now, link, b"\x40\x02\x00\x01"); // PUBACK: it has come
//!     let answer = b"\x30\x2a\x00\x28kp1/demo-v1/dcx/JTjdbENzHh/json/1/status";
//!     connection.handle_input(now, link, answer); // it was processed
//!
//!     while let Some(event) = connection.poll_event() {
//!         println!("{event:?}");
//!     }
//!     let endpoint = connection.endpoint(device).ok_or("it is gone")?;
//!     assert_eq!(endpoint.statistics().confirmed, 1);
//!     Ok(())
//! }
//!
//! /// What it has to send.
//! fn sent(connection: &mut Connection, now: Instant, link: LinkId) -> Vec<u8> {
//!     let mut bytes = Vec::new();
//!     connection.poll_transmit(now, &mut bytes);
//!     connection.handle_written(now, link, bytes.len());
//!     bytes
//! }
//! ```
//!
//! ```toml
//! [dependencies]
//! kaa-proto = { path = "../kaa/kaa-proto" } # not published yet: where the repository is
//! serde_json = "1"
//! ```
//!
//! # What it is not
//!
//! * No runtime and no sockets: a binding brings them (`kaa-tokio`, `kaa-smol`, `kaa-blocking`).
//! * No general MQTT client: it speaks what Kaa needs of MQTT 3.1.1, with QoS 0 and 1, clean sessions,
//!   nothing retained, no will.
//! * No HTTP: uploads and downloads are described, and done by a client of your choice.
//! * No provisioning: tokens are made by the platform's own API.
//! * No `no_std`: it needs `std` for collections, time and errors.
//!
//! # Which part to use
//!
//! | you have | use |
//! |---|---|
//! | a program for a device | a binding, such as `kaa-blocking`; it brings the I/O |
//! | a runtime or a transport of your own | `client::Driver`, or `connection::Connection`: bytes in, bytes out, many endpoints |
//! | an MQTT client of your own | [`endpoint::Endpoint`]: topics and payloads, one endpoint |
//! | only topics and payloads to read or write | [`topic`], and the requests below |
//!
//! # The layers
//!
//! ```text
//!  your program          device.request(&Sample::new(…))
//! ─────────────────────────────────────────────────────────────────────────────
//!  binding               opens transports, sleeps           kaa-tokio, -smol, -blocking
//!  client                handles, tickets, streams; driver, TLS, store writer
//!  connection  level B   bytes ⇄ many endpoints; links, fairness, reconnect
//!    mqtt                packets ⇄ bytes: session, keep-alive
//!    endpoint  level A   topics and payloads ⇄ requests: queues, IDs, matching, ledger
//!  requests              telemetry metadata commands config software upload raw
//!  topic, names          the grammar of 1/KP
//! ```
//!
//! Each may be used without what stands above it. The module `platform` is the other side, for tests; it shares
//! only the names, the topic grammar and the MQTT codec.
//!
//! # The run loop
//!
//! All machines have four kinds of methods, told apart by name: nouns look, `handle_…` tells what the
//! world did, verbs say what the application wants, and `poll_…` gives what is to be done. Whoever drives
//! one does this:
//!
//! ```text
//!  loop {
//!    drain poll_… until a whole round gives nothing
//!    wait for the first of: the world · a verb of the application · poll_timeout
//!    say what it was: handle_…(now, …), or handle_timeout(now)
//!  }
//! ```
//!
//! `now` is an argument wherever something changes. After `handle_timeout(now)`, `poll_timeout` is in the
//! future or `None`. What exactly to do stands at [`endpoint`], at `connection`, and at
//! `client::Driver`, which does most of it.
//!
//! # The states
//!
//! A request, and the link:
//!
//! ```text
//!  submit ──▶ queued ──▶ emitted ──▶ sent ──▶ ended, once: confirmed, rejected, unanswered, …
//!               ▲           │          │
//!               └───────────┴──────────┘ link lost: back to its place, if it may be sent again
//!
//!  ┌──▶ dialing ──▶ greeting ──CONNACK──▶ up ──close──▶ draining ──▶ hanging up ──▶ finished
//!  │        └───────────┴─────────────────┴─ lost, or given up
//!  └── waiting ◀────────────────────────────────┘
//! ```
//!
//! A command is surfaced once, and then in progress until it is answered, given back, or interrupted by a
//! crash: see `guide::commands`. A durable request, and the store: see `guide::reliability`.
//!
//! # Guides
//!
//! The module `guide` (feature `client`): getting started, the table of operations, reliability, commands,
//! gateways, testing, security, an MQTT client of your own, a binding of your own.
//!
//! # The operations
//!
//! | extension | requests | pushes |
//! |---|---|---|
//! | data collection (2/DCP) | [`telemetry`]: `Sample`, `Batch`, `Plain` | |
//! | metadata (10/EPMP) | [`metadata`]: `Keys`, `Get`, `ReplaceAll`, `Merge`, `Delete` | |
//! | commands (11/CEP) | [`commands`]: `Pending`, `Report` | commands |
//! | configuration (7/CMP) | [`config`]: `Get`, `Applied`, `Rejected` | configurations |
//! | software (7/CMP) | [`software`]: `Get`, `ReportCurrent`, `Rejected` | updates |
//! | binary data | [`upload`]: `GetToken` | |
//! | any other | [`raw`]: `Call`, or your own [`request::Request`] | |
//!
//! Each has defaults for how it is confirmed and whether it may be sent again
//! ([`request::Policy`]), which [`request::RequestExt`] overrides for one request.
//!
//! # Errors
//!
//! Three families that never mix: the caller's mistake ([`request::SubmitError`], found before
//! anything is queued), the fate of one request ([`request::Failure`]), and the fate of one link
//! (`connection::LinkError`).
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `mqtt` | yes | MQTT 3.1.1: codec and session |
//! | `connection` | yes | level B |
//! | `client` | | the handles that bindings hand out |
//! | `tls` | | links of these handles over TLS, by rustls |
//! | `store` | | a log in a folder that keeps durable records |
//! | `platform` | | a local platform to test against; exempt from semver |
//! | `http` | | an upload as an `http::Request` |
//! | `tracing` | | spans and events, see below |
//!
//! Each works alone and with all others; a feature never changes what another one does.
//!
//! # Stability
//!
//! Before 1.0 a minor version may break what is public, and the changelog says so. Afterwards:
//!
//! | part | promise |
//! |---|---|
//! | names, topic, the requests, `request` | semantic versioning |
//! | `client`: what bindings hand out | semantic versioning |
//! | `endpoint`, `connection`, `store` | semantic versioning; enums of events and errors grow (`non_exhaustive`) |
//! | `client`: what bindings implement (`Driver`, `Runtime`, `Transport`) | semantic versioning; new methods have defaults |
//! | `mqtt` | only what `connection` shows of it (`Login`, errors, counters) |
//! | `platform` | none: it follows what becomes known about the platform |
//! | the log on disk | a library that cannot read it sets it aside whole, and says so |
//! | texts of errors, `Debug`, tracing | none |
//!
//! The oldest Rust that was checked is 1.85; a later one is required by a minor version only.
//!
//! # Tracing
//!
//! With the feature `tracing` the machines tell the crate of that name what they do; without it
//! the code for that is not there. They tell it while they hold the lock that all handles of a client
//! share: a subscriber must not call a handle, and one that blocks holds up the link. Let it pass on what
//! it is told. `RUST_LOG=kaa_proto=info` shows how the links of a device fare,
//! `kaa_proto=debug,kaa_proto::packet=trace` all there is. The targets:
//!
//! | target `kaa_proto::…` | tells |
//! |---|---|
//! | `link` | info: dialing (`attempt`: since a link was good), up, closing, flushed, closed, finished; warn: lost (`cause`, `was`, `next_dial_ms`); error: lost in a way that a person has to mend; debug: connected, stable |
//! | `search` | warn: search started, suspended; info: search ended, resumed |
//! | `request` | debug: submitted, sent (`again`), queued again, ended (`outcome`, `status`, `elapsed_ms`); ended otherwise than the application wanted: warn (closed: info); all with `request` and `topic` |
//! | `subscription` | debug: asked for, answered, taken back; warn: refused, or not answered |
//! | `observation` | info: confirmed, something new; warn: failed |
//! | `command` | info: surfaced, answered, given back, offered again and its result sent again; warn: left with the platform, results rejected; debug: offered again while in progress, not observed |
//! | `store` | info: opened, back, recovered; warn: a request in memory only; error: lost, set aside; debug: stored |
//! | `endpoint` | info: added, removed; warn: a message that cannot be read; debug: messages that are ignored, and why |
//! | `packet` | trace: each packet `in` and `out` (`packet`, `bytes`, `id`, `qos`, `topic`) |
//!
//! The span `link` (info, field `link`: the number of the dial) lasts as long as the link, and what
//! happens on it belongs to it. It is a child of the span in which the connection was made, so
//! that two connections can be told apart. The span `request` (debug, fields `request` and
//! `endpoint`) lasts from submit to the end, over all links; it is a child of the span in which
//! the request was submitted. Durations are of the core's clock.
//!
//! Nothing secret is told at any level: tokens are shortened; payloads, logins, client identifiers
//! and the platform's reason phrases, which may quote a payload, are left out. The texts of
//! `connection::TransportError` are told as they are: whoever makes one keeps secrets out.
//!
//! Names such as "FACTS trap 9" in the docs count the known traps of the protocol; the suite
//! `tests/tests/traps.rs` of the repository lists them all.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod assignment;
#[cfg(feature = "connection")]
mod backoff;
#[cfg(feature = "client")]
pub mod client;
pub mod commands;
pub mod config;
#[cfg(feature = "connection")]
pub mod connection;
pub mod endpoint;
mod few;
#[cfg(feature = "client")]
pub mod guide;
mod json;
pub mod metadata;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod names;
#[cfg(feature = "platform")]
pub mod platform;
mod qos;
mod rare;
pub mod raw;
pub mod request;
mod rng;
pub mod software;
pub mod store;
pub mod telemetry;
mod timers;
#[cfg(feature = "tls")]
pub mod tls;
pub mod topic;
mod trace;
pub mod upload;

pub use qos::QoS;

/// The program in the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
