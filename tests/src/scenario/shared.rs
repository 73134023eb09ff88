//! The hands of the bindings whose handles are those of `kaa_proto::client`.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream;
use kaa_proto::client::{self, Client, NotReady};
use kaa_proto::commands::{self, CommandResult};
use kaa_proto::connection::{Account, AddError, Event, InvalidOptions, Removal, Statistics};
use kaa_proto::endpoint::{self, EndpointOptions};
use kaa_proto::mqtt::Login;
use kaa_proto::names::{CommandType, ConfigName, EndpointName};
use kaa_proto::request::{Failure, InvalidRequest, Request, RequestError, SubmitError};
use kaa_proto::{config, software};

use super::{
    Answer, ClientHand, CommandHand, EndpointHand, Held, Op, Reader, Show, TicketHand, Verb,
    Waiting,
};

/// A client whose futures any executor can wait for.
#[derive(Debug)]
pub struct SharedClient(pub Client);

impl ClientHand for SharedClient {
    fn endpoint(
        &self,
        name: &EndpointName,
        options: EndpointOptions,
    ) -> Result<Box<dyn EndpointHand>, AddError> {
        let endpoint = self.0.endpoint_with(name, options)?;
        Ok(Box::new(SharedEndpoint(endpoint)))
    }

    fn remove_endpoint(&self, name: &EndpointName, removal: Removal) -> bool {
        self.0.remove_endpoint(name, removal)
    }

    fn ready(&self, timeout: Duration) -> Waiting<'_, Result<(), NotReady>> {
        Box::pin(self.0.ready(timeout))
    }

    fn link_events(&self) -> Box<dyn Reader<Event>> {
        Box::new(Streamed(self.0.link_events(), client::LinkEvents::try_next))
    }

    fn dial_now(&self) {
        self.0.dial_now();
    }

    fn set_login(&self, login: Login) -> Result<(), InvalidOptions> {
        self.0.set_login(Some(login))
    }

    fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    fn shutdown(&self, timeout: Duration) -> Waiting<'_, Account> {
        Box::pin(self.0.shutdown(timeout))
    }
}

struct SharedEndpoint(client::Endpoint);

impl EndpointHand for SharedEndpoint {
    fn again(&self) -> Box<dyn EndpointHand> {
        Box::new(Self(self.0.clone()))
    }

    fn submit(
        &self,
        op: &Op,
        held: &Held,
        number: usize,
    ) -> Result<Box<dyn TicketHand>, SubmitError> {
        op.apply(held, number, Submit(&self.0))?
    }

    fn send(&self, op: &Op, held: &Held) -> Result<(), SubmitError> {
        op.apply(held, 0, Send(&self.0))?
    }

    fn request(&self, op: &Op, held: &Held) -> Waiting<'_, Result<Answer, RequestError>> {
        let wait = op.apply(held, 0, Ask(&self.0));
        wait.unwrap_or_else(|error| Box::pin(std::future::ready(Err(error.into()))))
    }

    fn abandon(&self, op: &Op, held: &Held) -> Result<(), SubmitError> {
        let wait = op.apply(held, 0, Ask(&self.0))?;
        let _ = pin!(wait).poll(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    fn statistics(&self) -> Option<endpoint::Statistics> {
        self.0.statistics()
    }

    fn commands(
        &self,
        types: &[&str],
    ) -> Result<Box<dyn Reader<Box<dyn CommandHand>>>, SubmitError> {
        let types: Result<Vec<_>, _> = types.iter().map(|name| CommandType::new(*name)).collect();
        let commands = self.0.commands(types.map_err(InvalidRequest::from)?)?;
        Ok(Box::new(SharedCommands(commands)))
    }

    fn configurations(&self, name: &str) -> Result<Box<dyn Reader<config::Answer>>, SubmitError> {
        let reader = match name {
            "" => self.0.configurations()?,
            name => {
                let name = ConfigName::new(name).map_err(InvalidRequest::from)?;
                self.0.named_configurations(name)?
            }
        };
        Ok(Box::new(Streamed(reader, client::Configurations::try_next)))
    }

    fn software(&self, runs: &str) -> Result<Box<dyn Reader<software::Answer>>, SubmitError> {
        let reader = self.0.software_updates(runs)?;
        Ok(Box::new(Streamed(
            reader,
            client::SoftwareUpdates::try_next,
        )))
    }

    fn events(&self) -> Box<dyn Reader<endpoint::Event>> {
        Box::new(Streamed(self.0.events(), client::EndpointEvents::try_next))
    }

    fn adopt(&self, command: commands::Command) -> Box<dyn CommandHand> {
        Box::new(self.0.adopt(command))
    }
}

struct Submit<'a>(&'a client::Endpoint);

