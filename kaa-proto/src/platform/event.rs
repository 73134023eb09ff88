//! The log of what devices did and what they were answered.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::options::LinkId;
use super::weight::Weigh;
use crate::names::EndpointName;

/// How many events wait to be polled. Beyond it the oldest is dropped and counted: the log serves
/// the one who reads it and must not stop the platform when nobody does.
const MAX_EVENTS: usize = 16_384;

/// The version of [`Event::to_json`]. It rises when a field changes its meaning or goes away.
pub const EVENT_SCHEMA: u32 = 1;

/// Something happened.
///
/// `Display` is a line for a person, with the token shortened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// The link it happened on; `None` if the platform or its operator did it.
    pub link: Option<LinkId>,
    /// The endpoint it concerns; `None` if it concerns a link or an unreadable topic.
    pub endpoint: Option<EndpointName>,
    /// What.
    pub kind: EventKind,
}

/// Whether tokens are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokens {
    /// Their first characters only.
    #[default]
    Shortened,
    /// Whole: a person asked for it.
    Whole,
}

impl Event {
    /// About what it takes in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.kind.weigh()
    }

    /// The event as one JSON object: `v` (the schema's version), `event` (the name), `at` (seconds
    /// since `start`), `link`, `appVersion`, `token`, and the fields of the kind by their names in
    /// lower camel case.
    #[must_use]
    pub fn to_json(&self, start: Instant, tokens: Tokens) -> Value {
        let at = self.at.saturating_duration_since(start).as_secs_f64();
        let mut fields = Map::new();
        fields.insert("v".into(), json!(EVENT_SCHEMA));
        fields.insert("at".into(), json!(at));
        if let Some(link) = self.link {
            fields.insert("link".into(), json!(link.number()));
        }
        if let Some(name) = &self.endpoint {
            let token = match tokens {
                Tokens::Shortened => name.token().shortened(),
                Tokens::Whole => String::from(name.token().as_str()),
            };
            fields.insert("appVersion".into(), json!(name.app_version().as_str()));
            fields.insert("token".into(), json!(token));
        }
        // The kinds hold strings, numbers and JSON only: this cannot fail.
        if let Ok(Value::Object(kind)) = serde_json::to_value(&self.kind) {
            fields.extend(kind);
        }
        Value::Object(fields)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.endpoint {
            write!(f, "{name} ")?;
        } else if let Some(link) = self.link {
            write!(f, "link {} ", link.number())?;
        }
        self.kind.fmt(f)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:literal $kind:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? })+) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "event", rename_all_fields = "camelCase")]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind { $($(#[$fdoc])* $field: $type),* },)+
        }

        impl Weigh for EventKind {
            fn weigh(&self) -> usize {
                match self {
                    $(Self::$kind { $($field),* } => 0 $(+ $field.weigh())*),+
                }
            }
        }

        impl EventKind {
            /// Every name, in the order of this type.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name of the kind, the same as in JSON.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $name),+
                }
            }
        }
    };
}

