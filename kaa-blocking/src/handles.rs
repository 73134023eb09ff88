//! The handles of `kaa_proto::client` with waits that block the thread.

use std::future::Future as _;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use kaa_proto::commands::{CommandResult, Report};
use kaa_proto::connection::Event;
use kaa_proto::names::{CommandType, ConfigName};
use kaa_proto::request::{Failure, Request, RequestError, RequestId, SubmitError};
use kaa_proto::{client, config, endpoint, software};

use crate::{Client, wait};

/// Speaks for one endpoint. Clones share it; they may be used from any thread.
///
/// It dereferences to [`kaa_proto::client::Endpoint`], whose other verbs do not wait: `send`,
/// `name`, `key`, `statistics`.
#[derive(Clone, Debug)]
pub struct Endpoint(pub(crate) client::Endpoint);

impl Endpoint {
    /// Takes a request. Never blocks and needs no link.
    ///
    /// # Errors
    /// [`SubmitError`] says why it was not taken; nothing else is affected.
    pub fn submit<R: Request>(&self, request: &R) -> Result<Ticket<R>, SubmitError> {
        self.0.submit(request).map(Ticket)
    }

    /// Takes a request and waits for its end. Every request ends: with an answer, at
    /// `answer_within` after it was sent, or when the client is closed. While there is no link it
    /// waits for one; give it [`expires_after`](kaa_proto::request::RequestExt::expires_after) to
    /// bound that.
    ///
    /// # Errors
    /// [`RequestError::Submit`] if it was not taken, [`RequestError::Failed`] if it ended without
    /// success.
    pub fn request<R: Request>(&self, request: &R) -> Result<R::Response, RequestError> {
        Ok(wait::for_end(self.0.submit(request)?)?)
    }

    /// Observes commands of these types, and reads them.
    ///
    /// # Errors
    /// [`SubmitError`] if too much is observed, or the client is closed.
    pub fn commands(
        &self,
        types: impl IntoIterator<Item = CommandType>,
    ) -> Result<Commands, SubmitError> {
        self.0.commands(types).map(Commands)
    }

    /// As [`commands`](Self::commands), for one type by its name.
    ///
    /// # Errors
    /// Also [`SubmitError::Invalid`] if it cannot be a type.
    pub fn commands_of(&self, command_type: &str) -> Result<Commands, SubmitError> {
        self.0.commands_of(command_type).map(Commands)
    }

    /// A ticket for a request of an earlier run that goes on: [`client::Endpoint::resumed`].
    pub fn resumed<R: Request>(&self, id: RequestId) -> Option<Ticket<R>> {
        self.0.resumed(id).map(Ticket)
    }

    /// Makes a command that was asked for by [`Pending`](kaa_proto::commands::Pending) one that
    /// is answered by consuming it.
    #[must_use]
    pub fn adopt(&self, command: kaa_proto::commands::Command) -> Command {
        Command(self.0.adopt(command))
    }

    /// Observes the unnamed configuration, and reads it.
    ///
    /// # Errors
    /// As [`commands`](Self::commands).
    pub fn configurations(&self) -> Result<Configurations, SubmitError> {
        self.0.configurations().map(Configurations)
    }

    /// Observes a named configuration, and reads it.
    ///
    /// # Errors
    /// As [`commands`](Self::commands).
    pub fn named_configurations(&self, name: ConfigName) -> Result<Configurations, SubmitError> {
        self.0.named_configurations(name).map(Configurations)
    }

    /// Observes software updates, saying that `current` is the version that runs.
    ///
    /// # Errors
    /// As [`commands`](Self::commands); also [`SubmitError::Invalid`] if `current` is empty.
    pub fn software_updates(&self, current: &str) -> Result<SoftwareUpdates, SubmitError> {
        self.0.software_updates(current).map(SoftwareUpdates)
    }

    /// What happens to the endpoint beside its requests, from now on.
    pub fn events(&self) -> EndpointEvents {
        EndpointEvents(self.0.events())
    }
}

/// Stands for a request that was taken; tells how it ended.
///
/// Dropping it loses only the wait: the request goes on. It dereferences to
/// [`kaa_proto::client::Ticket`]: `cancel` takes the request itself back.
#[must_use = "dropping a ticket gives up the wait; use `send` to say so"]
#[derive(Debug)]
pub struct Ticket<R: Request>(client::Ticket<R>);

