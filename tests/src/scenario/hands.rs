//! The handles that a scenario holds, whatever binding they are of. The methods are those of
//! `kaa_proto::client`; what waits there is a future here.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kaa_proto::client::NotReady;
use kaa_proto::commands::{self, CommandResult};
use kaa_proto::connection::{Account, AddError, Event, InvalidOptions, Removal, Statistics};
use kaa_proto::endpoint::{self, EndpointOptions};
use kaa_proto::mqtt::Login;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Failure, RequestError, SubmitError};
use kaa_proto::{config, software};

use super::{Answer, Held, Op};

/// A wait. Of a blocking binding it is over when it is first polled.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A client.
#[allow(missing_docs, reason = "they are those of the client's")]
pub trait ClientHand: Send + Sync {
    fn endpoint(
        &self,
        name: &EndpointName,
        options: EndpointOptions,
    ) -> Result<Box<dyn EndpointHand>, AddError>;
    fn remove_endpoint(&self, name: &EndpointName, removal: Removal) -> bool;
    fn ready(&self, timeout: Duration) -> Waiting<'_, Result<(), NotReady>>;
    fn link_events(&self) -> Box<dyn Reader<Event>>;
    fn dial_now(&self);
    fn set_login(&self, login: Login) -> Result<(), InvalidOptions>;
    fn statistics(&self) -> Statistics;
    fn shutdown(&self, timeout: Duration) -> Waiting<'_, Account>;
}

/// An endpoint.
#[allow(missing_docs, reason = "they are those of the endpoint's")]
pub trait EndpointHand: Send + Sync {
    fn again(&self) -> Box<dyn EndpointHand>;
    fn submit(
        &self,
        op: &Op,
        held: &Held,
        number: usize,
    ) -> Result<Box<dyn TicketHand>, SubmitError>;
    fn send(&self, op: &Op, held: &Held) -> Result<(), SubmitError>;
    fn request(&self, op: &Op, held: &Held) -> Waiting<'_, Result<Answer, RequestError>>;
    /// Drops the wait of a request at once.
    fn abandon(&self, op: &Op, held: &Held) -> Result<(), SubmitError>;
    fn statistics(&self) -> Option<endpoint::Statistics>;
    fn commands(
        &self,
        types: &[&str],
    ) -> Result<Box<dyn Reader<Box<dyn CommandHand>>>, SubmitError>;
    fn configurations(&self, name: &str) -> Result<Box<dyn Reader<config::Answer>>, SubmitError>;
    fn software(&self, runs: &str) -> Result<Box<dyn Reader<software::Answer>>, SubmitError>;
    fn events(&self) -> Box<dyn Reader<endpoint::Event>>;
    fn adopt(&self, command: commands::Command) -> Box<dyn CommandHand>;
}

/// A ticket.
#[allow(missing_docs, reason = "they are those of the ticket's")]
pub trait TicketHand: Send {
    fn outcome(&mut self) -> Waiting<'_, Option<Result<Answer, Failure>>>;
    fn try_outcome(&mut self) -> Option<Result<Answer, Failure>>;
    fn cancel(&self) -> bool;
}

/// A command.
#[allow(missing_docs, reason = "they are those of the command's")]
pub trait CommandHand: Send {
    fn command(&self) -> &commands::Command;
    fn respond(self: Box<Self>, result: CommandResult) -> Result<Box<dyn TicketHand>, SubmitError>;
}

/// A stream, or an iterator.
pub trait Reader<T>: Send {
    /// The next one; `None` when it is over.
    fn next(&mut self) -> Waiting<'_, Option<T>>;
    /// The next one, if it is there.
    fn try_next(&mut self) -> Option<T>;
}
