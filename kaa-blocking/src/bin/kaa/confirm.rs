//! What a sender waits for.

use clap::{Args, ValueEnum};
use kaa_blocking::request::Confirm;

use crate::exit::Exit;
use crate::outcome::Outcome;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ConfirmArgs {
    /// What to wait for; the outcome that is printed is then "confirmed", "acknowledged" or "sent"
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Wanted::Answer)]
    confirm: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// The platform's answer: it was processed
    Answer,
    /// The broker's acknowledgement: it arrived, and nobody says more
    Ack,
    /// Nothing: it was sent, and may be lost
    Nothing,
}

impl ConfirmArgs {
    pub(crate) const fn confirm(self) -> Confirm {
        match self.confirm {
            Wanted::Answer => Confirm::Answered,
            Wanted::Ack => Confirm::Acknowledged,
            Wanted::Nothing => Confirm::Nothing,
        }
    }

    /// What is printed when it ended well.
    pub(crate) const fn outcome(self) -> Outcome {
        match self.confirm {
            Wanted::Answer => Outcome::confirmed(),
            Wanted::Ack => Outcome::new("acknowledged", Exit::Done),
            Wanted::Nothing => Outcome::new("sent", Exit::Done),
        }
    }
}