kinds! {
    /// A link was opened.
    "link-opened" LinkOpened {}
    /// A link was closed.
    "link-closed" LinkClosed {}
    /// The platform closes a link.
    "kicked" Kicked {
        /// Why.
        cause: String,
    }
    /// Credentials were refused (level B).
    "login-refused" LoginRefused {
        /// The CONNACK return code, sent or only meant.
        code: u8,
    }
    /// The endpoint spoke for the first time on this link.
    "connected" Connected {}
    /// The endpoint is offline.
    "disconnected" Disconnected {
        /// `link closed` or `idle`.
        cause: String,
    }
    /// Telemetry was taken.
    "telemetry" Telemetry {
        /// How many samples.
        samples: usize,
        /// The payload; of plain telemetry the sample made of it.
        data: Value,
    }
    /// Metadata or their keys were read.
    "metadata-read" MetadataRead {
        /// The keys that were answered.
        keys: Vec<String>,
    }
    /// The metadata were replaced as a whole.
    "metadata-replaced" MetadataReplaced {
        /// The keys that were sent.
        keys: Vec<String>,
    }
    /// Metadata were merged.
    "metadata-merged" MetadataMerged {
        /// The keys that were sent.
        keys: Vec<String>,
    }
    /// Metadata were deleted.
    "metadata-deleted" MetadataDeleted {
        /// The keys that were sent.
        keys: Vec<String>,
    }
    /// The device asked for commands.
    "commands-requested" CommandsRequested {
        /// The type; `None` for all of them.
        #[serde(rename = "type")]
        command_type: Option<String>,
        /// Whether it wants to observe.
        observe: Option<bool>,
        /// How many it was given.
        outstanding: usize,
    }
    /// A command was sent to the device, by answer or push; again until its result is reported.
    "command-delivered" CommandDelivered {
        /// The type.
        #[serde(rename = "type")]
        command_type: String,
        /// The ID, unique within endpoint and type.
        id: i64,
    }
    /// A command ran out of time.
    "command-expired" CommandExpired {
        /// The type.
        #[serde(rename = "type")]
        command_type: String,
        /// The ID.
        id: i64,
    }
    /// The device reported the result of a command.
    "command-result" CommandResult {
        /// The type.
        #[serde(rename = "type")]
        command_type: String,
        /// The ID.
        id: i64,
        /// Whether the command was outstanding.
        known: bool,
        /// The status code the device chose.
        status_code: i64,
        /// The reason phrase.
        reason_phrase: Option<String>,
        /// The payload.
        payload: Option<Value>,
    }
    /// The device asked for a configuration.
    "config-requested" ConfigRequested {
        /// The name; empty for the default one.
        name: String,
        /// The ID of the one it has.
        config_id: Option<String>,
        /// Whether it wants to observe.
        observe: Option<bool>,
    }
    /// A configuration was sent to the device.
    "config-delivered" ConfigDelivered {
        /// The name; empty for the default one.
        name: String,
        /// Its ID.
        config_id: String,
    }
    /// The device applied a configuration.
    "config-applied" ConfigApplied {
        /// The name; empty for the default one.
        name: String,
        /// Its ID.
        config_id: String,
    }
    /// The device rejected a configuration.
    "config-rejected" ConfigRejected {
        /// The name; empty for the default one.
        name: String,
        /// Its ID.
        config_id: String,
        /// The status code, not 2xx.
        status_code: f64,
        /// The reason phrase.
        reason_phrase: Option<String>,
    }
    /// The device asked for a software update.
    "software-requested" SoftwareRequested {
        /// The version it says it has.
        version: Option<String>,
        /// Whether it wants to observe.
        observe: Option<bool>,
    }
    /// A software version was offered to the device.
    "software-delivered" SoftwareDelivered {
        /// The version.
        version: String,
    }
    /// The device reported the software version it runs.
    "software-reported" SoftwareReported {
        /// The version.
        version: String,
    }
    /// The device rejected a software version.
    "software-rejected" SoftwareRejected {
        /// The version.
        version: String,
        /// The status code, not 2xx.
        status_code: f64,
        /// The reason phrase.
        reason_phrase: Option<String>,
    }
    /// An upload token was given out.
    "upload-token" UploadToken {}
    /// Binary data or a file were uploaded.
    "uploaded" Uploaded {
        /// `binary-data` or `file`.
        to: String,
        /// The name it was given.
        name: Option<String>,
        /// How many bytes.
        size: usize,
    }
    /// An upload was refused.
    "upload-refused" UploadRefused {
        /// The HTTP status.
        status: u16,
    }
    /// The device asked for the status of an earlier request.
    "status-asked" StatusAsked {
        /// The extension of that request.
        extension: String,
        /// Its ID.
        id: u32,
    }
    /// The device asked for the time.
    "time-asked" TimeAsked {}
    /// A well-formed request was refused.
    "refused" Refused {
        /// The status code of the error.
        status_code: u16,
        /// Its reason phrase.
        reason_phrase: String,
        /// The topic, token shortened.
        topic: String,
    }
    /// A device broke the protocol.
    "breach" Breach {
        /// The status code of the error, answered or not.
        status_code: u16,
        /// What was wrong.
        reason_phrase: String,
        /// The topic, token shortened; empty where there is none.
        topic: String,
    }
    /// Subscriptions were refused, because the link has too many.
    "subscriptions-refused" SubscriptionsRefused {
        /// How many.
        filters: usize,
    }
    /// A fault was injected.
    "fault" Fault {
        /// Its name.
        fault: String,
        /// The topic that met it, token shortened.
        topic: String,
    }
    /// A delivery was dropped because too many are waiting.
    "overflow" Overflow {
        /// The topic, token shortened.
        topic: String,
    }
}

