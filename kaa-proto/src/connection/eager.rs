//! Links that are spoken on before CONNACK, and when there are any.
//!
//! What goes out so early has an unknown outcome if there never is a CONNACK, and is sent for nothing
//! if that refuses us. So a link that ended without one is followed by links that wait for it, until
//! one came: a network in which dials succeed and lead nowhere, or a server that has locked us out,
//! gets one early flight, not one with each dial. A server that drops links over what somebody
//! said may do so before its CONNACK is read; such a death counts for `suspects` on the link that
//! follows, which waits.

/// Whether the link speaks early, and whether the next one will.
#[derive(Debug)]
pub(super) struct Eager {
    /// See [`Options::eager_start`](super::Options::eager_start).
    is_wanted: bool,
    /// No early link has ended without CONNACK since one came.
    is_trusted: bool,
    /// Whether this link is one of them, also after its CONNACK.
    is_on: bool,
}

impl Eager {
    pub(super) const fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            is_trusted: true,
            is_on: false,
        }
    }

    /// A link begins; whether it is an early one.
    pub(super) const fn begin(&mut self) -> bool {
        self.is_on = self.is_wanted && self.is_trusted;
        self.is_on
    }

    /// CONNACK came.
    pub(super) const fn handle_greeted(&mut self) {
        self.is_trusted = true;
    }

    /// The link ended before CONNACK came.
    pub(super) const fn handle_ungreeted(&mut self) {
        self.is_trusted &= !self.is_on;
        self.is_on = false;
    }

    /// Whether the link is an early one: nothing on it waits for CONNACK or SUBACK.
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }
}
