//! A command in the application's hands.

use std::fmt;
use std::sync::Arc;

use super::Ticket;
use super::shared::Handle;
use crate::commands::{self, CommandResult, Report};
use crate::connection::EndpointKey;
use crate::endpoint::CommandKey;
use crate::request::{Prepared, SubmitError};

/// A command to be run, and answered by consuming it.
///
/// Dropped unanswered, it is given back: the platform's next delivery surfaces it again. It
/// dereferences to [`commands::Command`].
pub struct Command {
    handle: Arc<Handle>,
    key: EndpointKey,
    command: commands::Command,
    /// The ledger has its result.
    answered: bool,
}

impl Command {
    pub(super) const fn new(
        handle: Arc<Handle>,
        key: EndpointKey,
        command: commands::Command,
    ) -> Self {
        Self {
            handle,
            key,
            command,
            answered: false,
        }
    }

    /// Reports the result. It is kept: when the platform repeats the command, the result is sent
    /// again and the command is not run again.
    ///
    /// # Errors
    /// [`NotResponded`] gives the command back, with the reason.
    pub fn respond(self, result: CommandResult) -> Result<Ticket<Report>, NotResponded> {
        let command = CommandKey::from(&self.command);
        let report = Prepared::new(&command.report(result)).map_err(SubmitError::from);
        let taken = report.and_then(|report| {
            let shared = self.handle.shared();
            shared.act_on_state(|state, now| state.respond(now, self.key, report))
        });
        match taken {
            Ok(id) => {
                let ticket = Ticket::new(Arc::clone(&self.handle), self.key, id);
                let mut command = self;
                command.answered = true;
                Ok(ticket)
            }
            Err(error) => Err(NotResponded {
                command: Box::new(self),
                error,
            }),
        }
    }

    /// Reports success without a payload: status 200.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn done(self) -> Result<Ticket<Report>, NotResponded> {
        self.respond(CommandResult::ok())
    }

    /// Reports a failure, with a status of 400 or above and a reason for people.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn reject(
        self,
        status: u16,
        reason: impl Into<String>,
    ) -> Result<Ticket<Report>, NotResponded> {
        self.respond(CommandResult::failed(status, reason))
    }
}

impl std::ops::Deref for Command {
    type Target = commands::Command;

    fn deref(&self) -> &commands::Command {
        &self.command
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if !self.answered {
            let command = CommandKey::from(&self.command);
            self.handle
                .shared()
                .act(|connection, now| connection.release(now, self.key, &command));
        }
    }
}

/// Its type and identifier.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.command_type(), self.id().as_json())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}

/// A result that was not taken, and its command, which is still in progress.
#[derive(Debug)]
pub struct NotResponded {
    /// The command, to be answered otherwise.
    pub command: Box<Command>,
    /// Why.
    pub error: SubmitError,
}

impl fmt::Display for NotResponded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the result was not taken: {}", self.error)
    }
}

impl std::error::Error for NotResponded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
