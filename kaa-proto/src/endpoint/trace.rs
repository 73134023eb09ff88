//! What an endpoint tells `tracing`: its requests, subscriptions, observations and commands.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "nothing is told")
)]

use std::time::Instant;

use super::flight::{Entry, Flight};
use super::ledger::Offer;
use super::{CommandKey, Event};
use crate::commands::Command;
use crate::names::EndpointName;
use crate::request::{Confirm, Failure, Outcome, Reply};
use crate::topic::Topic;
#[cfg(feature = "tracing")]
use crate::topic::shortened;
use crate::trace::{Span, event, span};

/// What is kept with a request to tell of it.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// From submit to its end.
    span: Span,
    /// When it was submitted.
    #[cfg(feature = "tracing")]
    since: Option<Instant>,
}

/// It was taken.
pub(super) fn submitted(now: Option<Instant>, name: &EndpointName, entry: &mut Entry) {
    let request = entry.id.number();
    entry.life.span =
        span!(&Span::current(), "request", DEBUG, "request", request, endpoint = %name);
    #[cfg(feature = "tracing")]
    {
        entry.life.since = now;
    }
    let _request = entry.life.span.enter();
    event!(
        "request",
        DEBUG,
        request,
        topic = topic(name, entry),
        bytes = entry.request.payload().len(),
        owner = ?entry.owner,
        "submitted"
    );
}

/// Its last byte was handed over.
pub(super) fn sent(name: &EndpointName, flight: &Flight) {
    let entry = &flight.entry;
    let _request = entry.life.span.enter();
    event!(
        "request",
        DEBUG,
        request = entry.id.number(),
        topic = topic(name, entry),
        again = flight.sent_before,
        "sent"
    );
}

/// It went back to its place in the queue.
pub(super) fn put_back(name: &EndpointName, entry: &Entry) {
    let _request = entry.life.span.enter();
    event!(
        "request",
        DEBUG,
        request = entry.id.number(),
        topic = topic(name, entry),
        was_sent = entry.was_sent,
        "queued again"
    );
}

/// It ended. What the application did not want so is a warning.
pub(super) fn ended(now: Instant, name: &EndpointName, entry: &Entry, outcome: &Outcome) {
    tell_end(now, name, entry, outcome.as_ref().map(Reply::confirmed));
}

/// It was the message of an observation, and was answered.
pub(super) fn observed(
    now: Instant,
    name: &EndpointName,
    entry: &Entry,
    failure: Option<&Failure>,
) {
    let outcome = failure.map_or(Ok(Confirm::Answered), Err);
    tell_end(now, name, entry, outcome);
}

/// It ended with its acknowledgement, and is kept to hear of a late error.
pub(super) fn acknowledged(now: Instant, name: &EndpointName, entry: &mut Entry) {
    tell_end(now, name, entry, Ok(Confirm::Acknowledged));
    entry.life = Life::default();
}

/// The host is to subscribe.
pub(super) fn subscribed(filter: &str) {
    event!(
        "subscription",
        DEBUG,
        filter = shortened(filter),
        "asked for"
    );
}

/// The host is to unsubscribe.
pub(super) fn unsubscribed(filter: &str) {
    event!(
        "subscription",
        DEBUG,
        filter = shortened(filter),
        "taken back"
    );
}

/// The host answered: granted, refused, or not in time.
pub(super) fn settled(filter: &str) {
    event!(
        "subscription",
        DEBUG,
        filter = shortened(filter),
        "answered"
    );
}

/// The platform offered a command.
pub(super) fn offered(name: &EndpointName, key: &CommandKey, offer: &Offer) {
    macro_rules! tell {
        ($level:ident, $words:literal) => {
            event!(
                "command",
                $level,
                endpoint = %name,
                r#type = key.command_type().as_str(),
                id = %key.id(),
                $words
            )
        };
    }
    match offer {
        Offer::Surface { interruptions: 0 } => tell!(INFO, "surfaced"),
        Offer::Surface { .. } => tell!(INFO, "surfaced, was interrupted"),
        Offer::Fail => tell!(WARN, "was interrupted, is answered with a failure"),
        Offer::Running => tell!(DEBUG, "offered again while in progress"),
        Offer::Late => tell!(DEBUG, "offered again, too late to be new"),
        Offer::Resend(_) => tell!(INFO, "offered again, its result is sent again"),
        Offer::NoRoom => tell!(DEBUG, "offered without room"),
    }
}

/// The application answered a command.
pub(super) fn answered(name: &EndpointName, key: &CommandKey) {
    event!(
        "command",
        INFO,
        endpoint = %name,
        r#type = key.command_type().as_str(),
        id = %key.id(),
        "answered"
    );
}

/// The application gave a command back.
pub(super) fn released(name: &EndpointName, key: &CommandKey) {
    event!(
        "command",
        INFO,
        endpoint = %name,
        r#type = key.command_type().as_str(),
        id = %key.id(),
        "given back"
    );
}

/// A command came that is left with the platform.
pub(super) fn not_observed(name: &EndpointName, command: &Command) {
    event!(
        "command",
        DEBUG,
        endpoint = %name,
        r#type = command.command_type().as_str(),
        id = %command.id(),
        "not observed"
    );
}

