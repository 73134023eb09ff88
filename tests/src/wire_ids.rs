//! Request IDs as the platform sees them: none is in flight twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::sniffer::Seen;

/// A request that the platform saw and that is not answered.
#[derive(Debug)]
struct Asked {
    /// The topic.
    topic: String,
    /// The payload.
    payload: Vec<u8>,
    /// The link it came on.
    link: usize,
    /// When it was sent.
    at: Instant,
}

/// Watches over the request IDs of all endpoints. Spaces are those of application version,
/// token and extension instance (FACTS trap 12).
#[derive(Debug)]
pub struct WireIds {
    /// What is in flight, by space and ID.
    asked: BTreeMap<(String, u32), Asked>,
    /// How long an answer is waited for.
    patience: Duration,
    /// How long after it was sent no other request has its topic, unless it was answered.
    rest: Duration,
}

impl WireIds {
    /// Nothing is in flight. `patience` is how long the client waits for an answer.
    #[must_use]
    pub const fn new(patience: Duration) -> Self {
        Self {
            asked: BTreeMap::new(),
            patience,
            rest: patience,
        }
    }

    /// A late answer may come until then: so long a topic is not used again.
    #[must_use]
    pub fn resting(self, rest: Duration) -> Self {
        Self { rest, ..self }
    }

    /// A message reached the platform on a link.
    ///
    /// # Panics
    /// If its ID is 0, or in flight for another request, or for the same one on the same link.
    /// An observation is sent again under its ID as often as the client likes (FACTS trap 9).
    pub fn check(&mut self, now: Instant, link: usize, seen: &Seen) {
        let Some((space, id)) = space(&seen.topic) else {
            return;
        };
        assert_ne!(id, 0, "{}", seen.topic);
        let observes = |payload: &[u8]| {
            let payload = String::from_utf8_lossy(payload);
            payload.contains("\"observe\":")
        };
        let key = (space, id);
        let may_be_answered = |asked: &&Asked| {
            if asked.topic == seen.topic {
                return now < asked.at + self.patience.max(self.rest);
            }
            // Another resource may have it as soon as nobody waits: on another link, or when an
            // observation was taken back.
            let is_over = asked.link != link || observes(&asked.payload);
            now < asked.at + self.patience && !is_over
        };
        if let Some(asked) = self.asked.get(&key).filter(may_be_answered) {
            let is_same = asked.topic == seen.topic && asked.payload == seen.payload;
            let again = is_same && asked.link != link;
            let observed = asked.topic == seen.topic && observes(&seen.payload);
            assert!(
                again || observed,
                "ID {id} is in flight twice: {}",
                seen.topic
            );
        }
        let asked = Asked {
            topic: seen.topic.clone(),
            payload: seen.payload.clone(),
            link,
            at: now,
        };
        self.asked.insert(key, asked);
    }

    /// The platform refused this link: nothing that came on it was asked.
    pub fn handle_refused(&mut self, link: usize) {
        self.asked.retain(|_, asked| asked.link != link);
    }

    /// A message reached the client.
    pub fn handle_answer(&mut self, topic: &str) {
        let request = topic
            .strip_suffix("/status")
            .or_else(|| topic.strip_suffix("/error"));
        let Some(request) = request else {
            return;
        };
        if let Some(key) = space(request) {
            if self
                .asked
                .get(&key)
                .is_some_and(|asked| asked.topic == request)
            {
                self.asked.remove(&key);
            }
        }
    }
}

/// Application version, extension and token of a request, and its ID, if it has one.
fn space(topic: &str) -> Option<(String, u32)> {
    let levels: Vec<&str> = topic.split('/').collect();
    let ["kp1", version, extension, token, .., last] = levels.as_slice() else {
        return None;
    };
    Some((format!("{version}/{extension}/{token}"), last.parse().ok()?))
}
