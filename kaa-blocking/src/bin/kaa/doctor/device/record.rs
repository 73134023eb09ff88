//! What was seen of a device, with times: all that the judges look at.

use std::time::Duration;

use kaa_proto::topic::{Suffix, Topic};

use super::wire::{Connect, Packet, Publish};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Since the scene began.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// What happened. Links are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The device dialed.
    Opened(u32),
    /// A packet of the device.
    Heard(u32, Packet),
    /// A packet to the device that it could read.
    Told(u32, Packet),
    /// A link is gone.
    Closed(u32, By),
    /// The doctor did something.
    Did(Act),
    /// The program ended.
    Exited,
}

/// Who closed a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Device,
    Platform,
    Doctor,
}

/// What the doctor did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// He cut all links.
    Cut,
    /// From now on links are closed as soon as they are opened, or CONNECT is refused; no more.
    Refuses,
    Welcomes,
    /// From now on nothing reaches the device.
    Silences,
    /// He invoked the command of that ID.
    Commands(i64),
    /// From now on results do not arrive; now they do.
    HoldsResults,
    TakesResults,
    /// He pushed the command again.
    Repeats,
    /// From now on answers are held back.
    HoldsAnswers,
    /// He sent an answer that is not the open request's; then the one that is.
    AnswersWrongly(Wrong),
    AnswersRightly,
    /// He sent what a device need not understand.
    Pushes(Oddity),
    /// He sent the program SIGTERM.
    Terminates,
    /// The scene is over: the last entry of each.
    Ends,
}

/// How an answer is not the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Its ID begins as the request's, or is the begin of it.
    Prefix,
    /// It is for the request before, which was given up.
    Late,
}

/// What a device need not understand, and has to live with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// A push that nobody asked for, at QoS 1, under this packet identifier.
    Unknown(u16),
    /// A message of a megabyte.
    Oversized,
    /// Bytes that are no packet.
    Malformed,
}

/// What was seen, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a>(pub(crate) &'a [Entry]);

impl<'a> Record<'a> {
    /// The packets of the device: when, on which link, what.
    pub(crate) fn heard(self) -> impl DoubleEndedIterator<Item = (Duration, u32, &'a Packet)> {
        self.0.iter().filter_map(|entry| match &entry.what {
            What::Heard(link, packet) => Some((entry.at, *link, packet)),
            _ => None,
        })
    }

    /// The messages of the device.
    pub(crate) fn published(self) -> impl DoubleEndedIterator<Item = (Duration, u32, &'a Publish)> {
        self.heard().filter_map(|(at, link, packet)| match packet {
            Packet::Publish(publish) => Some((at, link, publish)),
            _ => None,
        })
    }

    /// What the device introduced itself with.
    pub(crate) fn connects(self) -> impl Iterator<Item = (Duration, u32, &'a Connect)> {
        self.heard().filter_map(|(at, link, packet)| match packet {
            Packet::Connect(connect) => Some((at, link, connect)),
            _ => None,
        })
    }

    /// When the device was let in.
    pub(crate) fn welcomes(self) -> impl Iterator<Item = (Duration, u32)> {
        self.0.iter().filter_map(|entry| match entry.what {
            What::Told(link, Packet::ConnAck(0)) => Some((entry.at, link)),
            _ => None,
        })
    }

    /// The part from the first such act on.
    pub(crate) fn from(self, act: impl Fn(&Act) -> bool) -> Option<Self> {
        let is_it = |entry: &Entry| matches!(&entry.what, What::Did(done) if act(done));
        let begin = self.0.iter().position(is_it)?;
        Some(Self(self.0.get(begin..).unwrap_or_default()))
    }

    /// The part before the first such act; all of it if there is none.
    pub(crate) fn until(self, act: impl Fn(&Act) -> bool) -> Self {
        let is_it = |entry: &Entry| matches!(&entry.what, What::Did(done) if act(done));
        let end = self.0.iter().position(is_it).unwrap_or(self.0.len());
        Self(self.0.get(..end).unwrap_or_default())
    }

    /// When it was over.
    pub(crate) fn end(self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |entry| entry.at)
    }

    /// When it began.
    pub(crate) fn begin(self) -> Duration {
        self.0.first().map_or(Duration::ZERO, |entry| entry.at)
    }

    /// Whether the program ended by itself.
    pub(crate) fn has_exited(self) -> bool {
        self.0.iter().any(|entry| entry.what == What::Exited)
    }
}

/// A request ID with the space in which no two open requests may share it: an extension of an
/// endpoint. A gateway speaks for many endpoints, each with spaces of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestId<'a> {
    app_version: &'a str,
    token: &'a str,
    pub(crate) extension: &'a str,
    pub(crate) id: u32,
}

/// The ID of a request that wants an answer.
pub(crate) fn request(publish: &Publish) -> Option<RequestId<'_>> {
    let topic = Topic::parse(&publish.topic).ok()?;
    match topic.suffix() {
        None => Some(RequestId {
            app_version: topic.app_version(),
            token: topic.token(),
            extension: topic.extension(),
            id: topic.id()?,
        }),
        Some(_) => None,
    }
}

/// Whether a message reports what became of commands.
pub(crate) fn is_result(publish: &Publish) -> bool {
    Topic::parse(&publish.topic)
        .is_ok_and(|topic| topic.suffix().is_none() && topic.levels().next() == Some("result"))
}

/// Whether a packet shows that the device goes on: not what a machine acknowledges, nor a goodbye.
pub(crate) const fn is_sign_of_life(packet: &Packet) -> bool {
    !matches!(packet, Packet::PubAck(_) | Packet::Disconnect)
}

/// The request that an answer belongs to.
pub(crate) fn answered(topic: &str) -> Option<&str> {
    let parsed = Topic::parse(topic).ok()?;
    parsed.id()?;
    match parsed.suffix()? {
        Suffix::Status => topic.strip_suffix("/status"),
        Suffix::Error => topic.strip_suffix("/error"),
    }
}