/// A message came that says nothing new.
pub(super) fn ignored(topic: &Topic<'_>, why: &str) {
    event!(
        "endpoint",
        DEBUG,
        topic = crate::topic::shown(&topic.to_wire()),
        why,
        "ignored"
    );
}

/// What the endpoint tells its host, but the ends of requests.
pub(super) fn notified(name: &EndpointName, event: &Event) {
    match event {
        // Told when the request ends, with more.
        Event::Completed { .. } | Event::RestoredCompleted { .. } => {}
        Event::Stored(id) => {
            event!("store", DEBUG, endpoint = %name, request = id.number(), "stored");
        }
        Event::NotStored(id) => {
            event!("store", WARN, endpoint = %name, request = id.number(), "in memory only");
        }
        Event::Recovered => {
            event!("store", INFO, endpoint = %name, "recovered what an earlier run left");
        }
        Event::Unread(observation) => {
            event!("observation", INFO, endpoint = %name, ?observation, "something new");
        }
        Event::Observed(observation) => {
            event!("observation", INFO, endpoint = %name, ?observation, "confirmed");
        }
        Event::ObservationFailed {
            observation,
            failure,
        } => {
            event!(
                "observation",
                WARN,
                endpoint = %name,
                ?observation,
                outcome = of(Err(failure)),
                status = status(failure),
                "failed"
            );
        }
        Event::ResultsRejected { commands, failure } => {
            event!(
                "command",
                WARN,
                endpoint = %name,
                ?commands,
                status = status(failure),
                "results rejected after they had been taken"
            );
        }
        Event::SubscriptionRefused { filter } => {
            event!("subscription", WARN, filter, "refused, or not answered");
        }
        Event::UnassignedError { resource, failure } => {
            event!(
                "request",
                WARN,
                endpoint = %name,
                resource = crate::topic::cut(resource),
                status = status(failure),
                "an error for nobody knows which request"
            );
        }
        Event::CommandsHeld(command_type) => {
            event!(
                "command",
                WARN,
                endpoint = %name,
                r#type = command_type.as_str(),
                "left with the platform for want of room"
            );
        }
        Event::Malformed { topic } => {
            event!(
                "endpoint",
                WARN,
                topic = crate::topic::cut(topic),
                "cannot be read"
            );
        }
    }
}

fn tell_end(now: Instant, name: &EndpointName, entry: &Entry, outcome: Result<Confirm, &Failure>) {
    let _request = entry.life.span.enter();
    macro_rules! tell {
        ($level:ident) => {
            event!(
                "request",
                $level,
                request = entry.id.number(),
                topic = topic(name, entry),
                outcome = of(outcome),
                status = outcome.err().and_then(status),
                elapsed_ms = elapsed_ms(now, &entry.life),
                "ended"
            )
        };
    }
    match outcome {
        // The end of an observation is told as such.
        _ if entry.owner != super::Owner::Caller => tell!(DEBUG),
        Ok(_) | Err(Failure::Cancelled) => tell!(DEBUG),
        Err(Failure::Closed) => tell!(INFO),
        Err(
            Failure::Rejected { .. }
            | Failure::Unanswered
            | Failure::OutcomeUnknown
            | Failure::Expired
            | Failure::Dropped
            | Failure::Undecodable(_),
        ) => tell!(WARN),
    }
}

#[cfg(feature = "tracing")]
fn topic(name: &EndpointName, entry: &Entry) -> String {
    Topic::of_valid(name, &entry.extension, entry.request.resource())
        .with_id(entry.wire_id)
        .shortened()
}

/// How a request ended, in one word.
#[cfg(feature = "tracing")]
const fn of(outcome: Result<Confirm, &Failure>) -> &'static str {
    match outcome {
        Ok(Confirm::Answered) => "answered",
        Ok(Confirm::Acknowledged) => "acknowledged",
        Ok(Confirm::Nothing) => "sent",
        Err(Failure::Rejected { .. }) => "rejected",
        Err(Failure::Unanswered) => "unanswered",
        Err(Failure::OutcomeUnknown) => "outcome unknown",
        Err(Failure::Expired) => "expired",
        Err(Failure::Dropped) => "dropped",
        Err(Failure::Cancelled) => "cancelled",
        Err(Failure::Closed) => "closed",
        Err(Failure::Undecodable(_)) => "undecodable",
    }
}

/// The platform's status. Its words may quote what was sent, so they are not told.
#[cfg(feature = "tracing")]
const fn status(failure: &Failure) -> Option<u16> {
    match failure {
        Failure::Rejected { status, .. } => *status,
        Failure::Unanswered
        | Failure::OutcomeUnknown
        | Failure::Expired
        | Failure::Dropped
        | Failure::Cancelled
        | Failure::Closed
        | Failure::Undecodable(_) => None,
    }
}

#[cfg(feature = "tracing")]
fn elapsed_ms(now: Instant, life: &Life) -> Option<u64> {
    let elapsed = now.saturating_duration_since(life.since?);
    Some(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
