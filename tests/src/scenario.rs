//! Scenarios: what a client has to do, written once as data and run everywhere: in the core on a
//! simulated clock, and on every runtime over sockets.
//!
//! A [`Scenario`] is a name that states the behaviour, what is [`Given`], and [`Step`]s that drive
//! the public handles, the platform and the network. [`play`] runs it through [`ClientHand`]
//! (the handles of a binding) in a [`World`] (the rest). To add one, write it into a file of
//! `scenario/list`; to add a runtime, implement the two.

mod counters;
mod expect;
mod given;
mod hands;
pub mod list;
mod matrix;
mod op;
mod scene;
mod script;
mod shared;
mod simulated;
mod step;
mod world;

pub use given::{Given, IMPOSTOR, Peer, ServerTls, Setup, Shown, Trusted};
pub use hands::{ClientHand, CommandHand, EndpointHand, Reader, TicketHand, Waiting};
pub use matrix::{Cell, Column, Matrix};
pub use op::{Answer, Held, Op, Show, Tweak, Verb};
pub use script::play;
pub use shared::SharedClient;
pub use simulated::play_simulated;
pub use step::{End, Item, Network, Source, Step, Verdict};
pub use world::World;

/// One behaviour of a client, as data.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The behaviour, as a sentence in snake case.
    pub name: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What differs from the usual client, platform and network.
    pub given: &'static [Given],
    /// Where it does not run, and why; the first that fits counts.
    pub except: &'static [(Place, &'static str)],
    /// What happens.
    pub steps: &'static [Step],
}

/// Some of the [`Column`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Those on a simulated clock.
    Virtual,
    /// Those with sockets.
    Real,
    /// Those without TLS.
    Plain,
    /// Those with TLS.
    Tls,
    /// Those of a runtime.
    On(&'static str),
}

impl Scenario {
    /// Why it does not run in this column, if it does not.
    #[must_use]
    pub fn absence(&self, column: &Column) -> Option<&'static str> {
        let fits = |place: &Place| match *place {
            Place::Virtual => !column.is_real,
            Place::Real => column.is_real,
            Place::Plain => !column.is_tls,
            Place::Tls => column.is_tls,
            Place::On(runtime) => column.runtime == runtime,
        };
        let absent = self.except.iter().find(|(place, _)| fits(place));
        absent.map(|(_, reason)| *reason)
    }
}
