//! The lines that the program prints: for people, or JSON.

use std::time::Instant;

use kaa_blocking::platform::LocalPlatform;
use kaa_proto::platform::{EVENT_SCHEMA, Event, LinkId, Tokens};
use serde_json::{Map, Value, json};

use super::answer::Answer;

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) is_json: bool,
    pub(crate) tokens: Tokens,
    /// When the platform was started.
    pub(crate) start: Instant,
}

impl Style {
    /// `listening on ADDR`, and where uploads go.
    pub(crate) fn listening(&self, platform: &LocalPlatform) -> String {
        let address = platform.addr().map(|addr| addr.to_string());
        let address = address.unwrap_or_default();
        self.ready(
            "listening",
            format!("listening on {address}"),
            "address",
            &address,
            platform,
        )
    }

    /// `attached to URL`, and where uploads go.
    pub(crate) fn attached(&self, platform: &LocalPlatform) -> String {
        let url = platform.url();
        self.ready(
            "attached",
            format!("attached to {url}"),
            "url",
            url,
            platform,
        )
    }

    /// Says that devices can come: `text`, in JSON too, so that a script finds it either way.
    fn ready(
        &self,
        event: &str,
        text: String,
        field: &str,
        value: &str,
        platform: &LocalPlatform,
    ) -> String {
        let uploads = platform.http_addr().map(|addr| addr.to_string());
        if self.is_json {
            let mut fields = Map::new();
            fields.insert(field.into(), json!(value));
            fields.insert("text".into(), json!(text));
            if let Some(uploads) = uploads {
                fields.insert("uploads".into(), json!(uploads));
            }
            return self.own(event, fields);
        }
        match uploads {
            Some(uploads) => format!("{text}\nuploads on http://{uploads}"),
            None => text,
        }
    }

    pub(crate) fn event(&self, event: &Event) -> String {
        if self.is_json {
            return event.to_json(self.start, self.tokens).to_string();
        }
        let at = event.at.saturating_duration_since(self.start).as_secs_f64();
        match (&event.endpoint, self.tokens) {
            (Some(name), Tokens::Whole) => {
                let (version, token) = (name.app_version(), name.token().as_str());
                format!("{at:.3} {version}/{token} {}", event.kind)
            }
            _ => format!("{at:.3} {event}"),
        }
    }

    /// A connection is closed because TLS failed.
    pub(crate) fn tls_failed(&self, link: LinkId, cause: &str) -> String {
        let (event, link, cause) = ("tls-failed", json!(link.number()), json!(cause));
        if self.is_json {
            let fields = [("link".into(), link), ("cause".into(), cause)];
            return self.own(event, fields.into_iter().collect());
        }
        let at = self.start.elapsed().as_secs_f64();
        format!("{at:.3} link {link} {event} cause={cause}")
    }

    pub(crate) fn answer(&self, answer: &Answer) -> String {
        match self.is_json {
            true => self.own("answer", answer.to_json()),
            false => answer.to_text(),
        }
    }

    /// A JSON line of the program itself.
    fn own(&self, event: &str, fields: Map<String, Value>) -> String {
        let mut line = Map::new();
        line.insert("v".into(), json!(EVENT_SCHEMA));
        line.insert("at".into(), json!(self.start.elapsed().as_secs_f64()));
        line.insert("event".into(), json!(event));
        line.extend(fields);
        Value::Object(line).to_string()
    }
}
