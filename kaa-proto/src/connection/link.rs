//! One transport link from dial to hang-up, and the pause before the next one.
//!
//! The machine never touches a socket. It states through [`Demand`] what the transport should be,
//! and learns through `handle_*` what it is. Every state but `Finished` has a deadline: its own,
//! or in `Greeting` and `Up` that of the session, which watches over its peer. So it cannot hang.
//!
//! ```text
//!   ┌──────────► Dialing ──connected──► Greeting ──greeted──► Up (Draining)
//!   │              │ failed, too late     ├─given up, finish──────┴──► Abandoning, HangingUp
//!   │              ▼                      ▼ lost                             │ closed, too late
//!   └─delay over─ Waiting ◄───────────────┴──────────────────────────────────┤
//!                  │ finish                                                  ▼
//!                  └────────────────────────────────────────────────────► Finished
//! ```
//!
//! A link that is up and is to be closed when everything is flushed is *draining*; that is the
//! connection's affair, for the link it is still up.
//!
//! Not here: MQTT packets (`mqtt`), requests (`endpoint`), who may speak (`suspects`).

use std::fmt;
use std::time::{Duration, Instant};

use super::cause::LinkError;
use super::trace::{self, LinkSpan};
use crate::backoff::Backoff;
use crate::rng::Rng;
use crate::trace::Entered;

/// One link of a connection. Rises with each dial, so that what belongs to an old link is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    /// The number of the dial, from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// What the transport should be now. A level, not an edge: asking twice is harmless.
///
/// A transport or a dial of any other link than the one named is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Dial, if no dial of this link is under way, and say `handle_connected` or
    /// `handle_disconnected`.
    Dial(LinkId),
    /// Move bytes both ways.
    Exchange(LinkId),
    /// The goodbye: write what is left, briefly, flush, close, and say `handle_disconnected`.
    /// Nothing that still comes in is wanted.
    HangUp(LinkId),
    /// The link failed: close at once and say `handle_disconnected`. Nothing more is written, also
    /// not what was polled before: requests whose bytes were not reported as written count as
    /// unsent and go out on the next link, so writing them here would send them twice.
    Abandon(LinkId),
    /// Nothing: have no transport until `poll_timeout`.
    Rest,
    /// Nothing, ever again.
    Finished,
}

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// A transport is being made.
    Dialing,
    /// There is a transport, and CONNACK is awaited.
    Greeting,
    /// The link carries messages.
    Up,
    /// The link carries messages until all are out, then it is closed for good.
    Draining,
    /// The transport is being closed, after a goodbye or a failure.
    HangingUp,
    /// There is no link.
    Waiting {
        /// When the next dial begins.
        until: Instant,
    },
    /// There is no link, and there will be none.
    Finished,
}

/// How long what may take.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// From the demand to dial to a transport.
    pub(crate) dial_within: Duration,
    /// From the demand to hang up to its end.
    pub(crate) hang_up_within: Duration,
    /// From CONNACK to the proof that the link is good.
    pub(crate) stable_after: Duration,
}

/// A link that ended, or a dial that failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loss {
    /// Whose end it is.
    pub(crate) link: LinkId,
    /// Why.
    pub(crate) error: LinkError,
    /// What it had been.
    pub(crate) was: LinkState,
    /// When the next dial begins; `None` if there will be none.
    pub(crate) next_dial: Option<Instant>,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Link {
    state: State,
    /// The link of the current state, or the last one.
    id: LinkId,
    times: Times,
    backoff: Backoff,
    /// For the jitter of the delays.
    rng: Rng,
    /// Whether a refusal ends everything.
    give_up_on_refusal: bool,
    /// Whether the login was changed after the CONNECT of this link: what becomes of the old one
    /// says nothing about the new one.
    is_outdated: bool,
    /// To tell of it.
    span: LinkSpan,
}

