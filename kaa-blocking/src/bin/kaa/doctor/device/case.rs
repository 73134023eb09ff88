//! The cases, and the scenes in which they show.

/// What a device is judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    Connects,
    Subscribes,
    RequestIds,
    PrefixAnswer,
    LateAnswer,
    Acknowledges,
    UnknownPush,
    OddPackets,
    Reconnects,
    Backoff,
    KeepsQueue,
    Refused,
    KeepAlive,
    DeadLink,
    CommandOnce,
    ResultAgain,
    Goodbye,
}

/// What the doctor does with a device; one scene may show several cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A platform that is well.
    Calm,
    /// Answers take their time.
    Slow,
    /// Answers that are none of the device's come before the right ones.
    WrongAnswers,
    /// A push that nobody asked for.
    Push,
    /// A message of a megabyte, and bytes that are no packet.
    OddPackets,
    /// The link is cut.
    Cut,
    /// Nobody lets the device in for a while.
    Outage,
    /// CONNACK refuses it for a while.
    Refusal,
    /// Nothing happens.
    Quiet,
    /// The network swallows everything.
    DeadLink,
    /// Commands, whose results are lost.
    Commands,
    /// The program is told to end.
    Goodbye,
}

impl Scene {
    /// All of them, in the order they are played.
    pub(crate) const ALL: [Self; 12] = [
        Self::Calm,
        Self::Slow,
        Self::WrongAnswers,
        Self::Push,
        Self::OddPackets,
        Self::Cut,
        Self::Outage,
        Self::Refusal,
        Self::Quiet,
        Self::DeadLink,
        Self::Commands,
        Self::Goodbye,
    ];

    /// What it shows.
    pub(crate) const fn cases(self) -> &'static [Case] {
        match self {
            Self::Calm => &[Case::Connects, Case::Subscribes],
            Self::Slow => &[Case::RequestIds],
            Self::WrongAnswers => &[Case::PrefixAnswer, Case::LateAnswer],
            Self::Push => &[Case::Acknowledges, Case::UnknownPush],
            Self::OddPackets => &[Case::OddPackets],
            Self::Cut => &[Case::Reconnects],
            Self::Outage => &[Case::Backoff, Case::KeepsQueue],
            Self::Refusal => &[Case::Refused],
            Self::Quiet => &[Case::KeepAlive],
            Self::DeadLink => &[Case::DeadLink],
            Self::Commands => &[Case::CommandOnce, Case::ResultAgain],
            Self::Goodbye => &[Case::Goodbye],
        }
    }
}

impl Case {
    /// All of them, in the order they are judged.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Scene::ALL
            .into_iter()
            .flat_map(|scene| scene.cases().iter().copied())
    }

    /// What it is called on the command line and in the results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connects => "connects",
            Self::Subscribes => "subscribes",
            Self::RequestIds => "request-ids",
            Self::PrefixAnswer => "prefix-answer",
            Self::LateAnswer => "late-answer",
            Self::Acknowledges => "acknowledges",
            Self::UnknownPush => "unknown-push",
            Self::OddPackets => "odd-packets",
            Self::Reconnects => "reconnects",
            Self::Backoff => "backoff",
            Self::KeepsQueue => "keeps-queue",
            Self::Refused => "refused",
            Self::KeepAlive => "keep-alive",
            Self::DeadLink => "dead-link",
            Self::CommandOnce => "command-once",
            Self::ResultAgain => "result-again",
            Self::Goodbye => "goodbye",
        }
    }

    /// What a device has to do.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Connects => "sends a valid CONNECT, with a clean session and a sane keep alive",
            Self::Subscribes => {
                "subscribes to its answers before it asks, or needs no subscription"
            }
            Self::RequestIds => "uses no request ID again whose answer may still come",
            Self::PrefixAnswer => "does not take the answer to /10 for that to /1",
            Self::LateAnswer => "does not take a late answer for that to a newer request",
            Self::Acknowledges => "acknowledges messages of QoS 1",
            Self::UnknownPush => "ignores a push that it does not know",
            Self::OddPackets => "lives on after a message of a megabyte and bytes that are no MQTT",
            Self::Reconnects => "comes back after a cut, subscribes and speaks",
            Self::Backoff => "waits between dials while nobody lets it in",
            Self::KeepsQueue => "keeps what it took during an outage, and sends it",
            Self::Refused => "waits between dials while CONNACK refuses it, and comes back",
            Self::KeepAlive => "sends PINGREQ in time",
            Self::DeadLink => "notices a dead link",
            Self::CommandOnce => "runs a command once, however often it is repeated",
            Self::ResultAgain => "sends a result again that did not arrive",
            Self::Goodbye => "says DISCONNECT on SIGTERM",
        }
    }
}
