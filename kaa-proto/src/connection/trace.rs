//! What a connection tells `tracing`: its link, the search for the endpoint that gets it dropped,
//! its end.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "nothing is told")
)]

use std::time::Instant;

use super::cause::LinkError;
use super::drain::Outcomes;
use super::event::Event;
use super::link::LinkId;
use crate::names::EndpointName;
use crate::trace::{Entered, Span, event, span};

/// The span of the current link.
#[derive(Debug)]
pub(super) struct LinkSpan {
    /// The one that the connection was made in: the parent of all links.
    #[cfg(feature = "tracing")]
    above: Span,
    span: Span,
}

impl LinkSpan {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            above: Span::current(),
            span: Span::default(),
        }
    }

    /// The next link begins, after so many failures in a row.
    pub(super) fn begin(&mut self, link: LinkId, failures: u32) {
        let link = link.number();
        self.span = span!(&self.above, "link", INFO, "link", link);
        let _link = self.span.enter();
        let attempt = u64::from(failures) + 1;
        event!("link", INFO, attempt, "dialing");
    }

    /// What is told belongs to the link.
    pub(super) fn enter(&self) -> Entered {
        self.span.enter()
    }
}

/// There is a transport.
pub(super) fn connected() {
    event!("link", DEBUG, "connected, waiting for CONNACK");
}

/// Messages follow CONNECT before it is answered.
pub(super) fn early() {
    event!("link", DEBUG, "speaking before CONNACK");
}

/// The link proved good.
pub(super) fn stable() {
    event!("link", DEBUG, "stable");
}

/// User name and password were changed.
pub(super) fn login_changed() {
    event!("link", INFO, "another login for the next link");
}

pub(super) fn added(name: &EndpointName) {
    event!("endpoint", INFO, endpoint = %name, "added");
}

/// Its removal was taken back.
pub(super) fn stays(name: &EndpointName) {
    event!("endpoint", INFO, endpoint = %name, "stays");
}

pub(super) fn removed(name: &EndpointName, unfinished: usize) {
    event!("endpoint", INFO, endpoint = %name, unfinished, "removed");
}

/// The application closes the connection.
pub(super) fn closing(within: std::time::Duration) {
    event!("link", INFO, ?within, "closing");
}

/// All requests have ended.
pub(super) fn accounted(outcomes: &Outcomes, unfinished: usize) {
    event!("link", INFO, ?outcomes, unfinished, "flushed");
}

/// What the connection tells its host.
pub(super) fn notified(now: Instant, event: &Event) {
    match event {
        Event::LinkUp(link) => event!("link", INFO, link = link.number(), "up"),
        Event::LinkLost {
            link,
            error,
            was,
            next_dial,
        } => {
            macro_rules! tell {
                ($level:ident, $words:literal) => {
                    event!(
                        "link",
                        $level,
                        link = link.number(),
                        cause = %error,
                        was = name_of(*was),
                        next_dial_ms = next_dial.map(|at| millis(now, at)),
                        $words
                    )
                };
            }
            match error.needs_operator() {
                true => tell!(ERROR, "lost, a person has to act"),
                false if *error == LinkError::Closed => tell!(INFO, "closed"),
                false => tell!(WARN, "lost"),
            }
        }
        // Told by themselves, with more.
        Event::Endpoint { .. } | Event::EndpointRemoved { .. } => {}
        Event::SearchStarted { endpoints } => {
            event!("search", WARN, endpoints, "links die young: search started");
        }
        Event::SearchEnded => event!("search", INFO, "search ended"),
        Event::Suspended { name, .. } => {
            event!("search", WARN, endpoint = %name, "suspended: it gets the link dropped");
        }
        Event::Resumed { name, .. } => event!("search", INFO, endpoint = %name, "resumed"),
        Event::Stray { topic, reason } => {
            event!("endpoint", DEBUG, topic, why = why(*reason), "ignored");
        }
        Event::StoreLost(error) => event!("store", ERROR, %error, "lost: going on in memory"),
        Event::StoreBack => event!("store", INFO, "back"),
        Event::Finished => event!("link", INFO, "finished"),
    }
}

#[cfg(feature = "tracing")]
const fn why(reason: super::Stray) -> &'static str {
    use super::Stray;
    match reason {
        Stray::Malformed => "no 1/KP topic",
        Stray::UnknownEndpoint => "no such endpoint",
        Stray::Oversize { .. } => "too large",
    }
}

#[cfg(feature = "tracing")]
const fn name_of(state: super::LinkState) -> &'static str {
    use super::LinkState;
    match state {
        LinkState::Dialing => "dialing",
        LinkState::Greeting => "greeting",
        LinkState::Up => "up",
        LinkState::Draining => "draining",
        LinkState::HangingUp => "hanging up",
        LinkState::Waiting { .. } => "waiting",
        LinkState::Finished => "finished",
    }
}

#[cfg(feature = "tracing")]
fn millis(now: Instant, at: Instant) -> u64 {
    let wait = at.saturating_duration_since(now).as_millis();
    u64::try_from(wait).unwrap_or(u64::MAX)
}