/// Each variant names its exits. `finish` leads to `Finished`, by way of `HangingUp` or
/// `Abandoning` where there is a transport.
#[derive(Debug)]
enum State {
    /// A transport is wanted.
    ///
    /// Exits: `Greeting` when connected; `Waiting` on failure and at `deadline`.
    Dialing { deadline: Instant },
    /// CONNACK is awaited.
    ///
    /// Exits: `Up` when greeted; `Waiting` when lost; `Abandoning` when given up by us;
    /// `HangingUp` on `finish`.
    Greeting,
    /// The link carries messages. Good since `stable_at`, which is `None` when that was counted.
    ///
    /// Exits: `Waiting` when lost; `Abandoning` when given up by us; `HangingUp` on `finish`.
    Up { stable_at: Option<Instant> },
    /// The last bytes are being written, then the transport is closed for good.
    ///
    /// Exits: `Finished` when closed and at `deadline`.
    HangingUp { deadline: Instant },
    /// The transport of a link that failed is being closed.
    ///
    /// Exits: as `then` says, when closed and at `deadline`.
    Abandoning { deadline: Instant, then: Then },
    /// A pause.
    ///
    /// Exits: `Dialing` at `until` or by `dial_now`.
    Waiting { until: Instant },
    /// No exit.
    Finished,
}

/// What follows a link that failed.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The next dial, not before this.
    Dial(Instant),
    Finish,
}

impl Link {
    /// The first dial begins at once.
    pub(crate) fn new(
        now: Instant,
        times: Times,
        backoff: Backoff,
        give_up_on_refusal: bool,
        rng: Rng,
    ) -> Self {
        let mut link = Self {
            state: State::Waiting { until: now },
            id: LinkId(0),
            times,
            backoff,
            rng,
            give_up_on_refusal,
            is_outdated: false,
            span: LinkSpan::new(),
        };
        link.dial(now);
        link
    }

