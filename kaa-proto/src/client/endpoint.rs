//! The handle of one endpoint.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use super::shared::{Handle, State};
use super::slot::Slot;
use super::{Command, Commands, Configurations, EndpointEvents, SoftwareUpdates, Ticket, spare};
use crate::commands;
use crate::config::Configuration;
use crate::connection::EndpointKey;
use crate::endpoint::{Recovered, Statistics};
use crate::names::{CommandType, ConfigName, EndpointName};
use crate::request::{InvalidRequest, Prepared, Request, RequestError, RequestId, SubmitError};

/// Speaks for one endpoint. Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    handle: Arc<Handle>,
    name: EndpointName,
    key: EndpointKey,
}

impl Endpoint {
    pub(super) const fn new(handle: Arc<Handle>, name: EndpointName, key: EndpointKey) -> Self {
        Self { handle, name, key }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &EndpointName {
        &self.name
    }

    /// Its key in events and statistics of the connection.
    #[must_use]
    pub const fn key(&self) -> EndpointKey {
        self.key
    }

    /// What it has seen; `None` after it was removed.
    #[must_use]
    pub fn statistics(&self) -> Option<Statistics> {
        let shared = self.handle.shared();
        shared.look(|connection| Some(connection.endpoint(self.key)?.statistics()))
    }

    /// Takes a request. Never blocks and needs no link.
    ///
    /// # Errors
    /// [`SubmitError`] says why it was not taken; nothing else is affected.
    pub fn submit<R: Request>(&self, request: &R) -> Result<Ticket<R>, SubmitError> {
        let id = self.hand_over(request, |state, now, prepared| {
            state.submit(now, self.key, prepared)
        })?;
        Ok(Ticket::new(Arc::clone(&self.handle), self.key, id))
    }

    /// Takes a request, and waits for nothing. It is confirmed, resent and counted as any other.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn send<R: Request>(&self, request: &R) -> Result<RequestId, SubmitError> {
        self.hand_over(request, |state, now, prepared| {
            state.connection.submit_prepared(now, self.key, prepared)
        })
    }

    /// Encodes a request outside the lock, and lets it be taken under it.
    fn hand_over<R: Request>(
        &self,
        request: &R,
        take: impl FnOnce(&mut State, Instant, Prepared) -> Result<RequestId, SubmitError>,
    ) -> Result<RequestId, SubmitError> {
        let prepared = spare::encode(request)?;
        let shared = self.handle.shared();
        let (id, left) = shared.act_on_state(|state, now| {
            let id = take(state, now, prepared)?;
            Ok::<_, SubmitError>((id, state.connection.blank(self.key)))
        })?;
        spare::leave(left);
        Ok(id)
    }

    /// Takes a request and waits for its end. The request is taken when this is called, not when
    /// the future is first polled.
    ///
    /// # Errors
    /// [`RequestError::Submit`] if it was not taken, [`RequestError::Failed`] if it ended without
    /// success.
    pub fn request<R: Request>(
        &self,
        request: &R,
    ) -> impl Future<Output = Result<R::Response, RequestError>> + Send + use<R> {
        let ticket = self.submit(request);
        async move { Ok(ticket?.await?) }
    }

    /// Observes commands of these types, and reads them.
    ///
    /// # Errors
    /// [`SubmitError`] if too much is observed, or the client is closed.
    pub fn commands(
        &self,
        types: impl IntoIterator<Item = CommandType>,
    ) -> Result<Commands, SubmitError> {
        Commands::new(
            Arc::clone(&self.handle),
            self.key,
            types.into_iter().collect(),
        )
    }

    /// As [`commands`](Self::commands), for one type by its name.
    ///
    /// # Errors
    /// Also [`SubmitError::Invalid`] if it cannot be a type.
    pub fn commands_of(&self, command_type: &str) -> Result<Commands, SubmitError> {
        let command_type = CommandType::new(command_type).map_err(InvalidRequest::from)?;
        self.commands([command_type])
    }

