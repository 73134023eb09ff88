//! A local platform: the server side of the Kaa device protocol, for tests and demonstrations.
//!
//! Exempt from semantic versioning: it follows what becomes known about the platform.
//!
//! [`Platform`] is level A: topics and payloads in and out; [`PlatformServer`] is level B: bytes
//! in and out on many MQTT links. What no public source settles is a
//! switch ([`Switches`]); what goes wrong in the field is a fault ([`Fault`]); what devices do is
//! an [`Event`]. It shares the names, the topic grammar and the MQTT codec with the client side,
//! and no logic, so that a client's mistake is not mirrored.
//!
//! ```
//! use kaa_proto::QoS;
//! use kaa_proto::platform::{LinkId, Platform, PlatformOptions};
//! # #[allow(clippy::disallowed_methods)]
//! let now = std::time::Instant::now();
//!
//! let mut platform = Platform::new(PlatformOptions::default(), 1);
//! let link = LinkId::new(1);
//! platform.handle_link_opened(now, link);
//! let topic = "kp1/demo-v1/dcx/JTjdbENzHh/json/42";
//! platform.handle_message(now, link, topic, br#"{"temperature":21}"#, QoS::AtLeastOnce);
//! let answer = platform.poll_delivery().unwrap();
//! assert_eq!(answer.topic, "kp1/demo-v1/dcx/JTjdbENzHh/json/42/status");
//! assert_eq!(answer.payload, b"");
//! ```

mod answer;
mod choices;
mod commands;
mod configurations;
mod device;
mod event;
mod fault;
mod fixture;
mod limits;
mod link;
mod metadata;
mod observation;
mod operator;
mod options;
mod others;
mod outbox;
#[allow(clippy::module_inception, reason = "the file of the type `Platform`")]
mod platform;
mod sending;
mod server;
mod serving;
mod subscriptions;
mod switches;
mod telemetry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uploads;
mod validate;
mod weight;

pub use choices::{
    AuthFailure, BadToken, CommandClock, ConfigBody, DeliverTo, ForeignTopic, NoConfig,
    NotModified, ObserveScope, ObserveUntil, PushTopic, ResultSuccess, Unknown, UnknownResult,
    WithoutId,
};
pub use configurations::{Assigned, Report};
pub use event::{EVENT_SCHEMA, Event, EventKind, Tokens};
pub use fault::{Fault, FaultError, FaultHelp, FaultKind};
pub use fixture::{
    AppVersionFixture, AssignedFixture, CommandFixture, ConfigKey, EndpointFixture, Fixture,
    FixtureError,
};
pub use limits::Limits;
pub use operator::{ConfigState, OperatorError, ResultState, Snapshot};
pub use options::{LinkId, PlatformOptions, Secret, Service, User, UserState};
pub use platform::{Delivery, Platform, Recipients};
pub use server::PlatformServer;
pub use switches::{SwitchError, SwitchHelp, Switches};
pub use uploads::{Upload, UploadRequest, UploadResponse};
