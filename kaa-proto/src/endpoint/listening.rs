//! Requests that ended with their acknowledgement, while a late `/error` is still of interest.

use std::time::Instant;

use bytes::Bytes;

use super::flight::Entry;
use super::trace;
use super::{Endpoint, Rest};
use crate::request::{Effect, Reply, RequestId};

/// So many are listened for; beyond it an `/error` to the oldest counts as a late answer.
const MAX_LISTENING: usize = 256;

impl Endpoint {
    /// Ends a request with its acknowledgement. Its ID stays with it until the time for an answer is
    /// over.
    pub(super) fn end_listening(&mut self, now: Instant, id: RequestId, reply: Reply) {
        let Some(flight) = self.room.flights.listen(id) else {
            return;
        };
        trace::acknowledged(now, &self.name, &mut flight.entry);
        let owner = flight.entry.owner.clone();
        let effect = flight.entry.request.effect.clone();
        flight.entry.drop_contents();
        self.conclude(now, id, &owner, &effect, Ok(reply));
        while self.room.flights.listening_len() > MAX_LISTENING {
            self.stop_listening(now);
        }
    }

    /// Nothing is expected any more for the oldest of them.
    fn stop_listening(&mut self, now: Instant) {
        let Some(room) = self.room.there() else {
            return;
        };
        let oldest = room.flights.oldest_listening();
        if let Some(flight) = oldest.and_then(|id| room.flights.remove(id)) {
            self.free_id(now, &flight.entry, Rest::ForLateAnswer);
            self.recycle(flight.entry);
            self.tidy_deadlines();
        }
    }
}

impl Entry {
    /// It is not sent again: what is left says which commands it was about.
    fn drop_contents(&mut self) {
        self.request.payload = Vec::new();
        if let Effect::Results(_, results) = &mut self.request.effect {
            results
                .iter_mut()
                .for_each(|result| result.json = Bytes::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{CommandResult, Report};
    use crate::endpoint::{EndpointOptions, Subscriptions};
    use crate::names::{CommandType, EndpointName};

    #[test]
    fn what_is_only_listened_for_keeps_nothing_of_what_was_sent() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        let options = EndpointOptions::default().subscriptions(Subscriptions::None);
        let mut endpoint = Endpoint::new(name, options.into(), 1);
        endpoint.handle_link_up(now);
        let log = CommandResult::ok()
            .with_payload(&"x".repeat(100_000))
            .unwrap();
        let report = Report::new(CommandType::new("log").unwrap(), 1, log);
        let id = endpoint.submit(now, &report).unwrap();
        let message = endpoint.poll_message(now).unwrap();
        endpoint.handle_acknowledged(now, message.key);
        let entry = &endpoint.room.flights.get(id).unwrap().entry;
        assert_eq!(entry.request.payload.capacity(), 0);
        let kept = match &entry.request.effect {
            Effect::Results(_, results) => results.iter().map(|kept| kept.json.len()).collect(),
            Effect::None | Effect::Pending(_) | Effect::Applied(..) | Effect::Current(_) => vec![],
        };
        assert_eq!(kept, [0]);
        assert!(
            endpoint
                .ledger
                .results()
                .all(|(_, kept, _)| kept.json.len() > 100_000)
        );
    }
}