/// `name field=value …`, the values as JSON.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Ok(Value::Object(fields)) = serde_json::to_value(self) {
            let told = |(key, value): &(&String, &Value)| *key != "event" && !value.is_null();
            for (key, value) in fields.iter().filter(told) {
                write!(f, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

/// The events that wait to be polled.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Oldest first, at most [`MAX_EVENTS`].
    waiting: VecDeque<Event>,
    /// What they take, in bytes.
    bytes: usize,
    /// What they may take.
    max_bytes: usize,
    /// How many were dropped.
    dropped: u64,
}

impl Log {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            max_bytes,
            dropped: 0,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.weight();
        self.waiting.push_back(event);
        while self.waiting.len() > MAX_EVENTS || self.bytes > self.max_bytes {
            self.dropped += u64::from(self.pop().is_some());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front()?;
        self.bytes -= event.weight();
        Some(event)
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn event() -> Event {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let at = Instant::now();
        Event {
            at,
            link: Some(LinkId::new(3)),
            endpoint: EndpointName::parse("demo-v1", "JTjdbENzHh").ok(),
            kind: EventKind::CommandResult {
                command_type: "reboot".into(),
                id: 1,
                known: true,
                status_code: 200,
                reason_phrase: None,
                payload: Some(json!({"engine_on": true})),
            },
        }
    }

    #[test]
    fn an_event_is_one_readable_line_and_one_json_object() {
        let event = event();
        assert_eq!(
            event.to_string(),
            "demo-v1/JTj… command-result id=1 known=true payload={\"engine_on\":true} \
             statusCode=200 type=\"reboot\""
        );
        let start = event.at - Duration::from_millis(1_500);
        assert_eq!(
            event.to_json(start, Tokens::Shortened),
            json!({
                "v": 1, "event": "command-result", "at": 1.5, "link": 3,
                "appVersion": "demo-v1", "token": "JTj…",
                "type": "reboot", "id": 1, "known": true, "statusCode": 200,
                "reasonPhrase": null, "payload": {"engine_on": true},
            })
        );
        assert_eq!(event.to_json(start, Tokens::Whole)["token"], "JTjdbENzHh");
        assert!(!format!("{event:?}").contains("bENzHh"));
        assert!(EventKind::NAMES.contains(&event.kind.name()));
    }

    #[test]
    fn a_log_nobody_reads_drops_the_oldest() {
        let mut log = Log::new(usize::MAX);
        let event = event();
        for index in 0..=MAX_EVENTS {
            let link = Some(LinkId::new(index as u64));
            log.push(Event {
                link,
                ..event.clone()
            });
        }
        assert_eq!(log.pop().and_then(|event| event.link), Some(LinkId::new(1)));
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn a_log_nobody_reads_is_bounded_in_bytes_too() {
        let mut log = Log::new(10_000);
        let text = "x".repeat(4_000);
        for _ in 0..10 {
            let kind = EventKind::Kicked {
                cause: text.clone(),
            };
            log.push(Event { kind, ..event() });
        }
        assert_eq!((log.waiting.len(), log.dropped()), (2, 8));
        while log.pop().is_some() {}
        assert_eq!(log.bytes, 0);
    }
}
