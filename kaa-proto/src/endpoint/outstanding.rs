//! What the platform says is outstanding, and what that means for the ledger.

use super::flight::{Entry, Owner};
use super::{CommandKey, Endpoint, Record};
use crate::commands::{Command, Pending};
use crate::names::CommandType;
use crate::request::{Effect, Prepared};

impl Entry {
    /// The type of commands that the endpoint asks for by itself, in this request.
    pub(super) fn asks_what_is_outstanding(&self) -> Option<&CommandType> {
        match (&self.owner, &self.request.effect) {
            (Owner::Nobody, Effect::Pending(command_type)) => Some(command_type),
            _ => None,
        }
    }
}

impl Endpoint {
    /// There is no room, for want of results that the platform would take. It is done with those that
    /// it does not list any more; what comes on an observation that is live need not be such a list.
    pub(super) fn ask_what_is_outstanding(&mut self) {
        if self.is_asking_what_is_outstanding() {
            return;
        }
        let ledger = self.now.zip(self.ledger.there());
        let next = ledger.and_then(|(now, ledger)| ledger.list_next(now));
        let request = next.map(|command_type| Prepared::new(&Pending::new(command_type)));
        if let Some(Ok(request)) = request {
            self.push_own(request, Owner::Nobody, None);
        }
    }

    fn is_asking_what_is_outstanding(&self) -> bool {
        let mut entries = self.room.entries();
        entries.any(|entry| entry.asks_what_is_outstanding().is_some())
    }

    /// The platform answered a request with all that is outstanding of a type.
    pub(super) fn settle(&mut self, command_type: &CommandType, listed: &[Command]) {
        let ledger = self.ledger.there();
        let settled = ledger.map(|ledger| ledger.settle(command_type, listed));
        for key in settled.into_iter().flatten() {
            self.record(|| Record::ResultTaken(key));
        }
        let ledger = self.ledger.there();
        let over = ledger.map(|ledger| ledger.forget_interrupted(command_type, listed));
        for key in over.into_iter().flatten() {
            self.forget(key);
        }
    }

    /// A command is not in the ledger any more. It rests, for a list that names it may come late.
    pub(super) fn forget(&mut self, key: CommandKey) {
        if let Some(now) = self.now {
            self.forgotten.add(now, key.clone());
        }
        self.record(|| Record::Forgotten(key));
    }
}
