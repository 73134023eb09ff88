//! What the link's coming and going means for session and endpoints.

use std::time::Instant;

use super::cause::LinkError;
use super::event::Event;
use super::link::{Demand, LinkId, LinkState, Loss};
use super::slab::EndpointKey;
use super::suspects::Verdict;
use super::{Connection, Deadline, Ticket, trace};
use crate::endpoint::Endpoint;
use crate::mqtt::Session;

impl Connection {
    /// The transport of `link` is there, TLS included. If the link is not wanted any more, the
    /// demand says so.
    pub fn handle_connected(&mut self, now: Instant, link: LinkId) {
        let _link = self.link.enter();
        let now = self.advance(now);
        if !self.link.handle_connected(link) {
            return;
        }
        trace::connected();
        match Session::new(now, &self.options.session) {
            Ok(session) => self.greet(session),
            // The options were checked, so this cannot be; if it is, it is not tried for ever.
            Err(_) => self.link.finish(now),
        }
        self.follow_up(now);
    }

    /// CONNECT waits to be written, and on an early link all else behind it.
    fn greet(&mut self, mut session: Session<Ticket>) {
        if self.eager.begin() {
            session.speak_early();
            trace::early();
            self.statistics.early_links += 1;
            self.arrivals = self.slots.iter().map(|(key, _)| key).collect();
        }
        self.session = Some(Box::new(session));
    }

    /// The transport of `link` is gone, could not be made, or was closed as demanded. Ignored for
    /// any other link than the one in the demand.
    pub fn handle_disconnected(&mut self, now: Instant, link: LinkId, cause: LinkError) {
        let _link = self.link.enter();
        let now = self.advance(now);
        if let Some(loss) = self.link.handle_disconnected(now, link, cause) {
            self.handle_loss(now, loss);
        }
        self.follow_up(now);
    }

    /// CONNACK came: endpoints are told as fast as the output goes, if they were not before.
    pub(super) fn handle_greeted(&mut self, now: Instant) {
        self.link.handle_greeted(now);
        self.eager.handle_greeted();
        self.suspects.handle_link_up(now);
        let keys = self.slots.iter().map(|(key, _)| key);
        match self.eager.is_on() {
            true => {
                for key in keys.collect::<Vec<_>>() {
                    self.with(key, |endpoint| endpoint.handle_greeted(now));
                }
            }
            false => self.arrivals = keys.collect(),
        }
        self.statistics.links_up += 1;
        self.notify(Event::LinkUp(self.link.id()));
    }

    /// The link is lost, or a dial failed.
    pub(super) fn handle_loss(&mut self, now: Instant, loss: Loss) {
        let Loss {
            link,
            error,
            mut was,
            next_dial,
        } = loss;
        self.statistics.losses.count(&error);
        if was == LinkState::Up {
            let kicked = matches!(error, LinkError::Eof | LinkError::Transport(_));
            self.statistics.links_lost += 1;
            self.take_down(now, kicked, Endpoint::handle_link_down);
            if self.closing.is_some() {
                was = LinkState::Draining;
            }
        } else if was == LinkState::Greeting && self.eager.is_on() {
            match matches!(error, LinkError::Refused(_)) {
                true => self.take_down(now, false, Endpoint::handle_refused),
                false => self.take_down(now, false, Endpoint::handle_link_down),
            }
            self.eager.handle_ungreeted();
        }
        self.notify(Event::LinkLost {
            link,
            error,
            was,
            next_dial,
        });
    }

    /// We end the link.
    pub(super) fn handle_goodbye(&mut self, now: Instant) {
        self.take_down(now, false, Endpoint::handle_link_down);
        self.statistics.losses.count(&LinkError::Closed);
        self.notify(Event::LinkLost {
            link: self.link.id(),
            error: LinkError::Closed,
            was: LinkState::Draining,
            next_dial: None,
        });
    }

    /// What follows from any change: failures of the session, verdicts, the end.
    pub(super) fn follow_up(&mut self, now: Instant) {
        self.look_at_changed();
        let failure = self.session.as_ref().and_then(|session| session.failure());
        if let Some(loss) = failure.and_then(|failure| self.link.hang_up(now, failure.into())) {
            self.handle_loss(now, loss);
        }
        self.look_at_verdicts();
        // With the link requests may have ended, the last one too.
        self.look_at_changed();
        self.drop_session_without_transport();
        self.drain(now);
        self.look_at_changed();
        self.drop_session_without_transport();
    }

    /// What was found out of endpoints, and who may speak again.
    pub(super) fn look_at_verdicts(&mut self) {
        while let Some(verdict) = self.suspects.poll_verdict() {
            self.handle_verdict(verdict);
        }
        while let Some(key) = self.suspects.poll_released() {
            if self.may_speak() {
                self.arrivals.push_back(key);
            }
        }
    }

    /// What it has not written is written no more.
    fn drop_session_without_transport(&mut self) {
        let has_transport = matches!(
            self.demand(),
            Demand::Exchange(_) | Demand::HangUp(_) | Demand::Abandon(_)
        );
        if !has_transport {
            self.drop_session();
        }
    }

    /// No link any more, and nothing to come.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
        self.notify(Event::Finished);
    }

    /// Endpoints learn that the link is down, and how; and what belonged to it is forgotten.
    pub(super) fn take_down(
        &mut self,
        now: Instant,
        kicked: bool,
        tell: impl Fn(&mut Endpoint, Instant),
    ) {
        self.arrivals.clear();
        self.observing.clear();
        self.filtering.clear();
        self.schedule.clear();
        for number in self.subscribing.clear() {
            self.timers.clear(&Deadline::SubAck(number));
        }
        self.timers.clear(&Deadline::Arrivals);
        self.timers.clear(&Deadline::Observing);
        self.timers.clear(&Deadline::Refill);
        self.timers.clear(&Deadline::Shares);
        let all = self.slots.iter().map(|(key, _)| key);
        self.suspects.handle_link_down(now, kicked, all);
        // Those that were suspended on this link are not up any more, but may wait for answers.
        let all: Vec<EndpointKey> = self.slots.iter().map(|(key, _)| key).collect();
        for key in all {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.is_up = false;
                slot.is_filtering = false;
                tell(&mut slot.endpoint, now);
            }
            self.touch(key);
        }
    }

    fn handle_verdict(&mut self, verdict: Verdict<EndpointKey>) {
        let event = match verdict {
            Verdict::SearchStarted(endpoints) => Event::SearchStarted { endpoints },
            Verdict::SearchEnded => Event::SearchEnded,
            Verdict::Suspended(key) => {
                self.statistics.suspensions += 1;
                let Some(slot) = self.slots.get_mut(key) else {
                    return;
                };
                // The link may be up; answers on it still count.
                slot.is_up = false;
                slot.endpoint.handle_suspended(self.now);
                let name = slot.endpoint.name().clone();
                self.touch(key);
                Event::Suspended { key, name }
            }
            Verdict::Resumed(key) => {
                let Some(slot) = self.slots.get(key) else {
                    return;
                };
                let name = slot.endpoint.name().clone();
                // On probation it had to say one thing at a time.
                self.touch(key);
                Event::Resumed { key, name }
            }
        };
        self.notify(event);
    }
}