    /// Cuts the wait before the next dial.
    pub(crate) fn dial_now(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { .. } => self.dial(now),
            State::Abandoning {
                then: Then::Dial(at),
                ..
            } => *at = now,
            State::Dialing { .. }
            | State::Greeting
            | State::Up { .. }
            | State::HangingUp { .. }
            | State::Abandoning { .. }
            | State::Finished => {}
        }
    }

    /// The next link has another login: it comes at once, also if this one turns out to be
    /// refused.
    pub(crate) fn handle_new_login(&mut self, now: Instant) {
        self.is_outdated = matches!(self.state, State::Greeting);
        self.dial_now(now);
    }

    /// Ends it for good, through a hang-up where there is a transport.
    pub(crate) fn finish(&mut self, now: Instant) {
        match &mut self.state {
            State::Greeting | State::Up { .. } => {
                let deadline = now + self.times.hang_up_within;
                self.state = State::HangingUp { deadline };
            }
            State::HangingUp { .. } => {}
            State::Abandoning { then, .. } => *then = Then::Finish,
            State::Dialing { .. } | State::Waiting { .. } | State::Finished => {
                self.state = State::Finished;
            }
        }
    }

    /// The transport of `link` is there. False if it is not wanted any more.
    pub(crate) fn handle_connected(&mut self, link: LinkId) -> bool {
        let wanted = link == self.id && matches!(self.state, State::Dialing { .. });
        if wanted {
            self.state = State::Greeting;
        }
        wanted
    }

    /// CONNACK came and accepted us.
    pub(crate) fn handle_greeted(&mut self, now: Instant) {
        if matches!(self.state, State::Greeting) {
            let stable_at = Some(now + self.times.stable_after);
            self.state = State::Up { stable_at };
        }
    }

    /// The transport of `link` is gone, or could not be made.
    pub(crate) fn handle_disconnected(
        &mut self,
        now: Instant,
        link: LinkId,
        error: LinkError,
    ) -> Option<Loss> {
        if link != self.id {
            return None;
        }
        if let Some(then) = self.after_close() {
            self.go_on(now, then);
            return None;
        }
        let (loss, then) = self.lose(now, error)?;
        self.go_on(now, then);
        Some(loss)
    }

    /// Gives the link up. `None` if there is no transport that is not given up already.
    pub(crate) fn hang_up(&mut self, now: Instant, error: LinkError) -> Option<Loss> {
        if !matches!(self.state, State::Greeting | State::Up { .. }) {
            return None;
        }
        let (loss, then) = self.lose(now, error)?;
        let deadline = now + self.times.hang_up_within;
        self.state = State::Abandoning { deadline, then };
        Some(loss)
    }

    /// Acts on what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Loss> {
        match self.state {
            State::Dialing { deadline } if deadline <= now => {
                let (loss, then) = self.lose(now, LinkError::DialTimeout)?;
                self.go_on(now, then);
                Some(loss)
            }
            State::Up {
                stable_at: Some(at),
            } if at <= now => {
                trace::stable();
                self.backoff.reset();
                self.state = State::Up { stable_at: None };
                None
            }
            State::HangingUp { deadline } | State::Abandoning { deadline, .. }
                if deadline <= now =>
            {
                if let Some(then) = self.after_close() {
                    self.go_on(now, then);
                }
                None
            }
            State::Waiting { until } if until <= now => {
                self.dial(now);
                None
            }
            State::Dialing { .. }
            | State::Greeting
            | State::Up { .. }
            | State::HangingUp { .. }
            | State::Abandoning { .. }
            | State::Waiting { .. }
            | State::Finished => None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Dialing { deadline }
            | State::HangingUp { deadline }
            | State::Abandoning { deadline, .. } => Some(deadline),
            State::Up { stable_at } => stable_at,
            State::Waiting { until } => Some(until),
            State::Greeting | State::Finished => None,
        }
    }

    pub(crate) fn demand(&self) -> Demand {
        match self.state {
            State::Dialing { .. } => Demand::Dial(self.id),
            State::Greeting | State::Up { .. } => Demand::Exchange(self.id),
            State::HangingUp { .. } => Demand::HangUp(self.id),
            State::Abandoning { .. } => Demand::Abandon(self.id),
            State::Waiting { .. } => Demand::Rest,
            State::Finished => Demand::Finished,
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        match self.state {
            State::Dialing { .. } => LinkState::Dialing,
            State::Greeting => LinkState::Greeting,
            State::Up { .. } => LinkState::Up,
            State::HangingUp { .. } | State::Abandoning { .. } => LinkState::HangingUp,
            State::Waiting { until } => LinkState::Waiting { until },
            State::Finished => LinkState::Finished,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// What is told belongs to this link, until the answer is dropped.
    pub(crate) fn enter(&self) -> Entered {
        self.span.enter()
    }

    /// Failed links and dials in a row, since one was good.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn dial(&mut self, now: Instant) {
        self.id = LinkId(self.id.0 + 1);
        self.is_outdated = false;
        self.span.begin(self.id, self.backoff.failures());
        let deadline = now + self.times.dial_within;
        self.state = State::Dialing { deadline };
    }

    /// What follows when the transport is closed, if that is awaited.
    const fn after_close(&self) -> Option<Then> {
        match self.state {
            State::HangingUp { .. } => Some(Then::Finish),
            State::Abandoning { then, .. } => Some(then),
            State::Dialing { .. }
            | State::Greeting
            | State::Up { .. }
            | State::Waiting { .. }
            | State::Finished => None,
        }
    }

    fn go_on(&mut self, now: Instant, then: Then) {
        match then {
            Then::Dial(at) if at <= now => self.dial(now),
            Then::Dial(until) => self.state = State::Waiting { until },
            Then::Finish => self.state = State::Finished,
        }
    }

    /// Accounts for the end of what the state is about; the caller sets the next state.
    fn lose(&mut self, now: Instant, error: LinkError) -> Option<(Loss, Then)> {
        let was = self.state();
        match self.state {
            // It was good although nobody asked for the time since.
            State::Up { stable_at } if stable_at.is_none_or(|at| at <= now) => {
                self.backoff.reset();
            }
            State::Dialing { .. } | State::Greeting | State::Up { .. } => {}
            State::HangingUp { .. }
            | State::Abandoning { .. }
            | State::Waiting { .. }
            | State::Finished => return None,
        }
        let next_dial = match error.needs_operator() {
            _ if self.is_outdated && matches!(self.state, State::Greeting) => Some(now),
            true if self.give_up_on_refusal => None,
            true => Some(now + self.backoff.after_refusal(&mut self.rng)),
            false => Some(now + self.backoff.after_failure(&mut self.rng)),
        };
        let loss = Loss {
            link: self.id,
            error,
            was,
            next_dial,
        };
        Some((loss, next_dial.map_or(Then::Finish, Then::Dial)))
    }
}

#[cfg(test)]
mod tests;
