//! Bytes in: what each packet of the server means for whom.

use std::time::Instant;

use super::event::{Event, Stray};
use super::link::LinkId;
use super::slab::EndpointKey;
use super::{Connection, Ticket};
use crate::endpoint::Endpoint;
use crate::mqtt::{Incoming, Message};
use crate::topic::{Topic, shown};

impl Connection {
    /// Bytes of `link` arrived. Those of any other link than the one in the demand are ignored.
    ///
    /// All of `input` is used up. Malformed MQTT ends the link; see [`Connection::demand`].
    pub fn handle_input(&mut self, now: Instant, link: LinkId, mut input: &[u8]) {
        let _link = self.link.enter();
        let now = self.advance(now);
        if link != self.link.id() {
            return;
        }
        let Some(mut session) = self.session.take() else {
            return;
        };
        while let Some(incoming) = session.handle_input(now, &mut input) {
            match incoming {
                Incoming::Connected => self.handle_greeted(now),
                Incoming::Message(message) => self.handle_message(now, &message),
                Incoming::Acknowledged(ticket) => self.handle_acknowledged(now, ticket),
                Incoming::Subscribed {
                    key: Ticket::Subscribe(number),
                    granted,
                } => self.handle_suback(now, number, granted),
                Incoming::Oversize(message) => {
                    self.statistics.oversize += 1;
                    let size = message.size;
                    self.handle_stray(message.topic, Stray::Oversize { size });
                }
                Incoming::Unexpected { .. } => self.statistics.unexpected_packets += 1,
                // The session says so itself: `Session::failure`.
                Incoming::Refused(_) | Incoming::Failed(_) => {}
                Incoming::Subscribed { .. } | Incoming::Unsubscribed(_) => {}
            }
        }
        self.session = Some(session);
        self.follow_up(now);
    }

    /// A message is for the endpoint that its topic names, asked for or not (FACTS trap 8). One
    /// that a broker kept is older than the subscription: an old answer would confirm a new request
    /// that has its ID.
    fn handle_message(&mut self, now: Instant, message: &Message<'_>) {
        self.statistics.messages_in += 1;
        if message.retain {
            self.statistics.retained += 1;
            return;
        }
        let Ok(topic) = Topic::parse(message.topic) else {
            self.statistics.malformed_topics += 1;
            return self.handle_stray(message.topic, Stray::Malformed);
        };
        match self.directory.find(topic.app_version(), topic.token()) {
            Some(key) => {
                self.hear(now, key, |endpoint| {
                    endpoint.handle_topic(now, &topic, message.payload);
                });
            }
            None if topic.suffix().is_none() => self.statistics.echoes += 1,
            None => {
                self.statistics.unknown_endpoints += 1;
                self.handle_stray(message.topic, Stray::UnknownEndpoint);
            }
        }
    }

    fn handle_acknowledged(&mut self, now: Instant, ticket: Ticket) {
        if let Ticket::Message(key, message) = ticket {
            self.schedule.left_window(now, key);
            self.handle_window_moved(now);
            self.hear(now, key, |endpoint| {
                endpoint.handle_acknowledged(now, message);
            });
        }
    }

    /// Tells an endpoint what the server said, and takes note if that confirmed something, and of
    /// what it says of the endpoint.
    fn hear(&mut self, now: Instant, key: EndpointKey, tell: impl FnOnce(&mut Endpoint)) {
        let look = |endpoint: &Endpoint| (endpoint.confirmed(), endpoint.regard());
        let heard = self.with(key, |endpoint| {
            let before = look(endpoint);
            tell(endpoint);
            (before, look(endpoint))
        });
        let Some(((confirmed_before, before), (confirmed, after))) = heard else {
            return;
        };
        if confirmed != confirmed_before {
            self.statistics.last_confirmed = Some(now);
        }
        if after.served != before.served {
            self.suspects.handle_served(key);
        }
        // One endpoint alone harms nobody by asking on; its answers say what is wrong.
        if after.denied > before.denied && self.slots.len() > 1 {
            self.suspects.handle_denied(now, key, after.denied);
            if !self.suspects.may_speak(key) {
                self.with(key, Endpoint::forget_denials);
            }
        }
    }

    fn handle_stray(&mut self, topic: &str, reason: Stray) {
        let topic = shown(topic);
        self.notify(Event::Stray { topic, reason });
    }
}