impl<R: Request> Ticket<R> {
    /// The outcome, if the request has ended; afterwards `None`.
    pub fn try_outcome(&mut self) -> Option<Result<R::Response, Failure>> {
        self.0.try_outcome()
    }

    /// Waits for the outcome; `None` if it did not end within `timeout`. An outcome that was
    /// taken before is [`Failure::Closed`].
    pub fn wait(&mut self, timeout: Duration) -> Option<Result<R::Response, Failure>> {
        wait::until(timeout, |context| Pin::new(&mut self.0).poll(context))
    }

    /// Waits until the store keeps the request; `None` if that was not known within `timeout`. See
    /// [`client::Ticket::stored`].
    ///
    /// The error is [`NotStored`](client::NotStored): the request goes on all the same, in memory.
    pub fn wait_stored(&mut self, timeout: Duration) -> Option<Result<(), client::NotStored>> {
        wait::until(timeout, |context| self.0.poll_stored(context))
    }

    /// Waits for the outcome for as long as it takes; every request ends, as
    /// [`Endpoint::request`] says.
    ///
    /// # Errors
    /// How the request failed; [`Failure::Closed`] if the outcome was taken before.
    pub fn outcome(self) -> Result<R::Response, Failure> {
        wait::for_end(self.0)
    }
}

/// A command to be run, and answered by consuming it. Dropped unanswered, it is given back: the
/// platform's next delivery surfaces it again.
#[derive(Debug)]
pub struct Command(client::Command);

impl Command {
    /// Reports the result. It is kept: when the platform repeats the command, the result is sent
    /// again and the command is not run again.
    ///
    /// # Errors
    /// [`NotResponded`](client::NotResponded) gives the command back, with the reason.
    pub fn respond(self, result: CommandResult) -> Result<Ticket<Report>, client::NotResponded> {
        self.0.respond(result).map(Ticket)
    }

    /// Reports success without a payload: status 200.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn done(self) -> Result<Ticket<Report>, client::NotResponded> {
        self.0.done().map(Ticket)
    }

    /// Reports a failure, with a status of 400 or above and a reason for people.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn reject(
        self,
        status: u16,
        reason: impl Into<String>,
    ) -> Result<Ticket<Report>, client::NotResponded> {
        self.0.reject(status, reason).map(Ticket)
    }
}

/// What a stream of the core is to a blocking iterator.
macro_rules! blocking {
    ($($(#[$doc:meta])* $name:ident($inner:ty) -> $item:ty, $wrap:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "it is to be read"]
        pub struct $name(pub(crate) $inner);

        impl $name {
            /// The next one, if it is there already.
            pub fn try_next(&mut self) -> Option<$item> {
                self.0.try_next().map($wrap)
            }

            /// Waits for the next one; `None` if none came within `timeout`, or the client is
            /// closed.
            pub fn next_within(&mut self, timeout: Duration) -> Option<$item> {
                let next = wait::until(timeout, |context| Pin::new(&mut self.0).poll_next(context));
                next.flatten().map($wrap)
            }
        }

        /// Waits for as long as it takes; ends when the client is closed.
        impl Iterator for $name {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.next_within(Duration::MAX)
            }
        }
    )*};
}

blocking! {
    /// The commands of one or several types, each once, however often the platform delivers it.
    /// What is not read in time stays with the platform. See [`client::Commands`].
    Commands(client::Commands) -> Command, Command;

    /// One configuration as it changes. Of changes that were not read, only the newest is kept.
    /// See [`client::Configurations`].
    Configurations(client::Configurations) -> config::Answer, |answer| answer;

    /// Software updates as they are offered. See [`client::SoftwareUpdates`].
    SoftwareUpdates(client::SoftwareUpdates) -> software::Answer, |answer| answer;

    /// What happens to the link. See [`client::LinkEvents`].
    LinkEvents(client::LinkEvents) -> Event, |event| event;

    /// What happens to one endpoint. See [`client::EndpointEvents`].
    EndpointEvents(client::EndpointEvents) -> endpoint::Event, |event| event;
}

/// What is not here does not wait, and is the core's.
macro_rules! deref {
    ($($name:ident$(<$request:ident>)? => $target:ty;)*) => {$(
        impl$(<$request: Request>)? std::ops::Deref for $name$(<$request>)? {
            type Target = $target;

            fn deref(&self) -> &$target {
                &self.0
            }
        }
    )*};
}

deref! {
    Client => client::Client;
    Endpoint => client::Endpoint;
    Ticket<R> => client::Ticket<R>;
    Command => kaa_proto::commands::Command;
}
