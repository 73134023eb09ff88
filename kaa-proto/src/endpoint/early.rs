//! A link that is spoken on before the platform has greeted us.
//!
//! What is sent then may turn out not to have been processed at all, by a refusal; so nothing ends as
//! sent before CONNACK, and the refusal gives everything back as it was.
//!
//! Nor does anybody know when it arrives: a flight that the network held up may come after the next
//! link's, with its CONNECT ahead, so that the server takes it for the newer one. What is written in
//! order, such as metadata and reports of what is applied, would be put back to an old value by that;
//! so serial requests wait for CONNACK.

use std::time::Instant;

use bytes::Bytes;

use super::flight::{Flight, Stage};
use super::{Endpoint, MessageKey};
use crate::request::Confirm;

impl Endpoint {
    /// CONNECT is on its way, and messages may follow it: as
    /// [`handle_link_up_unobserved`](Self::handle_link_up_unobserved), but whether there is a session
    /// is told later, by [`handle_greeted`](Self::handle_greeted) or
    /// [`handle_refused`](Self::handle_refused).
    pub(crate) fn handle_link_begun(&mut self, now: Instant) {
        if !self.link_up {
            self.is_early = true;
            self.handle_link_up_unobserved(now);
        }
    }

    /// The SUBSCRIBE with this filter goes ahead of all messages from now on, so a server that takes
    /// packets in their order has subscribed when it gets them.
    pub(crate) fn handle_filter_ahead(&mut self, now: Instant, filter: &str) {
        self.advance(now);
        if let Some(filters) = self.filters.there() {
            filters.handle_ahead(filter);
        }
    }

    /// The session is there: what only had to be sent has been.
    pub(crate) fn handle_greeted(&mut self, now: Instant) {
        let now = self.advance(now);
        if !std::mem::replace(&mut self.is_early, false) {
            return;
        }
        let is_done = |flight: &Flight| {
            let confirm = flight.entry.request.policy.confirm;
            flight.stage == Stage::Sent && confirm == Confirm::Nothing
        };
        let done = self
            .room
            .flights
            .iter()
            .filter(|(_, flight)| is_done(flight));
        let done: Vec<_> = done.map(|(id, _)| id).collect();
        for id in done {
            self.confirm(now, id, Confirm::Nothing, Bytes::new());
        }
    }

    /// There is no session, and nothing of what was sent was processed (MQTT-3.1.4-5): all of it goes
    /// back to its place as if it had not been sent, also what may be sent only once. Then the link is
    /// down. What has ended meanwhile stays so.
    pub(crate) fn handle_refused(&mut self, now: Instant) {
        if self.is_early {
            let open = self.room.flights.iter();
            let open = open.filter(|(_, flight)| flight.stage != Stage::Listening);
            let open: Vec<_> = open.map(|(id, _)| id).collect();
            for id in open {
                self.handle_not_sent(now, MessageKey(id));
            }
        }
        self.handle_link_down(now);
    }
}
