//! MQTT 3.1.1: the client's side of one link, without I/O (feature `mqtt`).
//!
//! [`Session`] is a state machine between a transport and a program. It opens no socket and reads
//! no clock: bytes, time and wishes go in, bytes and events come out. One session is one link,
//! always with a clean session, without will; QoS 0, 1 and 2 work both ways. Nothing is sent twice
//! on a live link, because the transport is reliable; what becomes of unacknowledged messages when
//! the link dies is for the caller to decide.
//!
//! # Contract
//! 1. [`Session::poll_transmit`] moves output into a buffer of the caller, who writes it to the
//!    transport and reports with [`Session::handle_written`] what was taken; then
//!    [`Session::poll_written`] tells which messages are on their way.
//! 2. [`Session::handle_input`] gets what was read, and is called until it returns `None`. Input
//!    is read only while [`Session::wants_input`].
//! 3. [`Session::handle_timeout`] is called at [`Session::poll_timeout`], which is asked again
//!    after every other call.
//! 4. When [`Session::failure`] is there, the transport is closed and the session dropped.
//!
//! ```
//! use std::time::Instant;
//! use kaa_proto::QoS;
//! use kaa_proto::mqtt::{Incoming, Session, SessionOptions};
//!
//! # #[allow(clippy::disallowed_methods, reason = "an example")]
//! let now = Instant::now();
//! let mut session = Session::new(now, &SessionOptions::new("device-1"))?;
//! let mut to_write = Vec::new();
//! session.poll_transmit(&mut to_write);
//! session.handle_written(now, to_write.len());
//! to_write.clear();
//!
//! let mut input = &b"\x20\x02\x00\x00"[..];
//! assert_eq!(session.handle_input(now, &mut input), Some(Incoming::Connected));
//! assert_eq!(session.handle_input(now, &mut input), None);
//!
//! session.publish("my key", "a/b", b"21.5", QoS::AtLeastOnce)?;
//! session.poll_transmit(&mut to_write);
//! assert_eq!(to_write, b"\x32\x0b\x00\x03a/b\x00\x0121.5");
//! session.handle_written(now, to_write.len());
//! assert_eq!(session.poll_written(), Some("my key"));
//!
//! let mut input = &b"\x40\x02\x00\x01"[..];
//! assert_eq!(session.handle_input(now, &mut input), Some(Incoming::Acknowledged("my key")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Strictness
//! What the server sends is judged by every rule of MQTT 3.1.1; a malformed packet ends the link
//! (MQTT-4.8.0-1). Not malformed, and so harmless: acknowledgements that nobody asked for, lengths
//! written with more bytes than needed, control characters in topics, and a message that is too
//! large, which is skipped in constant memory and acknowledged. What this side sends is validated
//! before the first byte of it is written.

mod client;
mod codec;
mod connect;
mod error;
mod event;
pub mod filter;
mod in_flight;
mod keep_alive;
mod options;
mod output;
mod packet;
mod publish;
mod reader;
mod refusal;
#[cfg(feature = "platform")]
pub mod server;
mod stall;
mod trace;
mod violation;

pub use client::{Session, Traffic};
pub use error::{LinkFailure, PublishError, SubscribeError};
pub use event::{FilterRefused, Granted, Incoming, Message, Oversize};
pub use filter::InvalidTopic;
pub use options::{Login, SessionError, SessionOptions};
pub use packet::PacketType;
pub use refusal::ConnectRefusal;
pub use violation::Violation;

#[cfg(test)]
mod tests;
