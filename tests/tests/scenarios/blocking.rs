//! The hands of kaa-blocking: its own handles, whose waits block the thread.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use kaa_blocking as binding;
use kaa_blocking::NotReady;
use kaa_blocking::commands::{self, CommandResult};
use kaa_blocking::connection::{Account, AddError, Event, InvalidOptions, Removal, Statistics};
use kaa_blocking::endpoint::{self, EndpointOptions};
use kaa_blocking::mqtt::Login;
use kaa_blocking::names::{CommandType, ConfigName, EndpointName};
use kaa_blocking::request::{Failure, InvalidRequest, Request, RequestError, SubmitError};
use kaa_blocking::{config, software};
use kaa_tests::scenario::{
    Answer, ClientHand, CommandHand, EndpointHand, Held, Op, Reader, Show, TicketHand, Verb,
    Waiting,
};

use crate::runtime::{Runtime, Start, Started, present};

/// A wait is over after this; the scenario takes it for one without end.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const RUNTIME: Runtime = Runtime {
    name: "blocking",
    play: |script| smol::block_on(script),
    sleep: |time| {
        Box::pin(async move {
            thread::sleep(time);
        })
    },
    start: |start| Box::pin(ready(connect(start))),
    run: |task| {
        let run = || catch_unwind(AssertUnwindSafe(|| smol::block_on(task))).is_err();
        let ended = thread::spawn(run).join();
        Box::pin(ready(ended.unwrap_or(true)))
    },
};

fn connect(Start { options, at, .. }: Start) -> Result<Started, String> {
    let client = match at {
        None => binding::Client::connect(options),
        Some(at) => binding::Client::connect_with(options, move |_| {
            Ok(std::net::TcpStream::connect(present(&at))?.into())
        }),
    };
    let client = client.map_err(|error| error.to_string())?;
    Ok(Started {
        client: Box::new(Client(client)),
        end: Box::pin(ready(())),
    })
}

struct Client(binding::Client);

impl ClientHand for Client {
    fn endpoint(
        &self,
        name: &EndpointName,
        options: EndpointOptions,
    ) -> Result<Box<dyn EndpointHand>, AddError> {
        Ok(Box::new(Endpoint(self.0.endpoint_with(name, options)?)))
    }

    fn remove_endpoint(&self, name: &EndpointName, removal: Removal) -> bool {
        self.0.remove_endpoint(name, removal)
    }

    fn ready(&self, timeout: Duration) -> Waiting<'_, Result<(), NotReady>> {
        Box::pin(async move { self.0.ready(timeout.min(PATIENCE)) })
    }

    fn link_events(&self) -> Box<dyn Reader<Event>> {
        Box::new(Iterated(self.0.link_events()))
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
        Box::pin(async move { self.0.shutdown(timeout) })
    }
}

struct Endpoint(binding::Endpoint);

impl EndpointHand for Endpoint {
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
        let outcome = op.apply(held, 0, Ask(&self.0));
        Box::pin(ready(outcome.unwrap_or_else(|error| Err(error.into()))))
    }

    fn abandon(&self, op: &Op, held: &Held) -> Result<(), SubmitError> {
        op.apply(held, 0, Abandon(&self.0))?
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
        Ok(Box::new(Commands(commands)))
    }

    fn configurations(&self, name: &str) -> Result<Box<dyn Reader<config::Answer>>, SubmitError> {
        Ok(Box::new(Iterated(match name {
            "" => self.0.configurations()?,
            name => {
                let name = ConfigName::new(name).map_err(InvalidRequest::from)?;
                self.0.named_configurations(name)?
            }
        })))
    }

    fn software(&self, runs: &str) -> Result<Box<dyn Reader<software::Answer>>, SubmitError> {
        Ok(Box::new(Iterated(self.0.software_updates(runs)?)))
    }

    fn events(&self) -> Box<dyn Reader<endpoint::Event>> {
        Box::new(Iterated(self.0.events()))
    }

    fn adopt(&self, command: commands::Command) -> Box<dyn CommandHand> {
        Box::new(Command(self.0.adopt(command)))
    }
}

macro_rules! verbs {
    ($($name:ident($endpoint:ident, $request:ident) -> $out:ty { $body:expr })*) => {$(
        struct $name<'a>(&'a binding::Endpoint);

        impl Verb for $name<'_> {
            type Out = Result<$out>;

            fn with<R>(self, $request: &R) -> Self::Out
            where
                R: Request + 'static,
                R::Response: Show,
            {
                let $endpoint = self.0;
                $body
            }
        }
    )*};
}

type Result<T, E = SubmitError> = std::result::Result<T, E>;

verbs! {
    Submit(endpoint, request) -> Box<dyn TicketHand> {
        Ok(Box::new(Ticket(endpoint.submit(request)?)))
    }
    Send(endpoint, request) -> () {
        endpoint.send(request).map(|_| ())
    }
    Abandon(endpoint, request) -> () {
        endpoint.submit(request).map(|mut ticket| drop(ticket.wait(Duration::ZERO)))
    }
}

struct Ask<'a>(&'a binding::Endpoint);

impl Verb for Ask<'_> {
    type Out = Result<Answer, RequestError>;

    fn with<R>(self, request: &R) -> Self::Out
    where
        R: Request + 'static,
        R::Response: Show,
    {
        self.0.request(request).map(Show::show)
    }
}

struct Ticket<R: Request>(binding::Ticket<R>);

impl<R> TicketHand for Ticket<R>
where
    R: Request + 'static,
    R::Response: Show,
{
    fn outcome(&mut self) -> Waiting<'_, Option<Result<Answer, Failure>>> {
        Box::pin(async { Some(self.0.wait(PATIENCE)?.map(Show::show)) })
    }

    fn try_outcome(&mut self) -> Option<Result<Answer, Failure>> {
        Some(self.0.try_outcome()?.map(Show::show))
    }

    fn cancel(&self) -> bool {
        self.0.cancel()
    }
}

struct Command(binding::Command);

impl CommandHand for Command {
    fn command(&self) -> &commands::Command {
        &self.0
    }

    fn respond(self: Box<Self>, result: CommandResult) -> Result<Box<dyn TicketHand>> {
        match self.0.respond(result) {
            Ok(ticket) => {
                // What the core gives back on failure is dropped here, which gives it back.
                let ticket: Box<dyn TicketHand> = Box::new(Ticket(ticket));
                Ok(ticket)
            }
            Err(not) => Err(not.error),
        }
    }
}

/// An iterator that waits.
struct Iterated<I>(I);

macro_rules! readers {
    ($($iterator:ty => $item:ty;)*) => {$(
        impl Reader<$item> for Iterated<$iterator> {
            fn next(&mut self) -> Waiting<'_, Option<$item>> {
                Box::pin(async { self.0.next_within(PATIENCE) })
            }

            fn try_next(&mut self) -> Option<$item> {
                self.0.try_next()
            }
        }
    )*};
}

readers! {
    binding::LinkEvents => Event;
    binding::EndpointEvents => endpoint::Event;
    binding::Configurations => config::Answer;
    binding::SoftwareUpdates => software::Answer;
}

struct Commands(binding::Commands);

impl Reader<Box<dyn CommandHand>> for Commands {
    fn next(&mut self) -> Waiting<'_, Option<Box<dyn CommandHand>>> {
        Box::pin(async {
            let command = self.0.next_within(PATIENCE)?;
            Some(Box::new(Command(command)) as Box<dyn CommandHand>)
        })
    }

    fn try_next(&mut self) -> Option<Box<dyn CommandHand>> {
        Some(Box::new(Command(self.0.try_next()?)))
    }
}
