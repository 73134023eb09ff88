//! What can go wrong in a simulation, drawn from its seed.

use std::time::Duration;

use kaa_proto::platform::{
    CommandClock, ConfigBody, DeliverTo, NoConfig, NotModified, ObserveScope, ObserveUntil,
    PlatformOptions, PushTopic, UnknownResult, WithoutId,
};

use super::wire::Carriage;
use crate::dice::Dice;
use crate::pipe::Pieces;

macro_rules! happenings {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal,)+) => {
        /// What happens in a simulation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Happening {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Happening {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// What it is called in summaries.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

happenings! {
    /// An operator invokes a command.
    Command "command",
    /// An operator assigns a configuration.
    Configure "configuration",
    /// An operator assigns a software version.
    Software "software",
    /// A link is cut, and both ends learn it.
    Cut "cut",
    /// A link is cut after some more bytes.
    CutLater "cut at a byte",
    /// Nothing goes to the platform any more, and nobody learns it.
    HoleUp "hole up",
    /// Nothing goes to the device any more, and nobody learns it.
    HoleDown "hole down",
    /// Nothing goes either way any more, and nobody learns it.
    Hole "hole both ways",
    /// What was swallowed arrives after all.
    Reopen "hole opened",
    /// Dials come to nothing for a while.
    Away "dials hang",
    /// Dials are refused for a while.
    Refuse "dials refused",
    /// The platform refuses the next links, by its CONNACK.
    RefuseLinks "refused by CONNACK",
    /// The platform closes the next links as soon as it has accepted them.
    AcceptThenKick "accepted, then kicked",
    /// The platform closes a link.
    Kick "kick",
    /// The platform ends all links, and forgets none of its data.
    Restart "platform restart",
    /// The clock jumps forward, as after a suspend.
    Jump "clock jump",
    /// The wall clock of a disk jumps, forward or back.
    WallJump "wall clock jump",
    /// Answers and pushes are late.
    Late "late answers",
    /// Answers and pushes are lost.
    Lose "lost answers",
    /// Answers and pushes come more than once.
    Duplicate "duplicate answers",
    /// Answers and pushes come in another order.
    Reorder "reordered answers",
    /// Requests are refused.
    Error "refused requests",
    /// A request is processed, and its link closed instead of an answer.
    KickAnswer "kick instead of an answer",
    /// The platform hangs for a while.
    BlackHole "platform hangs",
    /// A subscription is refused.
    RefuseSubscription "refused subscription",
    /// An answer comes that is for somebody else, or nobody.
    Foreign "foreign answer",
    /// A message comes that is larger than the client takes.
    Oversize "oversize message",
    /// Something comes that is no MQTT.
    Malformed "malformed packet",
    /// A message comes twice.
    Repeat "repeated message",
    /// A program reads nothing for a while.
    SlowReader "slow reader",
    /// The next sync of a disk fails.
    FailSync "failed sync",
    /// The next write of a disk fails.
    FailWrite "failed write",
    /// A disk is full, or has room again.
    FullDisk "full disk",
    /// A medium hangs for a while.
    StuckDisk "medium hangs",
    /// The power of a device goes, and comes again.
    PowerCut "power cut",
    /// A process is killed, and starts again.
    Killed "process killed",
    /// A device is told to end, and starts again.
    ShutDown "shutdown",
}

impl Happening {
    /// Whether a disk may fail for it.
    pub(super) const fn breaks_disk(self) -> bool {
        matches!(self, Self::FailSync | Self::FailWrite | Self::FullDisk)
    }

    const fn is_work(self) -> bool {
        matches!(self, Self::Command | Self::Configure | Self::Software)
    }
}

/// What a seed makes of a simulation: which things go wrong, how often, and on what links.
#[derive(Clone, Debug)]
pub struct Weather {
    /// One of so many steps has something happen.
    pub rate: u64,
    /// What happens.
    pub happenings: Vec<Happening>,
    /// How open questions are settled by the platform.
    pub platform: PlatformOptions,
    pub(super) latency: Duration,
    pub(super) jitter: u64,
}

impl Weather {
    /// As a seed makes it. Each kind of thing goes wrong in about half of all seeds, so that some
    /// seeds have one trouble alone and others all at once.
    #[must_use]
    pub fn drawn(dice: &mut Dice) -> Self {
        let calm = dice.below(16) == 0;
        let mut happenings: Vec<Happening> = Vec::new();
        for happening in Happening::ALL {
            // Disks that fail are another world: what is in memory only may be lost then.
            let rarity = if happening.breaks_disk() { 6 } else { 2 };
            let drawn = dice.below(rarity) == 0;
            if happening.is_work() || drawn && !calm {
                happenings.push(*happening);
            }
        }
        Self {
            rate: 4 + dice.below(40),
            happenings,
            platform: platform(dice),
            latency: Duration::from_millis([0, 1, 10, 80, 400][dice.below(5) as usize]),
            jitter: [0, 0, 5, 200, 2_000][dice.below(5) as usize],
        }
    }

    /// How the links of a device carry bytes.
    pub(super) fn carriage(&self, dice: &mut Dice) -> Carriage {
        Carriage {
            latency: self.latency,
            jitter: self.jitter,
            pieces: match dice.below(4) {
                0 => Pieces::Whole,
                1 => Pieces::UpTo(dice.length(40)),
                _ => Pieces::Random(dice.length(600)),
            },
            room: if dice.below(3) == 0 {
                dice.length(2_000)
            } else {
                65_536
            },
        }
    }

    /// Whether a client that subscribes to nothing is served.
    pub(super) fn serves_without_subscription(&self) -> bool {
        self.platform.switches.delivery != DeliverTo::Subscription
    }
}

/// The value of a switch; the first twice as often.
fn pick<T: Copy>(dice: &mut Dice, values: &[T]) -> T {
    let index = dice.below(values.len() as u64 + 1) as usize;
    values[index % values.len()]
}

/// A platform with switches by chance, all of which a device can live with.
fn platform(dice: &mut Dice) -> PlatformOptions {
    let mut options = PlatformOptions::default();
    let switches = &mut options.switches;
    switches.delivery = pick(
        dice,
        &[
            DeliverTo::Both,
            DeliverTo::Subscription,
            DeliverTo::LastSpeaker,
        ],
    );
    switches.echo = dice.below(4) == 0;
    switches.push_topic = pick(dice, &[PushTopic::NoId, PushTopic::WithId, PushTopic::Both]);
    switches.unsolicited_config = dice.below(3) != 0;
    switches.config_body = pick(dice, &[ConfigBody::Cloud, ConfigBody::Rfc]);
    switches.not_modified = pick(
        dice,
        &[
            NotModified::Object,
            NotModified::Empty,
            NotModified::Null,
            NotModified::Status304,
            NotModified::Error304,
        ],
    );
    switches.no_config = pick(dice, &[NoConfig::Null, NoConfig::NotModified]);
    switches.unknown_result = pick(dice, &[UnknownResult::Success, UnknownResult::NotFound]);
    switches.without_id = pick(dice, &[WithoutId::Bcx, WithoutId::Errors, WithoutId::None]);
    switches.command_ttl = Duration::from_secs(10_000 * 3_600);
    switches.command_clock = pick(dice, &[CommandClock::Invocation, CommandClock::Delivery]);
    switches.observe_scope = pick(dice, &[ObserveScope::Type, ObserveScope::Endpoint]);
    switches.observe_until = pick(dice, &[ObserveUntil::Disconnect, ObserveUntil::Withdrawn]);
    options
}
