//! What may happen to a few devices, their link and their platform, as data: anything in any order,
//! from a property test or from a fuzzer. [`live`] does it to a [`Pair`](crate::pair::Pair) and holds
//! the whole contract against what the platform itself noted.
//!
//! Every operation is four bytes, and every four bytes are one: so both can make them, and what one of
//! them finds is a list that can be read.

mod acts;
mod life;
mod setup;
mod verdict;
mod witness;

use std::time::Duration;

use kaa_proto::request::Confirm;

use crate::pair::Dials;
use crate::pipe::Pieces;

pub use life::live;
pub use setup::Setup;

/// What is asked of the platform, or observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Commands of the type `reboot`.
    Reboot,
    /// Commands of the type `open`.
    Open,
    /// The unnamed configuration.
    Unnamed,
    /// The configuration `wifi`.
    Wifi,
    /// Software.
    Software,
}

/// How a request is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// What counts as its confirmation.
    pub confirm: Confirm,
    /// Whether it may be sent again.
    pub again: bool,
    /// How many seconds it may wait in the queue.
    pub expires: Option<u64>,
}

/// What the application does with a command that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// It runs it, and answers at once.
    Answer,
    /// It runs it, and answers later, or never.
    Keep,
    /// It gives it back unread.
    GiveBack,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A device does something; the number stands for one of those that there are.
    Of(u8, Act),
    /// The platform makes a mistake.
    Fault(&'static str),
    /// The link breaks.
    Cut,
    /// The link swallows all, upwards or downwards or both.
    Hole(bool, bool),
    /// Nothing is swallowed any more, and nothing will break.
    Heal,
    /// The link breaks after so many more bytes.
    CutAfter(u16),
    /// Nothing more comes from the platform after so many more bytes.
    SilentAfter(u16),
    /// What becomes of dials.
    Dials(Dials),
    /// In which pieces bytes are written and arrive.
    Pieces(Pieces),
    /// How many hundredths of a second everything takes on new links, one way.
    Latency(u8),
    /// Time passes.
    Pass(Duration),
}

/// What a device does, or what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It sends a sample.
    Sample(Treatment),
    /// It sends a plain number.
    Plain,
    /// It merges metadata.
    Merge(Treatment),
    /// It reads all metadata.
    Read,
    /// It asks for a configuration, for software, or for commands.
    Get(Subject),
    /// It takes back a request that is open, if there is one.
    Cancel(u8),
    /// It observes something.
    Observe(Subject),
    /// It takes an observation back.
    Unobserve(Subject),
    /// It takes a command.
    TakeCommand(Hand),
    /// It answers one that it kept.
    Answer(u8),
    /// It reads what was assigned, and says that it applied it, or that it could not.
    TakeAssigned(Subject, bool),
    /// It is removed, at once or when it is done.
    Remove(bool),
    /// It comes back, if it was removed.
    Add,
    /// An operator invokes a command for it, or assigns a configuration or software.
    Operate(Subject),
    /// The platform closes the link where it speaks.
    Kick,
}

/// What may go wrong at the platform.
const FAULTS: [&str; 16] = [
    "late 3s times 2",
    "late 40s times 2",
    "late 70s times 3",
    "lose times 2",
    "lose percent 30",
    "duplicate 2 times 3",
    "duplicate 3 percent 50",
    "reorder 3 times 6",
    "error 503 times 2",
    "error 403 times 3",
    "error 304 times 2",
    "error 500 percent 20",
    "kick times 1",
    "kick percent 20",
    "black-hole 20s",
    "clear",
];

impl Op {
    /// The operation of these bytes. Smaller ones make what is simpler.
    #[must_use]
    pub fn of([kind, a, b, c]: [u8; 4]) -> Self {
        let subject = subject(b);
        let act = match kind % 32 {
            0 => return Self::Pass(Duration::from_millis(100) * (u32::from(a) + 1)),
            1..=4 => Act::Sample(treatment(b, c)),
            5 => Act::Plain,
            6 | 7 => Act::Merge(treatment(b, c)),
            8 => Act::Read,
            9 | 10 => Act::Get(subject),
            11 => Act::Cancel(b),
            12 | 13 => Act::Observe(subject),
            14 => Act::Unobserve(subject),
            15 | 16 => {
                Act::TakeCommand([Hand::Answer, Hand::Keep, Hand::GiveBack][usize::from(b % 3)])
            }
            17 => Act::Answer(b),
            18 => Act::TakeAssigned(subject, c % 2 == 0),
            19..=21 => Act::Operate(subject),
            22 => return Self::Fault(FAULTS[usize::from(a % 16)]),
            23 => return Self::Cut,
            24 => return Self::Hole(a % 3 != 1, a % 3 != 2),
            25 => return Self::Heal,
            26 => return Self::CutAfter(u16::from_le_bytes([a, b % 16])),
            27 => return Self::SilentAfter(u16::from_le_bytes([a, b % 16])),
            28 => {
                return match a % 4 {
                    0 => Self::Dials(Dials::Succeed),
                    1 => Self::Dials(Dials::Fail),
                    2 => Self::Dials(Dials::Hang),
                    _ => Self::Latency(b),
                };
            }
            29 => {
                return Self::Pieces(match a % 3 {
                    0 => Pieces::Whole,
                    1 => Pieces::UpTo(usize::from(b) + 1),
                    _ => Pieces::Random(usize::from(b) + 1),
                });
            }
            30 => match b % 4 {
                0 => Act::Remove(c % 2 == 0),
                1 | 2 => Act::Add,
                _ => Act::Kick,
            },
            _ => return Self::Pass(Duration::from_secs(a.into())),
        };
        Self::Of(a, act)
    }

    /// The operations of these bytes; what is left at the end makes none.
    #[must_use]
    pub fn all(bytes: &[u8]) -> Vec<Self> {
        let ops = bytes.chunks_exact(4).filter_map(|op| op.try_into().ok());
        ops.map(Self::of).collect()
    }
}

fn subject(byte: u8) -> Subject {
    [
        Subject::Reboot,
        Subject::Open,
        Subject::Unnamed,
        Subject::Wifi,
        Subject::Software,
    ][usize::from(byte % 5)]
}

fn treatment(flags: u8, seconds: u8) -> Treatment {
    let confirm = match flags & 3 {
        0 | 1 => Confirm::Answered,
        2 => Confirm::Acknowledged,
        _ => Confirm::Nothing,
    };
    Treatment {
        confirm,
        again: flags & 4 == 0,
        expires: (flags & 8 != 0).then_some(u64::from(seconds)),
    }
}