    /// Makes a command that was asked for by [`Pending`](commands::Pending) one that is answered
    /// by consuming it.
    #[must_use]
    pub fn adopt(&self, command: commands::Command) -> Command {
        Command::new(Arc::clone(&self.handle), self.key, command)
    }

    /// Observes the unnamed configuration, and reads it. With a store the one that an earlier run
    /// reported as applied does not come again: see
    /// [`keep_configurations`](crate::endpoint::EndpointOptions::keep_configurations).
    ///
    /// # Errors
    /// As [`commands`](Self::commands).
    pub fn configurations(&self) -> Result<Configurations, SubmitError> {
        Configurations::new(Arc::clone(&self.handle), self.key, None)
    }

    /// Observes a named configuration, and reads it.
    ///
    /// # Errors
    /// As [`commands`](Self::commands).
    pub fn named_configurations(&self, name: ConfigName) -> Result<Configurations, SubmitError> {
        Configurations::new(Arc::clone(&self.handle), self.key, Some(name))
    }

    /// Observes software updates, saying that `current` is the version that runs.
    ///
    /// # Errors
    /// As [`commands`](Self::commands); also [`SubmitError::Invalid`] if `current` is empty.
    pub fn software_updates(&self, current: &str) -> Result<SoftwareUpdates, SubmitError> {
        SoftwareUpdates::new(Arc::clone(&self.handle), self.key, current)
    }

    /// What an earlier run of the program left behind of this endpoint, as the store knows: the
    /// requests that go on, those with an unknown outcome, and the commands that were interrupted.
    /// `None` if there is nothing, or it was [taken](Self::take_recovered). It stays in the store: a
    /// program that dies before it has taken it finds it again.
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        self.handle.shared().look(|connection| {
            let endpoint = connection.endpoint(self.key)?;
            endpoint.recovered().cloned()
        })
    }

    /// Takes what [`recovered`](Self::recovered) shows: the program has dealt with it, and the store
    /// forgets the requests with an unknown outcome. To be called after that, not before: a program
    /// that takes first and dies then does not get to know of them again. The next run finds again
    /// what was not taken; and what was, if the program dies before the store knows.
    #[must_use = "it holds requests whose outcome nobody knows, and they are told once"]
    pub fn take_recovered(&self) -> Option<Recovered> {
        self.handle
            .shared()
            .act(|connection, now| connection.take_recovered(now, self.key))
    }

    /// A ticket for a request of an earlier run that goes on ([`Recovered::resumed`]); its outcome is
    /// kept until it is taken here. `R` says how its answer is read: what the request was then, or
    /// [`raw::Call`](crate::raw::Call) for the bytes. `None` if there is none, or
    /// it was given already.
    #[must_use = "dropping a ticket gives up the wait"]
    pub fn resumed<R: Request>(&self, id: RequestId) -> Option<Ticket<R>> {
        let is_known = self.handle.shared().update(|state, _| {
            state
                .slots
                .get_mut(&(self.key, id))
                .is_some_and(Slot::claim)
        });
        is_known.then(|| Ticket::new(Arc::clone(&self.handle), self.key, id))
    }

    /// The last good configuration of this name (`None` for the unnamed one), at hand before there is
    /// a link: [`endpoint::Endpoint::applied_configuration`](crate::endpoint::Endpoint::applied_configuration).
    #[must_use]
    pub fn applied_configuration(&self, name: Option<&ConfigName>) -> Option<Configuration> {
        let look =
            |endpoint: &crate::endpoint::Endpoint| endpoint.applied_configuration(name).cloned();
        self.handle
            .shared()
            .look(|connection| connection.endpoint(self.key).and_then(look))
    }

    /// What happens to the endpoint beside its requests, from now on.
    #[must_use]
    pub fn events(&self) -> EndpointEvents {
        EndpointEvents::new(Arc::clone(&self.handle), self.key)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.name)
    }
}