impl Verb for Submit<'_> {
    type Out = Result<Box<dyn TicketHand>, SubmitError>;

    fn with<R>(self, request: &R) -> Self::Out
    where
        R: Request + 'static,
        R::Response: Show,
    {
        Ok(Box::new(self.0.submit(request)?))
    }
}

struct Send<'a>(&'a client::Endpoint);

impl Verb for Send<'_> {
    type Out = Result<(), SubmitError>;

    fn with<R>(self, request: &R) -> Self::Out
    where
        R: Request + 'static,
        R::Response: Show,
    {
        self.0.send(request).map(|_| ())
    }
}

struct Ask<'a>(&'a client::Endpoint);

impl Verb for Ask<'_> {
    type Out = Waiting<'static, Result<Answer, RequestError>>;

    fn with<R>(self, request: &R) -> Self::Out
    where
        R: Request + 'static,
        R::Response: Show,
    {
        let wait = self.0.request(request);
        Box::pin(async move { Ok(wait.await?.show()) })
    }
}

impl<R> TicketHand for client::Ticket<R>
where
    R: Request + 'static,
    R::Response: Show,
{
    fn outcome(&mut self) -> Waiting<'_, Option<Result<Answer, Failure>>> {
        Box::pin(async move { Some(self.await.map(Show::show)) })
    }

    fn try_outcome(&mut self) -> Option<Result<Answer, Failure>> {
        Some(Self::try_outcome(self)?.map(Show::show))
    }

    fn cancel(&self) -> bool {
        Self::cancel(self)
    }
}

impl CommandHand for client::Command {
    fn command(&self) -> &commands::Command {
        self
    }

    fn respond(self: Box<Self>, result: CommandResult) -> Result<Box<dyn TicketHand>, SubmitError> {
        match Self::respond(*self, result) {
            Ok(ticket) => Ok(Box::new(ticket)),
            Err(not) => Err(not.error),
        }
    }
}

/// A stream, and how it is read without waiting.
struct Streamed<S: Stream>(S, fn(&mut S) -> Option<S::Item>);

impl<S> Reader<S::Item> for Streamed<S>
where
    S: Stream + Unpin + std::marker::Send,
    S::Item: std::marker::Send,
{
    fn next(&mut self) -> Waiting<'_, Option<S::Item>> {
        Box::pin(std::future::poll_fn(|context| {
            Pin::new(&mut self.0).poll_next(context)
        }))
    }

    fn try_next(&mut self) -> Option<S::Item> {
        (self.1)(&mut self.0)
    }
}

struct SharedCommands(client::Commands);

impl Reader<Box<dyn CommandHand>> for SharedCommands {
    fn next(&mut self) -> Waiting<'_, Option<Box<dyn CommandHand>>> {
        Box::pin(std::future::poll_fn(|context| {
            let next = Pin::new(&mut self.0).poll_next(context);
            next.map(|command| command.map(|command| Box::new(command) as Box<dyn CommandHand>))
        }))
    }

    fn try_next(&mut self) -> Option<Box<dyn CommandHand>> {
        Some(Box::new(self.0.try_next()?))
    }
}
